//! Archives as tools write them, and as they should not.

use super::*;
use crate::Exchange;
use crate::exchange::Protocol;
use crate::notes::Notes;

fn import(har: &str) -> Result<(Vec<Exchange>, Tally), Error> {
    let mut exchanges = Vec::new();
    let tally =
        read(har.as_bytes(), &ImportOptions::default(), &mut Numbering::default(), &mut |exchange| {
            exchanges.push(exchange);
            Ok(())
        })?;
    Ok((exchanges, tally))
}

fn har(entries: &str) -> String {
    format!(
        "{{\"log\": {{\"version\": \"1.2\", \"creator\": {{\"name\": \"test\"}}, \"entries\": [{entries}]}}}}"
    )
}

/// An entry of the least that an archive may say, and more of request, response and entry.
fn entry(request: &str, response: &str, more: &str) -> String {
    format!(
        "{{\"startedDateTime\":\"2023-03-30T00:00:54.250Z\",\"request\":{{\"method\":\"GET\",\"url\":\"http://a.test/x\"{request}}},\
         \"response\":{{\"status\":200{response}}}{more}}}"
    )
}

fn one(request: &str, response: &str, more: &str) -> Exchange {
    let (mut exchanges, tally) = import(&har(&entry(request, response, more))).unwrap();
    assert_eq!((tally.imported, tally.damaged, exchanges.len()), (1, 0, 1), "{tally:?}");
    exchanges.remove(0)
}

#[test]
fn the_least_an_entry_can_say() {
    let exchange = one("", "", "");
    assert_eq!(exchange.start_us, 1_680_134_454_250_000);
    assert_eq!((exchange.request.authority.as_str(), exchange.request.target.as_str()), ("a.test", "/x"));
    assert_eq!((exchange.ttfb_us, exchange.duration_us, exchange.connection), (None, None, None));
    assert_eq!(exchange.response.unwrap().status, 200);
}

#[test]
fn cookies_that_only_the_list_has_are_sent() {
    let sent = |request: &str| one(request, "", "").request.headers.get_str("cookie").map(str::to_owned);
    let list = r#","cookies":[{"name":"a","value":"1"},{"name":"b","value":"2"},{"name":"c"},7]"#;
    assert_eq!(sent(list).as_deref(), Some("a=1; b=2"));
    let both = format!(r#","headers":[{{"name":"cookie","value":"x=y"}}]{list}"#);
    assert_eq!(sent(&both).as_deref(), Some("x=y"));
    assert_eq!(sent(r#","cookies":[]"#), None);
}

#[test]
fn parameters_of_forms_are_what_was_sent() {
    let body = |name: &str, value: &str| {
        let params = serde_json::json!([{ "name": name, "value": value }, { "name": "z", "value": "1" }]);
        let request = format!(
            r#","postData":{{"mimeType":"application/x-www-form-urlencoded","text":"","params":{params}}}"#
        );
        let body = one(&request, "", "").request.body;
        String::from_utf8(body.data.unwrap().to_vec()).unwrap()
    };
    assert_eq!(body("user%5Ba%5D", "x+y%26"), "user%5Ba%5D=x+y%26&z=1");
    assert_eq!(body("user[a]", "x y&ü"), "user[a]=x%20y%26%C3%BC&z=1");
}

#[test]
fn what_is_no_method_is_damage() {
    let har = har(&entry("", "", "")).replace("\"GET\"", "\"GE T\"");
    let (_, tally) = import(&har).unwrap();
    assert_eq!((tally.imported, tally.damaged), (0, 1));
    assert!(tally.named[0].why.contains("GE T"), "{:?}", tally.named);
}

#[test]
fn what_follows_an_archive_is_named() {
    let (_, tally) = import(&(har(&entry("", "", "")) + "\n}")).unwrap();
    assert_eq!((tally.imported, tally.damaged), (1, 1));
    assert!(tally.named[0].why.contains("follows the archive"), "{:?}", tally.named);
}

#[test]
fn times_from_what_there_is() {
    let check = |more: &str, ttfb, duration| {
        let exchange = one("", "", more);
        assert_eq!((exchange.ttfb_us, exchange.duration_us), (ttfb, duration), "{more}");
    };
    check(r#","time":10.5,"timings":{"send":1,"wait":5,"receive":2.5}"#, Some(8_000), Some(10_500));
    check(
        r#","time":-1,"timings":{"blocked":-1,"dns":-1,"send":1,"wait":5,"receive":2}"#,
        Some(6_000),
        Some(8_000),
    );
    check(r#","timings":{"send":"1","wait":5,"receive":-1}"#, None, Some(6_000));
    check(r#","time":null,"timings":null"#, None, None);
    check(r#","time":1e300"#, None, None);
}

#[test]
fn versions_in_odd_spellings() {
    let check = |request: &str, response: &str, expect| {
        assert_eq!(one(request, response, "").protocol, expect, "{request} {response}");
    };
    check(r#","httpVersion":"h2""#, "", Protocol::Http2);
    check(r#","httpVersion":"unknown""#, r#","httpVersion":"HTTP/2.0""#, Protocol::Http2);
    check(
        r#","httpVersion":"","headers":[{"name":":authority","value":"a"},{"name":"a","value":"b"}]"#,
        "",
        Protocol::Http2,
    );
    check(r#","httpVersion":"http/3""#, "", Protocol::Http3);
    check(r#","httpVersion":5"#, "", Protocol::Http11);
}

#[test]
fn headers_bodies_and_connections() {
    let exchange = one(
        r#","headers":[{"name":":path","value":"/x"},{"name":"Cookie","value":"a=b"},{"name":"n","value":5},{"x":1}],"bodySize":-1,
           "postData":{"mimeType":"text/plain","text":"grüß"}"#,
        r#","headers":[{"name":"Set-Cookie","value":"a=1\nb=2"}],"bodySize":-1,"content":{"size":4,"text":"dGV4dA","encoding":"base64"}"#,
        r#","connection":"77""#,
    );
    assert_eq!(exchange.request.headers.len(), 2);
    assert_eq!(exchange.request.headers.get_str("n"), Some("5"));
    assert_eq!(exchange.request.body.data.as_deref(), Some("grüß".as_bytes()));
    let response = exchange.response.unwrap();
    assert_eq!(response.headers.get_all("set-cookie").count(), 2);
    assert_eq!(
        (response.body.len, response.body.hash, response.body.data),
        (4, Some(xxhash_rust::xxh3::xxh3_64(b"text")), None)
    );
    assert_eq!(exchange.connection, Some(1));
    let params = r#","postData":{"mimeType":"application/x-www-form-urlencoded","params":[{"name":"a","value":"1"},{"name":"b","value":"x%20y"}]}"#;
    assert_eq!(one(params, "", "").request.body.data.as_deref(), Some(&b"a=1&b=x%20y"[..]));
}

#[test]
fn answers_that_never_came() {
    for status in ["0", "null", "-1", "\"\"", "99999"] {
        let (exchanges, tally) =
            import(&har(&entry("", "", "").replace("\"status\":200", &format!("\"status\":{status}"))))
                .unwrap();
        assert_eq!((exchanges[0].response.is_none(), tally.imported), (true, 1), "{status}");
    }
    assert!(one("", "", "").response.is_some());
}

#[test]
fn sockets_caches_and_other_urls() {
    let socket = one("", "", r#","_webSocketMessages":[]"#);
    assert!(socket.notes.contains(Notes::WEBSOCKET.with(Notes::UPGRADED)));
    assert!(one("", "", r#","_fromCache":"disk""#).notes.contains(Notes::FROM_CACHE));
    assert!(one("", "", r#","_fetchType":"Memory Cache""#).notes.contains(Notes::FROM_CACHE));
    assert!(one("", "", r#","_fetchType":"Network Load""#).notes.is_empty());
    let url = |url: &str| har(&entry("", "", "").replace("http://a.test/x", url));
    let target = |text: &str| {
        import(&url(text)).unwrap().0.pop().map(|e| (e.request.scheme, e.request.authority, e.request.target))
    };
    let check = |text: &str, scheme: &str, authority: &str, path: &str| {
        assert_eq!(target(text), Some((scheme.to_owned(), authority.to_owned(), path.to_owned())), "{text}");
    };
    check("wss://a.test:1/x", "https", "a.test:1", "/x");
    check("HTTP://me:pw@A.test?q#f", "http", "A.test", "/?q");
    check("https://a.test/ü x", "https", "a.test", "/%C3%BC%20x");
    for (text, skipped, damaged) in
        [("data:text/plain,x", 1, 0), ("about:blank", 1, 0), ("nonsense", 0, 1), ("http:///x", 0, 1)]
    {
        let (_, tally) = import(&url(text)).unwrap();
        assert_eq!((tally.skipped.values().sum::<u64>(), tally.damaged), (skipped, damaged), "{text}");
    }
}

#[test]
fn entries_without_a_time_follow_those_before() {
    let timed = entry("", "", r#","time":2.5"#);
    let bare = r#"{"request":{"method":"GET","url":"http://a.test/y"},"response":{}}"#.to_owned();
    let (exchanges, tally) = import(&har(&[bare.clone(), timed, bare.clone(), bare].join(","))).unwrap();
    let starts: Vec<u64> = exchanges.iter().map(|exchange| exchange.start_us).collect();
    let ended = 1_680_134_454_252_500;
    assert_eq!((starts, tally.damaged), (vec![0, ended - 2_500, ended, ended], 0));
    assert_eq!(tally.noted.values().copied().collect::<Vec<_>>(), [3], "{:?}", tally.noted);
    let coarse = |at: usize| exchanges[at].notes.contains(Notes::COARSE_TIME);
    assert!(coarse(0) && !coarse(1) && coarse(2) && coarse(3));
}

#[test]
fn what_a_page_holds_in_itself_is_no_request_even_without_a_method() {
    let (_, tally) =
        import(&har(r#"{"request":{"url":"data:image/png;base64,AA=="},"response":{}}"#)).unwrap();
    assert_eq!((tally.skipped.values().sum::<u64>(), tally.damaged), (1, 0));
}

#[test]
fn a_damaged_entry_leaves_the_others() {
    let entries = [
        entry("", "", ""),
        "5".to_owned(),
        "{\"request\":{}}".to_owned(),
        entry("", "", "").replace("2023", "yesterday"),
        entry("", "", ""),
    ];
    let (exchanges, tally) = import(&har(&entries.join(","))).unwrap();
    assert_eq!((exchanges.len(), tally.imported, tally.damaged, tally.sessions), (2, 2, 3, 1));
    let places: Vec<_> = tally.named.iter().map(|damaged| damaged.place.as_str()).collect();
    assert_eq!(places, ["entry 1", "entry 2", "entry 3"]);
}

#[test]
fn an_archive_cut_short_keeps_what_is_whole() {
    let whole = har(&[entry("", "", ""), entry("", "", "")].join(",\n"));
    for cut in 1..whole.len() {
        match import(&whole[..cut]) {
            Ok((exchanges, tally)) => {
                assert_eq!((tally.damaged, tally.imported), (1, exchanges.len() as u64), "cut at {cut}");
                assert!(tally.named[0].place.starts_with("line "), "{tally:?}");
            }
            Err(err) => assert!(err.to_string().contains("line "), "{err}"),
        }
    }
    assert!(import("{\"a\":1}").unwrap_err().to_string().contains("entries"));
    assert!(import("[]").is_err() && import("").is_err());
    assert_eq!(import(&har("")).unwrap().1, Tally::default());
    assert_eq!(import(&format!("\u{feff}{whole}")).unwrap().0.len(), 2);
}

#[test]
fn any_change_of_an_archive_is_read_or_refused() {
    use proptest::prelude::*;
    let whole = har(&entry(
        r#","httpVersion":"h2","headers":[{"name":"a","value":"b"}],"postData":{"mimeType":"multipart/form-data; boundary=x","params":[{"name":"a"}]}"#,
        r#","headers":[],"content":{"size":4,"text":"dGV4dA","encoding":"base64"}"#,
        r#","time":1,"timings":{"wait":1},"connection":"1","_squall":{"session":"1","notes":["lossy"],"request_body":{"len":1}}"#,
    ));
    let changes = proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4);
    proptest!(|(changes in changes)| {
        let mut bytes = whole.clone().into_bytes();
        for (index, byte) in &changes {
            let index = index.index(bytes.len());
            bytes[index] = *byte;
        }
        let mut numbering = Numbering::default();
        let _ = read(&bytes[..], &ImportOptions::default(), &mut numbering, &mut |_| Ok(()));
    });
}
