//! curl over HTTP/1.1, HTTP/2 with TLS, and HTTP/2 by prior knowledge.

use std::process::Command;

use tempfile::TempDir;

use crate::inline::{Certificate, Inline};
use crate::support::Shop;
use crate::tools;

#[test]
fn curl_over_http_1_1() {
    let Some(curl) = curl() else { return };
    let shop = Shop::open(&[]);
    let proxy = Inline::before(&shop.url());
    check_shopping(&curl, &["--http1.1"], &proxy.url(), ("1.1", Reuse::All));
    finish(&shop, proxy);
}

#[test]
fn curl_over_http_1_1_and_tls() {
    let Some(curl) = curl() else { return };
    let (shop, tls) = (Shop::open(&[]), Certificate::new());
    let proxy = Inline::with_tls(&shop.url(), &tls);
    let options = ["--http1.1", "--cacert", &tls.cert];
    check_shopping(&curl, &options, &proxy.url(), ("1.1", Reuse::All));
    finish(&shop, proxy);
}

#[test]
fn curl_over_http_2_and_tls() {
    let Some(curl) = curl() else { return };
    let (shop, tls) = (Shop::open(&[]), Certificate::new());
    let proxy = Inline::with_tls(&shop.url(), &tls);
    let options = ["--http2", "--cacert", &tls.cert];
    check_shopping(&curl, &options, &proxy.url(), ("2", Reuse::All));
    finish(&shop, proxy);
}

#[test]
fn curl_over_http_2_by_prior_knowledge() {
    let Some(curl) = curl() else { return };
    let shop = Shop::open(&[]);
    let proxy = Inline::before(&shop.url());
    check_shopping(&curl, &["--http2-prior-knowledge"], &proxy.url(), ("2", Reuse::None));
    finish(&shop, proxy);
}

#[test]
fn curl_over_http_2_on_both_sides() {
    let Some(curl) = curl() else { return };
    let shop = Shop::open(&[]);
    let proxy = Inline::before(&format!("h2c://{}", shop.addr()));
    check_shopping(&curl, &["--http2-prior-knowledge"], &proxy.url(), ("2", Reuse::None));
    finish(&shop, proxy);
}

#[test]
fn curl_sees_nothing_of_a_passed_answer_changed() {
    let Some(curl) = curl() else { return };
    let shop = Shop::open(&[]);
    let proxy = Inline::before(&shop.url());
    let fetch = |url: String| {
        let mut command = tools::curl(&curl);
        command.args(["--include", &url]);
        let said = tools::run(command);
        // the two that a proxy is to write itself: when there is no date, and for its own connection
        let own = |line: &str| {
            ["date: ", "connection: "].iter().any(|name| line.to_ascii_lowercase().starts_with(name))
        };
        said.lines().filter(|line| !own(line)).map(str::to_owned).collect::<Vec<_>>()
    };
    let through = fetch(format!("{}/api/products", proxy.url()));
    assert_eq!(through, fetch(format!("{}/api/products", shop.url())));
    proxy.finish(1);
}

fn curl() -> Option<String> {
    tools::program("curl", "curl")
}

/// Whether curl is given all steps at once, for one connection, or one by one.
#[derive(Clone, Copy, PartialEq)]
enum Reuse {
    All,
    /// curl 7.88, which Debian 12 has, cannot use a connection of prior knowledge twice (curl issue 10634).
    None,
}

/// One user's visit: arguments of curl, the target, and the status that it is to have.
const STEPS: [(&[&str], &str, &str); 11] = [
    (&[], "/", "200"),
    (&[], "/api/products", "200"),
    (&["--head"], "/api/products", "200"),
    (&["--json", r#"{"name":"Ada","email":"ada@example.test","password":"rain"}"#], "/api/signup", "201"),
    (&["--data", "password=rain"], "/api/login", "200"),
    (&["--header", CHUNKED, "--json", r#"{"product":7,"quantity":2}"#], "/api/cart", "200"),
    (&["--header", "accept-encoding: gzip"], "/api/cart", "200"),
    (&["--request", "POST", "--header", "idempotency-key: k-1"], "/api/checkout", "201"),
    (&[], "/api/events?n=3&gap_ms=1", "200"),
    (&[], "/nowhere", "404"),
    // the last: over HTTP/1.1 the proxy closes the connection after a request that waited for a 100
    (&["--header", "expect: 100-continue", "--data", "password=rain"], "/api/login", "200"),
];

/// Makes curl a shopper with a cookie jar. The cookies, and so the whole visit, fail if a header is lost on the way.
#[track_caller]
fn check_shopping(curl: &str, options: &[&str], base: &str, (version, reuse): (&str, Reuse)) {
    let folder = TempDir::new().unwrap();
    let jar = folder.path().join("cookies").display().to_string();
    let step = |(arguments, path, _): &(&[&str], &str, &str)| {
        let mut step: Vec<String> = ["--cookie", &jar, "--cookie-jar", &jar].map(str::to_owned).to_vec();
        step.extend(tools::CURL.map(str::to_owned));
        step.extend(
            ["--output", "/dev/null", "--write-out", "%{http_version} %{http_code} %{num_connects}\n"]
                .map(str::to_owned),
        );
        // HTTP/2 has no such header
        let is_chunked = arguments.contains(&CHUNKED) && version == "2";
        let arguments = &arguments[if is_chunked { 2 } else { 0 }..];
        step.extend(options.iter().chain(arguments).map(|&argument| argument.to_owned()));
        step.push(format!("{base}{path}"));
        step
    };
    let steps = STEPS.iter().map(step);
    let runs: Vec<Vec<String>> = match reuse {
        Reuse::All => vec![steps.collect::<Vec<_>>().join(&"--next".to_owned())],
        Reuse::None => steps.collect(),
    };
    let mut told = Vec::new();
    for arguments in runs {
        let mut command = Command::new(curl);
        command.args(arguments);
        told.extend(tools::run(command).lines().filter(|line| !line.is_empty()).map(str::to_owned));
    }
    let connects = |number| i32::from(number == 0 || reuse == Reuse::None);
    let expected = STEPS.iter().enumerate();
    let expected =
        expected.map(|(number, (_, _, status))| format!("{version} {status} {}", connects(number)));
    assert_eq!(told, expected.collect::<Vec<_>>(), "HTTP version, status and new connections, step by step");
}

/// As many requests came in as arrived at the shop.
#[track_caller]
fn finish(shop: &Shop, proxy: Inline) {
    let sent = STEPS.len() as u64;
    proxy.finish(sent);
    assert_eq!(shop.requests(), sent, "the shop's own count");
}

const CHUNKED: &str = "transfer-encoding: chunked";
