//! Rules are edited while a replay runs through them.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::kit::{Finished, Replayed, Server, Step, capture, eventually, text};
use crate::support::{DEADLINE, Proxy};

#[test]
fn edits_are_live_under_load_and_fail_no_request() {
    let (server, folder) = (Server::plain(), TempDir::new().unwrap());
    let rules = folder.path().join("faults.toml");
    save(&rules, "slow", r#"delay = "1ms""#);
    let mut proxy = Proxy::before(&server.url(), &["--rules", &text(&rules)]);
    let mut client = KeptAlive::to(proxy.addr());
    assert_eq!(client.get("/mine"), (200, Some("slow".to_owned())));
    assert_eq!(proxy.ask("/status")["generation"], 1);

    // enough for the edits to be in the midst of it, on any machine: they wait for the load, not for the clock
    let paths: Vec<String> = (0..PER_SESSION).map(|step| format!("GET /{step}")).collect();
    let step = |n: u64| -> Step<'_> {
        (n % SESSIONS, n / SESSIONS * 40 + n % SESSIONS, 1, &paths[(n / SESSIONS) as usize], "shop.test")
    };
    let steps: Vec<Step<'_>> = (0..SESSIONS * PER_SESSION).map(step).collect();
    let capture = capture(folder.path(), &steps);
    let json = folder.path().join("run.json");
    let (target, admin) = (format!("http://{}", proxy.addr()), format!("http://{}", proxy.admin()));
    let run = Replayed::start(&capture, &["--target", &target, "--proxy", &admin], &json);

    let seen = |proxy: &Proxy, least: u64| {
        eventually("traffic passes", || (proxy.books().total("seen") >= least).then_some(()));
    };
    seen(&proxy, 100);
    save(&rules, "teapot", "respond = 418");
    eventually("the second version is live", || (proxy.ask("/status")["generation"] == 2).then_some(()));
    assert_eq!(client.get("/mine"), (418, Some("teapot".to_owned())), "on the connection that was open");
    let at_second = proxy.books().total("seen");
    seen(&proxy, at_second + 100);

    save(&rules, "teapot", "dealy = \"1ms\"\nrespond = 418");
    let refused = eventually("the broken version is refused", || {
        let status = proxy.ask("/status");
        (!status["rules"]["error"].is_null()).then_some(status)
    });
    let error = &refused["rules"]["error"];
    assert_eq!((&refused["generation"], &error["line"], &error["column"]), (&2.into(), &5.into(), &1.into()));
    assert!(error["help"].as_str().unwrap().contains("delay"), "{error}");
    let shown =
        proxy.process().wait_for("the log of it", |line| line.contains("dealy").then(|| line.to_owned()));
    assert!(shown.starts_with("! "), "it is in the log on the standard error: {shown}");
    assert!(proxy.process().log().contains("faults.toml:5:1"), "{}", proxy.process().log());
    assert_eq!(client.get("/mine"), (418, Some("teapot".to_owned())), "the old rules stay");

    save(&rules, "slow", r#"delay = "1ms""#);
    eventually("the mended version is live", || (proxy.ask("/status")["generation"] == 3).then_some(()));
    assert!(proxy.ask("/status")["rules"]["error"].is_null());

    let total = SESSIONS * PER_SESSION;
    let run =
        Replayed::read(Finished::after(run), &json).expect_passed().expect_answered(total).expect_not_off();
    let (slow, teapot) = (run.n("/requests/injected/slow"), run.n("/requests/injected/teapot"));
    // whoever slept by a rule that went was woken, which is no fault done
    let books = proxy.ask("/books");
    let spared = |rule: &Value| {
        rule["suppressed"].as_object().unwrap().values().filter_map(Value::as_u64).sum::<u64>()
    };
    let woken: u64 = books["rules"].as_array().unwrap().iter().map(spared).sum();
    assert!(
        slow != 0 && teapot != 0 && slow + teapot + woken == total,
        "{books:#} {:#}",
        run.json["requests"]
    );
    assert_eq!((run.n("/requests/status/200"), run.n("/requests/status/418")), (slow + woken, teapot));
    proxy.settled(total + 3).expect_balanced();
}

#[test]
fn sighup_reads_what_no_watch_sees() {
    let (server, folder) = (Server::plain(), TempDir::new().unwrap());
    let [rules, body] = ["faults.toml", "body.txt"].map(|name| folder.path().join(name));
    std::fs::write(&body, "first").unwrap();
    save(&rules, "page", r#"respond = { status = 503, body_file = "body.txt" }"#);
    let mut proxy = Proxy::before(&server.url(), &["--rules", &text(&rules)]);
    let page = |proxy: &Proxy| crate::support::http::get(proxy.addr(), "/").text();
    assert_eq!(page(&proxy), "first");
    std::fs::write(&body, "second").unwrap();
    assert_eq!(proxy.ask("/status")["generation"], 1);
    proxy.process().signal("HUP");
    eventually("it is read again", || (proxy.ask("/status")["generation"] == 2).then_some(()));
    assert_eq!(page(&proxy), "second");
}

/// Saves a rule file of one rule; `does` begins on line 5.
fn save(path: &Path, id: &str, does: &str) {
    std::fs::write(path, format!("version = 1\nseed = 1\n[[rule]]\nid = \"{id}\"\n{does}\n")).unwrap();
}

/// A client on one connection.
struct KeptAlive {
    stream: BufReader<TcpStream>,
}

impl KeptAlive {
    fn to(addr: SocketAddr) -> KeptAlive {
        let stream = TcpStream::connect(addr).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        KeptAlive { stream: BufReader::new(stream) }
    }

    /// Status, and the rules that touched the answer.
    fn get(&mut self, path: &str) -> (u16, Option<String>) {
        write!(self.stream.get_mut(), "GET {path} HTTP/1.1\r\nhost: shop.test\r\n\r\n").unwrap();
        let (mut head, mut line) = (Vec::new(), String::new());
        while self.stream.read_line(&mut line).unwrap() != 0 && !line.trim().is_empty() {
            head.push(std::mem::take(&mut line).trim_end().to_ascii_lowercase());
        }
        let header = |name: &str| head.iter().find_map(|line| line.strip_prefix(name).map(str::to_owned));
        let length = header("content-length: ").map_or(0, |length| length.parse().unwrap());
        std::io::copy(&mut (&mut self.stream).take(length), &mut std::io::sink()).unwrap();
        (head[0].split(' ').nth(1).unwrap().parse().unwrap(), header("squall-fault: "))
    }
}

const SESSIONS: u64 = 20;
const PER_SESSION: u64 = 100;
