//! Envoy asks the routes of a virtual host in their order and takes the first that fits; a rule here knows of no other. What an
//! earlier route takes out of a later one is protected, where that is the same, and else the rule is left out.

use serde_json::Value;

use super::find::{Around, Found, PATHS, Place, has_own};
use super::on::On;
use super::tree;

/// What earlier routes take.
#[derive(Debug, Default)]
pub(super) struct Before {
    /// Words of `protect`.
    pub(super) protect: Vec<String>,
    pub(super) lost: Vec<String>,
}

/// Whether protecting a route without faults takes it out of this host's rules alone: no other configuration is about it.
pub(super) fn may_protect(found: &[Found<'_>]) -> bool {
    let is_of_first =
        |one: &Found<'_>| found.first().is_some_and(|first| first.around.domains == one.around.domains);
    found.iter().all(|one| one.around.place == Place::Route && is_of_first(one))
}

/// What routes before this one take out of it.
pub(super) fn before(around: &Around<'_>, may_protect: bool) -> Before {
    let mut before = Before::default();
    let Some(own) = around.route else { return before };
    for route in &around.earlier {
        let Some(earlier) = tree::get(route, "match").filter(|earlier| overlap(earlier, own)) else {
            continue;
        };
        let words = on_of(earlier, around).filter(|_| may_protect && !has_own(route, 0));
        match words {
            Some(words) => before.protect.extend(words),
            None => before
                .lost
                .push(format!("an earlier route of the virtual host takes a part of it: {}", said(earlier))),
        }
    }
    before
}

/// The route in words of `protect`, if it can be said in them.
fn on_of(route: &Value, around: &Around<'_>) -> Option<Vec<String>> {
    let on = On::of_route(route);
    let words = on.for_hosts(around).into_iter().map(|on| {
        let text = on.text().filter(|_| on.lost.is_empty())?;
        text.starts_with('"').then_some(text)
    });
    words.collect()
}

/// Whether a path may fit both.
fn overlap(one: &Value, other: &Value) -> bool {
    match (Path::of(one), Path::of(other)) {
        (Path::Exact(one), Path::Exact(other)) => one == other,
        (Path::Exact(path), Path::Below(prefix)) | (Path::Below(prefix), Path::Exact(path)) => {
            path.starts_with(prefix)
        }
        (Path::Below(one), Path::Below(other)) => one.starts_with(other) || other.starts_with(one),
        (Path::Unknown, _) | (_, Path::Unknown) => true,
    }
}

enum Path<'v> {
    Exact(&'v str),
    Below(&'v str),
    Unknown,
}

impl<'v> Path<'v> {
    fn of(route: &'v Value) -> Self {
        let below = tree::text(route, "prefix").or_else(|| tree::text(route, "path_separated_prefix"));
        match (tree::text(route, "path"), below) {
            (Some(path), _) => Self::Exact(path),
            (None, Some(prefix)) => Self::Below(prefix),
            (None, None) => Self::Unknown,
        }
    }
}

/// A route by its path.
fn said(route: &Value) -> String {
    let one = PATHS.iter().find_map(|name| {
        let value = tree::get(route, name)?;
        Some(value.as_str().map_or_else(|| (*name).to_owned(), |path| format!("{name} {path}")))
    });
    one.unwrap_or_else(|| "one without a path".to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // helpers of tests

    use super::super::{documents, rules};

    /// A virtual host of these routes, and what becomes of its rules: ids of those in force, then the text.
    fn import(hosts: &str) -> (Vec<String>, String) {
        let source = format!("name: rds\nvirtual_hosts:\n{hosts}");
        let text = rules(&documents(&source).unwrap(), "envoy.yaml").unwrap();
        let set = fault_rules::parse(&text, "imported", &fault_rules::Loader::NOTHING)
            .unwrap_or_else(|report| panic!("{report}\n{text}"));
        (set.rules().iter().map(|rule| rule.id.clone()).collect(), text)
    }

    const FAULT: &str = "typed_per_filter_config: { envoy.filters.http.fault: { '@type': x/envoy.extensions.filters.http.fault.v3.HTTPFault, abort: { http_status: 503, percentage: { numerator: 5 } } } }";

    #[test]
    fn routes_without_faults_that_come_first_are_protected() {
        let (ids, text) = import(&format!(
            "- name: api
  domains: [api.local]
  routes:
  - {{ match: {{ prefix: /healthz }}, route: {{ cluster: a }} }}
  - {{ match: {{ path: /other/exact, headers: [{{ name: x-a, exact_match: b }}] }}, route: {{ cluster: a }} }}
  - {{ name: all, match: {{ prefix: / }}, route: {{ cluster: a }}, {FAULT} }}
"
        ));
        assert_eq!(ids, ["all-abort"], "{text}");
        let protect =
            "protect = [\"/healthz*/** host api.local\", \"/other/exact host api.local header x-a=b\"]";
        assert!(text.contains(protect), "{text}");
    }

    #[test]
    fn what_other_routes_take_with_faults_of_their_own_is_not_said_twice() {
        let (ids, text) = import(&format!(
            "- name: api
  domains: ['*']
  routes:
  - {{ name: orders, match: {{ prefix: /orders }}, route: {{ cluster: a }}, {FAULT} }}
  - {{ name: carts, match: {{ prefix: /carts }}, route: {{ cluster: a }}, {FAULT} }}
  - {{ name: all, match: {{ prefix: / }}, route: {{ cluster: a }}, {FAULT} }}
"
        ));
        assert_eq!(ids, ["orders-abort", "carts-abort"], "{text}");
        assert!(text.contains("takes a part of it: prefix /orders"), "{text}");
        assert!(text.contains("# id      = \"all-abort\""), "{text}");
    }

    #[test]
    fn a_configuration_that_is_replaced_or_off_is_left_out() {
        let off = "typed_per_filter_config: { envoy.filters.http.fault: { '@type': x/envoy.config.route.v3.FilterConfig, disabled: true, config: {} } }";
        let (ids, text) = import(&format!(
            "- name: api
  domains: ['*']
  {FAULT}
  routes:
  - {{ match: {{ prefix: /quiet }}, route: {{ cluster: a }}, {off} }}
"
        ));
        assert!(ids.is_empty() && text.contains("# Left out: routes that have a configuration"), "{text}");
        let (ids, _) = import(&format!("- name: api\n  domains: ['*']\n  {FAULT}\n  routes: []\n"));
        assert_eq!(ids, ["api-abort"]);
        let wrapped = FAULT.replace(
            "{ '@type'",
            "{ '@type': x/envoy.config.route.v3.FilterConfig, disabled: true, config: { '@type'",
        );
        let hosts = format!("- {{ name: api, domains: ['*'], routes: [], {wrapped} }} }}\n");
        let source = format!("name: rds\nvirtual_hosts:\n{hosts}");
        assert!(rules(&documents(&source).unwrap(), "x").is_none(), "{source}");
    }

    #[test]
    fn one_of_several_weighted_clusters_is_no_whole_route() {
        let clusters = |addresses: &str| {
            format!(
                "- name: api
  domains: ['*']
  routes:
  - match: {{ prefix: / }}
    route: {{ weighted_clusters: {{ clusters: [{{ name: a, weight: 90 }}, {{ name: b, weight: 10, {FAULT} }}] }} }}
{addresses}"
            )
        };
        let (ids, text) = import(&clusters(""));
        assert!(ids.is_empty() && text.contains("# Left out: cluster b: the file does not say"), "{text}");
        let b = "clusters: [{ name: b, load_assignment: { endpoints: [{ lb_endpoints: [{ endpoint: { address: { socket_address: { address: b.local, port_value: 80 } } } }] }] } }]\n";
        let (ids, text) = import(&clusters(b));
        assert_eq!(ids, ["b-abort"], "{text}");
        assert!(text.contains("on      = \"group b\""), "{text}");
    }

    #[test]
    fn a_fault_for_one_cluster_on_the_way_to_another_never_acts() {
        let fault = FAULT.replace("abort:", "upstream_cluster: other, abort:");
        let (ids, text) = import(&format!(
            "- name: api
  domains: ['*']
  routes:
  - match: {{ prefix: / }}
    route: {{ weighted_clusters: {{ clusters: [{{ name: a, weight: 90 }}, {{ name: b, weight: 10, {fault} }}] }} }}
"
        ));
        assert!(ids.is_empty() && text.contains("upstream_cluster other: its route leads to b"), "{text}");
    }

    #[test]
    fn all_hosts_are_those_that_others_leave() {
        let (ids, text) = import(&format!(
            "- {{ name: shop, domains: [shop.local], routes: [] }}
- name: rest
  domains: ['*']
  routes:
  - {{ match: {{ prefix: / }}, route: {{ cluster: a }}, {FAULT} }}
"
        ));
        assert!(ids.is_empty() && text.contains("# Left out: the domain *: other virtual hosts"), "{text}");
    }
}
