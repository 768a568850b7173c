//! Packets that are lost, come twice, or in another order, and files that are damaged.

use captures::import::Format;
use captures::notes::Notes;
use proptest::prelude::*;

use super::import;
use super::wire::{Talk, pcap, pcapng};
use crate::kit::{brief, bytes, damage_everywhere};

fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: shop.test\r\n\r\n")
}

fn ok(target: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\nto {target}", target.len() + 3)
}

/// Six requests one after the other. Packets 0 to 2 open it; then come request and answer of each.
fn six() -> Talk {
    let mut talk = Talk::open(4000);
    for n in 0..6 {
        talk.asks(get(&format!("/{n}"))).says(ok(&format!("/{n}")));
    }
    talk.close();
    talk
}

/// Every answer is that to its request: their bodies name it.
#[track_caller]
fn check_pairs(exchanges: &[captures::Exchange]) {
    for exchange in exchanges {
        let body =
            exchange.response.as_ref().and_then(|response| response.body.data.clone()).unwrap_or_default();
        let expect = format!("to {}", exchange.request.target);
        assert!(
            body.is_empty() || expect.as_bytes().starts_with(&body),
            "{}: {body:?}",
            exchange.request.target
        );
    }
}

#[test]
fn a_lost_request_costs_itself() {
    for lost in 0..6 {
        let mut talk = six();
        talk.lose(3 + 2 * lost);
        let found = import(&talk);
        let expect: Vec<String> = (0..6).filter(|n| *n != lost).map(|n| format!("GET /{n} 200")).collect();
        assert_eq!(brief(&found.exchanges), expect, "{:?}", found.tally);
        check_pairs(&found.exchanges);
        assert_eq!(found.tally.noted.get("answers without a request"), Some(&1), "{lost}: {:?}", found.tally);
        assert_eq!(found.tally.noted.get("gaps in connections"), Some(&1), "{lost}: {:?}", found.tally);
    }
}

#[test]
fn a_lost_answer_costs_itself() {
    for lost in 0..6 {
        let mut talk = six();
        talk.lose(4 + 2 * lost);
        let found = import(&talk);
        let expect: Vec<String> =
            (0..6).map(|n| format!("GET /{n} {}", if n == lost { 0 } else { 200 })).collect();
        assert_eq!(brief(&found.exchanges), expect, "{lost}: {:?}", found.tally);
        check_pairs(&found.exchanges);
    }
}

#[test]
fn bytes_missing_in_a_body_are_counted_and_the_next_message_is_read() {
    let mut talk = Talk::open(4000);
    let body: String = ('a'..='z').collect();
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 26\r\n\r\n{body}");
    talk.asks(get("/1")).pieces(false, answer.as_bytes(), 20).asks(get("/2")).says(ok("/2")).close();
    talk.lose(6);
    let found = import(&talk);
    assert_eq!(brief(&found.exchanges), ["GET /1 200", "GET /2 200"], "{:?}", found.tally);
    let first = &found.exchanges[0];
    let body = &first.response.as_ref().unwrap().body;
    assert_eq!((body.len, body.hash), (26, None));
    assert!(
        first.notes.contains(Notes::RESPONSE_TRUNCATED)
            && !found.exchanges[1].notes.contains(Notes::RESPONSE_TRUNCATED)
    );
    check_pairs(&found.exchanges[1..]);
    assert_eq!(found.tally.damaged, 0);
}

#[test]
fn damage_is_named_by_the_packet_where_it_shows() {
    let mut talk = Talk::open(4000);
    talk.asks("GET / HTTP/1.1\r\nHost: a\r\n\r\n").says("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    talk.asks("no request\r\n").says("HTTP/1.1 400 What\r\nContent-Length: 0\r\n\r\n").close();
    let found = import(&talk);
    assert_eq!(brief(&found.exchanges), ["GET / 200"]);
    let [damaged] = &found.tally.named[..] else { panic!("{:?}", found.tally) };
    assert!(
        damaged.place.starts_with("packet 6 at byte ") && damaged.place.ends_with("10.0.0.1"),
        "{damaged:?}"
    );
    assert!(damaged.why.contains("no request"), "{damaged:?}");
}

#[test]
fn no_damage_of_a_file_upsets_it() {
    let mut talk = six();
    talk.packets.truncate(12);
    // what is changed in a packet may look like another connection, or a request more
    damage_everywhere(Format::Pcap, &pcap(&talk.packets, usize::MAX), 2);
    damage_everywhere(Format::Pcap, &pcapng(&talk.packets), 2);
}

fn talk_of(requests: usize, size: usize) -> Talk {
    let mut talk = Talk::open(4000);
    for n in 0..requests {
        talk.pieces(true, get(&format!("/{n}")).as_bytes(), size);
        talk.pieces(false, ok(&format!("/{n}")).as_bytes(), size);
    }
    talk.close();
    talk
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_order_with_repetitions_gives_the_same(
        requests in 1usize..5,
        size in 1usize..70,
        swaps in proptest::collection::vec((any::<prop::sample::Index>(), 1usize..4), 0..20),
        repeated in proptest::collection::vec(any::<prop::sample::Index>(), 0..10),
    ) {
        let talk = talk_of(requests, size);
        let expect = brief(&import(&talk).exchanges);
        let mut packets = talk.packets.clone();
        // the handshake stays first: it says who is who
        for (at, by) in swaps {
            let at = 3 + at.index(packets.len() - 3);
            let other = (at + by).min(packets.len() - 1);
            packets.swap(at, other);
        }
        for at in repeated {
            let at = at.index(packets.len());
            packets.insert(at, packets[at].clone());
        }
        // time goes on whatever comes
        for (n, packet) in packets.iter_mut().enumerate() {
            packet.0 = super::wire::T + n as u64 * 1_000;
        }
        let found = bytes(Format::Pcap, &pcap(&packets, usize::MAX)).unwrap();
        let mut words = brief(&found.exchanges);
        words.sort();
        prop_assert_eq!(words, expect, "{:?}", found.tally);
        check_pairs(&found.exchanges);
    }

    #[test]
    fn whatever_is_lost_no_answer_goes_to_another_request(
        requests in 1usize..6,
        size in prop_oneof![Just(1000usize), 20usize..70],
        lost in proptest::collection::vec(any::<prop::sample::Index>(), 1..6),
        snapshot in prop_oneof![Just(usize::MAX), 60usize..120],
    ) {
        let mut talk = talk_of(requests, size);
        for at in lost {
            let at = at.index(talk.packets.len());
            if 3 < talk.packets.len() {
                talk.packets.remove(at);
            }
        }
        let found = bytes(Format::Pcap, &pcap(&talk.packets, snapshot)).unwrap();
        prop_assert!(found.exchanges.len() <= requests, "{:?}", found.tally);
        check_pairs(&found.exchanges);
    }
}
