//! Where in a configuration faults stand, and what is around them.

use std::collections::BTreeMap;

use serde_json::Value;

use super::tree;

/// A fault configuration and whom it is about.
#[derive(Debug, Clone)]
pub(super) struct Found<'v> {
    pub(super) fault: &'v Value,
    pub(super) around: Around<'v>,
}

/// Whose configuration it is: Envoy takes the nearest one alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Place {
    #[default]
    Filter,
    VirtualHost,
    Route,
}

/// What stands around a fault configuration.
#[derive(Debug, Clone, Default)]
pub(super) struct Around<'v> {
    pub(super) place: Place,
    /// Some of what it is about has a configuration of its own.
    pub(super) is_replaced: bool,
    /// Routes of the virtual host that are asked first.
    pub(super) earlier: Vec<&'v Value>,
    /// Other virtual hosts are asked first.
    pub(super) has_other_hosts: bool,
    /// Of several weighted ones the cluster that it is about.
    pub(super) cluster: Option<&'v str>,
    /// Of the virtual host; empty: all.
    pub(super) domains: Vec<&'v str>,
    /// The match of the route.
    pub(super) route: Option<&'v Value>,
    /// The nearest names, outermost first.
    pub(super) names: Vec<&'v str>,
}

/// Every fault configuration of the documents, in order.
pub(super) fn faults(documents: &[Value]) -> Vec<Found<'_>> {
    let mut found = Vec::new();
    let is_replaced = documents.iter().any(|document| has_own(document, 0));
    for document in documents {
        let bare = is_bare_fault(document) && !is_fault(document);
        if bare {
            found.push(Found { fault: document, around: Around::default() });
        } else {
            walk(document, Around { is_replaced, ..Around::default() }, 0, &mut found);
        }
    }
    found
}

/// Whether a route, or anything else in there, has a fault configuration of its own, be it that it has none.
pub(super) fn has_own(value: &Value, depth: usize) -> bool {
    if DEEPEST < depth {
        return false;
    }
    let within = |child: &Value| has_own(child, depth + 1);
    match value {
        Value::Array(items) => items.iter().any(within),
        Value::Object(object) => {
            let own = tree::get(value, PER_ROUTE).and_then(Value::as_object);
            let is_one = |(name, config): (&String, &Value)| name.ends_with("fault") || is_fault(config);
            own.is_some_and(|own| own.iter().any(is_one)) || object.values().any(within)
        }
        _ => false,
    }
}

/// Addresses of the clusters that the documents define, as `host:port`.
pub(super) fn clusters(documents: &[Value]) -> BTreeMap<String, Vec<String>> {
    let mut found = BTreeMap::new();
    documents.iter().for_each(|document| collect_clusters(document, 0, &mut found));
    found
}

fn walk<'v>(value: &'v Value, mut around: Around<'v>, depth: usize, found: &mut Vec<Found<'v>>) {
    if DEEPEST < depth {
        return;
    }
    if let Value::Array(items) = value {
        items.iter().for_each(|item| walk(item, around.clone(), depth + 1, found));
        return;
    }
    let Value::Object(object) = value else { return };
    if is_fault(value) {
        // A TypedStruct carries the message as its value.
        let fault =
            tree::get(value, "value").filter(|_| tree::get(value, "type_url").is_some()).unwrap_or(value);
        found.push(Found { fault, around });
        return;
    }
    if is_off(value) {
        return;
    }
    around.enter(value, depth);
    for (name, child) in object {
        let mut around = around.clone();
        if tree::is(name, PER_ROUTE) && around.place == Place::Filter {
            around.is_replaced = false; // a route that the file does not show
        }
        match child {
            Value::Array(routes) if name == "routes" && around.place == Place::VirtualHost => {
                for (at, route) in routes.iter().enumerate() {
                    let earlier = routes.iter().take(at).collect();
                    walk(route, Around { earlier, ..around.clone() }, depth + 1, found);
                }
            }
            _ => walk(child, around, depth + 1, found),
        }
    }
}

impl<'v> Around<'v> {
    /// Whether it is about every host.
    pub(super) fn is_everywhere(&self) -> bool {
        self.domains.is_empty() || self.domains.contains(&"*")
    }

    /// What this object says about all within it.
    fn enter(&mut self, value: &'v Value, depth: usize) {
        let hosts = tree::list(value, "virtual_hosts");
        if !hosts.is_empty() {
            self.has_other_hosts = 1 < hosts.len();
        }
        let domains = tree::list(value, "domains");
        if let Some(routes) = tree::get(value, "routes").filter(|_| !domains.is_empty()) {
            self.domains = domains.iter().filter_map(Value::as_str).collect();
            self.place = Place::VirtualHost;
            self.is_replaced = has_own(routes, depth);
        }
        if let Some(route) = tree::get(value, "match").filter(|it| is_route_match(it)) {
            self.route = Some(route);
            self.place = Place::Route;
            self.is_replaced = tree::get(value, "route").is_some_and(|clusters| has_own(clusters, depth));
        }
        if tree::get(value, "weight").is_some() && self.place == Place::Route {
            self.cluster = tree::text(value, "name");
            self.is_replaced = false;
        }
        self.names.extend(tree::text(value, "name").filter(|name| !name.starts_with("envoy.")));
    }
}

/// A filter, or a configuration of it, that is switched off.
fn is_off(value: &Value) -> bool {
    let may_be = ["typed_config", "config"].iter().any(|name| tree::get(value, name).is_some());
    may_be && tree::get(value, "disabled").and_then(Value::as_bool) == Some(true)
}

/// A message that says of itself that it is one.
fn is_fault(value: &Value) -> bool {
    let object = value.as_object();
    let own = object.and_then(|object| object.get("@type")).and_then(Value::as_str);
    [own, tree::text(value, "type_url")].into_iter().flatten().any(|kind| {
        kind.ends_with("envoy.extensions.filters.http.fault.v3.HTTPFault")
            || kind.ends_with("envoy.config.filter.http.fault.v2.HTTPFault")
    })
}

/// A message alone, without its type.
fn is_bare_fault(value: &Value) -> bool {
    ["delay", "abort", "response_rate_limit"]
        .iter()
        .any(|name| tree::get(value, name).is_some_and(Value::is_object))
}

fn is_route_match(value: &Value) -> bool {
    PATHS.iter().any(|name| tree::get(value, name).is_some())
}

fn collect_clusters(value: &Value, depth: usize, found: &mut BTreeMap<String, Vec<String>>) {
    if DEEPEST < depth {
        return;
    }
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect_clusters(item, depth + 1, found)),
        Value::Object(object) => {
            if let (Some(name), Some(load)) = (tree::text(value, "name"), tree::get(value, "load_assignment"))
            {
                found.insert(name.to_owned(), addresses(load));
            }
            object.values().for_each(|child| collect_clusters(child, depth + 1, found));
        }
        _ => {}
    }
}

fn addresses(load: &Value) -> Vec<String> {
    let endpoints = tree::list(load, "endpoints").iter().flat_map(|group| tree::list(group, "lb_endpoints"));
    let address = |endpoint: &Value| {
        let socket = tree::path(endpoint, &["endpoint", "address", "socket_address"])?;
        let (host, port) = (tree::text(socket, "address")?, tree::number(socket, "port_value")?);
        Some(if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") })
    };
    endpoints.filter_map(address).collect()
}

/// What virtual hosts, routes and weighted clusters say to filters.
const PER_ROUTE: &str = "typed_per_filter_config";

/// How a route names paths.
pub(super) const PATHS: &[&str] =
    &["prefix", "path", "safe_regex", "path_separated_prefix", "connect_matcher", "path_match_policy"];

/// Configurations are some twenty deep; deeper is none.
const DEEPEST: usize = 64;
