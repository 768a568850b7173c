use fault_rules::guard::{Base, Limit, Margin};

use super::*;

fn spec(trip: Trip, base: Base) -> Guard {
    Guard {
        name: "slo".to_owned(),
        on: fault_rules::matcher::Matcher::default(),
        signal: Signal::ErrorRatio,
        limit: Limit { base, margin: Margin::Points(0.02) },
        window: Duration::from_secs(1),
        trip,
        min_samples: 50,
        confidence: 0.95,
    }
}

/// Two rules under a guard, one of them ramping, and one beside it.
fn set(guard: Guard) -> RuleSet {
    let rule = |text: &str, id: &str, guard: Option<usize>| {
        let parsed = fault_rules::parse_inline(text).expect(text);
        Rule { id: id.to_owned(), guard, ..parsed }
    };
    let mut ramp = rule("GET /** delay 100ms 40% when 10s..100s", "ramp", Some(0));
    ramp.window.ramp = Duration::from_secs(40);
    let mut set = RuleSet::default();
    set.guards = vec![guard];
    let rules = vec![
        ramp,
        rule("GET /** respond 503 50% when 10s..100s", "bad", Some(0)),
        rule("GET /** delay 1ms", "other", None),
    ];
    set.with_rules(rules).expect("distinct ids")
}

struct Fixture {
    set: RuleSet,
    sentinel: Arc<Sentinel>,
    standing: Standing,
    ops: u64,
}

impl Fixture {
    fn new(trip: Trip, base: Base) -> Fixture {
        let set = set(spec(trip, base));
        let sentinel = adopt(&set, &[]).remove(0);
        Fixture { set, sentinel, standing: Standing::default(), ops: 0 }
    }

    fn with<T>(&mut self, work: impl FnOnce(&Self, &Facts<'_>) -> T) -> T {
        self.ops += 1;
        let operation = self.ops.to_string();
        let facts = Facts {
            edge: "default",
            method: "GET",
            authority: "t",
            path: "/",
            query: "",
            header: &|_| None,
            operation: &operation,
            attempt: 1,
            session: "s",
            connection: 1,
            client: "127.0.0.1",
            upstream: "",
        };
        work(self, &facts)
    }

    /// One exchange at a second of the run: where it belongs; then it ends.
    fn exchange(&mut self, at: f64, fails: impl Fn(Side) -> bool) -> Option<Side> {
        let now = Duration::from_secs_f64(at);
        self.with(|this, facts| {
            let mark = this.sentinel.mark((0, 7), facts, (&this.standing, now))?;
            let ending = if fails(mark.side) { Ending::Failed } else { Ending::Good };
            let observed = Observed { lot: mark.side, cluster: mark.cluster, ending, time: None, attempt: 1 };
            this.sentinel.note(&mark, &observed, now);
            Some(mark.side)
        })
    }

    /// Traffic of a second at 1,000 a second whose harmed fail; what the guard does about it.
    fn second(&mut self, from: f64) -> Option<Consequence> {
        for ms in 0..1_000 {
            let at = from + f64::from(ms) / 1_000.0;
            self.exchange(at, |side| side == Side::Harmed);
            let now = Duration::from_secs_f64(at);
            if let Some(consequence) = self.sentinel.judge(now, now) {
                return Some(consequence);
            }
        }
        None
    }

    /// Of 1,000 exchanges: selected by the rule `bad` and not suppressed.
    fn victims(&mut self, at: f64) -> Vec<u64> {
        let run_now = Duration::from_secs_f64(at);
        let mut victims = Vec::new();
        self.ops = 0;
        for op in 0..1_000 {
            let mut decision = self.with(|this, facts| this.set.decide(7, facts, run_now));
            measure(&self.set, std::slice::from_ref(&self.sentinel), &mut decision, run_now);
            let hit = |selected: &&Selected| selected.rule == 1 && selected.suppressed.is_none();
            if decision.selected.iter().any(|selected| hit(&selected)) {
                victims.push(op);
            }
        }
        victims
    }
}

#[test]
fn exchanges_belong_by_what_acts_on_them() {
    let mut fixture = Fixture::new(Trip::Lift, Base::Control);
    let mut sides = |at: f64| {
        let found: Vec<_> = (0..500).filter_map(|_| fixture.exchange(at, |_| false)).collect();
        [Side::Before, Side::Harmed, Side::Control]
            .map(|side| found.iter().filter(|found| **found == side).count())
    };
    assert_eq!(sides(5.0), [500, 0, 0]);
    let [before, harmed, control] = sides(10.0);
    assert_eq!((before, harmed + control), (0, 500));
    assert!((200..300).contains(&harmed), "the ramp is at its foot: {harmed}");
    let [_, harmed, _] = sides(60.0);
    assert!((310..390).contains(&harmed), "1 - 0.6 * 0.5 of 500: {harmed}");
    assert_eq!(sides(101.0), [0, 0, 0], "what comes after is neither");
    fixture.sentinel.reset();
    assert_eq!(fixture.exchange(101.0, |_| false), Some(Side::Before), "a new run");
    fixture.standing.lift_rule("bad");
    fixture.standing.lift_rule("ramp");
    assert_eq!(fixture.exchange(60.0, |_| false), Some(Side::Before), "lifted rules do not act");
}

#[test]
fn a_trip_lifts_what_is_under_the_guard() {
    let mut fixture = Fixture::new(Trip::Lift, Base::Control);
    assert_eq!(fixture.second(0.0), None, "nothing acts, nobody is harmed");
    let consequence = fixture.second(10.0).expect("it trips in its first window");
    assert_eq!((consequence.lift, consequence.left), (vec!["ramp".to_owned(), "bad".to_owned()], 0.0));
    assert!(consequence.reading.value > 0.9 && consequence.reading.base == Some(0.0));
    assert_eq!(fixture.second(20.0), None, "it has done what it can");
}

#[test]
fn steps_halve_the_victims_until_none_is_left() {
    let mut fixture = Fixture::new(Trip::StepDown, Base::Control);
    let mut all = fixture.victims(60.0);
    assert!((450..550).contains(&all.len()));
    for (step, left) in [0.5, 0.25, 0.125].into_iter().enumerate() {
        let consequence = fixture.second(20.0 + step as f64 * 10.0).expect("harm goes on");
        assert_eq!((consequence.left, consequence.lift.len()), (left, 0));
        let fewer = fixture.victims(60.0);
        assert!(fewer.iter().all(|op| all.contains(op)), "those left are among those before");
        assert!(
            fewer.len() * 10 < all.len() * 7 && all.len() * 3 < fewer.len() * 10,
            "{} {}",
            fewer.len(),
            all.len()
        );
        all = fewer;
    }
    let consequence = fixture.second(90.0).expect("still too much");
    assert_eq!((consequence.left, consequence.lift.len()), (0.0, 2));
}

#[test]
fn hold_stops_a_ramp_where_it_is() {
    let mut fixture = Fixture::new(Trip::Hold, Base::Control);
    let selects = |fixture: &mut Fixture, at: f64| {
        let run_now = Duration::from_secs_f64(at);
        let rules = fixture.sentinel.rules.clone();
        fixture.ops = 0;
        let hits = |_| {
            fixture.with(|this, facts| {
                let roll = rules[0].roll(7, facts).expect("a roll");
                this.sentinel.selects(0, &rules[0], (roll, run_now))
            })
        };
        (0..1_000).map(hits).filter(|hit| *hit).count()
    };
    let consequence = fixture.second(20.0).expect("it trips");
    assert_eq!((consequence.lift.len(), consequence.left), (0, 1.0));
    let (then, later) = (selects(&mut fixture, 20.5), selects(&mut fixture, 70.0));
    assert!((70..=150).contains(&then) && later <= then + 15, "{then} {later}");
    assert_eq!(fixture.second(40.0), None);
}

#[test]
fn a_reload_keeps_what_a_guard_saw() {
    let first = set(spec(Trip::Lift, Base::Control));
    let old = adopt(&first, &[]);
    let same = adopt(&set(spec(Trip::Lift, Base::Control)), &old);
    assert!(Arc::ptr_eq(&old[0], &same[0]));
    let other = adopt(&set(spec(Trip::Hold, Base::Control)), &old);
    assert!(!Arc::ptr_eq(&old[0], &other[0]));
}

#[test]
fn words_of_a_trip() {
    let fixture = Fixture::new(Trip::Lift, Base::Control);
    let reading = Reading { value: 0.123, base: Some(0.01), limit: 0.03, samples: 420, broken: true };
    let books = fixture.sentinel.books_with(Some(reading), 0.0, Some(Duration::from_millis(12_340)));
    assert_eq!(
        books.in_words(),
        "guard slo tripped at 12.3 s: error_ratio was 12.30 %, the limit 3.00 %, compared with 1.00 % (420 samples); lifts ramp, bad"
    );
    let few = fixture.sentinel.books().in_words();
    assert_eq!(few, "guard slo: too few samples of error_ratio to say anything; it wants 50 in 1s");
    // a step halves rules, and the first one ends hooks, of which there is no half
    let steps = |left: f64, hooks: &[&str]| {
        let fixture = Fixture::new(Trip::StepDown, Base::Control);
        let mut books = fixture.sentinel.books_with(Some(reading), left, Some(Duration::ZERO));
        books.hooks = hooks.iter().map(|hook| (*hook).to_owned()).collect();
        books.rules.extend(books.hooks.clone());
        books.in_words().split("; ").last().map(str::to_owned)
    };
    assert_eq!(steps(0.5, &["freeze"]).as_deref(), Some("halves ramp, bad, ends freeze"));
    assert_eq!(steps(0.25, &["freeze"]).as_deref(), Some("halves ramp, bad"));
    assert_eq!(steps(0.5, &[]).as_deref(), Some("halves ramp, bad"));
    assert_eq!(steps(0.0, &["freeze"]).as_deref(), Some("lifts ramp, bad, freeze"));
}

#[test]
fn of_a_connection_that_lasts_each_window_counts_once() {
    let sentinel = |signal| {
        let on = fault_rules::matcher::Matcher::of_edge("db");
        adopt(&set(Guard { on, signal, ..spec(Trip::Lift, Base::Absolute) }), &[]).remove(0)
    };
    let (ratio, p95) = (sentinel(Signal::ErrorRatio), sentinel(Signal::Latency(95)));
    let check = |told: Told, expect: [bool; 2]| {
        assert_eq!([ratio.is_about("db", told), p95.is_about("db", told)], expect, "{told:?}");
        assert!(!ratio.is_about("other", told) && !p95.is_about("other", told));
    };
    let ms = Duration::from_millis;
    check(Told::Answered(ms(5)), [false, true]);
    check(Told::Ended(Ending::Failed), [true, false]);
    check(Told::Lives { from: ms(0), to: ms(999) }, [false, false]);
    check(Told::Lives { from: ms(999), to: ms(1_001) }, [true, false]);
    check(Told::Lives { from: ms(1_001), to: ms(1_900) }, [false, false]);
    check(Told::Lives { from: ms(1_001), to: ms(60_000) }, [true, false]);
    check(Told::Waits { from: ms(0), to: ms(999) }, [false, false]);
    check(Told::Waits { from: ms(999), to: ms(2_100) }, [false, true]);
}
