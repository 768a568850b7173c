//! The line before a message: type, id, time, and in most versions how long it took.

use crate::wire::Malformed;

/// What the line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Meta<'a> {
    pub(super) kind: Kind,
    /// Joins a request with its answers; not unique in every file.
    pub(super) id: &'a [u8],
    pub(super) at_us: u64,
    /// Of an answer: microseconds from its first to its last byte.
    pub(super) took_us: Option<u64>,
    /// What Squall wrote behind all that.
    pub(super) own: Option<&'a [u8]>,
}

/// What a record holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Request,
    /// What the recorded server answered.
    Answer,
    /// What another server answered to a replay.
    Replayed,
}

impl<'a> Meta<'a> {
    pub(super) fn parse(line: &'a [u8]) -> Result<Meta<'a>, Malformed> {
        let mut words = line.trim_ascii().split(|byte| *byte == b' ').filter(|word| !word.is_empty());
        let kind = match words.next() {
            Some(b"1") => Kind::Request,
            Some(b"2") => Kind::Answer,
            Some(b"3") => Kind::Replayed,
            _ => return Err(Malformed("no type of 1, 2 or 3 begins the line of a record")),
        };
        let id = words.next().filter(|id| id.len() <= MAX_ID).ok_or(Malformed("a record has no id"))?;
        let time = words.next().and_then(number).filter(|time| 0 < *time);
        let at_us = time.and_then(micros).ok_or(Malformed("a record has no time"))?;
        let took = words.next().and_then(number).and_then(|nanos| u64::try_from(nanos).ok());
        let own = words.next().and_then(|own| own.strip_prefix(OWN.as_bytes()));
        Ok(Meta { kind, id, at_us, took_us: took.map(|nanos| nanos / 1000), own })
    }
}

/// Nanoseconds since 1970, or by its size a time in microseconds, milliseconds or seconds.
fn micros(time: i64) -> Option<u64> {
    let time = u64::try_from(time).ok()?;
    Some(match time {
        0..100_000_000_000 => time * 1_000_000,
        100_000_000_000..100_000_000_000_000 => time * 1_000,
        100_000_000_000_000..100_000_000_000_000_000 => time,
        _ => time / 1_000,
    })
}

fn number(word: &[u8]) -> Option<i64> {
    std::str::from_utf8(word).ok()?.parse().ok()
}

/// Begins the word that Squall adds.
pub(crate) const OWN: &str = "squall:";
/// Old versions write 40 hexadecimal digits.
const MAX_ID: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_three_and_four_words() {
        let check = |line: &str, expect: Option<(Kind, &str, u64, Option<u64>)>| {
            let meta = Meta::parse(line.as_bytes()).ok();
            let found =
                meta.map(|meta| (meta.kind, std::str::from_utf8(meta.id).unwrap(), meta.at_us, meta.took_us));
            assert_eq!(found, expect, "{line}");
        };
        check("1 ab 1500000000123456789", Some((Kind::Request, "ab", 1_500_000_000_123_456, None)));
        check("2 ab 1500000000123456789 5000\r", Some((Kind::Answer, "ab", 1_500_000_000_123_456, Some(5))));
        check("3 ab 1500000000123456789 -1", Some((Kind::Replayed, "ab", 1_500_000_000_123_456, None)));
        check("1 ab 1500000000123456 1 x y", Some((Kind::Request, "ab", 1_500_000_000_123_456, Some(0))));
        check("1 ab 1500000000123", Some((Kind::Request, "ab", 1_500_000_000_123_000, None)));
        check("1 ab 1500000000", Some((Kind::Request, "ab", 1_500_000_000_000_000, None)));
        for wrong in [
            "",
            "1",
            "1 ab",
            "1 ab x",
            "1 ab -5",
            "1 ab 0",
            "4 ab 5",
            "GET / HTTP/1.1",
            "1 ab 99999999999999999999",
        ] {
            check(wrong, None);
        }
        assert_eq!(Meta::parse(b"1 a 1 0 squall:e30").unwrap().own, Some(&b"e30"[..]));
    }
}
