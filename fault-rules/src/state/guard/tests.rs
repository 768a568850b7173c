//! Simulated traffic: healthy traffic trips nothing, harm trips soon.

use super::*;
use crate::guard::Trip;
use crate::matcher::Matcher;

/// A small generator with a seed, so that every run of these tests sees the same traffic.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        xxhash_rust::xxh3::xxh3_64(&self.0.to_le_bytes())
    }

    fn uniform(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn chance(&mut self, p: f64) -> bool {
        self.uniform() < p
    }

    /// A log-normal time around 20 ms, about 150 ms at the 99th percentile.
    fn time(&mut self) -> f64 {
        20_000.0 * (0.87 * crate::normal::quantile(self.uniform().max(1e-12))).exp()
    }
}

/// One exchange of simulated traffic: its side is drawn, or goes by its session.
struct Drawn {
    harmed: bool,
    key: u64,
    failed: bool,
    us: f64,
    attempt: u32,
}

impl Drawn {
    fn good(rng: &mut Rng, share: f64) -> Drawn {
        let key = rng.next();
        Drawn { harmed: rng.chance(share), key, failed: false, us: 20_000.0, attempt: 1 }
    }
}

fn guard(signal: Signal, limit: Limit) -> Guard {
    Guard {
        name: "slo".to_owned(),
        on: Matcher::default(),
        signal,
        limit,
        window: Duration::from_secs(10),
        trip: Trip::Lift,
        min_samples: 100,
        confidence: 0.95,
    }
}

fn limit(base: Base, margin: Margin) -> Limit {
    Limit { base, margin }
}

/// Runs so many windows of traffic after two windows of baseline; gives the window (from 1) in which the guard first trips.
fn trips(guard: &Guard, windows: u32, mut slot_of: impl FnMut(u32) -> Vec<Drawn>) -> Option<u32> {
    let mut state = GuardState::new(guard);
    let slot = guard.window / SLOTS;
    for number in 0..(windows + BASELINE) * SLOTS {
        let begun = BASELINE * SLOTS <= number;
        let exchanges = slot_of(number);
        let count = exchanges.len() as u32;
        for (place, drawn) in exchanges.into_iter().enumerate() {
            let lot = match (begun, drawn.harmed) {
                (false, _) => Side::Before,
                (true, true) => Side::Harmed,
                (true, false) => Side::Control,
            };
            let observed = Observed {
                lot,
                cluster: drawn.key,
                ending: if drawn.failed { Ending::Failed } else { Ending::Good },
                time: Some(Duration::from_micros(drawn.us as u64)),
                attempt: drawn.attempt,
            };
            state.note(&observed, slot * number + slot / count.max(1) * place as u32);
        }
        if state.judge(slot * (number + 1)).is_some_and(|reading| reading.broken) {
            return Some((number - BASELINE * SLOTS) / SLOTS + 1);
        }
    }
    None
}

const BASELINE: u32 = 2;

/// A thousand windows in one run, and two hundred runs of their first window, which has most of the error to spend.
fn never_trips(name: &str, guard: &Guard, draw: impl FnMut(&mut Rng, u32) -> Vec<Drawn>) {
    never_trips_in((1_000, 200), name, guard, draw);
}

fn never_trips_in(
    (windows, runs): (u32, usize),
    name: &str,
    guard: &Guard,
    mut draw: impl FnMut(&mut Rng, u32) -> Vec<Drawn>,
) {
    let mut rng = Rng(1);
    assert_eq!(trips(guard, windows, |slot| draw(&mut rng, slot)), None, "{name}");
    let mut rng = Rng(2);
    let tripped = (0..runs).filter(|_| trips(guard, 1, |slot| draw(&mut rng, slot)).is_some()).count();
    // 5 % times the first window's 61 %.
    assert!(tripped * 100 <= runs * 3, "{name}: {tripped} of {runs} first windows");
}

fn trips_soon(name: &str, guard: &Guard, mut draw: impl FnMut(&mut Rng, u32) -> Vec<Drawn>) {
    for seed in 1..=20 {
        let mut rng = Rng(seed);
        let window = trips(guard, 10, |slot| draw(&mut rng, slot));
        assert!(window.is_some_and(|window| window <= 2), "{name}: {window:?} with seed {seed}");
    }
}

fn errors_at(rate: f64) -> impl FnMut(&mut Rng, u32) -> Vec<Drawn> {
    move |rng, _| {
        let draw = |_| {
            let good = Drawn::good(rng, 0.25);
            Drawn { failed: rng.chance(rate), ..good }
        };
        (0..50).map(draw).collect()
    }
}

#[test]
fn errors_that_are_not_the_rules_trip_nothing() {
    let points = |base, points| guard(Signal::ErrorRatio, limit(base, Margin::Points(points)));
    let control = points(Base::Control, 0.0);
    never_trips("no errors", &control, errors_at(0.0));
    never_trips("few errors", &control, errors_at(0.002));
    never_trips("many errors", &control, errors_at(0.3));
    never_trips("at the limit", &points(Base::Absolute, 0.01), errors_at(0.01));
    never_trips("rare, at the limit", &points(Base::Absolute, 0.001), errors_at(0.001));
    never_trips("as before", &points(Base::Baseline, 0.005), errors_at(0.02));
    let doubled = guard(Signal::ErrorRatio, limit(Base::Control, Margin::Relative(0.5)));
    never_trips("less than half more", &doubled, errors_at(0.02));
}

#[test]
fn an_outage_that_hits_both_lots_is_not_the_rules() {
    let control = guard(Signal::ErrorRatio, limit(Base::Control, Margin::Points(0.02)));
    never_trips("bursts", &control, |rng, slot| {
        let down = slot % 37 < 4;
        let draw = |_| {
            let good = Drawn::good(rng, 0.25);
            Drawn { failed: down && rng.chance(0.8), ..good }
        };
        (0..50).map(draw).collect()
    });
}

#[test]
fn one_broken_session_is_one_and_not_its_requests() {
    // 400 sessions at a time, each of 50 requests, one in fifty broken from start to end; a quarter of the sessions is harmed.
    let control = guard(Signal::ErrorRatio, limit(Base::Control, Margin::Points(0.02)));
    never_trips("sessions", &control, |rng, slot| {
        let draw = |_| {
            let session = rng.next() % 400 + u64::from(slot / 50) * 400;
            let of = |salt: u64| xxhash_rust::xxh3::xxh3_64_with_seed(&session.to_le_bytes(), salt);
            Drawn {
                harmed: of(1).is_multiple_of(4),
                key: of(2),
                failed: of(3).is_multiple_of(50),
                us: 1.0,
                attempt: 1,
            }
        };
        (0..400).map(draw).collect()
    });
}

#[test]
fn harm_trips_within_two_windows() {
    let harmed_at = |rate: f64| {
        move |rng: &mut Rng, slot: u32| {
            let draw = |_| {
                let good = Drawn::good(rng, 0.25);
                let failed = BASELINE * SLOTS <= slot && good.harmed && rng.chance(rate);
                Drawn { failed, ..good }
            };
            (0..50).map(draw).collect::<Vec<_>>()
        }
    };
    let points = |base, points| guard(Signal::ErrorRatio, limit(base, Margin::Points(points)));
    trips_soon("control", &points(Base::Control, 0.02), harmed_at(0.15));
    trips_soon("absolute", &points(Base::Absolute, 0.01), harmed_at(0.15));
    trips_soon("baseline", &points(Base::Baseline, 0.01), harmed_at(0.15));
    let sure = Guard { confidence: 0.9999, ..points(Base::Control, 0.02) };
    trips_soon("very sure", &sure, harmed_at(0.3));
}

fn times(a_slot: u32, factor: f64) -> impl FnMut(&mut Rng, u32) -> Vec<Drawn> {
    move |rng, slot| {
        let draw = |_| {
            let good = Drawn::good(rng, 0.5);
            let slower = if BASELINE * SLOTS <= slot && good.harmed { factor } else { 1.0 };
            Drawn { us: rng.time() * slower, ..good }
        };
        (0..a_slot).map(draw).collect()
    }
}

#[test]
fn percentiles_hold_and_break() {
    let relative = |base, share| limit(base, Margin::Relative(share));
    for (percentile, windows) in [(50, 200), (90, 200), (95, 200), (99, 300)] {
        let at = |limit| guard(Signal::Latency(percentile), limit);
        let name = format!("p{percentile}");
        never_trips_in((windows, 50), &name, &at(relative(Base::Control, 0.0)), times(12, 1.0));
        // At the 99th percentile a lot of fewer than 800 exchanges has no upper bound.
        let a_slot = if percentile == 99 { 120 } else { 60 };
        trips_soon(&name, &at(relative(Base::Control, 0.5)), times(a_slot, 5.0));
        trips_soon(&name, &at(relative(Base::Baseline, 0.1)), times(a_slot, 20.0));
    }
    // 20 ms * exp(0.87 * 1.645) at the 95th percentile.
    let absolute =
        |ms| guard(Signal::Latency(95), limit(Base::Absolute, Margin::Time(Duration::from_millis(ms))));
    never_trips_in((200, 50), "at the limit", &absolute(85), times(12, 1.0));
    trips_soon("beyond the limit", &absolute(85), times(60, 10.0));
}

fn pace(rate: impl Fn(&mut Rng, u32) -> usize, harmed_good: f64) -> impl FnMut(&mut Rng, u32) -> Vec<Drawn> {
    move |rng, slot| {
        let count = rate(rng, slot);
        let draw = |_| {
            let good = Drawn::good(rng, 0.5);
            let lost = BASELINE * SLOTS <= slot && good.harmed && !rng.chance(harmed_good);
            Drawn { failed: lost, ..good }
        };
        (0..count).map(draw).collect()
    }
}

/// About 40 a slot, from half to one and a half times as many.
fn uneven(rng: &mut Rng, _: u32) -> usize {
    (20.0 + 40.0 * rng.uniform()) as usize
}

#[test]
fn goodput_holds_and_breaks() {
    let baseline = guard(Signal::Goodput, limit(Base::Baseline, Margin::Relative(0.1)));
    never_trips("uneven traffic", &baseline, pace(uneven, 1.0));
    trips_soon("half is lost", &baseline, pace(uneven, 0.1));
    let floor = |rate| guard(Signal::Goodput, limit(Base::Absolute, Margin::Number(rate)));
    never_trips("above the floor", &floor(75.0), pace(uneven, 1.0));
    trips_soon("below the floor", &floor(75.0), pace(uneven, 0.2));
    // Traffic that begins, ends and begins again is no loss.
    never_trips(
        "pauses",
        &floor(60.0),
        pace(|rng, slot| if slot % 90 < 60 { uneven(rng, slot) } else { 0 }, 1.0),
    );
    let control = guard(Signal::Goodput, limit(Base::Control, Margin::Relative(0.02)));
    never_trips("equal shares", &control, pace(uneven, 1.0));
    trips_soon("a worse share", &control, pace(uneven, 0.7));
}

fn attempts(harmed_fails: f64) -> impl FnMut(&mut Rng, u32) -> Vec<Drawn> {
    move |rng, slot| {
        let mut all = Vec::new();
        for _ in 0..40 {
            let first = Drawn::good(rng, 0.25);
            let fails = if first.harmed && BASELINE * SLOTS <= slot { harmed_fails } else { 0.03 };
            let repeats = if rng.chance(fails) { 3 } else { 0 };
            let again = |attempt| Drawn { attempt, us: 1.0, failed: false, ..first };
            all.extend((2..2 + repeats).map(again));
            all.push(first);
        }
        all
    }
}

#[test]
fn attempts_hold_and_break() {
    let relative = |base, share| guard(Signal::AttemptsPerOp, limit(base, Margin::Relative(share)));
    never_trips("the same repeats", &relative(Base::Control, 0.0), attempts(0.03));
    never_trips("as before", &relative(Base::Baseline, 0.05), attempts(0.03));
    trips_soon("a storm of repeats", &relative(Base::Control, 0.2), attempts(0.5));
    let number = guard(Signal::AttemptsPerOp, limit(Base::Absolute, Margin::Number(1.15)));
    never_trips("below the number", &number, attempts(0.03));
    trips_soon("beyond the number", &number, attempts(0.6));
}

#[test]
fn silence_small_lots_and_ends_by_rules_say_nothing() {
    let control = guard(Signal::ErrorRatio, limit(Base::Control, Margin::Points(0.0)));
    let mut rng = Rng(3);
    let few = |rng: &mut Rng| vec![Drawn { failed: true, harmed: true, ..Drawn::good(rng, 0.0) }];
    assert_eq!(trips(&control, 100, |_| few(&mut rng)), None, "no control to compare with");
    assert_eq!(trips(&control, 100, |_| Vec::new()), None);
    let mut state = GuardState::new(&guard(Signal::ErrorRatio, limit(Base::Absolute, Margin::Points(0.1))));
    for n in 0..1_000 {
        let ending = if n % 2 == 0 { Ending::ByRule } else { Ending::ClientGone };
        let observed = Observed { lot: Side::Harmed, cluster: n, ending, time: None, attempt: 1 };
        state.note(&observed, Duration::from_millis(n));
    }
    assert_eq!(state.judge(Duration::from_secs(2)), None);
}

#[test]
fn readings_tell_the_figures() {
    let mut state = GuardState::new(&guard(Signal::ErrorRatio, limit(Base::Control, Margin::Points(0.02))));
    for n in 0..2_000_u64 {
        let harmed = n % 2 == 0;
        let ending = if harmed && n % 10 == 0 { Ending::Failed } else { Ending::Good };
        let lot = if harmed { Side::Harmed } else { Side::Control };
        let cluster = xxhash_rust::xxh3::xxh3_64(&n.to_le_bytes());
        let observed = Observed { lot, cluster, ending, time: None, attempt: 1 };
        state.note(&observed, Duration::from_millis(n));
    }
    let reading = state.judge(Duration::from_millis(2_100)).expect("enough samples");
    assert_eq!((reading.value, reading.base, reading.limit), (0.2, Some(0.0), 0.02));
    assert!(reading.broken && reading.samples == 1_000, "{reading:?}");
    assert_eq!(state.judge(Duration::from_millis(2_200)), None, "once a slot");
    assert_eq!(state.last(), Some(reading));
    state.restart_window();
    assert_eq!(state.judge(Duration::from_secs(3)), None, "a new measure wants new samples");
    assert_eq!(state.judge(Duration::from_secs(60 * 60 * 24 * 365)), None, "a year later");
}
