//! Bad inputs: each ends in a clear message, the right exit code and bounded memory, seen from outside.

use std::io::Write;
use std::net::TcpStream;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::kit::{Finished, Replayed, Server, Then, answer, capture, text};
use crate::support::replay;

/// Asserts that the replay is refused with code 104 and these words, before anything is sent.
#[track_caller]
fn refused(capture: &Path, args: &[&str], words: &[&str]) {
    let server = Server::plain();
    let capture = text(capture);
    let mut command = replay(&["--target", &server.url()]);
    command.args(args).arg(capture);
    Finished::of(command).expect_words(104, words);
    assert!(server.met().is_empty(), "nothing is sent to a target when the input is bad");
}

/// Five sessions of two requests.
fn shop(folder: &TempDir) -> PathBuf {
    let steps: Vec<_> = (0..10).map(|n| (n % 5, n * 10, 1, "GET /api/products", "shop.test")).collect();
    capture(folder.path(), &steps)
}

#[test]
fn a_torn_tail_costs_what_was_torn_and_is_said() {
    let folder = TempDir::new().unwrap();
    let path = shop(&folder);
    let whole = std::fs::read(&path).unwrap();
    let server = Server::plain();
    let how = ["--target", &server.url(), "--speed", "max"];
    // The end of a file that was being written: half a block.
    std::fs::write(&path, [&whole[..], &[0x28, 0xb5, 0x2f, 0xfd, 1, 2, 3]].concat()).unwrap();
    let run = Replayed::of(&path, &how).expect_code(0).expect_answered(10);
    run.finished.expect_words(0, &["damaged"]);
    // Cut in its midst: what can be read is replayed, or there is nothing, which is said as well.
    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let mut command = replay(&how);
    command.arg(&path);
    let finished = Finished::of(command);
    assert!(
        [Some(0), Some(104)].contains(&finished.code),
        "{:?}: {}{}",
        finished.code,
        finished.out,
        finished.err
    );
    assert!(
        format!("{}{}", finished.out, finished.err).contains("damaged"),
        "{}{}",
        finished.out,
        finished.err
    );
}

#[test]
fn captures_without_a_session_say_so() {
    let folder = TempDir::new().unwrap();
    refused(&capture(folder.path(), &[]), &[], &["capture.zst", "holds no session"]);
    let empty = folder.path().join("empty.zst");
    std::fs::write(&empty, b"").unwrap();
    refused(&empty, &[], &["empty.zst"]);
    refused(&folder.path().join("nothing.zst"), &[], &["nothing.zst", "No such file"]);
    refused(folder.path(), &[], &[&text(folder.path())]);
}

#[test]
fn numbers_that_make_no_sense_are_refused_in_words() {
    let folder = TempDir::new().unwrap();
    let shop = shop(&folder);
    refused(&shop, &["--amplify", "0"], &["--amplify", "would replay nothing"]);
    refused(&shop, &["--amplify", "0.0x"], &["would replay nothing"]);
    refused(&shop, &["--amplify=-3"], &["--amplify"]);
    refused(&shop, &["--amplify", "nanx"], &["--amplify"]);
    refused(&shop, &["--sessions", "0"], &["--sessions"]);
    refused(&shop, &["--rate", "0/s"], &["--rate"]);
    refused(&shop, &["--duration", "30"], &["no unit"]);
    refused(&shop, &["--amplify", "2x", "--sessions", "5"], &["cannot be used with"]);
    refused(&shop, &["--shard", "3/2"], &["--shard"]);
    refused(&shop, &["--retry", "often"], &["--retry", "naive"]);
    refused(&shop, &["--misbehave", "slow-reader 5%"], &["slow-reader 2% 4KB/s"]);
    refused(&shop, &["--misbehave", "abandon 60%", "--misbehave", "abandon 60%"], &["120%"]);
    refused(&shop, &["--late-policy", "skipp"], &["skip"]);
    refused(&shop, &["--bind", "10.0.0.1/8"], &["--bind"]);
    refused(&shop, &["--set", "headr:x=1"], &["--set", "header"]);
    refused(&shop, &["--threshold", "errrors<1%"], &["errors"]);
    refused(&shop, &["--threshold", "errors{route=GET /nowhere}<1%"], &["GET /nowhere"]);
    refused(&shop, &["--boost", "GET /nowhere:5x"], &["GET /nowhere"]);
    refused(&shop, &["--abort-on", "errors over 10s"], &["--abort-on"]);
    refused(&shop, &["--start-at", "tomorrow"], &["tomorrow"]);
    refused(&shop, &["--only", "GET /nowhere"], &["capture.zst"]);
}

#[test]
fn a_typo_in_a_profile_is_shown_with_its_place() {
    let folder = TempDir::new().unwrap();
    let shop = shop(&folder);
    refused(&shop, &["--profile", "ramp:0..100x/2m, hodl/10m"], &["hodl", "hold"]);
    refused(&shop, &["--profile", "ramp:0..100x"], &["ramp"]);
    refused(&shop, &["--profile", "hold/10"], &["10"]);
    refused(&shop, &["--profile", "step:-50x/1m"], &["step"]);
    refused(&shop, &["--profile", ""], &["--profile"]);
    refused(&shop, &["--stage", "1m"], &["--stage"]);
}

#[test]
fn too_few_users_are_refused_with_both_numbers() {
    let folder = TempDir::new().unwrap();
    let (shop, users) = (shop(&folder), folder.path().join("users.csv"));
    std::fs::write(&users, "id\na\nb\n").unwrap();
    let users = text(&users);
    let how = ["--users", &users, "--set", "header:x-user={id}", "--amplify", "4x"];
    refused(&shop, &how, &["2 rows", "20 sessions", "--users-wrap"]);
    refused(&shop, &["--users", "none.csv"], &["none.csv"]);
    refused(&shop, &["--users", &users, "--set", "header:x={nmae}"], &["no column `nmae`", "id"]);
    refused(&shop, &["--users-wrap"], &["--users"]);
}

/// Replays the shop against a peer that does this with each request; memory stays bounded.
#[track_caller]
fn against(act: impl Fn(&mut TcpStream) -> Then + Send + Sync + 'static, timeout: &str) -> Replayed {
    let folder = TempDir::new().unwrap();
    let server = Server::open(move |_, stream| act(stream));
    let how = ["--target", &server.url(), "--speed", "max", "--timeout", timeout];
    let run = Replayed::of(&shop(&folder), &how).expect_not_off();
    assert!(run.n("/generator/rss_peak") < 128 << 20, "{} bytes", run.n("/generator/rss_peak"));
    run
}

/// Asserts that all requests ended in that class and that the run failed for it, in words.
#[track_caller]
fn expect_all(run: Replayed, class: &str) {
    assert_eq!(run.n(&format!("/requests/failed/{class}")), 10, "{:#}", run.json["requests"]);
    let run = run.expect_code(99);
    run.finished.expect_words(99, &["nothing was answered", class]);
}

#[test]
fn a_target_that_resets_everything() {
    expect_all(against(|_| Then::Reset, PATIENT), "reset");
}

#[test]
fn a_target_that_never_answers() {
    let act = |stream: &mut TcpStream| {
        // until the replayer has lost its patience
        let _ = std::io::Read::read(stream, &mut [0; 1]);
        Then::Close
    };
    expect_all(against(act, "300ms"), "timeout");
}

#[test]
fn a_target_that_sends_garbage() {
    let act = |stream: &mut TcpStream| {
        let _ = stream.write_all(&[0xfe; 100_000]);
        Then::Keep
    };
    expect_all(against(act, PATIENT), "protocol");
}

#[test]
fn an_endless_header() {
    let act = |stream: &mut TcpStream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n");
        while stream.write_all(&[&b"x: "[..], &[b'y'; 4000], b"\r\n"].concat()).is_ok() {}
        Then::Close
    };
    expect_all(against(act, PATIENT), "protocol");
    let line = |stream: &mut TcpStream| {
        let _ = stream.write_all(b"HTTP/1.1 200 ");
        while stream.write_all(&[b'O'; 4000]).is_ok() {}
        Then::Close
    };
    expect_all(against(line, PATIENT), "protocol");
    let chunk = |stream: &mut TcpStream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
        while stream.write_all(b"1;extension=and-so-on\r\n").is_ok() {}
        Then::Close
    };
    expect_all(against(chunk, PATIENT), "protocol");
}

#[test]
fn a_gigabyte_is_counted_and_not_kept() {
    let folder = TempDir::new().unwrap();
    let server = Server::open(|met, stream| {
        if met.what != "GET /big" {
            return answer(stream, b"ok");
        }
        let block = vec![b'x'; 1 << 20];
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", 1 << 30);
        let mut sent = stream.write_all(head.as_bytes());
        for _ in 0..1024 {
            sent = sent.and_then(|()| stream.write_all(&block));
        }
        sent.map_or(Then::Close, |()| Then::Keep)
    });
    let path = capture(folder.path(), &[(1, 0, 1, "GET /big", "a"), (1, 5, 1, "GET /after", "a")]);
    let how = ["--target", &server.url(), "--speed", "max", "--timeout", "2m"];
    let run = Replayed::of(&path, &how).expect_code(0).expect_answered(2);
    assert!(run.n("/requests/bytes_in") > 1 << 30);
    assert!(run.n("/generator/rss_peak") < 128 << 20, "{} bytes", run.n("/generator/rss_peak"));
}

/// So long that whatever ends before ends by itself.
const PATIENT: &str = "30s";
