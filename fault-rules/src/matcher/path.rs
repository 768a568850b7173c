//! Path templates: `/api/cart/{id}`, `/media/*.jpg`, `/api/**`.
//!
//! The path is compared raw as it was sent: no decoding, no folding of case, no removal of dots or doubled slashes. What
//! a router makes of such paths differs from one to the next; the bytes do not.

/// A compiled template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Template {
    text: String,
    /// The bytes that every matching path begins with.
    prefix: String,
    segments: Vec<Segment>,
    /// Names in braces, and the places of their parts.
    names: Vec<(String, usize)>,
    /// Ends in `/**`: anything may follow, and nothing.
    rest: bool,
}

/// One part between slashes.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    Literal(String),
    /// `{name}` or `*` alone: anything that is not empty.
    Any,
    /// Literal pieces with a `*` between each two.
    Glob(Vec<String>),
}

/// Why a template cannot be read, and where (byte range in its text).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PathError {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) message: &'static str,
    pub(crate) help: String,
}

impl Template {
    pub(crate) fn parse(text: &str) -> Result<Self, PathError> {
        let whole =
            |message, help: &str| PathError { start: 0, end: text.len(), message, help: help.to_owned() };
        let Some(tail) = text.strip_prefix('/') else {
            return Err(whole("a path begins with `/`", &format!("write `/{text}`")));
        };
        if let Some(at) = text.find(['?', '#']) {
            let help = "drop it: a rule goes by the path, the query is never part of it".to_owned();
            return Err(PathError {
                start: at,
                end: text.len(),
                message: "a query in a path template",
                help,
            });
        }
        if let Some((at, bad)) = text.char_indices().find(|(_, c)| !c.is_ascii_graphic()) {
            let help = format!("paths are compared as they are sent: write `{}`", percent_encoded(bad));
            let message = "a character that never stands in a path";
            return Err(PathError { start: at, end: at + bad.len_utf8(), message, help });
        }
        let (body, rest) = match tail.strip_suffix("**") {
            Some("") => (None, true),
            Some(head) if head.ends_with('/') => (head.strip_suffix('/'), true),
            _ => (Some(tail), false),
        };
        let mut segments = Vec::new();
        let mut names: Vec<&str> = Vec::new();
        let mut places = Vec::new();
        let mut start = 1;
        for part in body.into_iter().flat_map(|body| body.split('/')) {
            let known = names.len();
            segments.push(Segment::parse(part, start, &mut names)?);
            places.extend(names.iter().skip(known).map(|name| ((*name).to_owned(), segments.len() - 1)));
            start += part.len() + 1;
        }
        let prefix = prefix(&segments, rest);
        Ok(Self { text: text.to_owned(), prefix, segments, names: places, rest })
    }

    /// The template of a recorded route, in which `{id}` may stand several times.
    pub(crate) fn of_route(path: &str) -> Option<Self> {
        let mut parts: Vec<_> = path.split('/').map(str::to_owned).collect();
        for (place, part) in parts.iter_mut().enumerate() {
            match part.as_str() {
                "{id}" => *part = format!("{{id{place}}}"),
                // Literal text that would mean something else in a template.
                other if other.contains(['*', '{', '}']) => return None,
                _ => {}
            }
        }
        Self::parse(&parts.join("/")).ok()
    }

    pub(crate) fn matches(&self, path: &str) -> bool {
        if !path.starts_with(&self.prefix) {
            return false;
        }
        let Some(tail) = path.strip_prefix('/') else { return false };
        let mut parts = tail.split('/');
        let fits = self.segments.iter().all(|segment| parts.next().is_some_and(|part| segment.matches(part)));
        fits && (self.rest || parts.next().is_none())
    }

    /// The part of a path that `{name}` stands for.
    pub(crate) fn part<'a>(&self, name: &str, path: &'a str) -> Option<&'a str> {
        let (_, place) = self.names.iter().find(|(known, _)| known == name)?;
        path.strip_prefix('/')?.split('/').nth(*place)
    }

    /// Whether `{name}` stands in it.
    pub(crate) fn has_name(&self, name: &str) -> bool {
        self.names().any(|known| known == name)
    }

    /// The names in braces, in order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(|(name, _)| name.as_str())
    }

    /// The bytes that every matching path begins with.
    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// How many parts a matching path has, at least and at most.
    pub(crate) fn parts(&self) -> (usize, usize) {
        let least = self.segments.len();
        (least, if self.rest { usize::MAX } else { least })
    }

    /// The last literal part and its place: what most often tells one template from another.
    pub(crate) fn pivot(&self) -> Option<(usize, &str)> {
        self.segments.iter().enumerate().rev().find_map(|(place, segment)| match segment {
            Segment::Literal(literal) => Some((place, literal.as_str())),
            _ => None,
        })
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Whether every path of `other` matches too. Errs on the side of no.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        let same_length = self.segments.len() == other.segments.len() && !other.rest;
        let begins_it = self.rest && self.segments.len() <= other.segments.len();
        (same_length || begins_it)
            && self.segments.iter().zip(&other.segments).all(|(wide, narrow)| wide.covers(narrow))
    }
}

impl Segment {
    fn parse<'t>(part: &'t str, start: usize, names: &mut Vec<&'t str>) -> Result<Self, PathError> {
        let error = |message, help: &str| {
            Err(PathError { start, end: start + part.len().max(1), message, help: help.to_owned() })
        };
        if part.contains("**") {
            return error("`**` stands for any rest of the path", "let it be the last part: `/api/**`");
        }
        if let Some(name) = part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
            if !is_name(name) {
                return error(
                    "a name in braces begins with a letter, then letters, digits or `_`",
                    "write `{id}`",
                );
            }
            if names.contains(&name) {
                return error("the same name twice in one path", "give the second one another name");
            }
            names.push(name);
            return Ok(Self::Any);
        }
        if part.contains(['{', '}']) {
            return error("`{name}` stands for a whole part between slashes", "use `*` within a part: `v*`");
        }
        Ok(match part {
            "*" => Self::Any,
            glob if glob.contains('*') => Self::Glob(glob.split('*').map(str::to_owned).collect()),
            literal => Self::Literal(literal.to_owned()),
        })
    }

    fn matches(&self, part: &str) -> bool {
        match self {
            Self::Literal(literal) => literal == part,
            Self::Any => !part.is_empty(),
            Self::Glob(pieces) => glob(pieces, part),
        }
    }

    fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, Self::Any) => true,
            (wide, Self::Literal(literal)) => wide.matches(literal),
            (wide, narrow) => wide == narrow,
        }
    }
}

/// First piece at the start, last at the end, the others in order between; earliest place first is enough.
fn glob(pieces: &[String], part: &str) -> bool {
    let [first, middle @ .., last] = pieces else { return false };
    let Some(mut rest) = part.strip_prefix(first.as_str()).and_then(|rest| rest.strip_suffix(last.as_str()))
    else {
        return false;
    };
    middle.iter().all(|piece| match rest.find(piece.as_str()) {
        Some(at) => {
            rest = rest.get(at + piece.len()..).unwrap_or("");
            true
        }
        None => false,
    })
}

fn prefix(segments: &[Segment], rest: bool) -> String {
    let mut prefix = String::new();
    for segment in segments {
        prefix.push('/');
        match segment {
            Segment::Literal(literal) => prefix.push_str(literal),
            Segment::Any => return prefix,
            Segment::Glob(pieces) => {
                prefix.push_str(pieces.first().map_or("", String::as_str));
                return prefix;
            }
        }
    }
    // `/**` alone: every path begins with the slash. `/api/**` also matches `/api`, which has no slash behind.
    if rest && segments.is_empty() {
        prefix.push('/');
    }
    prefix
}

fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn percent_encoded(bad: char) -> String {
    let mut buffer = [0; 4];
    bad.encode_utf8(&mut buffer).bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_match_as_written() {
        let check = |template: &str, path: &str, expect: bool| {
            let template = Template::parse(template).unwrap();
            assert_eq!(template.matches(path), expect, "{} on {path}", template.text());
            assert!(!expect || path.starts_with(template.prefix()), "{} on {path}", template.text());
        };
        check("/", "/", true);
        check("/", "/a", false);
        check("/", "", false);
        check("/**", "/", true);
        check("/**", "/a/b", true);
        check("/**", "*", false);
        check("/api/**", "/api", true);
        check("/api/**", "/api/", true);
        check("/api/**", "/api/a/b", true);
        check("/api/**", "/apis", false);
        check("/api/cart/{id}", "/api/cart/7", true);
        check("/api/cart/{id}", "/api/cart/", false);
        check("/api/cart/{id}", "/api/cart/7/x", false);
        check("/api/{a}/x/{b}", "/api/1/x/2", true);
        check("/a/*", "/a/b", true);
        check("/a/*", "/a/", false);
        check("/a/", "/a", false);
        check("/a//b", "/a//b", true);
        check("/A", "/a", false);
        check("/media/*.jpg", "/media/a.jpg", true);
        check("/media/*.jpg", "/media/.jpg", true);
        check("/media/*.jpg", "/media/a.jpg.png", false);
        check("/m/a*b*c", "/m/a-b-bc", true);
        check("/m/a*b*c", "/m/ac", false);
        check("/m/ab*ba", "/m/aba", false);
        check("/%C3%A9", "/%C3%A9", true);
        check("/v*/**", "/v2/a", true);
    }

    #[test]
    fn bad_templates_are_refused_with_their_place() {
        let check = |template: &str, start: usize, end: usize| {
            let error = Template::parse(template).unwrap_err();
            assert_eq!((error.start, error.end), (start, end), "{template}: {}", error.message);
            assert!(!error.help.is_empty());
        };
        check("api", 0, 3);
        check("", 0, 0);
        check("/a?b=1", 2, 6);
        check("/a b", 2, 3);
        check("/caf\u{e9}", 4, 6);
        check("/a/**/b", 3, 5);
        check("/a/b**", 3, 6);
        check("/a/{}", 3, 5);
        check("/a/{1}", 3, 6);
        check("/a/v{n}", 3, 7);
        check("/{a}/{a}", 5, 8);
    }

    #[test]
    fn covering_is_never_claimed_wrongly() {
        let check = |wide: &str, narrow: &str, expect: bool| {
            let (wide, narrow) = (Template::parse(wide).unwrap(), Template::parse(narrow).unwrap());
            assert_eq!(wide.covers(&narrow), expect, "{} over {}", wide.text(), narrow.text());
        };
        check("/**", "/a/b", true);
        check("/**", "/**", true);
        check("/a/**", "/a", true);
        check("/a", "/a/**", false);
        check("/a/{id}", "/a/b", true);
        check("/a/{id}", "/a/*", true);
        check("/a/{id}", "/a/", false);
        check("/a/b*", "/a/bcd", true);
        check("/a/b", "/a/{id}", false);
        check("/a/{x}/**", "/a/**", false);
    }
}
