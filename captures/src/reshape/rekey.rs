//! Sessions by other keys, after the fact.

use xxhash_rust::xxh3::Xxh3;

use crate::session_key::{Key, set};
use crate::{Exchange, SessionId};

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
        let found = self
            .keys
            .iter()
            .enumerate()
            .find_map(|(at, key)| Some((at, key.of(exchange).or_else(|| given(key, exchange))?)));
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

/// The value of a cookie that the answer sets: the request had none yet, and those that follow have it.
fn given(key: &Key, exchange: &Exchange) -> Option<Vec<u8>> {
    let Key::Cookie(name) = key else { return None };
    exchange.response.as_ref()?.headers.get_all("set-cookie").find_map(|cookie| set(cookie, name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session_key::tests::exchange;

    #[test]
    fn the_first_key_that_is_there_names_the_session() {
        let keys: Vec<Key> = ["cookie:sid", "connection"].map(|key| key.parse().unwrap()).into();
        let mut rekeying = Rekeying::new(&keys);
        let a = rekeying.session(&exchange("/", &[("Cookie", "sid=1")]));
        let b = rekeying.session(&exchange("/b", &[("Cookie", "x=2; sid=1")]));
        let c = rekeying.session(&exchange("/", &[]));
        assert!(a == b && a != c);
        assert_eq!(rekeying.named(), [2, 1, 0]);
        let mut given = exchange("/", &[]);
        let headers = [("Set-Cookie", "x=1"), ("Set-Cookie", "sid=1; Path=/")].into_iter().collect();
        given.response = Some(crate::exchange::Response { headers, ..Default::default() });
        assert_eq!(
            rekeying.session(&given),
            a,
            "it belongs to the session that carries the cookie afterwards"
        );
    }
}
