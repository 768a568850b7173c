//! `--only` and `--exclude`: which exchanges are replayed.

use std::str::FromStr;

/// Names routes, or one session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(Kind);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    /// `GET /cart/{id}`, or all that begins so; without a method, of any.
    Route { method: Option<String>, path: String, prefix: bool },
    /// One session, or one clone of it.
    Session { id: u64, clone: Option<u32> },
}

/// What an exchange is matched by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject<'a> {
    /// The recorded session.
    pub(crate) session: u64,
    /// The same as `squall-session` carries it.
    pub(crate) word: u64,
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
            Kind::Session { id, .. } => *id == subject.session || *id == subject.word,
            Kind::Route { method, path, prefix } => {
                let route = subject.route.split_once(' ').map_or("", |(_, path)| path);
                let fits = |known: &str| if *prefix { known.starts_with(path) } else { known == path };
                method.as_deref().is_none_or(|method| method.eq_ignore_ascii_case(subject.method))
                    && (fits(route) || fits(subject.path))
            }
        }
    }
}

impl Pattern {
    /// The one clone that is asked for, and its session.
    pub(crate) fn clone_of(&self) -> Option<(u64, u32)> {
        match self.0 {
            Kind::Session { id, clone } => Some((id, clone?)),
            Kind::Route { .. } => None,
        }
    }
}

impl FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Pattern, String> {
        let typed = text.trim();
        if let Some(id) = typed.strip_prefix("session:") {
            return session(id.trim()).ok_or_else(|| {
                format!("`{text}`: a session is a number in hex, as in session:2f, with a clone of it as in session:2f-7")
            });
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

/// `2f`, or `2f-7` as `squall-session` has it after the tag of the run.
fn session(text: &str) -> Option<Pattern> {
    let (id, clone) = text.split_once('-').map_or((text, None), |(id, clone)| (id, Some(clone)));
    let id = u64::from_str_radix(id, 16).ok()?;
    let clone = clone.map(str::parse).transpose().ok()?;
    Some(Pattern(Kind::Session { id, clone }))
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
        let (session, word) = (0x2f, 0x3f);
        let subject =
            Subject { session, word, route: "GET /cart/{id}/items", method: "GET", path: "/cart/42/items" };
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
        check("session:2f-7", true);
        check("session:3f", true);
        check("POST /cart/{id}/items", false);
        check("GET /cart/{id}", false);
        check("GET /carts*", false);
        check("session:1", false);
        for junk in [
            "",
            "GET",
            "GET cart",
            "session:x",
            "GET /a*b",
            "GET /a b",
            "/a?b=1",
            "session:",
            "session:2f-",
            "session:2f-x",
        ] {
            assert!(junk.parse::<Pattern>().is_err(), "{junk}");
        }
    }
}
