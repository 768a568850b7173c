//! Secrets planted in traffic of many kinds are not in the capture, as its own check says too, and it still replays.

use std::path::Path;

use tempfile::TempDir;

use crate::kit::{Finished, Replayed, Shopper, VISIT, expect_whole, text};
use crate::support::{Proxy, Shop, http, squall};

/// What a user of that name sends beside a visit: secrets in every place that has a name or a shape of its own.
fn plant(proxy: &Proxy, name: &str, card: &str) -> Vec<String> {
    let (email, password) = (format!("{name}.lee+shop@mail.example.org"), format!("pa55-{name}-w0rd!"));
    let claims = format!("{{\"sub\":\"subject-{name}\",\"email\":\"{email}\",\"iat\":1700000000}}");
    let jwt =
        format!("{}.{}.{}", base64(b"{\"alg\":\"HS256\"}"), base64(claims.as_bytes()), base64(&[b's'; 32]));
    let basic = base64(format!("{name}:{password}").as_bytes());
    let typed = |kind| [("content-type", kind), ("cookie", "seen=1")];
    let send = |what: &str, headers: &[(&str, &str)], body: &str| {
        http::send(proxy.addr(), what, headers, body.as_bytes());
    };
    let coded = email.replace('@', "%40").replace('+', "%2B");
    send(
        &format!("GET /u/{email}?card={card}&to={coded}&token=tok-{name}-0123456789"),
        &[("from", &email)],
        "",
    );
    send(
        "GET /a",
        &[("authorization", &format!("Bearer {jwt}")), ("user-agent", &format!("bot (+{email})"))],
        "",
    );
    send(
        "GET /b",
        &[("authorization", &format!("Basic {basic}")), ("referer", &format!("http://a/?jwt={jwt}"))],
        "",
    );
    let json = format!(
        "{{\"to\":[\"{email}\"],\"card\":{card},\"note\":\"pay {card} for {email}\",\"pin\":\"{password}\"}}"
    );
    send("POST /c", &typed("application/json"), &json);
    send(
        "POST /d",
        &typed("application/x-www-form-urlencoded"),
        &format!("mail={coded}&cc={card}&jwt={jwt}"),
    );
    let part = |name: &str, value: &str| {
        format!("--B\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    let form = format!("{}{}--B--\r\n", part("password", &password), part("who", &email));
    send("POST /e", &typed("multipart/form-data; boundary=B"), &form);
    send(
        "POST /f",
        &typed("text/plain"),
        &format!("password: {password}\ncard {card}, mail {email}, token {jwt}"),
    );
    let signature = jwt.rsplit('.').next().unwrap_or_default().to_owned();
    vec![
        email,
        password,
        card.to_owned(),
        jwt,
        basic,
        signature,
        format!("tok-{name}-0123456789"),
        format!("subject-{name}"),
    ]
}

const PLANTED: u64 = 7;

fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}

/// The check of a capture against secrets, one a line.
fn check(capture: &Path, secrets: &[String]) -> Finished {
    let file = capture.with_extension("secrets");
    std::fs::write(&file, secrets.join("\n")).unwrap();
    Finished::of(squall(&["captures", "verify", &text(capture), "--canary", &text(&file)]))
}

#[test]
fn planted_secrets_are_nowhere_and_the_capture_replays() {
    expect_clean(&["--record-bodies", "full:256KB"]);
}

#[test]
fn planted_secrets_are_nowhere_among_the_prints_of_a_default_recording() {
    expect_clean(&[]);
}

/// Of what is recorded with these flags.
fn expect_clean(bodies: &[&str]) {
    let (shop, folder) = (Shop::open(&[]), TempDir::new().unwrap());
    let capture = folder.path().join("capture.zst");
    let flags = ["--record", &text(&capture), "--session-key", "cookie:customer,client"];
    let proxy = Proxy::before(&shop.url(), &[&flags[..], bodies].concat());
    let cards = ["4111111111111111", "5555555555554444", "378282246310005", "6011000990139424"];
    let secrets: Vec<String> = std::thread::scope(|scope| {
        let users: Vec<_> = ["ada", "grace", "barbara", "radia"]
            .into_iter()
            .zip(cards)
            .map(|(name, card)| {
                let proxy = &proxy;
                scope.spawn(move || {
                    let mut shopper = Shopper::at(proxy.addr());
                    shopper.visit(name);
                    shopper.secrets.extend(plant(proxy, name, card));
                    shopper.secrets
                })
            })
            .collect();
        users.into_iter().flat_map(|user| user.join().unwrap()).collect()
    });
    let recorded = 4 * (VISIT + PLANTED);
    proxy.expect_delivered(recorded);
    http::post(proxy.admin(), "/recording/stop", b"");
    expect_whole(&capture);
    // cookies such as `seen=1` are too short to look for
    let secrets: Vec<String> = secrets.into_iter().filter(|secret| 6 <= secret.len()).collect();
    check(&capture, &secrets).expect_words(0, &["whole", "none of the secrets was found"]);
    check(&capture, &["/api/checkout".to_owned()]).expect_words(1, &["target", "/ap… of 13 bytes"]);

    let run = Replayed::of(&capture, &["--amplify", "3x"]);
    let run = run.expect_passed().expect_answered(3 * recorded).expect_not_off();
    for (status, n) in [("200", 6 * 4 * 3), ("201", 2 * 4 * 3)] {
        assert_eq!(run.n(&format!("/requests/status/{status}")), n, "{status} in {:#}", run.json["requests"]);
    }
    assert_eq!(run.n("/requests/mismatched"), 0);
}

#[test]
fn a_capture_with_secrets_is_found_out_without_showing_them() {
    let (shop, folder) = (Shop::open(&[]), TempDir::new().unwrap());
    let capture = folder.path().join("capture.zst");
    let refused = squall(&[
        "proxy",
        "--listen",
        "127.0.0.1:0",
        "--upstream",
        &shop.url(),
        "--record",
        &text(&capture),
        "--no-redaction",
    ]);
    Finished::of(refused).expect_words(104, &["--record-secrets"]);
    let proxy = Proxy::before(&shop.url(), &["--record", &text(&capture), "--record-secrets"]);
    let secrets = plant(&proxy, "ada", "4111111111111111");
    proxy.expect_delivered(PLANTED);
    http::post(proxy.admin(), "/recording/stop", b"");
    let found = check(&capture, &secrets);
    let said = format!("{}{}", found.out, found.err);
    found.expect_words(
        1,
        &[
            ": target",
            "request header",
            "(from)",
            "request body, percent-decoded",
            "from base64",
            "in exchange 1 of session",
        ],
    );
    for (at, secret) in secrets.iter().enumerate() {
        assert!(said.contains(&format!("secret of line {} (", at + 1)), "{said}");
        assert!(!said.contains(secret.as_str()), "it prints a secret:\n{said}");
    }
    let missing = folder.path().join("none");
    let unreadable = squall(&["captures", "verify", &text(&capture), "--canary", &text(&missing)]);
    Finished::of(unreadable).expect_words(104, &["none"]);
}

#[test]
fn a_policy_with_a_mistake_is_refused_with_its_place() {
    let folder = TempDir::new().unwrap();
    let (policy, capture) = (folder.path().join("redact.toml"), folder.path().join("capture.zst"));
    std::fs::write(&policy, "names = [\"x\"]\nnmaes = [\"y\"]\n").unwrap();
    let flags = ["--record", &text(&capture), "--redact", &text(&policy)];
    let proxy =
        [&["proxy", "--listen", "127.0.0.1:0", "--upstream", "http://127.0.0.1:9"][..], &flags].concat();
    Finished::of(squall(&proxy)).expect_words(104, &["redact.toml: line 2, column 1", "nmaes", "names"]);
    assert!(!capture.exists());
    let log = folder.path().join("access.log");
    std::fs::write(
        &log,
        "10.0.0.1 - - [17/May/2025:10:00:00 +0000] \"GET /?y=secret-17&m=a@b.de HTTP/1.1\" 200 5\n",
    )
    .unwrap();
    std::fs::write(&policy, "names = ['y']\n").unwrap();
    let import = ["captures", "import", &text(&log), "-o", &text(&capture), "--redact", &text(&policy)];
    Finished::of(squall(&import)).expect(0);
    check(&capture, &["secret-17".to_owned(), "a@b.de".to_owned()]).expect(0);
}
