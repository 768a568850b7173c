//! Answers and uploads whose bytes come later, or changed: throttle, slow drip, stall, loss, corruption, a first byte that
//! waits. On every protocol; the bytes themselves are checked to the last one.

use std::time::Instant;

use crate::harness::origin::answer_plainly;
use crate::harness::proxy::ms;
use crate::harness::{CLEAR, End, How, Origin, Proxy, Seen, Then, WAYS, Way, pattern};

/// One rule for everything behind `/f/`; the origin answers what follows plainly.
pub(crate) fn rule(fault: &str) -> String {
    format!("[[rule]]\nid = \"f\"\non = \"/f/**\"\n{fault}\n")
}

pub(crate) fn origin() -> Origin {
    Origin::start(|request, tcp| {
        let mut plain = request.clone();
        plain.head = plain.head.replacen("/f/", "/", 1);
        answer_plainly(&plain, tcp)
    })
}

/// A proxy for each way of asking, and the way.
pub(crate) fn each_way(origin: &Origin, rules: &str, check: impl Fn(Way, &Proxy)) {
    for tls in [false, true] {
        let plan = Proxy::before(origin.addr).rules(rules);
        let proxy = if tls { plan.tls().start() } else { plan.start() };
        for way in WAYS.into_iter().filter(|way| way.is_tls() == tls) {
            check(way, &proxy);
        }
        proxy.books();
    }
}

/// The newest ledger line of the rule.
fn line(proxy: &Proxy) -> serde_json::Value {
    proxy.books(); // nothing is under way any more
    proxy.ledger().into_iter().rfind(|line| line["rule"] == "f").expect("a line")
}

#[track_caller]
fn whole(seen: &Seen, expect: &[u8]) {
    assert_eq!((seen.status, seen.end, seen.fault.as_deref()), (200, How::Whole, Some("f")));
    assert!(seen.body == expect, "{} of {} bytes", seen.body.len(), expect.len());
}

const SIZES: [&str; 2] = ["/f/bytes/100000", "/f/chunked/100000"];

#[test]
fn a_throttled_answer_is_never_faster_than_its_link() {
    let origin = origin();
    each_way(&origin, &rule("throttle = \"200KB/s\""), |way, proxy| {
        for target in SIZES {
            let seen = way.get(proxy, target);
            whole(&seen, &pattern(100_000));
            seen.never_faster(200_000.0, 12_500.0);
            assert!(10 < seen.pieces.len(), "it drips, rather than comes in gulps: {:?}", seen.pieces);
            assert!(ms(400).as_micros() < line(proxy)["actual_us"].as_u64().expect("a time").into());
        }
    });
}

#[test]
fn a_slow_drip_comes_in_pieces_with_a_gap_between() {
    let origin = origin();
    let rules = rule("throttle = { response = \"1MB/s\", piece = \"64B\", gap = \"2ms\" }");
    each_way(&origin, &rules, |way, proxy| {
        let seen = way.get(proxy, "/f/bytes/6400");
        whole(&seen, &pattern(6_400));
        seen.never_faster(64.0 / 0.002, 64.0);
    });
}

#[test]
fn a_throttled_upload_is_never_faster_than_its_link() {
    let origin = origin();
    each_way(&origin, &rule("throttle = { request = \"200KB/s\" }"), |way, proxy| {
        let seen = way.ask(proxy, "POST", "/f/echo", Some(pattern(100_000)));
        whole(&seen, &pattern(100_000));
        // the origin answers once it has the last byte
        assert!(ms(430) < seen.took, "{:?}", seen.took);
        assert!(way.get(proxy, "/f/bytes/10").fault.is_none(), "of a request without a body nothing is held");
    });
    let proxy = Proxy::before(origin.addr).rules(&rule("throttle = { request = \"200KB/s\" }")).start();
    let mut client = proxy.client();
    client.send("POST /f/echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n");
    for chunk in pattern(50_000).chunks(777) {
        client.send([format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat());
    }
    client.send("0\r\n\r\nGET /next HTTP/1.1\r\nHost: t\r\n\r\n");
    assert!(client.answer(false).body == pattern(50_000), "chunks keep their framing");
    assert_eq!(client.answer(false).text(), "ok", "and the request behind them is another");
}

#[test]
fn a_stall_holds_the_answer_at_its_byte_and_lets_it_go_on() {
    let origin = origin();
    each_way(&origin, &rule("stall = \"300ms after 5000 B\""), |way, proxy| {
        for target in SIZES {
            let seen = way.get(proxy, target);
            whole(&seen, &pattern(100_000));
            assert!(seen.pieces.iter().any(|(_, there)| *there == 5_000), "{:?}", seen.pieces);
            assert!(ms(300) <= seen.beyond(5_000));
            assert!(300_000 <= line(proxy)["actual_us"].as_u64().expect("a time"));
        }
        let seen = way.get(proxy, "/f/bytes/5000");
        assert_eq!((seen.body.len(), seen.fault), (5_000, None), "nothing lies behind that byte");
    });
}

#[test]
fn a_stall_may_end_the_answer() {
    let origin = origin();
    for (then, is_reset) in [("reset", true), ("close", false)] {
        each_way(&origin, &rule(&format!("stall = \"50ms after 5000 B, then {then}\"")), |way, proxy| {
            for target in SIZES {
                let seen = way.get(proxy, target);
                assert_eq!((seen.status, seen.body.len()), (200, 5_000), "{way:?} {target}");
                let short =
                    if target.contains("chunked") && way.is_http2() { How::Whole } else { How::Short };
                assert_eq!(seen.end, if is_reset { way.reset() } else { short }, "{way:?} {target}");
                assert!(ms(50) <= seen.took);
            }
            assert_eq!(proxy.rule_books("f")["suppressed"], serde_json::json!({}));
        });
    }
}

#[test]
fn a_removed_rule_lets_go_of_what_it_holds_and_no_byte_is_lost() {
    let origin = origin();
    let faults = [
        "stall = \"forever after 5000 B\"",
        "throttle = \"1B/s\"",
        "throttle = { request = \"1B/s\" }",
        "loss = { rate = \"100%\", rto = \"1h\", max_rto = \"1h\" }",
        "loss = { rate = \"100%\", rto = \"1h\", max_rto = \"1h\", direction = \"request\" }",
        "delay = \"1h at first_byte\"",
        "delay = \"at least 1h at first_byte\"",
    ];
    for fault in faults {
        let proxy = Proxy::before(origin.addr).rules(&rule(fault)).start();
        std::thread::scope(|scope| {
            let asked: Vec<_> = CLEAR
                .into_iter()
                .map(|way| {
                    let proxy = &proxy;
                    scope.spawn(move || way.ask(proxy, "POST", "/f/echo", Some(pattern(100_000))))
                })
                .collect();
            proxy.await_in_flight(2);
            std::thread::sleep(ms(100)); // so that they are held, most likely: either way no byte is lost
            proxy.reload("");
            for seen in asked {
                let seen = seen.join().expect("seen");
                assert!(seen.body == pattern(100_000) && seen.end == How::Whole, "{fault}: {:?}", seen.end);
            }
        });
        proxy.books();
    }
}

#[test]
fn a_lost_segment_keeps_everything_behind_it_waiting() {
    let origin = origin();
    let rules = rule("loss = { rate = \"30%\", rto = \"20ms\", segment = \"5000 B\" }");
    each_way(&origin, &rules, |way, proxy| {
        for target in SIZES {
            let seen = way.get(proxy, target);
            whole(&seen, &pattern(100_000));
            let waited = line(proxy)["actual_us"].as_u64().expect("a time");
            assert!(u128::from(waited) <= seen.took.as_micros(), "{waited}");
        }
    });
}

#[test]
fn one_byte_of_each_stretch_is_corrupted_and_nothing_else() {
    let origin = origin();
    each_way(&origin, &rule("corrupt = \"bitflip per 1000 B\""), |way, proxy| {
        for target in SIZES {
            let seen = way.get(proxy, target);
            assert_eq!((seen.status, seen.end, seen.body.len()), (200, How::Whole, 100_000), "{way:?}");
            let sent = pattern(100_000);
            let changed: Vec<usize> = (0..sent.len()).filter(|at| seen.body[*at] != sent[*at]).collect();
            let stretches: Vec<usize> = changed.iter().map(|at| at / 1_000).collect();
            assert_eq!(stretches, (0..100).collect::<Vec<_>>());
            assert!(changed.iter().all(|at| (seen.body[*at] ^ sent[*at]).count_ones() == 1));
        }
        let small = way.get(proxy, "/f/bytes/3");
        assert_ne!(small.body, pattern(3), "a stretch that has begun counts where its length is promised");
    });
    let upload = rule("corrupt = { kind = \"zero\", per = \"1000 B\", direction = \"request\" }");
    each_way(&origin, &upload, |way, proxy| {
        let seen = way.ask(proxy, "POST", "/f/echo", Some(pattern(20_000)));
        let sent = pattern(20_000);
        let changed = (0..sent.len()).filter(|at| seen.body[*at] != sent[*at]).collect::<Vec<_>>();
        assert_eq!((seen.status, changed.len(), seen.body.len()), (200, 20, 20_000), "{way:?}");
        assert!(changed.iter().all(|at| seen.body[*at] == u8::from(sent[*at] == 0)));
    });
}

#[test]
fn equal_exchanges_are_corrupted_alike() {
    let origin = origin();
    let proxy = Proxy::before(origin.addr).rules(&rule("corrupt = \"bitflip per 100 B\"")).start();
    let ask = |op: &str| {
        let request =
            format!("GET /f/bytes/9000 HTTP/1.1\r\nHost: t\r\nSquall-Op: {op}\r\nSquall-Session: s\r\n\r\n");
        proxy.client().ask(&request).body
    };
    let first = ask("00000000000000aa");
    assert_eq!(first, ask("00000000000000aa"));
    assert_ne!(first, ask("00000000000000ab"));
}

#[test]
fn the_header_goes_at_once_and_the_first_byte_waits() {
    let origin = origin();
    each_way(&origin, &rule("delay = \"150ms at first_byte\""), |way, proxy| {
        for target in SIZES {
            let seen = way.get(proxy, target);
            whole(&seen, &pattern(100_000));
            assert!(ms(150) <= seen.beyond(0), "{way:?}");
        }
    });
    // that the header does not wait: it would be for an hour
    let proxy = Proxy::before(origin.addr).rules(&rule("delay = \"1h at first_byte\"")).start();
    let mut client = proxy.client();
    client.send("GET /f/bytes/10 HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_eq!(client.head().header("squall-fault"), Some("f"));
    crate::harness::h2::block_on(async {
        let client = Way::Http2.h2(&proxy).await;
        let (response, _) = client.start(client.request("GET", "/f/bytes/10"), true).await;
        let response = response.await.expect("a header");
        assert_eq!(response.headers()["squall-fault"], "f");
    });
    drop(client);
    assert_eq!(proxy.books()["edges"][0]["client_gone_after"], 2);
}

#[test]
fn shapes_of_several_rules_compose() {
    let origin = origin();
    let rules = "[[rule]]\nid = \"a\"\nthrottle = \"400KB/s\"\n[[rule]]\nid = \"b\"\nstall = \"100ms after 50000 B\"\n\
                 [[rule]]\nid = \"c\"\ncorrupt = \"zero per 50000 B\"\n[[rule]]\nid = \"d\"\ndelay = \"50ms at first_byte\"\n\
                 [[rule]]\nid = \"e\"\nreset = \"after 90000 B\"\n[[rule]]\nid = \"late\"\ntruncate = \"10 B\"\n";
    each_way(&origin, rules, |way, proxy| {
        let seen = way.get(proxy, "/bytes/100000");
        assert_eq!((seen.body.len(), seen.end), (90_000, way.reset()), "{way:?}");
        assert_eq!(seen.fault.as_deref(), Some("a, b, c, d, e"));
        let changed = seen.body.iter().zip(pattern(90_000)).filter(|(is, was)| **is != *was).count();
        assert!((1..=2).contains(&changed), "the second place may lie behind the end: {changed}");
        seen.never_faster(400_000.0, 25_000.0);
        assert!(ms(150) <= seen.beyond(50_000));
        for id in ["a", "b", "c", "d", "e"] {
            proxy.books();
            assert_eq!(proxy.rule_books(id)["suppressed"], serde_json::json!({}), "{id}");
        }
        assert!(proxy.rule_books("late")["suppressed"]["earlier_terminal"].as_u64() > Some(0));
    });
}

#[test]
fn what_an_answer_does_not_have_is_said() {
    let origin = origin();
    let cases = [
        ("truncate = \"5000 B\"", "/f/bytes/5000"),
        ("truncate = \"50%\"", "/f/chunked/5000"),
        ("stall = \"1h after 6000 B\"", "/f/chunked/5000"),
        ("stall = \"1h after 2 events\"", "/f/bytes/5000"),
        ("reset = \"after 2 events\"", "/f/bytes/5000"),
        ("reset = \"after 1h\"", "/f/bytes/5000"),
        ("throttle = \"1KB/s\"", "/f/bytes/0"),
        ("corrupt = \"bitflip per 4KB\"", "/f/status/204"),
        ("loss = \"2%\"", "/f/status/304"),
        ("delay = \"1h at first_byte\"", "/f/status/204"),
    ];
    for (fault, target) in cases {
        let proxy = Proxy::before(origin.addr).rules(&rule(fault)).start();
        for way in CLEAR {
            let seen = way.get(&proxy, target);
            assert_eq!(seen.end, How::Whole, "{fault} {way:?}");
        }
        let books = proxy.books();
        assert_eq!(books["rules"][0]["suppressed"]["no_such_point"], 2, "{fault}: {}", books["rules"][0]);
        assert_eq!(books["edges"][0]["delivered"], 2, "{fault}");
    }
    let proxy = Proxy::before(origin.addr).rules(&rule("websocket_close = 1011")).start();
    CLEAR.into_iter().for_each(|way| assert_eq!(way.get(&proxy, "/f/bytes/5").body, pattern(5)));
    proxy.books();
    assert_eq!(proxy.rule_books("f")["suppressed"]["wrong_protocol"], 2);
}

#[test]
fn an_upstream_that_dies_under_a_shape_is_seen_to_the_byte_that_it_sent() {
    let faults = [
        "throttle = \"200KB/s\"",
        "stall = \"100ms after 500 B\"",
        "loss = { rate = \"50%\", rto = \"10ms\", segment = \"500 B\" }",
        "delay = \"50ms at first_byte\"",
        "corrupt = \"zero per 1MB\"",
        "truncate = \"5000 B\"",
        "reset = \"after 5000 B\"",
        "reset = \"after 1h\"",
    ];
    for fault in faults {
        let origin = Origin::start(|_, tcp| {
            use std::io::Write;
            tcp.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n").expect("taken");
            tcp.write_all(&pattern(3_000)).expect("taken");
            Then::Close
        });
        let proxy = Proxy::before(origin.addr).rules(&rule(fault)).start();
        for way in CLEAR {
            let seen = way.get(&proxy, "/f/x");
            assert_eq!((seen.status, seen.body.len()), (200, 3_000), "{fault} {way:?}");
            assert_ne!(seen.end, How::Whole, "{fault}");
        }
        let edge = &proxy.books()["edges"][0];
        assert_eq!(edge["upstream_failed"], 2, "{fault}: {edge}");
    }
}

#[test]
fn a_client_that_leaves_ends_every_wait() {
    let origin = origin();
    let faults = [
        "throttle = \"1B/s\"",
        "throttle = { request = \"1B/s\" }",
        "stall = \"forever after 500 B\"",
        "stall = \"forever after headers\"",
        "loss = { rate = \"100%\", rto = \"1h\", max_rto = \"1h\" }",
        "loss = { rate = \"100%\", rto = \"1h\", max_rto = \"1h\", direction = \"request\" }",
        "delay = \"1h at first_byte\"",
    ];
    for fault in faults {
        let plan = Proxy::before(origin.addr).rules(&rule(fault)).tls();
        let proxy = plan.start();
        for leaves_by_reset in [false, true] {
            let mut client = proxy.identity.as_ref().expect("TLS").client(proxy.addr);
            client.send("POST /f/echo HTTP/1.1\r\nHost: t\r\nContent-Length: 3000\r\n\r\n");
            client.send(pattern(3_000));
            proxy.await_in_flight(1);
            if leaves_by_reset {
                socket2::SockRef::from(&client.stream.sock).set_linger(Some(ms(0))).expect("linger");
            }
            drop(client);
            proxy.await_in_flight(0);
        }
        crate::harness::h2::block_on(async {
            let client = Way::Http2Tls.h2(&proxy).await;
            let request = client.request("POST", "/f/echo");
            let (response, mut stream) = client.start(request, false).await;
            stream.send_data(pattern(3_000).into(), true).expect("taken");
            while proxy.status()["in_flight"] == 0 {
                tokio::time::sleep(ms(2)).await;
            }
            drop((response, stream)); // RST_STREAM, and the connection stays
            while proxy.status()["in_flight"] != 0 {
                tokio::time::sleep(ms(2)).await;
            }
        });
        let edge = &proxy.books()["edges"][0];
        let gone = edge["client_gone_after"].as_u64().expect("a count")
            + edge["client_gone"].as_u64().expect("a count");
        assert_eq!(gone, 3, "{fault}: {edge}");
    }
}

#[test]
fn rules_that_select_nobody_leave_every_byte_as_it_was() {
    let origin = Origin::plain();
    let all = [
        "throttle = { response = \"1KB/s\", request = \"1KB/s\" }",
        "stall = \"1h after headers\"",
        "loss = \"50%\"",
        "corrupt = \"zero per 10 B\"",
        "truncate = \"10 B\"",
        "reset = \"after 10 B\"",
        "drop_response = \"reset\"",
        "goaway = \"INTERNAL_ERROR\"",
        "websocket_close = 1011",
        "delay = \"1h at first_byte\"",
    ];
    let rule = |(n, fault): (usize, &&str)| format!("[[rule]]\nid = \"r{n}\"\nrate = \"0%\"\n{fault}\n");
    let rules: String = all.iter().enumerate().map(rule).collect();
    let with = Proxy::before(origin.addr).rules(&rules).start();
    let without = Proxy::before(origin.addr).start();
    let wire = |proxy: &Proxy| {
        let mut client = proxy.client();
        for request in [
            "GET /bytes/100000 HTTP/1.1\r\nHost: t\r\n\r\n",
            "GET /chunked/100000 HTTP/1.1\r\nHost: t\r\n\r\n",
            "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nhello",
            "HEAD /bytes/9 HTTP/1.1\r\nHost: t\r\n\r\n",
            "GET /status/503 HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n",
        ] {
            client.send(request);
        }
        let (bytes, end) = client.rest();
        assert_eq!(end, End::Eof);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let dated = |line: &str| !line.to_ascii_lowercase().starts_with("date:");
        text.split_inclusive("\r\n").filter(|line| dated(line)).collect::<String>()
    };
    assert_eq!(wire(&with), wire(&without));
    for way in CLEAR {
        let begun = Instant::now();
        let (one, other) = (way.get(&with, "/bytes/100000"), way.get(&without, "/bytes/100000"));
        assert!(
            one.body == other.body && one.fault.is_none() && one.end == How::Whole,
            "{:?}",
            begun.elapsed()
        );
    }
}

#[test]
fn a_panic_in_the_fault_path_lets_the_request_pass_and_is_counted() {
    let origin = origin();
    let rules =
        rule("stall = \"1h after 10 B\"") + "[[rule]]\nid = \"u\"\nthrottle = { request = \"1B/s\" }\n";
    for (stumble, panics) in [(proxy::Stumble::Planning, 2), (proxy::Stumble::Shaping, 4)] {
        let plan = Proxy::before(origin.addr).rules(&rules).with(|config| config.stumble = Some(stumble));
        let proxy = plan.start();
        for way in CLEAR {
            let seen = way.ask(&proxy, "POST", "/f/echo", Some(pattern(100_000)));
            assert!(seen.body == pattern(100_000) && seen.end == How::Whole, "{stumble:?} {way:?}");
        }
        assert_eq!(proxy.status()["fault_panics"], panics, "{stumble:?}: one a direction");
        assert_eq!(proxy.books()["edges"][0]["delivered"], 2);
    }
}
