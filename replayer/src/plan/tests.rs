use captures::exchange::{Protocol, Request, Response};
use captures::notes::Notes;
use captures::{Exchange, Session, SessionId};
use proptest::prelude::*;

use super::*;
use crate::options::{Connections, Speed};

pub(crate) fn wanted(amplify: f64, seed: u64) -> Wanted {
    Wanted {
        sources: ["first", "second"].map(|name| (name.to_owned(), amplify)).into(),
        load: Load::Recorded,
        arrivals: Arrivals::Recorded,
        boosts: Vec::new(),
        looped: false,
        duration_us: None,
        shard: Shard::WHOLE,
        speed: Speed::Times(1.0),
        within_us: None,
        connections: Connections::Recorded,
        http2: false,
        max_gap_us: None,
        only: Vec::new(),
        exclude: Vec::new(),
        edge: None,
        substitutions: Vec::new(),
        columns: Vec::new(),
        seed,
        rewrite: Rewrite { host: "127.0.0.1".to_owned(), ..Rewrite::default() },
        links: Default::default(),
    }
}

/// (start, duration, connection); no duration means unknown.
pub(super) fn session(id: u64, steps: &[(u64, Option<u64>, Option<u64>)]) -> Session {
    let exchange = |&(start_us, duration_us, connection): &(u64, Option<u64>, Option<u64>)| Exchange {
        session: SessionId(id),
        connection,
        start_us,
        duration_us,
        protocol: Protocol::Http2,
        request: Request { method: "GET".to_owned(), target: format!("/{start_us}"), ..Request::default() },
        response: Some(Response { status: 200, ..Response::default() }),
        ..Exchange::default()
    };
    Session { id: SessionId(id), exchanges: steps.iter().map(exchange).collect() }
}

fn waits(plan: &Plan, next: usize) -> Vec<usize> {
    (0..next).filter(|flying| plan.program(0).waits_for(next as u32, *flying as u32)).collect()
}

fn lanes(plan: &Plan) -> Vec<(Option<u16>, bool)> {
    plan.program(0).steps().map(|step| (step.lane(), step.is_last_on_lane())).collect()
}

#[test]
fn a_step_waits_for_those_that_had_ended_and_runs_beside_the_others() {
    let ms = 1000;
    let recorded = session(
        1,
        &[
            (0, Some(100 * ms), Some(1)),
            (10 * ms, Some(200 * ms), Some(2)),
            (150 * ms, Some(10 * ms), Some(1)),
            (300 * ms, Some(1), Some(1)),
        ],
    );
    let plan = Plan::build(&[recorded], &wanted(1.0, 1));
    assert_eq!(waits(&plan, 1), Vec::<usize>::new());
    assert_eq!(waits(&plan, 2), [0]);
    assert_eq!(waits(&plan, 3), [0, 1, 2]);
    let lanes = lanes(&plan);
    assert_eq!(lanes, [(Some(0), false), (Some(1), true), (Some(0), false), (Some(0), true)]);
}

#[test]
fn one_multiplexed_connection_becomes_as_many_as_were_busy_at_once() {
    let recorded =
        session(1, &[(0, Some(90_000), Some(7)), (1, Some(90_000), Some(7)), (200_000, Some(1), Some(7))]);
    let plan = Plan::build(&[recorded], &wanted(1.0, 1));
    let lanes: Vec<_> = plan.program(0).steps().map(Step::lane).collect();
    assert_eq!(lanes, [Some(0), Some(1), Some(0)]);
}

#[test]
fn a_log_without_durations_is_serial_and_spread_within_its_seconds() {
    let second = 1_000_000;
    let steps: Vec<_> = [0, 0, 0, 2, 2].map(|s| (1_700_000_000 * second + s * second, None, None)).into();
    let plan = Plan::build(&[session(1, &steps)], &wanted(1.0, 1));
    let program = plan.program(0);
    let offsets: Vec<u64> = program.steps().map(Step::offset_us).collect();
    assert!(offsets.is_sorted() && offsets[2] < second && offsets[1] > 0, "{offsets:?}");
    assert!(offsets[4] - offsets[3] < second && offsets[3] > second, "{offsets:?}");
    for next in 1..5 {
        assert_eq!(waits(&plan, next).len(), next);
    }
    assert!(program.steps().all(|step| step.lane().is_none()));
}

#[test]
fn what_is_not_organic_traffic_is_skipped_by_name() {
    let mut recorded = session(1, &(0..7).map(|i| (i * 1000, Some(10), None)).collect::<Vec<_>>());
    recorded.exchanges[0].faults.push("slow".to_owned());
    recorded.exchanges[1].notes = Notes::REPLAYED;
    recorded.exchanges[2].request.method = "CONNECT".to_owned();
    recorded.exchanges[3].response = Some(Response { status: 101, ..Response::default() });
    recorded.exchanges[4].request.method = "G\u{fc}T".to_owned();
    recorded.exchanges[5].notes = Notes::WEBSOCKET;
    let plan = Plan::build(&[recorded], &wanted(2.0, 1));
    let skipped: Vec<_> = plan.skipped.iter().map(|(why, n)| (*why, *n)).collect();
    assert_eq!(skipped, [("bad_method", 1), ("connect", 1), ("faulted", 1), ("replayed", 1), ("upgrade", 2)]);
    assert_eq!((plan.population.requests(), plan.step(0, 0).index()), (Some(2), 6));
}

#[test]
fn within_picks_the_speed_and_never_slows_down() {
    let recorded = session(1, &[(0, Some(1), None), (600_000_000, Some(1), None)]);
    let speed = |within_us| {
        let wanted = Wanted { within_us: Some(within_us), ..wanted(1.0, 1) };
        Plan::build(std::slice::from_ref(&recorded), &wanted).speed
    };
    assert!(matches!(speed(60_000_000), Speed::Times(times) if (times - 10.0).abs() < 0.01));
    assert_eq!(speed(6_000_000_000), Speed::Times(1.0));
}

#[test]
fn an_empty_capture_is_an_empty_plan() {
    let plan = Plan::build(&[], &wanted(100.0, 1));
    assert_eq!((plan.population.sessions(), plan.population.requests()), (Some(0), Some(0)));
    let summary = Summary::new(&plan, Some(100.0), 10);
    assert_eq!((summary.sessions, summary.peak_rate, summary.sockets), (0, 0, 0));
}

pub(super) fn sessions() -> impl Strategy<Value = Vec<Session>> {
    let step = (0_u64..50_000_000, proptest::option::of(0_u64..3_000_000), proptest::option::of(0_u64..3));
    let steps = proptest::collection::vec(step, 1..12);
    proptest::collection::vec(steps, 1..12).prop_map(|all| {
        let numbered = all.into_iter().enumerate().map(|(id, mut steps)| {
            steps.sort_unstable();
            session(id as u64, &steps)
        });
        numbered.collect()
    })
}

proptest! {
    #[test]
    fn the_same_input_gives_the_same_plan_at_any_number_of_workers(
        sessions in sessions(), amplify in 0.1_f64..20.0, seed: u64, workers in 1_usize..65,
    ) {
        let plan = Plan::build(&sessions, &wanted(amplify, seed));
        let again = Plan::build(&sessions, &wanted(amplify, seed));
        prop_assert_eq!(plan.hash, again.hash);
        prop_assert_ne!(plan.hash, Plan::build(&sessions, &wanted(amplify, seed ^ 1)).hash);
        let share = |index| plan.population.starts(index, workers);
        let mut union: Vec<_> = (0..workers).flat_map(share).collect();
        union.sort_unstable();
        let mut whole: Vec<_> = again.population.starts(0, 1).collect();
        whole.sort_unstable();
        prop_assert_eq!(Some(union.len() as u64), plan.population.sessions());
        prop_assert_eq!(union, whole);
    }

    #[test]
    fn steps_are_released_in_order_and_lanes_never_overlap(sessions in sessions()) {
        let plan = Plan::build(&sessions, &wanted(1.0, 1));
        for program in plan.programs() {
            prop_assert!(program.steps().is_sorted_by_key(Step::offset_us));
            for next in 1..program.len() {
                for flying in 0..next {
                    // What an earlier step waits for, a later one waits for too.
                    let earlier = flying < next - 1 && program.waits_for(next - 1, flying);
                    prop_assert!(!earlier || program.waits_for(next, flying));
                    let same = program.step(next).lane() == program.step(flying).lane();
                    let owned = program.step(next).lane().is_some();
                    prop_assert!(!(same && owned) || program.waits_for(next, flying));
                }
            }
            let lanes: std::collections::BTreeSet<_> = program.steps().filter_map(Step::lane).collect();
            prop_assert_eq!(lanes.len(), program.steps().filter(|step| step.is_last_on_lane()).count());
        }
    }
}

#[test]
fn connections_by_policy_and_protocol() {
    let check = |connections, http2, expect: [Option<u16>; 5]| {
        let recorded = session(
            1,
            &[
                (0, Some(90_000), Some(7)),
                (1, Some(90_000), Some(7)),
                (2, Some(90_000), Some(9)),
                (3, Some(10), None),
                (200_000, Some(1), Some(7)),
            ],
        );
        let plan = Plan::build(&[recorded], &Wanted { connections, http2, ..wanted(1.0, 1) });
        let lanes = lanes(&plan);
        assert_eq!(
            lanes.iter().map(|(lane, _)| *lane).collect::<Vec<_>>(),
            expect,
            "{connections:?} {http2}"
        );
        let last = lanes.iter().filter(|(_, last)| *last).count();
        assert_eq!(last, expect.iter().flatten().collect::<std::collections::BTreeSet<_>>().len());
    };
    check(Connections::Recorded, false, [Some(0), Some(1), Some(2), None, Some(0)]);
    check(Connections::Recorded, true, [Some(0), Some(0), Some(1), None, Some(0)]);
    check(Connections::PerSession, false, [Some(0), Some(1), Some(2), Some(3), Some(0)]);
    check(Connections::PerSession, true, [Some(0); 5]);
    check(Connections::Shared, false, [None; 5]);
    check(Connections::Shared, true, [None; 5]);
}

#[test]
fn pauses_are_shortened_and_sessions_start_as_recorded() {
    let second = 1_000_000;
    let known = [(0, Some(second)), (60 * second, Some(second)), (62 * second, Some(second))];
    let unknown = [(0, None), (60 * second + 1, None), (62 * second + 1, None)];
    for steps in [known, unknown] {
        let steps: Vec<_> = steps.map(|(start, duration)| (second / 2 + start, duration, None)).into();
        let late = session(2, &[(90 * second, Some(1), None)]);
        let wanted = Wanted { max_gap_us: Some(5 * second), ..wanted(1.0, 1) };
        let plan = Plan::build(&[session(1, &steps), late], &wanted);
        let offsets: Vec<u64> = plan.program(0).steps().map(|step| step.offset_us() / second).collect();
        let busy = u64::from(steps[0].1.is_some());
        assert_eq!(offsets, [0, 5 + busy, 7 + busy]);
        assert_eq!(waits(&plan, 2), [0, 1]);
        assert_eq!(plan.program(1).start_us(), 90 * second - second / 2);
        assert!(plan.program(0).length_us() < 10 * second);
    }
}

#[test]
fn only_what_is_selected_is_replayed_and_the_rest_is_counted() {
    let sessions: Vec<Session> =
        (0..3).map(|id| session(id, &[(5, Some(1), None), (6, Some(1), None)])).collect();
    let check = |only: &[&str], exclude: &[&str], requests, skipped| {
        let patterns = |typed: &[&str]| typed.iter().map(|typed| typed.parse().unwrap()).collect();
        let wanted = Wanted { only: patterns(only), exclude: patterns(exclude), ..wanted(1.0, 1) };
        let plan = Plan::build(&sessions, &wanted);
        let counted = plan.skipped.get("not_selected").copied().unwrap_or(0);
        assert_eq!(
            (plan.population.requests().unwrap_or(0), counted),
            (requests, skipped),
            "{only:?} {exclude:?}"
        );
    };
    check(&[], &[], 6, 0);
    check(&["GET /{id}"], &[], 6, 0);
    check(&["GET /5"], &[], 3, 3);
    check(&[], &["GET /5"], 3, 3);
    check(&["session:2", "session:1"], &["/6"], 2, 4);
    check(&["POST *"], &[], 0, 6);
}

#[test]
fn a_plan_says_what_it_takes() {
    let sessions: Vec<Session> = (0..100).map(|id| session(id, &[(id, Some(1), None)])).collect();
    let footprint = Plan::build(&sessions, &wanted(1.0, 1)).footprint();
    assert_eq!(footprint.mapped, 0);
    assert!((100 * (48 + 102 + 20)..100 * 300).contains(&footprint.memory), "{footprint:?}");
    assert_eq!(size_of::<Row>(), 40);
    let same: Vec<Session> = (0..100).map(|id| session(id, &[(0, Some(1), None)])).collect();
    let shared = Plan::build(&same, &wanted(1.0, 1)).footprint();
    assert!(shared.memory < 100 * (48 + 102) + 200, "equal requests are held once: {shared:?}");
}

#[test]
fn a_million_routes_are_a_bounded_number_and_the_rarest_share_one() {
    let letters = |number: u64| -> String {
        number.to_string().bytes().map(|digit| char::from(digit - b'0' + b'a')).collect()
    };
    let visit = |id: u64| {
        let mut session = session(id, &[(id, Some(1), None), (id + 1, Some(1), None)]);
        session.exchanges[0].request.target = format!("/{}", letters(id % 1000));
        session.exchanges[1].request.target = "/often".to_owned();
        session
    };
    let sessions: Vec<Session> = (0..1200).map(visit).collect();
    let plan = Plan::build(&sessions, &wanted(1.0, 1));
    assert_eq!((plan.routes.len(), plan.routes[0].as_str()), (crate::limits::ROUTES, "GET /often"));
    assert_eq!(plan.routes[crate::limits::ROUTES - 1], "(other)");
    let mut counts = vec![0; plan.routes.len()];
    for step in plan.programs().flat_map(Program::steps) {
        counts[usize::from(step.route())] += 1;
    }
    assert_eq!((counts[0], counts.iter().sum::<u64>()), (1200, 2400));
    assert!(counts[1..=200].iter().all(|count| *count == 2), "{counts:?}");
    assert_eq!(counts[crate::limits::ROUTES - 1], 1200 - 400 - 54);
}
