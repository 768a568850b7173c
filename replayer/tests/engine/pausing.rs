//! A pause: nothing new is sent, and afterwards everything lies later by as long.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use replayer::Progress;
use replayer::options::Speed;

use crate::support::{Server, Then, answer, capture, options, step};

/// Longer than the 50 ms that a pause may take to be heard, many times over.
const HEARD: Duration = Duration::from_millis(500);

fn paused_and_resumed(speed: Speed, change: impl FnOnce(&mut replayer::Options)) -> (replayer::Report, u64) {
    let count = Arc::new(AtomicU64::new(0));
    let seen = Arc::clone(&count);
    let server = Server::start(move |_, stream| {
        seen.fetch_add(1, Ordering::SeqCst);
        answer(stream, "200 OK", "", b"ok");
        Then::Keep
    });
    let dir = tempfile::tempdir().unwrap();
    let steps: Vec<_> = (0..400).map(|n| step(n % 20, 5 * n, 2, "GET /a")).collect();
    let mut options = options(&capture(dir.path(), &steps), &server);
    options.speed = speed;
    change(&mut options);
    let (stop, met) = (options.stop.clone(), Arc::clone(&count));
    let user = std::thread::spawn(move || {
        while met.load(Ordering::SeqCst) < 50 {
            std::thread::yield_now();
        }
        stop.pause(true);
        std::thread::sleep(HEARD);
        let before = met.load(Ordering::SeqCst);
        std::thread::sleep(HEARD);
        assert_eq!(met.load(Ordering::SeqCst), before, "nothing is sent during a pause");
        stop.pause(false);
        before
    });
    let report = replayer::replay(&options, &mut |_: Progress| {}).unwrap();
    (report, user.join().unwrap())
}

#[test]
fn the_rest_of_a_paced_run_lies_later() {
    let (report, before) = paused_and_resumed(Speed::Times(1.0), |_| {});
    assert!(before < 400, "it was paused in its midst");
    assert_eq!((report.requests.sent, report.requests.answered), (400, 400));
    assert!(report.books.balanced && report.requests.never_sent.values().all(|count| *count == 0));
    let said = report.generator.notes.join("\n");
    assert!(said.contains("paused"), "{said}");
    assert!(
        report.latency.response.p50 < 500_000,
        "a pause is nobody's latency: {:?}",
        report.latency.response.p50
    );
    assert!(report.latency.lateness.p50 < 500_000, "nor is it lateness: {:?}", report.latency.lateness.p50);
    assert!(2_900_000 <= report.elapsed_us, "two seconds of plan and one of pause: {}", report.elapsed_us);
}

#[test]
fn the_duration_stands_still() {
    let (report, _) = paused_and_resumed(Speed::Times(1.0), |options| {
        options.duration = Some(Duration::from_millis(1_900));
    });
    // each second of the plan has 200; those due in the last 100 ms are beyond the duration
    assert_eq!(report.requests.sent, 380);
    assert_eq!(report.requests.never_sent["duration"], 20);
    assert!(report.books.balanced);
}

#[test]
fn replacements_come_after_it() {
    let (report, _) = paused_and_resumed(Speed::Times(1.0), |options| {
        options.sessions = Some(20);
        options.duration = Some(Duration::from_secs(4));
    });
    assert!(report.books.balanced, "{:?}", report.books);
    assert!(report.sessions.started > 20, "who ended was replaced: {:?}", report.sessions);
}
