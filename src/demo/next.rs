//! What to try after the demo, as commands that work as they stand.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use super::folder::Folder;

/// The commands, one a line, indented as the narration is.
pub(super) fn commands(folder: &Folder, capture: &Path, edited: &str) -> String {
    let (squall, replay) = programs();
    let (capture, rules) = (quoted(capture), quoted(&folder.rules()));
    let version = quoted(&folder.versions().join(edited));
    let mut text = String::new();
    let mut line = |command: String| {
        let _ = writeln!(text, "          {command}"); // a string takes all that is written to it
    };
    line(format!("{squall} captures inspect {capture}"));
    line(format!("{squall} check {version} --against {capture}"));
    line("# the same by hand, each in a terminal of its own; then edit the rules, with the versions as a model".to_owned());
    line(format!("{squall} shop --listen 127.0.0.1:9000"));
    line(format!(
        "{squall} proxy --listen 127.0.0.1:8080 --upstream http://127.0.0.1:9000 --admin 127.0.0.1:8081 --rules {rules}"
    ));
    line(format!(
        "{replay} {capture} --amplify 100x --target http://127.0.0.1:8080 --proxy http://127.0.0.1:8081"
    ));
    text
}

/// How to call the two programs: by name where they are on the PATH, else by where they lie.
fn programs() -> (String, String) {
    let Ok(own) = std::env::current_exe() else { return ("squall".to_owned(), "replay".to_owned()) };
    let path = std::env::var_os("PATH").unwrap_or_default();
    let installed = std::env::split_paths(&path).any(|folder| folder.join("squall") == own);
    if installed {
        return ("squall".to_owned(), "replay".to_owned());
    }
    let short = |path: PathBuf| match std::env::current_dir() {
        Ok(here) => path.strip_prefix(here).map(Path::to_owned).unwrap_or(path),
        Err(_) => path,
    };
    (quoted(&short(own.clone())), quoted(&short(own.with_file_name("replay"))))
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:,@%=".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text;
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_survive_a_shell() {
        assert_eq!(quoted(Path::new("/tmp/squall-demo-1-0/a.zst")), "/tmp/squall-demo-1-0/a.zst");
        assert_eq!(quoted(Path::new("/tmp/my demo")), "'/tmp/my demo'");
        assert_eq!(quoted(Path::new("it's")), r"'it'\''s'");
        assert_eq!(quoted(Path::new("")), "''");
    }
}
