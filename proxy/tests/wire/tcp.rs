//! Plain-TCP edges without rules: bytes, ends, books.

use std::io::{Read, Write};
use std::net::Shutdown;

use crate::harness::client::End;
use crate::harness::proxy::ms;
use crate::harness::tcp::{exactly, passes, rest, vanish};
use crate::harness::{Dice, Proxy, Upstream, eventually, pattern};

#[test]
fn bytes_pass_both_ways_unchanged() {
    let upstream = Upstream::open();
    let proxy = Proxy::tcp_before(upstream.addr).start();
    let (mut client, mut server) = (proxy.dial(), upstream.take());
    passes(&mut client, &mut server, b"hello");
    passes(&mut server, &mut client, b"world");
    let big = pattern(8_000_000);
    let (mut to, mut from) = (client.try_clone().expect("a handle"), server.try_clone().expect("a handle"));
    let (up, down) = (big.clone(), big.clone());
    let writers = [
        std::thread::spawn(move || to.write_all(&up).expect("taken")),
        std::thread::spawn(move || from.write_all(&down).expect("taken")),
    ];
    let mut other = server.try_clone().expect("a handle");
    let there = std::thread::spawn(move || exactly(&mut other, 8_000_000));
    assert!(exactly(&mut client, big.len()) == big && there.join().expect("read") == big);
    writers.into_iter().for_each(|writer| writer.join().expect("written"));
    drop((client, server));
    let rows = proxy.settled("db");
    assert_eq!((&rows["accepted"], &rows["finished"]), (&1.into(), &1.into()), "{rows:#}");
    assert_eq!((&rows["request"]["out"], &rows["response"]["out"]), (&8_000_005.into(), &8_000_005.into()));
}

#[test]
fn either_side_may_close_half_and_go_on_listening() {
    let upstream = Upstream::open();
    let proxy = Proxy::tcp_before(upstream.addr).start();
    let (mut client, mut server) = (proxy.dial(), upstream.take());
    client.write_all(b"question").expect("taken");
    client.shutdown(Shutdown::Write).expect("half closed");
    assert_eq!(rest(&mut server), (b"question".to_vec(), End::Eof));
    for word in ["one", "two", "three"] {
        passes(&mut server, &mut client, word.as_bytes());
    }
    drop(server);
    assert_eq!(rest(&mut client), (Vec::new(), End::Eof));
    let (mut client, mut server) = (proxy.dial(), upstream.take());
    server.write_all(b"greeting").expect("taken");
    server.shutdown(Shutdown::Write).expect("half closed");
    assert_eq!(rest(&mut client), (b"greeting".to_vec(), End::Eof));
    passes(&mut client, &mut server, b"still here");
    drop(client);
    assert_eq!(rest(&mut server), (Vec::new(), End::Eof));
    assert_eq!(proxy.settled("db")["finished"], 2);
}

#[test]
fn what_is_under_way_arrives_though_its_sender_has_closed() {
    let upstream = Upstream::open();
    let proxy = Proxy::tcp_before(upstream.addr).start();
    let (mut client, mut server) = (proxy.dial(), upstream.take());
    let bytes = pattern(3_000_000);
    let sent = bytes.clone();
    let writer = std::thread::spawn(move || {
        server.write_all(&sent).expect("taken");
        drop(server); // the client has read nothing yet
    });
    std::thread::sleep(ms(50));
    let (got, end) = rest(&mut client);
    assert!(got == bytes && end == End::Eof, "{} bytes, {end:?}", got.len());
    writer.join().expect("written");
}

#[test]
fn a_reset_is_a_reset_on_the_other_side() {
    let upstream = Upstream::open();
    let proxy = Proxy::tcp_before(upstream.addr).start();
    let (mut client, mut server) = (proxy.dial(), upstream.take());
    passes(&mut server, &mut client, b"hello");
    vanish(server);
    assert_eq!(rest(&mut client), (Vec::new(), End::Reset));
    let (mut client, mut server) = (proxy.dial(), upstream.take());
    passes(&mut client, &mut server, b"hello");
    vanish(client);
    assert_eq!(rest(&mut server), (Vec::new(), End::Reset));
    let rows = proxy.settled("db");
    assert_eq!((&rows["upstream_failed"], &rows["client_gone_after"]), (&1.into(), &1.into()), "{rows:#}");
}

#[test]
fn what_was_sent_before_a_reset_arrives_before_it() {
    let upstream = Upstream::open();
    let proxy = Proxy::tcp_before(upstream.addr).start();
    let (mut client, mut server) = (proxy.dial(), upstream.take());
    server.write_all(&pattern(30_000)).expect("taken");
    eventually("the proxy has it", || proxy.rows("db")["response"]["out"] == 30_000);
    vanish(server);
    assert_eq!(rest(&mut client), (pattern(30_000), End::Reset));
}

#[test]
fn an_upstream_that_is_not_there_resets_the_client() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound");
    let proxy = Proxy::tcp_before(nobody).start();
    assert_eq!(rest(&mut proxy.dial()), (Vec::new(), End::Reset));
    let rows = proxy.settled("db");
    assert_eq!((&rows["accepted"], &rows["upstream_unreachable"]), (&1.into(), &1.into()));
}

#[test]
fn a_side_that_fails_after_its_own_end_is_noticed() {
    let upstream = Upstream::open();
    let proxy = Proxy::tcp_before(upstream.addr).start();
    let (client, mut server) = (proxy.dial(), upstream.take());
    client.shutdown(Shutdown::Write).expect("half closed");
    assert_eq!(server.read(&mut [0; 1]).expect("an end"), 0);
    vanish(client); // no read will tell any more
    assert_eq!(proxy.settled("db")["client_gone_after"], 1);
    eventually("the upstream is told", || server.write_all(b"anybody?").is_err());
}

#[test]
fn random_traffic_arrives_and_the_rows_hold() {
    let upstream = Upstream::echo();
    let proxy = Proxy::tcp_before(upstream.addr).start();
    let addr = proxy.tcp("db");
    let clients: Vec<_> = (0..16)
        .map(|seed| {
            std::thread::spawn(move || {
                let mut dice = Dice(seed);
                for _ in 0..12 {
                    let mut client = crate::harness::client::connect(addr);
                    let bytes = pattern(dice.below(300_000) as usize);
                    let mut writer = client.try_clone().expect("a handle");
                    let (sent, close) = (bytes.clone(), dice.below(2) == 0);
                    let writing = std::thread::spawn(move || {
                        writer.write_all(&sent).expect("taken");
                        if close {
                            writer.shutdown(Shutdown::Write).expect("half closed");
                        }
                    });
                    let got = if close { rest(&mut client).0 } else { exactly(&mut client, bytes.len()) };
                    assert!(got == bytes);
                    writing.join().expect("written");
                    if dice.below(3) == 0 {
                        vanish(client);
                    }
                }
            })
        })
        .collect();
    while clients.iter().any(|client| !client.is_finished()) {
        proxy.rows("db"); // at any moment
    }
    clients.into_iter().for_each(|client| client.join().expect("all arrived"));
    let rows = proxy.settled("db");
    assert_eq!((&rows["accepted"], &rows["connected"]), (&192.into(), &192.into()), "{rows:#}");
    assert_eq!(rows["request"]["in"], rows["response"]["out"]);
}

#[test]
fn a_stop_closes_what_is_idle_and_lets_the_rest_finish() {
    let upstream = Upstream::open();
    let mut proxy = Proxy::tcp_before(upstream.addr).start();
    let (mut idle, mut idle_server) = (proxy.dial(), upstream.take());
    passes(&mut idle, &mut idle_server, b"query");
    passes(&mut idle_server, &mut idle, b"rows");
    let (mut busy, mut busy_server) = (proxy.dial(), upstream.take());
    passes(&mut busy, &mut busy_server, b"a long query");
    let running = proxy.take();
    let stopping = std::thread::spawn(move || running.stop(|| false));
    assert_eq!(rest(&mut idle), (Vec::new(), End::Eof));
    assert_eq!(rest(&mut idle_server), (Vec::new(), End::Eof));
    passes(&mut busy_server, &mut busy, b"its rows"); // long after the stop began
    assert_eq!(rest(&mut busy), (Vec::new(), End::Eof));
    let books = stopping.join().expect("stopped");
    assert_eq!(books.unfinished, 0);
    let rows = &books.tcp_edges[0];
    assert_eq!((rows.accepted, rows.stopped, rows.open), (2, 2, 0));
}

#[test]
fn the_grace_time_ends_what_does_not_end() {
    let upstream = Upstream::open();
    let mut proxy = Proxy::tcp_before(upstream.addr).with(|config| config.grace = ms(50)).start();
    let (mut busy, mut server) = (proxy.dial(), upstream.take());
    passes(&mut busy, &mut server, b"a query without an answer");
    let books = proxy.stop();
    let rows = serde_json::to_value(&books.tcp_edges[0]).expect("JSON");
    crate::harness::tcp::check_tcp_rows(&rows);
    assert_eq!((books.unfinished, &rows["stopped"], &rows["open"]), (1, &1.into(), &0.into()));
    rest(&mut busy);
}
