//! From the evidence of a run to why it broke: what the plan says of each attempt, and which rules ended those that were
//! not answered.

use std::collections::BTreeMap;
use std::io::{BufWriter, Write};
use std::path::Path;

use serde_json::json;

use crate::analysis::{self, Analysis, Field, Known, Names, Told, Touched, Verdict};
use crate::drift::{self, Answers};
use crate::evidence::{BELOW, Ended, Evidence};
use crate::identity;
use crate::join::Findings;
use crate::options::{Options, Speed};
use crate::plan::Plan;

/// The plan as the analysis names its parts.
#[derive(Debug)]
struct Named<'a> {
    plan: &'a Plan,
    /// What a command says of where to and with what seed, and the captures.
    rest: String,
}

/// What was found, and a note where the list of failures could not be written.
pub(crate) fn analyse(
    (plan, options): (&Plan, &Options),
    (evidence, answers): (&mut Evidence, &mut Answers),
    found: &Findings,
    known: &Known<'_>,
) -> (Analysis, Option<String>) {
    let share = evidence.share();
    let all = evidence.take();
    let lists = evidence.rule_lists();
    let touched: Vec<(Ended, Touched<'_>)> =
        all.into_iter().map(|ended| (ended, rules(plan, &ended, lists, found))).collect();
    let told = |program: u32, step: u32| {
        let step = plan.step(program, step);
        let path = String::from_utf8_lossy(step.path());
        Told { route: step.route(), status: step.status(), key: plan.key_of(&path).map(str::to_owned) }
    };
    let mut field = Field::new(&touched, &plan.routes, share, told);
    drop(touched);
    let recorded = |place: drift::Place| plan.step(place.program, place.step).answer();
    field.compared = drift::judge(&plan.chosen, answers, &plan.shapes, recorded);
    let named = Named { plan, rest: same_way(options, plan.speed) };
    let (analysis, verdicts) = analysis::analyse(&field, known, &named);
    let trouble = options.failures.as_deref().and_then(|path| {
        let written = write(path, &field, &verdicts, &named);
        written.err().map(|err| format!("cannot write the failures to {}: {err}", path.display()))
    });
    (analysis, trouble)
}

/// The rules that touched an attempt, or calls of it: its answer says so, or the proxy's books where there was none.
fn rules<'a>(plan: &Plan, ended: &Ended, lists: &'a [Box<str>], found: &'a Findings) -> Touched<'a> {
    if let Some(list) = usize::from(ended.rules).checked_sub(1).and_then(|place| lists.get(place)) {
        let (by, below) = list.split_once(BELOW).unwrap_or((list, ""));
        return Touched { by, below };
    }
    if ended.fate.as_failure().is_none() || found.ended.is_empty() && found.below.is_empty() {
        return Touched::default();
    }
    let attempt = (operation(plan, ended.program, ended.clone, ended.step), u32::from(ended.attempt));
    let of = |rules: &'a BTreeMap<(u64, u32), String>| rules.get(&attempt).map_or("", String::as_str);
    Touched { by: of(&found.ended), below: of(&found.below) }
}

/// The flags that make another replay go the same way, where they are not the defaults, and the captures.
fn same_way(options: &Options, speed: Speed) -> String {
    let seed = Some(&options.seed).filter(|seed| *seed != "1");
    let speed = match speed {
        Speed::Times(1.0) => None,
        Speed::Times(times) => Some(format!("{times}x")),
        Speed::Max => Some("max".to_owned()),
    };
    let flags = [("--target", &options.target), ("--proxy", &options.proxy), ("--edge", &options.edge)];
    let flags = flags.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
    let flags = flags.chain(seed.map(|seed| ("--seed", seed)));
    let flags = flags.chain(speed.iter().map(|speed| ("--speed", speed)));
    let flags = flags.map(|(name, value)| format!("{name} {}", quoted(value)));
    let captures = options.captures.iter().map(|source| quoted(&source.path.display().to_string()));
    flags.chain(captures).collect::<Vec<String>>().join(" ")
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:@%+=,".contains(&byte);
    match !word.is_empty() && word.bytes().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

fn operation(plan: &Plan, program: u32, clone: u32, step: u32) -> u64 {
    let program = plan.program(program);
    identity::operation(plan.seed, program.session(), clone, program.step(step).index())
}

impl Names for Named<'_> {
    fn of(&self, program: u32, clone: u32, step: u32) -> (String, String) {
        let session = format!("{:x}", self.plan.program(program).session());
        (session, format!("{:016x}", operation(self.plan, program, clone, step)))
    }

    fn replay(&self, session: &str, clone: u32) -> String {
        format!("replay --only session:{session}-{clone} {}", self.rest)
    }
}

/// One line of JSON for each failure, refusal and slow answer that is put down to something.
fn write(path: &Path, field: &Field, verdicts: &[Verdict], names: &Named<'_>) -> std::io::Result<()> {
    let mut file = BufWriter::new(std::fs::File::create(path)?);
    for verdict in verdicts {
        let attempt = &field.attempts[verdict.at as usize];
        let fact = field.fact(attempt);
        let (session, op) = names.of(fact.program, attempt.clone, fact.step);
        let line = json!({
            "t_us": u64::from(attempt.at_ms) * 1000,
            "session": session,
            "clone": attempt.clone,
            "step": fact.step,
            "op": op,
            "attempt": attempt.attempt,
            "route": field.route(attempt.route),
            "status": attempt.fate.as_status(),
            "failed": attempt.fate.as_failure().map(crate::tally::Failure::name),
            "took_us": attempt.took_us,
            "explanation": verdict.explanation,
            "rules": field.names(attempt.by | attempt.before).collect::<Vec<_>>(),
            "finding": verdict.finding,
        });
        writeln!(file, "{line}")?;
    }
    file.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A command that is copied must reach the same target by the same proxy.
    #[test]
    fn an_example_goes_the_way_of_the_run() {
        let mut options = Options::new("my day's.zst");
        assert_eq!(same_way(&options, Speed::Times(1.0)), r"'my day'\''s.zst'");
        options = Options::new("a.zst");
        (options.seed, options.target) = ("7".to_owned(), Some("http://127.0.0.1:8080".to_owned()));
        options.proxy = Some("http://127.0.0.1:8081".to_owned());
        let words =
            "--target http://127.0.0.1:8080 --proxy http://127.0.0.1:8081 --seed 7 --speed 2.5x a.zst";
        assert_eq!(same_way(&options, Speed::Times(2.5)), words);
        assert!(same_way(&options, Speed::Max).ends_with("--speed max a.zst"));
    }
}
