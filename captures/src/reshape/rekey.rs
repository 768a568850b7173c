//! Sessions by other keys, after the fact.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use xxhash_rust::xxh3::Xxh3;

use crate::{Exchange, SessionId};

/// What tells one user from another. Of several keys the first that an exchange has names its session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// The value of a cookie.
    Cookie(String),
    /// The value of a header.
    Header(String),
    /// A claim of the JSON Web Token in `Authorization: Bearer`. A token that was redacted is no JWT any more, but equal
    /// tokens have equal pseudonyms: then the whole of it is the key.
    Jwt(String),
    /// The value of a parameter of the query.
    Query(String),
    /// Client address (`x-forwarded-for`, its first) and user agent; at least the address must be there.
    Client,
    /// The client's connection.
    Connection,
    /// The session as it was recorded.
    Session,
}

/// The text names no key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no key for sessions: write cookie:NAME, header:NAME, jwt:CLAIM, query:NAME, client, connection or session"
)]
pub struct UnknownKey(String);

impl FromStr for Key {
    type Err = UnknownKey;

    fn from_str(text: &str) -> Result<Key, UnknownKey> {
        match text.split_once(':').filter(|(_, name)| !name.is_empty()) {
            Some(("cookie", name)) => Ok(Key::Cookie(name.to_owned())),
            Some(("header", name)) => Ok(Key::Header(name.to_owned())),
            Some(("jwt", name)) => Ok(Key::Jwt(name.to_owned())),
            Some(("query", name)) => Ok(Key::Query(name.to_owned())),
            _ if text == "client" => Ok(Key::Client),
            _ if text == "connection" => Ok(Key::Connection),
            _ if text == "session" => Ok(Key::Session),
            _ => Err(UnknownKey(text.to_owned())),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Key::Cookie(name) => write!(f, "cookie:{name}"),
            Key::Header(name) => write!(f, "header:{name}"),
            Key::Jwt(name) => write!(f, "jwt:{name}"),
            Key::Query(name) => write!(f, "query:{name}"),
            Key::Client => f.write_str("client"),
            Key::Connection => f.write_str("connection"),
            Key::Session => f.write_str("session"),
        }
    }
}

impl Key {
    /// The value of an exchange; `None` where it has none.
    fn of(&self, exchange: &Exchange) -> Option<Vec<u8>> {
        let headers = &exchange.request.headers;
        match self {
            Key::Cookie(name) => cookie(exchange, name),
            Key::Header(name) => headers.get(name).map(<[u8]>::to_vec),
            Key::Jwt(claim) => {
                let value = headers.get_str("authorization")?;
                let token = value.strip_prefix("Bearer ").or_else(|| value.strip_prefix("bearer "))?.trim();
                Some(claim_of(token, claim).unwrap_or_else(|| token.as_bytes().to_vec()))
            }
            Key::Query(name) => {
                let (_, query) = exchange.request.target.split_once('?')?;
                let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
                pairs.find_map(|(key, value)| (key == name).then(|| value.as_bytes().to_vec()))
            }
            Key::Client => {
                let address = headers.get_str("x-forwarded-for")?.split(',').next()?.trim();
                let agent = headers.get_str("user-agent").unwrap_or_default();
                Some(format!("{address} {agent}").into_bytes())
            }
            Key::Connection => Some(exchange.connection?.to_le_bytes().to_vec()),
            Key::Session => Some(exchange.session.0.to_le_bytes().to_vec()),
        }
    }
}

/// Names sessions by keys, and counts which key did.
#[derive(Clone, Debug)]
pub struct Rekeying {
    keys: Vec<Key>,
    named: Vec<u64>,
}

impl Rekeying {
    /// Keys in their order of preference. What has none of them keeps its session apart from all others.
    pub fn new(keys: &[Key]) -> Rekeying {
        Rekeying { keys: keys.to_vec(), named: vec![0; keys.len() + 1] }
    }

    /// The session of an exchange.
    pub fn session(&mut self, exchange: &Exchange) -> SessionId {
        let found = self.keys.iter().enumerate().find_map(|(at, key)| Some((at, key.of(exchange)?)));
        let (at, value) = found.unwrap_or((self.keys.len(), exchange.session.0.to_le_bytes().to_vec()));
        if let Some(count) = self.named.get_mut(at) {
            *count += 1;
        }
        if self.keys.get(at) == Some(&Key::Session) {
            return exchange.session;
        }
        let mut hash = Xxh3::new();
        hash.update(&[u8::try_from(at).unwrap_or(u8::MAX)]);
        hash.update(&value);
        SessionId(hash.digest())
    }

    /// How many exchanges each key named; the last entry: none did.
    pub fn named(&self) -> &[u64] {
        &self.named
    }
}

fn cookie(exchange: &Exchange, name: &str) -> Option<Vec<u8>> {
    exchange
        .request
        .headers
        .get_all("cookie")
        .flat_map(|value| value.split(|byte| *byte == b';'))
        .map(<[u8]>::trim_ascii)
        .find_map(|pair| Some(pair.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?.to_vec()))
}

/// A claim of a token's payload, as it stands in the JSON.
fn claim_of(token: &str, claim: &str) -> Option<Vec<u8>> {
    let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let claims: serde_json::Value = serde_json::from_slice(&payload).ok()?;
    Some(claims.get(claim)?.to_string().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(target: &str, headers: &[(&str, &str)]) -> Exchange {
        let mut exchange = Exchange { session: SessionId(7), connection: Some(3), ..Exchange::default() };
        target.clone_into(&mut exchange.request.target);
        exchange.request.headers = headers.iter().copied().collect();
        exchange
    }

    #[test]
    fn keys_read_what_they_say() {
        let jwt = format!("Bearer e30.{}.x", URL_SAFE_NO_PAD.encode(r#"{"sub":"u1","n":5}"#));
        let all = exchange(
            "/a?sid=q1&x=2",
            &[
                ("Cookie", "lang=de; sid=c1"),
                ("X-User", "h1"),
                ("Authorization", &jwt),
                ("X-Forwarded-For", "10.0.0.1, 10.0.0.2"),
            ],
        );
        let check = |key: &str, expect: Option<&[u8]>| {
            let key: Key = key.parse().unwrap();
            assert_eq!(key.of(&all).as_deref(), expect, "{key}");
        };
        check("cookie:sid", Some(b"c1"));
        check("cookie:si", None);
        check("header:x-user", Some(b"h1"));
        check("jwt:sub", Some(b"\"u1\""));
        check("jwt:n", Some(b"5"));
        check("query:sid", Some(b"q1"));
        check("client", Some(b"10.0.0.1 "));
        check("connection", Some(&3_u64.to_le_bytes()));
        for wrong in ["cookie", "cookie:", "sid", ""] {
            assert!(wrong.parse::<Key>().is_err(), "{wrong}");
        }
        let redacted = exchange("/", &[("authorization", "Bearer squall_abc")]);
        assert_eq!("jwt:sub".parse::<Key>().unwrap().of(&redacted).as_deref(), Some(&b"squall_abc"[..]));
    }

    #[test]
    fn the_first_key_that_is_there_names_the_session() {
        let keys: Vec<Key> = ["cookie:sid", "connection"].map(|key| key.parse().unwrap()).into();
        let mut rekeying = Rekeying::new(&keys);
        let a = rekeying.session(&exchange("/", &[("Cookie", "sid=1")]));
        let b = rekeying.session(&exchange("/b", &[("Cookie", "x=2; sid=1")]));
        let c = rekeying.session(&exchange("/", &[]));
        assert!(a == b && a != c);
        assert_eq!(rekeying.named(), [2, 1, 0]);
    }
}
