//! `squall merge`: runs of shards become one report, or are refused in words.

use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use crate::kit::{Replayed, Server, capture, run_squall, text};

/// Two runs of one plan, written down as the two shards of a plan twice as large.
struct Shards {
    folder: TempDir,
    files: [PathBuf; 2],
}

impl Shards {
    fn run(args: &[&str]) -> Shards {
        let folder = TempDir::new().unwrap();
        let steps: Vec<_> =
            (0..12).map(|n| (n % 3, n / 3 * 20, 1, "GET /api/products", "shop.test")).collect();
        let capture = capture(folder.path(), &steps);
        let server = Server::plain();
        let url = server.url();
        let file = |shard: u64| {
            let args = [&["--target", url.as_str()], args].concat();
            let mut run = Replayed::of(&capture, &args).json;
            run["shard"] = format!("{shard}/2").into();
            run["plan"]["requests"] = (2 * run["requests"]["planned"].as_u64().unwrap()).into();
            // On a machine that is busy with other tests the generator may have been late.
            run["generator"]["degraded"] = Value::Array(Vec::new());
            let path = folder.path().join(format!("{shard}.json"));
            std::fs::write(&path, run.to_string()).unwrap();
            path
        };
        let files = [file(1), file(2)];
        Shards { folder, files }
    }

    fn names(&self) -> [String; 2] {
        [text(&self.files[0]), text(&self.files[1])]
    }

    fn change(&self, index: usize, change: impl Fn(&mut Value)) {
        let mut run = read(&self.files[index]);
        change(&mut run);
        std::fs::write(&self.files[index], run.to_string()).unwrap();
    }
}

fn read(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn shards_become_one_report() {
    let shards = Shards::run(&["--threshold", "response:p(95)<1h", "--threshold", "answered>99%"]);
    let [one, two] = shards.names();
    let json = shards.folder.path().join("whole.json");
    let shown = run_squall(&["merge", &two, &one, "--json", &text(&json)]);
    shown.expect_words(
        0,
        &["1-2/2", "verdict: pass", "24 planned, 24 sent", "planned by its shards", "2 thresholds"],
    );
    let (whole, run) = (read(&json), read(&shards.files[0]));
    assert_eq!(whole["requests"]["answered"], 24);
    assert_eq!(whole["latency"]["response"]["count"], 24);
    assert_eq!(whole["plan_hash"], run["plan_hash"]);
    assert_eq!(whole["thresholds"][0]["ok"], true);
    let schema: Value = serde_json::from_str(include_str!("../../replayer/run.schema.json")).unwrap();
    let required = schema["required"].as_array().unwrap();
    assert!(required.iter().all(|name| whole.get(name.as_str().unwrap()).is_some()));
}

#[test]
fn thresholds_are_judged_over_the_whole() {
    let shards = Shards::run(&["--threshold", "failed<10%"]);
    let [one, two] = shards.names();
    // A third of the second shard was not answered: a sixth of the whole.
    shards.change(1, |run| {
        run["requests"]["answered"] = 8.into();
        run["requests"]["failed"]["reset"] = 4.into();
        run["failures"]["total"] = 4.into();
        run["failures"]["network"] = 4.into();
        run["books"]["rows"][1]["right"] = 12.into();
    });
    let shown = run_squall(&["merge", &one, &two]);
    shown.expect_words(99, &["verdict: fail", "does not hold: failed<10%", "16.667 %"]);
}

#[test]
fn a_missing_shard_is_named() {
    let shards = Shards::run(&[]);
    let [_, two] = shards.names();
    run_squall(&["merge", &two]).expect_words(111, &["shard 1 of 2", "verdict: degraded", "2/2"]);
}

#[test]
fn what_is_no_part_of_the_run_is_refused() {
    let shards = Shards::run(&[]);
    let [one, two] = shards.names();
    let refused = |args: &[&str], words: &[&str]| {
        run_squall(&[&["merge"], args].concat()).expect_words(104, words);
    };
    refused(&[], &["RUN.json"]);
    refused(&[&one, &one], &["both are of shard 1 of 2"]);
    refused(&[&one, "/no/such/run.json"], &["/no/such/run.json"]);
    refused(&[&one, &two, "--json", &two], &["write over"]);
    let broken = text(shards.folder.path().join("broken.json"));
    std::fs::write(&broken, "{\"squall\": 1").unwrap();
    refused(&[&one, &broken], &["broken.json", "no run.json"]);
    shards.change(1, |run| run["plan_hash"] = "0123456789abcdef".into());
    refused(&[&one, &two], &["1.json", "2.json", "0123456789abcdef", "not parts of one run"]);
    shards.change(1, |run| run["latency"]["response"]["hdr"] = "garbage".into());
    refused(&[&two], &["histogram"]);
}
