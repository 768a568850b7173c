//! The cookies that the server set for one clone. A jar exists only once the server has set something.
//!
//! Simple on purpose: one target, so no domains; path and deletion are respected; a cookie that expires later in
//! the run is kept to the end of its session.

use crate::limits;

/// One clone's cookies.
#[derive(Clone, Debug, Default)]
pub(crate) struct Jar {
    cookies: Vec<Cookie>,
    /// `Set-Cookie` fields that found no room.
    pub(crate) refused: u64,
}

/// A cookie of the recording, as a `Cookie` header carried it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RecordedCookie {
    pub(crate) name: Box<[u8]>,
    pub(crate) value: Box<[u8]>,
    /// The server set it within the recorded session: a clone sends its own, or none.
    pub(crate) issued: bool,
}

#[derive(Clone, Debug)]
struct Cookie {
    name: Box<[u8]>,
    path: Box<[u8]>,
    /// `None`: the server deleted it.
    value: Option<Box<[u8]>>,
}

impl Jar {
    /// Takes in one `Set-Cookie` value that answered a request for `request_path`; `now_s` is Unix time.
    pub(crate) fn set(&mut self, field: &[u8], request_path: &[u8], now_s: i64) {
        let Some(parsed) = SetCookie::parse(field, now_s) else { return };
        let path = match parsed.path {
            Some(path) if path.starts_with(b"/") => path,
            _ => default_path(request_path),
        };
        let value = (!parsed.delete).then(|| parsed.value.into());
        let full = self.cookies.len() >= limits::JAR_COOKIES;
        let known = self.cookies.iter_mut().find(|c| *c.name == *parsed.name && *c.path == *path);
        match known {
            Some(cookie) => cookie.value = value,
            None if full || parsed.name.len() + parsed.value.len() > limits::COOKIE_BYTES => {
                self.refused += 1;
            }
            None => self.cookies.push(Cookie { name: parsed.name.into(), path: path.into(), value }),
        }
    }

    /// Appends `Cookie: …` for a request: the recorded cookies with this clone's values, and what else the server
    /// set for that path. Appends nothing when there is nothing to send.
    pub(crate) fn push_header(
        jar: Option<&Jar>,
        recorded: &[RecordedCookie],
        path: &[u8],
        out: &mut Vec<u8>,
    ) {
        let start = out.len();
        out.extend_from_slice(b"Cookie: ");
        let empty = out.len();
        let own = jar.map_or(&[][..], |jar| &jar.cookies);
        for cookie in recorded {
            let value = match lookup(own, &cookie.name, path) {
                Some(cookie) => cookie.value.as_deref(),
                None if cookie.issued => None,
                None => Some(&*cookie.value),
            };
            if let Some(value) = value {
                push_pair(out, empty, &cookie.name, value);
            }
        }
        for cookie in own.iter().filter(|cookie| path_matches(&cookie.path, path)) {
            let already = recorded.iter().any(|known| known.name == cookie.name);
            if let (false, Some(value)) = (already, &cookie.value) {
                push_pair(out, empty, &cookie.name, value);
            }
        }
        if out.len() == empty {
            out.truncate(start);
        } else {
            out.extend_from_slice(b"\r\n");
        }
    }
}

impl RecordedCookie {
    /// The pairs of a recorded `Cookie` header.
    pub(crate) fn split(header: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
        header.split(|b| *b == b';').filter_map(|pair| {
            let pair = pair.trim_ascii();
            let equals = pair.iter().position(|b| *b == b'=')?;
            Some((pair[..equals].trim_ascii(), pair[equals + 1..].trim_ascii()))
        })
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

fn lookup<'a>(cookies: &'a [Cookie], name: &[u8], path: &[u8]) -> Option<&'a Cookie> {
    let named = || cookies.iter().filter(|cookie| *cookie.name == *name);
    let fitting = named().filter(|cookie| path_matches(&cookie.path, path));
    fitting.max_by_key(|cookie| cookie.path.len()).or_else(|| named().next_back())
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

#[cfg(test)]
mod tests {
    use super::*;

    fn header(jar: Option<&Jar>, recorded: &[(&str, &str, bool)], path: &str) -> String {
        let recorded: Vec<RecordedCookie> = recorded
            .iter()
            .map(|(name, value, issued)| RecordedCookie {
                name: name.as_bytes().into(),
                value: value.as_bytes().into(),
                issued: *issued,
            })
            .collect();
        let mut out = Vec::new();
        Jar::push_header(jar, &recorded, path.as_bytes(), &mut out);
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
        assert_eq!(header(Some(&own), &[("sid", "theirs", true)], "/x"), "Cookie: sid=mine; theme=dark\r\n");
        assert_eq!(
            header(Some(&own), &[("lang", "de", false)], "/"),
            "Cookie: lang=de; sid=mine; theme=dark\r\n"
        );
    }

    #[test]
    fn a_cookie_the_server_gave_somebody_else_is_not_sent() {
        assert_eq!(
            header(None, &[("sid", "theirs", true), ("lang", "de", false)], "/"),
            "Cookie: lang=de\r\n"
        );
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
        assert_eq!(header(Some(&late), &[], "/"), "Cookie: sid=mine\r\n");
        let own = jar(&["a=1; Path=/api", "b=2"]); // default path of /api/login is /api
        assert_eq!(header(Some(&own), &[], "/api/cart"), "Cookie: a=1; b=2\r\n");
        assert_eq!(header(Some(&own), &[], "/apiary"), "");
    }

    #[test]
    fn a_jar_is_bounded_and_junk_is_ignored() {
        let mut own = jar(&["", "=x", "novalue", ";;;", "ok=1"]);
        assert_eq!(own.cookies.len(), 1);
        for i in 0..1000 {
            own.set(format!("c{i}=v").as_bytes(), b"/", 0);
        }
        own.set(format!("big={}", "x".repeat(5000)).as_bytes(), b"/", 0);
        assert_eq!((own.cookies.len(), own.refused), (limits::JAR_COOKIES, 1000 - 63 + 1));
    }
}
