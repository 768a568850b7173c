//! Access logs in lines of JSON: what nginx writes with `log_format … escape=json`, whoever chose the names, and the logs
//! of Caddy, Traefik and Envoy. Fields are found by the names that they usually have; case, `_`, `-` and `.` in them do
//! not matter, nor do objects like `request` around them.

use std::collections::HashMap;

use serde_json::Value;

use super::super::time::{Moment, log_time};
use super::line::{Line, RequestLine, Unfit, absolute, without_port};
use super::mended::mended;

/// The line that a text in JSON holds. Docker puts the lines of others into a field `log`.
pub(super) fn parse(text: &[u8]) -> Result<Line, Unfit> {
    let value: Value = serde_json::from_slice(text)
        .or_else(|_| serde_json::from_str(&mended(text)))
        .map_err(|_| Unfit::Damaged("what begins like JSON is none"))?;
    let fields = Fields::of(&value);
    if let Some(inner) = fields.text(&["log", "message"]).filter(|_| fields.text(METHOD).is_none()) {
        // one layer only
        return if inner.starts_with('{') {
            line(&Fields::of(&inner_value(&inner)?))
        } else {
            Line::parse_text(inner.trim().as_bytes())
        };
    }
    line(&fields)
}

fn inner_value(text: &str) -> Result<Value, Unfit> {
    serde_json::from_str(text.trim())
        .map_err(|_| Unfit::Damaged("the text in a line of JSON is no line of a log"))
}

/// The line that fields make.
pub(super) fn line(fields: &Fields) -> Result<Line, Unfit> {
    let mut request = request(fields)?;
    let status = fields.text(STATUS).and_then(|status| status.parse().ok()).filter(|status| *status < 1000);
    let duration_us = duration(fields);
    let (mut time, is_start) = time(fields).ok_or(Unfit::Damaged("its time cannot be read"))?;
    if !is_start {
        // it was written when the answer was sent
        time.us = time.us.saturating_sub(duration_us.unwrap_or(0));
    }
    let mut host = (fields.text(SCHEME).unwrap_or_default(), fields.text(HOST).unwrap_or_default());
    if let Some((scheme, authority, target)) = absolute(&request.target) {
        host = (scheme, authority);
        request.target = target;
    }
    let client = fields.text(FORWARDED).or_else(|| fields.text(CLIENT)).unwrap_or_default();
    let client = client.split(',').next().unwrap_or_default().trim().to_owned();
    let body = fields.text(BODY).unwrap_or_default();
    Ok(Line {
        client: without_port(client.as_bytes()).to_vec(),
        time,
        user_agent: fields.text(AGENT).unwrap_or_default().into_bytes(),
        referer: fields.text(REFERER).unwrap_or_default().into_bytes(),
        request,
        status: status.unwrap_or(0),
        bytes: fields.text(BYTES).and_then(|bytes| bytes.parse().ok()).unwrap_or(0),
        host,
        duration_us,
        ttfb_us: fields.text(&["upstreamheadertime"]).and_then(|text| seconds(&text)),
        connection: fields.text(&["connection"]).and_then(|serial| serial.parse().ok()),
        body: body.into_bytes(),
    })
}

fn request(fields: &Fields) -> Result<RequestLine, Unfit> {
    if let Some(line) = fields.0.get("requestline") {
        return RequestLine::parse(line.as_bytes());
    }
    if let Some(line) = fields.text(&["request"]).filter(|line| line.contains(' ')) {
        return RequestLine::parse(line.as_bytes());
    }
    let (Some(method), Some(mut target)) = (fields.text(METHOD), fields.text(TARGET)) else {
        return Err(Unfit::Skip("a line without a request"));
    };
    if let Some(query) = fields.text(QUERY).filter(|_| !target.contains('?')) {
        let mark = if query.starts_with('?') { "" } else { "?" };
        target = format!("{target}{mark}{query}");
    }
    let protocol = fields.text(PROTOCOL).filter(|text| !text.is_empty()).unwrap_or("HTTP/1.1".to_owned());
    let protocol = if protocol.contains('/') { protocol } else { format!("HTTP/{protocol}") };
    RequestLine::parse(format!("{method} {target} {protocol}").as_bytes())
}

/// The most exact of the times, and whether it is that of the start.
fn time(fields: &Fields) -> Option<(Moment, bool)> {
    let times = TIME.iter().filter_map(|name| {
        let moment = moment(&fields.text(&[*name])?)?;
        Some((moment, name.starts_with("start") || *name == "edgestarttimestamp"))
    });
    let times: Vec<(Moment, bool)> = times.collect();
    times.iter().find(|(moment, _)| moment.exact).or(times.first()).copied()
}

/// A time in words, or a number of seconds, milliseconds, microseconds or nanoseconds since 1970.
fn moment(text: &str) -> Option<Moment> {
    let Ok(number) = text.parse::<f64>() else { return log_time(text).ok() };
    let per_us = match number {
        0.0..1e11 => 1e6,
        1e11..1e14 => 1e3,
        1e14..1e17 => 1.0,
        1e17..1e20 => 1e-3,
        _ => return None,
    };
    Some(Moment { us: (number * per_us).round() as u64, exact: text.contains('.') || 1e11 <= number })
}

/// How long it took: by the name, which may say the unit; a bare whole number of no known unit says nothing.
fn duration(fields: &Fields) -> Option<u64> {
    let units = [
        (&["requesttime", "upstreamresponsetime", "requesttimeseconds"][..], 1e6),
        (&["durationms", "latencyms", "elapsedms", "responsetimems", "requesttimems"], 1e3),
        (&["durationus", "latencyus", "elapsedus"], 1.0),
        (&["durationns", "latencyns", "eventduration"], 1e-3),
    ];
    for (names, per_us) in units {
        if let Some(number) = fields.text(names).and_then(|text| first_number(&text)) {
            return Some((number * per_us) as u64);
        }
    }
    let text = fields.text(&["duration", "latency", "elapsed", "responsetime", "requestduration"])?;
    match first_number(&text) {
        None => humans(&text),
        Some(number) if text.contains('.') => Some((number * 1e6) as u64),
        // Traefik counts nanoseconds, Envoy milliseconds
        Some(number) if fields.text(&["startutc"]).is_some() => Some((number / 1e3) as u64),
        Some(number) if fields.text(&["starttime"]).is_some() => Some((number * 1e3) as u64),
        Some(_) => None,
    }
}

fn seconds(text: &str) -> Option<u64> {
    first_number(text).map(|number| (number * 1e6) as u64)
}

/// The first of the numbers that nginx writes for several upstreams.
fn first_number(text: &str) -> Option<f64> {
    let first = text.split([',', ' ']).next()?.trim();
    first.parse().ok().filter(|number: &f64| (0.0..1e15).contains(number))
}

/// `12ms`, `1.5s`, `800µs`.
fn humans(text: &str) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(end);
    let per_us = match unit.trim() {
        "s" => 1e6,
        "ms" => 1e3,
        "us" | "µs" | "μs" => 1.0,
        "ns" => 1e-3,
        _ => return None,
    };
    number
        .parse::<f64>()
        .ok()
        .filter(|number| (0.0..1e15).contains(number))
        .map(|number| (number * per_us) as u64)
}

/// The values of an object by their names, those of objects within it too.
pub(super) struct Fields(HashMap<String, String>);

impl Fields {
    /// Of values that were named already.
    pub(super) fn named(values: &[(&str, String)]) -> Fields {
        Fields(values.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect())
    }

    fn of(value: &Value) -> Fields {
        let mut fields = HashMap::new();
        add(value, "", MAX_DEPTH, &mut fields);
        Fields(fields)
    }

    /// The first of some names that has a value; `-` and nothing are none.
    fn text(&self, names: &[&str]) -> Option<String> {
        names
            .iter()
            .filter_map(|name| self.0.get(*name))
            .find(|text| !matches!(text.as_str(), "" | "-"))
            .cloned()
    }
}

fn add(value: &Value, name: &str, depth: usize, fields: &mut HashMap<String, String>) {
    match value {
        Value::Object(members) if depth != 0 => {
            // what lies outside counts before what lies within
            let (nested, plain): (Vec<_>, Vec<_>) = members.iter().partition(|(_, value)| value.is_object());
            for (member, value) in plain.into_iter().chain(nested) {
                let member = plainly(member);
                // an object around says what a field is of, which its name says already
                let is_wrapper = value.is_object() && WRAPPERS.contains(&member.as_str());
                let inner = if is_wrapper { name.to_owned() } else { format!("{name}{member}") };
                add(value, &inner, depth - 1, fields);
            }
        }
        Value::Array(items) if items.len() == 1 => add(&items[0], name, depth.saturating_sub(1), fields),
        Value::String(text) => keep(fields, name, text.clone()),
        Value::Number(number) => keep(fields, name, number.to_string()),
        _ => {}
    }
}

fn keep(fields: &mut HashMap<String, String>, name: &str, text: String) {
    if fields.len() < MAX_FIELDS && !fields.contains_key(name) {
        fields.insert(name.to_owned(), text);
    }
}

/// A name without what does not matter in it.
fn plainly(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

const WRAPPERS: [&str; 14] = [
    "request",
    "httprequest",
    "http",
    "req",
    "response",
    "res",
    "headers",
    "url",
    "client",
    "source",
    "log",
    "access",
    "nginx",
    "body",
];
const METHOD: &[&str] =
    &["requestmethod", "method", "httpmethod", "verb", "httprequestmethod", "clientrequestmethod"];
const TARGET: &[&str] = &[
    "requesturi",
    "uri",
    "target",
    "requestpath",
    "path",
    "requesturl",
    "url",
    "original",
    "urloriginal",
    "urlpath",
    "document",
    "clientrequesturi",
    "xenvoyoriginalpath",
    "xenvoyoriginpath",
];
const QUERY: &[&str] = &["args", "querystring", "query", "urlquery", "requestquery"];
const PROTOCOL: &[&str] = &[
    "serverprotocol",
    "protocol",
    "proto",
    "requestprotocol",
    "httpversion",
    "version",
    "httpprotocol",
    "clientrequestprotocol",
];
const STATUS: &[&str] = &[
    "status",
    "statuscode",
    "responsestatus",
    "downstreamstatus",
    "responsecode",
    "httpstatus",
    "code",
    "edgeresponsestatus",
];
const BYTES: &[&str] = &[
    "bodybytessent",
    "bytessent",
    "bytes",
    "size",
    "bytesout",
    "downstreamcontentsize",
    "responsesize",
    "bodysize",
    "responselength",
    "edgeresponsebytes",
];
const CLIENT: &[&str] = &[
    "remoteaddr",
    "clientip",
    "remoteip",
    "clienthost",
    "clientaddr",
    "client",
    "remotehost",
    "ip",
    "sourceip",
    "remoteaddress",
    "address",
    "downstreamremoteaddress",
];
const FORWARDED: &[&str] = &["httpxforwardedfor", "xforwardedfor", "httpxrealip", "xrealip", "realip"];
const AGENT: &[&str] = &[
    "httpuseragent",
    "useragent",
    "agent",
    "requestuseragent",
    "useragentoriginal",
    "clientrequestuseragent",
];
const REFERER: &[&str] =
    &["httpreferer", "httpreferrer", "referer", "referrer", "requestreferer", "clientrequestreferer"];
const HOST: &[&str] = &[
    "httphost",
    "host",
    "requesthost",
    "authority",
    "servername",
    "vhost",
    "requestaddr",
    "domain",
    "clientrequesthost",
];
const SCHEME: &[&str] =
    &["scheme", "requestscheme", "httpxforwardedproto", "xforwardedproto", "clientrequestscheme"];
const BODY: &[&str] = &["requestbody"];
const TIME: [&str; 16] = [
    "startutc",
    "starttime",
    "startlocal",
    "msec",
    "ts",
    "timestamp",
    "timeiso8601",
    "time",
    "datetime",
    "date",
    "timelocal",
    "eventtime",
    "logtime",
    "t",
    "edgestarttimestamp",
    "edgeendtimestamp",
];
const MAX_DEPTH: usize = 6;
const MAX_FIELDS: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Exchange, SessionId};

    fn read(text: &str) -> Exchange {
        let line = parse(text.as_bytes()).unwrap_or_else(|why| panic!("{why:?}: {text}"));
        line.into_exchange(SessionId(1), "default")
    }

    #[test]
    fn the_names_of_many() {
        let check = |text: &str, request: &str, start_us: u64, status: u16, duration_us: Option<u64>| {
            let found = read(text);
            let asked = &found.request;
            assert_eq!(format!("{} {} {}", asked.method, asked.authority, asked.target), request, "{text}");
            assert_eq!((found.start_us, found.duration_us), (start_us, duration_us), "{text}");
            assert_eq!(found.response.map(|response| response.status), Some(status), "{text}");
            assert_eq!(asked.headers.get("user-agent"), Some(&b"curl/8"[..]), "{text}");
        };
        let t = 1_700_000_000_000_000;
        // nginx, by variables and by the whole line
        check(
            r#"{"msec":"1700000000.250","time_local":"14/Nov/2023:22:13:20 +0000","remote_addr":"1.1.1.1","request_method":"GET","request_uri":"/a?b=c","status":"200","body_bytes_sent":"7","request_time":"0.250","http_host":"shop.test","http_user_agent":"curl/8","connection":"17"}"#,
            "GET shop.test /a?b=c",
            t,
            200,
            Some(250_000),
        );
        check(
            r#"{"time":"2023-11-14T22:13:20+00:00","client":"1.1.1.1","request":"POST /a HTTP/2.0","status":201,"agent":"curl/8","referrer":"-"}"#,
            "POST  /a",
            t,
            201,
            None,
        );
        check(
            r#"{"@timestamp":"2023-11-14T22:13:21Z","uri":"/a","args":"b=c","method":"GET","status":404,"response_time":1.0,"upstream_response_time":"0.5, 0.5","user_agent":"curl/8"}"#,
            "GET  /a?b=c",
            t + 500_000,
            404,
            Some(500_000),
        );
        // Caddy
        check(
            r#"{"level":"info","ts":1700000000.5,"logger":"http.log.access","msg":"handled request","request":{"remote_ip":"1.1.1.1","proto":"HTTP/2.0","method":"GET","host":"shop.test","uri":"/a","headers":{"User-Agent":["curl/8"]}},"duration":0.5,"size":9,"status":200,"resp_headers":{"Server":["Caddy"]}}"#,
            "GET shop.test /a",
            t,
            200,
            Some(500_000),
        );
        // Traefik
        check(
            r#"{"ClientHost":"1.1.1.1","DownstreamStatus":200,"Duration":1500000,"RequestHost":"shop.test","RequestMethod":"GET","RequestPath":"/a","RequestProtocol":"HTTP/1.1","StartUTC":"2023-11-14T22:13:20.000001Z","request_User-Agent":"curl/8"}"#,
            "GET shop.test /a",
            t + 1,
            200,
            Some(1_500),
        );
        // Envoy
        check(
            r#"{"start_time":"2023-11-14T22:13:20.000Z","method":"GET","path":"/a","protocol":"HTTP/1.1","response_code":503,"duration":12,"bytes_sent":91,"user_agent":"curl/8","authority":"shop.test","x_forwarded_for":"2.2.2.2,10.0.0.1"}"#,
            "GET shop.test /a",
            t,
            503,
            Some(12_000),
        );
        // a load balancer
        check(
            r#"{"httpRequest":{"requestMethod":"GET","requestUrl":"https://shop.test/a","status":200,"userAgent":"curl/8","remoteIp":"1.1.1.1","latency":"0.25s"},"timestamp":"2023-11-14T22:13:20.25Z"}"#,
            "GET shop.test /a",
            t,
            200,
            Some(250_000),
        );
        // Docker, around a line of the common kind
        check(
            r#"{"log":"1.1.1.1 - - [14/Nov/2023:22:13:20 +0000] \"GET /a HTTP/1.1\" 200 5 \"-\" \"curl/8\"\n","stream":"stdout","time":"2023-11-14T22:13:21Z"}"#,
            "GET  /a",
            t,
            200,
            None,
        );
    }

    #[test]
    fn what_else_a_line_says() {
        let line = parse(br#"{"ts":1700000000,"x_forwarded_for":"9.9.9.9, 10.0.0.1","remote_addr":"10.0.0.1","method":"PUT","path":"/x","status":0,"connection":"5","request_body":"a=b","upstream_header_time":"0.010","scheme":"https","proto":"HTTP/2.0"}"#).unwrap();
        assert_eq!((line.client.as_slice(), line.connection), (&b"9.9.9.9"[..], Some(5)));
        assert!(!line.time.exact);
        let exchange = line.into_exchange(SessionId(1), "default");
        assert_eq!(exchange.request.body, crate::Body::whole("a=b"));
        assert_eq!(
            (exchange.request.scheme.as_str(), exchange.ttfb_us, exchange.response),
            ("https", None, None)
        );
    }

    #[test]
    fn the_names_of_cloudflare() {
        let found = read(
            r#"{"ClientIP":"1.1.1.1","ClientRequestHost":"shop.test","ClientRequestMethod":"GET","ClientRequestURI":"/a","ClientRequestUserAgent":"curl/8","EdgeEndTimestamp":"2023-11-14T22:13:21Z","EdgeResponseBytes":7,"EdgeResponseStatus":200,"EdgeStartTimestamp":1700000000000000000}"#,
        );
        let (asked, answer) = (&found.request, found.response.as_ref().unwrap());
        assert_eq!((asked.authority.as_str(), asked.target.as_str()), ("shop.test", "/a"));
        assert_eq!((found.start_us, answer.status, answer.body.len), (1_700_000_000_000_000, 200, 7));
    }

    #[test]
    fn the_port_of_a_client_is_not_who_it_is() {
        let line = |port: u16| {
            let text = format!(
                r#"{{"start_time":"2023-11-14T22:13:20.000Z","method":"GET","path":"/","response_code":200,"downstream_remote_address":"10.0.0.12:{port}"}}"#
            );
            parse(text.as_bytes()).unwrap().client
        };
        assert_eq!((line(50_000), line(50_001)), (b"10.0.0.12".to_vec(), b"10.0.0.12".to_vec()));
    }

    #[test]
    fn what_is_no_request() {
        assert!(matches!(parse(br#"{"status":200}"#), Err(Unfit::Skip(_))));
        assert!(
            matches!(parse(br#"{"method":"GET","path":"/","status":200}"#), Err(Unfit::Damaged(why)) if why.contains("time"))
        );
        assert!(matches!(parse(br#"{"method":"GET","#), Err(Unfit::Damaged(_))));
        assert!(matches!(
            parse(br#"{"log":"started","time":"2023-11-14T22:13:21Z"}"#),
            Err(Unfit::Damaged(_))
        ));
        for name in ["duration", "latency"] {
            let text = format!(r#"{{"ts":1700000000.5,"method":"GET","path":"/","status":200,"{name}":12}}"#);
            assert_eq!(read(&text).duration_us, None, "of no known unit");
        }
        assert_eq!(humans("800µs"), Some(800));
        assert_eq!(humans("1.5s"), Some(1_500_000));
    }
}
