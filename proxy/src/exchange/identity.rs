//! Whose request is it, and which operation of theirs?

use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Mutex;

use captures::SessionId;
use http::{HeaderMap, HeaderName};
use smallvec::SmallVec;
use xxhash_rust::xxh3::xxh3_64;

use crate::sync::lock;

/// What an exchange is known by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    /// Session key: `squall-session` without its run tag, else the number of the recorded session.
    pub(crate) session: String,
    pub(crate) session_id: SessionId,
    /// Operation: `squall-op`, else the idempotency key, else the trace, else session, method, path and turn.
    pub(crate) op: String,
    /// The operation as a number; only a replay's is one.
    pub(crate) op_number: Option<u64>,
    /// From 1: `squall-attempt`, else counted where the client named the operation.
    pub(crate) attempt: u32,
}

/// Sessions of traffic that brings no `squall-session`.
///
/// A session is found, in this order, by a cookie that an answer of it set, by a session cookie the client
/// brought along, by its connection. Bounded: two generations of [`GENERATION`] keys, the older one forgotten.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    cookies: Mutex<TwoGenerations>,
    turns: Mutex<TwoGenerations>,
    attempts: Mutex<TwoGenerations>,
}

/// A map that forgets: lookups refresh, and when one generation is full the one before is dropped.
#[derive(Debug, Default)]
struct TwoGenerations {
    young: HashMap<u64, u64, BuildHasherDefault<Hashed>>,
    old: HashMap<u64, u64, BuildHasherDefault<Hashed>>,
}

/// Keys are hashes already; what clients choose has gone through XXH3.
#[derive(Debug, Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxh3_64(bytes);
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

impl Sessions {
    /// The session of a request, by its cookies or its connection.
    pub(crate) fn of_request(&self, headers: &HeaderMap, connection: u64) -> SessionId {
        let mut named = None;
        for pair in cookie_pairs(headers) {
            let key = hash(&[pair]);
            if let Some(session) = lock(&self.cookies).get(key) {
                return SessionId(session);
            }
            if named.is_none() && is_session_cookie(pair) {
                named = Some(key);
            }
        }
        SessionId(named.unwrap_or_else(|| hash(&[b"connection", &connection.to_le_bytes()])))
    }

    /// An answer sets cookies: who brings them back is of the same session.
    pub(crate) fn learn(&self, session: SessionId, set_cookies: &HeaderMap) {
        for value in set_cookies.get_all(http::header::SET_COOKIE) {
            let pair = value.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
            if pair.len() >= SHORTEST_PAIR {
                lock(&self.cookies).put(hash(&[pair]), session.0);
            }
        }
    }

    /// How often this session has asked for this method and path before.
    fn turn(&self, session: SessionId, method: &str, path: &str) -> u64 {
        let key = hash(&[&session.0.to_le_bytes(), method.as_bytes(), b" ", path.as_bytes()]);
        lock(&self.turns).count(key)
    }

    /// Which attempt it is, from 1. A name counts within an edge, a method and a path: a trace goes through
    /// several edges, and makes different requests under one parent.
    fn attempt(&self, op: &str, asked: &Asked<'_>) -> u32 {
        let edge = asked.edge.to_le_bytes();
        let key = hash(&[&edge, asked.method.as_bytes(), b" ", asked.path.as_bytes(), b" ", op.as_bytes()]);
        u32::try_from(lock(&self.attempts).count(key)).unwrap_or(u32::MAX).saturating_add(1)
    }
}

impl TwoGenerations {
    fn get(&mut self, key: u64) -> Option<u64> {
        if let Some(value) = self.young.get(&key) {
            return Some(*value);
        }
        let value = self.old.remove(&key)?;
        self.put(key, value);
        Some(value)
    }

    /// Counts one more; gives how many there were before.
    fn count(&mut self, key: u64) -> u64 {
        if let Some(count) = self.young.get_mut(&key) {
            *count += 1;
            return *count - 1;
        }
        let before = self.get(key).unwrap_or(0);
        self.put(key, before + 1);
        before
    }

    fn put(&mut self, key: u64, value: u64) {
        if self.young.len() >= GENERATION && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }
}

/// Who asks, and for what, as far as naming them goes.
pub(crate) struct Asked<'a> {
    pub(crate) edge: usize,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) connection: u64,
    /// Somebody will ask for the operation; else the work of naming it is spared.
    pub(crate) names_operation: bool,
}

impl Identity {
    /// The session that a replay says it is.
    pub(crate) fn session_said(headers: &HeaderMap) -> Option<&str> {
        if bears_ours(headers) { headers.get(SESSION)?.to_str().ok() } else { None }
    }

    /// Names a request.
    pub(crate) fn of(asked: &Asked<'_>, sessions: &Sessions) -> Identity {
        let text = |name: &HeaderName| asked.headers.get(name).and_then(|value| value.to_str().ok());
        // most clients are strangers: one look spares them four
        let marked = bears_ours(asked.headers);
        let ours = |name: &str| asked.headers.get(name).and_then(|value| value.to_str().ok());
        let ours = |name: &str| if marked { ours(name) } else { None };
        let (session, session_id) = match ours(SESSION) {
            Some(value) => {
                let key = fault_rules::select::session_key(value);
                (Cow::Borrowed(key), SessionId(hash(&[key.as_bytes()])))
            }
            None => {
                let id = sessions.of_request(asked.headers, asked.connection);
                (Cow::Owned(id.to_string()), id)
            }
        };
        let op_number = ours(OP).filter(|op| op.len() == 16).and_then(|op| u64::from_str_radix(op, 16).ok());
        let foreign = text(&IDEMPOTENCY_KEY).or_else(|| text(&TRACEPARENT));
        let op = match ours(OP).or(foreign) {
            Some(name) => name.to_owned(),
            None if !asked.names_operation => String::new(),
            None => {
                let turn = sessions.turn(session_id, asked.method, asked.path);
                let mut turn_text = itoa::Buffer::new();
                [&session, asked.method, asked.path, turn_text.format(turn)].join(" ")
            }
        };
        let said = ours(ATTEMPT).and_then(|attempt| attempt.parse().ok());
        let counts = asked.names_operation && ours(OP).is_none() && foreign.is_some();
        let attempt = match said {
            Some(attempt) => attempt,
            None if counts => sessions.attempt(&op, asked),
            None => 1,
        };
        Identity { session: session.into_owned(), session_id, op, op_number, attempt }
    }
}

fn cookie_pairs(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    headers
        .get_all(http::header::COOKIE)
        .into_iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b';'))
        .map(<[u8]>::trim_ascii)
        .filter(|pair| pair.len() >= SHORTEST_PAIR)
}

/// Names that frameworks give to the cookie that carries a session.
fn is_session_cookie(pair: &[u8]) -> bool {
    let name = pair.split(|byte| *byte == b'=').next().unwrap_or_default().to_ascii_lowercase();
    name.ends_with(b"sid") || name.windows(4).any(|word| word == b"sess")
}

/// XXH3-64 of the parts, one behind the other. In one piece: the state for several costs more than copying them.
fn hash(parts: &[&[u8]]) -> u64 {
    let mut all = SmallVec::<[u8; 256]>::new();
    parts.iter().for_each(|part| all.extend_from_slice(part));
    xxh3_64(&all)
}

static IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

pub(crate) const SESSION: &str = "squall-session";
pub(crate) const OP: &str = "squall-op";
pub(crate) const ATTEMPT: &str = "squall-attempt";
pub(crate) const FAULT: &str = "squall-fault";
pub(crate) const ERROR: &str = "squall-error";

/// Ours: never forwarded unless asked, never recorded.
pub(crate) const SQUALL_HEADERS: [&str; 5] = [SESSION, OP, ATTEMPT, FAULT, ERROR];

/// Does a message have a header of ours? One look at the names instead of a search for each.
pub(crate) fn bears_ours(headers: &HeaderMap) -> bool {
    headers.keys().any(|name| name.as_str().starts_with("squall-"))
}

/// One of ours.
pub(crate) fn is_squall_header(name: &str) -> bool {
    SQUALL_HEADERS.iter().any(|ours| ours.eq_ignore_ascii_case(name))
}

/// A cookie shorter than this (`lang=de`) says nothing about who sends it.
const SHORTEST_PAIR: usize = 12;
/// Keys of one generation: 16 bytes each, so about 40 MB at the worst.
const GENERATION: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
        fields
            .iter()
            .map(|(name, value)| (http::HeaderName::from_static(name), value.parse().expect("value")))
            .collect()
    }

    fn identify(sessions: &Sessions, connection: u64, fields: &[(&'static str, &str)]) -> Identity {
        let headers = headers(fields);
        Identity::of(
            &Asked {
                edge: 0,
                headers: &headers,
                method: "GET",
                path: "/a",
                connection,
                names_operation: true,
            },
            sessions,
        )
    }

    #[test]
    fn a_replay_names_itself_and_the_run_tag_does_not_count() {
        let sessions = Sessions::default();
        let of_run = |run: &str| {
            let session = format!("{run}-2a-7");
            identify(&sessions, 1, &[(SESSION, &session), (OP, "00000000000000ff"), (ATTEMPT, "2")])
        };
        let first = of_run("0badcafe");
        assert_eq!((first.session.as_str(), first.op_number, first.attempt), ("2a-7", Some(255), 2));
        assert_eq!(of_run("12345678"), first);
    }

    #[test]
    fn cookies_set_by_an_answer_lead_back_to_its_session() {
        let sessions = Sessions::default();
        let first = identify(&sessions, 1, &[]);
        sessions.learn(first.session_id, &headers(&[("set-cookie", "sid=0123456789; Path=/")]));
        let elsewhere = identify(&sessions, 2, &[("cookie", "lang=de; sid=0123456789")]);
        assert_eq!(elsewhere.session_id, first.session_id);
        assert_ne!(identify(&sessions, 2, &[]).session_id, first.session_id);
    }

    #[test]
    fn a_session_cookie_from_before_joins_connections() {
        let sessions = Sessions::default();
        let cookie = [("cookie", "theme=dark; PHPSESSID=abcdefgh")];
        assert_eq!(identify(&sessions, 1, &cookie).session_id, identify(&sessions, 2, &cookie).session_id);
    }

    #[test]
    fn the_same_request_again_is_another_operation() {
        let sessions = Sessions::default();
        let first = identify(&sessions, 1, &[]);
        let second = identify(&sessions, 1, &[]);
        assert_ne!(first.op, second.op);
        let keyed = [("idempotency-key", "k-1")];
        assert_eq!(identify(&sessions, 1, &keyed).op, identify(&sessions, 2, &keyed).op);
    }

    #[test]
    fn attempts_of_an_operation_that_the_client_named_are_counted() {
        let sessions = Sessions::default();
        let attempt = |edge: usize, path: &str, fields: &[(&'static str, &str)]| {
            let headers = headers(fields);
            let asked =
                Asked { edge, headers: &headers, method: "POST", path, connection: 1, names_operation: true };
            Identity::of(&asked, &sessions).attempt
        };
        let key = [("idempotency-key", "k-1")];
        assert_eq!([1, 2, 3].map(|_| attempt(0, "/pay", &key)), [1, 2, 3]);
        assert_eq!((attempt(0, "/pay", &[("idempotency-key", "k-2")]), attempt(0, "/refund", &key)), (1, 1));
        assert_eq!(attempt(1, "/pay", &key), 1, "the same request behind it is no repeat");
        let trace = [("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")];
        assert_eq!([1, 2].map(|_| attempt(0, "/pay", &trace)), [1, 2]);
        assert_eq!([1, 2].map(|_| attempt(0, "/pay", &[])), [1, 1], "without a name each is an operation");
        let of_replay = [(OP, "00000000000000ff"), ("idempotency-key", "k-1")];
        assert_eq!([1, 2].map(|_| attempt(0, "/pay", &of_replay)), [1, 1], "a replay says it itself");
        assert_eq!(attempt(0, "/pay", &[("idempotency-key", "k-1"), (ATTEMPT, "9")]), 9);
    }

    #[test]
    fn what_is_forgotten_is_bounded() {
        let mut map = TwoGenerations::default();
        for key in 0..(GENERATION as u64 * 3) {
            map.put(key, key);
        }
        assert!(map.young.len() <= GENERATION && map.old.len() <= GENERATION);
        assert_eq!(map.get(GENERATION as u64 * 3 - 1), Some(GENERATION as u64 * 3 - 1));
        assert_eq!(map.get(0), None);
    }
}
