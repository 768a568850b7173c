//! Which rules an answer names as having touched the calls behind it (`squall-fault-below`): those that did, no others.

use std::io::Write;
use std::sync::Arc;

use crate::harness::client::Answer;
use crate::harness::origin::{answer_plainly, sized};
use crate::harness::proxy::ms;
use crate::harness::{Client, Gate, Origin, Proxy, Then, eventually};
use crate::shapes::rule;
use crate::streams::{UPGRADE, echo};

/// A service and what it calls, each behind an edge of its own.
struct Services {
    proxy: Proxy,
    front: Origin,
    back: Origin,
    /// Lets the service answer.
    over: Arc<Gate>,
}

const IDENTITY: &str =
    "Squall-Session: 0000beef-1-0\r\nSquall-Op: 00000000000000aa\r\nSquall-Attempt: 1\r\n\r\n";

impl Services {
    /// The fault befalls what is called under `/f/`. The service answers, or hangs up.
    fn with(fault: &str, answers: bool) -> Services {
        let over = Gate::new();
        let wait = over.clone();
        let front = Origin::start(move |_, tcp| {
            wait.pass();
            match answers && tcp.write_all(&sized(b"ok")).is_ok() {
                true => Then::Keep,
                false => Then::Close,
            }
        });
        let back = Origin::start(|request, tcp| match request.target() {
            "/f/die" => Then::Close,
            "/f/socket" => echo(tcp),
            _ => {
                let mut plain = request.clone();
                plain.head = plain.head.replacen("/f/", "/", 1);
                answer_plainly(&plain, tcp)
            }
        });
        let mut plan = Proxy::before(front.addr).rules(&rule(fault));
        let mut second = Proxy::before(back.addr).config.edges.remove(0);
        second.name = "back".to_owned();
        plan.config.edges.push(second);
        Services { proxy: plan.start(), front, back, over }
    }

    /// What a client of the service gets. Meanwhile the service calls as it is given, under the same operation.
    fn ask(&self, meanwhile: impl FnOnce(Client)) -> Answer {
        let asked = self.front.count();
        let mut client = self.proxy.client();
        client.send(["GET / HTTP/1.1\r\nHost: t\r\n", IDENTITY].concat());
        eventually("the service is asked", || self.front.count() == asked + 1);
        meanwhile(Client::connect(self.proxy.edge(1)));
        self.over.open();
        client.answer(false)
    }

    /// The same, of a call that ends by itself.
    fn call(&self, request: &str) -> Answer {
        self.ask(|mut client| {
            client.send([request.trim_end(), "\r\n", IDENTITY].concat());
            if request.contains("Upgrade") {
                assert_eq!(client.head().status, 101);
            } else {
                drop(client.rest());
            }
            drop(client);
            self.proxy.await_in_flight(1);
        })
    }

    /// The same, of a call that is given up after a while.
    fn give_up(&self) -> Answer {
        self.ask(|mut client| {
            client.send([get("/f/bytes/9").trim_end(), "\r\n", IDENTITY].concat());
            self.proxy.await_in_flight(2);
            std::thread::sleep(ms(5));
            drop(client);
            self.proxy.await_in_flight(1);
        })
    }
}

fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n")
}

#[test]
fn rules_that_touched_a_call_are_named() {
    for (fault, target) in [
        ("delay = \"1ms\"", "/f/bytes/9"),
        ("delay = \"1ms at response\"", "/f/bytes/9"),
        ("delay = \"1ms at first_byte\"", "/f/bytes/9"),
        ("delay = \"at least 50ms\"", "/f/bytes/9"),
        ("respond = 503", "/f/bytes/9"),
        ("reset = \"before headers\"", "/f/bytes/9"),
        ("reset = \"after 50% of body\"", "/f/bytes/9"),
        ("truncate = \"5 B\"", "/f/chunked/9"),
        ("drop_response = \"reset\"", "/f/bytes/9"),
        ("blackhole = \"1ms, then close\"", "/f/bytes/9"),
        ("outage = \"refuse\"", "/f/bytes/9"),
        ("outage = \"reset\"", "/f/bytes/9"),
    ] {
        let answer = Services::with(fault, true).call(&get(target));
        assert_eq!((answer.status, answer.header("squall-fault-below")), (200, Some("f")), "{fault}");
    }
}

#[test]
fn rules_that_did_nothing_to_a_call_are_not_named() {
    let upgrade = UPGRADE.replace("/socket", "/f/socket");
    for (fault, request) in [
        ("websocket_close = \"1011 after 1 events\"", &*get("/f/bytes/9")),
        ("drop_response = \"reset\"", &*upgrade),
        ("truncate = \"50%\"", &*get("/f/chunked/9")),
        ("reset = \"after 50% of body\"", &*get("/f/chunked/9")),
        ("delay = \"at least 1us\"", &*get("/f/bytes/9")),
        ("delay = \"1h at first_byte\"", &*get("/f/status/204")),
        ("delay = \"1h at response\"", &*get("/f/die")),
        ("throttle = { request = \"1KB/s\" }", &*get("/f/bytes/9")),
    ] {
        let services = Services::with(fault, true);
        let answer = services.call(request);
        assert_eq!((answer.status, answer.header("squall-fault-below")), (200, None), "{fault}");
        assert_eq!(services.back.count(), 1, "{fault}");
    }
}

#[test]
fn a_rule_that_holds_a_call_until_the_service_gives_up_is_named() {
    for fault in [
        "delay = \"1h\"",
        "delay = \"1h at response\"",
        "delay = \"at least 1h\"",
        "blackhole = \"forever\"",
        "outage = \"blackhole\"",
    ] {
        let services = Services::with(fault, true);
        // a call that is given up before its answer waits is not held yet
        eventually(fault, || {
            let answer = services.give_up();
            answer.header("squall-fault-below") == Some("f")
        });
    }
}

#[test]
fn our_own_answer_names_a_rule_behind_a_service_that_fails() {
    let services = Services::with("delay = \"1h\"", false);
    let answer = services.give_up();
    assert_eq!((answer.status, answer.header("squall-error")), (502, Some("upstream-failed")));
    assert_eq!((answer.header("squall-fault-below"), answer.header("squall-fault")), (Some("f"), None));
}
