//! Did the rules do what they asked for? `squall proxy --ci` and a replay say so by their exit codes.

use serde_json::Value;
use tempfile::TempDir;

use crate::kit::{Replayed, Server, capture, text};
use crate::support::{Proxy, http};

fn proxy(server: &Server, folder: &TempDir, rules: &str) -> Proxy {
    let [file, books] = ["faults.toml", "books.json"].map(|name| folder.path().join(name));
    std::fs::write(&file, format!("version = 1\n{rules}")).unwrap();
    Proxy::before(&server.url(), &["--ci", "--rules", &text(&file), "--json", &text(&books)])
}

#[track_caller]
fn stop(proxy: Proxy, folder: &TempDir, code: i32, words: &[&str]) -> Value {
    let (ended, said) = proxy.stop();
    assert_eq!(ended.code(), Some(code), "{said}");
    for word in words {
        assert!(said.contains(word), "`{word}` is not in\n{said}");
    }
    serde_json::from_str(&std::fs::read_to_string(folder.path().join("books.json")).unwrap()).unwrap()
}

fn rule(id: &str, on: &str, more: &str) -> String {
    format!("[[rule]]\nid = \"{id}\"\non = \"{on}\"\n{more}\n")
}

#[test]
fn rules_that_did_what_they_asked_for_pass() {
    let (server, folder) = (Server::plain(), TempDir::new().unwrap());
    let later = rule("later", "/never", "when = \"1h..2h\"\nrespond = 500");
    let rules = rule("slow", "/**", "rate = \"30%\"\ndelay = \"20ms\"") + &later;
    let proxy = proxy(&server, &folder, &rules);
    (0..200).for_each(|_| assert_eq!(http::get(proxy.addr(), "/").status, 200));
    let books = stop(
        proxy,
        &folder,
        0,
        &[
            "rule slow: asked 30.000 %",
            "99.9 %",
            "0 early",
            "rule later: its window never opened",
            "ci: pass (0)",
        ],
    );
    let [later, slow] = books["rules"].as_array().unwrap().as_slice() else { panic!("{books:#}") };
    let slow = if slow["id"] == "slow" { slow } else { later };
    let (low, high) = (slow["rate_low"].as_f64().unwrap(), slow["rate_high"].as_f64().unwrap());
    assert!(low < 0.3 && 0.3 < high && slow["units"] == 200, "{slow}");
    let delay = &slow["delay"];
    assert_eq!((&delay["early"], &delay["count"]), (&0.into(), &slow["applied"]));
    assert!(
        delay["asked_mean_us"] == 20_000.0 && 20_000.0 <= delay["actual_mean_us"].as_f64().unwrap(),
        "{delay}"
    );
    assert_eq!(books["missed"], Value::Array(Vec::new()));
}

#[test]
fn a_rule_that_never_matched_fails() {
    let (server, folder) = (Server::plain(), TempDir::new().unwrap());
    let proxy = proxy(&server, &folder, &rule("typo", "/chekcout/**", "respond = 500"));
    http::get(proxy.addr(), "/checkout/1");
    let books =
        stop(proxy, &folder, 113, &["MISSED: typo never matched", "ci: invalid (113): typo never matched"]);
    assert_eq!(books["rules"][0]["was_open"], true);
}

#[test]
fn victims_that_try_again_do_not_falsify_a_rate() {
    let (server, folder) = (Server::plain(), TempDir::new().unwrap());
    let rules = rule("some", "/**", "rate = \"50% of operations\"\nrespond = 500");
    let proxy = proxy(&server, &folder, &rules);
    for n in 0..100 {
        let op = format!("{n:016x}");
        for attempt in ["1", "2", "3", "4", "5"] {
            let headers =
                [("squall-session", "0000aaaa-1-0"), ("squall-op", &*op), ("squall-attempt", attempt)];
            if http::send(proxy.addr(), "GET /", &headers, b"").status == 200 {
                break;
            }
        }
    }
    let books = stop(proxy, &folder, 0, &["by 100 operations", "ci: pass (0)"]);
    let some = &books["rules"][0];
    assert!(some["realised_rate"].as_f64().unwrap() > 0.7, "most attempts are those of victims: {some}");
    assert_eq!((&some["units"], &some["missed"]), (&100.into(), &Value::Null));
}

#[test]
fn a_proxy_that_was_never_armed_fails() {
    let (server, folder) = (Server::plain(), TempDir::new().unwrap());
    let rules = "[safety]\narmed = false\n".to_owned() + &rule("bad", "/**", "respond = 500");
    let proxy = proxy(&server, &folder, &rules);
    assert_eq!(http::get(proxy.addr(), "/").status, 200);
    stop(proxy, &folder, 113, &["NOT ARMED: the rule file says armed = false", "the rules were never armed"]);
}

#[test]
fn a_breached_cap_stops() {
    let (server, folder) = (Server::plain(), TempDir::new().unwrap());
    let rules = "[safety]\nmax_affected = \"50%\"\n".to_owned() + &rule("bad", "/**", "respond = 500");
    let proxy = proxy(&server, &folder, &rules);
    (0..150).for_each(|_| drop(http::get(proxy.addr(), "/")));
    stop(proxy, &folder, 108, &["ci: stopped (108): max_affected"]);
}

#[test]
fn a_run_whose_rule_never_matched_is_invalid() {
    let (server, folder) = (Server::plain(), TempDir::new().unwrap());
    let rules = rule("typo", "/chekcout/**", "respond = 500") + &rule("slow", "/**", "delay = \"1ms\"");
    let proxy = proxy(&server, &folder, &rules);
    let steps: Vec<_> = (0..100).map(|n| (n % 5, n * 10, 1, "GET /checkout", "a.test")).collect();
    let capture = capture(folder.path(), &steps);
    let (target, admin) = (format!("http://{}", proxy.addr()), format!("http://{}", proxy.admin()));
    let run = Replayed::of(&capture, &["--target", &target, "--proxy", &admin]).expect_code(113);
    assert_eq!(run.json["reason"].as_str().unwrap().split(':').next(), Some("a rule missed its target"));
    let rules = run.json["rules"].as_array().unwrap();
    let of = |id: &str| rules.iter().find(|rule| rule["id"] == id).unwrap();
    assert!(of("typo")["missed"].as_str().unwrap().starts_with("never matched"), "{rules:#?}");
    assert_eq!((&of("slow")["missed"], &of("slow")["delay"]["early"]), (&Value::Null, &0.into()));
    run.finished.expect_words(113, &["MISSED: never matched", "delays:"]);
}
