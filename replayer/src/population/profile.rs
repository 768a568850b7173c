//! `ramp:0..100x/2m, hold/10m, spike:300x/30s, step:-50x/1m`: how the load changes over run time.

use std::fmt;
use std::str::FromStr;

use crate::limits;
use crate::population::curve::Curve;
use crate::population::words;
use crate::units;

/// A load over run time, as typed. It begins at what was recorded (1x) unless its first part says otherwise.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    parts: Vec<Part>,
}

/// One part of a profile.
#[derive(Clone, Debug, PartialEq)]
struct Part {
    what: What,
    /// How long it lasts, in microseconds; above 0.
    length_us: f64,
    /// Where it stands in the text, in characters from 1.
    at: usize,
    text: String,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum What {
    /// From one level (or what is) to another, in a straight line.
    Ramp(Option<Level>, Level),
    /// What is.
    Hold,
    /// Another level for a while; afterwards what was before.
    Spike(Level),
    /// Up or down from what is, at once and for good.
    Step { up: bool, by: Level },
}

/// How much load.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Level {
    /// This many sessions for each recorded one.
    Times(f64),
    /// This many sessions begun a second.
    PerSecond(f64),
}

impl Profile {
    /// From the first moment to the end of the last part, in microseconds.
    pub(crate) fn length_us(&self) -> f64 {
        self.parts.iter().map(|part| part.length_us).sum()
    }

    /// The load in multiples of the recording, of which 1x begins `per_second` sessions a second; nothing after the
    /// end.
    ///
    /// # Errors
    /// Words for the user when a step leads below nothing, or nothing ever starts.
    pub(crate) fn curve(&self, per_second: f64) -> Result<Curve, String> {
        let times = |level: Level| match level {
            Level::Times(times) => times,
            Level::PerSecond(rate) => rate / per_second.max(f64::MIN_POSITIVE),
        };
        let mut now = 1.0;
        let mut lines = Vec::with_capacity(self.parts.len());
        for part in &self.parts {
            let (start, end, after) = match part.what {
                What::Ramp(from, to) => (from.map_or(now, times), times(to), times(to)),
                What::Hold => (now, now, now),
                What::Spike(level) => (times(level), times(level), now),
                What::Step { up, by } => {
                    let level = if up { now + times(by) } else { now - times(by) };
                    // 0.3 - 0.1 - 0.2 is a little below 0.
                    let level = if level.abs() <= 1e-9 * now { 0.0 } else { level };
                    (level, level, level)
                }
            };
            if end < 0.0 {
                return Err(part.wrong(&format!("leads below nothing: the load before it is {}x", tidy(now))));
            }
            if limits::AMPLIFY_MAX < start.max(end) {
                return Err(part.wrong(&format!("is too much: at most {}x", limits::AMPLIFY_MAX)));
            }
            now = after;
            lines.push((part.length_us, start, end));
        }
        let curve = Curve::of(lines, 0.0);
        if curve.peak() <= 0.0 {
            return Err("the profile never rises above nothing: it would replay nothing".to_owned());
        }
        Ok(curve)
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, part) in self.parts.iter().enumerate() {
            let comma = if place == 0 { "" } else { ", " };
            write!(f, "{comma}{}", part.text)?;
        }
        Ok(())
    }
}

impl FromStr for Profile {
    type Err = String;

    fn from_str(text: &str) -> Result<Profile, String> {
        let mut parts = Vec::new();
        for (at, part) in words::parts(text) {
            if limits::PROFILE_PARTS <= parts.len() {
                return Err(format!("a profile has at most {} parts", limits::PROFILE_PARTS));
            }
            parts.push(Part::parse(at, part)?);
        }
        let profile = Profile { parts };
        let relative = |part: &Part| !part.what.levels().any(|level| matches!(level, Level::PerSecond(_)));
        if profile.parts.iter().all(relative) {
            profile.curve(1.0)?; // what is wrong whatever the capture is said at once
        }
        Ok(profile)
    }
}

impl Part {
    fn parse(at: usize, text: &str) -> Result<Part, String> {
        let mut part = Part { what: What::Hold, length_us: 0.0, at, text: text.to_owned() };
        if text.is_empty() {
            return Err(format!("a part of the profile is missing at character {at}: write {EXAMPLE}"));
        }
        let Some((head, length)) = text.rsplit_once('/') else {
            return Err(part.wrong("does not say how long: end it in /30s or /2m"));
        };
        let length = units::some_duration(length).map_err(|words| part.wrong(&format!(": {words}")))?;
        part.length_us = length.as_secs_f64() * 1e6;
        let (word, value) = match head.split_once(':') {
            Some((word, value)) => (word.trim(), Some(value.trim())),
            None => (head.trim(), None),
        };
        let what = match (word, value) {
            ("hold", None) => Ok(What::Hold),
            ("hold", Some(_)) => {
                Err("takes no value: it keeps what is; `spike` and `step` change it".to_owned())
            }
            ("ramp", Some(value)) => ramp(value),
            ("spike", Some(value)) => level(value).map(What::Spike),
            ("step", Some(value)) => step(value),
            (word, None) if WORDS.contains(&word) => {
                Err(format!("says no value: write {}", example_of(word)))
            }
            _ => Err(format!("has an unknown word `{word}`: {}", words::advice(word, &WORDS))),
        };
        part.what = what.map_err(|words| part.wrong(&words))?;
        Ok(part)
    }

    fn wrong(&self, words: &str) -> String {
        let space = if words.starts_with(':') { "" } else { " " };
        format!("`{}` (character {} of the profile){space}{words}", self.text, self.at)
    }
}

impl What {
    fn levels(self) -> impl Iterator<Item = Level> {
        let (first, second) = match self {
            What::Ramp(from, to) => (from, Some(to)),
            What::Hold => (None, None),
            What::Spike(level) | What::Step { by: level, .. } => (Some(level), None),
        };
        first.into_iter().chain(second)
    }
}

fn ramp(text: &str) -> Result<What, String> {
    let Some((from, to)) = text.split_once("..") else {
        return Err(format!("goes from where to where? Write {}", example_of("ramp")));
    };
    let from = if from.trim().is_empty() { None } else { Some(level(from)?) };
    Ok(What::Ramp(from, level(to)?))
}

fn step(text: &str) -> Result<What, String> {
    if let Some(by) = text.strip_prefix('+') {
        return Ok(What::Step { up: true, by: level(by)? });
    }
    match text.strip_prefix('-') {
        Some(by) => Ok(What::Step { up: false, by: level(by)? }),
        None => Err(format!("does not say up or down: write step:+{text} or step:-{text}")),
    }
}

fn level(text: &str) -> Result<Level, String> {
    let text = text.trim();
    if matches!(text, "0" | "0x" | "0/s") {
        return Ok(Level::Times(0.0));
    }
    if text.contains('/') {
        let rate = units::rate(text).map_err(|words| format!("has a bad value: {words}"))?;
        return rate.map(Level::PerSecond).ok_or_else(|| "needs a number, not `max`".to_owned());
    }
    if text.starts_with('-') {
        return Err(format!("has a load below nothing: `{text}`"));
    }
    units::amplify(text).map(Level::Times).map_err(|_| {
        format!("has a bad value `{text}`: write 100x (times the recording) or 50/s (sessions a second)")
    })
}

fn example_of(word: &str) -> &'static str {
    match word {
        "ramp" => "ramp:0..100x/2m",
        "spike" => "spike:300x/30s",
        "step" => "step:-50x/1m",
        _ => "hold/10m",
    }
}

fn tidy(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

const WORDS: [&str; 4] = ["ramp", "hold", "spike", "step"];
const EXAMPLE: &str = "ramp:0..100x/2m, hold/10m";

#[cfg(test)]
mod tests {
    use super::*;

    /// Values in the middle of each second of a profile whose recording begins 10 sessions a second.
    fn check(text: &str, expect: &[f64]) {
        let profile: Profile = text.parse().expect(text);
        let curve = profile.curve(10.0).expect(text);
        let seen: Vec<f64> = (0..expect.len()).map(|s| tidy(curve.at(s as f64 * 1e6 + 5e5))).collect();
        assert_eq!(seen, expect, "{text}");
        assert_eq!(curve.at(profile.length_us()), 0.0, "{text}: nothing after the end");
    }

    #[test]
    fn parts_follow_one_another() {
        check(
            "ramp:0..100x/2s, hold/1s, spike:300x/1s, step:-50x/1s",
            &[25.0, 75.0, 100.0, 300.0, 50.0, 0.0],
        );
        check("ramp:..3x/2s", &[1.5, 2.5]);
        check("hold/2s", &[1.0, 1.0]);
        check("spike:5/1s,hold/1s", &[5.0, 1.0]);
        check("step:+2.5x/1s, step:-1x/1s", &[3.5, 2.5]);
        check("ramp:10/s..50/s/2s, step:-600/m/1s", &[2.0, 4.0, 4.0]);
        check("ramp:2x..0/2s", &[1.5, 0.5]);
        check("spike:0x/1s, hold/1s", &[0.0, 1.0]);
        check("step:-1x/1s, ramp:..1kx/1s", &[0.0, 500.0]);
    }

    #[test]
    fn areas_are_exact() {
        let profile: Profile =
            "ramp:0..100x/2m, hold/10m, spike:300x/30s, step:-50x/1m".parse().expect("it is good");
        let curve = profile.curve(1.0).expect("it is good");
        let whole = 50.0 * 120.0 + 100.0 * 600.0 + 300.0 * 30.0 + 50.0 * 60.0;
        assert!((curve.area(0.0, f64::INFINITY.min(1e12)) / 1e6 - whole).abs() < 1e-6);
        assert_eq!(profile.length_us(), 810e6);
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        let refused = |text: &str, all: &[&str]| {
            let words = text.parse::<Profile>().expect_err(text);
            for word in all {
                assert!(words.contains(word), "{text}: {words}");
            }
        };
        refused("hold/1m, rmap:0..100x/2m", &["`ramp`", "character 10"]);
        refused("ramp:0..100x", &["how long"]);
        refused("ramp:0..100x/2", &["unit"]);
        refused("ramp:100x/2m", &["from where to where"]);
        refused("ramp/2m", &["ramp:0..100x/2m"]);
        refused("hold:5x/2m", &["no value"]);
        refused("spike:-5x/2m", &["below nothing"]);
        refused("step:50x/2m", &["step:+50x"]);
        refused("hold/1m, step:-50x/1m", &["below nothing", "1x", "character 10"]);
        refused("hold/1m,,hold/1m", &["missing", "character 9"]);
        refused("", &["missing"]);
        refused("ramp:0..max/s/2m", &["value"]);
        refused("spike:100M/1s", &["bad value"]);
        refused("spike:100qx/1s", &["100x"]);
        refused("hold/0s", &["no time"]);
        refused("ramp:0..0x/1m", &["nothing"]);
        refused(&"hold/1s,".repeat(2000), &["at most"]);
        assert!("step:-50/s/1m".parse::<Profile>().is_ok_and(|p| p.curve(10.0).is_err()));
    }
}
