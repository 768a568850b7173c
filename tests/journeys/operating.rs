//! A word with a running proxy: arm, lift, status, the kill switch, rules sent through the admin API, and the token before it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;

use tempfile::TempDir;

use crate::kit::{Finished, Replayed, Server, capture, eventually, run_squall, text};
use crate::support::{DEADLINE, Proxy, http, squall};

const BAD: &str = "version = 1\n[[rule]]\nid = \"bad\"\non = \"/bad\"\nrespond = 500\n[[rule]]\nid = \"slow\"\non = \"/slow\"\ndelay = \"1h\"\n";

#[test]
fn arm_lift_and_status() {
    let (server, folder) = (Server::plain(), TempDir::new().unwrap());
    let rules = folder.path().join("faults.toml");
    std::fs::write(&rules, BAD).unwrap();
    let edge = ["--listen", "0.0.0.0:0", "--upstream", &server.url(), "--rules", &text(&rules)];
    let mut proxy = Proxy::start(&edge);
    let admin = format!("http://{}", proxy.admin());
    let type_this = format!("squall arm {admin}");
    eventually("it says that it is not armed", || {
        let log = proxy.process().log();
        (log.contains("NOT ARMED") && log.contains(&type_this)).then_some(())
    });
    run_squall(&["status", &admin]).expect_words(0, &["NOT ARMED: 2 rules", &type_this, "bad [not armed]"]);
    let door = std::net::SocketAddr::from(([127, 0, 0, 1], proxy.addr().port()));
    assert_eq!(http::get(door, "/bad").status, 200);
    run_squall(&["arm", &admin]).expect_words(0, &["armed: 2 rules may fire"]);
    assert_eq!(http::get(door, "/bad").status, 500);
    run_squall(&["status", &admin]).expect_words(0, &["bad [acting]", "asked 100.000 %, got 100.000 % of 1"]);
    let unmatched = |status: serde_json::Value| !status["rules"]["list"][1]["books"]["missed"].is_null();
    eventually("nothing was slow", || unmatched(proxy.ask("/status")).then_some(()));
    let said = run_squall(&["status", &admin]);
    said.expect_words(0, &["slow [acting]", "not matched yet"]);
    assert!(!run_squall(&["status", &admin]).expect(0).out.contains("MISSED"), "it has time left");
    let json = run_squall(&["status", &admin, "--json"]).expect(0).out;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["armed"], &json["rules"]["list"][0]["state"]), (&true.into(), &"acting".into()));
    run_squall(&["lift", &admin, "bad"])
        .expect_words(0, &["lifted: bad", "armed: 1 of 2 rules may fire", &type_this]);
    assert_eq!(http::get(door, "/bad").status, 200);
    run_squall(&["lift", &admin, "bda"]).expect_words(104, &["no rule or hook `bda`"]);
    run_squall(&["lift", &admin]).expect_words(0, &["LIFTED: lifted through the admin API", &type_this]);
    run_squall(&["arm", &admin]).expect(0);
    assert_eq!(http::get(door, "/bad").status, 500, "arming forgets what was lifted");
    std::fs::write(&rules, BAD.replace("respond", "rspond")).unwrap();
    eventually("the file is refused", || (!proxy.ask("/status")["rules"]["error"].is_null()).then_some(()));
    run_squall(&["status", &admin])
        .expect_words(1, &["REFUSED", "faults.toml:5:1", "^^^^^^", "did you mean `respond`"]);
    run_squall(&["status", "http://127.0.0.1:1"]).expect_words(104, &["no proxy at"]);
}

#[test]
fn the_kill_switch_lifts_everything_at_once() {
    let (server, folder) = (Server::plain(), TempDir::new().unwrap());
    let rules = folder.path().join("faults.toml");
    std::fs::write(&rules, BAD).unwrap();
    let mut proxy = Proxy::before(&server.url(), &["--rules", &text(&rules)]);
    let mut sleeper = TcpStream::connect(proxy.addr()).unwrap();
    sleeper.set_read_timeout(Some(DEADLINE)).unwrap();
    sleeper.write_all(b"GET /slow HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").unwrap();
    eventually("it sleeps", || (proxy.ask("/status")["faults_active"] == 1).then_some(()));
    proxy.process().signal("USR1");
    let mut answer = String::new();
    sleeper.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(proxy.ask("/status")["lifted"], "lifted by SIGUSR1");
    assert_eq!(http::get(proxy.addr(), "/bad").status, 200);
    let (ended, said) = proxy.stop();
    assert!(ended.success() && said.contains("lifted: lifted by SIGUSR1"), "{said}");
}

#[test]
fn rules_that_are_not_armed_say_why() {
    let (server, rounds) = (Server::plain(), 100);
    let many: String =
        (0..200).map(|n| format!("[[rule]]\nid = \"bad{n}\"\non = \"/{n}\"\nrespond = 500\n")).collect();
    let folder = TempDir::new().unwrap();
    let rules = folder.path().join("faults.toml");
    std::fs::write(&rules, format!("version = 1\n{many}")).unwrap();
    let proxy = Proxy::before(&server.url(), &["--rules", &text(&rules)]);
    let admin = proxy.admin();
    std::thread::scope(|scope| {
        let turning = scope.spawn(move || {
            for _ in 0..rounds {
                assert_eq!(http::post(admin, "/lift", b"").status, 200);
                assert_eq!(http::post(admin, "/arm", b"").status, 200);
            }
        });
        while !turning.is_finished() {
            let status = proxy.ask("/status");
            assert_ne!(status["armed"] == true, status["lifted"].is_string(), "{}", status["lifted"]);
            let states = status["rules"]["list"].as_array().unwrap().iter().map(|rule| &rule["state"]);
            let not_armed = states.filter(|state| *state == "not_armed").count();
            assert_eq!(not_armed, if status["armed"] == true { 0 } else { 200 });
        }
    });
}

#[test]
fn armed_beyond_loopback_wants_its_address() {
    let (server, folder) = (Server::plain(), TempDir::new().unwrap());
    let rules = folder.path().join("faults.toml");
    let with =
        |safety: &str| format!("version = 1\n[safety]\n{safety}\n[[rule]]\nid = \"bad\"\nrespond = 500\n");
    std::fs::write(&rules, with("armed = true")).unwrap();
    let start = |listen: &str| {
        ["proxy", "--listen", listen, "--upstream", &server.url(), "--rules", &text(&rules)]
            .map(str::to_owned)
    };
    let refused = Finished::of(squall(&start("0.0.0.0:0")));
    refused.expect_words(
        104,
        &["faults.toml:3:1: error[E22]", "write `listen = [\"0.0.0.0:0\"]`", "squall arm"],
    );
    std::fs::write(&rules, with("armed = true\nlisten = [\"0.0.0.0:0\"]")).unwrap();
    let mut proxy = Proxy::start(&start("0.0.0.0:0")[1..]);
    assert!(proxy.process().log().contains("1 rules armed") || proxy.ask("/status")["armed"] == true);
    std::fs::write(&rules, with("armed = true")).unwrap();
    eventually("the file is refused", || {
        (proxy.ask("/status")["rules"]["error"]["code"] == "E22").then_some(())
    });
    std::fs::write(&rules, with("armed = false")).unwrap();
    eventually("the file disarms", || (proxy.ask("/status")["armed"] == false).then_some(()));
    std::fs::write(&rules, with("armed = true\nlisten = [\"0.0.0.0:0\"]")).unwrap();
    eventually("the file arms", || (proxy.ask("/status")["armed"] == true).then_some(()));
    http::post(proxy.admin(), "/lift", b"");
    std::fs::write(&rules, with("armed = false")).unwrap();
    let generation = |proxy: &Proxy| proxy.ask("/status")["generation"].as_u64().unwrap();
    let before = generation(&proxy);
    std::fs::write(&rules, with("armed = true\nlisten = [\"0.0.0.0:0\"]\nmax_active = 7")).unwrap();
    eventually("it is live", || (before < generation(&proxy)).then_some(()));
    assert_eq!(proxy.ask("/status")["armed"], false, "what an operator lifted stays lifted");
}

#[test]
fn rules_are_sent_and_a_bad_set_changes_nothing() {
    let (server, folder) = (Server::plain(), TempDir::new().unwrap());
    let rules = folder.path().join("faults.toml");
    std::fs::write(&rules, BAD).unwrap();
    let proxy = Proxy::before(&server.url(), &["--rules", &text(&rules)]);
    let put = |text: &str| http::send(proxy.admin(), "PUT /rules", &[], text.as_bytes());
    let shown = http::get(proxy.admin(), "/rules").json();
    assert_eq!((&shown["generation"], &shown["source"]), (&1.into(), &BAD.into()));
    let plain = http::send(proxy.admin(), "GET /rules", &[("accept", "application/toml")], b"");
    assert_eq!((plain.text().as_str(), plain.header("squall-generation")), (BAD, Some("1")));

    let refused = put(&BAD.replace("respond", "rspond"));
    assert_eq!(refused.status, 422);
    let refused = refused.json();
    assert_eq!(
        (&refused["findings"][0]["line"], &refused["findings"][0]["code"]),
        (&5.into(), &"E01".into())
    );
    assert!(refused["text"].as_str().unwrap().contains("PUT /rules:5:1"), "{refused}");
    let stolen =
        "version = 1\n[[rule]]\nid = \"x\"\nrespond = { status = 200, body_file = \"/etc/hostname\" }\n";
    assert_eq!(put(stolen).status, 422, "no file is read for whom nobody knows");
    assert_eq!(http::send(proxy.admin(), "PUT /rules", &[], b"\xff\xfe").status, 400);
    assert_eq!(
        (http::get(proxy.addr(), "/bad").status, proxy.ask("/status")["generation"].clone()),
        (500, 1.into())
    );

    let good = put("version = 1\n[[rule]]\nid = \"teapot\"\nrespond = 418\n").json();
    assert_eq!((&good["generation"], &good["rules"]), (&2.into(), &1.into()));
    assert_eq!(http::get(proxy.addr(), "/bad").status, 418);
    // the file's next version takes over again
    std::fs::write(&rules, BAD.replace("500", "501")).unwrap();
    eventually("the file is live", || (http::get(proxy.addr(), "/bad").status == 501).then_some(()));
}

#[test]
fn the_ledger_can_be_followed() {
    let server = Server::plain();
    let proxy = Proxy::before(&server.url(), &["--fault", "/** respond 418"]);
    let next = |path: &str| {
        let answer = http::get(proxy.admin(), path);
        let next: u64 = answer.header("squall-next").unwrap().parse().unwrap();
        (answer.text().lines().count(), next)
    };
    assert_eq!(next("/ledger?after=0"), (0, 0));
    (0..3).for_each(|_| assert_eq!(http::get(proxy.addr(), "/").status, 418));
    assert_eq!(next("/ledger?after=0&follow=30s"), (3, 3));
    assert_eq!(next("/ledger?after=2"), (1, 3));
    let admin = proxy.admin();
    let follower = std::thread::spawn(move || http::get(admin, "/ledger?after=3&follow=30s").text());
    assert_eq!(http::get(proxy.addr(), "/late").status, 418);
    assert_eq!(follower.join().unwrap().lines().count(), 1);
    assert_eq!(http::get(proxy.admin(), "/ledger?follow=5").status, 400);
}

#[test]
fn a_token_opens_the_admin_api_and_nothing_else_does() {
    let (server, folder) = (Server::plain(), TempDir::new().unwrap());
    let token = folder.path().join("token");
    std::fs::write(&token, "a-token-of-this-test\n").unwrap();
    let token = text(&token);
    let file = ["--token-file", &*token];
    let edge = ["--listen", "127.0.0.1:0", "--upstream", &server.url()];
    let away = [&["proxy"], &edge[..], &["--admin", "0.0.0.0:0"]].concat();
    Finished::of(squall(&away)).expect_words(104, &["--admin 0.0.0.0:0", "--admin-token-file FILE"]);

    let start = [&edge[..], &["--admin", "0.0.0.0:0", "--admin-token-file", &token]].concat();
    let proxy = Proxy::start(&start);
    let admin = format!("http://127.0.0.1:{}", proxy.admin().port());
    let local = std::net::SocketAddr::from(([127, 0, 0, 1], proxy.admin().port()));
    for path in ["GET /status", "GET /metrics", "POST /arm", "PUT /rules", "GET /nothing"] {
        let refused = http::send(local, path, &[], b"");
        assert_eq!((refused.status, refused.header("www-authenticate")), (401, Some("Bearer")), "{path}");
        assert_eq!(http::send(local, path, &[("authorization", "Bearer wrong")], b"").status, 401, "{path}");
    }
    let bearer = [("authorization", "Bearer a-token-of-this-test")];
    assert_eq!(http::send(local, "GET /status", &bearer, b"").status, 200);
    assert_eq!(http::send(local, "GET /status", &[bearer[0], ("origin", "http://x")], b"").status, 403);
    run_squall(&["status", &admin]).expect_words(104, &["--token-file FILE or SQUALL_ADMIN_TOKEN"]);
    let wrong = folder.path().join("wrong");
    std::fs::write(&wrong, "another-token\n").unwrap();
    run_squall(&["arm", &admin, "--token-file", &text(wrong)]).expect_words(104, &["has another token"]);
    run_squall(&["arm", &admin, "--token-file", "none"])
        .expect_words(104, &["--token-file none: No such file"]);
    for command in ["status", "arm", "lift"] {
        run_squall(&[&[command, &*admin], &file[..]].concat()).expect(0);
    }
    let mut by_variable: Command = squall(&["status", &*admin]);
    by_variable.env("SQUALL_ADMIN_TOKEN", "a-token-of-this-test");
    Finished::of(by_variable).expect(0);
    run_squall(&["status", "http://192.0.2.1:9"]).expect_words(104, &["not on this machine", "--token-file"]);

    let capture = capture(folder.path(), &[(1, 0, 1, "GET /a", "a.test"), (1, 5, 1, "GET /b", "a.test")]);
    let target = format!("http://{}", proxy.addr());
    let named = ["--target", &target, "--proxy", &admin];
    let run = Replayed::of(&capture, &[&named[..], &file[..]].concat()).expect_passed().expect_not_off();
    assert_ne!(run.json["books"]["rows"][3]["state"], "unknown", "the proxy's books were read");
    let mut without = crate::support::replay(&named);
    without.arg(text(&capture));
    Finished::of(without).expect_words(104, &["wants its token"]);
}
