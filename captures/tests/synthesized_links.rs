//! What a server gave and a client sent back is given and sent back in the sessions made after a capture, too.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use captures::exchange::{Request, Response};
use captures::header::{FileHeader, Options};
use captures::links::{self, Printer};
use captures::synthesize::{self, Plan};
use captures::{Body, Exchange, Redactor, SessionId, Writer};

const NOW: u64 = 1_800_000_000_000_000;
const SESSIONS: u64 = 30;

/// A request as `GET /me`, its headers and JSON; then the headers and the JSON of its answer.
type Step<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str, &'a [(&'a str, &'a str)], &'a str);

/// 40 digits that nobody has twice.
fn token(kind: u64, n: u64) -> String {
    let part = |salt: u64| (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15 ^ kind << 8 ^ salt);
    format!("{:016x}{:016x}{:08x}", part(1), part(0x1234_5678), part(77) as u32)
}

/// Sessions of a service with tokens, a redirect, numbers that count, and a field against forgery that changes.
fn service() -> Vec<Exchange> {
    let mut all = Vec::new();
    for n in 0..SESSIONS {
        let mut at = NOW + n * 700_000;
        let mut step = |(what, headers, body, given, answer): Step<'_>| {
            let (method, target) = what.split_once(' ').unwrap();
            let request = Request {
                method: method.to_owned(),
                target: target.to_owned(),
                headers: headers.iter().copied().chain([("content-type", "application/json")]).collect(),
                body: Body::whole(body.as_bytes().to_vec()),
                ..Request::default()
            };
            let response = Response {
                status: 200,
                headers: given.iter().copied().chain([("content-type", "application/json")]).collect(),
                body: Body::whole(answer.as_bytes().to_vec()),
            };
            at += 100_000;
            all.push(Exchange {
                session: SessionId(n + 1),
                start_us: at,
                duration_us: Some(20_000),
                edge: "default".to_owned(),
                request,
                response: Some(response),
                ..Exchange::default()
            });
        };
        let (bearer, cart, csrf) = (token(1, n), n + 41, [token(2, n), token(3, n), token(4, n)]);
        let order = format!("/orders/{}", token(5, n));
        let auth = [("authorization", &*format!("Bearer {bearer}"))];
        step(("POST /login", &[], r#"{"name":"u"}"#, &[], &format!(r#"{{"access_token":"{bearer}"}}"#)));
        step(("GET /me", &auth, "", &[], r#"{"ok":1}"#));
        step(("POST /carts", &auth, "{}", &[], &format!(r#"{{"id":{cart},"csrf":"{}"}}"#, csrf[0])));
        for turn in 0..2 {
            let sent = format!(r#"{{"csrf":"{}","sku":"sku-{}"}}"#, csrf[turn], n % 3);
            let answer = format!(r#"{{"items":{turn},"csrf":"{}"}}"#, csrf[turn + 1]);
            step((&format!("POST /carts/{cart}/items"), &auth, &sent, &[], &answer));
        }
        step(("POST /orders", &auth, "{}", &[("location", &order)], "{}"));
        let tag = format!("\"{}\"", &token(6, n)[..16]);
        step((&format!("GET {order}"), &auth, "", &[("etag", &tag)], "{}"));
        step((&format!("PUT {order}"), &[auth[0], ("if-match", &tag)], r#"{"paid":1}"#, &[], "{}"));
    }
    all
}

/// As the recorder writes it: prints in place of the bodies of answers, and no secret.
fn recorded(mut exchange: Exchange, printer: &Printer, redactor: &mut Redactor) -> Exchange {
    let body = exchange.response.as_ref().unwrap().body.clone();
    let noted = printer.note(&exchange, body.data.as_deref(), Some(redactor));
    exchange.response.as_mut().unwrap().body = Body::digest(body.len, body.hash);
    redactor.exchange(&mut exchange);
    noted.write(&mut exchange);
    exchange
}

/// The capture and what is made after it.
fn made(folder: &Path, all: &[Exchange], sessions: u64) -> (PathBuf, PathBuf) {
    let (input, output) = (folder.join("old.zst"), folder.join("new.zst"));
    let mut writer = Writer::create(&input, FileHeader::new("test", NOW), Options::default()).unwrap();
    all.iter().for_each(|exchange| writer.push(exchange, 0).unwrap());
    writer.finish(NOW).unwrap();
    let plan = Plan { sessions: Some(sessions), seed: 3, ..Plan::default() };
    synthesize::synthesize(&input, &output, &plan, &mut |_| {}).unwrap();
    (input, output)
}

fn mined(capture: &Path) -> BTreeSet<String> {
    let (set, damage) = links::mine(&[capture], 100_000).unwrap();
    assert!(damage.is_empty());
    set.links.iter().map(|link| format!("{} -> {}", link.from, link.to)).collect()
}

fn check(all: &[Exchange]) {
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = made(folder.path(), all, 200);
    let (old, new) = (mined(&input), mined(&output));
    assert!(old.len() == 12 && old.iter().any(|link| link.ends_with("header:if-match")), "{old:#?}");
    assert_eq!(new, old);
}

#[test]
fn links_outlast_a_synthesis_where_bodies_were_recorded() {
    check(&service());
}

#[test]
fn links_outlast_a_synthesis_where_answers_have_prints() {
    let (printer, mut redactor) = (Printer::new(&[9; 32]), Redactor::new([9; 32]));
    let all: Vec<_> =
        service().into_iter().map(|exchange| recorded(exchange, &printer, &mut redactor)).collect();
    check(&all);
}
