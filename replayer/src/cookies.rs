//! The cookies that the server set for one clone. A jar exists only once the server has set something.
//!
//! Simple on purpose: one target, so no domains; path and deletion are respected; a cookie that expires later in
//! the run is kept to the end of its session.

use std::ops::Range;

use crate::limits;
use crate::links::carried::Carried;

/// One clone's cookies, packed: one allocation of exactly their size, as a million clones may hold a token each.
///
/// Each cookie is its lengths (name, path, value: 16 bits each, little-endian), then name, path and value.
#[derive(Clone, Debug, Default)]
pub(crate) struct Jar {
    bytes: Box<[u8]>,
    /// `Set-Cookie` fields that found no room.
    pub(crate) refused: u64,
}

/// A cookie of the recording, as a `Cookie` header carried it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecordedCookie<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) value: &'a [u8],
    /// The server set it within the recorded session: a clone sends its own, or none.
    pub(crate) issued: bool,
    /// Number of the clone's value that an answer gave in another way: a script set the cookie.
    pub(crate) linked: Option<u16>,
}

/// The recorded cookies of a request, packed: (issued or linked, number of the value, length of name, length of value, name, value) each.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RecordedCookies<'a>(pub(crate) &'a [u8]);

#[derive(Clone, Copy, Debug)]
struct Cookie<'a> {
    name: &'a [u8],
    path: &'a [u8],
    /// `None`: the server deleted it.
    value: Option<&'a [u8]>,
}

struct Cookies<'a>(&'a [u8]);

impl Jar {
    /// Takes in one `Set-Cookie` value that answered a request for `request_path`; `now_s` is Unix time.
    pub(crate) fn set(&mut self, field: &[u8], request_path: &[u8], now_s: i64) {
        let Some(parsed) = SetCookie::parse(field, now_s) else { return };
        let path = match parsed.path {
            Some(path) if path.starts_with(b"/") => path,
            _ => default_path(request_path),
        };
        let value = (!parsed.delete).then_some(parsed.value);
        let cookie = Cookie { name: parsed.name, path, value };
        let large = parsed.name.len() + parsed.value.len() > limits::COOKIE_BYTES;
        let known = self.find(cookie.name, path);
        let full = known.is_none() && self.cookies().count() >= limits::JAR_COOKIES;
        if large || limits::COOKIE_BYTES < path.len() || full {
            self.refused += 1;
            return;
        }
        let end = self.bytes.len();
        self.replace(known.unwrap_or(end..end), cookie);
    }

    /// Bytes on the heap.
    #[cfg(test)]
    fn heap_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Appends `a=1; b=2` for a request: the recorded cookies with this clone's values, and what else the server set
    /// for that path. Appends nothing when there is nothing to send.
    pub(crate) fn push_pairs(
        (jar, carried): (Option<&Jar>, Option<&Carried>),
        recorded: RecordedCookies<'_>,
        path: &[u8],
        out: &mut Vec<u8>,
    ) {
        let empty = out.len();
        let own = jar.map_or(&[][..], |jar| &jar.bytes);
        for cookie in recorded.iter() {
            let value = match lookup(own, cookie.name, path) {
                Some(cookie) => cookie.value,
                None if cookie.issued => None,
                None => {
                    let own = cookie.linked.and_then(|number| carried?.get(number));
                    Some(own.filter(|own| is_cookie_value(own)).unwrap_or(cookie.value))
                }
            };
            if let Some(value) = value {
                push_pair(out, empty, cookie.name, value);
            }
        }
        for cookie in Cookies(own).filter(|cookie| path_matches(cookie.path, path)) {
            let already = recorded.iter().any(|known| known.name == cookie.name);
            if let (false, Some(value)) = (already, cookie.value) {
                push_pair(out, empty, cookie.name, value);
            }
        }
    }

    fn cookies(&self) -> Cookies<'_> {
        Cookies(&self.bytes)
    }

    /// Where the cookie of that name and path lies.
    fn find(&self, name: &[u8], path: &[u8]) -> Option<Range<usize>> {
        let mut start = 0;
        self.cookies().find_map(|cookie| {
            let span = start..start + cookie.packed_len();
            start = span.end;
            (cookie.name == name && cookie.path == path).then_some(span)
        })
    }

    /// Puts `cookie` where another one, or nothing, was. A value of the same length needs no new memory.
    fn replace(&mut self, span: Range<usize>, cookie: Cookie<'_>) {
        let len = cookie.packed_len();
        if span.len() == len {
            let mut rest = &mut self.bytes[span];
            return cookie.pack(&mut |part| {
                let (place, after) = std::mem::take(&mut rest).split_at_mut(part.len());
                place.copy_from_slice(part);
                rest = after;
            });
        }
        let mut bytes = Vec::with_capacity(self.bytes.len() - span.len() + len);
        bytes.extend_from_slice(&self.bytes[..span.start]);
        cookie.pack(&mut |part| bytes.extend_from_slice(part));
        bytes.extend_from_slice(&self.bytes[span.end..]);
        self.bytes = bytes.into_boxed_slice();
    }
}

impl<'a> RecordedCookies<'a> {
    /// Appends one cookie to a packed list.
    pub(crate) fn push(packed: &mut Vec<u8>, cookie: RecordedCookie<'_>) {
        packed.push(if cookie.issued { ISSUED } else { u8::from(cookie.linked.is_some()) * LINKED });
        packed.extend_from_slice(&cookie.linked.unwrap_or(0).to_le_bytes());
        packed.extend_from_slice(&(cookie.name.len() as u32).to_le_bytes());
        packed.extend_from_slice(&(cookie.value.len() as u32).to_le_bytes());
        packed.extend_from_slice(cookie.name);
        packed.extend_from_slice(cookie.value);
    }

    fn iter(self) -> impl Iterator<Item = RecordedCookie<'a>> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let (flag, after) = rest.split_first()?;
            let (linked, after) = after.split_first_chunk()?;
            let linked = (*flag == LINKED).then(|| u16::from_le_bytes(*linked));
            let (name_len, after) = after.split_first_chunk()?;
            let (value_len, after) = after.split_first_chunk()?;
            let (name, after) = after.split_at_checked(u32::from_le_bytes(*name_len) as usize)?;
            let (value, after) = after.split_at_checked(u32::from_le_bytes(*value_len) as usize)?;
            rest = after;
            Some(RecordedCookie { name, value, issued: *flag == ISSUED, linked })
        })
    }
}

impl RecordedCookie<'_> {
    /// The pairs of a recorded `Cookie` header.
    pub(crate) fn split(header: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
        header.split(|b| *b == b';').filter_map(|pair| {
            let pair = pair.trim_ascii();
            let equals = pair.iter().position(|b| *b == b'=')?;
            Some((pair[..equals].trim_ascii(), pair[equals + 1..].trim_ascii()))
        })
    }
}

impl Cookie<'_> {
    fn packed_len(&self) -> usize {
        PACKED_HEAD + self.name.len() + self.path.len() + self.value.map_or(0, <[u8]>::len)
    }

    fn pack(&self, put: &mut dyn FnMut(&[u8])) {
        let lengths = [self.name.len(), self.path.len(), self.value.map_or(DELETED, <[u8]>::len)];
        for length in lengths {
            // COOKIE_BYTES bounds all three
            put(&(length as u16).to_le_bytes());
        }
        put(self.name);
        put(self.path);
        put(self.value.unwrap_or_default());
    }
}

impl<'a> Iterator for Cookies<'a> {
    type Item = Cookie<'a>;

    fn next(&mut self) -> Option<Cookie<'a>> {
        let (head, rest) = self.0.split_first_chunk::<PACKED_HEAD>()?;
        let length = |place: usize| usize::from(u16::from_le_bytes([head[place], head[place + 1]]));
        let deleted = length(4) == DELETED;
        let (name, rest) = rest.split_at(length(0));
        let (path, rest) = rest.split_at(length(2));
        let (value, rest) = rest.split_at(if deleted { 0 } else { length(4) });
        self.0 = rest;
        Some(Cookie { name, path, value: (!deleted).then_some(value) })
    }
}

/// The name of the cookie that a `Set-Cookie` value sets.
pub(crate) fn set_name(field: &[u8]) -> Option<&[u8]> {
    let pair = field.split(|b| *b == b';').next()?;
    let equals = pair.iter().position(|b| *b == b'=')?;
    let name = pair[..equals].trim_ascii();
    (!name.is_empty()).then_some(name)
}

struct SetCookie<'a> {
    name: &'a [u8],
    value: &'a [u8],
    path: Option<&'a [u8]>,
    delete: bool,
}

impl<'a> SetCookie<'a> {
    fn parse(field: &'a [u8], now_s: i64) -> Option<SetCookie<'a>> {
        let mut parts = field.split(|b| *b == b';');
        let (name, value) = split_pair(parts.next()?)?;
        if name.is_empty() {
            return None;
        }
        let (mut path, mut max_age, mut expires) = (None, None, None);
        for part in parts {
            let (key, value) = split_pair(part).unwrap_or((part.trim_ascii(), b""));
            if key.eq_ignore_ascii_case(b"path") {
                path = Some(value);
            } else if key.eq_ignore_ascii_case(b"max-age") {
                max_age = std::str::from_utf8(value).ok().and_then(|text| text.parse::<i64>().ok());
            } else if key.eq_ignore_ascii_case(b"expires") {
                expires = unix_time(value);
            }
        }
        let delete = match (max_age, expires) {
            (Some(age), _) => age <= 0,
            (None, Some(at)) => at <= now_s,
            (None, None) => false,
        };
        Some(SetCookie { name, value, path, delete })
    }
}

fn split_pair(part: &[u8]) -> Option<(&[u8], &[u8])> {
    let equals = part.iter().position(|b| *b == b'=')?;
    Some((part[..equals].trim_ascii(), part[equals + 1..].trim_ascii()))
}

/// `Thu, 01 Jan 1970 00:00:00 GMT`, also with dashes as Netscape wrote it.
fn unix_time(value: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(value).ok()?;
    let (_, date) = text.split_once(',').unwrap_or(("", text));
    let date = date.trim().replace('-', " ");
    let parser = jiff::fmt::rfc2822::DateTimeParser::new();
    parser.parse_timestamp(date.as_bytes()).ok().map(jiff::Timestamp::as_second)
}

fn lookup<'a>(packed: &'a [u8], name: &[u8], path: &[u8]) -> Option<Cookie<'a>> {
    let named = || Cookies(packed).filter(|cookie| cookie.name == name);
    let fitting = named().filter(|cookie| path_matches(cookie.path, path));
    fitting.max_by_key(|cookie| cookie.path.len()).or_else(|| named().last())
}

fn push_pair(out: &mut Vec<u8>, empty: usize, name: &[u8], value: &[u8]) {
    if out.len() > empty {
        out.extend_from_slice(b"; ");
    }
    out.extend_from_slice(name);
    out.push(b'=');
    out.extend_from_slice(value);
}

/// RFC 6265, 5.1.4: everything up to the last slash of the path.
fn default_path(request_path: &[u8]) -> &[u8] {
    match request_path.iter().rposition(|b| *b == b'/') {
        Some(last) if last > 0 => &request_path[..last],
        _ => b"/",
    }
}

fn path_matches(cookie: &[u8], request: &[u8]) -> bool {
    request.starts_with(cookie)
        && (request.len() == cookie.len() || cookie.ends_with(b"/") || request[cookie.len()] == b'/')
}

/// Whether a value ends neither its pair nor its field.
fn is_cookie_value(value: &[u8]) -> bool {
    value.iter().all(|byte| byte.is_ascii_graphic() && *byte != b';')
}

/// How a packed recorded cookie begins, if not with 0.
const ISSUED: u8 = 1;
const LINKED: u8 = 2;
/// The three lengths before a packed cookie.
const PACKED_HEAD: usize = 6;
/// In place of the length of a value: the cookie was deleted.
const DELETED: usize = u16::MAX as usize;

#[cfg(test)]
mod tests {
    use super::*;

    fn header(jar: Option<&Jar>, recorded: &[(&str, &str, bool)], path: &str) -> String {
        let mut packed = Vec::new();
        for (name, value, issued) in recorded {
            let (name, value) = (name.as_bytes(), value.as_bytes());
            let cookie = RecordedCookie { name, value, issued: *issued, linked: None };
            RecordedCookies::push(&mut packed, cookie);
        }
        let mut out = Vec::new();
        Jar::push_pairs((jar, None), RecordedCookies(&packed), path.as_bytes(), &mut out);
        String::from_utf8(out).expect("test cookies are text")
    }

    fn jar(fields: &[&str]) -> Jar {
        let mut jar = Jar::default();
        for field in fields {
            jar.set(field.as_bytes(), b"/api/login", 1_700_000_000);
        }
        jar
    }

    #[test]
    fn recorded_names_carry_the_clones_own_values() {
        let own = jar(&["sid=mine; Path=/; HttpOnly", "theme=dark; path=/"]);
        assert_eq!(header(Some(&own), &[("sid", "theirs", true)], "/x"), "sid=mine; theme=dark");
        assert_eq!(header(Some(&own), &[("lang", "de", false)], "/"), "lang=de; sid=mine; theme=dark");
    }

    #[test]
    fn a_cookie_the_server_gave_somebody_else_is_not_sent() {
        assert_eq!(header(None, &[("sid", "theirs", true), ("lang", "de", false)], "/"), "lang=de");
        assert_eq!(header(None, &[("sid", "theirs", true)], "/"), "");
        assert_eq!(header(None, &[], "/"), "");
    }

    #[test]
    fn deletion_and_paths() {
        for gone in ["sid=x; Max-Age=0", "sid=x; max-age=-1", "sid=; expires=Thu, 01 Jan 1970 00:00:00 GMT"] {
            let own = jar(&["sid=mine; Path=/", &format!("{gone}; Path=/")]);
            assert_eq!(header(Some(&own), &[("sid", "theirs", false)], "/"), "", "{gone}");
        }
        let late = jar(&["sid=mine; path=/; expires=Wed, 21-Oct-2065 07:28:00 GMT"]);
        assert_eq!(header(Some(&late), &[], "/"), "sid=mine");
        let own = jar(&["a=1; Path=/api", "b=2"]); // default path of /api/login is /api
        assert_eq!(header(Some(&own), &[], "/api/cart"), "a=1; b=2");
        assert_eq!(header(Some(&own), &[], "/apiary"), "");
    }

    #[test]
    fn a_jar_is_bounded_and_junk_is_ignored() {
        let mut own = jar(&["", "=x", "novalue", ";;;", "ok=1"]);
        assert_eq!(own.cookies().count(), 1);
        for i in 0..1000 {
            own.set(format!("c{i}=v").as_bytes(), b"/", 0);
        }
        own.set(format!("big={}", "x".repeat(5000)).as_bytes(), b"/", 0);
        assert_eq!((own.cookies().count(), own.refused), (limits::JAR_COOKIES, 1000 - 63 + 1));
    }

    #[test]
    fn a_token_of_one_kibibyte_costs_little_more_and_is_replaced_in_place() {
        let token = "t".repeat(1024);
        let mut own = jar(&[&format!("sid={token}; Path=/")]);
        assert!(size_of::<Jar>() + own.heap_bytes() < 1100, "{}", own.heap_bytes());
        own.set(format!("sid={}; Path=/", "u".repeat(1024)).as_bytes(), b"/", 0);
        own.set(b"theme=dark; Path=/", b"/", 0);
        own.set(b"sid=short; Path=/", b"/", 0);
        assert_eq!(header(Some(&own), &[], "/"), "sid=short; theme=dark");
        assert_eq!(own.heap_bytes(), 2 * PACKED_HEAD + "sid/shorttheme/dark".len());
        own.set(b"sid=; Max-Age=0; Path=/", b"/", 0);
        own.set(format!("theme={}; Path=/", "x".repeat(5000)).as_bytes(), b"/", 0);
        assert_eq!((header(Some(&own), &[], "/").as_str(), own.refused), ("theme=dark", 1));
    }
}
