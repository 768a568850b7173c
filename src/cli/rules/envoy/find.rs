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

/// What stands around a fault configuration.
#[derive(Debug, Clone, Default)]
pub(super) struct Around<'v> {
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
    for document in documents {
        let bare = is_bare_fault(document) && !is_fault(document);
        if bare {
            found.push(Found { fault: document, around: Around::default() });
        } else {
            walk(document, Around::default(), 0, &mut found);
        }
    }
    found
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
    let domains = tree::list(value, "domains");
    if !domains.is_empty() && tree::get(value, "routes").is_some() {
        around.domains = domains.iter().filter_map(Value::as_str).collect();
    }
    if let Some(route) = tree::get(value, "match").filter(|it| is_route_match(it)) {
        around.route = Some(route);
    }
    around.names.extend(tree::text(value, "name").filter(|name| !name.starts_with("envoy.")));
    for child in object.values() {
        walk(child, around.clone(), depth + 1, found);
    }
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

/// How a route names paths.
const PATHS: &[&str] =
    &["prefix", "path", "safe_regex", "path_separated_prefix", "connect_matcher", "path_match_policy"];

/// Configurations are some twenty deep; deeper is none.
const DEEPEST: usize = 64;
