//! From the text of a demand to the demand. Every refusal says what would have been understood.

use crate::threshold::nearest::nearest;
use crate::threshold::{Bound, Figure, Latency, Metric, Relation, Scope, Share, Threshold};
use crate::units;

impl std::str::FromStr for Threshold {
    type Err = String;

    fn from_str(text: &str) -> Result<Threshold, String> {
        let nothing = || format!("`{text}` compares nothing: write response:p(95)<300ms or errors<1%");
        let name_end = text.find(['{', ':', '<', '>']).ok_or_else(nothing)?;
        let (name, rest) = text.split_at(name_end);
        let (scope, rest) = scope(rest)?;
        let at = rest.find(['<', '>']).ok_or_else(nothing)?;
        let (figure, rest) = rest.split_at(at);
        let (relation, right) = relation(rest);
        let metric = metric(name.trim(), figure.trim())?;
        measured_apart(name.trim(), metric, &scope)?;
        let bound = bound(metric, right.trim())?;
        Ok(Threshold { expr: text.trim().to_owned(), metric, scope, relation, bound })
    }
}

/// `{route=GET /cart/{id}}`: braces of the route itself come in pairs.
fn scope(text: &str) -> Result<(Scope, &str), String> {
    if !text.starts_with('{') {
        return Ok((Scope::Run, text));
    }
    let mut depth = 0;
    let end = text.find(|c| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        depth == 0
    });
    let end =
        end.ok_or_else(|| format!("`{text}` has no closing brace: write {{route=GET /cart/{{id}}}}"))?;
    let (inner, rest) = (&text[1..end], &text[end + 1..]);
    let (key, name) = inner.split_once('=').unwrap_or((inner, ""));
    let name = name.trim().to_owned();
    let scope = match key.trim() {
        "route" | "cohort" if name.is_empty() => {
            return Err(format!(
                "`{{{inner}}}` names none: write {{route=GET /cart/{{id}}}} or {{cohort=users}}"
            ));
        }
        "route" => Scope::Route(name),
        "cohort" => Scope::Cohort(name),
        other => return Err(format!("unknown selector `{other}`; known are route and cohort")),
    };
    Ok((scope, rest))
}

fn relation(text: &str) -> (Relation, &str) {
    match (text.strip_prefix("<="), text.strip_prefix(">=")) {
        (Some(right), _) => (Relation::LessOrEqual, right),
        (_, Some(right)) => (Relation::MoreOrEqual, right),
        _ if text.starts_with('<') => (Relation::Less, &text[1..]),
        _ => (Relation::More, &text[1..]),
    }
}

fn metric(name: &str, figure: &str) -> Result<Metric, String> {
    let figure = figure.strip_prefix(':').map(str::trim);
    if let Some((_, share)) = SHARES.iter().find(|(known, _)| *known == name) {
        return match figure {
            None => Ok(Metric::Share(*share)),
            Some(figure) => Err(format!("`{name}` is a share and has no `{figure}`: write {name}<1%")),
        };
    }
    let Some((_, latency)) = LATENCIES.iter().find(|(known, _)| *known == name) else {
        let names = || LATENCIES.iter().map(|(name, _)| *name).chain(SHARES.iter().map(|(name, _)| *name));
        let near = nearest(name, names()).unwrap_or_default();
        return Err(format!("unknown metric `{name}` (did you mean `{near}`?); known are {KNOWN}"));
    };
    let figure = figure.ok_or_else(|| format!("`{name}` of what? Write {name}:p(95)<300ms"))?;
    Ok(Metric::Latency(*latency, self::figure(figure)?))
}

/// Routes and cohorts have a histogram of their responses and a count of their errors, and no more.
fn measured_apart(name: &str, metric: Metric, scope: &Scope) -> Result<(), String> {
    match (metric, scope) {
        (Metric::Latency(Latency::Response, _) | Metric::Share(Share::Errors), _) | (_, Scope::Run) => Ok(()),
        _ => Err(format!(
            "`{name}` is measured for the whole run only; response and errors are for a part of it"
        )),
    }
}

fn figure(text: &str) -> Result<Figure, String> {
    let wrong = || format!("unknown figure `{text}`; known are p(0) to p(100), mean, min, med, max");
    match text {
        "mean" | "avg" => Ok(Figure::Mean),
        "med" | "median" => Ok(Figure::Percentile(50.0)),
        "min" => Ok(Figure::Min),
        "max" => Ok(Figure::Max),
        _ => {
            let inner = text.strip_prefix("p(").and_then(|rest| rest.strip_suffix(')'));
            let number = inner.or_else(|| text.strip_prefix('p')).ok_or_else(wrong)?;
            let percent: f64 = number.trim().parse().map_err(|_| wrong())?;
            if (0.0..=100.0).contains(&percent) { Ok(Figure::Percentile(percent)) } else { Err(wrong()) }
        }
    }
}

fn bound(metric: Metric, text: &str) -> Result<Bound, String> {
    let amount = |text: &str| match metric {
        Metric::Latency(..) => micros(text),
        Metric::Share(_) => share(text),
    };
    let Some(change) = text.strip_prefix("baseline") else {
        return amount(text).map(Bound::Fixed);
    };
    let change = change.trim();
    if change.is_empty() {
        return Ok(Bound::Plus(0.0));
    }
    let (sign, by) = match (change.strip_prefix('+'), change.strip_prefix('-')) {
        (Some(by), _) => (1.0, by.trim()),
        (_, Some(by)) => (-1.0, by.trim()),
        _ => return Err(format!("`{text}` is no bound: write baseline, baseline+10% or baseline-20ms")),
    };
    match (metric, by.strip_suffix('%')) {
        (Metric::Latency(..), Some(percent)) => {
            let wrong = || format!("`{text}` is no bound: write baseline+10%, at least baseline-100%");
            let percent: f64 = percent.trim().parse().map_err(|_| wrong())?;
            let times = 1.0 + sign * percent / 100.0;
            let sound = percent >= 0.0 && times >= 0.0 && times.is_finite();
            if sound { Ok(Bound::Times(times)) } else { Err(wrong()) }
        }
        _ => amount(by).map(|by| Bound::Plus(sign * by)),
    }
}

fn micros(text: &str) -> Result<f64, String> {
    units::duration(text).map(|bound| bound.as_secs_f64() * 1e6)
}

fn share(text: &str) -> Result<f64, String> {
    let wrong = || format!("`{text}` is not a share: write 1% or 0.01");
    let value: f64 = match text.strip_suffix('%') {
        Some(percent) => percent.trim().parse::<f64>().map_err(|_| wrong())? / 100.0,
        None => text.parse().map_err(|_| wrong())?,
    };
    if (0.0..=1.0).contains(&value) { Ok(value) } else { Err(wrong()) }
}

const LATENCIES: [(&str, Latency); 9] = [
    ("response", Latency::Response),
    ("service", Latency::Service),
    ("ttfb", Latency::Ttfb),
    ("lateness", Latency::Lateness),
    ("wait", Latency::Wait),
    ("gap_error", Latency::GapError),
    ("start_spread", Latency::StartSpread),
    ("first_event", Latency::FirstEvent),
    ("event_gap", Latency::EventGap),
];

const SHARES: [(&str, Share); 3] =
    [("errors", Share::Errors), ("answered", Share::Answered), ("failed", Share::Failed)];

const KNOWN: &str = "response, service, ttfb, lateness, wait, gap_error, start_spread, first_event, event_gap (each \
                     with p(95), mean, min, med, max), errors, answered, failed";
