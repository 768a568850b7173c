//! Which identifiers need not be kept: those that one session has for itself.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::columns::{Standing, ids_of};
use crate::Exchange;

/// What was found out about the identifiers of a whole capture, before it is written again without them.
///
/// An identifier may be made up by the reader if it is random enough and only one session has it: then any other will
/// do, as long as it stays the same for that session. Not if the client was first to name it in a target, in a body or
/// in a message: what it asks for (a product, say) is the server's, from before the capture.
///
/// Memory is bounded: where the table has no room for more identifiers, the others are kept, which costs space in the
/// capture and nothing else.
pub(crate) struct Generators {
    /// What the values made up depend on, besides session and number.
    pub(crate) seed: u64,
    /// By hash of an identifier: some more of the hash, and who has it. Open addressing with linear probing.
    owners: Vec<(u32, u32)>,
}

impl Generators {
    /// For a capture of so many exchanges; `seed` is any number but 0.
    pub(crate) fn new(exchanges: u64, seed: u64) -> Generators {
        let size = exchanges.saturating_mul(PLACES_EACH).next_power_of_two().clamp(FEWEST, MOST);
        Generators { seed, owners: vec![(0, NOBODY); size as usize] }
    }

    /// Notes the identifiers of an exchange. Those of one session must come in the order of their starts.
    pub(crate) fn note(&mut self, exchange: &Exchange) {
        let session = (xxh3_64_with_seed(&exchange.session.0.to_le_bytes(), self.seed) as u32).max(KEPT + 1);
        ids_of(exchange, &mut |family, packed, standing| {
            let hash = xxh3_64_with_seed(packed, family as u64);
            let Some(place) = self.place(hash) else { return };
            let (tag, owner) = &mut self.owners[place];
            *tag = (hash >> 32) as u32;
            *owner = match (*owner, standing) {
                (NOBODY, Standing::Given) => session,
                (owner, Standing::Given | Standing::Asked) if owner == session => session,
                _ => KEPT,
            };
        });
    }

    /// Whether the reader may make up an identifier of this family.
    pub(crate) fn may_make_up(&self, family: usize, packed: &[u8]) -> bool {
        let place = self.place(xxh3_64_with_seed(packed, family as u64));
        SHORTEST <= packed.len() && place.is_some_and(|place| KEPT < self.owners[place].1)
    }

    /// Where an identifier is, or would be; `None` where there is no room for it.
    fn place(&self, hash: u64) -> Option<usize> {
        let mask = self.owners.len() - 1;
        let places = (0..MOST_PROBES).map(|probe| (hash as usize + probe) & mask);
        places.into_iter().find(|place| {
            let (tag, owner) = self.owners[*place];
            owner == NOBODY || tag == (hash >> 32) as u32
        })
    }
}

const NOBODY: u32 = 0;
/// More than one session has it, or it stands where it must stay.
const KEPT: u32 = 1;
/// In bytes, packed: shorter identifiers may be equal by chance.
const SHORTEST: usize = 7;
/// Places in the table for each exchange: a few identifiers, and as much room again.
const PLACES_EACH: u64 = 8;
const FEWEST: u64 = 1 << 12;
/// 512 MiB.
const MOST: u64 = 1 << 26;
const MOST_PROBES: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SessionId;
    use crate::block::{Builder, decode};

    fn exchange(session: u64, target: &str, headers: &[(&str, &str)]) -> Exchange {
        let mut exchange = Exchange { session: SessionId(session), start_us: 1, ..Exchange::default() };
        exchange.request.target = target.to_owned();
        headers.iter().for_each(|(name, value)| exchange.request.headers.push(name, value));
        exchange
    }

    fn rewritten(exchanges: &[Exchange]) -> Vec<Exchange> {
        let mut generators = Generators::new(exchanges.len() as u64, 9);
        exchanges.iter().for_each(|exchange| generators.note(exchange));
        let mut builder = Builder::with_generators(generators);
        exchanges.iter().for_each(|exchange| builder.push(exchange).unwrap());
        let block = builder.finish(false);
        decode(&block.raw, exchanges.len(), block.encoding).unwrap()
    }

    #[test]
    fn what_a_session_has_for_itself_is_made_up_and_stays_equal() {
        let own = "4bf92f3577b34da6a3ce929d0e0e4736";
        let shared = "00f067aa0ba902b74bf92f3577b34da6";
        let asked = "0f8fad5b-d9cb-469f-a165-70867728950e";
        let token = "aB3dE5gH7jK9mN1pQ3sT5uV7xY9zA1bC";
        let exchanges = [
            exchange(1, &format!("/p/{asked}"), &[("id", own), ("etag", shared), ("seen", asked)]),
            exchange(1, &format!("/o/{own}"), &[("id", own), ("authorization", &format!("Bearer {token}"))]),
            exchange(2, "/", &[("etag", shared)]),
        ];
        let after = rewritten(&exchanges);
        let value = |at: usize, name: &str| after[at].request.headers.get_str(name).unwrap().to_owned();
        let made_up = value(0, "id");
        assert_ne!(made_up, own);
        assert_eq!((made_up.len(), value(1, "id")), (own.len(), made_up.clone()));
        assert_eq!(after[1].request.target, format!("/o/{made_up}"), "what was given out goes with it");
        assert_eq!(after[0].request.target, format!("/p/{asked}"), "what was asked for is the server's");
        assert_eq!(value(0, "seen"), asked);
        assert_eq!((value(0, "etag"), value(2, "etag")), (shared.to_owned(), shared.to_owned()));
        let bearer = value(1, "authorization");
        assert!(bearer.starts_with("Bearer ") && bearer.len() == 7 + token.len() && !bearer.contains(token));
        assert_eq!(rewritten(&exchanges), after, "made up alike each time");
    }

    #[test]
    fn equal_stay_equal_and_different_different_across_blocks() {
        let id = |n: u128| format!("{:032x}", (n + 1) * 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);
        let ids: Vec<String> = (0..40).map(id).collect();
        let exchanges: Vec<Exchange> = ids.iter().map(|id| exchange(7, "/", &[("id", id)])).collect();
        let mut generators = Generators::new(100, 9);
        exchanges.iter().for_each(|exchange| generators.note(exchange));
        let mut builder = Builder::with_generators(generators);
        let mut met = std::collections::HashMap::new();
        // the second block begins in the middle of the session, and has some identifiers of the first
        for block in [0..30, 20..40] {
            exchanges[block.clone()].iter().for_each(|exchange| builder.push(exchange).unwrap());
            let encoded = builder.finish(false);
            for (at, after) in block.clone().zip(decode(&encoded.raw, block.len(), encoded.encoding).unwrap())
            {
                let made_up = after.request.headers.get_str("id").unwrap().to_owned();
                assert_eq!(*met.entry(at).or_insert(made_up.clone()), made_up);
            }
        }
        let different: std::collections::HashSet<_> = met.values().collect();
        assert_eq!((met.len(), different.len()), (40, 40));
    }
}
