//! The page of a proxy: `proxy.js` drives it, and asks the admin API what came of it.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Proxy, Shop, squall};
use crate::{node, shots, tools};

/// A proxy with two HTTP edges, one of them with three upstreams and a long name, a TCP edge, rules and a recording.
struct Busy {
    proxy: Proxy,
    folder: TempDir,
    _shops: [Shop; 3],
}

impl Busy {
    fn open() -> Busy {
        let (folder, shops) = (TempDir::new().unwrap(), [(); 3].map(|()| Shop::open(&[])));
        fs::write(folder.path().join("faults.toml"), RULES).unwrap();
        let mut args = ["--rules", "faults.toml", "--record", "capture.zst"].map(String::from).to_vec();
        args.extend(["--listen", &format!("{LONG}=127.0.0.1:0")].map(String::from));
        for shop in &shops {
            args.extend(["--upstream".into(), format!("{LONG}={}", shop.url())]);
        }
        args.extend(["--listen", "payments=127.0.0.1:0"].map(String::from));
        let payments = format!("http://localhost:{}", shops[0].addr().port());
        args.extend(["--upstream".into(), format!("payments={payments}")]);
        args.extend(["--listen", "db=tcp://127.0.0.1:0"].map(String::from));
        args.extend(["--upstream".into(), format!("db=tcp://{}", shops[0].addr())]);
        let mut command = squall(&["proxy"]);
        command.args(args).current_dir(folder.path()); // a picture should not name folders of this machine
        Busy { proxy: Proxy::run(command), folder, _shops: shops }
    }

    fn told(&self) -> Value {
        let url = |name: &str| format!("http://{}", self.proxy.edge(name));
        let tcp = self.proxy.edge("db");
        json!({
            "admin": format!("http://{}", self.proxy.admin()),
            "edges": [url(LONG), url("payments")],
            "tcp": [tcp.ip().to_string(), tcp.port()],
            "rules": self.folder.path().join("faults.toml"),
        })
    }
}

/// Runs `proxy.js`, where there is a browser.
fn drive(what: &str, told: impl FnOnce() -> Value) {
    let Some(mut node) = node("proxy.js") else { return };
    node.arg(what).arg(told().to_string());
    tools::run(node);
}

#[test]
fn a_proxy_is_readable_at_work() {
    let busy = Busy::open();
    drive("look", || {
        let mut told = busy.told();
        told["shots"] = json!(shots());
        told
    });
}

#[test]
fn every_button_of_a_proxy_does_what_it_says() {
    let busy = Busy::open();
    drive("use", || busy.told());
    let is_capture = |path: &Path| path.extension().is_some_and(|kind| kind == "zst");
    let captures =
        fs::read_dir(busy.folder.path()).unwrap().flatten().filter(|file| is_capture(&file.path()));
    let captures = captures.count();
    // without a browser nobody begins the second
    assert!((1..=2).contains(&captures), "{captures} captures");
}

#[test]
fn a_token_locks_the_page() {
    let (folder, shop) = (TempDir::new().unwrap(), Shop::open(&[]));
    let file = folder.path().join("token");
    fs::write(&file, "the-token-of-this-test\n").unwrap();
    let args = ["--admin-token-file", &file.display().to_string()];
    let proxy = Proxy::before(&shop.url(), &args);
    drive(
        "locked",
        || json!({ "admin": format!("http://{}", proxy.admin()), "token": "the-token-of-this-test" }),
    );
}

#[test]
fn a_proxy_that_ends_under_its_page_is_missed() {
    let shop = Shop::open(&[]);
    let mut proxy = Proxy::before(&shop.url(), &["--fault", "GET /api/** delay 5ms"]);
    let admin = format!("http://{}", proxy.admin());
    drive("gone", || json!({ "admin": admin, "pid": proxy.process().pid() }));
}

/// Too long for any box.
const LONG: &str = "a-shop-whose-name-is-long-enough-for-two-of-the-boxes-of-any-map-of-it";
const RULES: &str = r#"version = 1

[[rule]]
id = "teapot"
on = "edge a-shop-whose-name-is-long-enough-for-two-of-the-boxes-of-any-map-of-it GET /teapot"
respond = 418

[[rule]]
id = "slow-payments"
on = "edge payments"
delay = "20ms"
rate = "30%"

[[rule]]
id = "later"
on = "/api/cart"
delay = "2s"
when = { from = "10m" }
"#;
