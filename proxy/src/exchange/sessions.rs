//! Which requests are one user's.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Mutex;

use captures::SessionId;
use captures::session_key::{Key, SessionNames, set};
use http::HeaderMap;
use smallvec::SmallVec;
use xxhash_rust::xxh3::xxh3_64;

use super::Identity;
use super::identity::Asked;
use crate::sync::lock;

/// Sessions of traffic that brings no `squall-session`.
///
/// A session is named by the first key that a request has. Without keys it is found, in this order, by a cookie that an
/// answer of it set, by a session cookie the client brought along, by its connection. Bounded: two generations of
/// [`GENERATION`] keys, the older one forgotten.
#[derive(Debug)]
pub(crate) struct Sessions {
    keys: Vec<Key>,
    names: SessionNames,
    first_connection: u64,
    /// Sessions by the cookies that their answers set.
    cookies: Mutex<TwoGenerations<Who>>,
    turns: Mutex<TwoGenerations<u64>>,
    attempts: Mutex<TwoGenerations<u64>>,
    /// The cookie that was given first to a session which has none yet, by session and key.
    given: Mutex<TwoGenerations<u64>>,
}

/// The two numbers of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Who {
    /// As it is recorded: it does not give away the key that named the session.
    pub(crate) id: SessionId,
    /// As rules choose it: the same in every run, so that each has the same victims. Who tries what the key may be finds it,
    /// so this is never written.
    pub(crate) choice: u64,
}

/// A map that forgets: lookups refresh, and when one generation is full the one before is dropped.
#[derive(Debug)]
struct TwoGenerations<V> {
    young: HashMap<u64, V, BuildHasherDefault<Hashed>>,
    old: HashMap<u64, V, BuildHasherDefault<Hashed>>,
}

impl<V> Default for TwoGenerations<V> {
    fn default() -> Self {
        TwoGenerations { young: HashMap::default(), old: HashMap::default() }
    }
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
    /// Sessions by these keys, named under a secret.
    pub(crate) fn new(keys: Vec<Key>, secret: &[u8; 32]) -> Sessions {
        Sessions {
            keys,
            names: SessionNames::new(secret),
            first_connection: 0,
            cookies: Mutex::default(),
            turns: Mutex::default(),
            attempts: Mutex::default(),
            given: Mutex::default(),
        }
    }

    /// The number of the first connection of this run: it is another in each.
    pub(crate) fn counting_from(self, first_connection: u64) -> Sessions {
        Sessions { first_connection, ..self }
    }

    /// The session of a request, and the place of the key that named it.
    pub(crate) fn of_request(&self, asked: &Asked<'_>) -> (Who, usize) {
        if self.keys.is_empty() {
            return (self.by_its_looks(asked.headers, asked.connection), 0);
        }
        for (place, key) in self.keys.iter().enumerate() {
            let Some(value) = key.of(asked) else { continue };
            let known = match key {
                Key::Cookie(name) => lock(&self.cookies).get(pair(name, &value)),
                _ => None,
            };
            return (known.unwrap_or_else(|| self.named(place, key, &value)), place);
        }
        (self.by_connection(asked.connection), self.keys.len())
    }

    fn named(&self, place: usize, key: &Key, value: &[u8]) -> Who {
        let id = self.names.session(place, value);
        let relative = match (key, value.try_into().map(u64::from_le_bytes)) {
            (Key::Connection, Ok(number)) => Some(self.in_this_run(number)),
            _ => None,
        };
        let value = relative.as_ref().map_or(value, <[u8; 8]>::as_slice);
        Who { id, choice: hash(&[&place.to_le_bytes(), value]) }
    }

    fn by_connection(&self, connection: u64) -> Who {
        let number = |bytes: [u8; 8]| {
            let mut named = *b"connection--number";
            named[10..].copy_from_slice(&bytes);
            xxh3_64(&named)
        };
        let id = SessionId(number(connection.to_le_bytes()));
        Who { id, choice: number(self.in_this_run(connection)) }
    }

    /// The number of a connection counted from the first of the run.
    fn in_this_run(&self, connection: u64) -> [u8; 8] {
        connection.wrapping_sub(self.first_connection).to_le_bytes()
    }

    /// By its cookies or its connection.
    fn by_its_looks(&self, headers: &HeaderMap, connection: u64) -> Who {
        let mut named = None;
        for pair in cookie_pairs(headers) {
            if let Some(session) = lock(&self.cookies).get(hash(&[pair])) {
                return session;
            }
            if named.is_none() && is_session_cookie(pair) {
                named = Some(pair);
            }
        }
        let by_pair = |pair| Who { id: self.names.session(0, pair), choice: hash(&[pair]) };
        named.map_or_else(|| self.by_connection(connection), by_pair)
    }

    /// An answer sets cookies: who brings them back is of the same session. Gives the session that the exchange belongs to,
    /// which is another where its own was only that of a connection or client and has been given such a cookie before: then
    /// several users share it.
    pub(crate) fn learn(&self, identity: &Identity, answer: &HeaderMap) -> SessionId {
        let session = identity.who;
        let mut belongs_to = session.id;
        for value in answer.get_all(http::header::SET_COOKIE) {
            if self.keys.is_empty() {
                let pair =
                    value.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
                if pair.len() >= SHORTEST_PAIR {
                    lock(&self.cookies).put(hash(&[pair]), session);
                }
                continue;
            }
            // keys behind the one that named the session do not matter
            for (place, key) in self.keys.iter().enumerate().take(identity.place + 1) {
                let Key::Cookie(name) = key else { continue };
                let Some(value) = set(value.as_bytes(), name) else { continue };
                let pair = pair(name, &value);
                if place == identity.place || self.is_first(session.id, place, pair) {
                    lock(&self.cookies).put(pair, session);
                } else if belongs_to == session.id {
                    belongs_to = self.names.session(place, &value);
                }
            }
        }
        belongs_to
    }

    /// Whether the cookie is the first that was given to a session for this key.
    fn is_first(&self, session: SessionId, place: usize, pair: u64) -> bool {
        let key = hash(&[&session.0.to_le_bytes(), &place.to_le_bytes()]);
        let mut given = lock(&self.given);
        match given.get(key) {
            Some(first) => first == pair,
            None => {
                given.put(key, pair);
                true
            }
        }
    }

    /// Cookies by which a session is known, those of both generations.
    pub(crate) fn remembered(&self) -> usize {
        let cookies = lock(&self.cookies);
        cookies.young.len() + cookies.old.len()
    }

    /// How often this session has asked for this method and path before.
    pub(super) fn turn(&self, session: SessionId, method: &str, path: &str) -> u64 {
        let key = hash(&[&session.0.to_le_bytes(), method.as_bytes(), b" ", path.as_bytes()]);
        lock(&self.turns).count(key)
    }

    /// Which attempt it is, from 1. A name counts within an edge, a method and a path: a trace goes through
    /// several edges, and makes different requests under one parent.
    pub(super) fn attempt(&self, op: &str, asked: &Asked<'_>) -> u32 {
        let edge = asked.edge.to_le_bytes();
        let key = hash(&[&edge, asked.method.as_bytes(), b" ", asked.path.as_bytes(), b" ", op.as_bytes()]);
        u32::try_from(lock(&self.attempts).count(key)).unwrap_or(u32::MAX).saturating_add(1)
    }
}

impl<V: Copy> TwoGenerations<V> {
    fn get(&mut self, key: u64) -> Option<V> {
        if let Some(value) = self.young.get(&key) {
            return Some(*value);
        }
        let value = self.old.remove(&key)?;
        self.put(key, value);
        Some(value)
    }

    fn put(&mut self, key: u64, value: V) {
        if self.young.len() >= GENERATION && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }
}

impl TwoGenerations<u64> {
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
}

/// A cookie and its value, for tables in memory.
fn pair(name: &str, value: &[u8]) -> u64 {
    hash(&[name.as_bytes(), b"=", value])
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
pub(super) fn hash(parts: &[&[u8]]) -> u64 {
    let mut all = SmallVec::<[u8; 256]>::new();
    parts.iter().for_each(|part| all.extend_from_slice(part));
    xxh3_64(&all)
}

/// A cookie shorter than this (`lang=de`) says nothing about who sends it.
const SHORTEST_PAIR: usize = 12;
/// Keys of one generation: 16 or 24 bytes each, so about 60 MB a table at the worst.
const GENERATION: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
        let value = |value: &&str| value.parse().expect("a value");
        fields.iter().map(|(name, text)| (http::HeaderName::from_static(name), value(text))).collect()
    }

    fn identify(
        sessions: &Sessions,
        connection: u64,
        target: &str,
        fields: &[(&'static str, &str)],
    ) -> Identity {
        let (path, query) =
            target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
        let asked = Asked {
            edge: 0,
            headers: &headers(fields),
            method: "GET",
            path,
            query,
            client: "10.0.0.1",
            connection,
            names_operation: false,
        };
        Identity::of(&asked, sessions)
    }

    fn by(keys: &[&str]) -> Sessions {
        Sessions::new(keys.iter().map(|key| key.parse().expect("a key")).collect(), &[1; 32])
    }

    #[test]
    fn the_first_key_that_is_there_names_the_session() {
        let sessions = by(&["cookie:sid", "header:x-user", "query:u", "client"]);
        let of = |connection, target: &str, fields: &[(&'static str, &str)]| {
            let identity = identify(&sessions, connection, target, fields);
            (identity.who.id, identity.place)
        };
        let cookie = of(1, "/", &[("cookie", "lang=de; sid=a"), ("x-user", "ann")]);
        assert_eq!(cookie, of(2, "/x?u=1", &[("cookie", "sid=a"), ("x-user", "bob")]));
        let header = of(1, "/?u=1", &[("x-user", "ann")]);
        assert_eq!(header, of(2, "/", &[("x-user", "ann"), ("cookie", "sid=; a=b")]));
        let query = of(1, "/?u=1", &[]);
        let client = of(1, "/", &[("user-agent", "a")]);
        assert_eq!(client, of(2, "/", &[("user-agent", "a")]));
        assert_ne!(client.0, of(1, "/", &[("user-agent", "b")]).0);
        assert_eq!([cookie.1, header.1, query.1, client.1], [0, 1, 2, 3]);
        assert_ne!(header.0, query.0);
        let none = by(&["cookie:sid"]);
        assert_eq!(
            identify(&none, 5, "/", &[]).who.id,
            identify(&Sessions::new(Vec::new(), &[9; 32]), 5, "/", &[]).who.id
        );
    }

    #[test]
    fn who_is_given_a_cookie_is_who_brings_it_back() {
        let sessions = by(&["cookie:sid", "connection"]);
        let visit = identify(&sessions, 1, "/", &[]);
        let learned =
            sessions.learn(&visit, &headers(&[("set-cookie", "lang=de"), ("set-cookie", "sid=ann; Path=/")]));
        assert_eq!(learned, visit.who.id);
        let back = identify(&sessions, 2, "/", &[("cookie", "sid=ann")]);
        assert_eq!(back.who.id, visit.who.id, "on another connection too");
        sessions.learn(&back, &headers(&[("set-cookie", "sid=ann-2")]));
        let renewed = identify(&sessions, 3, "/", &[("cookie", "sid=ann-2")]);
        assert_eq!(renewed.who.id, visit.who.id, "a cookie that was renewed");
        let gone = sessions.learn(&renewed, &headers(&[("set-cookie", "sid=; Max-Age=0")]));
        assert_eq!(gone, visit.who.id);
    }

    /// A load balancer's connection carries many users: each is given a cookie of their own.
    #[test]
    fn users_on_one_connection_stay_apart() {
        let sessions = by(&["cookie:sid", "connection"]);
        let visits = ["ann", "bob", "eve"].map(|user| {
            let visit = identify(&sessions, 1, "/", &[]);
            let given = sessions.learn(&visit, &headers(&[("set-cookie", &format!("sid={user}"))]));
            let back = identify(&sessions, 1, "/", &[("cookie", &format!("sid={user}"))]).who.id;
            assert_eq!(given, back, "{user}");
            back
        });
        assert!(visits[0] != visits[1] && visits[1] != visits[2] && visits[0] != visits[2]);
    }

    #[test]
    fn names_depend_on_the_secret() {
        let cookie = [("cookie", "PHPSESSID=0123456789")];
        let of = |secret: u8| identify(&Sessions::new(Vec::new(), &[secret; 32]), 1, "/", &cookie).who.id;
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
    }

    #[test]
    fn choices_are_those_of_every_run() {
        let cookie = [("cookie", "PHPSESSID=0123456789")];
        let run = |keys: &[&str], secret: u8, first: u64| {
            let keys = keys.iter().map(|key| key.parse().expect("a key")).collect();
            let sessions = Sessions::new(keys, &[secret; 32]).counting_from(first);
            let choice = |identity: Identity| (identity.session, identity.op);
            let all = [
                choice(identify(&sessions, first, "/", &cookie)),
                choice(identify(&sessions, first + 1, "/", &[])),
                choice(identify(&sessions, first + 2, "/", &[])),
            ];
            assert!(all[0] != all[1] && all[1] != all[2] && all[0] != all[2]);
            all
        };
        for keys in [&[][..], &["cookie:PHPSESSID"], &["cookie:PHPSESSID", "connection"], &["connection"]] {
            assert_eq!(run(keys, 1, 1_000), run(keys, 2, 77_000), "{keys:?}");
        }
    }

    #[test]
    fn choices_are_not_told() {
        let sessions = by(&["cookie:sid"]);
        let stranger = identify(&sessions, 1, "/", &[("cookie", "sid=ann")]);
        assert_eq!(stranger.told_session(), stranger.who.id.0.to_string());
        assert_ne!(stranger.told_session(), stranger.session);
        let replay = identify(&sessions, 1, "/", &[("squall-session", "0a1b2c3d-7-0")]);
        assert_eq!(replay.told_session(), "7-0");
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
