//! What a person reads on the terminal of `squall proxy`: where it listens, what it records and has armed, and who changed it.

use std::fs;

use tempfile::TempDir;

use crate::kit::{Server, run_squall, text};
use crate::support::{Proxy, http};

const RULES: &str = "version = 1\n[[rule]]\nid = \"bad\"\non = \"/bad\"\nrespond = 500\n";

/// Waits for a line of the log with all of these words, and returns it.
fn says(proxy: &mut Proxy, words: &[&str]) -> String {
    let has_all = |line: &str| words.iter().all(|word| line.contains(word)).then(|| line.to_owned());
    proxy.process().wait_for(&format!("{words:?}"), has_all)
}

#[test]
fn the_start_says_what_listens_records_and_is_armed() {
    let (server, folder) = (Server::plain(), TempDir::new().unwrap());
    let [rules, capture] = ["faults.toml", "capture.zst"].map(|name| text(folder.path().join(name)));
    fs::write(&rules, RULES).unwrap();
    let mut proxy = Proxy::before(&server.url(), &["--rules", &rules, "--record", &capture]);
    let addr = proxy.addr().to_string();
    says(&mut proxy, &["edge default listening on http://", &addr]);
    says(&mut proxy, &["recording to ", &capture]);
    says(&mut proxy, &["1 rule armed, seed 0x"]);
    says(&mut proxy, &["  bad: ", "/bad", "answer 500"]);
}

#[test]
fn many_rules_do_not_flood_the_start() {
    let (server, folder) = (Server::plain(), TempDir::new().unwrap());
    let rules = text(folder.path().join("faults.toml"));
    let one = |n: u32| format!("[[rule]]\nid = \"rule-{n}\"\non = \"/{n}\"\nrespond = 500\n");
    fs::write(&rules, format!("version = 1\n{}", (0..40).map(one).collect::<String>())).unwrap();
    let mut proxy = Proxy::before(&server.url(), &["--rules", &rules]);
    says(&mut proxy, &["40 rules armed"]);
    says(&mut proxy, &["  and 28 more: squall status http://"]);
    assert!(!proxy.process().log().contains("rule-12"));
}

#[test]
fn every_change_of_the_rules_is_told_with_who_made_it() {
    let (server, folder) = (Server::plain(), TempDir::new().unwrap());
    let [rules, capture] = ["faults.toml", "capture.zst"].map(|name| text(folder.path().join(name)));
    fs::write(&rules, RULES).unwrap();
    let args = ["--rules", &rules, "--record", &capture, "--listen", "db=tcp://127.0.0.1:0"];
    let database = format!("db=tcp://{}", server.url().trim_start_matches("http://"));
    let mut proxy = Proxy::before(&server.url(), &[&args[..], &["--upstream", &database]].concat());
    let (admin, addr) = (format!("http://{}", proxy.admin()), proxy.admin());

    run_squall(&["lift", &admin, "bad"]).expect(0);
    says(&mut proxy, &["WARN", "rule lifted", "bad", "127.0.0.1 (squall/"]);
    run_squall(&["lift", &admin]).expect(0);
    says(&mut proxy, &["WARN", "rules lifted", "through the admin API by 127.0.0.1 (squall/"]);
    let page = [("origin", admin.as_str())];
    assert_eq!(http::send(addr, "POST /arm", &page, b"").status, 200);
    says(&mut proxy, &["WARN", "rules armed", "127.0.0.1 (the proxy's page)", "rules=1"]);

    let more = format!("{RULES}[[rule]]\nid = \"slow\"\non = \"/slow\"\ndelay = \"1ms\"\n");
    fs::write(&rules, &more).unwrap();
    says(&mut proxy, &["INFO", "rules reloaded", "generation=2", "rules=2"]);
    fs::write(&rules, more.replace("respond", "rspond")).unwrap();
    says(&mut proxy, &["ERROR", "rules not reloaded, the old ones stay"]);
    says(&mut proxy, &["faults.toml:5:1", "rspond"]);

    let bad = http::send(addr, "PUT /rules", &[], more.replace("delay", "dealy").as_bytes());
    assert_eq!(bad.status, 422);
    says(&mut proxy, &["WARN", "rules not replaced", "127.0.0.1", "1 mistake"]);
    says(&mut proxy, &["PUT /rules:9:1", "dealy"]);
    assert_eq!(http::send(addr, "PUT /rules", &[("user-agent", "a-tool/1")], RULES.as_bytes()).status, 200);
    says(&mut proxy, &["INFO", "rules replaced", "127.0.0.1 (a-tool/1)", "generation=3", "rules=1"]);
    let toxic = br#"{"name": "late", "type": "latency", "attributes": {"latency": 1}}"#;
    assert_eq!(http::post(addr, "/proxies/db/toxics", toxic).status, 200);
    says(&mut proxy, &["INFO", "rules changed through Toxiproxy's API", "generation=4", "rules=2"]);

    assert_eq!(http::post(addr, "/recording/rotate", b"").status, 202);
    says(&mut proxy, &["INFO", "recording goes on in the next capture", "capture-"]);
    assert_eq!(http::post(addr, "/recording/stop", b"").status, 200);
    says(&mut proxy, &["INFO", "recording stopped through the admin API", "127.0.0.1"]);
    proxy.process().signal("USR1");
    says(&mut proxy, &["WARN", "rules lifted", "lifted by SIGUSR1"]);
}
