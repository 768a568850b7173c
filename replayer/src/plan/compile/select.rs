//! `--only` and `--exclude`: which exchanges are replayed.

use std::str::FromStr;

/// Names routes, or one session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(Kind);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    /// `GET /cart/{id}`, or all that begins so; without a method, of any.
    Route {
        method: Option<String>,
        path: String,
        prefix: bool,
    },
    Session(u64),
}

/// What an exchange is matched by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject<'a> {
    /// The recorded session.
    pub(crate) session: u64,
    /// Method and path with changing parts named.
    pub(crate) route: &'a str,
    pub(crate) method: &'a str,
    /// As recorded.
    pub(crate) path: &'a str,
}

impl Pattern {
    /// Whether it names `subject`, by its route or by its path as recorded.
    pub(crate) fn matches(&self, subject: Subject<'_>) -> bool {
        match &self.0 {
            Kind::Session(id) => *id == subject.session,
            Kind::Route { method, path, prefix } => {
                let route = subject.route.split_once(' ').map_or("", |(_, path)| path);
                let fits = |known: &str| if *prefix { known.starts_with(path) } else { known == path };
                method.as_deref().is_none_or(|method| method.eq_ignore_ascii_case(subject.method))
                    && (fits(route) || fits(subject.path))
            }
        }
    }
}

impl FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Pattern, String> {
        let typed = text.trim();
        if let Some(id) = typed.strip_prefix("session:") {
            let id = u64::from_str_radix(id.trim(), 16);
            return id
                .map(|id| Pattern(Kind::Session(id)))
                .map_err(|_| format!("`{text}`: a session is a number in hex, as in session:2f"));
        }
        let (method, path) = match typed.split_once(' ') {
            Some((method, path)) => (Some(method).filter(|method| *method != "*"), path.trim_start()),
            None => (None, typed),
        };
        let (path, prefix) = path.strip_suffix('*').map_or((path, false), |start| (start, true));
        let shaped = path.starts_with('/') || (prefix && path.is_empty()) || path == "*";
        if !shaped || path.contains(['*', ' ', '?']) {
            return Err(format!(
                "`{text}` names no route: write 'GET /cart/{{id}}', 'GET /static/*' (only at the end), '/cart' for any \
                 method, or session:HEX"
            ));
        }
        Ok(Pattern(Kind::Route { method: method.map(str::to_owned), path: path.to_owned(), prefix }))
    }
}

/// Whether `only` (unless it is empty) names the subject, and `exclude` does not.
pub(crate) fn is_wanted(only: &[Pattern], exclude: &[Pattern], subject: Subject<'_>) -> bool {
    (only.is_empty() || only.iter().any(|pattern| pattern.matches(subject)))
        && !exclude.iter().any(|pattern| pattern.matches(subject))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_paths_prefixes_and_sessions() {
        let subject =
            Subject { session: 0x2f, route: "GET /cart/{id}/items", method: "GET", path: "/cart/42/items" };
        let check = |pattern: &str, expect: bool| {
            let pattern: Pattern = pattern.parse().unwrap();
            assert_eq!(pattern.matches(subject), expect, "{pattern:?}");
        };
        check("GET /cart/{id}/items", true);
        check("get /cart/42/items", true);
        check("/cart/{id}/items", true);
        check("* /cart/*", true);
        check("GET *", true);
        check("*", true);
        check("session:2F", true);
        check("POST /cart/{id}/items", false);
        check("GET /cart/{id}", false);
        check("GET /carts*", false);
        check("session:1", false);
        for junk in ["", "GET", "GET cart", "session:x", "GET /a*b", "GET /a b", "/a?b=1", "session:"] {
            assert!(junk.parse::<Pattern>().is_err(), "{junk}");
        }
    }
}
