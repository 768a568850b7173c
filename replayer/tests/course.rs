//! The course of a run in run.json: the series, the heat map and the funnel add up to the rest of the report.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

mod support;

use std::time::Duration;

use replayer::Report;
use replayer::options::{Retry, Speed};
use replayer::report::{Second, Statuses};
use support::{Server, Then, answer, replay_on, step};

/// Whatever the run: its parts agree.
fn expect_sums(report: &Report) {
    let sum = |part: fn(&Second) -> u64| report.series.iter().map(part).sum::<u64>();
    let requests = &report.requests;
    assert_eq!(sum(|second| second.sent), requests.sent);
    assert_eq!(sum(|second| second.answered), requests.answered);
    assert_eq!(sum(|second| second.failed), report.failures.total);
    let status = report.series.iter().fold(Statuses::default(), |mut sum, second| {
        let Statuses { switched, ok, elsewhere, refused, broken } = second.status;
        sum.switched += switched;
        (sum.ok, sum.elsewhere) = (sum.ok + ok, sum.elsewhere + elsewhere);
        (sum.refused, sum.broken) = (sum.refused + refused, sum.broken + broken);
        sum
    });
    let class = |first: &str| -> u64 {
        requests.status.iter().filter(|(status, _)| status.starts_with(first)).map(|(_, count)| count).sum()
    };
    assert_eq!((status.switched, status.ok, status.elsewhere), (class("1"), class("2"), class("3")));
    assert_eq!((status.refused, status.broken), (class("4"), class("5")));
    assert!((0..).zip(&report.series).all(|(place, second)| second.t_us == place * report.series_step_us));
    assert!(sum(|second| second.planned) <= requests.planned);

    let answered = report.latency.response.count;
    let heat: u64 = report.heat.iter().flat_map(|heat| heat.counts.iter().flatten()).sum();
    assert_eq!(heat, answered, "the heat map holds each response once");
    if let Some(heat) = &report.heat {
        assert!(heat.counts.iter().all(|row| row.len() == heat.bounds_us.len()));
        assert!(heat.bounds_us.is_sorted());
    }

    assert_eq!(report.funnel.iter().map(|step| step.reached).sum::<u64>(), requests.sent - requests.retries);
    for step in &report.funnel {
        assert!(step.completed + step.failed <= step.reached, "{step:?}");
    }
}

#[test]
fn a_run_of_all_kinds_of_answers_adds_up() {
    let server = Server::start(|met, stream| match met.target.as_str() {
        "/a" => {
            answer(stream, "200 OK", "", b"ok");
            Then::Keep
        }
        "/b" => {
            answer(stream, "302 Found", "", b"");
            Then::Keep
        }
        "/c" => {
            answer(
                stream,
                if met.header("squall-attempt") == Some("1") { "503 No" } else { "404 No" },
                "",
                b"",
            );
            Then::Keep
        }
        "/d" => {
            answer(stream, "500 No", "squall-fault: payday\r\n", b"");
            Then::Keep
        }
        _ => Then::Reset,
    });
    let steps: Vec<_> = (0..30)
        .flat_map(|n| {
            ["/a", "/b", "/c", "/d", "/e"]
                .iter()
                .zip(0..)
                .map(move |(path, k)| step(n, n + k * 5, 1, &format!("GET {path}")))
        })
        .filter(|exchange| exchange.session.0 % 2 == 0 || exchange.request.target != "/e")
        .collect();
    let report = replay_on(&server, &steps, |options| {
        options.amplify = 3.0;
        options.retry = "naive:2".parse::<Retry>().unwrap();
    });
    expect_sums(&report);
    assert_eq!(report.series.iter().map(|second| second.planned).sum::<u64>(), report.requests.planned);
    let shown: Vec<_> = report
        .funnel
        .iter()
        .map(|step| (step.step, step.route.as_str(), step.reached, step.completed, step.failed))
        .collect();
    let expected = [(0, "GET /a", 90, 90, 0), (1, "GET /b", 90, 90, 0), (2, "GET /c", 90, 90, 0)];
    assert_eq!(shown[..3], expected);
    assert_eq!(shown[3..], [(3, "GET /d", 90, 0, 90), (4, "GET /e", 45, 0, 45)]);
    let step: Vec<_> = report.series.iter().map(|second| second.status).collect();
    assert!(step.iter().all(|status| status.switched == 0));
    assert_eq!(report.generator.drift_us_per_s, None, "at full speed nothing is due");
}

#[test]
fn what_was_due_is_planned_whether_it_went_or_not() {
    // The second request is due 100 ms after the first, whose answer takes two seconds.
    let server = Server::start(|met, stream| {
        if met.target == "/slow" {
            std::thread::sleep(Duration::from_secs(2));
        }
        answer(stream, "200 OK", "", b"ok");
        Then::Keep
    });
    let steps = [step(1, 0, 1, "GET /slow"), step(1, 100, 1, "GET /next"), step(2, 1200, 1, "GET /other")];
    let report = replay_on(&server, &steps, |options| {
        options.speed = Speed::Times(1.0);
        options.amplify = 4.0;
    });
    expect_sums(&report);
    let planned: Vec<u64> = report.series.iter().map(|second| second.planned).collect();
    // Clones start spread over the recording, so only the sum of both seconds is known to the unit.
    assert_eq!(planned.iter().sum::<u64>(), 12);
    assert!(
        planned.len() >= 2 && report.series.iter().skip(4).all(|second| second.planned == 0),
        "{planned:?}"
    );
    assert_eq!(report.funnel[0].reached, 8);
    assert_eq!((report.generator.late_us, report.generator.cores > 0), (20_000, true));
}

#[test]
fn a_run_that_is_stopped_adds_up_too() {
    let server = Server::start(|_, stream| {
        std::thread::sleep(Duration::from_millis(20));
        answer(stream, "200 OK", "", b"ok");
        Then::Keep
    });
    let steps: Vec<_> = (0..100).map(|i| step(i % 10, i * 40, 10, &format!("GET /item/{i}"))).collect();
    let report = replay_on(&server, &steps, |options| {
        options.speed = Speed::Times(1.0);
        options.duration = Some(Duration::from_millis(1500));
        options.warmup = Some(Duration::from_millis(500));
    });
    assert!(report.requests.never_sent.contains_key("duration"), "{:?}", report.requests);
    expect_sums(&report);
    let planned: u64 = report.series.iter().map(|second| second.planned).sum();
    assert_eq!(planned, report.requests.sent, "each that was due has left");
}
