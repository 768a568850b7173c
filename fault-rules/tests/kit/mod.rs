//! What the robustness tests share: reading, what must hold of an accepted set, and everything that is done with one.
#![allow(dead_code, reason = "not every test file uses every helper")]
#![allow(clippy::unwrap_used, reason = "a helper of tests")]

use std::time::Duration;

use fault_rules::action::{Kind, Point};
use fault_rules::delay::{At, Delay, Dist, Mode, RouteLatency};
use fault_rules::guard::Base;
use fault_rules::report::Severity;
use fault_rules::select::Rate;
use fault_rules::state::{BucketTable, BurstState, NthCounter, StormCap};
use fault_rules::{Action, Facts, Loader, Report, Rule, RuleSet, parse, parse_inline};

/// Reads a rule file; body files and captures are there unless their name begins with `no`.
pub(crate) fn read(source: &str) -> Result<RuleSet, Report> {
    let missing = |name: &str| name.starts_with("no");
    let file = |name: &str| if missing(name) { Err(gone()) } else { Ok(b"body".to_vec()) };
    let latencies = |name: &str| if missing(name) { Err(gone()) } else { Ok(routes()) };
    parse(source, "f", &Loader { file: &file, latencies: &latencies })
}

fn gone() -> std::io::Error {
    std::io::Error::from(std::io::ErrorKind::NotFound)
}

fn routes() -> Vec<RouteLatency> {
    let durations = vec![(Duration::from_millis(5), 3), (Duration::from_millis(80), 1)];
    vec![RouteLatency { method: "GET".to_owned(), path: "/api/cart/{id}".to_owned(), durations }]
}

/// Reads a text as a file and as a rule of the command line, and holds whatever comes out to what is promised of it.
pub(crate) fn survive(text: &str) {
    match read(text) {
        Ok(set) => {
            holds(&set);
            exercise(&set);
        }
        Err(report) => refused(&report),
    }
    match parse_inline(text) {
        Ok(rule) => {
            let set = RuleSet::default().with_rules(vec![rule]).unwrap_or_else(|report| panic!("{report}"));
            holds(&set);
            exercise(&set);
        }
        Err(report) => refused(&report),
    }
}

/// A report says why, where, and can be shown.
pub(crate) fn refused(report: &Report) {
    assert!(report.findings().iter().any(|finding| finding.severity == Severity::Error), "{report}");
    for finding in report.findings() {
        assert!(
            1 <= finding.line && 1 <= finding.column && finding.column < finding.end_column,
            "{finding:?}"
        );
        assert!(!finding.message.is_empty(), "{finding:?}");
    }
    assert!(report.findings().len() <= 101);
    assert!(!report.to_string().is_empty());
}

/// What an accepted set never breaks, whatever was typed: nothing is half valid.
pub(crate) fn holds(set: &RuleSet) {
    for (place, rule) in set.rules().iter().enumerate() {
        assert_eq!(set.by_id(&rule.id).map(|(found, _)| found), Some(place), "ids are there once");
        assert!(!rule.id.is_empty() && rule.id.len() <= 64);
        rule_holds(set, rule);
    }
    for guard in &set.guards {
        assert!((Duration::from_secs(1)..=Duration::from_mins(10)).contains(&guard.window), "{guard:?}");
        assert!(10 <= guard.min_samples && (0.5..=0.9999).contains(&guard.confidence), "{guard:?}");
        assert!(guard.on.status().is_none(), "{guard:?}");
    }
    for hook in &set.hooks {
        assert!(!hook.start.is_empty() && !hook.timeout.is_zero(), "{hook:?}");
        assert!(hook.guard.is_none_or(|place| place < set.guards.len()));
        assert!(set.by_id(&hook.id).is_none(), "{hook:?}");
    }
    assert!(set.groups.iter().all(|group| !group.members.is_empty()), "{:?}", set.groups);
    assert!(set.safety.protect.iter().all(|matcher| matcher.status().is_none()));
    assert!(!set.safety.max_run.is_zero());
    assert!(set.warnings.iter().all(|warning| warning.severity == Severity::Warning));
}

fn rule_holds(set: &RuleSet, rule: &Rule) {
    assert!(rule.delay.is_some() || !rule.outcomes.is_empty(), "it does something: {rule:?}");
    assert!(rule.outcomes.iter().all(|outcome| outcome.delay.is_some() || outcome.action.is_some()));
    assert!(rule.outcomes.is_empty() || rule.outcomes.iter().any(|outcome| 0 < outcome.weight));
    assert!(rule.guard.is_none_or(|place| place < set.guards.len()), "{rule:?}");
    let control = rule.guard.is_some_and(|place| set.guards[place].limit.base == Base::Control);
    assert!(!control || rule.rate != Rate::ALL, "a control group is left: {rule:?}");
    assert!(rule.attempts.is_none_or(|it| 1 <= it.from && it.to.is_none_or(|to| it.from <= to)));
    assert!(rule.every.as_ref().is_none_or(|every| 1 <= every.nth));
    assert!(rule.shard.as_ref().is_none_or(|it| !it.is.is_empty() && it.is.iter().all(|is| *is < it.of)));
    let window = rule.window;
    let length = window.to.map(|to| to.checked_sub(window.from).unwrap());
    assert!(length.is_none_or(|length| !length.is_zero() && window.ramp + window.ramp_down <= length));
    assert!(window.every.is_none_or(|every| length.is_some_and(|length| length <= every)));
    for delay in rule.delay.iter().chain(rule.outcomes.iter().filter_map(|outcome| outcome.delay.as_ref())) {
        delay_holds(rule, delay);
    }
    for action in rule.actions() {
        assert!(rule.on.status().is_none() || action.acts_on_answer(), "{rule:?}");
        action_holds(set, action);
    }
}

fn delay_holds(rule: &Rule, delay: &Delay) {
    let late = matches!(delay.at, At::Response | At::FirstByte);
    assert!(late || rule.on.status().is_none() && delay.mode == Mode::Add, "{rule:?}");
    match delay.dist() {
        Dist::LogNormal { p50, p99 } => assert!(!p50.is_zero() && p50 < p99),
        Dist::Uniform { low, high } => assert!(low <= high),
        Dist::Pareto { scale, shape } => assert!(!scale.is_zero() && (0.1..=100.0).contains(shape)),
        _ => {}
    }
    let day = Duration::from_hours(24);
    assert!([0, 1, u64::MAX / 2, u64::MAX].iter().all(|roll| delay.sample(*roll) <= day));
}

fn action_holds(set: &RuleSet, action: &Action) {
    let point = |at: Point| match at {
        Point::AfterFraction(share) => assert!((0.0..=1.0).contains(&share)),
        Point::AfterTime(time) => assert!(time <= Duration::from_hours(24)),
        _ => {}
    };
    match action {
        Action::Respond(respond) => assert!((200..=599).contains(&respond.status)),
        Action::Reset(reset) => point(reset.at),
        Action::Truncate(at) => point(*at),
        Action::Stall(stall) => {
            assert_ne!(stall.at, Point::BeforeHeaders);
            point(stall.at);
        }
        Action::Throttle(throttle) => {
            let paces: Vec<_> = [throttle.response, throttle.request].into_iter().flatten().collect();
            assert!(!paces.is_empty() && paces.iter().all(|pace| (1..=1_000_000_000_000).contains(pace)));
            assert!(throttle.piece.is_none_or(|piece| 1 <= piece));
        }
        Action::Loss(loss) => assert!(!loss.rto.is_zero() && loss.rto <= loss.max_rto && 1 <= loss.segment),
        Action::Corrupt(corrupt) => assert!(1 <= corrupt.per),
        Action::Duplicate(duplicate) => assert!((1..=100).contains(&duplicate.copies)),
        Action::Storm(storm) => {
            assert!((1..=100).contains(&storm.copies) && !storm.when.is_empty());
            assert!((1.0..=100.0).contains(&storm.max_amplification));
            assert!((1.0..=10.0).contains(&storm.backoff.factor));
        }
        Action::Outage(outage) => {
            let failover = outage.failover.as_ref();
            assert!(failover.is_none_or(|failover| set.group(&failover.to).is_some()));
        }
        Action::WebsocketClose(close) => {
            assert!((1000..=4999).contains(&close.code) && close.reason.len() <= 123);
        }
        _ => {}
    }
    assert!(!action.name().is_empty() && !action.asked().is_empty());
}

/// Everything that may be done with an accepted set.
pub(crate) fn exercise(set: &RuleSet) {
    assert!(set.rules().iter().all(|rule| !rule.explain().is_empty()));
    assert!(set.guards.iter().all(|guard| !guard.explain().is_empty()));
    assert!(set.hooks.iter().all(|hook| !hook.explain().is_empty()));
    let (mut buckets, mut burst, mut counter) =
        (BucketTable::new(), BurstState::default(), NthCounter::default());
    for (n, (method, path)) in
        [("GET", "/api/cart/7"), ("POST", "/"), ("BREW", "\u{1f4a5}")].iter().enumerate()
    {
        let value = format!("v{n}");
        let header = |name: &str| (name != "absent").then_some("a=1; sid=q");
        let facts = Facts {
            edge: "shop",
            method,
            authority: "shop.local:8080",
            path,
            query: "user=7&x",
            header: &header,
            operation: &value,
            attempt: n as u32 + 1,
            session: &value,
            connection: n as u64,
            client: "127.0.0.1",
            upstream: "127.0.0.1:9101",
        };
        for second in [0, 60, 86_400] {
            let now = Duration::from_secs(second);
            let decision = set.decide(7, &facts, now);
            assert_eq!(decision, set.decide(7, &facts, now), "equal arguments, equal answer");
            for selected in &decision.selected {
                let rule = &set.rules()[selected.rule];
                let action = selected.action.map(|at| set.action(at).unwrap());
                if let Some(every) = &rule.every {
                    counter.count(every, every.per.key_hash(&facts));
                }
                rule.burst.inspect(|it| drop(burst.hits(7, &rule.id, it)));
                if let Some(Action::RateLimit(limit)) = action {
                    buckets.adopt([(rule.id.as_str(), limit.bucket)]);
                    buckets.take(&rule.id, limit.per.key_hash(&facts), now);
                }
                if let Some(Action::Storm(storm)) = action {
                    StormCap::new(storm.max_amplification).grant(storm.copies);
                    assert!(storm.backoff.due(storm.copies) <= Duration::from_hours(24));
                }
                let _ = action.map(Action::kind) == Some(Kind::Side);
            }
        }
    }
    let _ = set.tcp_misfits(|_| true);
}

/// Rule files that ship.
pub(crate) fn examples() -> Vec<String> {
    files("examples", "toml")
}

/// Inputs that are worth damaging: rule files, and rules of the command line.
pub(crate) fn corpus() -> (Vec<String>, Vec<String>) {
    let mut rule_files = examples();
    rule_files.extend(files("tests/corpus/files", "toml"));
    let inline = files("tests/corpus/inline", "txt");
    let inline = inline.iter().flat_map(|text| text.lines().map(str::to_owned)).collect();
    (rule_files, inline)
}

fn files(folder: &str, ending: &str) -> Vec<String> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> = paths.filter(|path| path.extension().is_some_and(|it| it == ending)).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect()
}
