//! The arrival curve as a line of marks.

use std::fmt::Write;

use captures::shape::{Dispersion, Figures, Rate};

/// Curves of requests and of sessions, rates and dispersion.
pub(super) fn arrivals(figures: &Figures) -> String {
    let (Some(arrivals), Some(rate)) = (&figures.arrivals, &figures.rate) else { return String::new() };
    let mut text = String::new();
    let busiest = |marks: &[u64]| super::thousands(marks.iter().copied().max().unwrap_or_default());
    for (name, marks) in [("arrivals", &arrivals.requests), ("  sessions", &arrivals.sessions)] {
        let _ = writeln!(text, "{name:<12}{}", marks_of(marks));
        let _ = writeln!(
            text,
            "{:<12}a mark is {}; at most {} {}",
            "",
            unit(arrivals.mark_us),
            busiest(marks),
            if name == "arrivals" { "requests" } else { "starts" },
        );
    }
    let _ = writeln!(text, "{:<12}{}", "rate", rates(rate));
    text.push_str(&dispersion(&figures.dispersion));
    text
}

/// A column for each length of the windows.
fn dispersion(windows: &[Dispersion]) -> String {
    if windows.is_empty() {
        return String::new();
    }
    let row = |name: &str, cell: &dyn Fn(&Dispersion) -> String| {
        let cells: String = windows.iter().map(|at| format!("{:>9}", cell(at))).collect();
        format!("{name:<12}{cells}\n")
    };
    let known = |value: Option<f64>| value.map_or("-".to_owned(), short);
    format!(
        "{}{}{}{:<12}variance by mean of the counts: 1 is Poisson, more is bursts\n",
        row("dispersion", &|at| unit(at.window_us)),
        row("  requests", &|at| known(at.requests)),
        row("  sessions", &|at| known(at.sessions)),
        "",
    )
}

fn rates(rate: &Rate) -> String {
    let peak = format!("peak {}/s within {}", short(rate.peak_per_s), unit(rate.peak_window_us));
    match rate.mean_per_s {
        0.0 => peak,
        mean => format!("mean {}/s, {peak}", short(mean)),
    }
}

/// One character a mark, blank where nothing came.
fn marks_of(counts: &[u64]) -> String {
    let highest = counts.iter().copied().max().unwrap_or_default().max(1);
    let mark = |count: &u64| match count {
        0 => ' ',
        _ => HEIGHTS[((u128::from(*count) * 8).div_ceil(u128::from(highest)) - 1) as usize],
    };
    let line: String = counts.iter().map(mark).collect();
    format!("|{line}|")
}

/// A round length: `10 ms`, `1 s`, `15 min`, `2 h`, `7 d`.
pub(in super::super) fn unit(us: u64) -> String {
    match us {
        0..1_000_000 => format!("{} ms", us / 1000),
        1_000_000..60_000_000 => format!("{} s", us / 1_000_000),
        60_000_000..3_600_000_000 => format!("{} min", us / 60_000_000),
        3_600_000_000..86_400_000_000 => format!("{} h", us / 3_600_000_000),
        _ => format!("{} d", us / 86_400_000_000),
    }
}

/// Three digits that count.
pub(in super::super) fn short(value: f64) -> String {
    match value {
        0.0..0.1 => format!("{value:.3}"),
        0.1..10.0 => format!("{value:.2}"),
        10.0..100.0 => format!("{value:.1}"),
        _ => super::thousands(value.round() as u64),
    }
}

const HEIGHTS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heights_follow_the_counts() {
        assert_eq!(marks_of(&[0, 1, 4, 8]), "| ▁▄█|");
        assert_eq!(marks_of(&[0]), "| |");
        assert_eq!(marks_of(&[u64::MAX, 1]), "|█▁|");
        assert_eq!(
            [10_000, 1_000_000, 900_000_000, 86_400_000_000].map(unit),
            ["10 ms", "1 s", "15 min", "1 d"]
        );
        assert_eq!([0.0, 0.05, 1.0, 33.333, 1234.5].map(short), ["0.000", "0.050", "1.00", "33.3", "1,235"]);
    }
}
