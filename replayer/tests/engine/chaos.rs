//! Everything at once, by the dice: whatever the flags and whatever the origin does, a run ends, its books hold, and
//! each session has ended in one way. A failing case names its number, which is all it takes to repeat it.

use std::io::Write;
use std::sync::mpsc;
use std::time::Duration;

use captures::Exchange;
use replayer::late::LatePolicy;
use replayer::options::{Connections, Http, Options, Speed};

use crate::support::{Server, Then, answer, capture, options, replay, step, with_body};
use crate::two::{Reply, Setup, Two, fine};

/// Dice that fall the same way every time (SplitMix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }

    fn one_of<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize].clone()
    }

    /// True once in so many times.
    fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }
}

/// What an operation meets: its own id and attempt decide.
fn fate(operation: &str, attempt: &str) -> u64 {
    let number = u64::from_str_radix(operation, 16).unwrap();
    Dice(number ^ attempt.parse::<u64>().unwrap()).below(12)
}

/// An origin that does most things that origins do.
fn chaotic() -> Server {
    Server::start(|met, stream| {
        match fate(met.header("squall-op").unwrap(), met.header("squall-attempt").unwrap()) {
            0 => return Then::Reset,
            1 => return Then::Close,
            2 => {
                let _ = stream.write_all(b"\x16\x03\x01 what?\r\n\r\n");
                return Then::Keep;
            }
            3 => {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this");
                return Then::Close;
            }
            4 => std::thread::sleep(Duration::from_millis(250)),
            5 => std::thread::sleep(Duration::from_millis(20)),
            6 => {
                answer(stream, "503 Busy", "", b"busy");
                return Then::Keep;
            }
            7 => {
                answer(stream, "200 OK", "Connection: close\r\n", b"ok");
                return Then::Close;
            }
            _ => {}
        }
        answer(stream, "200 OK", "Set-Cookie: a=b\r\n", b"ok");
        Then::Keep
    })
}

/// The same over HTTP/2.
fn chaotic_two(dice: &mut Dice) -> Two {
    let setup = Setup {
        max_streams: dice.one_of(&[None, Some(1), Some(3)]),
        goodbye_after: dice.one_of(&[None, Some(7)]),
        window: dice.one_of(&[None, Some(1 << 10)]),
        tls: None,
    };
    Two::open(setup, |met| {
        match fate(met.header("squall-op").unwrap(), met.header("squall-attempt").unwrap()) {
            0 => Reply::Reset(h2::Reason::INTERNAL_ERROR),
            1 => Reply::Reset(h2::Reason::REFUSED_STREAM),
            2 => Reply::Cut,
            3 => Reply::Early,
            4 => Reply::Gated, // for ever
            5 => Reply::Fine(vec![("set-cookie", "a=b".to_owned())], vec![b'x'; 100_000]),
            _ => fine(),
        }
    })
}

/// Sessions with steps in a row, side by side and on several connections.
fn recording(dice: &mut Dice) -> Vec<Exchange> {
    let mut all = Vec::new();
    for session in 0..12 {
        let mut at = session * 20;
        for place in 0..1 + dice.below(5) {
            let method = dice.one_of(&["GET /a", "GET /b", "POST /pay", "DELETE /c"]);
            let mut exchange = step(session, at, 1 + dice.below(60), method);
            exchange.connection = Some(session * 8 + place % 2);
            if method.starts_with("POST") {
                exchange = with_body(exchange, &vec![b'x'; dice.below(30_000) as usize]);
            }
            all.push(exchange);
            at += dice.below(80);
        }
    }
    all
}

fn flags(dice: &mut Dice, options: &mut Options) {
    options.seed = dice.below(1000).to_string();
    options.speed = dice.one_of(&[Speed::Max, Speed::Times(1.0), Speed::Times(5.0)]);
    options.connections = dice.one_of(&[Connections::Recorded, Connections::PerSession, Connections::Shared]);
    options.max_connections = dice.one_of(&[None, Some(2), Some(5)]);
    options.streams = dice.one_of(&[1, 4, 100]);
    options.threads = Some(dice.one_of(&[1, 2]));
    options.timeout = Duration::from_millis(dice.one_of(&[100, 150, 2000]));
    options.late_policy = dice.one_of(&[LatePolicy::CatchUp, LatePolicy::Skip, LatePolicy::Queue]);
    options.retry = dice.one_of(&["none", "naive:2", "backoff:2,1ms..5ms", "budget:20%,2"]).parse().unwrap();
    let kinds = [
        "slow-link 30% 200KB/s",
        "slow-reader 30% 100KB/s",
        "double-submit 40%",
        "abandon 30%",
        "abandon 30% after 5ms",
    ];
    for kind in kinds {
        if dice.once_in(3) {
            options.misbehaviours.push(kind.parse().unwrap());
        }
    }
    options.max_rate = dice.one_of(&[None, None, Some(400.0)]);
    options.warmup = dice.one_of(&[None, Some(Duration::from_millis(100))]);
    match dice.below(4) {
        0 => {
            options.sessions = Some(1 + dice.below(15));
            options.duration = Some(Duration::from_millis(1 + dice.below(1500)));
        }
        1 => {
            options.looped = true;
            options.duration = Some(Duration::from_millis(40 + dice.below(900)));
        }
        _ => {
            options.amplify = dice.one_of(&[0.5, 1.0, 3.5, 8.0]);
            options.duration = dice.one_of(&[None, Some(Duration::from_millis(200))]);
        }
    }
    // Without an end of its own a loop at full speed is as large as the machine is fast.
    if options.speed == Speed::Max && (options.looped || options.sessions.is_some()) {
        options.max_rate = Some(400.0);
    }
    options.rehearsal = dice.once_in(6);
}

fn case(number: u64) {
    let mut dice = Dice(number);
    let dir = tempfile::tempdir().unwrap();
    let server = chaotic();
    let mut options = options(&capture(dir.path(), &recording(&mut dice)), &server);
    flags(&mut dice, &mut options);
    let two = dice.once_in(2).then(|| chaotic_two(&mut dice));
    if let Some(two) = &two {
        options.http = Http::Two;
        options.target = Some(two.url());
    }
    if dice.once_in(5) {
        let (stop, wait) = (options.stop.clone(), dice.below(400));
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(wait));
            stop.interrupt();
        });
    }
    let report = replay(&options);
    let sessions = &report.sessions;
    assert_eq!(sessions.started, sessions.completed + sessions.aborted, "{number}: {sessions:?}");
    assert!(report.books.balanced, "{number}: {:?}", report.books);
    assert!(report.exit_code != 113, "{number}: {}", report.reason);
    let met = two.map_or_else(|| server.met().len(), |two| two.met().len());
    assert!(met as u64 <= report.requests.sent + 100, "{number}: the origin met {met}");
}

/// Runs cases from `first` on; one that does not end is named.
fn cases(first: u64, count: u64) {
    for number in first..first + count {
        let (done, ended) = mpsc::channel();
        let runner = std::thread::spawn(move || {
            case(number);
            let _ = done.send(());
        });
        if ended.recv_timeout(Duration::from_secs(60)) == Err(mpsc::RecvTimeoutError::Timeout) {
            panic!("case {number} has no end");
        }
        assert!(runner.join().is_ok(), "case {number} failed");
    }
}

#[test]
fn forty_runs_end_and_their_books_hold() {
    cases(0, 40);
}

#[test]
#[ignore = "stress: a thousand runs, a quarter of an hour"]
fn a_thousand_runs_end_and_their_books_hold() {
    cases(1000, 1000);
}
