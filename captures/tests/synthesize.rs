//! New sessions of a known shape: what was planted in a capture comes out of the one made after it.
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use captures::exchange::{Request, Response};
use captures::header::{FileHeader, Options};
use captures::inspect::inspect;
use captures::synthesize::{self, Plan, Synthesis};
use captures::verify::verify;
use captures::{Body, Exchange, Headers, Session, SessionId, Writer, reader};

const NOW: u64 = 1_800_000_000_000_000;
const SECOND: u64 = 1_000_000;

/// Numbers that follow from a seed, not those of the code that is tested.
struct Dice(u64);

impl Dice {
    fn unit(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// One of the choices, by their shares.
    fn pick<'a, T>(&mut self, choices: &'a [(T, f64)]) -> &'a T {
        let mut share = self.unit();
        for (choice, part) in choices {
            share -= part;
            if share < 0.0 {
                return choice;
            }
        }
        &choices.last().unwrap().0
    }
}

fn exchange(session: u64, start_us: u64, target: &str) -> Exchange {
    Exchange {
        session: SessionId(session),
        start_us,
        duration_us: Some(20_000),
        edge: "default".to_owned(),
        request: Request { method: "GET".to_owned(), target: target.to_owned(), ..Request::default() },
        response: Some(Response { status: 200, ..Response::default() }),
        ..Exchange::default()
    }
}

fn write(folder: &Path, name: &str, exchanges: impl IntoIterator<Item = Exchange>) -> PathBuf {
    let path = folder.join(name);
    let mut writer = Writer::create(&path, FileHeader::new("test", NOW), Options::default()).unwrap();
    exchanges.into_iter().for_each(|exchange| writer.push(&exchange, 0).unwrap());
    writer.finish(NOW).unwrap();
    path
}

fn plan(sessions: u64) -> Plan {
    Plan { sessions: Some(sessions), seed: 1, ..Plan::default() }
}

/// Synthesizes, and sees that what comes out is a good capture.
fn made(input: &Path, name: &str, plan: &Plan) -> (Synthesis, Vec<Session>) {
    let output = input.with_file_name(name);
    let done = synthesize::synthesize(input, &output, plan, &mut |_| {}).unwrap();
    assert!(verify(&output).unwrap().is_clean());
    let sessions = reader::load(&output).unwrap().sessions;
    assert_eq!(sessions.len() as u64, done.written.sessions);
    (done, sessions)
}

fn refused(input: &Path, plan: &Plan) -> String {
    let output = input.with_file_name("refused.zst");
    let error = synthesize::synthesize(input, &output, plan, &mut |_| {}).unwrap_err().to_string();
    assert!(!output.exists(), "nothing is left behind");
    error
}

/// Three routes and the end, with what follows each.
const CHAIN: [(&str, [(&str, f64); 4]); 4] = [
    ("", [("/home", 0.7), ("/search", 0.3), ("/item", 0.0), ("", 0.0)]),
    ("/home", [("/home", 0.1), ("/search", 0.5), ("/item", 0.2), ("", 0.2)]),
    ("/search", [("/home", 0.05), ("/search", 0.3), ("/item", 0.55), ("", 0.1)]),
    ("/item", [("/home", 0.25), ("/search", 0.25), ("/item", 0.2), ("", 0.3)]),
];

fn walk(dice: &mut Dice) -> Vec<&'static str> {
    let mut walk = Vec::new();
    let mut at = "";
    loop {
        let row = CHAIN.iter().find(|(from, _)| *from == at).unwrap();
        at = *dice.pick(&row.1[..]);
        if at.is_empty() {
            return walk;
        }
        walk.push(at);
    }
}

fn planted(folder: &Path, sessions: u64) -> PathBuf {
    let mut dice = Dice(7);
    let mut exchanges = Vec::new();
    for session in 0..sessions {
        let mut at = NOW + session * SECOND;
        for target in walk(&mut dice) {
            exchanges.push(exchange(session, at, target));
            // a second before a search, ten before anything else, and a tenth of each more or less
            let think = if target == "/home" { SECOND } else { 10 * SECOND };
            at += 20_000 + (think as f64 * (0.9 + 0.2 * dice.unit())) as u64;
        }
    }
    exchanges.sort_by_key(|exchange| exchange.start_us);
    write(folder, "planted.zst", exchanges)
}

#[test]
fn a_planted_chain_is_recovered() {
    let folder = tempfile::tempdir().unwrap();
    let input = planted(folder.path(), 3000);
    let (done, _) = made(&input, "new.zst", &plan(6000));
    let name =
        |route: &str, end: &str| if route.is_empty() { end.to_owned() } else { format!("GET {route}") };
    let counts = |path: &Path| -> BTreeMap<(String, String), u64> {
        let transitions = inspect(path).unwrap().shape.transitions;
        transitions.into_iter().map(|at| ((at.from, at.to), at.count)).collect()
    };
    let (recorded, new) = (counts(&input), counts(&folder.path().join("new.zst")));
    for (from, row) in CHAIN {
        let from = name(from, "(start)");
        let all = |counts: &BTreeMap<(String, String), u64>| {
            counts.iter().filter(|((of, _), _)| *of == from).map(|(_, n)| *n).sum::<u64>() as f64
        };
        for (to, share) in row {
            let to = name(to, "(end)");
            let found = new.get(&(from.clone(), to.clone())).copied().unwrap_or_default() as f64 / all(&new);
            // both the recording and the new sessions are samples: four standard deviations of both together
            let deviation = (share * (1.0 - share) * (1.0 / all(&recorded) + 1.0 / all(&new))).sqrt();
            assert!(
                (found - share).abs() <= 4.0 * deviation,
                "{from} to {to}: {found} for {share} ± {deviation}"
            );
        }
    }
    assert_eq!(done.judgement.large(), Vec::<&str>::new(), "{:?}", done.judgement);
    assert_eq!(done.learned.0, 3000);
    assert_eq!(done.written.sessions, 6000);
}

#[test]
fn users_think_as_long_before_each_route_as_they_did() {
    let folder = tempfile::tempdir().unwrap();
    let (_, sessions) = made(&planted(folder.path(), 1000), "new.zst", &plan(1000));
    for pair in sessions.iter().flat_map(|session| session.exchanges.windows(2)) {
        let think = pair[1].start_us - pair[0].start_us - 20_000;
        let expected = if pair[0].request.target == "/home" { SECOND } else { 10 * SECOND };
        // a tenth, and the width of a bucket
        assert!(think.abs_diff(expected) as f64 <= expected as f64 * 0.14, "{think} for {expected}");
    }
}

#[test]
fn what_depends_on_two_routes_depends_on_two() {
    let folder = tempfile::tempdir().unwrap();
    let sessions = (0..400_u64).flat_map(|session| {
        let walk = if session % 2 == 0 { ["/x", "/b", "/c"] } else { ["/y", "/b", "/d"] };
        let at = NOW + session * SECOND;
        (0..).zip(walk).map(move |(n, target)| exchange(session, at + n * SECOND, target)).collect::<Vec<_>>()
    });
    let (done, sessions) = made(&write(folder.path(), "in.zst", sessions), "new.zst", &plan(500));
    assert!(done.states.2 >= 2, "{:?}", done.states);
    for session in sessions {
        let walk: Vec<&str> = session.exchanges.iter().map(|step| step.request.target.as_str()).collect();
        assert!(walk == ["/x", "/b", "/c"] || walk == ["/y", "/b", "/d"], "{walk:?}");
    }
}

#[test]
fn lengths_that_no_chain_has_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    // one request, or exactly forty of the same route
    let sessions = (0..600_u64).flat_map(|session| {
        let length = if session % 3 == 0 { 40 } else { 1 };
        (0..length).map(move |n| exchange(session, NOW + session * SECOND + n * SECOND, "/a"))
    });
    let (done, sessions) = made(&write(folder.path(), "in.zst", sessions), "new.zst", &plan(600));
    assert!(!done.judgement.session_requests.is_large(), "{:?}", done.judgement);
    let short = sessions.iter().filter(|session| session.exchanges.len() == 1).count() as f64;
    // two thirds of 600, within four standard deviations
    assert!((short - 400.0).abs() < 4.0 * (600.0 * 2.0 / 9.0_f64).sqrt(), "{short}");
    assert!(sessions.iter().all(|session| session.exchanges.len() <= 41 && session.exchanges.len() != 20));
}

#[test]
fn a_seed_is_its_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let input = planted(folder.path(), 200);
    let bytes = |name: &str, seed: u64| {
        made(&input, name, &Plan { seed, ..plan(300) });
        std::fs::read(folder.path().join(name)).unwrap()
    };
    let first = bytes("a.zst", 1);
    assert_eq!(first, bytes("b.zst", 1));
    assert_ne!(first, bytes("c.zst", 2));
}

/// A shop: products by their popularity, a cart and a cookie of each session.
fn shop(folder: &Path, sessions: u64) -> PathBuf {
    let mut dice = Dice(99);
    let popularity: Vec<(u64, f64)> = {
        let all: f64 = (1..=100_u32).map(|rank| 1.0 / f64::from(rank)).sum();
        (1..=100_u32).map(|rank| (u64::from(rank), 1.0 / f64::from(rank) / all)).collect()
    };
    let mut exchanges = Vec::new();
    for session in 0..sessions {
        let cart = format!("{:08x}4bad{session:04x}", session * 77_777);
        let headers: Headers =
            [("Cookie", format!("sid=u{session:07}")), ("Content-Type", "application/json".to_owned())]
                .into_iter()
                .collect();
        let at = NOW + session * SECOND;
        let mut step = |n: u64, target: String, body: String| {
            let mut exchange = exchange(session, at + n * SECOND, &target);
            exchange.request.headers = headers.clone();
            exchange.request.body = Body::whole(body);
            exchanges.push(exchange);
        };
        for n in 0..5 {
            step(n, format!("/products/{}", dice.pick(&popularity)), String::new());
        }
        step(5, format!("/carts/{cart}/items"), format!(r#"{{"cart":"{cart}","qty":2}}"#));
        step(6, format!("/carts/{cart}"), String::new());
    }
    write(folder, "shop.zst", exchanges)
}

/// The parts of `text` between two marks.
fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    Some(rest.split_once(after).map_or(rest, |(part, _)| part))
}

#[test]
fn what_belongs_to_a_session_is_new_in_each() {
    let folder = tempfile::tempdir().unwrap();
    let input = shop(folder.path(), 200);
    let (done, sessions) = made(&input, "new.zst", &plan(500));
    let own: Vec<&str> = done
        .key_spaces
        .iter()
        .filter(|space| space.of_one_session)
        .map(|space| space.name.as_str())
        .collect();
    assert_eq!(own, ["/carts/{id}", "cookie:sid", "json:cart"]);
    let (mut carts, mut cookies) = (BTreeSet::new(), BTreeSet::new());
    for session in &sessions {
        let mut of_session = BTreeSet::new();
        for exchange in &session.exchanges {
            let cookie = exchange.request.headers.get_str("cookie").unwrap();
            of_session.insert(("cookie", cookie.to_owned()));
            if let Some(cart) = between(&exchange.request.target, "/carts/", "/") {
                of_session.insert(("cart", cart.to_owned()));
            }
            let body = exchange.request.body.data.as_ref().map_or(&b""[..], |data| data);
            if let Some(cart) = between(std::str::from_utf8(body).unwrap(), r#""cart":""#, "\"") {
                of_session.insert(("cart", cart.to_owned()));
            }
        }
        assert_eq!(of_session.len(), 2, "one cart and one cookie, in path and body alike: {of_session:?}");
        for (kind, value) in of_session {
            let is_new = if kind == "cart" { carts.insert(value) } else { cookies.insert(value) };
            assert!(is_new, "two sessions share a {kind}");
        }
    }
}

fn products(sessions: &[Session]) -> Vec<(u64, u64)> {
    let mut uses: BTreeMap<u64, u64> = BTreeMap::new();
    for exchange in sessions.iter().flat_map(|session| &session.exchanges) {
        if let Some(product) = between(&exchange.request.target, "/products/", "/") {
            *uses.entry(product.parse().unwrap()).or_default() += 1;
        }
    }
    uses.into_iter().collect()
}

#[test]
fn a_widened_key_space_keeps_its_skew() {
    let folder = tempfile::tempdir().unwrap();
    let input = shop(folder.path(), 1000);
    let widened = Plan { widen: vec!["/products/{id}=10x".parse().unwrap()], ..plan(4000) };
    let (done, sessions) = made(&input, "new.zst", &widened);
    let space = done.key_spaces.iter().find(|space| space.name == "/products/{id}").unwrap();
    let exponent = space.exponent.unwrap();
    // planted is 1; 5,000 draws of 100 ranks tell it to a standard deviation of 0.011
    assert!((exponent - 1.0).abs() < 0.06, "{exponent}");
    assert!(space.chosen_among.unwrap() >= 10 * space.values && !space.of_one_session, "{space:?}");
    let uses = products(&sessions);
    let total: u64 = uses.iter().map(|(_, n)| n).sum();
    assert!(uses.len() > 500 && uses.last().unwrap().0 > 900, "{} products are used", uses.len());
    // the most popular of 1,000 has 1 / H(1000) of all at exponent 1
    let most = uses.iter().map(|(_, n)| *n).max().unwrap() as f64 / total as f64;
    let law = |ranks: u32| 1.0 / (1..=ranks).map(|rank| f64::from(rank).powf(-exponent)).sum::<f64>();
    let deviation = (law(1000) / total as f64).sqrt();
    assert!((most - law(1000)).abs() < 4.0 * deviation, "{most} for {} ± {deviation}", law(1000));
    // unwidened, the recorded products are all there is
    let (_, sessions) = made(&input, "same.zst", &plan(1000));
    assert!(products(&sessions).iter().all(|(product, _)| *product <= 100));
}

#[test]
fn what_is_told_about_key_spaces_is_believed_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let input = shop(folder.path(), 50);
    let told = |own: &[&str], shared: &[&str], widen: &[&str]| Plan {
        own: own.iter().map(|name| (*name).to_owned()).collect(),
        shared: shared.iter().map(|name| (*name).to_owned()).collect(),
        widen: widen.iter().map(|text| text.parse().unwrap()).collect(),
        ..plan(50)
    };
    let (done, _) = made(&input, "told.zst", &told(&["/products/{id}"], &["/carts/{id}"], &[]));
    let own = |name: &str| done.key_spaces.iter().find(|space| space.name == name).unwrap().of_one_session;
    assert!(own("/products/{id}") && !own("/carts/{id}"));
    let error = refused(&input, &told(&[], &[], &["/product/{id}=10x"]));
    assert!(error.contains("no key space `/product/{id}`") && error.contains("/products/{id}"), "{error}");
    assert!(refused(&input, &told(&[], &[], &["cookie:sid=2x"])).contains("cannot be widened"));
    assert!(refused(&input, &told(&["/carts/{id}"], &[], &["/carts/{id}=2x"])).contains("leave one of both"));
    assert!(refused(&input, &told(&[], &[], &["/carts/{id}=1000000x"])).contains("above the limit"));
}

#[test]
fn too_little_to_learn_from() {
    let folder = tempfile::tempdir().unwrap();
    let empty = write(folder.path(), "empty.zst", []);
    assert!(refused(&empty, &plan(1)).contains("holds no requests: there is nothing to learn from"));
    let faulted = Exchange { faults: vec!["rule".to_owned()], ..exchange(1, NOW, "/a") };
    let faulted = write(folder.path(), "faulted.zst", [faulted]);
    assert!(refused(&faulted, &plan(1)).contains("only requests that faults touched (1)"));
    let one = write(folder.path(), "one.zst", (0..5).map(|n| exchange(1, NOW + n * SECOND, "/a")));
    let (done, sessions) = made(&one, "many.zst", &plan(20));
    assert_eq!((done.learned, sessions.len()), ((1, 5), 20));
    let starts: BTreeSet<u64> = sessions.iter().map(Session::start_us).collect();
    assert!(
        starts.len() == 20 && starts.iter().all(|at| (NOW..=NOW + 4 * SECOND).contains(at)),
        "{starts:?}"
    );
    assert!(refused(&one, &plan(0)).contains("at least one"));
    assert!(refused(&one, &Plan::default()).contains("how many sessions"));
    let there = synthesize::synthesize(&one, &one, &plan(1), &mut |_| {}).unwrap_err().to_string();
    assert!(there.contains("exists already"), "{there}");
}

fn file(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

#[test]
fn sessions_begin_when_a_trace_says() {
    let folder = tempfile::tempdir().unwrap();
    let input = planted(folder.path(), 100);
    let csv = file(folder.path(), "t.csv", "id,at\n1,10\n2,10.5\n3,12\n4,20\n");
    let trace = synthesize::read_trace(&csv, None).unwrap();
    assert_eq!((trace.column.as_str(), trace.times.len()), ("at", 4));
    let laid = Plan { sessions: None, arrivals: Some(trace.clone()), ..plan(0) };
    let (_, sessions) = made(&input, "laid.zst", &laid);
    let starts = |sessions: &[Session]| sessions.iter().map(|it| it.start_us() - NOW).collect::<Vec<_>>();
    assert_eq!(starts(&sessions), [0, SECOND / 2, 2 * SECOND, 10 * SECOND]);
    let (_, sessions) = made(&input, "within.zst", &Plan { within_us: Some(SECOND), ..laid.clone() });
    assert_eq!(starts(&sessions), [0, SECOND / 20, SECOND / 5, SECOND]);
    let error = refused(&input, &Plan { sessions: Some(5), ..laid });
    assert!(error.contains("4 arrivals, too few for 5 sessions"), "{error}");
}

#[test]
fn lines_that_are_no_arrivals_are_counted_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let text = "# a trace\nwhen,what\n2024-01-01T00:00:05Z,a\nsoon,b\n\n2024-01-01T00:00:01Z,c\n,d\n2024-01-01T00:00:09Z";
    let trace = synthesize::read_trace(&file(folder.path(), "t.csv", text), None).unwrap();
    assert_eq!((trace.times.len(), trace.out_of_order, trace.first_out_of_order), (3, 1, Some(6)));
    assert!(trace.times.is_sorted());
    let named: Vec<(u64, &str)> = trace.named.iter().map(|(line, why)| (*line, why.as_str())).collect();
    assert_eq!((trace.unreadable, named), (2, vec![(4, "`soon` is no time"), (7, "when is empty")]));
    let refused = |name: &str, text: &str, column: Option<&str>| {
        synthesize::read_trace(&file(folder.path(), name, text), column).unwrap_err().to_string()
    };
    assert!(refused("a", "when,what\n1,2\n", Some("who")).contains("no column `who`; it has when, what"));
    assert!(refused("b", "", None).contains("no line"));
    assert!(refused("c", "a,b\nx,y\n", None).contains("no column has times"));
    assert!(
        refused("d", "a,b\nx,y\n", Some("a")).contains("no line has a time in a (line 2: `x` is no time)")
    );
    assert!(refused("e", "{\"a\":\"x\"}\n", Some("b")).contains("no column `b`; it has a"));
    assert!(synthesize::read_trace(&folder.path().join("none"), None).is_err());
    assert!(synthesize::read_trace(folder.path(), None).unwrap_err().to_string().contains("is a directory"));
}

#[test]
fn every_trace_of_the_data_is_laid_over_sessions() {
    let folder = tempfile::tempdir().unwrap();
    let input = planted(folder.path(), 50);
    let traces = [
        // by SOURCE.md: 8,819 requests in 3,435.9 s, sorted
        ("llm-arrivals/AzureLLMInferenceTrace_code.csv", "TIMESTAMP", 8819, 3435, 0),
        // 500 snapshots every 5.1 s
        ("access-log/elastic-nginxplus.jsonl", "timestamp", 500, 2554, 0),
        ("access-log/elastic-apache_logs.log", "access log", 10_000, 298_859, 4915),
    ];
    for (name, column, arrivals, seconds, out_of_order) in traces {
        let Some(path) = common::data(name) else { continue };
        let trace = synthesize::read_trace(&path, None).unwrap();
        assert_eq!((trace.column.as_str(), trace.times.len()), (column, arrivals), "{name}");
        assert_eq!((trace.unreadable, trace.out_of_order), (0, out_of_order), "{name}");
        let span = trace.times.last().unwrap() - trace.times.first().unwrap();
        assert_eq!(span / SECOND, seconds, "{name}");
        let out = format!("{arrivals}.zst");
        let laid =
            Plan { sessions: Some(400), arrivals: Some(trace), within_us: Some(60 * SECOND), ..plan(0) };
        let (_, sessions) = made(&input, &out, &laid);
        let starts: Vec<u64> = sessions.iter().map(Session::start_us).collect();
        assert!(
            starts.len() == 400 && starts.iter().all(|at| (NOW..=NOW + 60 * SECOND).contains(at)),
            "{name}"
        );
    }
}
