//! Why it broke, in the text: what failures are put down to, and the findings.

use std::fmt::{Result, Write};

use crate::limits;
use crate::report::Report;
use crate::report::text::number;

pub(super) fn why(report: &Report, out: &mut String) -> Result {
    let Some(analysis) = &report.analysis else { return Ok(()) };
    if analysis.failures == 0 && analysis.findings.is_empty() {
        return Ok(());
    }
    if analysis.failures > 0 {
        let parts: Vec<String> = analysis
            .attribution
            .parts()
            .into_iter()
            .filter(|(_, count)| *count > 0)
            .map(|(name, count)| format!("{} {name}", number(count)))
            .collect();
        writeln!(
            out,
            "why        {} failures in {} sessions: {}",
            number(analysis.failures),
            number(analysis.sessions_hurt),
            parts.join(", ")
        )?;
    }
    if analysis.findings.is_empty() {
        writeln!(out, "           nothing was found beyond what the rules did themselves")?;
    }
    for finding in analysis.findings.iter().take(limits::FINDINGS_SHOWN) {
        writeln!(
            out,
            "finding {:<2} {} ({} sessions)",
            finding.rank,
            finding.title,
            number(finding.sessions)
        )?;
        for sentence in finding.evidence.iter().take(SENTENCES) {
            writeln!(out, "           {sentence}")?;
        }
        if let Some(example) = finding.examples.first() {
            writeln!(out, "           for example: {}", example.replay)?;
        }
    }
    if limits::FINDINGS_SHOWN < analysis.findings.len() {
        writeln!(
            out,
            "           {} more are in the JSON",
            analysis.findings.len() - limits::FINDINGS_SHOWN
        )?;
    }
    if analysis.sample < 1.0 {
        writeln!(
            out,
            "           of so many requests a sample was looked at, {:.1} % of all sessions: counts of sessions are estimates",
            analysis.sample * 100.0
        )?;
    }
    writeln!(out)
}

/// Sentences of evidence for each finding; all are in the JSON.
const SENTENCES: usize = 3;

#[cfg(test)]
mod tests {
    use crate::analysis::{Analysis, Attribution, Example, Explanation, Finding, Place};
    use crate::report::sample;

    #[test]
    fn findings_are_said_in_few_lines() {
        let mut report = sample::report(&sample::tally(), "1/1");
        assert!(!report.text().contains("why "));
        let example = Example {
            session: "1f".to_owned(),
            clone: 7,
            op: "00".to_owned(),
            step: 2,
            t_us: 5,
            replay: "replay --only session:1f-7 a.zst".to_owned(),
        };
        let finding = |rank| Finding {
            rank,
            title: format!("GET /{rank} fails (500) by itself"),
            explanation: Explanation::Origin,
            rule: None,
            place: Place::default(),
            sessions: 1200,
            failures: 1300,
            share: 0.1,
            lift: None,
            evidence: vec!["one".to_owned(), "two".to_owned(), "three".to_owned(), "four".to_owned()],
            examples: vec![example.clone()],
        };
        report.analysis = Some(Analysis {
            failures: 13_000,
            sessions_hurt: 5000,
            sample: 0.25,
            attribution: Attribution { injected: 3000, origin: 10_000, ..Attribution::default() },
            findings: (1..=7).map(finding).collect(),
            ..Analysis::default()
        });
        let text = report.text();
        for words in [
            "why        13,000 failures in 5,000 sessions: 3,000 injected, 10,000 origin\n",
            "finding 1  GET /1 fails (500) by itself (1,200 sessions)\n           one\n",
            "for example: replay --only session:1f-7 a.zst\n",
            "2 more are in the JSON",
            "25.0 % of all sessions",
        ] {
            assert!(text.contains(words), "{words} is not in\n{text}");
        }
        assert!(!text.contains("four"));
    }
}
