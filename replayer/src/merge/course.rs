//! The course of several runs: heat maps, funnels, and what the proxies' rules could do.

use crate::limits;
use crate::report::heat::HeatMap;
use crate::report::{FaultWindow, Faults, FunnelStep, Heat, Report};

pub(super) fn heat(all: &[&Report]) -> Option<Heat> {
    let mut sum = HeatMap::new();
    all.iter().filter_map(|report| report.heat.as_ref()).for_each(|heat| sum.add(heat));
    sum.into_heat()
}

/// The route of a step is that of the run in which most sessions reached it.
pub(super) fn funnel(all: &[&Report]) -> Vec<FunnelStep> {
    let mut sums: Vec<FunnelStep> = Vec::new();
    let mut most: Vec<(u64, &str)> = Vec::new();
    for step in all.iter().flat_map(|report| report.funnel.iter().take(limits::FUNNEL_STEPS)) {
        let place = (step.step as usize).min(limits::FUNNEL_STEPS - 1);
        while sums.len() <= place {
            sums.push(FunnelStep { step: sums.len() as u32, ..FunnelStep::default() });
            most.push((0, ""));
        }
        let sum = &mut sums[place];
        sum.reached += step.reached;
        sum.completed += step.completed;
        sum.failed += step.failed;
        let larger = |one: &(u64, &str), two: &(u64, &str)| {
            (one.0, std::cmp::Reverse(one.1)) > (two.0, std::cmp::Reverse(two.1))
        };
        let candidate = (step.reached, step.route.as_str());
        if most[place].1.is_empty() || larger(&candidate, &most[place]) {
            most[place] = candidate;
        }
    }
    sums.iter_mut().zip(most).for_each(|(sum, (_, route))| route.clone_into(&mut sum.route));
    sums
}

/// Shards may have had one proxy or each its own: windows of one rule that overlap are one.
pub(super) fn faults(all: &[&Report]) -> Option<Faults> {
    let parts: Vec<&Faults> = all.iter().filter_map(|report| report.faults.as_ref()).collect();
    let first = parts.first()?;
    let mut windows: Vec<&FaultWindow> = parts.iter().flat_map(|part| &part.windows).collect();
    windows.sort_by_key(|window| (window.from_us, &window.rule, &window.what, window.until_us));
    let mut sum = Faults {
        rules_file: parts.iter().find_map(|part| part.rules_file.clone()),
        windows: Vec::new(),
        windows_lost: if parts.len() == 1 {
            first.windows_lost
        } else {
            parts.iter().map(|part| part.windows_lost).sum()
        },
    };
    for window in windows {
        let overlaps = |known: &&mut FaultWindow| {
            let same = (&known.rule, &known.what) == (&window.rule, &window.what);
            same && known.until_us.is_none_or(|until| window.from_us <= until)
        };
        if let Some(known) = sum.windows.iter_mut().rev().find(overlaps) {
            known.until_us = known.until_us.zip(window.until_us).map(|(one, two)| one.max(two));
        } else if sum.windows.len() < limits::FAULT_WINDOWS {
            sum.windows.push(window.clone());
        } else {
            sum.windows_lost += 1;
        }
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    fn window(rule: &str, from_us: u64, until_us: Option<u64>) -> FaultWindow {
        FaultWindow { rule: rule.to_owned(), from_us, until_us, what: "delay".to_owned() }
    }

    #[test]
    fn windows_of_one_rule_that_overlap_are_one() {
        let run = |windows: Vec<FaultWindow>| {
            let faults = Faults { rules_file: Some("version = 1".to_owned()), windows, windows_lost: 0 };
            Report { faults: Some(faults), ..sample::report(&sample::tally(), "1/1") }
        };
        let one = run(vec![window("a", 0, Some(10)), window("b", 5, None)]);
        let two = run(vec![window("a", 9, Some(20)), window("a", 30, Some(40)), window("b", 6, Some(7))]);
        let merged = faults(&[&one, &two]).expect("both have faults");
        assert_eq!(
            merged.windows,
            [window("a", 0, Some(20)), window("b", 5, None), window("a", 30, Some(40))]
        );
        assert_eq!(merged, faults(&[&two, &one]).expect("both have faults"));
        assert_eq!(faults(&[&sample::report(&sample::tally(), "1/1")]), None);
    }

    #[test]
    fn funnels_add_up() {
        let run = |steps: &[(u64, &str)]| {
            let step = |(place, (reached, route)): (u32, &(u64, &str))| FunnelStep {
                step: place,
                route: (*route).to_owned(),
                reached: *reached,
                completed: reached / 2,
                failed: 1,
            };
            Report { funnel: (0..).zip(steps).map(step).collect(), ..sample::report(&sample::tally(), "1/1") }
        };
        let (one, two) =
            (run(&[(10, "GET /"), (4, "GET /a")]), run(&[(6, "GET /"), (5, "GET /b"), (2, "GET /c")]));
        let merged = funnel(&[&one, &two]);
        let shown: Vec<_> =
            merged.iter().map(|s| (s.step, s.route.as_str(), s.reached, s.completed, s.failed)).collect();
        assert_eq!(shown, [(0, "GET /", 16, 8, 2), (1, "GET /b", 9, 4, 2), (2, "GET /c", 2, 1, 1)]);
        assert_eq!(merged, funnel(&[&two, &one]));
    }
}
