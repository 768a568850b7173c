//! What holds before every rule, and what the operator says.

use serde_json::Value;

use crate::harness::{Client, Origin, Proxy, Then, eventually};

fn always(id: &str, what: &str) -> String {
    format!("[[rule]]\nid = \"{id}\"\non = \"/**\"\n{what}\n")
}

fn rule<'a>(books: &'a Value, id: &str) -> &'a Value {
    let rules = books["rules"].as_array().expect("rules");
    rules.iter().find(|rule| rule["id"] == id).unwrap_or_else(|| panic!("no {id} in {books}"))
}

#[test]
fn one_of_is_a_single_roll() {
    let origin = Origin::plain();
    let rules = always(
        "one",
        "one_of = [{ respond = 500 }, { reset = \"before headers\", weight = 2 }, { reset = \"after 1 B of body\" }]",
    );
    let proxy = Proxy::before(origin.addr).rules(&rules).start();
    for n in 0..400 {
        let mut client = proxy.client();
        client.send(format!(
            "GET /bytes/9 HTTP/1.1\r\nHost: t\r\nConnection: close\r\nSquall-Op: {n:016x}\r\n\r\n"
        ));
        drop(client.rest());
    }
    let books = proxy.books();
    let edge = &books["edges"][0];
    let [answered, dropped, cut] =
        ["short_circuited", "dropped", "cut"].map(|end| edge[end]["one"].as_u64().unwrap_or(0));
    assert_eq!((answered + dropped + cut, rule(&books, "one")["applied"].as_u64()), (400, Some(400)));
    // 100, 200 and 100 are asked for; five standard deviations
    assert!((57..=143).contains(&answered) && (150..=250).contains(&dropped), "{answered} {dropped} {cut}");
}

#[test]
fn protected_paths_are_never_touched() {
    let origin = Origin::plain();
    let rules = "[safety]\nprotect = [\"/healthz\", \"header x-no-chaos\"]\n".to_owned()
        + &always("all", "respond = 500");
    let proxy = Proxy::before(origin.addr).rules(&rules).start();
    assert_eq!(proxy.get("/healthz").status, 200);
    assert_eq!(Client::once(proxy.addr, "GET / HTTP/1.1\r\nHost: t\r\nX-No-Chaos: 1\r\n\r\n").status, 200);
    assert_eq!(proxy.get("/").status, 500);
    assert_eq!(rule(&proxy.books(), "all")["eligible"], 1);
}

#[test]
fn a_breached_share_lifts_everything_and_says_so() {
    let origin = Origin::plain();
    let rules = "[safety]\nmax_affected = \"50%\"\n".to_owned() + &always("all", "respond = 500");
    let proxy = Proxy::before(origin.addr).rules(&rules).start();
    let statuses: Vec<u16> = (0..200).map(|_| proxy.get("/").status).collect();
    let failed = statuses.iter().filter(|status| **status == 500).count();
    assert!(0 < failed && failed < 200, "{failed}");
    assert!(statuses[failed..].iter().all(|status| *status == 200), "nothing after the breach");
    let status = proxy.status();
    assert_eq!((&status["armed"], &status["breach"]), (&false.into(), &true.into()));
    assert!(status["lifted"].as_str().expect("a reason").contains("max_affected"), "{status}");
    let books = proxy.books();
    assert_eq!(books["breach"], true);
    assert_eq!(rule(&books, "all")["suppressed"]["cap"], 1);
}

#[test]
fn a_rate_limit_that_grants_affects_nobody() {
    let origin = Origin::plain();
    let limit = "rate_limit = { per = \"header x-key\", rate = \"1/h\", burst = 1000 }";
    let rules = "[safety]\nmax_affected = \"50%\"\n".to_owned() + &always("quota", limit);
    let proxy = Proxy::before(origin.addr).rules(&rules).start();
    (0..300).for_each(|_| assert_eq!(proxy.get("/").status, 200));
    assert_eq!(proxy.status()["breach"], false);
    proxy.reload(
        &("[safety]\nmax_affected = \"50%\"\n".to_owned() + &always("none", "rate_limit = \"1/h burst 1\"")),
    );
    let statuses: Vec<u16> = (0..1000).map(|_| proxy.get("/").status).collect();
    assert_eq!((statuses[0], statuses[1]), (200, 429));
    assert_eq!(statuses[999], 200, "most were refused: that is a breach");
    assert_eq!(proxy.status()["breach"], true);
}

#[test]
fn too_many_faults_at_once_lift_everything() {
    let origin = Origin::plain();
    let rules = "[safety]\nmax_active = 5\n".to_owned() + &always("slow", "delay = \"1h\"");
    let proxy = Proxy::before(origin.addr).rules(&rules).start();
    let mut clients: Vec<_> = (0..6).map(|_| proxy.client()).collect();
    for (at, client) in clients.iter_mut().enumerate().take(5) {
        client.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n");
        proxy.await_in_flight(at as i64 + 1);
    }
    assert_eq!((&proxy.status()["armed"], &proxy.status()["faults_active"]), (&true.into(), &5.into()));
    clients[5].send("GET / HTTP/1.1\r\nHost: t\r\n\r\n");
    clients.iter_mut().for_each(|client| assert_eq!(client.answer(false).status, 200, "the sleepers wake"));
    assert_eq!(proxy.status()["breach"], true);
    eventually("no fault is active", || proxy.status()["faults_active"] == 0);
}

#[test]
fn lift_and_arm_take_effect_at_once() {
    let origin = Origin::plain();
    let rules = always("slow", "delay = \"1h\"") + "[[rule]]\nid = \"bad\"\non = \"/bad\"\nrespond = 500\n";
    let proxy = Proxy::before(origin.addr).rules(&rules).start();
    let mut sleeper = proxy.client();
    sleeper.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n");
    proxy.await_in_flight(1);
    proxy.post("/lift/slow");
    assert_eq!(sleeper.answer(false).status, 200, "its sleeper wakes");
    assert_eq!((proxy.get("/").status, proxy.get("/bad").status), (200, 500), "the other rule acts on");
    proxy.post("/lift");
    assert_eq!(proxy.get("/bad").status, 200);
    let status = proxy.status();
    assert_eq!((&status["armed"], &status["breach"]), (&false.into(), &false.into()));
    proxy.post("/arm");
    let mut sleeper = proxy.client();
    sleeper.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n");
    proxy.await_in_flight(1);
    proxy.post("/lift");
    assert_eq!(sleeper.answer(false).status, 200);
    assert_eq!(proxy.ask_admin("POST", "/lift/nobody", "").status, 404);
}

#[test]
fn windows_count_from_the_announced_run() {
    let origin = Origin::plain();
    let rules = always("early", "when = \"0s..1h\"\nrespond = 500")
        + &always("late", "when = \"1h..2h\"\nrespond = 503");
    let proxy = Proxy::before(origin.addr).rules(&rules).start();
    assert_eq!(proxy.get("/").status, 500);
    let soon = always("soon", "when = \"2s..1h\"\nrespond = 500");
    proxy.reload(&soon);
    eventually("two seconds after arming", || proxy.get("/").status == 500);
    proxy.announce("0000aaaa");
    assert_eq!(proxy.get("/").status, 200, "the run begins now");
    let books = proxy.books();
    assert!(rule(&books, "soon")["suppressed"]["window"].as_u64().expect("a count") > 0);
    assert_eq!(rule(&books, "late")["suppressed"]["window"], 1);
}

#[test]
fn an_edge_that_others_reach_is_not_armed() {
    let origin = Origin::plain();
    let proxy = Proxy::before(origin.addr).rules(&always("all", "respond = 500")).with(|config| {
        config.edges[0].listen = std::net::SocketAddr::from(([0, 0, 0, 0], 0));
    });
    let mut proxy = proxy.start();
    proxy.addr.set_ip([127, 0, 0, 1].into());
    assert_eq!((proxy.get("/").status, &proxy.status()["armed"]), (200, &false.into()));
    proxy.post("/arm");
    assert_eq!(proxy.get("/").status, 500);
}

#[test]
fn the_admin_api_does_not_answer_web_pages() {
    let origin = Origin::plain();
    let proxy = Proxy::before(origin.addr).start();
    let ask = |header: &str| {
        Client::once(proxy.admin, &format!("POST /arm HTTP/1.1\r\n{header}\r\nContent-Length: 0\r\n\r\n"))
    };
    assert_eq!(ask("Host: localhost").status, 200);
    assert_eq!(ask("Host: evil.example").status, 403);
    assert_eq!(ask("Host: localhost\r\nOrigin: http://evil.example").status, 403);
}

#[test]
fn rules_of_an_edge_touch_only_that_edge() {
    let (front, back) = (Origin::plain(), Origin::plain());
    let rules = "[[rule]]\nid = \"pay\"\non = \"edge payments\"\nrespond = 500\n";
    let mut plan = Proxy::before(front.addr).rules(rules);
    let mut second = Proxy::before(back.addr).config.edges.remove(0);
    second.name = "payments".to_owned();
    plan.config.edges.push(second);
    let proxy = plan.start();
    assert_eq!(Client::get(proxy.edge(0), "/").status, 200);
    assert_eq!(Client::get(proxy.edge(1), "/").status, 500);
    let books = proxy.books();
    assert_eq!(
        (&books["edges"][0]["delivered"], &books["edges"][1]["short_circuited"]["pay"]),
        (&1.into(), &1.into())
    );
}

#[test]
fn the_same_victims_at_any_number_of_threads() {
    let victims = |threads: usize, more: &str| -> Vec<String> {
        let origin = Origin::start(|_, tcp| {
            use std::io::Write;
            tcp.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                .map_or(Then::Close, |()| Then::Keep)
        });
        let rules = always("some", "rate = \"20%\"\nrespond = 500") + more;
        let proxy = Proxy::before(origin.addr).rules(&rules).with(|config| config.threads = threads).start();
        let addr = proxy.addr;
        let work = move |start: usize| {
            let mut client = Client::connect(addr);
            let ops = (start..400).step_by(8);
            ops.filter(|op| {
                let request = format!("GET / HTTP/1.1\r\nHost: t\r\nSquall-Session: 0000abcd-{}-0\r\nSquall-Op: {op:016x}\r\nSquall-Attempt: 1\r\n\r\n", op % 7);
                client.ask(&request).status == 500
            })
            .count()
        };
        let clients: Vec<_> = (0..8).map(|start| std::thread::spawn(move || work(start))).collect();
        let seen: usize = clients.into_iter().map(|client| client.join().expect("a client")).sum();
        let ledger = proxy.ledger().into_iter().filter(|line| line["rule"] == "some");
        let mut victims: Vec<String> =
            ledger.map(|line| line["op"].as_str().expect("an op").to_owned()).collect();
        victims.sort();
        assert_eq!(victims.len(), seen);
        victims
    };
    let first = victims(1, "");
    assert!((40..=120).contains(&first.len()));
    assert_eq!(first, victims(2, ""));
    assert_eq!(
        first,
        victims(2, "[[rule]]\nid = \"other\"\non = \"/**\"\nrate = \"50%\"\ndelay = \"1ms\"\n")
    );
}

#[test]
fn a_run_that_lasts_too_long_or_falls_silent_lifts_everything() {
    let origin = Origin::plain();
    for (limit, reason) in [("max_run = \"1s\"", "max_run"), ("heartbeat = \"1s\"", "heartbeat")] {
        let rules = format!("[safety]\n{limit}\n") + &always("slow", "delay = \"1h\"");
        let proxy = Proxy::before(origin.addr).rules(&rules).start();
        let mut sleeper = proxy.client();
        sleeper.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n");
        assert_eq!(sleeper.answer(false).status, 200, "lifted: {reason}");
        let status = proxy.status();
        assert!(status["lifted"].as_str().expect("a reason").contains(reason), "{status}");
        assert_eq!(status["breach"], false);
    }
}

#[test]
fn delays_are_audited_and_a_lifted_sleeper_is_none() {
    let origin = Origin::plain();
    let rules = "[[rule]]\nid = \"slow\"\non = \"/slow\"\ndelay = \"20ms\"\n".to_owned()
        + "[[rule]]\nid = \"more\"\non = \"/slow\"\ndelay = \"10ms\"\n"
        + "[[rule]]\nid = \"stuck\"\non = \"/stuck\"\ndelay = \"1h\"\n";
    let proxy = Proxy::before(origin.addr).rules(&rules).start();
    (0..40).for_each(|_| assert_eq!(proxy.get("/slow").status, 200));
    let mut sleeper = proxy.client();
    sleeper.send("GET /stuck HTTP/1.1\r\nHost: t\r\n\r\n");
    proxy.await_in_flight(1);
    proxy.post("/lift/stuck");
    assert_eq!(sleeper.answer(false).status, 200);
    let books = proxy.books();
    for (id, asked) in [("slow", 20_000.0), ("more", 10_000.0)] {
        let delay = &rule(&books, id)["delay"];
        assert_eq!((&delay["count"], &delay["early"]), (&40.into(), &0.into()), "{id}: {delay}");
        assert_eq!(delay["asked_mean_us"], asked, "{id}");
        assert!(asked <= delay["actual_mean_us"].as_f64().expect("a mean"), "{id}: {delay}");
    }
    assert_eq!(rule(&books, "stuck")["applied"], 1);
    assert_eq!(
        (&rule(&books, "stuck")["delay"], &books["missed"]),
        (&Value::Null, &Value::Array(Vec::new()))
    );
}

#[test]
fn a_guard_outlives_a_reload_that_does_not_touch_it() {
    let origin = Origin::plain();
    let guard = "[guard.slo]\nsignal = \"error_ratio\"\nlimit = \"50%\"\nwindow = \"1s\"\nmin_samples = 10\n";
    let slow = "[[rule]]\nid = \"slow\"\ndelay = \"1ms\"\nguard = \"slo\"\n";
    let proxy = Proxy::before(origin.addr).rules(&(guard.to_owned() + slow)).start();
    let samples = |proxy: &Proxy| proxy.status()["guards"][0]["samples"].as_u64().expect("a count");
    eventually("the guard has looked", || {
        assert_eq!(proxy.get("/").status, 200);
        10 <= samples(&proxy)
    });
    proxy.reload(&(guard.to_owned() + slow + &always("other", "delay = \"1ms\"")));
    assert!(10 <= samples(&proxy), "it remembers");
    assert_eq!(proxy.books()["guards"][0]["tripped_at_us"], Value::Null);
    proxy.announce("0000abcd");
    assert_eq!(samples(&proxy), 0, "a run begins with guards that have seen nothing");
}
