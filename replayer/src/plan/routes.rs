//! Routes: paths with their changing parts named, so that a million URLs give a bounded number of rows.

use crate::limits;
use crate::plan::Program;
use crate::plan::store::{OTHER, Store};

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

/// The last part of a path that [`name`] calls `{id}`.
pub(crate) fn key(path: &str) -> Option<&str> {
    path.split('/').rev().find(|segment| is_made_up(segment))
}

/// Chooses the routes of a store whose steps bear `names`; the rarest share one where there are too many.
pub(crate) fn assign(store: &mut Store, names: &[String]) -> Vec<String> {
    let mut counts = vec![0_u64; names.len()];
    for row in &store.rows {
        for step in Program::new(store, row).steps() {
            counts[step.name() as usize] += 1;
        }
    }
    let mut order: Vec<usize> =
        (0..names.len()).filter(|name| counts[*name] > 0 && names[*name] != OTHER).collect();
    order.sort_unstable_by(|a, b| counts[*b].cmp(&counts[*a]).then_with(|| names[*a].cmp(&names[*b])));
    let unnamed = counts.iter().zip(names).any(|(count, name)| *count > 0 && name == OTHER);
    let crowded = unnamed || limits::ROUTES < order.len();
    order.truncate(limits::ROUTES - usize::from(crowded));
    let mut routes = vec![order.len() as u16; names.len()];
    for (route, name) in order.iter().enumerate() {
        routes[*name] = route as u16;
    }
    store.set_routes(routes);
    let mut chosen: Vec<String> = order.into_iter().map(|name| names[name].clone()).collect();
    chosen.extend(crowded.then(|| OTHER.to_owned()));
    chosen
}

/// Numbers, UUIDs, hashes and tokens: what differs from user to user.
pub(crate) fn is_made_up(segment: &str) -> bool {
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
