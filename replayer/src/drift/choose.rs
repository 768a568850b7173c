//! Which recorded exchanges are compared: a bounded number, each by all of its clones.
//!
//! Of each route as many, from as many recorded sessions as there are: sessions know nothing of one another, and what they
//! say adds up. The choice is by a hash, so that threads and shards make the same one.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::hash::{BuildHasherDefault, Hasher};

use crate::evidence::lot;
use crate::limits;
use crate::plan::{Program, Step};

/// The chosen exchanges, by number.
#[derive(Debug, Default)]
pub(crate) struct Chosen {
    /// A bit for each program with one of them: most operations are told by it that they are of no interest.
    programs: Vec<u64>,
    /// By [`key`]; asked for every answer, so by a hash of a few instructions.
    numbers: HashMap<u64, u32, BuildHasherDefault<Mix>>,
    pub(crate) list: Vec<Place>,
}

/// A chosen exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) route: u16,
    pub(crate) program: u32,
    pub(crate) step: u32,
}

/// First by how many of its session come before it, then by chance.
type Order = (u32, u32, u32, u32);

impl Chosen {
    /// Chooses among the steps of all programs, of which there are `routes` routes.
    pub(crate) fn new<'a>(programs: impl ExactSizeIterator<Item = Program<'a>>, routes: usize) -> Chosen {
        let count = programs.len();
        let most = (limits::COMPARED / routes.max(1)).clamp(1, limits::COMPARED_OF_ROUTE);
        let mut best: Vec<BinaryHeap<Order>> = vec![BinaryHeap::new(); routes];
        for (program, steps) in (0..).zip(programs) {
            for (route, order) in orders(program, steps) {
                let Some(heap) = best.get_mut(usize::from(route)) else { continue };
                if heap.len() < most || heap.peek().is_some_and(|last| order < *last) {
                    heap.push(order);
                }
                if most < heap.len() {
                    heap.pop();
                }
            }
        }
        let mut chosen = Chosen { programs: vec![0; count.div_ceil(64)], ..Chosen::default() };
        for (route, heap) in (0..).zip(best) {
            for (.., program, step) in heap.into_sorted_vec() {
                chosen.programs[program as usize / 64] |= 1 << (program % 64);
                chosen.numbers.insert(key(program, step), chosen.list.len() as u32);
                chosen.list.push(Place { route, program, step });
            }
        }
        chosen
    }

    /// The number of an exchange, if it is one of them.
    pub(crate) fn number(&self, program: u32, step: u32) -> Option<u32> {
        let bits = self.programs.get(program as usize / 64)?;
        if bits >> (program % 64) & 1 == 0 {
            return None;
        }
        self.numbers.get(&key(program, step)).copied()
    }
}

fn key(program: u32, step: u32) -> u64 {
    u64::from(program) << 32 | u64::from(step)
}

/// Spreads the bits of one number, which nobody chooses to harm us.
#[derive(Default)]
struct Mix(u64);

impl Hasher for Mix {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(self.0 << 8 ^ u64::from(*byte)));
    }

    fn write_u64(&mut self, word: u64) {
        let mixed = word.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ mixed >> 32;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// What of a program can be compared, with its place in the order of its route.
fn orders(program: u32, steps: Program<'_>) -> Vec<(u16, Order)> {
    let mut of_route: BTreeMap<u16, Vec<Reverse<(u32, u32)>>> = BTreeMap::new();
    for (number, step) in (0..).zip(steps.steps()) {
        if is_comparable(step) {
            of_route.entry(step.route()).or_default().push(Reverse((lot(program, number), number)));
        }
    }
    let mut orders = Vec::new();
    for (route, mut places) in of_route {
        places.sort_unstable();
        let order = |(before, Reverse((lot, step))): (u32, Reverse<(u32, u32)>)| {
            (route, (before, lot, program, step))
        };
        orders.extend((0..).zip(places).map(order));
    }
    orders
}

/// Whether something is known of the recorded answer that any other can be held against: not of errors, and not of streams,
/// which end when somebody leaves.
fn is_comparable(step: Step<'_>) -> bool {
    let answer = step.answer();
    let is_whole = (200..400).contains(&step.status()) && !matches!(step.status(), 204 | 304);
    is_whole && !step.is_head() && step.script().is_none() && (answer.len.is_some() || answer.shape != 0)
}

#[cfg(test)]
mod tests {
    use captures::Body;
    use captures::exchange::{Request, Response};
    use captures::{Exchange, Session, SessionId};

    use super::*;
    use crate::plan::Plan;
    use crate::plan::tests::wanted;

    fn session(id: u64, targets: &[&str]) -> Session {
        let exchange = |(place, target): (u64, &&str)| Exchange {
            session: SessionId(id),
            start_us: id * 1000 + place,
            duration_us: Some(0),
            request: Request { method: "GET".to_owned(), target: (*target).to_owned(), ..Request::default() },
            response: Some(Response { status: 200, body: Body::digest(7, None), ..Response::default() }),
            ..Exchange::default()
        };
        Session { id: SessionId(id), exchanges: (0..).zip(targets).map(exchange).collect() }
    }

    #[test]
    fn each_route_has_its_share_from_as_many_sessions_as_there_are() {
        let sessions: Vec<Session> = (0..500).map(|id| session(id, &["/a", "/a", "/b", "/a"])).collect();
        let plan = Plan::build(&sessions, &wanted(1.0, 1));
        let list = &plan.chosen.list;
        let of = |name: &str| -> Vec<Place> {
            let route = plan.routes.iter().position(|route| route == name).unwrap() as u16;
            list.iter().filter(|place| place.route == route).copied().collect()
        };
        for name in ["GET /a", "GET /b"] {
            let mut programs: Vec<u32> = of(name).iter().map(|place| place.program).collect();
            programs.dedup();
            assert_eq!(programs.len(), limits::COMPARED_OF_ROUTE, "one of each session");
        }
        let steps: std::collections::BTreeSet<u32> = of("GET /a").iter().map(|place| place.step).collect();
        assert_eq!(steps, [0, 1, 3].into(), "not always the first");
        for (number, place) in (0..).zip(list) {
            assert_eq!(plan.chosen.number(place.program, place.step), Some(number));
        }
        let others = (0..500).filter(|program| plan.chosen.number(*program, 2).is_none()).count();
        assert_eq!(others, 500 - limits::COMPARED_OF_ROUTE);
    }

    #[test]
    fn a_single_session_gives_all_it_has() {
        let plan = Plan::build(&[session(1, &["/a"; 20])], &wanted(1.0, 1));
        assert_eq!(plan.chosen.list.len(), 20);
        assert_eq!(plan.chosen.number(0, 20), None);
        assert_eq!(plan.chosen.number(9, 0), None);
    }

    #[test]
    fn three_hundred_thousand_addresses_are_a_bounded_choice() {
        let letters = |number: u64| -> String {
            number.to_string().bytes().map(|digit| char::from(digit - b'0' + b'a')).collect()
        };
        let sessions: Vec<Session> = (0..30_000)
            .map(|id| {
                let targets: Vec<String> = (0..10).map(|n| format!("/{}", letters(id * 10 + n))).collect();
                session(id, &targets.iter().map(String::as_str).collect::<Vec<_>>())
            })
            .collect();
        let plan = Plan::build(&sessions, &wanted(1.0, 1));
        assert_eq!(plan.population.requests(), Some(300_000));
        assert!(plan.chosen.list.len() <= limits::COMPARED, "{}", plan.chosen.list.len());
        assert!(plan.chosen.programs.len() * 8 <= 4096);
    }
}
