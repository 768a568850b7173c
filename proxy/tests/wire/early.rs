//! Peers that leave before their time, under every fault that shapes an answer, on HTTP/2 at both ends.

use std::future::poll_fn;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use h2::RecvStream;
use tokio::sync::Notify;

use crate::harness::h2::{block_on, piece};
use crate::harness::proxy::ms;
use crate::harness::{CLEAR, H2Client, H2Origin, Proxy, Way, eventually, pattern};
use crate::shapes::rule;

/// Faults, and how many of the first 3,000 bytes pass them while nobody leaves.
const FAULTS: [(&str, usize); 11] = [
    ("throttle = \"100KB/s\"", SENT),
    ("throttle = { response = \"1MB/s\", piece = \"64B\", gap = \"1ms\" }", SENT),
    ("throttle = { response = \"1MB/s\", piece = \"500B\", gap = \"1h\" }", 500),
    ("stall = \"50ms after 500 B\"", SENT),
    ("stall = \"forever after 500 B\"", 500),
    ("loss = { rate = \"50%\", rto = \"10ms\", segment = \"500 B\" }", SENT),
    ("delay = \"50ms at first_byte\"", SENT),
    ("delay = \"1h at first_byte\"", 0),
    ("corrupt = \"zero per 1MB\"", SENT),
    ("truncate = \"5000 B\"", SENT),
    ("reset = \"after 5000 B\"", SENT),
];

const SENT: usize = 3_000;

/// Sends the beginning of a longer answer, then dies once it is told to; where the proxy gives up first, that is counted.
fn origin(dies: &Arc<Notify>, told: &Arc<AtomicUsize>) -> H2Origin {
    let (dies, told) = (dies.clone(), told.clone());
    H2Origin::start(move |request, mut respond| {
        let (dies, told) = (dies.clone(), told.clone());
        async move {
            let is_whole = !request.uri().path().starts_with("/f/");
            let header =
                http::Response::builder().header("content-length", if is_whole { SENT } else { 9_000 });
            let header = header.body(()).expect("a header");
            let Ok(mut stream) = respond.send_response(header, false) else { return };
            if stream.send_data(Bytes::from(pattern(SENT)), is_whole).is_err() || is_whole {
                return;
            }
            tokio::select! {
                () = dies.notified() => stream.send_reset(h2::Reason::INTERNAL_ERROR),
                _ = poll_fn(|cx| stream.poll_reset(cx)) => {
                    told.fetch_add(1, Ordering::SeqCst);
                }
            }
        }
    })
}

fn before(origin: &H2Origin, fault: &str) -> Proxy {
    Proxy::before_url(&format!("h2c://{}", origin.addr)).rules(&rule(fault)).start()
}

async fn begin(client: &H2Client) -> RecvStream {
    let (response, _) = client.start(client.request("GET", "/f/x"), true).await;
    response.await.expect("a header").into_body()
}

async fn read(body: &mut RecvStream, len: usize) -> Vec<u8> {
    let mut all = Vec::new();
    while all.len() < len {
        all.extend_from_slice(&piece(body).await);
    }
    all
}

async fn in_flight(proxy: &Proxy, n: i64) {
    while proxy.status()["in_flight"] != n {
        tokio::time::sleep(ms(2)).await;
    }
}

#[test]
fn an_upstream_that_resets_its_stream_is_seen_to_the_byte_that_it_sent() {
    for (fault, passes) in FAULTS {
        let (dies, told) = (Arc::default(), Arc::default());
        let origin = origin(&dies, &told);
        let proxy = before(&origin, fault);
        block_on(async {
            let client = Way::Http2.h2(&proxy).await;
            let mut body = begin(&client).await;
            let mut all = read(&mut body, passes).await;
            assert_eq!(all.len(), passes, "{fault}");
            dies.notify_one();
            if passes < SENT {
                proxy.reload(""); // what a rule still holds of it passes, once there is none
            }
            let error = loop {
                match body.data().await {
                    Some(Ok(bytes)) => all.extend_from_slice(&bytes),
                    Some(Err(error)) => break error,
                    None => panic!("{fault}: it looks whole after {} bytes", all.len()),
                }
            };
            assert!(error.is_reset() && error.is_remote(), "{fault}: {error:?}");
            let changed = all.iter().zip(pattern(SENT)).filter(|(is, was)| **is != *was).count();
            assert_eq!((all.len(), changed <= 1), (SENT, true), "{fault}");
            assert_eq!(client.get("/near").await.body, pattern(SENT), "{fault}: the connection lives");
        });
        let edge = &proxy.books()["edges"][0];
        assert_eq!((&edge["upstream_failed"], &edge["delivered"]), (&1.into(), &1.into()), "{fault}: {edge}");
    }
}

#[test]
fn a_client_that_leaves_is_noticed_and_the_upstream_is_told() {
    for (fault, passes) in FAULTS {
        let (dies, told) = (Arc::default(), Arc::<AtomicUsize>::default());
        let origin = origin(&dies, &told);
        let proxy = before(&origin, fault);
        for with_its_connection in [false, true] {
            block_on(async {
                let client = Way::Http2.h2(&proxy).await;
                let mut body = begin(&client).await;
                read(&mut body, passes).await;
                if !with_its_connection {
                    drop(body);
                    in_flight(&proxy, 0).await;
                    assert_eq!(
                        client.get("/near").await.body,
                        pattern(SENT),
                        "{fault}: the connection lives"
                    );
                }
            });
            proxy.await_in_flight(0);
        }
        eventually("the upstream is told", || told.load(Ordering::SeqCst) == 2);
        let edge = &proxy.books()["edges"][0];
        assert_eq!(
            (&edge["client_gone_after"], &edge["delivered"]),
            (&2.into(), &1.into()),
            "{fault}: {edge}"
        );
    }
}

#[test]
fn a_client_that_leaves_while_its_answer_is_being_lost_ends_it() {
    for how in ["reset", "close", "blackhole"] {
        let (dies, told) = (Arc::default(), Arc::<AtomicUsize>::default());
        let origin = origin(&dies, &told);
        let proxy = before(&origin, &format!("drop_response = \"{how}\""));
        for with_its_connection in [false, true] {
            block_on(async {
                let client = Way::Http2.h2(&proxy).await;
                let asked = client.start(client.request("GET", "/f/x"), true).await;
                let already = usize::from(with_its_connection) * 2;
                while origin.count() <= already {
                    tokio::time::sleep(ms(2)).await;
                }
                if !with_its_connection {
                    drop(asked);
                    in_flight(&proxy, 0).await;
                    assert_eq!(client.get("/near").await.body, pattern(SENT), "{how}: the connection lives");
                }
            });
            proxy.await_in_flight(0);
        }
        eventually("the upstream is told", || told.load(Ordering::SeqCst) == 2);
        let edge = &proxy.books()["edges"][0];
        let ended = |row: &serde_json::Value| row.as_u64().unwrap_or(0);
        // where the answer had begun to come, the rule has lost it already
        assert_eq!(ended(&edge["cut"]["f"]) + ended(&edge["client_gone_after"]), 2, "{how}: {edge}");
        assert_eq!(edge["delivered"], 1, "{how}: {edge}");
    }
}

/// An HTTP/1 origin that closes once it has a request's header.
fn curt() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = listener.local_addr().expect("bound");
    std::thread::spawn(move || {
        for tcp in listener.incoming().flatten() {
            let mut lines = BufReader::new(tcp).lines();
            while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
        }
    });
    addr
}

#[test]
fn an_upstream_that_dies_while_an_upload_is_held_ends_the_wait() {
    let faults = [
        "throttle = { request = \"10B/s\" }",
        "loss = { rate = \"100%\", rto = \"1h\", max_rto = \"1h\", direction = \"request\" }",
    ];
    for fault in faults {
        let proxy = Proxy::before(curt()).rules(&rule(fault)).start();
        for way in CLEAR {
            let seen = way.ask(&proxy, "POST", "/f/x", Some(pattern(20_000)));
            assert_eq!(seen.status, 502, "{fault} {way:?}");
        }
        let edge = &proxy.books()["edges"][0];
        assert_eq!(edge["upstream_failed"], 2, "{fault}: {edge}");
    }
}
