//! A replay is not alone: other replays and other clients use the same proxy.

use tempfile::TempDir;

use crate::kit::{Finished, Replayed, Server, capture, eventually, inspect, text};
use crate::support::{Proxy, http};

#[test]
fn replays_side_by_side_have_books_of_their_own() {
    let (server, folder) = (Server::plain(), TempDir::new().unwrap());
    let rules = ["--fault", "GET /** respond 503 20%", "--seed", "3"];
    let proxy = Proxy::before(&server.url(), &rules);
    let steps: Vec<_> = (0..1000).map(|n| (n % 10, n / 10 * 10, 1, "GET /page", "shop.test")).collect();
    let capture = capture(folder.path(), &steps);
    let (target, admin) = (format!("http://{}", proxy.addr()), format!("http://{}", proxy.admin()));
    let to = ["--target", &target, "--proxy", &admin];
    let json = folder.path().join("first.json");
    let first = Replayed::start(&capture, &to, &json);
    eventually("the first has begun", || (proxy.books().total("seen") != 0).then_some(()));
    let second = Replayed::of(&capture, &[&to[..], &["--seed", "2"]].concat()).expect_passed();
    for _ in 0..20 {
        http::get(proxy.addr(), "/passer-by");
    }
    let first = Replayed::read(Finished::after(first), &json).expect_passed();
    assert_ne!(first.json["run"], second.json["run"]);
    for run in [first, second] {
        let run = run.expect_answered(1000).expect_not_off();
        let unknown: Vec<_> = run.json["books"]["rows"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|row| row["state"] == "unknown")
            .collect();
        assert_eq!(unknown.len(), 1, "only the origin's count, which nobody asked for: {unknown:#?}");
        assert_eq!(run.json["rules"][0]["eligible"], 1000, "those of this run alone");
    }
    proxy.settled(2020).expect_balanced();
}

#[test]
fn answers_that_bypass_the_proxy_are_not_lost_before_it() {
    let (server, folder) = (Server::plain(), TempDir::new().unwrap());
    let proxy = Proxy::before::<&str>(&server.url(), &[]);
    let steps: Vec<_> = (0..10).map(|n| (n, n, 1, "GET /page", "shop.test")).collect();
    let capture = capture(folder.path(), &steps);
    // the target is the origin itself: what was answered cannot have been lost on the way to a proxy
    let past = ["--target", &server.url(), "--proxy", &format!("http://{}", proxy.admin())];
    let run = Replayed::of(&capture, &past).expect_code(113);
    let row = &run.json["books"]["rows"][2];
    assert_eq!((&row["state"], &row["left"]), (&"off".into(), &10.into()), "{row}");
    assert!(row["note"].as_str().unwrap().contains("in front of the target"), "{row}");
}

#[test]
fn what_users_do_meanwhile_is_recorded_and_the_replay_is_not() {
    let (server, folder) = (Server::plain(), TempDir::new().unwrap());
    let fresh = folder.path().join("fresh.zst");
    let proxy = Proxy::before(&server.url(), &["--record", &text(&fresh), "--fault", "GET /hit respond 503"]);
    let steps: Vec<_> = (0..200).map(|n| (n % 10, n / 10 * 150, 1, "GET /replayed", "shop.test")).collect();
    let capture = capture(folder.path(), &steps);
    let (target, admin) = (format!("http://{}", proxy.addr()), format!("http://{}", proxy.admin()));
    let json = folder.path().join("run.json");
    let run = Replayed::start(&capture, &["--target", &target, "--proxy", &admin], &json);
    eventually("the replay has begun", || (proxy.books().total("seen") != 0).then_some(()));
    for path in ["/user", "/hit", "/user", "/hit", "/user"] {
        http::get(proxy.addr(), path);
    }
    Replayed::read(Finished::after(run), &json).expect_passed().expect_answered(200).expect_not_off();
    proxy.settled(205).expect_balanced();
    assert!(proxy.stop().0.success());
    let figures = inspect(&fresh);
    assert_eq!((&figures["requests"], &figures["faulted"]), (&5.into(), &2.into()), "{figures:#}");

    // what a rule touched is no organic traffic
    let again = Server::plain();
    let run = Replayed::of(&fresh, &["--target", &again.url()]).expect_passed().expect_answered(3);
    assert_eq!(run.n("/plan/skipped/faulted"), 2, "{}", run.json["plan"]);
}
