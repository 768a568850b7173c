//! What shoppers would not want to be read by others is not in the capture, and still the replay logs in.

use tempfile::TempDir;

use crate::kit::{Replayed, Shopper, VISIT, expect_whole, run_squall, text};
use crate::support::{Proxy, Shop, http};

#[test]
fn no_secret_reaches_the_disk_and_the_replay_still_logs_in() {
    let (shop, folder) = (Shop::open(&[]), TempDir::new().unwrap());
    let capture = folder.path().join("capture.zst");
    let proxy = Proxy::before(&shop.url(), &["--record", &text(&capture)]);
    let mut secrets = Vec::new();
    for name in ["ada", "grace", "barbara"] {
        let mut shopper = Shopper::at(proxy.addr());
        shopper.visit(name);
        secrets.append(&mut shopper.secrets);
    }
    // some fail in the recording, and must fail in the replay
    for _ in 0..REFUSED {
        assert_eq!(http::post(proxy.addr(), "/api/login", b"password=guessed-2b7e").status, 401);
    }
    secrets.push("guessed-2b7e".to_owned());
    let recorded = 3 * VISIT + REFUSED;
    proxy.expect_delivered(recorded);
    http::post(proxy.admin(), "/recording/stop", b"");
    expect_whole(&capture);

    let raw = std::fs::read(&capture).unwrap();
    let decoded = zstd::stream::decode_all(&raw[..]).unwrap();
    // a block says common words by their number: what is read from it is looked at, too
    let read = run_squall(&["captures", "cat", &text(&capture)]).expect(0).out.into_bytes();
    assert!(contains(&read, b"/api/checkout"), "this is the text of the capture");
    assert!(secrets.len() > 15, "cookies, passwords, keys and tokens: {secrets:?}");
    for secret in &secrets {
        for form in forms(secret) {
            let found = [&raw, &decoded, &read].into_iter().any(|bytes| contains(bytes, form.as_bytes()));
            assert!(!found, "the capture holds `{form}`, which is `{secret}`");
        }
    }

    let run = Replayed::of(&capture, &["--amplify", "3x"]);
    let run = run.expect_passed().expect_answered(3 * recorded).expect_not_off();
    let expected = [("200", 18 * 3), ("201", 6 * 3), ("401", REFUSED * 3)];
    for (status, n) in expected {
        assert_eq!(run.n(&format!("/requests/status/{status}")), n, "{status} in {:#}", run.json["requests"]);
    }
    assert_eq!((run.n("/requests/mismatched"), run.sum("/requests/status")), (0, 3 * recorded));
}

/// A secret as it may be written down.
fn forms(secret: &str) -> Vec<String> {
    let percent = |keep: fn(u8) -> bool, upper: bool| -> String {
        let encode = |byte: u8| match (keep(byte), upper) {
            (true, _) => char::from(byte).to_string(),
            (false, true) => format!("%{byte:02X}"),
            (false, false) => format!("%{byte:02x}"),
        };
        secret.bytes().map(encode).collect()
    };
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let escaped: String = secret
        .chars()
        .map(|c| if c.is_ascii() { c.to_string() } else { format!("\\u{:04x}", c as u32) })
        .collect();
    let mut forms = vec![secret.to_owned(), escaped, secret.replace(' ', "+")];
    for upper in [true, false] {
        forms.extend([percent(unreserved, upper), percent(|_| false, upper)]);
        forms.push(percent(unreserved, upper).replace("%20", "+"));
    }
    // at each of the three places that a byte may have; the ends depend on what stands beside it
    forms.extend((0..3).map(|pad| base64(&[&b"\0\0"[..pad.min(2)], secret.as_bytes()].concat(), pad)));
    forms
}

/// Base64, without the characters that depend on the first `pad` bytes or on what follows.
fn base64(bytes: &[u8], pad: usize) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let whole = bytes.chunks_exact(3).flat_map(|three| {
        let bits = u32::from(three[0]) << 16 | u32::from(three[1]) << 8 | u32::from(three[2]);
        [18, 12, 6, 0].map(|shift| char::from(DIGITS[(bits >> shift & 63) as usize]))
    });
    whole.skip(if pad == 0 { 0 } else { 4 }).collect()
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

const REFUSED: u64 = 5;
