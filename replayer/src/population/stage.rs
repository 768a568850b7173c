//! `30s:1000`: to a thousand sessions alive over thirty seconds, in a straight line.

use std::str::FromStr;
use std::time::Duration;

use crate::limits;
use crate::population::curve::Curve;
use crate::population::words;
use crate::units;

/// One stage of a closed model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stage {
    /// How long it takes; nothing: at once.
    pub length: Duration,
    /// Sessions alive at its end.
    pub sessions: u32,
}

impl Stage {
    /// The stages of `30s:1000, 5m:1000, 30s:0`.
    ///
    /// # Errors
    /// Words for the user when a stage is none, or there are too many.
    pub fn list(text: &str) -> Result<Vec<Stage>, String> {
        let stages = words::parts(text).map(|(at, part)| {
            part.parse().map_err(|words| if at == 1 { words } else { format!("{words} (character {at})") })
        });
        let stages: Vec<Stage> = stages.collect::<Result<_, String>>()?;
        if limits::PROFILE_PARTS < stages.len() {
            return Err(format!("at most {} stages", limits::PROFILE_PARTS));
        }
        Ok(stages)
    }
}

impl FromStr for Stage {
    type Err = String;

    fn from_str(text: &str) -> Result<Stage, String> {
        let wrong = |why: &str| format!("`{text}` is not a stage: {why}; write 30s:1000");
        let Some((length, sessions)) = text.trim().split_once(':') else {
            return Err(wrong("it says no number of sessions"));
        };
        let length = units::duration(length).map_err(|words| match units::duration(sessions) {
            Ok(_) => wrong("the time comes first"),
            Err(_) => wrong(&words),
        })?;
        let sessions = match sessions.trim() {
            "0" => 0,
            some => units::count(some).map_err(|words| wrong(&words))?,
        };
        let sessions = u32::try_from(sessions).map_err(|_| wrong("that is more than 4 billion sessions"))?;
        Ok(Stage { length, sessions })
    }
}

/// Sessions that should be alive over run time: straight lines from one stage's end to the next's, from 0; nobody
/// after the last.
pub(crate) fn target(stages: &[Stage]) -> Curve {
    let mut now = 0.0;
    let lines = stages.iter().map(|stage| {
        let start = std::mem::replace(&mut now, f64::from(stage.sessions));
        (stage.length.as_secs_f64() * 1e6, start, now)
    });
    Curve::of(lines.collect::<Vec<_>>(), 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_are_lines_between_their_ends() {
        let stages = Stage::list("30s:1000, 5m:1k, 0s:500, 30s:0").expect("they are good");
        let target = target(&stages);
        let check = |second: f64, alive: f64| assert_eq!(target.at(second * 1e6), alive, "at {second} s");
        check(0.0, 0.0);
        check(15.0, 500.0);
        check(30.0, 1000.0);
        check(329.0, 1000.0);
        check(330.0, 500.0);
        check(345.0, 250.0);
        check(360.0, 0.0);
    }

    #[test]
    fn mistakes_are_told() {
        let refused = |text: &str, word: &str| {
            let words = Stage::list(text).expect_err(text);
            assert!(words.contains(word), "{text}: {words}");
        };
        refused("30s", "no number");
        refused("1000:30s", "the time comes first");
        refused("30:1000", "unit");
        refused("30s:many", "count");
        refused("30s:1.5", "whole");
        refused("1s:1,30s:5G", "4 billion");
        refused("1s:1,30s:x", "character 6");
        refused("", "no number");
    }
}
