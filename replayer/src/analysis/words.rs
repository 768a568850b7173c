//! Sentences.

use crate::analysis::Explanation;
use crate::analysis::cluster::{Cluster, What};
use crate::analysis::explain::{Context, Piece, hits};
use crate::analysis::field::{Field, Wrong};
use crate::analysis::lift::{self, Lift};
use crate::analysis::stats::{median_of, share};
use crate::report::text::{number, time};

/// What happened, after the name of the route: `fails (503)`.
pub(super) fn what(cluster: &Cluster) -> String {
    match (cluster.what, cluster.wrong) {
        (What::Slow { over_us }, _) => format!("is slow (over {})", time(u64::from(over_us))),
        (What::Ended { fate, by_proxy, .. }, wrong) => {
            let how = match (fate.as_status(), fate.as_failure()) {
                (Some(status), _) if by_proxy => {
                    format!("{status} by the proxy, which could not reach the origin")
                }
                (Some(status), _) if status < 400 => format!("{status} with an error of gRPC"),
                (Some(status), _) => status.to_string(),
                (None, Some(failure)) => failure.name().to_owned(),
                (None, None) => "?".to_owned(),
            };
            match wrong {
                Wrong::Status => format!("is refused ({how})"),
                _ => format!("fails ({how})"),
            }
        }
    }
}

/// The title of what the pieces say, which have one explanation in common; the first has the most sessions.
pub(super) fn title(context: &Context<'_>, pieces: &[&Piece]) -> String {
    let (field, first) = (context.field, pieces[0]);
    let more = match pieces.len() {
        1 => String::new(),
        2 => " (and 1 more route)".to_owned(),
        n => format!(" (and {} more routes)", n - 1),
    };
    let route = format!("{}{more}", field.route(first.cluster.route));
    let what = what(&first.cluster);
    let risk = |lift: &Lift| (percent(lift.table.exposed_risk()), percent(lift.table.control_risk()));
    if first.follows.is_some() {
        return by_itself(field, first, &route, &what);
    }
    match (first.explanation, first.rule, &first.lift) {
        (Explanation::Downstream, Some(rule), Some(lift)) => {
            let rule = field.rules.get(rule).map_or("?", String::as_str);
            let (exposed, control) = risk(lift);
            if first.by_moment {
                return format!(
                    "while rule {rule} is at work, {route} {what}: {exposed} of what no rule touches, against {control} at \
                     other times"
                );
            }
            let only = first.on_visits.as_ref().map_or_else(String::new, |visits| {
                format!(", but only after more than {} of {}", visits.more_than, field.route(visits.route))
            });
            if is_of_calls(field, first) {
                return format!(
                    "where rule {rule} touched a call behind it, {route} {what}{only}: {exposed} of these, against {control} of \
                     untouched clones"
                );
            }
            format!(
                "after rule {rule} touched a session, {route} {what} in it{only}: {exposed} of these, against {control} of \
                 untouched clones"
            )
        }
        (Explanation::Overload, ..) => format!("{route} {what} the more the higher the load is"),
        (Explanation::Generator, ..) => format!("{route} {what} because of this machine, not of the target"),
        (Explanation::ResponseDrift, ..) => {
            format!("{route} {what} where the recording was served, whether or not a rule is about")
        }
        (Explanation::Unexplained, ..) if first.spares_untouched => {
            format!(
                "{route} {what} only in sessions that a rule had touched, too few of them to tell which rule it was"
            )
        }
        (Explanation::Unexplained, ..) if first.burst.is_some() => burst(first, &route, &what),
        (Explanation::Unexplained, ..) => {
            format!(
                "{route} {what} and nothing that is known explains it: not evenly over time, or in too few sessions to tell"
            )
        }
        _ => by_itself(field, first, &route, &what),
    }
}

/// What nothing explains, but for when it was.
fn burst(first: &Piece, route: &str, what: &str) -> String {
    let Some(burst) = &first.burst else { return String::new() };
    let at = |ms: u32| time(u64::from(ms) * 1000);
    format!(
        "{route} {what} from {} to {}: {} of its requests then, against {} at other times, and nothing that is known explains it",
        at(burst.from_ms),
        at(burst.until_ms),
        percent(burst.table.exposed_risk()),
        percent(burst.table.control_risk())
    )
}

/// Whether most of the hits had a call touched by the rule that they follow from.
fn is_of_calls(field: &Field, piece: &Piece) -> bool {
    let Some(bit) = piece.rule else { return false };
    let below = piece.hits.iter().filter(|at| field.is_below(bit, **at)).count();
    piece.hits.len() < 2 * below
}

fn by_itself(field: &Field, first: &Piece, route: &str, what: &str) -> String {
    if let (Some(cause), Some(lift)) = (first.follows, &first.lift) {
        let (exposed, control) = (percent(lift.table.exposed_risk()), percent(lift.table.control_risk()));
        let cause = cause.map_or("something", |cause| field.route(cause));
        let rule = first.rule.and_then(|bit| field.rules.get(bit));
        let back = rule.map(|rule| format!(" (see rule {rule})")).unwrap_or_default();
        return format!(
            "after {cause} failed in a session{back}, {route} {what} in it: {exposed} of these, against {control} of the \
             others"
        );
    }
    if let Some(part) = &first.on_keys {
        let (inside, outside) = (share(part.hits, part.units), share(part.other_hits, part.other_units));
        return format!(
            "{route} {what} for {}: {} of these, against {} of the others{}",
            part.name,
            percent(inside),
            percent(outside),
            if field.rules.is_empty() { "" } else { "; no rule has to do with it" }
        );
    }
    let only = first.on_visits.as_ref().map_or_else(String::new, |visits| {
        format!(", after more than {} of {}", visits.more_than, field.route(visits.route))
    });
    let risk = share(first.hits.len() as u64, first.among.len() as u64);
    let rules = if field.rules.is_empty() { "" } else { ", whatever the rules do" };
    format!("{route} {what} by itself{only}: {} of its requests{rules}", percent(risk))
}

/// What speaks for it.
pub(super) fn evidence(context: &Context<'_>, pieces: &[&Piece]) -> Vec<String> {
    let (field, first) = (context.field, pieces[0]);
    let mut said = Vec::new();
    if let Some(lift) = &first.lift {
        let (table, ratio) = (&lift.table, &lift.ratio);
        let whom = match (first.by_moment, first.follows) {
            (true, _) => ["attempts while the rule was at work", "attempts at other times"],
            (_, Some(_)) => ["clones after such a failure", "clones of the same steps without one"],
            _ => ["touched clones", "untouched clones of the same steps"],
        };
        said.push(format!(
            "{} of {} {} were hit, and {} of {} {}: {:.1} times as likely (99 % interval {:.1} to {:.1})",
            number(table.exposed_hits),
            number(table.exposed),
            whom[0],
            number(table.control_hits),
            number(table.control),
            whom[1],
            ratio.ratio,
            ratio.low,
            ratio.high.min(1e6)
        ));
    }
    if let Some(visits) = &first.on_visits {
        let part = &visits.part;
        said.push(format!(
            "{} of {} were hit after more than {} of {}, and {} of {} after fewer",
            number(part.hits),
            number(part.units),
            visits.more_than,
            field.route(visits.route),
            number(part.other_hits),
            number(part.other_units)
        ));
    }
    if first.on_keys.is_some() && first.cluster.is_slow() {
        said.extend(medians_of_parts(field, first));
    }
    if let Some((rho, low)) = first.load {
        said.push(format!(
            "the share that is hit goes with the requests a moment: Spearman's rho {rho:.2}, at least {low:.2} (99 %)"
        ));
    }
    if first.rule.is_none() && first.follows.is_none() && !field.rules.is_empty() {
        said.push(no_difference(field, first));
    }
    if pieces.len() > 1 {
        let other = |piece: &&Piece| {
            format!("{} ({})", field.route(piece.cluster.route), number(hits(&piece.among).count() as u64))
        };
        let others: Vec<String> = pieces[1..].iter().take(5).map(other).collect();
        said.push(format!("also {}", others.join(", ")));
    }
    said
}

fn no_difference(field: &Field, piece: &Piece) -> String {
    let (table, ratio) = lift::by_any(field, &piece.among);
    if table.exposed == 0 || table.control == 0 {
        return "there is no group to compare with: either all sessions were touched by rules, or none"
            .to_owned();
    }
    let so = match 1.0 < ratio.low {
        true => "which may be chance, and is not put down to a rule",
        false => "the rules make no difference that shows",
    };
    format!(
        "{} of {} were hit in sessions that a rule had touched, {} of {} in the others: {so} ({:.1} times, 99 % interval \
         {:.1} to {:.1})",
        number(table.exposed_hits),
        number(table.exposed),
        number(table.control_hits),
        number(table.control),
        ratio.ratio,
        ratio.low,
        ratio.high.min(1e6)
    )
}

fn medians_of_parts(field: &Field, piece: &Piece) -> Option<String> {
    let part = piece.on_keys.as_ref()?;
    let times = |places: &mut dyn Iterator<Item = u32>| {
        let mut times: Vec<f64> = places.map(|at| f64::from(field.attempts[at as usize].took_us)).collect();
        times.sort_by(f64::total_cmp);
        times
    };
    let inside = times(&mut piece.among.iter().map(|unit| unit.at));
    let outside = times(&mut piece.others.iter().copied());
    let (slow, fast) = (median_of(&inside) as u64, median_of(&outside) as u64);
    Some(format!("the median is {} for {}, and {} for the others", time(slow), part.name, time(fast)))
}

/// A share, with as many digits as it takes.
pub(super) fn percent(share: f64) -> String {
    match share * 100.0 {
        0.0 => "none".to_owned(),
        p if p < 0.1 => format!("{p:.3} %"),
        p if p < 10.0 => format!("{p:.1} %"),
        p => format!("{p:.0} %"),
    }
}
