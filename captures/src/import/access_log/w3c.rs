//! Logs in the extended format of the W3C, whose `#Fields:` name what follows: IIS, CloudFront, NetScaler and others.
//!
//! Each line becomes the line of JSON that says the same, which is what is read then.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::line::Unfit;
use crate::redact::percent_decode;

/// What the directives so far say.
#[derive(Debug, Default)]
pub(super) struct Directives {
    fields: Vec<String>,
    /// For lines that have only a time of day.
    date: String,
}

impl Directives {
    /// Takes a line that begins with `#`.
    pub(super) fn take(&mut self, line: &[u8]) {
        let line = String::from_utf8_lossy(line);
        if let Some(fields) = line.strip_prefix("#Fields:") {
            self.fields = fields.split_whitespace().take(MAX_FIELDS).map(str::to_ascii_lowercase).collect();
        } else if let Some(date) = line.strip_prefix("#Date:") {
            self.date = date.split_whitespace().next().unwrap_or_default().to_owned();
        }
    }

    /// The line as one of JSON, where it is one whose fields are named.
    pub(super) fn line<'a>(&self, text: &'a [u8]) -> Result<Cow<'a, [u8]>, Unfit> {
        if self.fields.is_empty() || text.starts_with(b"{") {
            return Ok(Cow::Borrowed(text));
        }
        let text = String::from_utf8_lossy(text);
        let values = values(&text);
        if values.len() != self.fields.len() {
            return Err(Unfit::Damaged("it has not as many values as #Fields: names"));
        }
        let of = |name: &str| {
            let at = self.fields.iter().position(|field| field == name)?;
            values.get(at).copied().filter(|value| !matches!(*value, "" | "-"))
        };
        let mut said = Map::new();
        let mut say = |name: &str, value: String| drop(said.insert(name.to_owned(), Value::String(value)));
        for (field, name) in PLAIN {
            of(field).into_iter().for_each(|value| say(name, value.to_owned()));
        }
        for (field, name) in ENCODED {
            of(field).into_iter().for_each(|value| say(name, decoded(value)));
        }
        // the clock of the machine, where only that is written
        let [time, date] =
            [["time", "time-local"], ["date", "date-local"]].map(|names| names.into_iter().find_map(of));
        if let Some(time) = time {
            say("timestamp", format!("{} {time}", date.unwrap_or(&self.date)));
        }
        if of("s-port") == Some("443") {
            say("scheme", "https".to_owned());
        }
        if let Some(took) = of("time-taken") {
            // IIS counts milliseconds, others write seconds with a fraction
            say(if took.contains('.') { "requesttime" } else { "durationms" }, took.to_owned());
        }
        of("timetakenms").into_iter().for_each(|ms| say("durationms", ms.to_owned()));
        Ok(Cow::Owned(Value::Object(said).to_string().into_bytes()))
    }
}

/// The values of a line: between tabs if there are any, else between spaces, where quotes hold one together.
fn values(line: &str) -> Vec<&str> {
    if line.contains('\t') {
        return line.split('\t').map(str::trim).collect();
    }
    let mut values = Vec::new();
    let mut rest = line.trim_start();
    while !rest.is_empty() {
        let quoted = rest.strip_prefix('"').and_then(|inner| inner.split_once('"'));
        let (value, after) = quoted.or_else(|| rest.split_once(' ')).unwrap_or((rest, ""));
        values.push(value);
        rest = after.trim_start();
    }
    values
}

/// Spaces are written as `+`, as `%20`, or by CloudFront as `%2520`.
fn decoded(value: &str) -> String {
    let spaced = if value.contains(' ') { value.to_owned() } else { value.replace('+', " ") };
    let mut plain = percent_decode(spaced.as_bytes());
    if plain.windows(3).any(|part| part == b"%20") {
        plain = percent_decode(&plain);
    }
    String::from_utf8_lossy(&plain).into_owned()
}

/// Fields, and how lines of JSON call them.
const PLAIN: [(&str, &str); 15] = [
    ("c-ip", "clientip"),
    ("x-forwarded-for", "xforwardedfor"),
    ("cs(x-forwarded-for)", "xforwardedfor"),
    ("cs-method", "method"),
    ("cs-uri", "uri"),
    ("cs-uri-stem", "uri"),
    ("cs-uri-query", "query"),
    ("cs-version", "protocol"),
    ("cs-protocol-version", "protocol"),
    ("cs-protocol", "scheme"),
    ("cs-host", "host"),
    ("cs(host)", "host"),
    // what the client asked for, where `cs(Host)` is the name of the distribution
    ("x-host-header", "host"),
    ("sc-status", "status"),
    ("sc-bytes", "bytes"),
];
const ENCODED: [(&str, &str); 3] =
    [("cs(user-agent)", "useragent"), ("cs(referer)", "referer"), ("cs(referrer)", "referer")];
/// IIS and CloudFront know about forty.
const MAX_FIELDS: usize = 256;

#[cfg(test)]
mod tests {
    use super::super::line::Line;
    use super::*;
    use crate::{Exchange, SessionId};

    fn read(directives: &[&str], line: &str) -> Result<Exchange, Unfit> {
        let mut all = Directives::default();
        directives.iter().for_each(|line| all.take(line.as_bytes()));
        let text = all.line(line.as_bytes())?;
        Line::parse(&text).map(|line| line.into_exchange(SessionId(1), "default"))
    }

    #[track_caller]
    fn check(found: &Exchange, request: &str, agent: &str, status: u16, bytes: u64) {
        let asked = &found.request;
        let said = format!("{} {}://{} {}", asked.method, asked.scheme, asked.authority, asked.target);
        assert_eq!(said, request);
        assert_eq!(asked.headers.get_str("user-agent"), Some(agent));
        let response = found.response.as_ref().expect("an answer");
        assert_eq!((response.status, response.body.len), (status, bytes));
    }

    #[test]
    fn lines_of_iis() {
        let fields = "#Fields: date time s-ip cs-method cs-uri-stem cs-uri-query s-port cs-username c-ip \
                      cs-version cs(User-Agent) cs(Referer) cs-host sc-status sc-substatus sc-bytes time-taken";
        let found = read(
            &["#Software: Microsoft Internet Information Services 10.0", fields],
            "2023-11-14 22:13:21 10.0.0.1 GET /a/b.aspx x=1&y=2 443 - 1.1.1.1 HTTP/1.1 Mozilla/5.0+(X11;+Linux) - \
             shop.test 200 0 7 1500",
        )
        .expect("a line");
        check(&found, "GET https://shop.test /a/b.aspx?x=1&y=2", "Mozilla/5.0 (X11; Linux)", 200, 7);
        assert_eq!((found.start_us, found.duration_us), (1_699_999_999_500_000, Some(1_500_000)));
    }

    #[test]
    fn lines_of_cloudfront() {
        let fields = "#Fields: date time x-edge-location sc-bytes c-ip cs-method cs(Host) cs-uri-stem sc-status \
                      cs(User-Agent) cs-uri-query x-host-header cs-protocol time-taken cs-protocol-version";
        let found = read(
            &["#Version: 1.0", fields],
            "2023-11-14\t22:13:20\tFRA2\t9\t::1\tGET\td1.cdn.test\t/v%20w\t304\tMozilla/5.0%2520(X11;%20Linux)\t-\t\
             shop.test\thttps\t0.250\tHTTP/2.0",
        )
        .expect("a line");
        check(&found, "GET https://shop.test /v%20w", "Mozilla/5.0 (X11; Linux)", 304, 9);
        assert_eq!((found.protocol, found.duration_us), (crate::exchange::Protocol::Http2, Some(250_000)));
    }

    #[test]
    fn dates_from_a_directive_and_values_in_quotes() {
        let directives =
            ["#Date: 2023-11-14 00:00:00", "#Fields: time cs-method cs-uri sc-status cs(User-Agent)"];
        let found = read(&directives, "22:13:20 POST /x 201 \"a b\"").expect("a line");
        assert_eq!((found.start_us, found.request.target.as_str()), (1_700_000_000_000_000, "/x"));
        assert_eq!(found.request.headers.get_str("user-agent"), Some("a b"));
        assert!(matches!(read(&directives[1..], "22:13:20 GET / 200 x"), Err(Unfit::Damaged(_))), "no date");
        assert!(matches!(read(&["#Fields: date time c-ip"], "2023-11-14 22:13:20 ::1"), Err(Unfit::Skip(_))));
        let advanced = "#Fields:   date-local time-local cs-method cs-uri-stem sc-status TimeTakenMS";
        let found = read(&[advanced], "2023-11-14 22:13:21.500 GET /a 200 500").expect("a line");
        assert_eq!((found.start_us, found.duration_us), (1_700_000_001_000_000, Some(500_000)));
        assert!(matches!(read(&["#Fields: date time c-ip"], "2023-11-14 ::1"), Err(Unfit::Damaged(_))));
        let common = "1.1.1.1 - - [14/Nov/2023:22:13:20 +0000] \"GET /a HTTP/1.1\" 200 5";
        assert!(read(&["#Software: none that names its fields"], common).is_ok());
    }
}
