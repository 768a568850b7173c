//! Who suffers is decided by the seed: the same in every run, at any number of threads.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use crate::kit::{Replayed, generated_log, run_squall, text};
use crate::support::{Proxy, Shop};

#[test]
fn the_same_victims_in_every_run_of_a_generated_log() {
    check(&generated_log(LINES), LINES);
}

#[test]
fn the_same_victims_in_every_run_of_a_real_log() {
    let Some(log) = apache_log() else {
        eprintln!("skipped: SQUALL_DATA names no folder with an Apache log");
        return;
    };
    check(&log, log.lines().count() as u64);
}

#[track_caller]
fn check(log: &str, lines: u64) {
    let folder = TempDir::new().unwrap();
    let access = folder.path().join("access.log");
    std::fs::write(&access, log).unwrap();
    let capture = folder.path().join("capture.zst");
    run_squall(&["captures", "import", &text(&access), "-o", &text(&capture)]).expect(0);
    let first = victims(&capture, "1", lines);
    for rule in ["slow", "refused", "torn"] {
        assert!(first.iter().any(|(id, ..)| id == rule), "{rule} hit nobody");
    }
    for threads in ["1", "2"] {
        let again = victims(&capture, threads, lines);
        assert_eq!(first, again, "at {threads} threads");
    }
}

/// Rule, operation and attempt of every fault that was applied.
#[track_caller]
fn victims(capture: &Path, threads: &str, lines: u64) -> BTreeSet<(String, String, u64)> {
    let (shop, folder) = (Shop::open(&[]), TempDir::new().unwrap());
    let [rules, ledger] = ["faults.toml", "ledger.jsonl"].map(|name| folder.path().join(name));
    std::fs::write(&rules, RULES).unwrap();
    let files = ["--rules", &text(&rules), "--ledger", &text(&ledger), "--threads", threads];
    let proxy = Proxy::before(&shop.url(), &files);
    let (target, admin) = (format!("http://{}", proxy.addr()), format!("http://{}", proxy.admin()));
    let counter = format!("{}/_shop/count", shop.url());
    let to = ["--target", &target, "--proxy", &admin, "--origin-counter", &counter];
    let how = ["--no-rehearsal", "--amplify", "5x", "--speed", "max", "--threads", threads, "--seed", "7"];
    let run = Replayed::of(capture, &[&to[..], &how].concat()).expect_code(0).expect_balanced();
    assert_eq!(run.n("/requests/sent"), 5 * lines, "everything is sent");
    assert_eq!(run.n("/requests/failed/reset"), run.n("/requests/injected/torn"));
    proxy.settled(5 * lines).expect_balanced();
    let (status, said) = proxy.stop();
    assert!(status.success(), "{said}");

    let written = std::fs::read_to_string(&ledger).unwrap();
    let faults: Vec<Value> = written.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let applied = faults.iter().filter(|fault| fault["applied"] == true);
    let victims: Vec<_> = applied
        .map(|fault| {
            let text = |name: &str| fault[name].as_str().unwrap().to_owned();
            (text("rule"), text("op"), fault["attempt"].as_u64().unwrap())
        })
        .collect();
    let told: u64 =
        run.json["rules"].as_array().unwrap().iter().map(|r| r["applied"].as_u64().unwrap()).sum();
    assert_eq!(victims.len() as u64, told, "the ledger and the report count the same");
    let set: BTreeSet<_> = victims.into_iter().collect();
    assert_eq!(set.len() as u64, told, "nobody is hit twice by the same rule");
    set
}

/// The beginning of the Apache log among the real data, where there is any.
fn apache_log() -> Option<String> {
    let root = PathBuf::from(std::env::var_os("SQUALL_DATA")?);
    let mut folders = vec![root];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).ok()?.flatten() {
            let (path, name) = (entry.path(), entry.file_name().to_string_lossy().to_ascii_lowercase());
            if path.is_dir() {
                folders.push(path);
            } else if name.contains("apache") && !name.ends_with(".md") {
                let file = std::fs::File::open(&path).ok()?;
                let plain: Box<dyn Read> = match name.ends_with(".gz") {
                    true => Box::new(flate2::read::MultiGzDecoder::new(file)),
                    false => Box::new(file),
                };
                let lines = BufReader::new(plain).lines().map_while(Result::ok);
                return Some(lines.take(LINES as usize).map(|line| line + "\n").collect());
            }
        }
    }
    None
}

const LINES: u64 = 300;
const RULES: &str = r#"
version = 1
seed    = "0x1e46e7"

[[rule]]
id    = "slow"
rate  = "20%"
delay = "1ms..5ms"

[[rule]]
id      = "refused"
on      = "GET /**"
rate    = "10% of sessions"
respond = 503

[[rule]]
id    = "torn"
rate  = "10% of operations"
reset = "before headers"
"#;
