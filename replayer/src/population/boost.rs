//! `GET /search:50x@2m..3m`: one intent spikes. Sessions that visit a route are that many times as many.

use std::str::FromStr;
use std::time::Duration;

use crate::population::words;
use crate::units;

/// A boost, as typed.
#[derive(Clone, Debug, PartialEq)]
pub struct Boost {
    /// Name of the route, as reports print it.
    pub route: String,
    /// How many times as many sessions; above 0.
    pub times: f64,
    /// Run time in which it holds; `None`: always.
    pub window: Option<(Duration, Duration)>,
}

/// A boost whose route has a number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Boosted {
    pub(crate) route: u16,
    pub(crate) times: f64,
    /// From and to, in microseconds of run time.
    pub(crate) window_us: Option<(f64, f64)>,
}

impl Boost {
    /// Looks its route up among the names of the plan's `routes`.
    ///
    /// # Errors
    /// Words for the user when there is no such route.
    pub(crate) fn resolve(&self, routes: &[String]) -> Result<Boosted, String> {
        let found = routes.iter().position(|name| *name == self.route);
        let route = found.and_then(|index| u16::try_from(index).ok()).ok_or_else(|| {
            let known: Vec<&str> = routes.iter().map(String::as_str).collect();
            let advice = words::advice(&self.route, &known);
            format!("no recorded session visits the boosted route `{}`: {advice}", self.route)
        })?;
        let micros = |time: Duration| time.as_secs_f64() * 1e6;
        let window_us = self.window.map(|(from, to)| (micros(from), micros(to)));
        Ok(Boosted { route, times: self.times, window_us })
    }
}

impl FromStr for Boost {
    type Err = String;

    fn from_str(text: &str) -> Result<Boost, String> {
        let wrong = |why: &str| {
            format!("`{text}` is not a boost: {why}; write 'GET /search:50x' or 'GET /search:50x@2m..3m'")
        };
        // A path may hold an @ and a colon: the last ones are ours.
        let (head, window) = match text.rsplit_once('@') {
            Some((head, window)) if window.contains("..") => (head, Some(window)),
            Some((_, tail)) if !tail.contains('/') && !tail.contains(':') => {
                return Err(wrong("a window has a beginning and an end"));
            }
            _ => (text, None),
        };
        let Some((route, times)) = head.rsplit_once(':') else {
            return Err(wrong("it says no number"));
        };
        let times = units::amplify(times).map_err(|words| match times.trim() {
            "0" | "0x" => wrong("--exclude leaves a route out"),
            _ => wrong(&words),
        })?;
        let route = route.trim();
        if route.is_empty() {
            return Err(wrong("it names no route"));
        }
        let window = window.map(|window| span(window).map_err(|words| wrong(&words))).transpose()?;
        Ok(Boost { route: route.to_owned(), times, window })
    }
}

fn span(text: &str) -> Result<(Duration, Duration), String> {
    let (from, to) = text.split_once("..").unwrap_or((text, ""));
    let from = match from.trim() {
        "" | "0" => Duration::ZERO,
        from => units::duration(from)?,
    };
    let to = units::duration(to)?;
    if to <= from { Err(format!("`{text}` ends before it begins")) } else { Ok((from, to)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boosts_are_understood() {
        let check = |text: &str, route: &str, times: f64, window: Option<(u64, u64)>| {
            let window = window.map(|(from, to)| (Duration::from_secs(from), Duration::from_secs(to)));
            assert_eq!(text.parse(), Ok(Boost { route: route.to_owned(), times, window }), "{text}");
        };
        check("GET /search:50x", "GET /search", 50.0, None);
        check("GET /search:50x@2m..3m", "GET /search", 50.0, Some((120, 180)));
        check("GET /search : 0.5x @ 0..10s", "GET /search", 0.5, Some((0, 10)));
        check("GET /u/:id/@me:2", "GET /u/:id/@me", 2.0, None);
        check("POST /a@b:3x@..1m", "POST /a@b", 3.0, Some((0, 60)));
    }

    #[test]
    fn mistakes_are_told() {
        let refused = |text: &str, word: &str| {
            let words = text.parse::<Boost>().expect_err(text);
            assert!(words.contains(word), "{text}: {words}");
        };
        refused("GET /search", "no number");
        refused("GET /search:0x", "--exclude");
        refused("GET /search:fast", "amplification");
        refused(":5x", "no route");
        refused("GET /search:5x@2m", "beginning and an end");
        refused("GET /search:5x@3m..2m", "before it begins");
        refused("GET /search:5x@2..3m", "unit");
        let routes = ["GET /".to_owned(), "GET /search".to_owned()];
        let boost: Boost = "GET /serach:5x".parse().expect("it is a boost");
        assert!(boost.resolve(&routes).is_err_and(|words| words.contains("did you mean `GET /search`?")));
        let boost: Boost = "GET /search:5x".parse().expect("it is a boost");
        assert_eq!(boost.resolve(&routes).map(|boost| boost.route), Ok(1));
    }
}
