//! Whom a fault is about: routes, domains and header matchers as an `on` of ours.

use serde_json::Value;

use super::find::Around;
use super::tree;

/// An `on`, and what could not be said in it.
#[derive(Debug, Clone, Default)]
pub(super) struct On {
    method: Option<String>,
    path: Option<String>,
    host: Option<String>,
    headers: Vec<(String, Option<String>)>,
    group: Option<String>,
    /// Without these it would be about more than it was.
    pub(super) lost: Vec<String>,
    /// Worth knowing.
    pub(super) notes: Vec<String>,
}

impl On {
    /// One for each domain of the virtual host.
    pub(super) fn all(fault: &Value, around: &Around<'_>) -> Vec<Self> {
        let mut on = Self::default();
        if let Some(route) = around.route {
            on.route(route);
        }
        if around.is_replaced {
            on.lost.push(
                "routes that have a configuration of their own, which holds there alone in Envoy".to_owned(),
            );
        }
        tree::list(fault, "headers").iter().for_each(|matcher| on.header(matcher));
        if !tree::list(fault, "downstream_nodes").is_empty() {
            on.lost.push("downstream_nodes: nodes of Envoy's own mesh".to_owned());
        }
        if around.is_everywhere() {
            if around.has_other_hosts {
                on.lost.push("the domain *: other virtual hosts come first in Envoy".to_owned());
            }
            return vec![on];
        }
        on.for_hosts(around)
    }

    /// A route alone, without its virtual host.
    pub(super) fn of_route(route: &Value) -> Self {
        let mut on = Self::default();
        on.route(route);
        on
    }

    /// One for each domain of the virtual host.
    pub(super) fn for_hosts(self, around: &Around<'_>) -> Vec<Self> {
        if around.is_everywhere() {
            return vec![self];
        }
        around.domains.iter().map(|domain| self.clone().of_host(domain)).collect()
    }

    /// Restricts it to a group of upstreams.
    pub(super) fn of_group(&mut self, name: &str) {
        self.group = Some(name.to_owned());
    }

    /// As a TOML value; `None`: all exchanges.
    pub(super) fn text(&self) -> Option<String> {
        let plain =
            |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\');
        let words_do = self.headers.iter().all(|(_, value)| value.as_deref().is_none_or(plain));
        let (method, path) = (self.method.clone(), self.path.clone());
        let host = self.host.as_ref().map(|host| ("host", host.clone()));
        let group = self.group.as_ref().map(|group| ("group", group.clone()));
        if words_do {
            let named = host.into_iter().chain(group).map(|(key, name)| format!("{key} {name}"));
            let headers = self.headers.iter().map(|(name, value)| match value {
                Some(value) => format!("header {name}={value}"),
                None => format!("header {name}"),
            });
            let words: Vec<_> = method.into_iter().chain(path).chain(named).chain(headers).collect();
            return (!words.is_empty()).then(|| quoted(&words.join(" ")));
        }
        let pairs = [method.map(|it| ("method", it)), path.map(|it| ("path", it)), host, group];
        let pairs = pairs.into_iter().flatten().map(|(key, value)| format!("{key} = {}", quoted(&value)));
        let header = |(name, value): &(String, Option<String>)| {
            format!("{} = {}", quoted(name), quoted(value.as_deref().unwrap_or("*")))
        };
        let headers: Vec<_> = self.headers.iter().map(header).collect();
        let headers = format!("header = {{ {} }}", headers.join(", "));
        Some(format!("{{ {} }}", pairs.chain([headers]).collect::<Vec<_>>().join(", ")))
    }

    fn of_host(mut self, domain: &str) -> Self {
        let name = domain.strip_prefix("*.").unwrap_or(domain);
        if name.is_empty() || name.contains('*') {
            self.lost.push(format!("the domain {domain}: `*.` stands only in front of a whole name here"));
        } else {
            self.host = Some(domain.to_owned());
        }
        self
    }

    fn route(&mut self, route: &Value) {
        let known =
            ["prefix", "path", "path_separated_prefix", "case_sensitive", "headers", "grpc", "safe_regex"];
        for other in tree::others(route, &known) {
            self.lost.push(format!("{other} of the route"));
        }
        if tree::get(route, "case_sensitive").and_then(Value::as_bool) == Some(false) {
            self.lost.push("case_sensitive: paths are compared as they are sent here".to_owned());
        }
        if tree::get(route, "safe_regex").is_some() {
            self.lost.push("safe_regex of the route: write a path template, `/api/{id}/**`".to_owned());
        }
        if let Some(exact) = tree::text(route, "path") {
            self.exact_path(exact);
        } else if let Some(prefix) = tree::text(route, "path_separated_prefix") {
            self.set_path(&format!("{}/**", prefix.trim_end_matches('/')), prefix);
        } else if let Some(prefix) = tree::text(route, "prefix") {
            self.prefix(prefix);
        }
        if tree::get(route, "grpc").is_some() {
            self.headers.push(("content-type".to_owned(), Some("application/grpc".to_owned())));
            self.notes.push("grpc of the route: only content-type application/grpc itself".to_owned());
        }
        tree::list(route, "headers").iter().for_each(|matcher| self.header(matcher));
    }

    fn prefix(&mut self, prefix: &str) {
        match prefix.strip_suffix('/') {
            Some("") => {}
            Some(folder) => {
                self.set_path(&format!("{folder}/**"), prefix);
                self.notes.push(format!("prefix {prefix}: {folder} alone is meant here, too"));
            }
            None => self.set_path(&format!("{prefix}*/**"), prefix),
        }
    }

    fn exact_path(&mut self, path: &str) {
        match path.split_once('?') {
            Some(_) => self.lost.push(format!("the query of {path}: rules go by the path alone")),
            None => self.set_path(path, path),
        }
    }

    /// A path whose text means the same as a template; `from` is what it was written as.
    fn set_path(&mut self, template: &str, from: &str) {
        let literal = from.starts_with('/') && from.bytes().all(|byte| byte.is_ascii_graphic());
        let free = !from.contains(['*', '{', '}', '?', '#']);
        match &self.path {
            Some(first) if first != template => self.lost.push(format!("a second path, {from}")),
            _ if literal && free => self.path = Some(template.to_owned()),
            _ => self.lost.push(format!("the path {from}: it would mean something else in a template")),
        }
    }

    fn header(&mut self, matcher: &Value) {
        let name = tree::text(matcher, "name").unwrap_or_default().to_ascii_lowercase();
        if tree::get(matcher, "invert_match").and_then(Value::as_bool) == Some(true) {
            self.lost
                .push(format!("invert_match of {name}: a rule says whom it is about, not whom it is not"));
            return;
        }
        match (name.as_str(), Test::of(matcher)) {
            (_, Test::Unknown(how)) => {
                self.lost.push(format!("{how} of {name}: only an exact value or mere presence"));
            }
            ("", _) => self.lost.push("a header without a name".to_owned()),
            (":method", Test::Exact(method)) => self.method = Some(method),
            (":path", Test::Exact(path)) => self.exact_path(&path),
            (":path", Test::Prefix(prefix)) => self.prefix(&prefix),
            (":authority" | "host", Test::Exact(host)) => self.host = Some(host),
            (_, Test::Prefix(_)) => {
                self.lost.push(format!("prefix of {name}: only an exact value or mere presence"));
            }
            (pseudo, Test::Present) if pseudo.starts_with(':') => {}
            (pseudo, _) if pseudo.starts_with(':') => self.lost.push(format!("{pseudo}: not a header here")),
            (_, Test::Present) => self.headers.push((name, None)),
            (_, Test::Exact(value)) if value == "*" => {
                self.lost.push(format!("the value * of {name}: it stands for any value here"));
            }
            (_, Test::Exact(value)) => self.headers.push((name, Some(value))),
        }
    }
}

/// How a header is tested.
enum Test {
    Present,
    Exact(String),
    Prefix(String),
    Unknown(String),
}

impl Test {
    fn of(matcher: &Value) -> Self {
        let string = tree::get(matcher, "string_match");
        let folds = string.and_then(|it| tree::get(it, "ignore_case")).and_then(Value::as_bool) == Some(true);
        let of_string = |name| string.and_then(|it| tree::text(it, name));
        let exact = tree::text(matcher, "exact_match").or_else(|| of_string("exact"));
        let prefix = tree::text(matcher, "prefix_match").or_else(|| of_string("prefix"));
        let present = tree::get(matcher, "present_match").and_then(Value::as_bool);
        match (exact, prefix, present) {
            _ if folds => Self::Unknown("ignore_case".to_owned()),
            (Some(exact), _, _) => Self::Exact(exact.to_owned()),
            (_, Some(prefix), _) => Self::Prefix(prefix.to_owned()),
            (_, _, Some(true)) => Self::Present,
            (_, _, Some(false)) => Self::Unknown("present_match: false".to_owned()),
            _ => {
                let mut tests =
                    tree::others(matcher, &["name", "invert_match", "treat_missing_header_as_empty"]);
                // A matcher without a test asks for presence.
                if tests.is_empty() { Self::Present } else { Self::Unknown(tests.remove(0)) }
            }
        }
    }
}

/// As a basic string of TOML: JSON escapes the same.
pub(super) fn quoted(text: &str) -> String {
    Value::from(text).to_string().replace('\u{7f}', "\\u007f")
}
