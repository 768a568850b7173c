//! What collectors put before each line: syslog in both of its forms, the runtime of a pod, Compose.

/// The line itself.
pub(super) fn unwrapped(line: &[u8]) -> &[u8] {
    let rest = match line {
        [b'<', digits @ ..] => match digits.iter().position(|byte| *byte == b'>') {
            Some(end @ 1..=3) if digits[..end].iter().all(u8::is_ascii_digit) => &digits[end + 1..],
            _ => return line,
        },
        _ => line,
    };
    by_date(rest)
        .or_else(|| by_iso_time(rest))
        .or_else(|| versioned(rest))
        .or_else(|| composed(rest))
        .unwrap_or(line)
}

/// `Nov 14 22:13:20 host nginx[7]: …`
fn by_date(line: &[u8]) -> Option<&[u8]> {
    let (month, rest) = word(line)?;
    let (day, rest) = word(rest)?;
    let (time, rest) = word(rest)?;
    let is_clock = matches!(time, [_, _, b':', _, _, b':', _, _]);
    let is_date = MONTHS.contains(&month) && day.len() <= 2 && day.iter().all(u8::is_ascii_digit);
    if is_date && is_clock { tagged(rest) } else { None }
}

/// `2023-11-14T22:13:20Z host nginx: …`, or `2023-11-14T22:13:20.5Z stdout F …` in a pod.
fn by_iso_time(line: &[u8]) -> Option<&[u8]> {
    let (time, rest) = word(line)?;
    if !matches!(time, [b'0'..=b'9', _, _, _, b'-', _, _, b'-', _, _, b'T', ..]) {
        return None;
    }
    let (next, behind) = word(rest)?;
    match word(behind) {
        _ if behind.starts_with(b"{") => Some(behind),
        Some((b"F" | b"P", message)) if next == b"stdout" || next == b"stderr" => Some(message),
        _ => tagged(rest),
    }
}

/// `1 2023-11-14T22:13:20Z host nginx 7 - - …`
fn versioned(line: &[u8]) -> Option<&[u8]> {
    let mut rest = line.strip_prefix(b"1 ")?;
    for _ in 0..5 {
        rest = word(rest)?.1;
    }
    let end = match rest {
        [b'-', ..] => 1,
        [b'[', ..] => rest.windows(2).position(|pair| pair == b"] ")? + 1,
        _ => return None,
    };
    Some(rest[end..].trim_ascii_start())
}

/// `web-1  | …`
fn composed(line: &[u8]) -> Option<&[u8]> {
    let (_, rest) = word(line)?;
    rest.strip_prefix(b"| ").map(<[u8]>::trim_ascii_start)
}

/// What follows a host and a tag.
fn tagged(rest: &[u8]) -> Option<&[u8]> {
    let (_, rest) = word(rest)?;
    let (tag, message) = word(rest)?;
    tag.ends_with(b":").then_some(message)
}

fn word(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = text.iter().take(MAX_WORD).position(|byte| *byte == b' ')?;
    Some((&text[..end], text[end..].trim_ascii_start()))
}

const MONTHS: [&[u8]; 12] =
    [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];
/// Names of hosts are the longest of them.
const MAX_WORD: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_without_what_stands_before_them() {
        let line = "1.1.1.1 - - [14/Nov/2023:22:13:20 +0000] \"GET / HTTP/1.1\" 200 5";
        for before in [
            "",
            "<190>Nov 14 22:13:20 web nginx: ",
            "Nov  4 22:13:20 web haproxy[77]: ",
            "<30>1 2023-11-14T22:13:20.5Z web nginx 77 - - ",
            "<30>1 2023-11-14T22:13:20Z web nginx 77 id [a@1 b=\"c d\"] ",
            "2023-11-14T22:13:20.123456+00:00 web nginx[7]: ",
            "2023-11-14T22:13:20.123456789Z stdout F ",
            "web-1   | ",
        ] {
            let whole = format!("{before}{line}");
            assert_eq!(String::from_utf8_lossy(unwrapped(whole.as_bytes())), line, "{before}");
        }
        assert_eq!(unwrapped(b"2023-11-14T22:13:20Z 10.0.0.1  {\"a\":1}"), b"{\"a\":1}");
        for plain in ["", "x", "<x>", "<1234> a", "Nov", "2023-11-14T22:13:20Z elb 1.1.1.1:5 - -1", "1 a b"] {
            assert_eq!(unwrapped(plain.as_bytes()), plain.as_bytes());
        }
    }
}
