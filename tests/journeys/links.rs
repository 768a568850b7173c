//! What a server gives is sent back by each clone: as typed, with links found in the capture.

use std::collections::HashSet;
use std::io::Write;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use captures::exchange::{Request, Response};
use captures::header::{FileHeader, Options};
use captures::{Body, Exchange, SessionId, Writer};
use tempfile::TempDir;

use crate::kit::{Met, Replayed, Server, Shopper, Then, VISIT, run_squall, text};
use crate::support::{Proxy, Shop, http};

#[test]
fn links_are_shown_and_used_and_forbidden() {
    let (folder, door) = (TempDir::new().unwrap(), door());
    let capture = recorded(folder.path());
    let shown = run_squall(&["captures", "inspect", "--links", &text(&capture)]).expect(0);
    for words in [
        "1 link in 3 sessions",
        "100.0%",
        "POST /login json:$.token -> GET /me header:authorization bearer",
        "long values, 100 % of them given to nobody before",
        "rejected",
        "POST /login json:$.motd -> GET /me query:motd",
        "constant",
    ] {
        assert!(shown.out.contains(words), "`{words}` is not in:\n{}", shown.out);
    }
    let shown = run_squall(&["captures", "inspect", "--links", "--json", &text(&capture)]).expect(0);
    let json: serde_json::Value = serde_json::from_str(&shown.out).unwrap();
    assert_eq!(json["links"][0]["from"], "POST /login json:$.token");
    assert_eq!((&json["links"][0]["support"], &json["links"][0]["coverage"]), (&3.into(), &1.0.into()));

    let url = door.url();
    let common = ["--target", url.as_str(), "--amplify", "100x", "--speed", "max", "--no-rehearsal"];
    let run = Replayed::of(&capture, &common).expect_passed();
    assert_eq!((run.n("/requests/status/200"), run.n("/requests/mismatched")), (600, 0));
    assert_eq!((run.n("/links/0/used"), run.n("/links/0/missed")), (300, 0));
    for words in ["1 link from answers", "300 values of the clones' own were sent, 0 times"] {
        assert!(run.finished.out.contains(words), "`{words}` is not in:\n{}", run.finished.out);
    }
    let run = Replayed::of(&capture, &[&common[..], &["--links", "none"]].concat());
    assert_eq!((run.n("/requests/status/200"), run.n("/requests/status/401")), (300, 300));
}

#[test]
fn what_the_proxy_recorded_is_linked_and_replayed_a_hundredfold() {
    expect_hundredfold(&[]);
    expect_hundredfold(&["--record-bodies", "response=full"]);
}

/// What is recorded with these flags.
fn expect_hundredfold(flags: &[&str]) {
    let (folder, door) = (TempDir::new().unwrap(), door());
    let capture = folder.path().join("capture.zst");
    let record = ["--record", &text(&capture), "--session-key", "header:x-user"];
    let proxy = Proxy::before(&door.url(), &[&record[..], flags].concat());
    for user in ["ada", "grace", "barbara", "edsger"] {
        let own = [("x-user", user)];
        let token =
            http::send(proxy.addr(), "POST /login", &own, b"").json()["token"].as_str().unwrap().to_owned();
        let bearer = format!("Bearer {token}");
        let headers = [own[0], ("authorization", bearer.as_str())];
        assert_eq!(http::send(proxy.addr(), "GET /me", &headers, b"").status, 200);
    }
    proxy.expect_delivered(8);
    http::post(proxy.admin(), "/recording/stop", b"");
    let raw = std::fs::read(&capture).unwrap();
    let decoded = zstd::stream::decode_all(&raw[..]).unwrap();
    assert!(!decoded.windows(6).any(|window| window == b"fresh-"), "no token is in the capture");

    let shown = run_squall(&["captures", "inspect", "--links", &text(&capture)]).expect(0);
    let link = "POST /login json:$.token -> GET /me header:authorization bearer";
    for words in ["1 link in 4 sessions", link, "such as squall_"] {
        assert!(shown.out.contains(words), "`{words}` is not in:\n{}", shown.out);
    }
    let common = ["--amplify", "100x", "--speed", "max", "--no-rehearsal"];
    let run = Replayed::of(&capture, &common).expect_passed();
    assert_eq!((run.n("/requests/status/200"), run.n("/links/0/used")), (800, 400));
    let run = Replayed::of(&capture, &[&common[..], &["--links", "none"]].concat());
    assert_eq!((run.n("/requests/status/200"), run.n("/requests/status/401")), (400, 400));
    proxy.settled(8 + 1600).expect_balanced();
}

#[test]
fn what_is_synthesized_of_a_recording_is_linked_as_the_recording_is() {
    let (folder, door) = (TempDir::new().unwrap(), door());
    let (capture, made) = (folder.path().join("capture.zst"), folder.path().join("made.zst"));
    let proxy = Proxy::before(&door.url(), &["--record", &text(&capture), "--session-key", "header:x-user"]);
    for user in 0..12 {
        let user = format!("user-{user:02}");
        let own = ("x-user", user.as_str());
        let login = http::send(proxy.addr(), "POST /login", &[own], b"").json();
        let bearer = format!("Bearer {}", login["token"].as_str().unwrap());
        http::send(proxy.addr(), "GET /me", &[own, ("authorization", &bearer)], b"");
    }
    proxy.expect_delivered(24);
    http::post(proxy.admin(), "/recording/stop", b"");
    run_squall(&["captures", "synthesize", &text(&capture), "--sessions", "100", "-o", &text(&made)])
        .expect(0);
    let common = ["--target", &door.url(), "--speed", "max", "--no-rehearsal"];
    let run = Replayed::of(&made, &common).expect_passed();
    assert_eq!((run.n("/requests/status/200"), run.n("/links/0/used")), (200, 100));
}

#[test]
fn what_cookies_carry_is_shown_too() {
    let found = shop_links(&[]);
    for link in [
        "POST /api/login set-cookie:sid -> POST /api/checkout cookie:sid",
        "POST /api/signup set-cookie:customer -> POST /api/login cookie:customer",
    ] {
        assert!(found.iter().any(|known| known == link), "{found:#?}");
    }
    let others = found.iter().filter(|link| !link.contains(" set-cookie:") || !link.contains(" cookie:"));
    assert_eq!(others.count(), 0, "a shop of cookies has no other links: {found:#?}");
    assert_eq!(found, shop_links(&["--record-bodies", "response=full"]), "the same as of the bodies");
}

/// The links of six visits to the shop that are recorded with these flags.
fn shop_links(flags: &[&str]) -> Vec<String> {
    let (shop, folder) = (Shop::open(&[]), TempDir::new().unwrap());
    let capture = folder.path().join("capture.zst");
    let proxy = Proxy::before(&shop.url(), &[&["--record", &text(&capture)][..], flags].concat());
    for name in ["ada", "grace", "barbara", "edsger", "alan", "donald"] {
        Shopper::at(proxy.addr()).visit(name);
    }
    proxy.expect_delivered(6 * VISIT);
    http::post(proxy.admin(), "/recording/stop", b"");
    let shown = run_squall(&["captures", "inspect", "--links", "--json", &text(&capture)]).expect(0);
    let json: serde_json::Value = serde_json::from_str(&shown.out).unwrap();
    assert_eq!(json["answers"], json["whole_answers"], "all can be looked into");
    let sides = |link: &serde_json::Value| {
        format!("{} -> {}", link["from"].as_str().unwrap(), link["to"].as_str().unwrap())
    };
    json["links"].as_array().unwrap().iter().map(sides).collect()
}

#[test]
fn a_bad_file_of_rules_is_refused() {
    let folder = TempDir::new().unwrap();
    let (capture, rules) = (recorded(folder.path()), folder.path().join("links.toml"));
    std::fs::write(&rules, "[[link]]\nfrom = 'POST /login json:$.token'\nto = 'GET /me haeder:x'\n").unwrap();
    let target = ["--target", "http://127.0.0.1:9", "--links"];
    let run = |file: &str| run_squall(&[&["replay"], &target[..], &[file, &text(&capture)]].concat());
    run(&text(&rules)).expect_words(104, &["links.toml, line 3", "did you mean `header:`"]);
    run("missing.toml").expect_words(104, &["--links missing.toml"]);
}

/// Gives tokens, and lets in who brings one.
fn door() -> Server {
    let tokens: Mutex<HashSet<String>> = Mutex::default();
    Server::open(move |met: &Met, stream: &mut TcpStream| {
        let mut tokens = tokens.lock().unwrap();
        let (status, body) = if met.what.starts_with("POST") {
            let token = format!("fresh-{:08x}", tokens.len() * 7919);
            tokens.insert(token.clone());
            ("200 OK", format!("{{\"token\":\"{token}\"}}"))
        } else {
            let bearer = met.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
            let is_in = bearer.is_some_and(|bearer| tokens.contains(bearer));
            (if is_in { "200 OK" } else { "401 Unauthorized" }, String::new())
        };
        let head = format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        match stream.write_all(&[head.as_bytes(), body.as_bytes()].concat()) {
            Ok(()) => Then::Keep,
            Err(_) => Then::Close,
        }
    })
}

/// Three users log in and look at themselves.
fn recorded(folder: &Path) -> PathBuf {
    let path = folder.join("capture.zst");
    let mut writer =
        Writer::create(&path, FileHeader::new("import", START_US), Options::for_import()).unwrap();
    for session in 1..4_u64 {
        let token = format!("token-{:016x}", session.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let given = format!("{{\"token\":\"{token}\",\"motd\":\"message-of-2026-05-17\"}}");
        let bearer = format!("Bearer {token}");
        let mut push = |place: u64, what: &str, headers: &[(&str, &str)], answer: &str| {
            let (method, target) = what.split_once(' ').unwrap();
            let exchange = Exchange {
                session: SessionId(session),
                connection: Some(session),
                start_us: START_US + session * 10_000 + place * 5_000,
                duration_us: Some(1_000),
                request: Request {
                    method: method.to_owned(),
                    target: target.to_owned(),
                    headers: headers.iter().copied().collect(),
                    ..Request::default()
                },
                response: Some(Response {
                    status: 200,
                    headers: [("content-type", "application/json")].into_iter().collect(),
                    body: Body::whole(answer.as_bytes().to_vec()),
                }),
                ..Exchange::default()
            };
            writer.push(&exchange, START_US).unwrap();
        };
        push(0, "POST /login", &[], &given);
        push(1, "GET /me?motd=message-of-2026-05-17", &[("Authorization", &bearer)], "");
    }
    writer.finish(START_US).unwrap();
    path
}

/// 2026-01-01 00:00:00 UTC.
const START_US: u64 = 1_767_225_600_000_000;
