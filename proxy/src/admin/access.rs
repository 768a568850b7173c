//! Who may speak to the admin API.
//!
//! On loopback: whoever is on this machine, but no web page other than ours (DNS rebinding, cross-site posts). With a token:
//! whoever brings it, in every request, from anywhere.

use std::net::IpAddr;
use std::sync::Arc;

use http::{HeaderMap, StatusCode, header};

use super::Answer;
use super::replies::problem;

/// The environment's name for the token, of proxy and clients alike.
pub const TOKEN_VARIABLE: &str = "SQUALL_ADMIN_TOKEN";

/// A secret that every request to the admin API must bring.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Arc<str>);

impl Token {
    /// A token of what was typed or read from a file; white space around it does not count.
    ///
    /// # Errors
    /// In words: it is empty, or not of visible ASCII characters.
    pub fn new(text: &str) -> Result<Token, String> {
        let text = text.trim();
        if text.is_empty() {
            return Err("the token is empty; make one with: openssl rand -hex 16".to_owned());
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("a token is one word of visible ASCII characters".to_owned());
        }
        Ok(Token(Arc::from(text)))
    }

    /// Takes as long for a token that is wrong at its end as for one that is wrong at its start.
    fn is(&self, other: &str) -> bool {
        let (ours, theirs) = (self.0.as_bytes(), other.as_bytes());
        let differs = ours.iter().zip(theirs).fold(0, |sum, (a, b)| sum | (a ^ b));
        ours.len() == theirs.len() && std::hint::black_box(differs) == 0
    }
}

/// Never in a log.
impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(..)")
    }
}

/// Refuses what another web page makes a browser send.
pub(super) fn not_here(headers: &HeaderMap, listen: IpAddr) -> Option<Answer> {
    // Beyond loopback a host has names that are not known here; there the token alone decides.
    let rebound = listen.is_loopback() && !is_local_host(headers);
    let refused = rebound || !is_same_origin(headers);
    refused.then(|| {
        problem(
            StatusCode::FORBIDDEN,
            "the admin API answers only to loopback names, and to no web page but its own",
        )
    })
}

/// Refuses whoever does not bring the token.
pub(super) fn without_token(headers: &HeaderMap, token: Option<&Token>) -> Option<Answer> {
    let token = token?;
    let brought = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let brought = brought.and_then(|value| {
        let (scheme, rest) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| rest.trim())
    });
    if brought.is_some_and(|brought| token.is(brought)) {
        return None;
    }
    let mut answer = problem(
        StatusCode::UNAUTHORIZED,
        "this admin API wants its token: Authorization: Bearer TOKEN (squall and replay: --token-file FILE or \
         SQUALL_ADMIN_TOKEN)",
    );
    answer.headers_mut().insert(header::WWW_AUTHENTICATE, http::HeaderValue::from_static("Bearer"));
    Some(answer)
}

/// Who sends this, for people who read the log: the address, and what the client calls itself.
pub(super) fn client(headers: &HeaderMap, peer: IpAddr) -> String {
    let agent = headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok());
    match (agent, headers.contains_key(header::ORIGIN)) {
        (_, true) => format!("{peer} (the proxy's page)"), // no other page gets here
        (Some(agent), _) => format!("{peer} ({})", agent.chars().take(AGENT_CHARS).collect::<String>()),
        (None, _) => peer.to_string(),
    }
}

/// Is it sent by no page, or by one that came from here?
fn is_same_origin(headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else { return true };
    let host = headers.get(header::HOST).map(http::HeaderValue::as_bytes);
    host.is_some() && origin.as_bytes().strip_prefix(b"http://") == host
}

/// Is the request addressed to this machine by a name that only this machine means?
fn is_local_host(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(header::HOST).and_then(|host| host.to_str().ok()) else { return true };
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name == "localhost" || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Of what a client calls itself, in a line of the log.
const AGENT_CHARS: usize = 60;

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
        let field = |(name, value): &(&'static str, &str)| {
            (http::HeaderName::from_static(name), value.parse().expect("a header value"))
        };
        fields.iter().map(field).collect()
    }

    #[test]
    fn only_loopback_names_are_ours() {
        let check = |host: &str, local: bool| {
            assert_eq!(is_local_host(&headers(&[("host", host)])), local, "{host}");
        };
        check("127.0.0.1:9999", true);
        check("localhost:1", true);
        check("[::1]:80", true);
        check("evil.example", false);
        check("127.0.0.1.evil.example", false);
        check("10.0.0.1", false);
    }

    #[test]
    fn a_token_opens_and_nothing_else_does() {
        let token = Token::new(" s3cret-of-ours\n").expect("a token");
        let local = IpAddr::from([127, 0, 0, 1]);
        let status = |fields: &[(&'static str, &str)], token: Option<&Token>, listen: IpAddr| {
            let headers = headers(fields);
            not_here(&headers, listen)
                .or_else(|| without_token(&headers, token))
                .map(|answer| answer.status().as_u16())
        };
        let with = |value: &'static str| [("host", "localhost"), ("authorization", value)];
        assert_eq!(status(&with("Bearer s3cret-of-ours"), Some(&token), local), None);
        assert_eq!(status(&with("bearer  s3cret-of-ours "), Some(&token), local), None);
        for wrong in
            ["Bearer s3cret-of-our", "Bearer s3cret-of-ourss", "Basic s3cret-of-ours", "s3cret-of-ours"]
        {
            assert_eq!(status(&with(wrong), Some(&token), local), Some(401), "{wrong}");
        }
        assert_eq!(status(&[("host", "localhost")], Some(&token), local), Some(401));
        assert_eq!(status(&[("host", "localhost")], None, local), None);
        let away = IpAddr::from([10, 0, 0, 5]);
        let there = [("host", "proxy.staging:9900"), ("authorization", "Bearer s3cret-of-ours")];
        assert_eq!(status(&there, Some(&token), away), None);
        assert_eq!(status(&there, Some(&token), local), Some(403), "a rebound name");
        let page = [("origin", "http://evil.example"), ("authorization", "Bearer s3cret-of-ours")];
        assert_eq!(status(&page, Some(&token), away), Some(403));
        let ours = |origin| [("host", "127.0.0.1:9900"), ("origin", origin)];
        assert_eq!(status(&ours("http://127.0.0.1:9900"), None, local), None, "our own page");
        for other in ["http://127.0.0.1:9901", "https://127.0.0.1:9900", "null", "http://localhost:9900"] {
            assert_eq!(status(&ours(other), None, local), Some(403), "{other}");
        }
        assert_eq!(format!("{token:?}"), "Token(..)");
        assert!(Token::new(" \n").is_err() && Token::new("two words").is_err());
    }
}
