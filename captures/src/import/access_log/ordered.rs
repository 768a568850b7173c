//! Lines whose values have no names but an order of their own: those of Amazon's load balancers and of S3, of HAProxy and
//! of Envoy.

use super::json::{self, Fields};
use super::line::{Line, Unfit, unescape_text};

/// The line, where it is of one of these forms.
pub(super) fn parse(text: &[u8]) -> Option<Result<Line, Unfit>> {
    let text = String::from_utf8_lossy(text);
    let words = words(&text);
    let fields =
        balancer(&words).or_else(|| bucket(&words)).or_else(|| haproxy(&words)).or_else(|| envoy(&words))?;
    Some(json::line(&Fields::named(&fields)))
}

/// A value, and what it stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word<'a> {
    Plain(&'a str),
    Quoted(&'a str),
    /// In brackets or braces.
    Enclosed(&'a str),
}

type Named = Vec<(&'static str, String)>;

impl<'a> Word<'a> {
    fn plain(self) -> Option<&'a str> {
        match self {
            Word::Plain(text) => Some(text),
            _ => None,
        }
    }

    fn quoted(self) -> Option<&'a str> {
        match self {
            Word::Quoted(text) => Some(text),
            _ => None,
        }
    }

    fn enclosed(self) -> Option<&'a str> {
        match self {
            Word::Enclosed(text) => Some(text),
            _ => None,
        }
    }
}

fn words(line: &str) -> Vec<Word<'_>> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while !rest.is_empty() && words.len() < MAX_WORDS {
        let within = |close: char| {
            let mut escaped = false;
            let is_end = |c: char| {
                let was_escaped = escaped;
                escaped = c == '\\' && !was_escaped;
                c == close && !was_escaped
            };
            let inner = &rest[1..];
            inner.find(is_end).map(|end| (&inner[..end], &inner[end + 1..]))
        };
        let (word, after) = match rest.as_bytes()[0] {
            b'"' => within('"').map(|(word, after)| (Word::Quoted(word), after)),
            b'[' => within(']').map(|(word, after)| (Word::Enclosed(word), after)),
            b'{' => within('}').map(|(word, after)| (Word::Enclosed(word), after)),
            _ => None,
        }
        .unwrap_or_else(|| {
            let (word, after) = rest.split_once(' ').unwrap_or((rest, ""));
            (Word::Plain(word), after)
        });
        words.push(word);
        rest = after.trim_start();
    }
    words
}

/// `type time name client target 3 durations status target-status received sent "request" "agent" …`; the older kind
/// has no type, and its time is that of the request.
fn balancer(words: &[Word<'_>]) -> Option<Named> {
    let is_time = |word: &Word<'_>| word.plain().is_some_and(|text| 19 <= text.len() && is_iso(text));
    let (words, when) = match words {
        [Word::Plain("http" | "https" | "h2" | "ws" | "wss" | "grpc" | "grpcs"), rest @ ..] => {
            (rest, "timestamp")
        }
        _ => (words, "starttime"),
    };
    let plain: Vec<&str> = words.iter().take(11).filter_map(|word| word.plain()).collect();
    let [time, _, client, _, before, behind, after, status, _, _, sent] = plain[..] else { return None };
    let request = words.get(11)?.quoted().filter(|_| is_time(&words[0]))?;
    let seconds = |text: &str| text.parse::<f64>().ok().filter(|seconds| 0.0 <= *seconds);
    let mut named = of_request(request, words.get(12).copied());
    if let (Some(before), Some(behind), Some(after)) = (seconds(before), seconds(behind), seconds(after)) {
        named.push(("requesttime", (before + behind + after).to_string()));
        named.push(("upstreamheadertime", (before + behind).to_string()));
    }
    named.extend([(when, time), ("clientip", client), ("status", status), ("bytes", sent)].map(own));
    Some(named)
}

/// `owner bucket [time] client requester id operation key "request" status error sent size total turnaround "referer" "agent"`.
fn bucket(words: &[Word<'_>]) -> Option<Named> {
    let [
        _,
        host,
        time,
        client,
        _,
        _,
        operation,
        _,
        request,
        status,
        _,
        sent,
        _,
        total,
        _,
        referer,
        agent,
        ..,
    ] = words
    else {
        return None;
    };
    let (time, request) = (time.enclosed()?, request.quoted()?);
    operation.plain().filter(|operation| operation.contains('.'))?;
    let mut named = of_request(request, Some(*agent));
    let text = |word: &Word<'_>| word.plain().unwrap_or_default().to_owned();
    named.extend([
        ("starttime", time.to_owned()),
        ("host", text(host)),
        ("clientip", text(client)),
        ("status", text(status)),
        ("bytes", text(sent)),
        ("durationms", text(total)),
        ("referer", referer.quoted().unwrap_or_default().to_owned()),
    ]);
    Some(named)
}

/// `client [time] frontend backend/server 5 durations status sent … "request"`.
fn haproxy(words: &[Word<'_>]) -> Option<Named> {
    let [client, time, _, _, durations, status, sent, .., request] = words else { return None };
    let durations: Vec<&str> = durations.plain()?.split('/').collect();
    let [asked, queued, connected, answered, total] = durations[..] else { return None };
    let number = |text: &str| text.trim_start_matches('+').parse::<i64>().ok();
    let parts: Vec<i64> = [asked, queued, connected, answered].into_iter().filter_map(number).collect();
    let total = number(total)?;
    let mut named = of_request(request.quoted()?, None);
    if parts.len() == 4 && parts.iter().all(|part| 0 <= *part) {
        named.push(("upstreamheadertime", (parts.iter().sum::<i64>() as f64 / 1e3).to_string()));
    }
    let text = |word: &Word<'_>| word.plain().unwrap_or_default().trim_start_matches('+').to_owned();
    named.extend([
        ("starttime", time.enclosed()?.to_owned()),
        ("clientip", text(client)),
        ("status", text(status)),
        ("bytes", text(sent)),
        ("durationms", total.to_string()),
    ]);
    Some(named)
}

/// `[time] "request" status flags … received sent milliseconds upstream "forwarded" "agent" "id" "authority" …`. Behind the
/// flags newer ones say why in three words more.
fn envoy(words: &[Word<'_>]) -> Option<Named> {
    let [time, request, status, flags, rest @ ..] = words else { return None };
    flags.plain().filter(|_| time.enclosed().is_some_and(is_iso))?;
    let is_number =
        |word: &Word<'_>| word.plain().is_some_and(|text| text == "-" || text.parse::<u64>().is_ok());
    let rest = match rest {
        [first, ..] if is_number(first) => rest,
        [_, _, _, rest @ ..] => rest,
        _ => return None,
    };
    let [_, sent, total, _, forwarded, agent, _, authority, ..] = rest else { return None };
    let mut named = of_request(request.quoted()?, Some(*agent));
    let text = |word: &Word<'_>| word.plain().or(word.quoted()).unwrap_or_default().to_owned();
    named.extend([
        ("starttime", time.enclosed()?.to_owned()),
        ("clientip", text(forwarded)),
        ("status", text(status)),
        ("bytes", text(sent)),
        ("durationms", text(total)),
        ("host", text(authority)),
    ]);
    Some(named)
}

fn of_request(request: &str, agent: Option<Word<'_>>) -> Named {
    let agent = agent.and_then(Word::quoted).unwrap_or_default();
    vec![("requestline", unescape_text(request)), ("useragent", unescape_text(agent))]
}

fn own((name, value): (&'static str, &str)) -> (&'static str, String) {
    (name, value.to_owned())
}

fn is_iso(text: &str) -> bool {
    matches!(text.as_bytes(), [b'0'..=b'9', _, _, _, b'-', _, _, b'-', _, _, b'T', ..])
}

/// More than any of them has; captured headers are in one word.
const MAX_WORDS: usize = 64;

#[cfg(test)]
mod tests {
    use super::super::line::Line;
    use super::*;
    use crate::{Exchange, SessionId};

    const T: u64 = 1_700_000_000_000_000;

    fn read(line: &str) -> Exchange {
        let line = Line::parse(line.as_bytes()).unwrap_or_else(|why| panic!("{why:?}: {line}"));
        assert_eq!(String::from_utf8_lossy(&line.client), "1.1.1.1");
        line.into_exchange(SessionId(1), "default")
    }

    #[track_caller]
    fn check(line: &str, request: &str, answer: (u16, u64), times: (u64, Option<u64>, Option<u64>)) {
        let found = read(line);
        let asked = &found.request;
        assert_eq!(format!("{} {} {}", asked.method, asked.authority, asked.target), request, "{line}");
        let response = found.response.as_ref().map(|response| (response.status, response.body.len));
        assert_eq!(response, Some(answer), "{line}");
        assert_eq!((found.start_us - T, found.ttfb_us, found.duration_us), times, "{line}");
    }

    #[test]
    fn load_balancers_of_amazon() {
        let rest =
            "200 200 34 366 \"GET https://shop.test:443/a?b=c HTTP/2.0\" \"curl \\\"8\\\"\" ECDHE TLSv1.2";
        let line = format!(
            "h2 2023-11-14T22:13:21.000000Z app/x/1 1.1.1.1:2817 10.0.0.1:80 0.125 0.25 0.125 {rest} arn:x"
        );
        check(&line, "GET shop.test:443 /a?b=c", (200, 366), (500_000, Some(375_000), Some(500_000)));
        assert_eq!(read(&line).request.headers.get_str("user-agent"), Some("curl \"8\""));
        let classic = format!("2023-11-14T22:13:20.5Z elb 1.1.1.1:2817 - -1 -1 -1 {rest}");
        check(&classic, "GET shop.test:443 /a?b=c", (200, 366), (500_000, None, None));
        let tcp =
            "2023-11-14T22:13:20.5Z elb 1.1.1.1:2817 10.0.0.1:80 0.1 0.1 0.1 - - 82 305 \"- - - \" \"-\" - -";
        assert!(matches!(Line::parse(tcp.as_bytes()), Err(Unfit::Skip(_))));
    }

    #[test]
    fn accesses_to_a_bucket() {
        let line = "79a5 shop.test [14/Nov/2023:22:13:20 +0000] 1.1.1.1 arn:aws:iam::1:user/x 3E57 REST.GET.OBJECT a.png \
                    \"GET /a.png?x HTTP/1.1\" 200 - 2662 2662 70 10 \"http://r.test/\" \"curl/8\" -";
        check(line, "GET shop.test /a.png?x", (200, 2662), (0, None, Some(70_000)));
        assert_eq!(read(line).request.headers.get_str("referer"), Some("http://r.test/"));
    }

    #[test]
    fn lines_of_haproxy() {
        let line = "1.1.1.1:14853 [14/Nov/2023:22:13:20.127] https~ app/web1 1/0/2/3/+173 404 +739 - - --NN 0/0/0/0/0 0/0 \
                    {shop.test|curl 8} \"GET /x/y HTTP/1.1\"";
        check(line, "GET  /x/y", (404, 739), (127_000, Some(6_000), Some(173_000)));
        let syslog = format!("Nov  4 14:30:19 lb-1 haproxy[394]: {line}");
        check(&syslog, "GET  /x/y", (404, 739), (127_000, Some(6_000), Some(173_000)));
        let gone = line.replace("1/0/2/3/+173 404", "1/-1/-1/-1/50 -1");
        assert!(read(&gone).response.is_none());
        let tls = "1.1.1.1:50033 [14/Nov/2023:22:13:20.127] fe/be: SSL handshake failure";
        assert!(matches!(Line::parse(tls.as_bytes()), Err(Unfit::Damaged(_))));
    }

    #[test]
    fn lines_of_envoy() {
        let rest = "154 9 226 100 \"1.1.1.1, 10.0.0.1\" \"curl/8\" \"cc21\" \"shop.test\" \"10.0.2.1:80\"";
        let time = "[2023-11-14T22:13:20.310Z] \"POST /api HTTP/2\" 204";
        let short = format!("{time} - {rest}");
        let long = format!("{time} UH no_healthy_upstream - \"-\" {rest}");
        let pod = format!("2023-11-14T22:13:20.400000000+01:00 stdout F {short}");
        for line in [short, long, pod] {
            check(&line, "POST shop.test /api", (204, 9), (310_000, None, Some(226_000)));
        }
    }
}
