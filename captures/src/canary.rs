//! Looks for known secrets in a finished capture: in everything that it says, as it stands and with percent-encoding, escapes,
//! references of HTML, base64 and content codings undone, one inside of another.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use regex::bytes::{Regex, RegexBuilder};
use serde::Serialize;

use crate::error::Error;
use crate::limits::MAX_NAMED_DAMAGE;
use crate::redact::{decode_all, percent_decode};
use crate::verify::{self, Verification};
use crate::{Body, Exchange, Headers};

/// Secrets that must not be in a capture.
#[derive(Clone, Debug)]
pub struct Canaries {
    secrets: Vec<(usize, String)>,
    any: Regex,
}

/// What was found of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Leaks {
    /// How often: one secret at one place counts once.
    pub count: u64,
    /// The first [`MAX_NAMED_DAMAGE`].
    pub named: Vec<Leak>,
    /// Bodies that are packed in a way that cannot be undone.
    pub unreadable_bodies: u64,
}

/// A secret at one place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Leak {
    /// The line of the file of secrets, from 1.
    pub line: usize,
    /// Its first characters and its length: never all of it.
    pub secret: String,
    /// Number of the exchange, in the order of the file from 1; 0 for the head of the file.
    pub exchange: u64,
    /// Its session, in hexadecimal.
    pub session: String,
    /// Where in it, and what had to be undone to see it.
    pub place: String,
}

impl Canaries {
    /// Reads secrets, one a line; empty lines are passed over.
    ///
    /// # Errors
    /// The file cannot be read, holds no secret, or one so short that it would be found by chance.
    pub fn read(path: &Path) -> Result<Canaries, Error> {
        let text = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
        Canaries::parse(&text).map_err(|why| Error::Invalid(format!("{}: {why}", path.display())))
    }

    fn parse(text: &str) -> Result<Canaries, String> {
        // a byte order mark is none of the first secret, which would never be found with it
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let lines = text.lines().enumerate().map(|(at, line)| (at + 1, line.to_owned()));
        let mut secrets: Vec<_> = lines.filter(|(_, line)| !line.is_empty()).collect();
        if let Some((line, _)) = secrets.iter().find(|(_, secret)| secret.len() < SHORTEST) {
            return Err(format!(
                "line {line}: a secret of fewer than {SHORTEST} bytes would be found by chance"
            ));
        }
        if secrets.is_empty() {
            return Err("there is no secret in it: write one a line".to_owned());
        }
        // of several that begin at one place the longest is the one that stands there
        secrets.sort_by_key(|(line, secret)| (std::cmp::Reverse(secret.len()), *line));
        let any: Vec<_> = secrets.iter().map(|(_, secret)| regex::escape(secret)).collect();
        let any = RegexBuilder::new(&any.join("|")).size_limit(MAX_AUTOMATON).build();
        let any = any.map_err(|error| format!("too many secrets at once: {error}"))?;
        Ok(Canaries { secrets, any })
    }

    fn named(&self, found: &[u8]) -> (usize, String) {
        let secret = self.secrets.iter().find(|(_, secret)| secret.as_bytes() == found);
        let (line, secret) = secret.map_or((0, ""), |(line, secret)| (*line, secret.as_str()));
        let shown = (secret.chars().count() / 4).min(MOST_SHOWN);
        let start: String = secret.chars().take(shown).collect();
        (line, format!("{start}… of {} bytes", secret.len()))
    }
}

impl fmt::Display for Leak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Leak { line, secret, exchange, session, place } = self;
        match exchange {
            0 => write!(f, "secret of line {line} ({secret}) in {place}"),
            _ => write!(
                f,
                "secret of line {line} ({secret}) in exchange {exchange} of session {session}: {place}"
            ),
        }
    }
}

/// Checks a capture as [`verify::verify`] does, and looks for the secrets in all that is good of it.
///
/// # Errors
/// As [`verify::verify`].
pub fn verify(path: impl AsRef<Path>, canaries: &Canaries) -> Result<(Verification, Leaks), Error> {
    let mut search = Search { canaries, leaks: Leaks::default(), exchange: 0, session: String::new() };
    let found = verify::verify_with(path, |_, exchanges| {
        for exchange in &exchanges {
            search.exchange += 1;
            search.session = exchange.session.to_string();
            search.look_at(exchange);
        }
    })?;
    search.exchange = 0;
    let head = serde_json::to_vec(&found.header).unwrap_or_default();
    search.text(&head, "the head of the file");
    Ok((found, search.leaks))
}

struct Search<'a> {
    canaries: &'a Canaries,
    leaks: Leaks,
    exchange: u64,
    session: String,
}

impl Search<'_> {
    fn look_at(&mut self, exchange: &Exchange) {
        let request = &exchange.request;
        self.text(exchange.edge.as_bytes(), "name of the edge");
        self.text(request.method.as_bytes(), "method");
        self.text(request.authority.as_bytes(), "authority");
        self.text(request.target.as_bytes(), "target");
        self.headers(&request.headers, "request");
        self.body(&request.body, &request.headers, "request");
        if let Some(response) = &exchange.response {
            self.headers(&response.headers, "response");
            self.body(&response.body, &response.headers, "response");
        }
        let messages = exchange.stream.iter().flat_map(|stream| &stream.messages);
        for (at, message) in messages.enumerate() {
            self.text(message.data.as_deref().unwrap_or_default(), &format!("message {}", at + 1));
        }
        exchange.faults.iter().for_each(|rule| self.text(rule.as_bytes(), "name of a rule"));
    }

    fn headers(&mut self, headers: &Headers, of: &str) {
        for (at, (name, value)) in headers.iter().enumerate() {
            let before = self.leaks.count;
            self.text(name.as_bytes(), &format!("name of {of} header {}", at + 1));
            // a name that is a secret itself is not printed
            let shown = if before == self.leaks.count { name } else { "…" };
            self.text(value, &format!("{of} header {} ({shown})", at + 1));
        }
    }

    fn body(&mut self, body: &Body, headers: &Headers, of: &str) {
        let Some(data) = &body.data else { return };
        self.text(data, &format!("{of} body"));
        let coding = headers.get_str("content-encoding").unwrap_or_default().to_ascii_lowercase();
        let coding = match coding.as_str() {
            "" | "identity" if data.starts_with(&GZIP) => "gzip",
            "" | "identity" => return,
            coding => coding,
        };
        match decode_all(coding, data) {
            Some(plain) => self.text(&plain, &format!("{of} body, unpacked")),
            None => self.leaks.unreadable_bodies += 1,
        }
    }

    fn text(&mut self, text: &[u8], place: &str) {
        let mut met = BTreeSet::new();
        look(&self.canaries.any, text, &mut Vec::new(), &mut |secret, undone| {
            if !met.insert(secret.to_vec()) {
                return;
            }
            self.leaks.count += 1;
            if self.leaks.named.len() < MAX_NAMED_DAMAGE {
                let (line, secret) = self.canaries.named(secret);
                let place = [&[place], undone].concat().join(", ");
                self.leaks.named.push(Leak {
                    line,
                    secret,
                    exchange: self.exchange,
                    session: self.session.clone(),
                    place,
                });
            }
        });
    }
}

/// Tells of each secret in a text, and in what it becomes when encodings are undone.
fn look<'t>(any: &Regex, text: &[u8], undone: &mut Vec<&'t str>, met: &mut dyn FnMut(&[u8], &[&'t str])) {
    let mut from = 0;
    // one may begin inside of another
    while let Some(found) = any.find_at(text, from) {
        met(found.as_bytes(), undone);
        from = found.start() + 1;
    }
    if MAX_DEPTH <= undone.len() {
        return;
    }
    let mut deeper = |form: &'t str, text: Vec<u8>| {
        undone.push(form);
        look(any, &text, undone, met);
        undone.pop();
    };
    if text.contains(&b'%') {
        deeper("percent-decoded", percent_decode(text));
    }
    if text.contains(&b'+') {
        deeper(
            "with spaces for +",
            text.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect(),
        );
    }
    if text.contains(&b'\\') {
        deeper("unescaped", unescape(text));
    }
    if text.contains(&b'&') && text.contains(&b';') {
        let plain = crate::links::html::decoded(&String::from_utf8_lossy(text)).into_owned();
        deeper("references undone", plain.into_bytes());
    }
    // what stands before base64 may look like it: so each of the four ways to divide it
    for skip in 0..4 {
        let plain = base64(text, skip);
        if !plain.is_empty() {
            deeper("from base64", plain);
        }
    }
}

/// All that may be base64, of either alphabet, decoded; a zero byte between one place and the next.
fn base64(text: &[u8], skip: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for run in text.split(|byte| digit(*byte).is_none()).filter(|run| SHORTEST_BASE64 <= run.len()) {
        for four in run[skip..].chunks(4) {
            let bits = four.iter().fold(0u32, |bits, byte| bits << 6 | u32::from(digit(*byte).unwrap_or(0)));
            let bytes = (bits << (6 * (4 - four.len()))).to_be_bytes();
            out.extend_from_slice(&bytes[1..four.len()]);
        }
        out.push(0);
    }
    out
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' | b'-' => Some(62),
        b'/' | b'_' => Some(63),
        _ => None,
    }
}

/// Undoes the escapes of JSON strings, wherever they stand.
fn unescape(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.iter().position(|byte| *byte == b'\\') {
        out.extend_from_slice(&rest[..at]);
        let escape = &rest[at..];
        let len = if escape.get(1) == Some(&b'u') { unicode_len(escape) } else { 2 }.min(escape.len());
        let quoted = [b"\"", &escape[..len], b"\""].concat();
        match serde_json::from_slice::<String>(&quoted) {
            Ok(plain) => out.extend_from_slice(plain.as_bytes()),
            Err(_) => out.extend_from_slice(&escape[1.min(len)..len]),
        }
        rest = &escape[len..];
    }
    out.extend_from_slice(rest);
    out
}

/// A character beyond the first 65,536 is two escapes.
fn unicode_len(escape: &[u8]) -> usize {
    let is_high = escape.get(2).is_some_and(|byte| byte.eq_ignore_ascii_case(&b'd'))
        && escape.get(3).is_some_and(|byte| b"89abAB".contains(byte));
    if is_high && escape.get(6..8) == Some(b"\\u") { 12 } else { 6 }
}

/// Shorter secrets would be found by chance.
const SHORTEST: usize = 4;
/// Characters of a secret that are shown, a quarter of it at most.
const MOST_SHOWN: usize = 3;
/// Encodings inside of each other that are undone.
const MAX_DEPTH: usize = 3;
const SHORTEST_BASE64: usize = 6;
/// For about a million characters of secrets.
const MAX_AUTOMATON: usize = 256 << 20;
const GZIP: [u8; 2] = [0x1f, 0x8b];

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

    use super::*;

    const SECRET: &str = "hunter2 \"&\u{1f600}/x";

    fn undone(text: &[u8]) -> Vec<String> {
        let canaries = Canaries::parse(SECRET).expect("secrets");
        let mut all = Vec::new();
        look(&canaries.any, text, &mut Vec::new(), &mut |_, undone| all.push(undone.join(", ")));
        all
    }

    #[test]
    fn secrets_are_found_in_every_encoding_and_inside_of_another() {
        let percent = crate::redact::percent_encode(SECRET.as_bytes());
        let plus = String::from_utf8_lossy(&percent).replace("%20", "+");
        let json = serde_json::to_string(SECRET).expect("JSON");
        let ascii = json.replace('\u{1f600}', "\\ud83d\\ude00");
        let check = |text: &[u8], form: &str| {
            let found = undone(text);
            assert!(
                found.iter().any(|undone| undone.contains(form)),
                "{}: {found:?}",
                String::from_utf8_lossy(text)
            );
        };
        check(format!("a {SECRET} b").as_bytes(), "");
        check(&percent, "percent-decoded");
        check(plus.as_bytes(), "with spaces for +");
        check(format!("{{\"p\":{json}}}").as_bytes(), "unescaped");
        check(format!("{{\"p\":{ascii}}}").as_bytes(), "unescaped");
        for before in ["", "u", "us", "usr", "user:"] {
            let plain = format!("{before}{SECRET} and so on");
            check(format!("Basic {}", STANDARD.encode(&plain)).as_bytes(), "from base64");
            check(format!("/p/{}", URL_SAFE_NO_PAD.encode(&plain)).as_bytes(), "from base64");
        }
        check(STANDARD.encode(&percent).as_bytes(), "from base64, percent-decoded");
        let page = SECRET.replace('&', "&amp;").replace('"', "&quot;");
        check(format!("<p>{page}</p>").as_bytes(), "references undone");
        check(&crate::redact::percent_encode(STANDARD.encode(&json).as_bytes()), "from base64");
        assert!(undone(b"hunter2 alone, %41%zz \\u12 \\").is_empty());
    }

    #[test]
    fn files_of_secrets_that_say_nothing_are_refused() {
        for (text, part) in [("", "no secret"), ("\n\n", "no secret"), ("long enough\nabc", "line 2")] {
            assert!(Canaries::parse(text).expect_err(text).contains(part), "{text}");
        }
        let marked = Canaries::parse("\u{feff}secret-one\r\n").expect("secrets");
        assert!(marked.any.is_match(b"secret-one"), "as some editors write it");
        let canaries = Canaries::parse("secret-one\nsecret-one-more").expect("secrets");
        let found = canaries.any.find(b"a secret-one-more").expect("found");
        assert_eq!(canaries.named(found.as_bytes()), (2, "sec… of 15 bytes".to_owned()));
    }
}
