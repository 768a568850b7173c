//! Routes: paths with their changing parts named, so that a million URLs give a bounded number of rows.

use std::collections::HashMap;

use crate::limits;
use crate::plan::Program;

/// `GET /cart/{id}`: numbers, UUIDs and other machine-made segments become `{id}`.
pub(crate) fn name(method: &str, path: &str) -> String {
    let mut out = String::with_capacity(method.len() + path.len() + 1);
    out.push_str(method);
    out.push(' ');
    for (index, segment) in path.split('/').enumerate() {
        if index > 0 {
            out.push('/');
        }
        if is_made_up(segment) {
            out.push_str("{id}");
        } else {
            out.extend(segment.chars().take(SEGMENT_CHARS).filter(|c| !c.is_control()));
        }
    }
    out.truncate(out.floor_char_boundary(ROUTE_BYTES));
    out
}

/// Numbers the routes of all steps; the rarest share one number where there are too many.
pub(crate) fn assign(programs: &mut [Program]) -> Vec<String> {
    let mut counts: HashMap<&str, u64> = HashMap::new();
    for program in programs.iter() {
        for step in &program.steps {
            *counts.entry(&step.route_name).or_default() += u64::from(program.clones);
        }
    }
    let mut names: Vec<(u64, String)> = counts.into_iter().map(|(name, n)| (n, name.to_owned())).collect();
    names.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    let crowded = names.len() > limits::ROUTES;
    names.truncate(if crowded { limits::ROUTES - 1 } else { limits::ROUTES });
    let mut routes: Vec<String> = names.into_iter().map(|(_, name)| name).collect();
    let numbers: HashMap<String, u16> =
        routes.iter().enumerate().map(|(number, name)| (name.clone(), number as u16)).collect();
    let other = routes.len() as u16;
    if crowded {
        routes.push("(other)".to_owned());
    }
    for step in programs.iter_mut().flat_map(|program| &mut program.steps) {
        step.route = numbers.get(&step.route_name).copied().unwrap_or(other);
        step.route_name = String::new(); // a million steps must not hold a million names
    }
    routes
}

/// Numbers, UUIDs, hashes and tokens: what differs from user to user.
fn is_made_up(segment: &str) -> bool {
    let bytes = segment.as_bytes();
    let digits = bytes.iter().filter(|b| b.is_ascii_digit()).count();
    if bytes.is_empty() || digits == 0 {
        return false;
    }
    let hex = bytes.iter().all(|b| b.is_ascii_hexdigit() || *b == b'-');
    let word = bytes.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'~'));
    digits == bytes.len() || (hex && bytes.len() >= 8) || (word && bytes.len() >= 16 && digits >= 4)
}

const SEGMENT_CHARS: usize = 60;
const ROUTE_BYTES: usize = 160;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changing_parts_are_named() {
        let check = |path, expect: &str| assert_eq!(name("GET", path), format!("GET {expect}"));
        check("/", "/");
        check("/cart/42", "/cart/{id}");
        check("/api/v1/items", "/api/v1/items");
        check("/u/7c9e6679-7425-40de-944b-e07fc1f90ae7/x", "/u/{id}/x");
        check("/o/deadbeef01", "/o/{id}");
        check("/facade", "/facade");
        check(
            "/presentations/logstash-2013/images/kibana3.png",
            "/presentations/logstash-2013/images/kibana3.png",
        );
        check("/t/a1b2c3d4_e5f6g7h8", "/t/{id}");
    }

    #[test]
    fn names_are_bounded_on_any_text() {
        for path in
            ["", "no slash", "/\u{1F980}\u{1F980}", &"/ü".repeat(1000), &format!("/{}", "x".repeat(9999))]
        {
            assert!(name("GET", path).len() <= ROUTE_BYTES);
        }
    }
}
