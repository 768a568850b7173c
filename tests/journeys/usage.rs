//! What is typed wrongly, what the programs say of themselves, and their exit codes.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::kit::{Finished, Replayed, Server, capture, eventually, run_squall, text};
use crate::support::{Process, Proxy, Shop, http, replay, squall};

#[test]
fn every_command_helps() {
    let commands: [&[&str]; 22] = [
        &[],
        &["proxy"],
        &["replay"],
        &["check"],
        &["arm"],
        &["lift"],
        &["status"],
        &["merge"],
        &["demo"],
        &["shop"],
        &["captures"],
        &["captures", "import"],
        &["captures", "inspect"],
        &["captures", "cat"],
        &["captures", "verify"],
        &["captures", "repair"],
        &["captures", "export"],
        &["captures", "compact"],
        &["captures", "slice"],
        &["captures", "merge"],
        &["captures", "rekey"],
        &["captures", "synthesize"],
    ];
    for command in commands {
        let shown = run_squall(&[command, &["--help"]].concat()).expect(0);
        assert!(shown.out.contains("Usage: squall"), "{command:?}: {}", shown.out);
        if !command.is_empty() && command != ["captures"] {
            assert!(
                shown.out.contains("Examples:") || shown.out.contains("Example:"),
                "{command:?}:\n{}",
                shown.out
            );
        }
    }
    let shown =
        Finished::of(replay(&["--help"])).expect_words(0, &["Usage: replay", "Examples:", "Exit codes:"]);
    assert!(shown.err.is_empty(), "{}", shown.err);
    Finished::of(replay(&["--version"])).expect(0);
    run_squall(&["--version"]).expect(0);
    run_squall(&["help", "captures", "cat"]).expect_words(0, &["Usage: squall captures cat"]);
    run_squall(&[]).expect_words(104, &["Usage: squall"]);
}

#[test]
fn mistakes_are_named_with_what_was_meant() {
    let checks: [(&[&str], &str); 12] = [
        (&["replay", "--amplfy", "2", "x.zst"], "--amplify"),
        (&["replay", "--amplify", "lots", "x.zst"], "100x"),
        (&["replay", "--duration", "30", "x.zst"], "30s"),
        (&["replay", "--threshold", "respons:p(95)<1s", "x.zst"], "response"),
        (&["replay", "--connections", "pooled", "x.zst"], "per-session, shared"),
        (&["replay", "--speed", "warp", "x.zst"], "max"),
        (&["replay", "--max-rate", "5/w", "x.zst"], "6k/m"),
        (&["replay", "/no/such/capture.zst"], "/no/such/capture.zst"),
        (&["proxi"], "proxy"),
        (&["proxy", "--lissen", "127.0.0.1:0"], "--listen"),
        (
            &[
                "proxy",
                "--listen",
                "127.0.0.1:0",
                "--upstream",
                "http://127.0.0.1:9",
                "--fault",
                "GET / dealy 1s",
            ],
            "delay",
        ),
        (&["captures", "inspct", "x.zst"], "inspect"),
    ];
    for (args, words) in checks {
        let finished = run_squall(args).expect(104);
        assert!(finished.err.contains(words), "{args:?}: `{words}` is not in:\n{}", finished.err);
    }
    Finished::of(replay(&["--amplfy", "2", "x.zst"])).expect_words(104, &["--amplify"]);
}

#[test]
fn a_port_that_is_taken_is_bad_configuration() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    run_squall(&["proxy", "--listen", &addr, "--upstream", "http://127.0.0.1:9"]).expect_words(104, &[&addr]);
}

#[test]
fn a_dry_run_sends_nothing() {
    let (_folder, capture) = recording(10, 10);
    let server = Server::plain();
    let shown = Finished::of(command(&capture, &["--target", &server.url(), "--dry-run", "--amplify", "3x"]));
    shown.expect_words(0, &["30 sessions", "300 requests"]);
    assert!(server.met().is_empty());
}

#[test]
fn thresholds_judge() {
    let (_folder, capture) = recording(4, 3);
    let server = Server::plain();
    let to = ["--target", &server.url()];
    let holds =
        ["--threshold", "errors<1%", "--threshold", "answered>99%", "--threshold", "response:p(95)<1h"];
    let run = Replayed::of(&capture, &[&to[..], &holds].concat()).expect_passed();
    assert_eq!(run.json["thresholds"].as_array().unwrap().len(), 3);
    let fails = ["--threshold", "response:p(95)<1us", "--threshold", "errors<1%", "--speed", "max"];
    let run = Replayed::of(&capture, &[&to[..], &fails].concat()).expect_code(99);
    assert!(run.json["reason"].as_str().unwrap().contains("response:p(95)<1us"), "{}", run.json["reason"]);
    assert_eq!(
        (&run.json["thresholds"][0]["ok"], &run.json["thresholds"][1]["ok"]),
        (&false.into(), &true.into())
    );
}

#[test]
fn quiet_is_quiet_and_run_json_is_the_same_program_over() {
    let (folder, capture) = recording(2, 3);
    let server = Server::plain();
    let json = folder.path().join("run.json");
    let quiet = [
        "replay",
        "--quiet",
        "--target",
        &server.url(),
        "--json",
        &text(&json),
        "--speed",
        "max",
        &text(&capture),
    ];
    let finished = run_squall(&quiet).expect(0);
    assert_eq!((&*finished.out, &*finished.err), ("", ""));
    let run: Value = serde_json::from_str(&std::fs::read_to_string(&json).unwrap()).unwrap();
    let schema: Value = serde_json::from_str(include_str!("../../replayer/run.schema.json")).unwrap();
    let allowed = schema["properties"].as_object().unwrap();
    for name in schema["required"].as_array().unwrap() {
        assert!(run.get(name.as_str().unwrap()).is_some(), "{name} is missing");
    }
    assert!(run.as_object().unwrap().keys().all(|name| allowed.contains_key(name)));
    assert_eq!(run["argv"].as_array().unwrap().len(), quiet.len() + 1);
}

#[test]
fn a_replay_that_cannot_start_leaves_no_file_behind() {
    let (folder, capture) = recording(2, 3);
    let json = folder.path().join("run.json");
    let refused = ["--target", "http://example.invalid", "--json", &text(&json)];
    Finished::of(command(&capture, &refused)).expect(112);
    assert!(!json.exists(), "an empty run.json is no run");
    std::fs::write(&json, "an older run").unwrap();
    Finished::of(command(&capture, &refused)).expect(112);
    assert_eq!(std::fs::read_to_string(&json).unwrap(), "an older run");
    let nowhere = ["--target", "http://127.0.0.1:9", "--json", "/no/such/folder/run.json"];
    Finished::of(command(&capture, &nowhere)).expect_words(104, &["/no/such/folder/run.json"]);
}

#[test]
fn ctrl_c_ends_a_replay_in_good_order() {
    let (folder, capture) = recording(100, 3000);
    let shop = Shop::open(&[]);
    let proxy = Proxy::before::<&str>(&shop.url(), &[]);
    let json = folder.path().join("run.json");
    let (target, admin) = (format!("http://{}", proxy.addr()), format!("http://{}", proxy.admin()));
    let counter = format!("{}/_shop/count", shop.url());
    let args = ["--target", &target, "--proxy", &admin, "--origin-counter", &counter, "--duration", "10m"];
    let run = Replayed::start(&capture, &args, &json);
    eventually("it has begun", || (proxy.books().total("seen") >= 50).then_some(()));
    run.signal("INT");
    let run = Replayed::read(Finished::after(run), &json).expect_code(105).expect_balanced();
    assert_eq!(run.json["verdict"], "interrupted");
    let sent = run.n("/requests/sent");
    assert!(sent >= 50 && run.n("/requests/never_sent/interrupted") == run.n("/requests/planned") - sent);
    assert!(run.finished.out.contains("interrupted"), "{}", run.finished.out);
    proxy.settled(sent).expect_balanced();
    assert_eq!(
        (shop.requests(), proxy.books().total("seen")),
        (sent, sent),
        "nothing was sent after its end"
    );
}

#[test]
fn a_capture_that_is_being_made_goes_when_its_maker_is_called_off() {
    let folder = TempDir::new().unwrap();
    let [pipe, output] = ["lines", "out.zst"].map(|name| folder.path().join(name));
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for signal in ["INT", "TERM"] {
        let args = ["captures", "import", &text(&pipe), "--format", "ndjson", "-o", &text(&output)];
        let import = Process::start("squall", squall(&args));
        // it waits for lines as long as this end is open
        let _lines = std::fs::OpenOptions::new().write(true).open(&pipe).unwrap();
        eventually("it has begun", || output.exists().then_some(()));
        import.signal(signal);
        let said = format!("interrupted; {} is removed", output.display());
        Finished::after(import).expect_words(105, &[&said]);
        assert!(!output.exists());
    }
    std::fs::write(&output, "of somebody else").unwrap();
    let args = ["captures", "import", "nowhere.har", "-o", &text(&output)];
    Finished::of(squall(&args)).expect(104);
    assert_eq!(std::fs::read_to_string(&output).unwrap(), "of somebody else");
}

#[test]
fn check_finds_and_clears() {
    let folder = TempDir::new().unwrap();
    let [good, bad] = ["good.toml", "bad.toml"].map(|name| folder.path().join(name));
    std::fs::write(
        &good,
        "[safety]\nprotect = [\"header x-no-chaos\"]\n[[rule]]\nid = \"a\"\nrespond = 503\n",
    )
    .unwrap();
    std::fs::write(
        &bad,
        "[[rule]]\nid = \"a\"\nrespnd = 503\n\n[[rule]]\nid = \"a\"\nthrottle = \"1KB/s\"\n",
    )
    .unwrap();
    run_squall(&["check", &text(&good)]).expect_words(0, &["no findings"]);
    run_squall(&["check", &text(&bad)]).expect_words(1, &["bad.toml:3:1", "respond", "E02", "2 findings"]);
    run_squall(&["check", "/no/such/rules.toml"]).expect(104);
    let envoy = folder.path().join("envoy.yaml");
    std::fs::write(&envoy, "abort: { http_status: 503, percentage: { numerator: 5 } }\n").unwrap();
    run_squall(&["rules", "import", &text(&envoy)]).expect_words(0, &["respond = 503", "rate    = \"5%\""]);
    std::fs::write(&envoy, "routes: []\n").unwrap();
    run_squall(&["rules", "import", &text(&envoy)]).expect_words(1, &["HTTPFault"]);
    run_squall(&["rules", "import", "/no/such.yaml"]).expect(104);
    let (_folder, capture) = recording(2, 3);
    run_squall(&["check", &text(&good), "--against", &text(&capture)]).expect_words(0, &["6"]);
    let like = folder.path().join("like.toml");
    let rule = |name: &str| {
        format!(
            "[[rule]]\nid = \"a\"\non = \"/**\"\ndelay = \"like {name} x2\"\n[safety]\nprotect = [\"/healthz\"]\n"
        )
    };
    std::fs::write(&like, rule(&text(&capture))).unwrap();
    run_squall(&["check", &text(&like)]).expect_words(0, &["as long as recorded in", "times 2"]);
    std::fs::write(&like, rule("nope.zst")).unwrap();
    run_squall(&["check", &text(&like)])
        .expect_words(1, &["like.toml:4:15: error[E10]", "nope.zst", "relative"]);
    let listen =
        ["proxy", "--listen", "127.0.0.1:0", "--upstream", "http://127.0.0.1:9", "--rules", &text(&bad)];
    run_squall(&listen).expect_words(104, &["bad.toml:3:1"]);
}

#[test]
fn cat_survives_a_reader_that_has_seen_enough() {
    let (_folder, capture) = recording(50, 40);
    let line =
        format!("'{}' captures cat '{}' | head -n 1; echo ended ${{PIPESTATUS[0]}}", SQUALL, text(&capture));
    let mut shell = Command::new("bash");
    shell.args(["-c", &line]).stdin(Stdio::null());
    let finished = Finished::of(shell).expect_words(0, &["ended 0", r#""method":"GET""#]);
    assert!(finished.err.is_empty(), "{}", finished.err);
    let cat = run_squall(&["captures", "cat", &text(&capture)]).expect(0);
    assert_eq!(cat.out.lines().count(), 2000);
}

#[test]
fn a_proxy_for_everybody_fires_nothing_until_it_is_armed() {
    let server = Server::plain();
    let args = ["--listen", "0.0.0.0:0", "--upstream", &server.url(), "--fault", "GET /** respond 503"];
    let mut proxy = Proxy::start(&args);
    let admin = format!("http://{}", proxy.admin());
    let said =
        proxy.process().wait_for("the warning", |line| line.contains("NOT ARMED").then(|| line.to_owned()));
    assert!(said.contains(&format!("squall arm {admin}")), "{said}");
    let door = std::net::SocketAddr::from(([127, 0, 0, 1], proxy.addr().port()));
    let status = || http::get(door, "/").status;
    assert_eq!(status(), 200);
    run_squall(&["status", &admin]).expect_words(0, &["NOT ARMED: 1 rule", "squall arm"]);
    run_squall(&["arm", &admin]).expect_words(0, &["armed: 1 rule"]);
    assert_eq!(status(), 503);
    run_squall(&["status", &admin, "--json"]).expect_words(0, &[r#""armed": true"#]);
    run_squall(&["lift", &admin]).expect_words(0, &["lifted"]);
    assert_eq!(status(), 200);
    run_squall(&["arm", "http://192.0.2.1:80"]).expect_words(104, &["not on this machine"]);
    run_squall(&["status", "http://127.0.0.1:9"]).expect_words(104, &["no proxy"]);
}

#[test]
fn interrupted_shops_and_proxies_end_well() {
    let mut shop = Shop::open(&[]);
    assert_eq!(http::get(shop.addr(), "/").status, 200);
    shop.process().signal("INT");
    assert_eq!(shop.process().wait().code(), Some(0));
    let mut proxy = Proxy::before::<&str>("http://127.0.0.1:9", &[]);
    proxy.process().signal("INT");
    assert_eq!(proxy.process().wait().code(), Some(0));
}

fn command(capture: &Path, args: &[&str]) -> Command {
    let mut command = replay(args);
    command.arg(capture);
    command
}

/// Sessions side by side, with a step every 20 ms.
fn recording(sessions: u64, steps: u64) -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let steps: Vec<_> = (0..sessions * steps)
        .map(|n| (n % sessions, n / sessions * 20, 1, "GET /api/products", "shop.test"))
        .collect();
    let capture = capture(folder.path(), &steps);
    (folder, capture)
}

const SQUALL: &str = env!("CARGO_BIN_EXE_squall");
