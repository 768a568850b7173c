//! The course of a run in run.json, with a real proxy whose rules come and go.

use tempfile::TempDir;

use crate::kit::{Finished, Replayed, Server, Step, capture, eventually, text};
use crate::support::Proxy;

#[test]
fn the_windows_of_the_rules_stand_on_the_clock_of_the_run() {
    let (server, folder) = (Server::plain(), TempDir::new().unwrap());
    let rules = folder.path().join("faults.toml");
    let first = "version = 1\nseed = 1\n[[rule]]\nid = \"teapot\"\nrespond = 418\nwhen = { from = \"1s\", to = \"2s\" }\n";
    std::fs::write(&rules, first).unwrap();
    let proxy = Proxy::before(&server.url(), &["--rules", &text(&rules)]);
    let steps: Vec<Step<'_>> = (0..100).map(|n| (n % 10, n * 40, 1, "GET /", "shop.test")).collect();
    let capture = capture(folder.path(), &steps);
    let json = folder.path().join("run.json");
    let (target, admin) = (format!("http://{}", proxy.addr()), format!("http://{}", proxy.admin()));
    let run = Replayed::start(&capture, &["--target", &target, "--proxy", &admin], &json);

    eventually("traffic passes", || (proxy.books().total("seen") >= 75).then_some(()));
    let second = format!("{first}[[rule]]\nid = \"slow\"\ndelay = \"1ms\"\n");
    std::fs::write(&rules, &second).unwrap();
    eventually("the second version is live", || (proxy.ask("/status")["generation"] == 2).then_some(()));
    let run = Replayed::read(Finished::after(run), &json).expect_answered(100).expect_not_off();

    let faults = &run.json["faults"];
    assert_eq!(faults["rules_file"], second.as_str());
    let window = |rule: &str| {
        let mut all = faults["windows"].as_array().unwrap().iter().filter(|window| window["rule"] == rule);
        let found = all.next().unwrap_or_else(|| panic!("{rule} has no window: {faults:#}"));
        assert!(all.next().is_none(), "{rule} has one window: {faults:#}");
        found
    };
    let (teapot, slow) = (window("teapot"), window("slow"));
    assert!(slow["until_us"].is_null() && slow["what"].as_str().unwrap().contains("1ms"), "{slow:#}");
    let at = |window: &serde_json::Value, name: &str| window[name].as_u64().unwrap();
    let (from_us, until_us) = (at(teapot, "from_us"), at(teapot, "until_us"));
    // The proxy's clock began with the announcement, a little before the run's.
    assert!(from_us <= 1_000_000 && until_us - from_us <= 1_000_001 && 0 < until_us, "{teapot:#}");
    let (teapots, sum) = (run.n("/requests/status/418"), |name: &str| -> u64 {
        run.json["series"]
            .as_array()
            .unwrap()
            .iter()
            .map(|second| second["status"][name].as_u64().unwrap())
            .sum()
    });
    assert!(0 < teapots && teapots == sum("4xx") && sum("2xx") == 100 - teapots, "{:#}", run.json["series"]);
    let planned: u64 =
        run.json["series"].as_array().unwrap().iter().map(|second| second["planned"].as_u64().unwrap()).sum();
    assert_eq!(planned, 100);
}
