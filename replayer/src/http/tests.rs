use super::*;

/// Feeds `text` in pieces of every size; the outcome must not depend on them.
fn read(text: &str, to_head_request: bool) -> (Result<Progress, Garbage>, AtEnd, bool, Vec<u16>) {
    let mut all: Vec<_> = (1..=text.len().max(1)).map(|size| read_in(text, to_head_request, size)).collect();
    all.dedup();
    assert_eq!(all.len(), 1, "pieces changed the outcome of {text:?}: {all:?}");
    all.remove(0)
}

fn read_in(text: &str, to_head: bool, size: usize) -> (Result<Progress, Garbage>, AtEnd, bool, Vec<u16>) {
    let mut reader = Reader::default();
    reader.start(to_head, false);
    let mut seen = Vec::new();
    let mut total = 0;
    let mut outcome = Ok(Progress::More);
    for piece in text.as_bytes().chunks(size) {
        match reader.feed(piece, &mut |part| note(part, &mut seen)) {
            Ok(Progress::More) => total += piece.len(),
            Ok(Progress::Done(here)) => {
                outcome = Ok(Progress::Done(total + here));
                break;
            }
            Err(garbage) => {
                outcome = Err(garbage);
                break;
            }
        }
    }
    let end = if outcome.is_err() { AtEnd::Nothing } else { reader.at_end() };
    (outcome, end, outcome.is_ok() && reader.keeps_alive(), seen)
}

fn note(part: Part<'_>, seen: &mut Vec<u16>) -> bool {
    if let Part::Head(head) = part {
        seen.push(head.status);
    }
    false
}

#[test]
fn bodies_end_where_they_say() {
    let done = |text: &str, extra: usize, keep: bool| {
        let (outcome, _, keeps, seen) = read(&format!("{text}{}", "Z".repeat(extra)), false);
        assert_eq!((outcome, keeps), (Ok(Progress::Done(text.len())), keep), "{text:?}");
        assert_eq!(seen.len(), 1);
    };
    for extra in [0, 3] {
        done("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", extra, true);
        done("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", extra, true);
        done("HTTP/1.1 204 No Content\r\n\r\n", extra, true);
        done("HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n", extra, true);
        done("HTTP/1.1 200 OK\r\nConnection: foo, Close\r\nContent-Length: 1\r\n\r\nx", extra, false);
        done("HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", extra, false);
        done("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx", extra, true);
        done(
            "HTTP/1.1 200\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n",
            extra,
            true,
        );
        done(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\nTrailer: x\r\nT2: y\r\n\r\n",
            extra,
            true,
        );
        done(
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
            extra,
            true,
        );
    }
}

#[test]
fn ends_of_connections_are_told_apart() {
    let check = |text: &str, end: AtEnd| assert_eq!(read(text, false).1, end, "{text:?}");
    check("", AtEnd::Nothing);
    check("HTTP/1.1 2", AtEnd::Cut);
    check("HTTP/1.1 200 OK\r\n\r\nall until close", AtEnd::Complete);
    check("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nuntil close", AtEnd::Complete);
    check("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", AtEnd::Cut);
    check("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", AtEnd::Cut);
}

#[test]
fn head_requests_have_no_body() {
    let (outcome, ..) = read("HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n", true);
    assert!(matches!(outcome, Ok(Progress::Done(_))));
}

#[test]
fn garbage_is_refused() {
    for text in [
        "SSH-2.0-OpenSSH_9.2\r\n",
        "HTTP/1.1 abc\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxy\r\n",
    ] {
        assert_eq!(read(text, false).0, Err(Garbage), "{text:?}");
    }
}

#[test]
fn an_endless_head_is_bounded() {
    let mut reader = Reader::default();
    let mut fed = 0;
    let line = format!("X-Pad: {}\r\n", "y".repeat(1000));
    let mut outcome = reader.feed(b"HTTP/1.1 200 OK\r\n", &mut |_| false);
    while outcome.is_ok() && fed < 10_000_000 {
        outcome = reader.feed(line.as_bytes(), &mut |_| false);
        fed += line.len();
    }
    assert_eq!(outcome, Err(Garbage));
    assert!(fed <= 2 * limits::HEAD_BYTES, "{fed}");
    assert!(reader.partial.len() <= 2 * limits::HEAD_BYTES);
}

#[test]
fn an_endless_chunk_line_is_bounded() {
    let mut reader = Reader::default();
    let mut outcome = reader.feed(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;", &mut |_| false);
    let mut fed = 0;
    while outcome.is_ok() && fed < 10_000_000 {
        outcome = reader.feed(&[b'x'; 999], &mut |_| false);
        fed += 999;
    }
    assert_eq!(outcome, Err(Garbage));
}

#[test]
fn forty_fields_are_read_and_a_thousand_are_not() {
    let head = |n: usize| format!("HTTP/1.1 200 OK\r\n{}Content-Length: 0\r\n\r\n", "A: b\r\n".repeat(n));
    let check = |n, ok: bool| {
        let mut reader = Reader::default();
        assert_eq!(reader.feed(head(n).as_bytes(), &mut |_| false).is_ok(), ok);
    };
    check(40, true);
    check(1000, false);
}

proptest::proptest! {
    #[test]
    fn no_bytes_panic(bytes: Vec<u8>, cut in 0_usize..64) {
        let mut reader = Reader::default();
        let _ = reader.feed(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", &mut |_| false);
        let _ = reader.feed(&bytes, &mut |_| false);
        let mut reader = Reader::default();
        let (a, b) = bytes.split_at(cut.min(bytes.len()));
        let _ = reader.feed(a, &mut |_| false);
        let _ = reader.feed(b, &mut |_| false);
        let _ = reader.at_end();
    }
}
