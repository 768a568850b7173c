//! The analysis of runs of a hundred million requests: how long it takes, and what memory. `benches/analysis_scale` runs
//! it in release mode.

use super::tests::Plain;
use super::*;
use crate::evidence::{Ended, Evidence, Fate};
use crate::{limits, sys};

/// A run made up of sessions that are alike.
struct Load {
    name: &'static str,
    programs: u32,
    clones: u32,
    steps: u32,
    /// Ids in paths.
    ids: u32,
}

/// Each a hundred million requests, with what could be hard about them.
const LOADS: [Load; 4] = [
    Load {
        name: "a million clones of a thousand sessions",
        programs: 1000,
        clones: 1000,
        steps: 100,
        ids: 48,
    },
    Load { name: "a million sessions, none twice", programs: 1_000_000, clones: 1, steps: 100, ids: 48 },
    Load { name: "a million clones on many ids", programs: 1000, clones: 1000, steps: 100, ids: 60_000 },
    Load { name: "a thousand sessions that hardly end", programs: 10, clones: 100, steps: 100_000, ids: 48 },
];
const RULES: [&str; 12] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];
const ROUTES: u32 = 8;
const HOUR_MS: u32 = 3_600_000;

impl Load {
    /// What the threads of a run would keep of it: 1 % fails by itself, some by rules and in their wake.
    fn evidence(&self, threads: u32) -> Evidence {
        let of_thread = |thread: u32| {
            let mut evidence = Evidence::new(limits::EVIDENCE / threads as usize);
            let sessions = (0..self.programs * self.clones).filter(|session| session % threads == thread);
            for session in sessions {
                self.session(&mut evidence, session / self.clones, session % self.clones);
            }
            evidence
        };
        let mut all = of_thread(0);
        (1..threads).for_each(|thread| all.merge(of_thread(thread)));
        all
    }

    fn session(&self, evidence: &mut Evidence, program: u32, clone: u32) {
        let start = crate::evidence::lot(program, clone) % (HOUR_MS / 2);
        let mut hurt = false;
        for step in 0..self.steps {
            if !evidence.has(program, clone) {
                continue; // the run goes on, as it would
            }
            let chance = crate::evidence::lot(program.wrapping_mul(7919).wrapping_add(step), clone) % 1000;
            let mut ended = Ended {
                program,
                clone,
                step,
                at_ms: start + (u64::from(step) * u64::from(HOUR_MS / 2) / u64::from(self.steps)) as u32,
                took_us: 1000 + chance * 3,
                print: 0,
                fate: Fate::status(200),
                rules: 0,
                attempt: 1,
                flags: 0,
            };
            if chance < 10 || hurt && chance < 50 {
                ended.fate = Fate::status(500 + (chance % 4) as u16);
                ended.print = 1 + chance % 7;
            } else if chance > 960 {
                ended.rules = evidence.rules(RULES[(chance % 12) as usize]);
                hurt = chance % 12 == 2;
            }
            evidence.note(ended);
        }
    }

    fn requests(&self) -> u64 {
        u64::from(self.programs) * u64::from(self.clones) * u64::from(self.steps)
    }

    fn told(&self, program: u32, step: u32) -> Told {
        let id = program.wrapping_mul(31).wrapping_add(step.wrapping_mul(7)) % self.ids;
        Told { route: (step % ROUTES) as u16, status: 200, key: Some(id.to_string()) }
    }
}

/// The field of a run, and its failures.
fn field(load: &Load, mut evidence: Evidence) -> (Field, Failures) {
    let share = evidence.share();
    let ended = evidence.take();
    let lists = evidence.rule_lists();
    let rules = |ended: &Ended| {
        let by = usize::from(ended.rules).checked_sub(1).map_or("", |at| &*lists[at]);
        Touched { by, below: "" }
    };
    let touched: Vec<(Ended, Touched<'_>)> = ended.iter().map(|ended| (*ended, rules(ended))).collect();
    let routes: Vec<String> = (0..ROUTES).map(|route| format!("GET /route-{route}/{{id}}")).collect();
    let field = Field::new(&touched, &routes, share, |program, step| load.told(program, step));
    let failed = field.attempts.iter().filter(|attempt| attempt.wrong.is_failure()).count() as u64;
    let failures =
        Failures { total: field.scaled(failed), origin: field.scaled(failed), ..Failures::default() };
    (field, failures)
}

#[test]
#[ignore = "stress: four runs of a hundred million requests, in release (benches/analysis_scale)"]
fn a_hundred_million_requests_are_analysed() {
    let only = std::env::var("SQUALL_LOAD").unwrap_or_default();
    for load in LOADS.iter().filter(|load| load.name.contains(&only)) {
        let before = sys::peak_memory();
        let evidence = load.evidence(2);
        let began = sys::cpu_time();
        let (field, failures) = field(load, evidence);
        let known =
            Known { failures: &failures, guards: &[], memory: &[], course: (&[], 1), ran_short: false };
        let (analysis, _) = analyse(&field, &known, &Plain);
        let took = sys::cpu_time().saturating_sub(began);
        let json = serde_json::to_string(&analysis).expect("it is JSON");
        println!(
            "{}",
            serde_json::json!({
                "load": load.name,
                "requests": load.requests(),
                "sessions": u64::from(load.programs) * u64::from(load.clones),
                "sampled": field.attempts.len(),
                "sample": analysis.sample,
                "cpu_ms": took.as_millis() as u64,
                "memory": sys::peak_memory() - before,
                "bytes": json.len(),
                "findings": analysis.findings.len(),
            })
        );
        let sum: u64 = analysis.attribution.parts().iter().map(|(_, count)| count).sum();
        assert_eq!(sum, analysis.failures, "{}", load.name);
    }
}
