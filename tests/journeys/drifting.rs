//! The shop is recorded with the bodies of its answers, and replayed against as it was, and after a release that lost a field.

use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use crate::kit::{Replayed, Shopper, VISIT, text};
use crate::support::{Proxy, Shop, http};

#[test]
fn the_shop_as_it_was_recorded_does_not_drift() {
    for bodies in ["response=full", "response=digest"] {
        let (shop, folder) = (Shop::open(&[]), TempDir::new().unwrap());
        let run = replayed(&shop, &recorded(&shop, folder.path(), bodies));
        let analysis = &run.json["analysis"];
        assert_eq!(
            (list(analysis, "drift").len(), list(analysis, "findings").len()),
            (0, 0),
            "{bodies}: {analysis:#}"
        );
        assert_ne!(run.n("/analysis/compared/exchanges"), 0);
        let looked_at = run.n("/analysis/compared/bodies/looked_at");
        assert_eq!(looked_at != 0, bodies == "response=full", "{analysis:#}");
    }
}

#[test]
fn a_field_that_a_release_lost_is_named() {
    let (shop, folder) = (Shop::open(&[]), TempDir::new().unwrap());
    let capture = recorded(&shop, folder.path(), "response=full");
    let run = replayed(&Shop::open(&["--defect", "lost-price"]), &capture);
    let analysis = &run.json["analysis"];
    let (drift, findings) = (list(analysis, "drift"), list(analysis, "findings"));
    assert_eq!((drift.len(), findings.len()), (2, 1), "{analysis:#}");
    let title = findings[0]["title"].as_str().unwrap();
    for words in
        ["GET /api/products answers otherwise than recorded: length", "JSON lacks products[].price_cents"]
    {
        assert!(title.contains(words), "`{words}` is not in: {title}");
        assert!(run.finished.out.contains(words), "{}", run.finished.out);
    }
    assert_eq!(findings[0]["explanation"], "response_drift");
}

fn list<'v>(analysis: &'v Value, name: &str) -> &'v [Value] {
    analysis[name].as_array().unwrap()
}

fn recorded(shop: &Shop, folder: &Path, bodies: &str) -> PathBuf {
    let capture = folder.join("capture.zst");
    let proxy = Proxy::before(&shop.url(), &["--record", &text(&capture), "--record-bodies", bodies]);
    for name in NAMES {
        Shopper::at(proxy.addr()).visit(name);
    }
    proxy.expect_delivered(NAMES.len() as u64 * VISIT);
    http::post(proxy.admin(), "/recording/stop", b"");
    capture
}

fn replayed(shop: &Shop, capture: &Path) -> Replayed {
    Replayed::of(capture, &["--target", &shop.url(), "--amplify", "40x", "--speed", "max"])
}

const NAMES: [&str; 4] = ["ada", "grace", "jean", "margaret"];
