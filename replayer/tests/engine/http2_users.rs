//! Clients that differ, over HTTP/2: what is per session stays so on connections that are shared.

use std::collections::BTreeSet;
use std::time::Duration;

use captures::Exchange;
use replayer::Report;
use replayer::options::{Connections, Http, Options, Speed};

use crate::support::{Server, capture, options, replay, step, with_body, with_header};
use crate::two::{Reply, Setup, Two, fine};

fn replay_two(two: &Two, exchanges: &[Exchange], change: impl FnOnce(&mut Options)) -> Report {
    let dir = tempfile::tempdir().unwrap();
    let mut options = options(&capture(dir.path(), exchanges), &Server::plain());
    options.target = Some(two.url());
    options.http = Http::Two;
    change(&mut options);
    replay(&options)
}

fn misbehaving(options: &mut Options, kind: &str) {
    options.misbehaviours = vec![kind.parse().unwrap()];
}

#[test]
fn a_request_that_takes_too_long_is_cancelled_and_the_connection_lives_on() {
    let two = Two::open(Setup::default(), |met| match met.path() {
        "/stuck" => Reply::Gated, // for ever
        _ => fine(),
    });
    let steps: Vec<_> =
        (0..20).flat_map(|s| [step(s, s, 1, "GET /stuck"), step(s, s + 1, 1, "GET /next")]).collect();
    let report = replay_two(&two, &steps, |options| {
        options.connections = Connections::Shared;
        (options.threads, options.max_connections, options.streams) = (Some(1), Some(1), 5);
        options.timeout = Duration::from_millis(150);
    });
    let requests = &report.requests;
    assert_eq!((requests.failed["timeout"], requests.answered), (20, 20), "{requests:?}");
    assert_eq!(report.connections.opened, 1);
}

#[test]
fn a_double_submit_is_two_streams() {
    let two = Two::plain();
    let key = "7c9e6679-7425-40de-944b-e07fc1f90ae7";
    let pays = with_body(with_header(step(1, 0, 1, "POST /pay"), "Idempotency-Key", key), b"sum=1");
    let report = replay_two(&two, &[pays], |options| {
        options.amplify = 10.0;
        misbehaving(options, "double-submit 100%");
    });
    assert_eq!((report.requests.sent, report.requests.doubles), (20, 10));
    let met = two.met();
    let of = |header: &str| met.iter().map(|one| one.header(header).unwrap()).collect::<BTreeSet<_>>();
    assert_eq!((met.len(), of("squall-op").len(), of("idempotency-key").len()), (20, 10, 10));
    assert_eq!(of("squall-attempt"), BTreeSet::from(["1", "2"]));
    assert!(met.iter().all(|one| one.body == b"sum=1"));
}

#[test]
fn who_abandons_takes_nobody_along() {
    let two = Two::open(Setup::default(), |met| match met.path() {
        "/stuck" => Reply::Gated, // for ever
        _ => fine(),
    });
    let mut steps = vec![step(1, 0, 1, "GET /stuck"), step(1, 5, 1, "GET /next")];
    steps.extend((2..30).map(|s| step(s, s, 1, "GET /fine")));
    let report = replay_two(&two, &steps, |options| misbehaving(options, "abandon 100% after 2s"));
    let requests = &report.requests;
    assert_eq!((requests.answered, requests.failed["aborted"]), (28, 1), "{requests:?}");
    assert_eq!((requests.never_sent["abandoned"], report.sessions.abandoned), (1, 1));
}

#[test]
fn slow_links_upload_all_the_same() {
    let two = Two::plain();
    let body: Vec<u8> = (0..40_000_u32).map(|n| n as u8).collect();
    let steps = [with_body(step(1, 0, 1, "POST /up"), &body), step(2, 0, 1, "GET /a")];
    let report = replay_two(&two, &steps, |options| misbehaving(options, "slow-link 100% 80KB/s"));
    assert_eq!(report.requests.answered, 2, "{:?}", report.requests);
    assert!(two.met().iter().any(|one| one.body == body), "the body came whole");
    assert!(report.elapsed_us >= 400_000, "half a second's worth of bytes in {} us", report.elapsed_us);
}

#[test]
fn slow_readers_are_served_in_the_end() {
    let two = Two::open(Setup::default(), |_| Reply::Fine(Vec::new(), vec![b'x'; 60_000]));
    let report = replay_two(&two, &[step(1, 0, 1, "GET /a")], |options| {
        misbehaving(options, "slow-reader 100% 100KB/s");
    });
    assert_eq!((report.requests.answered, report.requests.bytes_in >= 60_000), (1, true));
    assert!(report.elapsed_us >= 450_000, "{} us", report.elapsed_us);
}

#[test]
fn sessions_have_connections_of_their_own_where_they_had() {
    let two = Two::plain();
    // Each session has one connection, with two requests at once on it.
    let steps: Vec<_> = (0..5)
        .flat_map(|s| [step(s, s, 50, "GET /a"), step(s, s + 10, 50, "GET /b"), step(s, s + 90, 5, "GET /c")])
        .collect();
    for (connections, opened) in [(Connections::Recorded, 20), (Connections::PerSession, 20)] {
        let before = two.met().len();
        let report = replay_two(&two, &steps, |options| {
            options.amplify = 4.0;
            options.speed = Speed::Times(1.0);
            options.connections = connections;
        });
        assert_eq!((report.requests.answered, report.connections.opened), (60, opened), "{connections:?}");
        let on: BTreeSet<_> = two.met()[before..]
            .iter()
            .map(|one| (one.connection, one.header("squall-session").unwrap().to_owned()))
            .collect();
        assert_eq!(on.len(), 20, "no connection carries two sessions, and no session has two");
    }
    let report = replay_two(&two, &steps, |options| {
        options.amplify = 4.0;
        options.connections = Connections::Shared;
        (options.threads, options.max_connections) = (Some(1), Some(1));
    });
    assert_eq!((report.requests.answered, report.connections.opened), (60, 1));
}

#[test]
fn retries_wait_their_turn_on_the_same_connection() {
    let two = Two::open(Setup { max_streams: Some(2), ..Setup::default() }, |met| {
        let attempt: u32 = met.header("squall-attempt").unwrap().parse().unwrap();
        if attempt < 3 { Reply::Reset(h2::Reason::INTERNAL_ERROR) } else { fine() }
    });
    let steps: Vec<_> = (0..30).map(|s| step(s, s, 1, "GET /a")).collect();
    let report = replay_two(&two, &steps, |options| {
        options.connections = Connections::Shared;
        (options.threads, options.max_connections) = (Some(1), Some(1));
        options.retry = "naive:5".parse().unwrap();
    });
    let requests = &report.requests;
    assert_eq!((requests.sent, requests.retries, requests.answered), (90, 60, 30), "{requests:?}");
    assert_eq!((report.connections.refused_streams, report.connections.opened), (0, 1));
}

#[test]
fn a_capped_rate_holds_streams_back_and_loses_none() {
    let two = Two::plain();
    let steps: Vec<_> = (0..60).map(|s| step(s, s, 1, "GET /a")).collect();
    let report = replay_two(&two, &steps, |options| {
        options.speed = Speed::Times(1.0);
        options.max_rate = Some(100.0);
    });
    assert_eq!(report.requests.answered, 60);
    assert!(report.generator.held_back > 0 && report.elapsed_us >= 500_000, "{} us", report.elapsed_us);
}

#[test]
fn a_rehearsal_is_held_over_http2_as_well() {
    let two = Two::plain();
    let steps: Vec<_> = (0..20).map(|s| step(s, s, 1, "GET /a")).collect();
    let report = replay_two(&two, &steps, |options| {
        options.amplify = 3.0;
        options.rehearsal = true;
    });
    assert_eq!((report.requests.answered, two.met().len()), (60, 70), "{}", report.reason);
}
