//! Configurations of Envoy, and the rules that they become. All of them are read by our own parser.

#![allow(clippy::unwrap_used)] // helpers of tests

use fault_rules::{Facts, Loader, RuleSet, parse};

use super::{documents, rules};

/// The rule file, and what our parser makes of it.
fn import(source: &str) -> (String, RuleSet) {
    let text = rules(&documents(source).unwrap(), "envoy.yaml").unwrap();
    let set = parse(&text, "imported", &Loader::NOTHING).unwrap_or_else(|report| panic!("{report}\n{text}"));
    (text, set)
}

/// A request for a path.
fn asks(path: &str) -> Facts<'_> {
    Facts {
        edge: "default",
        method: "GET",
        authority: "shop.local",
        path,
        query: "",
        header: &|_| None,
        operation: "o",
        attempt: 1,
        session: "s",
        connection: 1,
        client: "c",
        upstream: "",
    }
}

/// Rules in words.
fn words(set: &RuleSet) -> Vec<String> {
    set.rules().iter().map(|rule| format!("{}: {}", rule.id, rule.explain())).collect()
}

#[test]
fn a_message_alone_becomes_a_rule_for_each_roll() {
    let (text, set) = import(
        "delay:
  fixed_delay: 1.5s
  percentage: { numerator: 25, denominator: TEN_THOUSAND }
abort:
  http_status: 503
  percentage: { numerator: 10, denominator: HUNDRED }
response_rate_limit:
  fixed_limit: { limit_kbps: 64 }
  percentage: { numerator: 1, denominator: MILLION }
max_active_faults: 100
headers:
- name: x-tenant
  string_match: { exact: acme inc }
- name: x-debug
  present_match: true
- { name: ':method', exact_match: POST }
",
    );
    let on = "POST any path with header x-debug with header x-tenant = acme inc";
    assert_eq!(
        words(&set),
        [
            format!("envoy-delay: 0.25% of requests on {on}: wait 1s500ms"),
            format!("envoy-abort: 10% of requests on {on}: answer 503"),
            format!("envoy-rate: 0.0001% of requests on {on}: at most 65536 B/s to the client"),
        ]
    );
    assert_eq!(set.safety.max_active, Some(100));
    assert!(!text.contains("Left out"), "{text}");
}

#[test]
fn json_in_camel_case_is_the_same() {
    let (_, set) = import(
        r#"{"abort": {"grpcStatus": 14, "percentage": {"numerator": 100}}, "delay": {"fixedDelay": {"seconds": "2", "nanos": 5000000}, "percentage": {"numerator": 200}}}"#,
    );
    assert_eq!(
        words(&set),
        [
            "envoy-delay: all requests on any method any path: wait 2s5ms",
            "envoy-abort: all requests on any method any path: answer with gRPC status UNAVAILABLE",
        ]
    );
}

/// As a static configuration has it: filters of a listener, routes with faults of their own, clusters with addresses.
const LISTENER: &str = r#"
static_resources:
  listeners:
  - name: ingress
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          route_config:
            name: local
            virtual_hosts:
            - name: shop
              domains: ["shop.local", "*.shop.local:8443"]
              routes:
              - name: cart
                match: { path_separated_prefix: /api/cart, headers: [{ name: x-canary, exact_match: "yes" }] }
                route: { cluster: carts }
                typed_per_filter_config:
                  envoy.filters.http.fault:
                    "@type": type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault
                    abort: { http_status: 429, percentage: { numerator: 5 } }
              - match: { safe_regex: { regex: "/x/.*" } }
                route: { cluster: carts }
                typed_per_filter_config:
                  envoy.filters.http.fault:
                    "@type": type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault
                    delay: { fixed_delay: 3s, percentage: { numerator: 5 } }
          http_filters:
          - name: envoy.filters.http.fault
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault
              upstream_cluster: payments
              delay: { fixed_delay: 0.005s, percentage: { numerator: 50 } }
              abort_percent_runtime: fault.abort
  clusters:
  - name: payments
    load_assignment:
      cluster_name: payments
      endpoints:
      - lb_endpoints:
        - endpoint: { address: { socket_address: { address: 10.0.0.7, port_value: 9201 } } }
        - endpoint: { address: { socket_address: { address: "fd00::7", port_value: 9201 } } }
"#;

#[test]
fn routes_hosts_and_clusters_say_whom_it_is_about() {
    let (text, set) = import(LISTENER);
    assert_eq!(
        words(&set),
        [
            "cart-abort: 5% of requests on any method /api/cart/** of host shop.local with header x-canary = yes: answer 429",
            "cart-abort-2: 5% of requests on any method /api/cart/** of host *.shop.local:8443 with header x-canary = yes: answer 429",
        ]
    );
    assert_eq!(set.groups[0].members, ["10.0.0.7:9201", "[fd00::7]:9201"]);
    assert!(text.contains("# Left out: routes that have a configuration of their own"), "{text}");
    assert!(text.contains("# id      = \"ingress-delay\"\n# on      = \"group payments\"\n"), "{text}");
    assert!(text.contains("# Left out: safe_regex of the route: write a path template"), "{text}");
    assert!(text.contains("# [[rule]]\n# id      = \"shop-delay\"\n"), "{text}");
    assert!(text.contains("# ingress: abort_percent_runtime has no counterpart"), "{text}");
    // without the routes the filter's own is about everything
    let (head, rest) = LISTENER.split_once("          route_config:\n").unwrap();
    let (_, tail) = rest.split_once("          http_filters:\n").unwrap();
    let (_, set) = import(&format!("{head}          http_filters:\n{tail}"));
    assert_eq!(
        words(&set),
        ["ingress-delay: 50% of requests on any method any path for group payments: wait 5ms"]
    );
}

#[test]
fn istio_filters_are_found_in_several_documents() {
    let (_, set) = import(
        r#"
apiVersion: v1
kind: Namespace
---
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: { name: hello-world-filter }
spec:
  configPatches:
  - applyTo: HTTP_FILTER
    patch:
      operation: INSERT_BEFORE
      value:
        name: envoy.fault
        typed_config:
          "@type": "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault"
          abort: { http_status: 500, percentage: { numerator: 50, denominator: HUNDRED } }
"#,
    );
    assert_eq!(words(&set), ["envoy-abort: 50% of requests on any method any path: answer 500"]);
}

#[test]
fn what_would_be_wider_is_commented_out_with_the_reason() {
    let off = |matcher: &str, why: &str| {
        let source = format!("abort: {{ http_status: 500, percentage: {{ numerator: 5 }} }}\n{matcher}\n");
        let (text, set) = import(&source);
        assert!(set.rules().is_empty(), "{text}");
        assert!(text.contains(&format!("# Left out: {why}")), "{text}");
        assert!(text.contains("# respond = 500"), "{text}");
    };
    off("headers: [{ name: x, safe_regex_match: { regex: a } }]", "safe_regex_match of x");
    off("headers: [{ name: x, exact_match: a, invert_match: true }]", "invert_match of x");
    off("headers: [{ name: x, present_match: false }]", "present_match: false of x");
    off("headers: [{ name: x, string_match: { exact: a, ignore_case: true } }]", "ignore_case of x");
    off("headers: [{ name: x, exact_match: '*' }]", "the value * of x");
    off("headers: [{ name: ':path', exact_match: '/a?b=1' }]", "the query of /a?b=1");
    off("headers: [{ name: ':path', exact_match: '/a/{b}' }]", "the path /a/{b}");
    off("downstream_nodes: [node-a]", "downstream_nodes");
    off("upstream_cluster: nowhere", "cluster nowhere");
    let (text, set) = import("abort: { header_abort: {}, percentage: { numerator: 5 } }\n");
    assert!(set.rules().is_empty() && text.contains("# Left out: header_abort"), "{text}");
    let lost = |source: &str, why: &str| {
        let (text, set) = import(source);
        assert!(set.rules().is_empty() && text.contains(&format!("# Left out: {why}")), "{text}");
    };
    lost("delay: { fixedDelay: 5s, percentage: { value: 0.1 } }", "value of the percentage");
    lost("delay: { fixed_delay: 5s, percentage: { numerator: 1, denominator: THOUSAND } }", "denominator");
    let none_at_once = "delay: { fixed_delay: 5s, percentage: { numerator: 1 } }\nmax_active_faults: 0";
    lost(none_at_once, "max_active_faults: at 0");
    lost(
        "delay: { fixed_delay: 90000s, percentage: { numerator: 1 } }",
        "fixed_delay \"90000s\" is above 24 h",
    );
}

#[test]
fn a_prefix_is_the_same_to_the_byte() {
    let (text, set) =
        import("abort: { http_status: 500 }\nheaders: [{ name: ':path', prefix_match: /api/v }]\n");
    assert_eq!(words(&set), ["envoy-abort: 0% of requests on any method /api/v*/**: answer 500"]);
    assert!(text.contains("rate    = \"0%\"  # no percentage is given"), "{text}");
    let on = &set.rules()[0].on;
    for (path, expect) in [
        ("/api/v", true),
        ("/api/v/", true),
        ("/api/v1", true),
        ("/api/v1/carts/7", true),
        ("/api//v", false),
        ("/api/", false),
        ("/api/w", false),
    ] {
        assert_eq!(on.matches(&asks(path)), expect, "{path}");
    }
    let (text, _) =
        import("abort: { http_status: 500 }\nheaders: [{ name: ':path', prefix_match: /api/ }]\n");
    assert!(text.contains("# Note: prefix /api/: /api alone is meant here, too"), "{text}");
}

#[test]
fn what_is_no_configuration_is_told_apart() {
    assert!(rules(&documents("a: 1\nb: [1, 2]\n").unwrap(), "x").is_none());
    assert!(rules(&documents("[]").unwrap(), "x").is_none());
    assert!(documents("a: [").is_err());
    assert!(
        documents("a: &x [*x, *x]\n").is_ok_and(|it| rules(&it, "x").is_none())
            || documents("a: &x [*x, *x]\n").is_err()
    );
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(documents(&deep).is_err());
}

#[test]
fn hostile_names_stay_in_their_places() {
    let name = "a\\\"\\n[[rule]]\\nid = \\\"x\\\" # \\u0007".to_owned() + &"long".repeat(40);
    let source = format!(
        r#"{{"name": "{name}", "x": {{"@type": "envoy.extensions.filters.http.fault.v3.HTTPFault", "{name}": 1,
        "abort": {{"http_status": 500}}, "headers": [{{"name": "x", "exact_match": "{name}"}}]}}}}"#
    );
    let (_, set) = import(&source);
    assert_eq!(set.rules().len(), 1);
}
