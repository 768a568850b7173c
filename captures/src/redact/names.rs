//! Which names say that a value is secret.

/// Whether the value of a field, parameter or key of that name is secret: `password`, `user[newPassword]`,
/// `client_secret`, `csrf-token`, `apiKey`, …
pub(super) fn is_secret_field(name: &[u8]) -> bool {
    let mut buffer = [0; LONGEST_NAME];
    let Some(plain) = plain_in(name, &mut buffer) else { return false };
    let is_token = plain.ends_with("token") && !PAGING.iter().any(|word| plain.contains(word));
    is_token || WHOLE.contains(&plain) || PARTS.iter().any(|part| plain.contains(part))
}

/// A name without punctuation and case; `None` where it is too long for one.
pub(super) fn plain(name: &[u8]) -> Option<String> {
    plain_in(name, &mut [0; LONGEST_NAME]).map(str::to_owned)
}

fn plain_in<'a>(name: &[u8], buffer: &'a mut [u8; LONGEST_NAME]) -> Option<&'a str> {
    let mut len = 0;
    for byte in name.iter().filter(|byte| byte.is_ascii_alphanumeric()) {
        *buffer.get_mut(len)? = byte.to_ascii_lowercase();
        len += 1;
    }
    Some(std::str::from_utf8(&buffer[..len]).unwrap_or_default())
}

/// Whether the whole value of such a header is secret; `Authorization` and cookies are treated apart.
pub(super) fn is_secret_header(name: &str) -> bool {
    let also = [
        "x-auth",
        "x-functions-key",
        "ocp-apim-subscription-key",
        "x-session",
        "x-session-id",
        "x-amzn-oidc-data",
        "x-ms-client-principal",
    ];
    also.iter().any(|known| name.eq_ignore_ascii_case(known))
        || is_secret_field(name.as_bytes())
        || is_signature(name)
        || name.as_bytes().windows(3).any(|part| part.eq_ignore_ascii_case(b"jwt"))
}

/// `Stripe-Signature`, `X-Hub-Signature-256`, `X-Shopify-Hmac-Sha256`: what proves that a body is the sender's.
fn is_signature(name: &str) -> bool {
    let plain = plain(name.as_bytes()).unwrap_or_default();
    let ends = ["signature", "signature256", "hmac", "hmacsha256"];
    ends.iter().any(|end| plain.ends_with(end))
}

/// Headers that say how to read the message: never touched by chance.
pub(super) fn is_structural(name: &str) -> bool {
    const STRUCTURAL: [&str; 14] = [
        "accept",
        "accept-encoding",
        "accept-language",
        "cache-control",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "date",
        "host",
        "idempotency-key",
        "transfer-encoding",
        "upgrade",
        "user-agent",
    ];
    STRUCTURAL.iter().any(|known| name.eq_ignore_ascii_case(known))
}

/// Whether the value itself shows what it is: a JWT, or a key with a published prefix.
pub(super) fn looks_like_token(value: &[u8]) -> bool {
    if value.len() < 20 || 8192 < value.len() || value.iter().any(u8::is_ascii_whitespace) {
        return false;
    }
    // three parts; five where it is encrypted; two where it is not signed, or cut off
    let dots = || value.iter().filter(|byte| **byte == b'.').count();
    let has_claims = || value.windows(4).any(|part| part == b".eyJ");
    let jwt = value.starts_with(b"eyJ") && (matches!(dots(), 2 | 4) || has_claims());
    let is_key = || super::tokens::at(value, 0).is_some_and(|range| range == (0..value.len()));
    jwt || PREFIXES.iter().any(|prefix| value.starts_with(prefix)) || is_key()
}

/// Longer names are no names.
const LONGEST_NAME: usize = 256;

const PARTS: [&str; 19] = [
    "password",
    "passwd",
    "passwort",
    "kennwort",
    "passphrase",
    "passcode",
    "motdepasse",
    "contrasena",
    "secret",
    "apikey",
    "accesskey",
    "privatekey",
    "signingkey",
    "encryptionkey",
    "credential",
    "sessionkey",
    "csrf",
    "xsrf",
    "samlresponse",
];

const WHOLE: [&str; 35] = [
    "pwd",
    "pass",
    "passwrd",
    "psw",
    "pw",
    "userpwd",
    "newpwd",
    "oldpwd",
    "userpass",
    "pin",
    "otp",
    "totp",
    "cvv",
    "cvv2",
    "cvc",
    "ssn",
    "jwt",
    "auth",
    "authorization",
    "cookie",
    "setcookie",
    "sig",
    "signature",
    "xamzsignature",
    "xgoogsignature",
    "xosssignature",
    "qsignature",
    "hmac",
    "sid",
    "sessid",
    "sessionid",
    "jsessionid",
    "phpsessid",
    "assertion",
    "clientassertion",
];

/// Tokens that only say where a list goes on.
const PAGING: [&str; 5] = ["page", "next", "continuation", "sync", "cursor"];

const PREFIXES: [&[u8]; 14] = [
    b"AIza",
    b"AKIA",
    b"ASIA",
    b"ghp_",
    b"gho_",
    b"ghs_",
    b"github_pat_",
    b"glpat-",
    b"sk-",
    b"sk_live_",
    b"sk_test_",
    b"xoxb-",
    b"xoxp-",
    b"ya29.",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_say_secret_and_names_that_do_not() {
        for name in [
            "password",
            "Password",
            "user[password]",
            "newPassword",
            "password_confirmation",
            "pwd",
            "client_secret",
            "access_token",
            "csrfToken",
            "csrf",
            "_xsrf",
            "authenticity_token",
            "csrfmiddlewaretoken",
            "api_key",
            "apiKey",
            "PIN",
            "token",
        ] {
            assert!(is_secret_field(name.as_bytes()), "{name}");
        }
        for name in [
            "",
            "name",
            "max_tokens",
            "token_type",
            "tokenizer",
            "nextPageToken",
            "page_token",
            "pinned",
            "compass",
            "key",
            "author",
            "user-agent",
            "idempotency-key",
            "sec-websocket-key",
        ] {
            assert!(!is_secret_field(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn headers_that_are_secret() {
        for name in [
            "X-API-Key",
            "api-key",
            "apikey",
            "X-Auth-Token",
            "X-CSRFToken",
            "X-Amz-Security-Token",
            "X-Jwt-Assertion",
        ] {
            assert!(is_secret_header(name), "{name}");
        }
        for name in ["Host", "Content-Type", "Sec-WebSocket-Key", "Idempotency-Key", "ETag", "X-Request-Id"] {
            assert!(!is_secret_header(name), "{name}");
        }
    }

    #[test]
    fn tokens_by_their_look() {
        assert!(looks_like_token(b"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"));
        assert!(looks_like_token(b"ghp_0123456789abcdef0123456789abcdef0123"));
        assert!(!looks_like_token(b"sk-short"));
        assert!(!looks_like_token(b"sk-is a sentence with words in it"));
    }
}
