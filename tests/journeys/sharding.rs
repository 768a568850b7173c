//! A plan sent by several processes: the shares are the whole, and `squall merge` makes one report of them.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, SystemTime};

use tempfile::TempDir;

use crate::kit::{Finished, Replayed, Server, capture, run_squall, text};
use crate::support::replay;

fn shop(folder: &Path) -> std::path::PathBuf {
    let steps: Vec<_> = (0..60).map(|n| (n % 20, n * 10, 1, "GET /api/products", "shop.test")).collect();
    capture(folder, &steps)
}

fn operations(server: &Server) -> Vec<String> {
    let mut all: Vec<_> =
        server.met().iter().map(|one| one.header("squall-op").unwrap().to_owned()).collect();
    all.sort();
    all
}

#[test]
fn two_processes_send_the_plan_of_one() {
    let folder = TempDir::new().unwrap();
    let path = shop(folder.path());
    let files = [1, 2].map(|shard| folder.path().join(format!("{shard}.json")));
    let (shared, alone) = (Server::plain(), Server::plain());
    let whole = ["--amplify", "3.5x", "--no-rehearsal", "--seed", "7"];
    // Both at once, from the same second on.
    let running: Vec<_> = (1..=2)
        .map(|shard| {
            let (target, part) = (shared.url(), format!("{shard}/2"));
            let own = ["--target", &target, "--shard", &part, "--start-at", "+1s"];
            Replayed::start(&path, &[&whole[..], &own].concat(), &files[shard - 1])
        })
        .collect();
    let parts: Vec<_> = running
        .into_iter()
        .zip(&files)
        .map(|(process, file)| Replayed::read(Finished::after(process), file).expect_passed())
        .collect();
    let one = Replayed::of(&path, &[&whole[..], &["--target", &alone.url()]].concat()).expect_passed();
    let all = operations(&alone);
    assert_eq!(operations(&shared), all, "the union of the shards is the plan");
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
    assert!(parts.iter().all(|part| part.json["plan_hash"] == one.json["plan_hash"]));
    assert_eq!(parts.iter().map(|part| part.n("/requests/planned")).sum::<u64>(), all.len() as u64);

    let merged = folder.path().join("whole.json");
    let [first, second] = files.map(|file| text(&file));
    let code = parts.iter().map(|part| part.n("/exit_code")).max().unwrap();
    run_squall(&["merge", &first, &second, "--json", &text(&merged)]).expect(code as i32);
    let merged: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(merged).unwrap()).unwrap();
    for place in ["/requests/sent", "/requests/answered", "/sessions/started", "/latency/response/count"] {
        assert_eq!(merged.pointer(place), one.json.pointer(place), "{place}");
    }
    assert_eq!(merged["books"]["balanced"], true);
}

#[test]
fn a_dry_run_says_what_it_would_take_and_sends_nothing() {
    let folder = TempDir::new().unwrap();
    let (path, server) = (shop(folder.path()), Server::plain());
    let mut command = replay(&["--target", &server.url(), "--dry-run", "--amplify", "100x"]);
    command.arg(&path);
    let words = ["sockets", "ports", "memory", "threads", "2,000 sessions", "6,000 requests"];
    Finished::of(command).expect_words(0, &words);
    let mut command = replay(&["--target", &server.url(), "--dry-run", "--amplify", "1Mx"]);
    command.args(["--connections", "per-session"]).arg(&path);
    Finished::of(command)
        .expect_words(104, &["does not fit this machine", "ulimit -n", "--connections shared"]);
    assert!(server.met().is_empty());
}

#[test]
fn the_start_is_waited_for() {
    let folder = TempDir::new().unwrap();
    let (path, server) = (shop(folder.path()), Server::plain());
    let begun = SystemTime::now();
    let how = ["--target", &server.url(), "--start-at", "+1s", "--speed", "max"];
    Replayed::of(&path, &how).expect_code(0).expect_answered(60);
    let now = (SystemTime::now(), std::time::Instant::now());
    let first = server.met().iter().map(|one| one.at).min().unwrap();
    assert!(now.0 - (now.1 - first) >= begun + Duration::from_secs(1));
}
