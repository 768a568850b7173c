use super::*;
use crate::admin::types::{RuleInForce, WindowInForce};
use crate::report::FaultWindow;

const S: Duration = Duration::from_secs(1);

/// A run that begins a second after the proxy's clock, and takes a minute.
struct Run {
    zero: Instant,
    seen: Seen,
}

impl Run {
    fn new() -> Run {
        Run { zero: Instant::now(), seen: Seen::default() }
    }

    /// Looks so many seconds after the beginning of the run.
    fn look(&mut self, at: u32, rules: &[(&str, WindowInForce)], lifted: Option<&[&str]>) {
        let rule = |(id, window): &(&str, WindowInForce)| RuleInForce {
            id: (*id).to_owned(),
            words: format!("{id} does this"),
            window: *window,
        };
        let state = State {
            zero: self.zero,
            generation: rules.len() as u64,
            rules: RulesInForce {
                source: format!("version = {}", rules.len()),
                rules: rules.iter().map(rule).collect(),
            },
            lifted: lifted.map(|ids| ids.iter().map(|id| (*id).to_owned()).collect()),
        };
        self.seen.note(state, self.zero + S + at * S);
    }

    fn windows(&self) -> Vec<(String, f64, Option<f64>)> {
        let faults = self.seen.faults(self.zero + S, 60 * S).expect("there was a look");
        let seconds = |us: u64| us as f64 / 1e6;
        let shown = |window: FaultWindow| {
            assert_eq!(window.what, format!("{} does this", window.rule));
            (window.rule, seconds(window.from_us), window.until_us.map(seconds))
        };
        faults.windows.into_iter().map(shown).collect()
    }
}

fn between(from_s: u64, to_s: Option<u64>) -> WindowInForce {
    WindowInForce {
        from_us: from_s * 1_000_000,
        to_us: to_s.map(|to| to * 1_000_000),
        ..WindowInForce::default()
    }
}

fn window(rule: &str, from_s: f64, until_s: Option<f64>) -> (String, f64, Option<f64>) {
    (rule.to_owned(), from_s, until_s)
}

#[test]
fn windows_stand_on_the_clock_of_the_run() {
    let mut run = Run::new();
    let every = WindowInForce { every_us: Some(20_000_000), times: Some(2), ..between(5, Some(7)) };
    let endless = WindowInForce { every_us: Some(25_000_000), ..between(0, Some(1)) };
    let rules = [("always", between(0, None)), ("late", between(70, None)), ("short", between(11, Some(21)))];
    run.look(0, &[&rules[..], &[("every", every), ("endless", endless)]].concat(), Some(&[]));
    run.look(30, &[&rules[..], &[("every", every), ("endless", endless)]].concat(), Some(&[]));
    assert_eq!(
        run.windows(),
        [
            window("always", 0.0, None),
            window("every", 4.0, Some(6.0)),
            window("short", 10.0, Some(20.0)),
            window("endless", 24.0, Some(25.0)),
            window("every", 24.0, Some(26.0)),
            window("endless", 49.0, Some(50.0)),
        ]
    );
}

#[test]
fn what_changes_on_the_way_is_rather_too_long_than_too_short() {
    let mut run = Run::new();
    let (one, two) = ([("a", between(0, None))], [("a", between(0, None)), ("b", between(11, Some(41)))]);
    run.look(0, &one, Some(&[]));
    run.look(9, &one, Some(&[]));
    run.look(10, &two, Some(&[])); // read anew between 9 and 10
    run.look(20, &two, Some(&["b"])); // b was lifted between 10 and 20
    run.look(30, &two, None); // all were, between 20 and 30
    run.look(40, &two, None);
    assert_eq!(run.windows(), [window("a", 0.0, Some(30.0)), window("b", 10.0, Some(20.0))]);
    run.look(50, &[], Some(&[])); // emptied
    let faults = run.seen.faults(run.zero + S, 60 * S).expect("there was a look");
    assert_eq!(faults.rules_file.as_deref(), Some("version = 2"));
}

#[test]
fn an_arming_sets_the_clock_anew() {
    let mut run = Run::new();
    let rules = [("a", between(5, Some(10)))];
    run.look(0, &rules, None);
    assert_eq!(run.windows(), []);
    run.zero += 30 * S;
    run.look(0, &rules, Some(&[])); // at 30 s of the run
    let faults = run.seen.faults(run.zero - 29 * S, 60 * S).expect("there was a look");
    assert_eq!((faults.windows[0].from_us, faults.windows[0].until_us), (34_000_000, Some(39_000_000)));
}

#[test]
fn a_rule_set_that_never_rests_takes_bounded_room() {
    let mut run = Run::new();
    let flash =
        WindowInForce { every_us: Some(10_000), ..WindowInForce { to_us: Some(5_000), ..between(0, None) } };
    run.look(0, &[("flash", flash)], Some(&[]));
    let faults = run.seen.faults(run.zero + S, 60 * S).expect("there was a look");
    assert_eq!((faults.windows.len(), faults.windows_lost > 0), (limits::FAULT_WINDOWS, true));
    for nth in 0..3 * limits::FAULT_WINDOWS as u32 {
        run.look(nth, &[("a", between(0, None))], Some(if nth % 2 == 0 { &["a"] } else { &[] }));
    }
    assert_eq!(run.seen.spells.len(), limits::FAULT_WINDOWS);
    assert!(run.seen.lost > 0);
    assert!(Seen::default().faults(run.zero, S).is_none());
}
