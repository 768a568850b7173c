//! Grafana's dashboard against the real metrics: its names and labels, and its queries in a real Prometheus.

use std::collections::BTreeSet;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::metrics::Scene;
use crate::support::prometheus::Scrape;
use crate::support::{DEADLINE, Process, http};
use crate::tools;

#[test]
fn every_name_and_label_of_the_dashboard_is_real() {
    let scene = Scene::open();
    let scrapes = scene.scrape().map(|text| Scrape::read(&text));
    let mut used = BTreeSet::new();
    for query in queries() {
        let names = names(&query);
        assert!(!names.is_empty(), "{query} asks for nothing of ours");
        for name in names {
            let labels = scrapes.iter().find_map(|scrape| scrape.labels(&name));
            let labels = labels.unwrap_or_else(|| panic!("nobody tells {name}, of {query}"));
            for label in grouped_by(&query).iter().filter(|label| *label != "instance") {
                assert!(labels.contains(label.as_str()), "{name} has no label {label}, of {query}");
            }
            used.insert(name);
        }
    }
    assert!(25 <= used.len(), "{used:?}");
}

#[test]
fn every_query_of_the_dashboard_has_data_in_a_real_prometheus() {
    let Some(program) = tools::program("prometheus", "prometheus") else { return };
    let (scene, folder) = (Scene::open(), TempDir::new().unwrap());
    let targets = [scene.proxy.admin(), scene.replay].map(|addr| format!("\"{addr}\"")).join(", ");
    let config = format!(
        "global:\n  scrape_interval: 250ms\nscrape_configs:\n  - job_name: squall\n    static_configs:\n      - targets: [{targets}]\n"
    );
    let path = folder.path().join("prometheus.yml");
    std::fs::write(&path, config).unwrap();
    // its own log names the port that it asked for, not the one that it got
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut command = Command::new(program);
    command
        .arg(format!("--config.file={}", path.display()))
        .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
        .arg(format!("--web.listen-address={port}"));
    let prometheus = Process::start("prometheus", command);
    prometheus.wait_for("its readiness", |line| line.contains("Server is ready").then_some(()));
    let ask = |query: &str| -> Value {
        let query: String = query.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let answer = http::get(port, &format!("/api/v1/query?query={query}")).json();
        assert_eq!(answer["status"], "success", "{answer}");
        answer["data"]["result"].clone()
    };
    for query in queries() {
        let query = query.replace("$__rate_interval", "30s");
        let deadline = Instant::now() + DEADLINE;
        // a rate wants two scrapes; when Prometheus makes them is its own affair
        while ask(&query).as_array().is_none_or(Vec::is_empty) {
            assert!(Instant::now() < deadline, "no data for {query}");
            thread::sleep(Duration::from_millis(100));
        }
    }
}

/// Every query of the dashboard.
fn queries() -> Vec<String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/grafana/squall.json");
    let dashboard: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    let queries: Vec<_> = targets.map(|target| target["expr"].as_str().unwrap().to_owned()).collect();
    assert!(30 <= queries.len(), "{queries:?}");
    queries
}

/// Names of metrics in a query.
fn names(query: &str) -> BTreeSet<String> {
    let words = query.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let is_ours = |word: &&str| ["squall_", "process_"].iter().any(|prefix| word.starts_with(prefix));
    words.filter(is_ours).map(str::to_owned).collect()
}

/// Labels that a query groups by.
fn grouped_by(query: &str) -> BTreeSet<String> {
    let lists = query.split("by (").skip(1).filter_map(|rest| rest.split(')').next());
    lists.flat_map(|list| list.split(',')).map(|label| label.trim().to_owned()).collect()
}
