//! Random traffic against random rules on a plain-TCP edge: bytes in order, rows to the unit.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::harness::proxy::ms;
use crate::harness::tcp::vanish;
use crate::harness::{Dice, PATIENCE, Proxy, Upstream, pattern};

/// Every fault that a connection can have, some of them short so that connections go on.
const FAULTS: [&str; 20] = [
    "delay = \"5ms at response\"",
    "delay = \"0ms..8ms at request\"",
    "delay = \"10ms at connect\"",
    "delay = \"10ms at close\"",
    "delay = { dist = \"pareto\", scale = \"1ms\", shape = 1.5, max = \"20ms\", at = \"response\" }",
    "throttle = \"300KB/s\"",
    "throttle = { request = \"200KB/s\", piece = \"100B\", gap = \"50us\" }",
    "stall = \"20ms after 1000 B\"",
    "stall = \"10ms after 1000 B, then reset\"",
    "stall = \"forever after 5000 B\"",
    "loss = { rate = \"20%\", rto = \"5ms\" }",
    "truncate = \"3000 B\"",
    "reset = \"before headers\"",
    "reset = \"after 2000 B of body\"",
    "reset = \"after 10ms\"",
    "blackhole = \"15ms, then reset\"",
    "blackhole = \"forever\"",
    "outage = \"blackhole\"",
    "outage = \"reset\"",
    "one_of = [{ delay = \"3ms at response\" }, { reset = \"after 100 B of body\" }, { truncate = \"0 B\", weight = 2 }]",
];

fn rules(dice: &mut Dice) -> String {
    let rule = |n: u64, dice: &mut Dice| {
        let fault = FAULTS[dice.below(FAULTS.len() as u64) as usize];
        let rate = [5, 30, 100][dice.below(3) as usize];
        let when = ["", "when = \"..50ms\"\n", "when = \"20ms.., ramp 100ms\"\n"][dice.below(3) as usize];
        let every = ["", "", "every = \"2nd\"\n"][dice.below(3) as usize];
        format!(
            "[[rule]]\nid = \"r{n}-{}\"\non = \"edge db\"\nrate = \"{rate}%\"\n{when}{every}{fault}\n",
            dice.below(4)
        )
    };
    (0..dice.below(4)).map(|n| rule(n, dice)).collect()
}

/// Sends and reads back; whatever comes is what was sent, as far as it comes.
fn shop(addr: SocketAddr, dice: &mut Dice) {
    let Ok(mut client) = TcpStream::connect(addr) else { return };
    client.set_read_timeout(Some(ms(300))).expect("timeout");
    client.set_write_timeout(Some(PATIENCE)).expect("timeout");
    let bytes = pattern(dice.below(60_000) as usize);
    let (mut writer, sent, half) = (client.try_clone().expect("a handle"), bytes.clone(), dice.below(2) == 0);
    let writing = std::thread::spawn(move || {
        let _ = writer.write_all(&sent);
        if half {
            let _ = writer.shutdown(Shutdown::Write);
        }
    });
    let (mut got, mut piece) = (Vec::new(), [0; 16 * 1024]);
    while got.len() < bytes.len() {
        match client.read(&mut piece) {
            Ok(0) | Err(_) => break, // cut, or held: then it leaves
            Ok(read) => got.extend_from_slice(&piece[..read]),
        }
    }
    assert!(bytes.starts_with(&got), "in order: {} of {} bytes", got.len(), bytes.len());
    if dice.below(4) == 0 {
        vanish(client);
    } else {
        drop(client);
    }
    writing.join().expect("written");
}

#[test]
fn random_rules_leave_bytes_in_order_and_rows_that_hold() {
    let upstream = Upstream::echo();
    let proxy = Proxy::tcp_before(upstream.addr).rules("").start();
    let (addr, stop) = (proxy.tcp("db"), Arc::new(AtomicBool::new(false)));
    let clients: Vec<_> = (0..8_u64)
        .map(|seed| {
            let stop = stop.clone();
            std::thread::spawn(move || {
                let mut dice = Dice(seed);
                while !stop.load(Ordering::Relaxed) {
                    shop(addr, &mut dice);
                }
            })
        })
        .collect();
    let mut dice = Dice(2026);
    for n in 0..60 {
        proxy.edit(&rules(&mut dice));
        if n % 7 == 0 {
            proxy.post(["/lift", "/arm"][n / 7 % 2]);
        }
        std::thread::sleep(ms(dice.below(60)));
        proxy.rows("db"); // at any moment
    }
    proxy.post("/lift");
    stop.store(true, Ordering::Relaxed);
    clients.into_iter().for_each(|client| client.join().expect("in order"));
    let rows = proxy.settled("db");
    assert!(rows["accepted"].as_u64() > Some(50), "{rows:#}");
    assert_eq!(proxy.status()["fault_panics"], 0);
    assert_eq!(proxy.status()["faults_active"], 0);
    let books = proxy.json("/books");
    for rule in books["rules"].as_array().expect("rules") {
        let spared: u64 = rule["suppressed"]
            .as_object()
            .expect("counts")
            .values()
            .filter_map(serde_json::Value::as_u64)
            .sum();
        assert_eq!(
            rule["selected"].as_u64(),
            rule["applied"].as_u64().map(|applied| applied + spared),
            "{rule:#}"
        );
        assert!(rule["selected"].as_u64() <= rule["eligible"].as_u64(), "{rule:#}");
    }
}
