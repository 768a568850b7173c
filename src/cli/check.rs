//! `squall check RULES [--against CAPTURE]`: what is wrong with a rule file, what it means, what it would have hit.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use captures::reader::Capture;
use captures::{Exchange, SessionId};
use fault_rules::decide::Selected;
use fault_rules::select::By;
use fault_rules::state::{Breach, BucketTable, ShareGuard, StormCap, Take};
use fault_rules::{Action, Facts, RuleSet};

/// Read a rule file, tell every mistake with its place and the right word, and explain each rule.
///
/// Exit code 0: no findings; 1: findings, or rules that can never act on the capture; 104: a file cannot be read.
#[derive(Debug, clap::Args)]
pub(crate) struct CheckArgs {
    /// The rule file.
    #[arg(value_name = "RULES")]
    rules: PathBuf,
    /// Also count what each rule would have hit in this recorded traffic.
    #[arg(long, value_name = "CAPTURE")]
    against: Option<PathBuf>,
}

/// Prints findings or explanations.
///
/// # Errors
/// Never by itself; what goes wrong is printed and becomes the exit code.
#[allow(clippy::print_stderr, reason = "a command's output")]
pub(crate) fn run(args: &CheckArgs) -> anyhow::Result<ExitCode> {
    let name = args.rules.display().to_string();
    let source = match std::fs::read(&args.rules) {
        Ok(bytes) => bytes,
        Err(error) => {
            eprintln!("squall check: cannot read {name}: {error}");
            return Ok(ExitCode::from(BAD_USAGE));
        }
    };
    let Ok(source) = String::from_utf8(source) else {
        say(&format!("{name}: error[E00]: not a text in UTF-8\n"));
        return Ok(ExitCode::FAILURE);
    };
    let loader = fault_rules::Loader {
        file: &|body| std::fs::read(beside(&args.rules, body)),
        latencies: &|capture| proxy::latencies(&beside(&args.rules, capture)),
    };
    let set = match fault_rules::parse(&source, &name, &loader) {
        Ok(set) => set,
        Err(report) => {
            say(&format!("{report}\n{name}: {}\n", plural(report.findings().len(), "finding")));
            return Ok(ExitCode::FAILURE);
        }
    };
    say(&explain(&name, &set));
    let mut clean = set.warnings.is_empty();
    if let Some(path) = &args.against {
        let capture = match captures::reader::load(path) {
            Ok(capture) => capture,
            Err(error) => {
                eprintln!("squall check: cannot read {}: {error}", path.display());
                return Ok(ExitCode::from(BAD_USAGE));
            }
        };
        let weighed = weigh(&set, &capture);
        say(&format!("\n{}", weighed.text(&set, &path.display().to_string())));
        clean &= weighed.findings(&set).is_empty();
    }
    Ok(if clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// To standard output; a reader that went away (`| head`) is no reason to fail.
fn say(text: &str) {
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}

/// A name in a rule file is relative to that file.
fn beside(rules: &Path, name: &str) -> PathBuf {
    rules.parent().unwrap_or(Path::new("")).join(name)
}

/// Each rule in one line of words.
fn explain(name: &str, set: &RuleSet) -> String {
    let mut text: String = set.warnings.iter().map(|warning| format!("{warning}\n")).collect();
    let found = match set.warnings.len() {
        0 => "no findings".to_owned(),
        n => plural(n, "warning"),
    };
    text += &format!("{name}: {}, {found}\n", plural(set.rules().len(), "rule"));
    let width = set.rules().iter().map(|rule| rule.id.len()).max().unwrap_or(0);
    for rule in set.rules() {
        text += &format!("  {:width$}  {}\n", rule.id, rule.explain());
        if rule.by == By::Connection {
            text += &format!(
                "  {:width$}  note: which exchange travels on which connection depends on timing, so two runs have other victims\n",
                ""
            );
        }
    }
    text
}

/// What the rules would have done to recorded traffic at its own speed.
#[derive(Debug, Default)]
struct Weighed {
    seed: u64,
    exchanges: u64,
    sessions: usize,
    damaged: usize,
    span: Duration,
    protected: u64,
    affected: u64,
    rules: Vec<Tally>,
    /// The first time that `max_affected` was over, and how.
    breach: Option<(Duration, Breach)>,
}

#[derive(Debug, Clone, Default)]
struct Tally {
    matched: u64,
    selected: u64,
    /// Selected and spared, by reason.
    spared: BTreeMap<&'static str, u64>,
    hits: u64,
    sessions: BTreeSet<SessionId>,
}

fn weigh(set: &RuleSet, capture: &Capture) -> Weighed {
    let mut exchanges: Vec<&Exchange> =
        capture.sessions.iter().flat_map(|session| &session.exchanges).collect();
    exchanges.sort_by_key(|exchange| exchange.start_us);
    let start_us = exchanges.first().map_or(0, |first| first.start_us);
    let end_us = exchanges.last().map_or(0, |last| last.start_us);
    let mut weighing = Weighing::new(set, capture, Duration::from_micros(end_us - start_us));
    for exchange in exchanges {
        weighing.one(exchange, Duration::from_micros(exchange.start_us - start_us));
    }
    weighing.sum
}

/// The state machines of the rules while the capture runs through them.
struct Weighing<'r> {
    set: &'r RuleSet,
    buckets: BucketTable,
    storms: HashMap<usize, StormCap>,
    share: Option<ShareGuard>,
    /// How often each operation without a name of its own came so far.
    nth: HashMap<String, u64>,
    sum: Weighed,
}

impl<'r> Weighing<'r> {
    fn new(set: &'r RuleSet, capture: &Capture, span: Duration) -> Self {
        let mut buckets = BucketTable::new();
        buckets.adopt(set.rules().iter().flat_map(|rule| {
            rule.actions().filter_map(|action| match action {
                Action::RateLimit(limit) => Some((rule.id.as_str(), limit.bucket)),
                _ => None,
            })
        }));
        let sum = Weighed {
            seed: set.seed.unwrap_or_default(),
            sessions: capture.sessions.len(),
            damaged: capture.damage.len(),
            span,
            rules: vec![Tally::default(); set.rules().len()],
            ..Weighed::default()
        };
        let share = set.safety.max_affected.map(ShareGuard::new);
        Self { set, buckets, storms: HashMap::new(), share, nth: HashMap::new(), sum }
    }

    fn one(&mut self, exchange: &Exchange, now: Duration) {
        let request = &exchange.request;
        // As clone 0 of a replay will be called, so that the same sessions are selected there.
        let session = format!("{}-0", exchange.session);
        let operation = self.operation(exchange);
        let header = |name: &str| request.headers.get_str(name);
        let authority = Some(request.authority.as_str()).filter(|it| !it.is_empty());
        let facts = Facts {
            edge: &exchange.edge,
            method: &request.method,
            authority: authority.or_else(|| header("host")).unwrap_or(""),
            path: request.path(),
            query: request.target.split_once('?').map_or("", |(_, query)| query),
            header: &header,
            operation: &operation,
            attempt: 1,
            session: &session,
            connection: exchange.connection.unwrap_or_default(),
            client: &session,
            upstream: "",
        };
        let decision = self.set.decide(self.sum.seed, &facts, now);
        self.sum.exchanges += 1;
        self.sum.protected += u64::from(decision.protected);
        for place in &decision.matched {
            if let Some(tally) = self.sum.rules.get_mut(*place as usize) {
                tally.matched += 1;
            }
        }
        let (mut affected, mut ended) = (false, false);
        for selected in &decision.selected {
            let spared = self.spared(selected, exchange, &facts, (now, &mut ended));
            let Some(tally) = self.sum.rules.get_mut(selected.rule) else { continue };
            tally.selected += 1;
            match spared {
                Some(why) => *tally.spared.entry(why).or_default() += 1,
                None => {
                    tally.hits += 1;
                    tally.sessions.insert(exchange.session);
                    affected = true;
                }
            }
        }
        self.sum.affected += u64::from(affected);
        let breach = self.share.as_mut().and_then(|share| share.note(affected, now));
        self.sum.breach = self.sum.breach.or(breach.map(|breach| (now, breach)));
    }

    /// Why the rule would leave the exchange alone after all; `None`: it is hit.
    fn spared(
        &mut self,
        selected: &Selected,
        exchange: &Exchange,
        facts: &Facts<'_>,
        (now, ended): (Duration, &mut bool),
    ) -> Option<&'static str> {
        if let Some(why) = selected.suppressed {
            return Some(why.as_str());
        }
        let delayed = selected.delay.is_some();
        let rule_id = self.set.rules().get(selected.rule).map_or("", |rule| rule.id.as_str());
        let spared = match selected.action.and_then(|at| self.set.action(at)) {
            None => None,
            Some(Action::Storm(storm)) => {
                let status = exchange.response.as_ref().map(|response| response.status);
                let took = Duration::from_micros(exchange.duration_us.unwrap_or_default());
                let cap = self
                    .storms
                    .entry(selected.rule)
                    .or_insert_with(|| StormCap::new(storm.max_amplification));
                cap.forwarded();
                match storm.is_set_off_by(status, took) {
                    false => Some("not_set_off"),
                    true => (cap.grant(storm.copies) == 0).then_some("amplification"),
                }
            }
            Some(_) if *ended => Some("earlier_terminal"),
            Some(Action::RateLimit(limit)) => {
                match self.buckets.take(rule_id, limit.per.key_hash(facts), now) {
                    Take::Granted => Some("within_limit"),
                    Take::Overflow => Some("bucket_overflow"),
                    Take::Denied { .. } => None,
                }
            }
            Some(_) => None,
        };
        let terminal = selected.action.and_then(|at| self.set.action(at)).is_some_and(Action::is_terminal);
        *ended |= terminal && spared.is_none();
        spared.filter(|_| !delayed)
    }

    /// The name that the proxy gives an operation of a client without `squall-op`.
    fn operation(&mut self, exchange: &Exchange) -> String {
        let headers = &exchange.request.headers;
        if let Some(own) = headers.get_str("idempotency-key").or_else(|| headers.get_str("traceparent")) {
            return own.to_owned();
        }
        let name = format!("{} {} {}", exchange.session, exchange.request.method, exchange.request.path());
        let turns = self.nth.entry(name.clone()).or_default();
        let turn = *turns;
        *turns += 1;
        format!("{name} {turn}")
    }
}

impl Weighed {
    fn text(&self, set: &RuleSet, capture: &str) -> String {
        let mut text = format!(
            "against {capture}: {} in {} over {:.1?}, at recorded speed\n",
            plural(self.exchanges, "exchange"),
            plural(self.sessions, "session"),
            self.span
        );
        if 0 < self.damaged {
            let places = plural(self.damaged, "damaged place");
            text += &format!("  {places} in the capture could not be read: see squall captures verify\n");
        }
        text += &set.seed.map_or(
            "  no seed in the file: counted with seed 0, a run draws another and hits about as many"
                .to_owned(),
            |seed| format!("  seed {seed:#x}"),
        );
        text += "; an operation is its idempotency key, else its traceparent,\n  \
                 else session, method, path and the how-manieth such; sessions are those of a replay's first clones\n\n";
        let width = set.rules().iter().map(|rule| rule.id.len()).max().unwrap_or(0).max(4);
        let _ = writeln!(
            text,
            "  {:width$} {:>10} {:>10} {:>10} {:>10}  spared",
            "rule", "matches", "selects", "hits", "sessions"
        );
        for (rule, tally) in set.rules().iter().zip(&self.rules) {
            let spared: Vec<_> = tally.spared.iter().map(|(why, n)| format!("{why} {n}")).collect();
            let row = format!(
                "  {:width$} {:>10} {:>10} {:>10} {:>10}  {}",
                rule.id,
                tally.matched,
                tally.selected,
                tally.hits,
                tally.sessions.len(),
                spared.join(", ")
            );
            text += row.trim_end();
            text.push('\n');
        }
        let _ = writeln!(text, "\n  affected: {} of {}", self.affected, plural(self.exchanges, "exchange"));
        if !set.safety.protect.is_empty() {
            let _ = writeln!(text, "  protected: {}", plural(self.protected, "exchange"));
        }
        if set.safety.max_affected.is_some() && self.breach.is_none() {
            text += "  max_affected: never breached\n";
        }
        self.findings(set).iter().for_each(|finding| text += &format!("  {finding}\n"));
        text
    }

    /// What makes the rules unfit for this traffic.
    fn findings(&self, set: &RuleSet) -> Vec<String> {
        let never = set.rules().iter().zip(&self.rules).filter_map(|(rule, tally)| {
            let why = if tally.matched == 0 {
                "no recorded exchange matches it".to_owned()
            } else if self.span < rule.window.from {
                format!(
                    "its window begins at {:?}, the recording ends at {:.1?}",
                    rule.window.from, self.span
                )
            } else {
                return None;
            };
            Some(format!("warning[W01]: `{}` can never fire: {why}", rule.id))
        });
        let breach = self.breach.map(|(at, breach)| {
            let share = breach.affected as f64 * 100.0 / breach.total as f64;
            let (total, cap) = (breach.total, breach.cap * 100.0);
            format!(
                "warning[E20]: max_affected would be breached {at:.1?} into the run: {share:.1}% of {total} exchanges in 10 s, \
                 the cap is {cap}%; all rules would be lifted"
            )
        });
        never.chain(breach).collect()
    }
}

fn plural(n: impl TryInto<u64>, what: &str) -> String {
    let n = n.try_into().unwrap_or(u64::MAX);
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

/// Exit code for bad usage or configuration.
const BAD_USAGE: u8 = 104;

pub(crate) const EXAMPLES: &str = "Examples:
  squall check faults.toml
  squall check faults.toml --against capture.zst
Exit code 0: no findings; 1: findings, or rules that can never act on the capture; 104: a file cannot be read.";

#[cfg(test)]
mod tests {
    use captures::Session;

    use super::*;

    /// Ten sessions of twenty exchanges, one a second each.
    fn capture() -> Capture {
        let exchange = |session: u64, step: u64| {
            let mut exchange = Exchange {
                session: SessionId(session),
                edge: "shop".to_owned(),
                start_us: 1_000_000_000 + step * 1_000_000 + session,
                ..Exchange::default()
            };
            exchange.request.method = if step == 0 { "POST" } else { "GET" }.to_owned();
            exchange.request.target = if step == 0 { "/api/login" } else { "/api/cart/7?x=1" }.to_owned();
            exchange
        };
        let session = |id: u64| Session {
            id: SessionId(id),
            exchanges: (0..20).map(|step| exchange(id, step)).collect(),
        };
        Capture { sessions: (1..=10).map(session).collect(), ..Capture::default() }
    }

    fn weighed(source: &str) -> (RuleSet, Weighed) {
        let set = fault_rules::parse(source, "test.toml", &fault_rules::Loader::NOTHING).unwrap();
        let weighed = weigh(&set, &capture());
        (set, weighed)
    }

    #[test]
    fn each_rule_is_counted_with_its_sessions() {
        let (set, found) = weighed(
            "seed = 7\n[[rule]]\nid = \"login\"\non = \"POST\"\nrespond = 500\n\
             [[rule]]\nid = \"half\"\nrate = \"50% of sessions\"\ndelay = \"1s\"\n\
             [[rule]]\nid = \"never\"\non = \"/nope\"\nrespond = 500\n\
             [[rule]]\nid = \"late\"\non = \"GET\"\nwhen = \"1h..\"\nrespond = 500\n\
             [[rule]]\nid = \"second\"\non = \"POST\"\nrespond = 503\n",
        );
        assert_eq!(
            (found.exchanges, found.sessions, found.span),
            (200, 10, Duration::from_micros(19_000_009))
        );
        let [login, half, never, late, second] = found.rules.as_slice() else { panic!("five rules") };
        assert_eq!((login.matched, login.hits, login.sessions.len()), (10, 10, 10));
        assert_eq!(half.hits, 20 * half.sessions.len() as u64);
        assert!((1..10).contains(&half.sessions.len()));
        assert_eq!((never.matched, never.hits), (0, 0));
        assert_eq!((late.selected, late.hits, late.spared["window"]), (190, 0, 190));
        assert_eq!((second.hits, second.spared["earlier_terminal"]), (0, 10));
        let findings = found.findings(&set);
        assert_eq!(findings.len(), 2, "{findings:?}");
        assert!(findings[0].contains("`never`") && findings[1].contains("`late`"));
        assert!(found.text(&set, "x.zst").contains("seed 0x7"));
    }

    #[test]
    fn buckets_and_caps_run_along() {
        let (set, found) = weighed(
            "[safety]\nmax_affected = \"40%\"\nprotect = [\"/api/login\"]\n\
             [[rule]]\nid = \"quota\"\nrate_limit = \"1/2s per session\"\n",
        );
        assert_eq!(found.protected, 10);
        // 19 exchanges a second apart and a token each two seconds: the first, then every other one.
        assert_eq!((found.rules[0].hits, found.rules[0].spared["within_limit"]), (90, 100));
        let (at, breach) = found.breach.unwrap();
        assert!(Duration::from_secs(9) < at && breach.cap < breach.affected as f64 / breach.total as f64);
        assert!(found.findings(&set)[0].starts_with("warning[E20]"));
    }

    #[test]
    fn words_for_each_rule() {
        let (set, _) = weighed("[[rule]]\nid = \"a\"\nrate = \"3% of connections\"\ndelay = \"1s\"\n");
        let text = explain("faults.toml", &set);
        assert!(text.starts_with(
            "faults.toml: 1 rule, no findings\n  a  3% of connections on any method any path: wait 1s\n"
        ));
        assert!(text.contains("depends on timing"));
        assert_eq!(beside(Path::new("dir/faults.toml"), "b.json"), Path::new("dir/b.json"));
    }
}
