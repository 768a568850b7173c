//! What happened when: rules, first symptoms, guards.

use crate::analysis::field::Field;
use crate::analysis::{Event, Finding};
use crate::report::Guard;

/// The events of a run by time, at most 40.
pub(crate) fn of(field: &Field, findings: &[Finding], guards: &[Guard]) -> Vec<Event> {
    let mut events = Vec::new();
    for (bit, rule) in field.rules.iter().enumerate().take(RULES) {
        let touched = || field.touched().filter(|(_, rules)| rules >> bit & 1 == 1);
        let first = touched().map(|(attempt, _)| attempt.sent_ms()).min();
        let last = touched().map(|(attempt, _)| attempt.at_ms).max();
        let mut event =
            |at_ms: Option<u32>, words: &str| {
                events.extend(at_ms.map(|at_ms| Event {
                    t_us: u64::from(at_ms) * 1000,
                    event: format!("rule {rule} {words}"),
                }));
            };
        event(first, "touches its first request");
        event(last, "has touched its last request");
    }
    for finding in findings {
        let route = finding.place.route.as_deref().unwrap_or("all routes");
        let status = finding.place.status.map(|status| format!(" {status}")).unwrap_or_default();
        events.push(Event {
            t_us: finding.place.from_us,
            event: format!(
                "first symptom of finding {}: {}{status} on {route}",
                finding.rank, finding.place.class
            ),
        });
    }
    for guard in guards {
        if let Some(t_us) = guard.tripped_at_us {
            events.push(Event { t_us, event: format!("guard {} trips", guard.name) });
        }
    }
    events.sort_by(|a, b| a.t_us.cmp(&b.t_us).then(a.event.cmp(&b.event)));
    events.truncate(EVENTS);
    events
}

const EVENTS: usize = 40;
/// Rules whose turns are told.
const RULES: usize = 10;
