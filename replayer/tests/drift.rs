//! Answers that differ from the recorded ones: what was planted is found and said, noise is not, and nothing is looked at
//! that a rule or an error made.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

mod support;

use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use captures::{Body, Exchange};
use replayer::Report;
use replayer::analysis::{Analysis, Drift, Finding};
use support::{Met, Server, Then, answer, replay_on, step};

const SESSIONS: u64 = 12;
const AMPLIFY: f64 = 20.0;
/// Clones of all the recorded exchanges of one route.
const CLONES: u64 = SESSIONS * AMPLIFY as u64;

fn list(rows: u64, row: impl Fn(u64) -> String) -> String {
    let rows: Vec<String> = (0..rows).map(row).collect();
    format!(r#"{{"items":[{}]}}"#, rows.join(","))
}

fn products() -> String {
    list(30, |n| format!(r#"{{"id":{n},"price":{}.50,"name":"hunter2 number {n}"}}"#, 10 + n))
}

fn orders() -> String {
    list(20, |n| format!(r#"{{"id":{},"state":"paid"}}"#, 1000 + n))
}

/// A feed of some rows, with a time in each; no two answers are alike.
fn feed(turn: u64) -> String {
    let extra = |n: u64| if (turn + n).is_multiple_of(3) { r#","note":"x""# } else { "" };
    list(turn * 7 % 23 + 1, |n| {
        format!(r#"{{"at":{},"id":"{:x}"{}}}"#, turn * n * 1_000_003, turn * 7919 + n, extra(turn))
    })
}

fn recorded(session: u64, at_ms: u64, request: &str, body: &str) -> Exchange {
    let mut exchange = step(session, session * 10 + at_ms, 1, request);
    let response = exchange.response.as_mut().unwrap();
    response.headers.push("Content-Type", "application/json");
    response.body = Body::whole(Bytes::copy_from_slice(body.as_bytes()));
    exchange
}

fn visits() -> Vec<Exchange> {
    let visit = |session: u64| {
        [
            recorded(session, 0, "GET /api/products", &products()),
            recorded(session, 2, "GET /api/orders", &orders()),
            recorded(session, 4, "GET /api/feed", &feed(session * 5)),
        ]
    };
    (1..=SESSIONS).flat_map(visit).collect()
}

fn json(stream: &mut TcpStream, body: &str) -> Then {
    answer(stream, "200 OK", "Content-Type: application/json\r\n", body.as_bytes());
    Then::Keep
}

/// The service as it was recorded, but for what `change` answers itself.
fn service(change: impl Fn(&Met, &mut TcpStream) -> Option<Then> + Send + Sync + 'static) -> Server {
    let turn = AtomicU64::new(0);
    Server::start(move |met, stream| {
        change(met, stream).unwrap_or_else(|| match met.target.as_str() {
            "/api/products" => json(stream, &products()),
            "/api/orders" => json(stream, &orders()),
            _ => json(stream, &feed(turn.fetch_add(1, Ordering::SeqCst))),
        })
    })
}

fn replayed(server: &Server, exchanges: &[Exchange]) -> Analysis {
    let report: Report = replay_on(server, exchanges, |options| options.amplify = AMPLIFY);
    let analysis = report.analysis.clone().unwrap();
    let text = serde_json::to_string(&analysis).unwrap() + &report.text();
    assert!(!text.contains("hunter2"), "values stay out: {text}");
    analysis
}

#[track_caller]
fn row<'a>(analysis: &'a Analysis, route: &str, what: &str) -> &'a Drift {
    let found = analysis.drift.iter().find(|drift| drift.route == route && drift.what == what);
    found.unwrap_or_else(|| panic!("no {what} of {route} in {:#?}", analysis.drift))
}

#[track_caller]
fn expect_nothing(analysis: &Analysis) {
    assert_eq!((analysis.drift.len(), analysis.findings.len()), (0, 0), "{analysis:#?}");
}

#[test]
fn a_service_that_answers_as_recorded_has_no_drift() {
    let analysis = replayed(&service(|_, _| None), &visits());
    expect_nothing(&analysis);
    let compared = &analysis.compared;
    assert_eq!((compared.exchanges, compared.answers), (3 * SESSIONS, 3 * CLONES));
    assert_eq!(compared.without_shape, 0);
    assert_eq!(compared.bodies.looked_at + compared.bodies.busy, 3 * CLONES, "{compared:?}");
    assert!(compared.bodies.looked_at > CLONES, "{compared:?}");
}

#[test]
fn what_was_planted_is_found_and_said() {
    let server = service(|met, stream| {
        let rows = |n: u64| format!(r#"{{"id":{n},"name":"hunter2 number {n}"}}"#);
        match met.target.as_str() {
            "/api/products" => Some(json(stream, &list(30, rows))),
            "/api/orders" => {
                let row = |n: u64| format!(r#"{{"id":"{}","state":"paid"}}"#, 1000 + n);
                Some(json(stream, &list(10, row)))
            }
            _ => None,
        }
    });
    let analysis = replayed(&server, &visits());
    assert_eq!((analysis.drift.len(), analysis.findings.len()), (4, 2), "{analysis:#?}");
    let finding = |route: &str| -> &Finding {
        let about = |finding: &&Finding| finding.place.route.as_deref() == Some(route);
        analysis.findings.iter().find(about).unwrap()
    };

    let products = finding("GET /api/products");
    let length = row(&analysis, "GET /api/products", "length");
    assert_eq!((length.answers, length.differing, length.share, length.noise), (CLONES, CLONES, 1.0, 0.0));
    assert!(length.chance.unwrap() < 1e-9 && length.recorded.ends_with(" bytes"), "{length:?}");
    let shape = row(&analysis, "GET /api/products", "shape");
    assert_eq!((shape.replayed.as_str(), shape.share), ("JSON that lacks items[].price", 1.0));
    assert!(
        products.title.contains(" now in 240 of 240 clones; JSON lacks items[].price in "),
        "{}",
        products.title
    );
    assert!(
        products.title.starts_with("GET /api/products answers otherwise than recorded: length 1,"),
        "{}",
        products.title
    );
    assert_eq!((products.sessions, products.examples.len()), (CLONES, 3));
    assert!(products.examples[0].replay.starts_with("replay --only session:"), "{products:?}");

    let orders = finding("GET /api/orders");
    assert!(orders.title.contains("JSON has string for number at items[].id"), "{}", orders.title);
    let half = row(&analysis, "GET /api/orders", "length");
    assert_eq!((half.share, half.sessions), (1.0, CLONES));
    assert!(analysis.order.iter().any(|event| event.event.contains("shape on GET /api/products")));
}

#[test]
fn a_change_that_some_servers_have_and_others_have_not_is_noise() {
    let turn = AtomicU64::new(0);
    let server = service(move |met, stream| {
        let is_old = turn.fetch_add(1, Ordering::SeqCst).is_multiple_of(2) || met.target != "/api/products";
        (!is_old).then(|| json(stream, &list(30, |n| format!(r#"{{"id":{n},"name":"number {n}"}}"#))))
    });
    expect_nothing(&replayed(&server, &visits()));
}

#[test]
fn a_list_that_grows_with_the_load_is_noise() {
    let count = AtomicU64::new(3);
    let server = service(move |met, stream| {
        let is_list = met.target == "/api/orders";
        is_list.then(|| {
            let rows = count.fetch_add(1, Ordering::SeqCst);
            json(stream, &list(rows, |n| format!(r#"{{"id":{},"state":"paid"}}"#, 1000 + n)))
        })
    });
    expect_nothing(&replayed(&server, &visits()));
}

#[test]
fn a_digest_gives_the_length_and_no_shape() {
    let mut exchanges = visits();
    for exchange in &mut exchanges {
        let body = &mut exchange.response.as_mut().unwrap().body;
        *body = Body::digest(body.len, body.hash);
    }
    let server = service(|met, stream| {
        let half = || list(15, |n| format!(r#"{{"id":{n},"price":1.50}}"#));
        (met.target == "/api/products").then(|| json(stream, &half()))
    });
    let analysis = replayed(&server, &exchanges);
    assert_eq!((analysis.drift.len(), analysis.findings.len()), (1, 1), "{analysis:#?}");
    row(&analysis, "GET /api/products", "length");
    assert_eq!(analysis.findings[0].place.class, "length");
    let said = analysis.findings[0].evidence.join(" ");
    assert!(said.contains("the recording holds no JSON of these answers"), "{said}");
    assert_eq!(analysis.compared.without_shape, 3 * SESSIONS);
    assert_eq!(analysis.compared.bodies.looked_at, 0);
}

#[test]
fn what_rules_and_errors_make_is_not_compared() {
    // a rule tore or replaced these, or the session had an error before
    let server = service(|met, stream| match met.target.as_str() {
        "/api/products" => {
            answer(stream, "200 OK", "squall-fault: stale\r\n", b"{}");
            Some(Then::Keep)
        }
        "/api/orders" => Some(json(stream, "{}")),
        _ => None,
    });
    expect_nothing(&replayed(&server, &visits()));
    let server = service(|met, stream| match met.target.as_str() {
        "/api/products" => {
            answer(stream, "503 Service Unavailable", "", b"{}");
            Some(Then::Keep)
        }
        "/api/orders" => Some(json(stream, "{}")),
        _ => None,
    });
    let analysis = replayed(&server, &visits());
    assert!(analysis.drift.iter().all(|drift| drift.what == "status"), "{:#?}", analysis.drift);
    assert_eq!(analysis.compared.answers, 0);
}

#[test]
fn codings_and_framings_make_no_difference() {
    let server = service(|met, stream| {
        use std::io::Write;
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        match met.target.as_str() {
            // compressed now, and plain in the recording: lengths cannot be compared, shapes can
            "/api/products" => {
                gzip.write_all(list(30, |n| format!(r#"{{"id":{n}}}"#)).as_bytes()).unwrap();
                answer(stream, "200 OK", "Content-Encoding: gzip\r\n", &gzip.finish().unwrap());
                Some(Then::Keep)
            }
            "/api/orders" => {
                let body = orders();
                let (one, two) = body.split_at(100);
                let chunk = |part: &str| format!("{:x}\r\n{part}\r\n", part.len());
                let text = format!(
                    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{}{}0\r\n\r\n",
                    chunk(one),
                    chunk(two)
                );
                stream.write_all(text.as_bytes()).unwrap();
                Some(Then::Keep)
            }
            _ => None,
        }
    });
    let analysis = replayed(&server, &visits());
    assert_eq!(analysis.drift.len(), 1, "{analysis:#?}");
    let shape = row(&analysis, "GET /api/products", "shape");
    assert_eq!(shape.replayed, "JSON that lacks items[].name, lacks items[].price");
}

#[test]
fn without_clones_there_is_nothing_to_compare_with() {
    let server = service(|met, stream| (met.target == "/api/orders").then(|| json(stream, "{}")));
    let report = replay_on(&server, &visits(), |_| {});
    let analysis = report.analysis.unwrap();
    expect_nothing(&analysis);
    assert_eq!(analysis.compared.exchanges, 0);
}
