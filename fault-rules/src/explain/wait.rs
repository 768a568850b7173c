//! Delays in words.

use super::numbers::{percent, rounded, time};
use crate::delay::{At, Delay, Dist, Mode};
use crate::limits;

/// `wait 200ms before the answer's header`.
pub(super) fn of(delay: &Delay) -> String {
    format!("{}{}{}", how_long(delay), bounds(delay), place(delay))
}

fn how_long(delay: &Delay) -> String {
    let verb = match delay.mode {
        Mode::Add => "wait",
        Mode::Floor => "fill up to",
    };
    match delay.dist() {
        Dist::Fixed(fixed) => format!("{verb} {}", time(*fixed)),
        Dist::Uniform { low, high } => format!("{verb} {} to {}, evenly spread", time(*low), time(*high)),
        Dist::Normal { mean, sd } => {
            format!("{verb} {} with a standard deviation of {}", time(*mean), time(*sd))
        }
        Dist::LogNormal { p50, p99 } => {
            format!("{verb} {} in the middle and more than {} in one of a hundred", time(*p50), time(*p99))
        }
        Dist::Pareto { scale, shape } => {
            let tenfold = percent(10_f64.powf(-shape));
            format!("{verb} at least {}, {tenfold} of them ten times as long", time(*scale))
        }
        Dist::Table(table) => {
            let point = |(share, seconds): &(f64, f64)| {
                format!("{} up to {}", percent(*share), time(crate::delay::from_seconds(*seconds)))
            };
            let points: Vec<_> = table.points().iter().map(point).collect();
            format!("{verb} as measured ({})", points.join(", "))
        }
        Dist::Recorded(recorded) => {
            let times = match recorded.scale {
                1.0 => String::new(),
                scale => format!(" times {}", rounded(scale)),
            };
            let middle = time(delay.quantile(0.5));
            let routes = match recorded.routes() {
                1 => "1 route".to_owned(),
                routes => format!("{routes} routes"),
            };
            format!(
                "{verb} as long as recorded in {}{times} ({routes}; {middle} in the middle of all)",
                recorded.capture
            )
        }
    }
}

fn bounds(delay: &Delay) -> String {
    let bounded = !matches!(delay.dist(), Dist::Fixed(_) | Dist::Uniform { .. });
    match (delay.min, delay.max) {
        _ if !bounded => String::new(),
        (min, max) if min.is_zero() && max == limits::LONGEST => String::new(),
        (min, max) if min.is_zero() => format!(", at most {}", time(max)),
        (min, limits::LONGEST) => format!(", at least {}", time(min)),
        (min, max) => format!(", at least {} and at most {}", time(min), time(max)),
    }
}

fn place(delay: &Delay) -> &'static str {
    match delay.at {
        At::Connect => " when the client connects",
        At::Request => "",
        At::Response => " before the answer's header",
        At::FirstByte => " between the answer's header and its body",
        At::Close => " before the connection closes (TCP edges only)",
    }
}
