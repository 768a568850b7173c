//! Hooks freeze a real process, and whatever ends the window lets it go again.

use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::kit::{Finished, Server, eventually, run_squall, text};
use crate::support::{Proxy, http, squall};

#[test]
fn a_process_is_frozen_for_its_window_and_freed_by_every_end() {
    type End = fn(&mut Proxy);
    let ends: [(&str, End); 5] = [
        ("lifted", |proxy| assert_eq!(http::post(proxy.admin(), "/lift", b"").status, 200)),
        ("lifted alone", |proxy| assert_eq!(http::post(proxy.admin(), "/lift/freeze", b"").status, 200)),
        ("killed by the switch", |proxy| proxy.process().signal("USR1")),
        ("stopped", |proxy| proxy.process().signal("TERM")),
        ("interrupted", |proxy| proxy.process().signal("INT")),
    ];
    for (name, end) in ends {
        let (victim, server, folder) = (Victim::new(), Server::plain(), TempDir::new().unwrap());
        let [rules, ledger] = ["faults.toml", "ledger.ndjson"].map(|name| folder.path().join(name));
        std::fs::write(&rules, victim.hook("when = \"0s..1h\"")).unwrap();
        let how = ["--allow-hooks", "--rules", &text(&rules), "--ledger", &text(&ledger)];
        let mut proxy = Proxy::before(&server.url(), &how);
        victim.await_frozen(true);
        end(&mut proxy);
        victim.await_frozen(false);
        // ends by itself where it was told to
        let (ended, said) = proxy.stop();
        assert!(ended.success(), "{name}: {said}");
        let lines = std::fs::read_to_string(&ledger).unwrap();
        let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let told: Vec<_> = lines.iter().map(|line| (&line["action"], &line["outcome"])).collect();
        let ok = Value::from("exit 0");
        assert_eq!(told, [(&"hook_start".into(), &ok), (&"hook_end".into(), &ok)], "{name}");
        assert!(
            said.contains("hook freeze: over; began 1 times, start exit 0, end exit 0"),
            "{name}: {said}"
        );
    }
}

#[test]
fn a_proxy_that_is_killed_leaves_nothing_frozen() {
    let (victim, server, folder) = (Victim::new(), Server::plain(), TempDir::new().unwrap());
    let rules = folder.path().join("faults.toml");
    std::fs::write(&rules, victim.hook("when = \"0s..1h\"")).unwrap();
    let mut proxy = Proxy::before(&server.url(), &["--allow-hooks", "--rules", &text(&rules)]);
    victim.await_frozen(true);
    proxy.process().signal("KILL");
    victim.await_frozen(false);
    let process = proxy.process();
    eventually("it is said", || process.log().contains("hook freeze was undone without it").then_some(()));
}

#[test]
fn a_window_that_closes_frees_and_a_removed_hook_too() {
    let (victim, server, folder) = (Victim::new(), Server::plain(), TempDir::new().unwrap());
    let [rules, witness] = ["faults.toml", "frozen"].map(|name| folder.path().join(name));
    std::fs::write(&rules, victim.witnessed_hook(&text(&witness), "when = \"1s..2s, every 10h\"")).unwrap();
    let proxy = Proxy::before(&server.url(), &["--allow-hooks", "--rules", &text(&rules)]);
    // the window closes while nobody here looks, so the command itself tells what it saw
    eventually("its end is told", || {
        (proxy.ask("/status")["hooks"][0]["books"]["state"] == "over").then_some(())
    });
    assert!(witness.exists(), "it was frozen");
    victim.await_frozen(false);
    let shown = run_squall(&["status", &proxy.admin().to_string()]);
    shown.expect_words(0, &["hook freeze: opens in 9h"]);
    std::fs::write(&rules, victim.hook("when = \"0s..1h\"")).unwrap();
    victim.await_frozen(true);
    std::fs::write(&rules, "version = 1\n").unwrap();
    victim.await_frozen(false);
}

#[test]
fn a_start_that_fails_lifts_the_rules_and_frees_the_others() {
    let (victim, server, folder) = (Victim::new(), Server::plain(), TempDir::new().unwrap());
    let rules = folder.path().join("faults.toml");
    let broken = "[[hook]]\nid = \"broken\"\nwhen = \"300ms..1h\"\nstart = [\"/no/such/program\"]\n";
    let rule = "[[rule]]\nid = \"bad\"\non = \"/**\"\nrespond = 500\n";
    std::fs::write(&rules, victim.hook("when = \"0s..1h\"") + broken + rule).unwrap();
    let proxy = Proxy::before(&server.url(), &["--allow-hooks", "--ci", "--rules", &text(&rules)]);
    let status = eventually("the rules are lifted", || {
        let status = proxy.ask("/status");
        (status["armed"] == false).then_some(status)
    });
    assert!(status["lifted"].as_str().unwrap().starts_with("hook broken: its start failed"), "{status}");
    victim.await_frozen(false);
    assert_eq!(http::get(proxy.addr(), "/").status, 200);
    let (ended, said) = proxy.stop();
    assert_eq!(ended.code(), Some(113), "{said}");
    assert!(said.contains("hook broken: failed"), "{said}");
}

#[test]
fn hooks_want_permission() {
    let (victim, server, folder) = (Victim::new(), Server::plain(), TempDir::new().unwrap());
    let rules = folder.path().join("faults.toml");
    std::fs::write(&rules, victim.hook("")).unwrap();
    let edge = ["proxy", "--listen", "127.0.0.1:0", "--upstream", &server.url()];
    let refused = Finished::of(squall(&[&edge[..], &["--rules", &text(&rules)]].concat()));
    refused.expect_words(104, &["faults.toml:2:1: error[E32]", "start the proxy with --allow-hooks"]);
    std::fs::write(&rules, "version = 1\n[[rule]]\nid = \"bad\"\nrespond = 500\n").unwrap();
    let proxy = Proxy::before(&server.url(), &["--rules", &text(&rules)]);
    std::fs::write(&rules, victim.hook("")).unwrap();
    eventually("the file is refused", || {
        let error = proxy.ask("/status")["rules"]["error"].clone();
        (error["code"] == "E32").then_some(())
    });
    assert_eq!(http::get(proxy.addr(), "/").status, 500, "the old rules stay");
    let sent = http::send(proxy.admin(), "PUT /rules", &[], victim.hook("").as_bytes());
    assert_eq!(sent.status, 403, "{}", sent.text());
    victim.await_frozen(false);
}

/// A process that sleeps; it ends with its owner.
struct Victim(Child);

impl Victim {
    fn new() -> Victim {
        Victim(Command::new("sleep").arg("1000").stdin(Stdio::null()).spawn().unwrap())
    }

    fn hook(&self, more: &str) -> String {
        self.hook_by(&format!("kill -STOP {}", self.0.id()), more)
    }

    /// Its start is over once the process is frozen, and leaves a file then.
    fn witnessed_hook(&self, file: &str, more: &str) -> String {
        let pid = self.0.id();
        let is_frozen = format!("grep -q ') T ' /proc/{pid}/stat");
        self.hook_by(
            &format!("kill -STOP {pid}; until {is_frozen}; do sleep 0.01; done; touch '{file}'"),
            more,
        )
    }

    fn hook_by(&self, start: &str, more: &str) -> String {
        let pid = self.0.id();
        format!(
            "version = 1\n[[hook]]\nid = \"freeze\"\nstart = [\"sh\", \"-c\", \"{start}\"]\nend = [\"kill\", \"-CONT\", \"{pid}\"]\n{more}\n"
        )
    }

    #[track_caller]
    fn await_frozen(&self, frozen: bool) {
        eventually(if frozen { "it is frozen" } else { "it goes on" }, || {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0.id())).unwrap();
            let state = stat.rsplit(") ").next().and_then(|rest| rest.chars().next());
            ((state == Some('T')) == frozen).then_some(())
        });
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
