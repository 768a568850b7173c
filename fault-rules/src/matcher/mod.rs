//! Which exchanges a rule is about: the `on` of the language, compiled.
//!
//! Nothing is allocated and no regular expression runs per request. A [`Gates`] table, one entry a rule, refuses
//! nearly all rules that do not match by comparing numbers, before their matcher is looked at.

mod gate;
mod host;
mod method;
mod path;

pub(crate) use gate::Gates;
pub(crate) use host::Host;
pub(crate) use method::{KNOWN as KNOWN_METHODS, Methods};
pub(crate) use path::Template;

use crate::decide::Facts;
use crate::group::Group;

/// A conjunction: all that is said must hold; an empty matcher matches everything.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Matcher {
    pub(crate) methods: Methods,
    pub(crate) path: Option<Template>,
    pub(crate) host: Option<Host>,
    pub(crate) headers: Vec<HeaderTest>,
    pub(crate) edge: Option<String>,
    pub(crate) group: Option<Group>,
    /// Statuses of the origin's answer; not part of [`Matcher::matches`].
    pub(crate) status: Option<Statuses>,
}

/// Statuses of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statuses {
    /// Inclusive ranges of statuses, at least one: `2xx` is (200, 299).
    pub(crate) ranges: Vec<(u16, u16)>,
}

impl Statuses {
    /// Whether a test holds for every status among them.
    pub(crate) fn all(&self, test: impl Fn(u16) -> bool) -> bool {
        self.ranges.iter().all(|(from, to)| (*from..=*to).all(&test))
    }

    /// Whether a status is among them.
    #[must_use]
    pub fn has(&self, status: u16) -> bool {
        self.ranges.iter().any(|(from, to)| (*from..=*to).contains(&status))
    }
}

/// A header that must be there, and perhaps its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HeaderTest {
    /// Lower case.
    pub(crate) name: String,
    /// Exact, case-sensitive; `None`: any value.
    pub(crate) value: Option<String>,
}

impl Matcher {
    /// Whether the exchange is meant.
    #[must_use]
    pub fn matches(&self, facts: &Facts<'_>) -> bool {
        self.methods.contains(facts.method)
            && self.path.as_ref().is_none_or(|path| path.matches(facts.path))
            && self.edge.as_ref().is_none_or(|edge| edge == facts.edge)
            && self.host.as_ref().is_none_or(|host| host.matches(facts.authority))
            && self.group.as_ref().is_none_or(|group| group.has(facts.upstream))
            && self.headers.iter().all(|header| header.holds(facts))
    }

    /// What the answer's status must be among, where the rule waits for it (`-> 2xx`).
    #[must_use]
    pub fn status(&self) -> Option<&Statuses> {
        self.status.as_ref()
    }

    /// The path template, as it was written, where it names one.
    #[must_use]
    pub fn path(&self) -> Option<&str> {
        self.path.as_ref().map(Template::text)
    }

    /// The group that it is about, where it names one.
    #[must_use]
    pub fn group(&self) -> Option<&Group> {
        self.group.as_ref()
    }

    /// The same for all upstreams.
    #[must_use]
    pub fn without_group(&self) -> Self {
        Self { group: None, ..self.clone() }
    }

    /// Whether every exchange is meant.
    pub(crate) fn is_everything(&self) -> bool {
        let any_path = self.path.as_ref().is_none_or(|path| path.text() == "/**");
        any_path && Self { path: None, ..self.clone() } == Self::default()
    }

    /// Whether it asks for streams by what clients say of themselves: server-sent events, gRPC, WebSocket.
    pub(crate) fn names_streams(&self) -> bool {
        self.headers.iter().any(|test| {
            let value = test.value.as_deref().unwrap_or("");
            match test.name.as_str() {
                "accept" => value.starts_with("text/event-stream"),
                "content-type" => value.starts_with("application/grpc"),
                "upgrade" => value.eq_ignore_ascii_case("websocket"),
                _ => false,
            }
        })
    }

    /// The part of a path that a `{name}` of the template stands for.
    pub(crate) fn path_part<'a>(&self, name: &str, path: &'a str) -> Option<&'a str> {
        self.path.as_ref()?.part(name, path)
    }

    /// Whether every exchange that `other` matches is matched too. Errs on the side of no.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        self.methods.covers(other.methods)
            && covers(self.path.as_ref(), other.path.as_ref(), Template::covers)
            && covers(self.edge.as_ref(), other.edge.as_ref(), String::eq)
            && covers(self.host.as_ref(), other.host.as_ref(), Host::eq)
            && covers(self.group.as_ref(), other.group.as_ref(), Group::eq)
            && covers(self.status.as_ref(), other.status.as_ref(), Statuses::eq)
            && self.headers.iter().all(|header| other.headers.contains(header))
    }

    /// The matcher in words, for [`crate::Rule::explain`].
    pub(crate) fn describe(&self) -> String {
        let mut words = vec![self.methods.describe()];
        words.push(self.path.as_ref().map_or("any path".to_owned(), |path| path.text().to_owned()));
        if let Some(host) = &self.host {
            words.push(format!("of host {}", host.describe()));
        }
        if let Some(edge) = &self.edge {
            words.push(format!("on edge {edge}"));
        }
        if let Some(group) = &self.group {
            words.push(format!("for group {}", group.name));
        }
        for header in &self.headers {
            words.push(match &header.value {
                Some(value) => format!("with header {} = {value}", header.name),
                None => format!("with header {}", header.name),
            });
        }
        if let Some(status) = &self.status {
            let range = |(from, to): &(u16, u16)| match (from % 100, to - from) {
                (0, 99) => format!("{}xx", from / 100),
                (_, 0) => from.to_string(),
                _ => format!("{from} to {to}"),
            };
            let ranges: Vec<_> = status.ranges.iter().map(range).collect();
            words.push(format!("answered {}", ranges.join(" or ")));
        }
        words.join(" ")
    }
}

impl HeaderTest {
    fn holds(&self, facts: &Facts<'_>) -> bool {
        match ((facts.header)(&self.name), &self.value) {
            (Some(found), Some(wanted)) => found == wanted,
            (found, None) => found.is_some(),
            (None, Some(_)) => false,
        }
    }
}

/// Nothing asked for covers everything; a demand covers only a demand that is as narrow.
fn covers<T>(wide: Option<&T>, narrow: Option<&T>, holds: impl Fn(&T, &T) -> bool) -> bool {
    match (wide, narrow) {
        (None, _) => true,
        (Some(wide), Some(narrow)) => holds(wide, narrow),
        (Some(_), None) => false,
    }
}
