//! Plans against machines that are made up.

use std::time::Duration;

use super::machine::PortRest;
use super::*;

fn machine() -> Machine {
    Machine {
        files_limit: 20_000,
        files_open: 12,
        files_most: 1 << 20,
        memory: Some(1 << 30),
        ports: 28_000,
        port_rest: PortRest { loopback: Duration::from_secs(1), elsewhere: Duration::from_secs(60) },
        cores: 2,
        foreign_sources: None,
    }
}

fn needs() -> Needs {
    Needs {
        sockets_required: 100,
        because: Because::Requests,
        sockets_wanted: 1000,
        opens_per_second: 50,
        memory: 100 << 20,
        threads: 2,
        target: Destination { listeners: 1, loopback: true, ipv6: false },
        sources: Vec::new(),
        identities: None,
    }
}

fn block(text: &str) -> Vec<IpAddr> {
    text.parse::<crate::bind::Cidr>().map(|block| block.addresses().collect()).expect("a block")
}

/// The only row that does not fit, and its words.
fn trouble(needs: &Needs, machine: &Machine) -> (Fit, &'static str, String) {
    let preflight = Preflight::new(needs, machine);
    let bad: Vec<&Row> = preflight.rows.iter().filter(|row| row.fit != Fit::Ok).collect();
    assert_eq!(bad.len(), 1, "{preflight}");
    assert_eq!(preflight.refusal().is_some(), bad[0].fit == Fit::Refused);
    assert_eq!(preflight.warnings().count(), usize::from(bad[0].fit == Fit::Tight));
    (bad[0].fit, bad[0].what, bad[0].help.clone())
}

fn check(needs: &Needs, machine: &Machine, fit: Fit, what: &str, words: &[&str]) {
    let found = trouble(needs, machine);
    assert_eq!((found.0, found.1), (fit, what), "{}", found.2);
    for word in words {
        assert!(found.2.contains(word), "expected `{word}` in: {}", found.2);
    }
}

#[test]
fn what_fits_is_a_table_without_a_word_more() {
    let mut needs = needs();
    needs.identities = Some(Identities { rows: 10, sessions: Some(10), wrap: false });
    let preflight = Preflight::new(&needs, &machine());
    assert_eq!((preflight.refusal(), preflight.warnings().count()), (None, 0));
    let expected = "\
sockets             1,000  of 19,924 open files  ok
ports               1,000  of            28,000  ok
new connections      50/s  of          27,000/s  ok
memory           104.9 MB  of         1073.7 MB  ok
identities             10  of                10  ok
threads                 2  of           2 cores  ok";
    assert_eq!(preflight.to_string(), expected);
}

#[test]
fn sockets_beyond_the_limit_are_refused_only_where_they_are_demanded() {
    let with = |required, wanted, because| Needs {
        sockets_required: required,
        sockets_wanted: wanted,
        because,
        target: Destination { listeners: 1000, loopback: true, ipv6: false },
        ..needs()
    };
    let fits = Preflight::new(&with(19_000, 19_000, Because::MaxConnections), &machine());
    assert_eq!((fits.refusal(), fits.warnings().count()), (None, 0));
    check(
        &with(50, 50_000, Because::Requests),
        &machine(),
        Fit::Tight,
        "sockets",
        &["50,000", "19,924", "degraded", "`ulimit -n 50076`", "--connections shared"],
    );
    check(
        &with(50_000, 50_000, Because::MaxConnections),
        &machine(),
        Fit::Refused,
        "sockets",
        &["50,000 sockets must", "`ulimit -n 50076`", "--max-connections 19924"],
    );
    check(
        &with(30_000, 0, Because::PerSession),
        &machine(),
        Fit::Refused,
        "sockets",
        &["one for each session", "--connections shared"],
    );
    check(&with(30_000, 0, Because::Streams), &machine(), Fit::Refused, "sockets", &["stream", "--http2"]);
    check(
        &with(2_000_000, 0, Because::MaxConnections),
        &machine(),
        Fit::Refused,
        "sockets",
        &["`sysctl fs.nr_open=2000076`", "`ulimit -n 2000076`"],
    );
}

#[test]
fn files_that_are_open_already_are_not_counted_twice() {
    let busy = Machine { files_open: 19_500, ..machine() };
    check(&needs(), &busy, Fit::Tight, "sockets", &["436 more files", "`ulimit -n 20564`"]);
}

#[test]
fn ports_multiply_with_sources_and_listeners() {
    let plenty = Machine { files_limit: 10_000_000, files_most: 10_000_000, ..machine() };
    let mut needs =
        Needs { sockets_required: 1_000_000, because: Because::MaxConnections, memory: 1, ..needs() };
    needs.opens_per_second = 0;
    check(
        &needs,
        &plenty,
        Fit::Refused,
        "ports",
        &[
            "1 source address to 1 target address are enough for 28,000",
            "--bind 127.0.0.0/26",
            "--max-connections 28000",
        ],
    );
    needs.sources = block("127.0.0.0/26");
    assert_eq!(Preflight::new(&needs, &plenty).refusal(), None);
    needs.sources = block("127.0.0.0/27");
    check(&needs, &plenty, Fit::Refused, "ports", &["32 source addresses"]);
    needs.target.listeners = 2;
    assert_eq!(Preflight::new(&needs, &plenty).refusal(), None);
    needs.sources = Vec::new();
    needs.target = Destination { listeners: 1, loopback: false, ipv6: false };
    check(&needs, &plenty, Fit::Refused, "ports", &["36 addresses", "ip_local_port_range"]);
    needs.target = Destination { listeners: 1, loopback: true, ipv6: true };
    check(&needs, &plenty, Fit::Refused, "ports", &["127.0.0.1"]);
    (needs.sockets_required, needs.sockets_wanted) = (100, 28_001);
    check(&needs, &plenty, Fit::Tight, "ports", &["28,001", "closed early"]);
}

#[test]
fn ports_at_rest_bound_the_rate_of_new_connections() {
    let mut needs = Needs { opens_per_second: 10_000, ..needs() };
    assert_eq!(Preflight::new(&needs, &machine()).warnings().count(), 0);
    needs.target.loopback = false;
    check(
        &needs,
        &machine(),
        Fit::Tight,
        "new connections",
        &["10,000", "600,000 ports", "60 s each", "27,000"],
    );
    let slow = Machine {
        port_rest: PortRest { loopback: Duration::from_secs(60), elsewhere: Duration::from_secs(60) },
        ..machine()
    };
    needs.target.loopback = true;
    check(&needs, &slow, Fit::Tight, "new connections", &["--bind 127.0.0.0/27"]);
}

#[test]
fn memory_identities_and_threads_have_rows_too() {
    let base = needs();
    let large = |memory| Needs { memory, ..base.clone() };
    check(&large(1 << 31), &machine(), Fit::Refused, "memory", &["2147.5 MB", "1073.7 MB", "--shard"]);
    check(&large((1 << 30) - 1), &machine(), Fit::Tight, "memory", &["control groups"]);
    let unknown = Machine { memory: None, ..machine() };
    assert_eq!(Preflight::new(&large(u64::MAX), &unknown).refusal(), None);
    let few =
        |sessions, wrap| Needs { identities: Some(Identities { rows: 3, sessions, wrap }), ..base.clone() };
    check(
        &few(Some(4), false),
        &machine(),
        Fit::Refused,
        "identities",
        &["3 rows", "4 sessions", "--users-wrap"],
    );
    check(&few(None, false), &machine(), Fit::Refused, "identities", &["until it is stopped"]);
    assert_eq!(Preflight::new(&few(Some(4), true), &machine()).refusal(), None);
    let crowd = Needs { threads: 8, ..base.clone() };
    check(&crowd, &machine(), Fit::Tight, "threads", &["8 threads share 2 cores"]);
}

#[test]
fn sources_must_be_able_to_reach_the_target() {
    let from = |sources: &str, loopback, ipv6| Needs {
        sources: block(sources),
        target: Destination { listeners: 1, loopback, ipv6 },
        ..needs()
    };
    check(&from("fd00::7", true, false), &machine(), Fit::Refused, "addresses", &["fd00::7 is no IPv4"]);
    check(&from("127.0.1.0/24", true, true), &machine(), Fit::Refused, "addresses", &["no IPv6"]);
    check(
        &from("127.0.1.0/24", false, false),
        &machine(),
        Fit::Refused,
        "addresses",
        &["beyond this machine"],
    );
    let foreign = Machine { foreign_sources: Some("--bind: 10.9.9.9 is foreign".to_owned()), ..machine() };
    check(&from("10.9.9.9", true, false), &foreign, Fit::Refused, "addresses", &["10.9.9.9 is foreign"]);
    assert_eq!(Preflight::new(&from("127.0.1.0/24", true, false), &machine()).refusal(), None);
}

#[test]
fn all_reasons_are_told_at_once() {
    let needs = Needs { sockets_required: 30_000, memory: 1 << 40, ..needs() };
    let words = Preflight::new(&needs, &machine()).refusal().expect("three reasons");
    assert!(words.contains("ulimit -n") && words.contains("--bind") && words.contains("--shard"), "{words}");
}
