//! What explains a cluster. The questions are asked in order, and what one of them explains is taken out before the next:
//!
//! 1. Is a session likelier to be hit once a rule has touched it? (by recorded step, against untouched clones)
//! 2. Is everybody likelier to be hit while a rule is at work? Where both are so, the second wins unless touched sessions
//!    are worse off than the others at the same moment.
//! 3. Are the hits on few ids? 4. Do they grow with the load? 5. Do they follow from an earlier failure of the session?
//! 6. Else errors that come steadily are the origin's own, those that come in bursts are unexplained, and slow answers
//!    without a reason are a tail like any other.

use crate::analysis::Explanation;
use crate::analysis::cluster::{Cluster, Unit};
use crate::analysis::concentrate::{self, Part, Visits};
use crate::analysis::field::{Field, OWN_FAILURE, Wrong};
use crate::analysis::lift::{self, Lift, Moments};
use crate::analysis::stats::{self, Table, share, spearman};
use crate::tally::Failure;

/// A part of a cluster with one explanation.
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    pub(crate) cluster: Cluster,
    pub(crate) explanation: Explanation,
    /// Bit of the rule it follows from.
    pub(crate) rule: Option<usize>,
    /// It follows from the rule's being at work, in whatever session.
    pub(crate) by_moment: bool,
    pub(crate) lift: Option<Lift>,
    pub(crate) on_keys: Option<Part>,
    pub(crate) on_visits: Option<Visits>,
    /// It follows from an earlier failure of the session, which no rule made; the route of that, once it is traced.
    pub(crate) follows: Option<Option<u16>>,
    /// Spearman's correlation with the load, and the lower end of its interval.
    pub(crate) load: Option<(f64, f64)>,
    /// Only sessions that a rule had touched are hit, but no rule can be blamed for it.
    pub(crate) spares_untouched: bool,
    /// The time that most of them came in.
    pub(crate) burst: Option<Burst>,
    /// Places of the hits in the field.
    pub(crate) hits: Vec<u32>,
    /// Units among which they were.
    pub(crate) among: Vec<Unit>,
    /// Places of the units on other ids, where the hits are on few.
    pub(crate) others: Vec<u32>,
    /// There are enough of them to speak of.
    pub(crate) is_finding: bool,
}

/// A time that has nine tenths of the hits, and a far higher share of hits than any other time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Burst {
    pub(crate) from_ms: u32,
    pub(crate) until_ms: u32,
    /// Hits and units in it.
    pub(crate) table: Table,
}

/// What is known beside the field.
#[derive(Debug)]
pub(crate) struct Context<'a> {
    pub(crate) field: &'a Field,
    pub(crate) moments: Moments,
    pub(crate) clusters: &'a [Cluster],
    /// How many comparisons are made in all.
    pub(crate) tests: f64,
    /// Answers get slower over the run: that is why the late ones are slow.
    pub(crate) drifts: bool,
    /// This machine ran out of ports or descriptors.
    pub(crate) ran_short: bool,
}

/// What explains the hits among `units`.
pub(crate) fn explain(context: &Context<'_>, cluster: Cluster, mut units: Vec<Unit>) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let fate = hits(&units).next().map(|at| context.field.attempts[at as usize].fate);
    let failure = fate.and_then(crate::evidence::Fate::as_failure).filter(|_| !cluster.is_slow());
    let is_ours = failure == Some(Failure::Aborted) || failure == Some(Failure::Connect) && context.ran_short;
    if is_ours {
        return vec![Piece::new(cluster, Explanation::Generator, units)];
    }
    // each rule explains a part at most
    for _ in 0..context.field.rules.len() {
        let Some((piece, rest)) = downstream(context, cluster, &units) else { break };
        pieces.push(piece);
        units = rest;
    }
    if let Some((piece, rest)) = on_keys(context, cluster, &units) {
        pieces.push(piece);
        units = rest;
    }
    if let Some((piece, rest)) = after_failure(context, cluster, &units) {
        pieces.push(piece);
        units = rest;
    }
    if units.iter().any(|unit| unit.hit) {
        pieces.extend(by_itself(context, cluster, units));
    }
    pieces
}

/// The part that is on few ids, and what is left.
fn on_keys(context: &Context<'_>, cluster: Cluster, units: &[Unit]) -> Option<(Piece, Vec<Unit>)> {
    let field = context.field;
    let part = concentrate::on_keys(field, units)?;
    let has = |unit: &&Unit| part.has(field.fact(&field.attempts[unit.at as usize]).key);
    let (inside, rest): (Vec<&Unit>, Vec<&Unit>) = units.iter().partition(has);
    let mut piece = Piece::new(cluster, Explanation::Origin, inside.into_iter().copied().collect());
    piece.others = rest.iter().map(|unit| unit.at).collect();
    piece.on_keys = Some(part);
    Some((piece, rest.into_iter().copied().collect()))
}

/// The part that follows from a failure of the same session that no rule made, and what is left.
fn after_failure(context: &Context<'_>, cluster: Cluster, units: &[Unit]) -> Option<(Piece, Vec<Unit>)> {
    let lift = lift::by_session(context.field, units, OWN_FAILURE);
    if cluster.is_slow() || !is_own_lift(&lift, context.tests) {
        return None;
    }
    let is_exposed = |unit: &&Unit| context.field.attempts[unit.at as usize].before >> OWN_FAILURE & 1 == 1;
    // where everything fails at a time, sessions fail over and over, and none because of the other
    let then = lift::of_part(context.field, units, |unit| is_exposed(&unit));
    if then.ratio.ratio < 2.0 || 0.05 <= then.chance {
        return None;
    }
    let (exposed, rest): (Vec<&Unit>, Vec<&Unit>) = units.iter().partition(is_exposed);
    let mut piece = Piece::new(cluster, Explanation::Unexplained, exposed.into_iter().copied().collect());
    (piece.follows, piece.lift) = (Some(None), Some(lift));
    Some((piece, rest.into_iter().copied().collect()))
}

/// The part that follows from a rule, and what is left.
fn downstream(context: &Context<'_>, cluster: Cluster, units: &[Unit]) -> Option<(Piece, Vec<Unit>)> {
    let touched = hits(units).fold(0, |set, at| set | context.field.attempts[at as usize].before);
    let own = best(
        context,
        |bit| (touched >> bit & 1 == 1).then(|| own_lift(context, cluster, units, bit)),
        |lift, tests| is_own_lift(lift, tests) && (!cluster.is_slow() || is_marked(lift)),
    );
    let family = cluster.family(context.field, context.clusters);
    let common = best(
        context,
        |bit| common_lift(context, cluster, (units, family.as_deref()), bit),
        |lift, tests| match cluster.is_slow() {
            true => is_common_lift(lift, tests) && is_marked(lift) && !context.drifts,
            false => is_common_lift(lift, context.field.rules.len() as f64),
        },
    );
    let (bit, lift, by_moment) = match (own, common) {
        (Some((bit, lift)), None) => (bit, lift, false),
        (None, Some((bit, lift))) => (bit, lift, true),
        (Some(own), Some(common)) => {
            let at_work = lift::by_session_at_work(context.field, units, &context.moments, own.0);
            match is_own_lift(&at_work, context.tests) {
                true => (own.0, own.1, false),
                false => (common.0, common.1, true),
            }
        }
        (None, None) => return None,
    };
    let attempt = |unit: &Unit| &context.field.attempts[unit.at as usize];
    let is_exposed = |unit: &&Unit| match by_moment {
        true => context.moments.is_at_work(bit, attempt(unit).at_ms),
        false => attempt(unit).before >> bit & 1 == 1,
    };
    let (exposed, rest): (Vec<&Unit>, Vec<&Unit>) = units.iter().partition(is_exposed);
    let exposed: Vec<Unit> = exposed.into_iter().copied().collect();
    let mut piece = Piece::new(cluster, Explanation::Downstream, exposed);
    (piece.rule, piece.by_moment, piece.lift) = (Some(bit), by_moment, Some(lift));
    piece.on_visits = if by_moment { None } else { concentrate::on_visits(context.field, &piece.among) };
    Some((piece, rest.into_iter().copied().collect()))
}

/// The lift of sessions that a rule had touched. Where the rule comes and goes, its sessions come and go with it, and what
/// happened at that time happened to them: so much of the lift as they share with the others of that time is not theirs.
/// A rule that waits for a rate to be exceeded touches whom the busy moments touch: what is slow has to be so within them.
fn own_lift(context: &Context<'_>, cluster: Cluster, units: &[Unit], bit: usize) -> Lift {
    let lift = lift::by_session(context.field, units, bit);
    if !is_own_lift(&lift, context.tests) || context.moments.is_steady(bit) && !cluster.is_slow() {
        return lift;
    }
    let (field, moments) = (context.field, &context.moments);
    let is_then = match cluster.is_slow() {
        true => {
            let then = lift::by_session_then(field, units, moments, bit);
            is_own_lift(&then, 1.0) && is_marked(&then)
        }
        false => {
            let then = lift::by_session_at_work(field, units, moments, bit);
            1.0 < then.ratio.low && then.chance < 0.01
        }
    };
    if is_then { lift } else { Lift { chance: 1.0, ..lift } }
}

/// The lift while a rule is at work: of all routes on which attempts end alike, if this route has its part in it.
fn common_lift(
    context: &Context<'_>,
    cluster: Cluster,
    (units, family): (&[Unit], Option<&[Unit]>),
    bit: usize,
) -> Option<Lift> {
    let (field, moments) = (context.field, &context.moments);
    if cluster.is_slow() {
        let lift = lift::by_moment(field, units, moments, bit)?;
        return lift::has_edges(field, units, moments, bit).then_some(lift);
    }
    let own = lift::by_moment(field, units, moments, bit);
    let Some(family) = family else { return own };
    let table = lift::at_work(field, units, moments, bit);
    let takes_part = 0 < table.exposed_hits && 3.0 * table.control_risk() <= table.exposed_risk();
    let whole = lift::by_moment(field, family, moments, bit).filter(|_| takes_part);
    match (own, whole) {
        (Some(own), Some(whole)) if own.chance <= whole.chance => Some(own),
        (own, whole) => whole.or(own),
    }
}

/// The rule with the clearest lift of those that pass.
fn best(
    context: &Context<'_>,
    lift: impl Fn(usize) -> Option<Lift>,
    passes: impl Fn(&Lift, f64) -> bool,
) -> Option<(usize, Lift)> {
    let all = (0..context.field.rules.len()).filter_map(|bit| Some((bit, lift(bit)?)));
    let telling = all.filter(|(_, lift)| passes(lift, context.tests));
    telling.min_by(|(_, a), (_, b)| a.chance.total_cmp(&b.chance).then(b.ratio.low.total_cmp(&a.ratio.low)))
}

/// Clear enough for a finding on sessions, at one in a hundred over all comparisons of the run.
fn is_own_lift(lift: &Lift, tests: f64) -> bool {
    FEWEST_SESSIONS <= lift.table.exposed_hits
        && lift.chance * tests < 0.01
        && 1.0 < lift.ratio.low
        && 2.0 <= lift.ratio.ratio
        // step by step, and by the plain sums that are printed: a reader sees no contradiction
        && lift.table.control_risk() < lift.table.exposed_risk()
}

/// The same on moments, of which there are few, and which are not alike by chance: a larger effect is asked for. Errors are
/// rare enough by themselves that only the rules are counted as comparisons.
fn is_common_lift(lift: &Lift, tests: f64) -> bool {
    2 * FEWEST_SESSIONS <= lift.table.exposed_hits
        && lift.chance * tests < 0.01
        && 1.5 < lift.ratio.low
        && 3.0 <= lift.ratio.ratio
        && 0.05 <= lift.table.exposed_risk()
}

/// Slow answers come and go with all else that a machine does: only an effect that nobody can miss is one.
fn is_marked(lift: &Lift) -> bool {
    2.0 < lift.ratio.low && 0.2 <= lift.table.exposed_risk()
}

/// What has nothing to do with a rule.
fn by_itself(context: &Context<'_>, cluster: Cluster, units: Vec<Unit>) -> Option<Piece> {
    let count = hits(&units).count() as u64;
    let is_marked = |found: &(f64, f64)| 0.5 < found.1 && 0.1 <= share(count, units.len() as u64);
    let load = with_load(context, &units)
        .filter(|found| !cluster.is_slow() || !context.drifts && is_marked(found))
        .or_else(|| with_all(context, cluster, &units));
    let mut piece = Piece::new(cluster, Explanation::Origin, units);
    piece.lift = None;
    piece.is_finding = FEWEST_HURT <= count;
    if load.is_some() {
        (piece.explanation, piece.load) = (Explanation::Overload, load);
        return Some(piece);
    }
    if cluster.is_slow() {
        return None;
    }
    let (table, _) = lift::by_any(context.field, &piece.among);
    // hits that spare the untouched as chance would not, and yet not clearly enough to blame a rule
    piece.spares_untouched = table.control_hits == 0 && stats::chance_of(&[table]) < 0.01;
    if cluster.wrong == Wrong::Status {
        piece.explanation =
            if piece.spares_untouched { Explanation::Unexplained } else { Explanation::ResponseDrift };
        piece.is_finding &= 0.05 <= share(count, piece.among.len() as u64);
        return Some(piece);
    }
    let is_bursty = is_bursty(context, &piece.among);
    if piece.spares_untouched || is_bursty {
        piece.explanation = Explanation::Unexplained;
        piece.burst = burst(context.field, &piece.among).filter(|_| is_bursty);
    }
    piece.on_visits = concentrate::on_visits(context.field, &piece.among);
    Some(piece)
}

/// How the share of hits goes with the load, where that varies and it clearly does.
fn with_load(context: &Context<'_>, units: &[Unit]) -> Option<(f64, f64)> {
    correlation(context, units).filter(|found| 0.3 < found.1)
}

/// The same of all routes on which attempts end alike, if this route has its part in it.
fn with_all(context: &Context<'_>, cluster: Cluster, units: &[Unit]) -> Option<(f64, f64)> {
    let takes_part = correlation(context, units).is_some_and(|(rho, _)| 0.3 < rho);
    let family = cluster.family(context.field, context.clusters).filter(|_| takes_part)?;
    with_load(context, &family)
}

/// Spearman's correlation of the share of hits with the load, and the lower end of its interval, where the load varies.
fn correlation(context: &Context<'_>, units: &[Unit]) -> Option<(f64, f64)> {
    if (hits(units).count() as u64) < 4 * FEWEST_SESSIONS {
        return None;
    }
    let counts = context.moments.counts(context.field, units);
    let pairs: Vec<(f64, f64)> = counts
        .iter()
        .zip(&context.moments.load)
        .filter(|((_, all), _)| 3 <= *all)
        .map(|((hits, all), load)| (*load as f64, share(*hits, *all)))
        .collect();
    let mut loads: Vec<f64> = pairs.iter().map(|(load, _)| *load).collect();
    loads.sort_by(f64::total_cmp);
    let varies = 2.0 * stats::quantile_of(&loads, 0.1) <= stats::quantile_of(&loads, 0.9);
    (12 <= pairs.len() && varies).then(|| spearman(&pairs))
}

/// Whether hits come in bursts: their count differs from moment to moment far more than chance would have it.
fn is_bursty(context: &Context<'_>, units: &[Unit]) -> bool {
    let counts = context.moments.counts(context.field, units);
    let (hits, all) = counts.iter().fold((0, 0), |(hits, all), (x, n)| (hits + x, all + n));
    let risk = share(hits, all);
    if hits < 4 * FEWEST_SESSIONS || 0.9 < risk {
        return false;
    }
    let filled = counts.iter().filter(|(_, all)| 0 < *all);
    let spread: f64 = filled
        .clone()
        .map(|(hits, all)| (*hits as f64 - risk * *all as f64).powi(2) / (*all as f64 * risk * (1.0 - risk)))
        .sum();
    spread / (filled.count() as f64 - 1.0).max(1.0) > 4.0
}

/// The shortest time with nine tenths of the hits, if hits are at least three times as likely then.
fn burst(field: &Field, units: &[Unit]) -> Option<Burst> {
    let at_ms = |at: u32| field.attempts[at as usize].at_ms;
    let mut times: Vec<u32> = hits(units).map(at_ms).collect();
    times.sort_unstable();
    let most = (times.len() * 9).div_ceil(10).max(1);
    let spans = times.windows(most).map(|span| (span[0], span[most - 1]));
    let (from_ms, until_ms) = spans.min_by_key(|(from, until)| until - from)?;
    let mut table = Table::default();
    for unit in units {
        table.add((from_ms..=until_ms).contains(&at_ms(unit.at)), unit.hit);
    }
    (3.0 * table.control_risk() <= table.exposed_risk()).then_some(Burst { from_ms, until_ms, table })
}

/// Places of the hits.
pub(crate) fn hits(units: &[Unit]) -> impl Iterator<Item = u32> {
    units.iter().filter(|unit| unit.hit).map(|unit| unit.at)
}

impl Piece {
    fn new(cluster: Cluster, explanation: Explanation, among: Vec<Unit>) -> Piece {
        Piece {
            cluster,
            explanation,
            rule: None,
            by_moment: false,
            lift: None,
            on_keys: None,
            on_visits: None,
            follows: None,
            load: None,
            spares_untouched: false,
            burst: None,
            hits: hits(&among).collect(),
            among,
            others: Vec::new(),
            is_finding: true,
        }
    }
}

/// Sessions hit below which no rule is blamed.
const FEWEST_SESSIONS: u64 = 5;
/// Sessions hit below which the origin's own errors are counted, and not spoken of.
const FEWEST_HURT: u64 = 3;
