//! What tells one user from another, while a capture is recorded and afterwards.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::{Exchange, SessionId};

/// What tells one user from another. Of several keys the first that a request has names its session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// The value of a cookie.
    Cookie(String),
    /// The value of a header.
    Header(String),
    /// A claim of the JSON Web Token in `Authorization: Bearer`. What redaction puts in its place is a token with the same
    /// claims, equal where they were equal; of what is no JWT the whole is the key.
    Jwt(String),
    /// The value of a parameter of the query.
    Query(String),
    /// Client address (the first of `x-forwarded-for`, else that of the connection) and user agent.
    Client,
    /// The client's connection.
    Connection,
    /// The session as it was recorded.
    Session,
}

/// A request, as far as keys look at it.
pub trait Marks {
    /// Every value of a header field; the case of its name does not matter.
    fn header<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]>;

    /// The query of the target.
    fn query(&self) -> Option<&str>;

    /// The address at the other end of the connection, where it is known.
    fn address(&self) -> Option<&str>;

    /// The number of the connection.
    fn connection(&self) -> Option<u64>;

    /// The session that it was recorded in.
    fn session(&self) -> Option<SessionId>;
}

/// Turns the value of a key into the number of a session, which does not give it away.
pub struct SessionNames([u8; 32]);

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
    /// The value that a request has; `None` where it has none, or an empty one.
    pub fn of(&self, request: &impl Marks) -> Option<Vec<u8>> {
        let value = match self {
            Key::Cookie(name) => cookie(request, name),
            Key::Header(name) => request.header(name).next().map(<[u8]>::to_vec),
            Key::Jwt(claim) => text(request, "authorization").and_then(|value| {
                let token = value.strip_prefix("Bearer ").or_else(|| value.strip_prefix("bearer "))?.trim();
                Some(claim_of(token, claim).unwrap_or_else(|| token.as_bytes().to_vec()))
            }),
            Key::Query(name) => request.query().and_then(|query| {
                let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
                pairs.find_map(|(key, value)| (key == name).then(|| value.as_bytes().to_vec()))
            }),
            Key::Client => {
                let forwarded =
                    text(request, "x-forwarded-for").and_then(|all| all.split(',').next()).map(str::trim);
                let agent = text(request, "user-agent").unwrap_or_default();
                forwarded.or(request.address()).map(|address| format!("{address} {agent}").into_bytes())
            }
            Key::Connection => request.connection().map(|number| number.to_le_bytes().to_vec()),
            Key::Session => request.session().map(|session| session.0.to_le_bytes().to_vec()),
        };
        value.filter(|value| !value.is_empty())
    }
}

impl SessionNames {
    /// Names under a key, which is never written anywhere: the same value has the same name under the same key.
    pub fn new(key: &[u8; 32]) -> SessionNames {
        SessionNames(blake3::derive_key("squall captures 2026 session names", key))
    }

    /// The session of a value, of the key at that place in the order of preference.
    pub fn session(&self, place: usize, value: &[u8]) -> SessionId {
        let mut hash = blake3::Hasher::new_keyed(&self.0);
        let hash = hash.update(&(place as u64).to_le_bytes()).update(value).finalize();
        let [a, b, c, d, e, f, g, h, ..] = *hash.as_bytes();
        SessionId(u64::from_le_bytes([a, b, c, d, e, f, g, h]))
    }
}

impl fmt::Debug for SessionNames {
    /// The key is a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionNames")
    }
}

impl Marks for Exchange {
    fn header<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.request.headers.get_all(name)
    }

    fn query(&self) -> Option<&str> {
        self.request.target.split_once('?').map(|(_, query)| query)
    }

    fn address(&self) -> Option<&str> {
        None
    }

    fn connection(&self) -> Option<u64> {
        self.connection
    }

    fn session(&self) -> Option<SessionId> {
        Some(self.session)
    }
}

/// The value that a `Set-Cookie` field gives to the cookie of that name; `None` where it is another's, or takes it away.
pub fn set(field: &[u8], name: &str) -> Option<Vec<u8>> {
    let pair = field.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    let value = pair.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
    (!value.is_empty()).then(|| value.to_vec())
}

fn text<'a>(request: &'a impl Marks, name: &'static str) -> Option<&'a str> {
    std::str::from_utf8(request.header(name).next()?).ok()
}

fn cookie(request: &impl Marks, name: &str) -> Option<Vec<u8>> {
    request
        .header("cookie")
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
pub(crate) mod tests {
    use super::*;

    pub(crate) fn exchange(target: &str, headers: &[(&str, &str)]) -> Exchange {
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
        check("query:y", None);
        check("connection", Some(&3_u64.to_le_bytes()));
        for wrong in ["cookie", "cookie:", "sid", ""] {
            assert!(wrong.parse::<Key>().is_err(), "{wrong}");
        }
        let redacted = exchange("/", &[("authorization", "Bearer squall_abc")]);
        assert_eq!("jwt:sub".parse::<Key>().unwrap().of(&redacted).as_deref(), Some(&b"squall_abc"[..]));
    }

    #[test]
    fn names_of_sessions_do_not_give_their_keys_away() {
        let (one, two) = (SessionNames::new(&[1; 32]), SessionNames::new(&[2; 32]));
        assert_eq!(one.session(0, b"ann"), SessionNames::new(&[1; 32]).session(0, b"ann"));
        let all =
            [one.session(0, b"ann"), two.session(0, b"ann"), one.session(1, b"ann"), one.session(0, b"bob")];
        assert!((1..4).all(|at| !all[..at].contains(&all[at])), "{all:?}");
    }
}
