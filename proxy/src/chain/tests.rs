//! Chains without sockets: what is joined, and what a root's own time is. Times are orders of magnitude only.

use super::*;

const OPERATION: &str = "00000000000000ff";
const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn scopes() -> Scopes {
    let names = ["front", "payments", "search"].map(str::to_owned);
    SmallVec::from_iter([Arc::new(Scope::new(None, &names, Instant::now()))])
}

fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
    fields.iter().map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap())).collect()
}

fn books(scopes: &Scopes, edge: usize) -> serde_json::Value {
    serde_json::to_value(scopes[0].times(Detail::Figures).remove(edge)).unwrap()
}

const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn calls_are_joined_by_operation_and_by_trace() {
    let by_operation = [(OP, OPERATION), (ATTEMPT, "2")];
    for (root, call) in [
        (&by_operation[..], &by_operation[..]),
        (&[("traceparent", TRACEPARENT)], &[("traceparent", TRACEPARENT)]),
        (&[(OP, OPERATION), ("traceparent", TRACEPARENT)], &[("traceparent", TRACEPARENT)]),
    ] {
        let (chain, scopes) = (Chain::new(3), scopes());
        let front = chain.enter(0, &headers(root), &scopes, || "POST /checkout".to_owned());
        let called = chain.enter(1, &headers(call), &scopes, String::new);
        assert!(matches!((&front, &called), (Link::Root { .. }, Link::Call(_))), "{root:?}");
        chain.leave(called, 1, (MINUTE, None), &scopes);
        chain.leave(front, 0, (2 * MINUTE, None), &scopes);
        let front = books(&scopes, 0);
        assert_eq!(
            (&front["calls"][0]["edge"], &front["calls"][0]["per_request"]),
            (&"payments".into(), &1.0.into())
        );
        assert_eq!(front["calls"][0]["latency"]["max"], 60_000_000);
        assert_eq!(front["routes"][0]["route"], "POST /checkout");
        assert_eq!(books(&scopes, 1)["own"]["max"], 60_000_000);
        assert_eq!(chain.open.load(Ordering::Relaxed), 0);
        assert!(chain.shards.iter().all(|shard| lock(shard).is_empty()), "nothing is left behind");
    }
}

#[test]
fn attempts_and_strangers_are_kept_apart() {
    let (chain, scopes) = (Chain::new(2), scopes());
    let enter =
        |edge, fields: &[(&'static str, &str)]| chain.enter(edge, &headers(fields), &scopes, String::new);
    let first = enter(0, &[(OP, OPERATION)]);
    let another = enter(1, &[(OP, OPERATION), (ATTEMPT, "2")]);
    assert!(matches!(another, Link::Root { .. }), "the second attempt has a chain of its own");
    assert!(matches!(enter(1, &[]), Link::None));
    assert!(matches!(enter(1, &[("traceparent", "00-00000000000000000000000000000000-1-01")]), Link::None));
    chain.leave(first, 0, (MINUTE, None), &scopes);
    let late = enter(1, &[(OP, OPERATION)]);
    assert!(matches!(late, Link::Root { .. }), "its cause is over");
    assert!(matches!(Chain::new(1).enter(0, &headers(&[(OP, OPERATION)]), &scopes, String::new), Link::None));
}

#[test]
fn a_call_that_could_be_anybodys_is_nobodys() {
    let (chain, scopes) = (Chain::new(2), scopes());
    let trace = headers(&[("traceparent", TRACEPARENT)]);
    let roots = [0, 0].map(|edge| chain.enter(edge, &trace, &scopes, String::new));
    let call = chain.enter(1, &trace, &scopes, String::new);
    assert!(matches!(call, Link::Lost(Loss::Unclear)));
    chain.leave(call, 1, (MINUTE, None), &scopes);
    roots.into_iter().for_each(|root| chain.leave(root, 0, (MINUTE, None), &scopes));
    assert_eq!(books(&scopes, 1)["unjoined"], 1);
    assert!(chain.shards.iter().all(|shard| lock(shard).is_empty()));
}

#[test]
fn time_is_taken_off_once_however_many_calls_overlap() {
    let start = Instant::now();
    let at = |second: u64| start + Duration::from_secs(second);
    let mut busy = Busy::default();
    busy.begin(at(1));
    busy.begin(at(2));
    busy.end(at(4));
    assert_eq!(busy.so_far(at(5)), Duration::from_secs(4), "one of them is still open");
    busy.end(at(6));
    busy.begin(at(8));
    busy.end(at(9));
    assert_eq!(busy.so_far(at(100)), Duration::from_secs(6));
}

#[test]
fn the_table_is_bounded_and_says_what_it_let_go() {
    let (chain, scopes) = (Chain::new(2), scopes());
    chain.open.store(MAX_OPEN, Ordering::Relaxed);
    let link = chain.enter(0, &headers(&[(OP, OPERATION)]), &scopes, String::new);
    assert!(matches!(link, Link::Lost(Loss::Shed)));
    chain.leave(link, 0, (MINUTE, None), &scopes);
    assert_eq!((&books(&scopes, 0)["chain_shed"], chain.open.load(Ordering::Relaxed)), (&1.into(), MAX_OPEN));
}

#[test]
fn routes_are_bounded() {
    let mut times = EdgeTimes::default();
    for route in 0..1000 {
        times.root(&format!("GET /{route}"), (MINUTE, MINUTE), &[]);
    }
    let books = serde_json::to_value(times.books(&[], Detail::Figures)).unwrap();
    let routes = books["routes"].as_array().unwrap();
    assert_eq!(routes.len(), 64);
    let count: u64 = routes.iter().map(|route| route["latency"]["count"].as_u64().unwrap()).sum();
    assert_eq!((count, &books["typical"]["count"]), (1000, &1000.into()));
}
