//! Finding and running other people's programs, and the files that they need.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The name of a program, if it is installed.
pub(crate) fn program(name: &str, package: &str) -> Option<String> {
    let answers = Command::new(name).arg("--version").stdin(Stdio::null()).output();
    if answers.is_ok_and(|said| said.status.success()) {
        return Some(name.to_owned());
    }
    missing(name, package)
}

/// A Python that has `module`. Debian's own comes first: it is the one whose modules apt installs.
pub(crate) fn python(module: &str, package: &str) -> Option<String> {
    let own = std::env::var("SQUALL_TEST_PYTHON").ok();
    let candidates = own.into_iter().chain(["/usr/bin/python3", "python3"].map(str::to_owned));
    let imports = |python: &String| {
        let tried =
            Command::new(python).args(["-c", &format!("import {module}")]).stdin(Stdio::null()).output();
        tried.is_ok_and(|said| said.status.success())
    };
    candidates.into_iter().find(imports).or_else(|| missing(&format!("python3 with {module}"), package))
}

fn missing(name: &str, package: &str) -> Option<String> {
    let words = format!("{name} is not installed (apt-get install {package})");
    let required = std::env::var("SQUALL_REQUIRE_CLIENTS").is_ok_and(|value| value == "1");
    assert!(!required, "{words}, and SQUALL_REQUIRE_CLIENTS=1 asks for it");
    // not by a macro, whose words cargo would keep to itself
    let _ = writeln!(std::io::stderr(), "skipped: {words}");
    None
}

/// A program with what `.ci/install` put under `target/clients` for it, if that is enough for it to run `tried`.
///
/// What does not come with the system is skipped aloud even where `SQUALL_REQUIRE_CLIENTS` is set: its registry may be out
/// of reach.
pub(crate) fn installed(name: &str, (variable, folder): (&str, &str), tried: &[&str]) -> Option<Command> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/clients").join(folder);
    let mut command = Command::new(name);
    command.env(variable, &folder);
    let works = Command::new(name).env(variable, &folder).args(tried).stdin(Stdio::null()).output();
    if works.is_ok_and(|said| said.status.success()) {
        return Some(command);
    }
    let _ =
        writeln!(std::io::stderr(), "skipped: {name} has no library in {} (.ci/install)", folder.display());
    None
}

/// A script beside this file.
pub(crate) fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(name)
}

/// Runs a program to its end, which must be a good one, and returns what it printed.
pub(crate) fn run(mut command: Command) -> String {
    let Output { status, stdout, stderr } =
        command.stdin(Stdio::null()).output().expect("it was found before");
    let [out, err] = [stdout, stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert!(status.success(), "{command:?}: {status}\n{out}\n{err}");
    out
}

/// A command of curl with [`CURL`].
pub(crate) fn curl(program: &str) -> Command {
    let mut curl = Command::new(program);
    curl.args(CURL);
    curl
}

/// What every run of curl wants: no progress, no proxy of the environment, and an end.
pub(crate) const CURL: [&str; 6] = ["--silent", "--show-error", "--noproxy", "*", "--max-time", "60"];
