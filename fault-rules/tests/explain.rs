//! Every fault, selector, window, guard and hook in plain words: what `squall check` prints.

use fault_rules::delay::RouteLatency;
use fault_rules::{Loader, Rule, RuleSet, parse};

fn read(source: &str) -> RuleSet {
    let latencies = |_: &str| {
        let durations = vec![(std::time::Duration::from_millis(20), 5)];
        Ok(vec![RouteLatency { method: "GET".to_owned(), path: "/a/{id}".to_owned(), durations }])
    };
    let loader = Loader { latencies: &latencies, ..Loader::NOTHING };
    parse(source, "f.toml", &loader).unwrap_or_else(|report| panic!("{report}"))
}

/// A rule on `/a` with these lines does that.
#[track_caller]
fn check(lines: &str, expect: &str) {
    let groups = "[group.eu]\nmembers = [\"a:1\"]\n[group.us]\nmembers = [\"b:1\"]\n";
    let has_on = lines.starts_with("on =") || lines.contains("\non =");
    let on = if has_on { "" } else { "on = \"/a\"\n" };
    let set = read(&format!("{groups}[[rule]]\nid = \"a\"\n{on}{lines}\n"));
    let words: Vec<_> = set.rules().iter().map(Rule::explain).collect();
    assert_eq!(words, [expect], "{lines}");
}

/// The same, of the usual start.
#[track_caller]
fn does(line: &str, expect: &str) {
    check(line, &format!("all requests on any method /a: {expect}"));
}

#[test]
fn whom_and_when() {
    let who = |lines: &str, expect: &str| {
        check(&format!("respond = 500\n{lines}"), &format!("{expect}: answer 500"));
    };
    who("on = \"/a group eu\"", "all requests on any method /a for group eu");
    who("attempts = \"1..2\"", "all requests on any method /a, attempts 1 to 2");
    who("attempts = 1", "all requests on any method /a, attempt 1 only");
    who("attempts = \"3..\"", "all requests on any method /a, from attempt 3 on");
    who("every = \"3rd per session\"", "all requests on any method /a, every 3rd of them for each session");
    who("every = \"11th\"", "all requests on any method /a, every 11th of them");
    who(
        "burst = { enter = \"0.5%\", leave = \"10%\", rate = \"90%\" }",
        "all requests on any method /a, in bursts of about 10 exchanges that begin with 0.5% of them and hit 90%",
    );
    who(
        "on = \"/c/{c}\"\nrate = \"5% of path c\"\nshard = \"crc32(path c) % 16 in [3, 11]\"",
        "5% of values of {c} in the path on any method /c/{c}, whose crc32 of {c} in the path falls on shard 3 or 11 of 16",
    );
    who(
        "when = \"1m..9m, ramp 2m, ramp down 1m, steps 4, every 10m 3 times\"",
        "all requests on any method /a, from 1m to 9m, rising over 2m in 4 steps, falling over 1m in 4 steps, \
         again every 10m, 3 times in all",
    );
    check(
        "on = \"/a -> 2xx|404\"\ntruncate = \"headers\"",
        "all requests on any method /a answered 2xx or 404: cut the whole body of its promised length",
    );
}

#[test]
fn delays() {
    does("delay = \"200ms at response\"", "wait 200ms before the answer's header");
    does("delay = \"200ms at connect\"", "wait 200ms when the client connects");
    does("delay = \"at least 1s at first_byte\"", "fill up to 1s between the answer's header and its body");
    does(
        "delay = { dist = \"pareto\", scale = \"50ms\", shape = 1, max = \"5s\" }",
        "wait at least 50ms, 10% of them ten times as long, at most 5s",
    );
    does(
        "delay = { dist = \"table\", points = { p50 = \"80ms\", p99 = \"900ms\" } }",
        "wait as measured (50% up to 80ms, 99% up to 900ms)",
    );
    does(
        "delay = \"like capture.zst x1.5\"",
        "wait as long as recorded in capture.zst times 1.5 (1 route; 30ms in the middle of all)",
    );
}

#[test]
fn faults() {
    does("reset = \"after 20 events\"", "reset after 20 events");
    does(
        "reset = { at = \"after 2s\", code = \"CANCEL\", scope = \"connection\" }",
        "reset 2s after headers (on HTTP/2 CANCEL), on HTTP/2 the whole connection",
    );
    does(
        "truncate = \"60%\"",
        "cut the body after 60% of its promised length (answers of unknown length pass whole)",
    );
    does(
        "throttle = { response = \"2KB/s\", request = \"1MB/s\", piece = \"64B\", gap = \"10us\" }",
        "at most 2KB/s to the client and 1MB/s to the upstream, in pieces of 64 B, 10us between two",
    );
    does("stall = \"8s after 20 events\"", "stop after 20 events for 8s, then go on");
    does("stall = \"forever after 5000 B\"", "stop after 5000 B of body until the client leaves");
    does("stall = \"8s after headers, then reset\"", "stop after headers for 8s, then reset");
    does(
        "loss = \"2%\"",
        "2% of segments of 1460 B to the client lost: each stops everything for 200ms, twice as long when its repeat \
         is lost too, at most 1m",
    );
    does("corrupt = \"bitflip per 4KB\"", "flip one bit in each 4KB of body to the client");
    let lost = "the upstream does its work and its answer is lost; the client gets:";
    does("drop_response = \"30s, then reset\"", &format!("{lost} nothing for 30s, then reset"));
    does("drop_response = { respond = 503 }", &format!("{lost} answer 503"));
    does("duplicate = 1", "send 1 copy to the upstream besides, at once; the client gets the first answer");
    does(
        "storm = { when = [\"5xx\"], copies = 3, backoff = \"100ms x2\", max_amplification = 4 }",
        "on 5xx send 3 copies, the first after 100ms and each wait 2 times the last, up to 4x in all",
    );
    check(
        "on = \"group eu\"\noutage = \"blackhole\"\nfailover = { to = \"us\", after = \"20s\", added_delay = \"85ms\", failback = \"30s\" }",
        "all requests on any method any path for group eu: the upstream is silent: 504 when the time to connect is over; \
         after 20s group us takes over (wait 85ms more), until 30s after the outage",
    );
    does(
        "stale = \"30s\"",
        "an answer that is at least 30s old, to the same request of the same user, where there is one",
    );
    does(
        "goaway = 11",
        "GOAWAY ENHANCE_YOUR_CALM and the end of the HTTP/2 connection with all of its streams; close on HTTP/1",
    );
    does("websocket_close = \"1011 after 20 events\"", "close the WebSocket with 1011 after 20 messages");
    does(
        "respond = { grpc_status = 14, grpc_message = \"gone\" }",
        "answer with gRPC status UNAVAILABLE (gone)",
    );
}

#[test]
fn guards_and_hooks() {
    let set = read(
        "[guard.slo]\non = \"/a\"\nsignal = \"error_ratio\"\nlimit = \"control + 2%\"\n\
         [guard.fast]\nsignal = \"goodput\"\nlimit = \"100/s\"\ntrip = \"hold\"\n\
         [[hook]]\nid = \"h\"\nwhen = \"2m..3m\"\nstart = [\"kill\", \"-STOP\", \"1\"]\nend = [\"kill\", \"-CONT\", \"1\"]\nguard = \"fast\"\n\
         [[rule]]\nid = \"a\"\non = \"/a\"\nrate = \"5%\"\ndelay = \"1s\"\nguard = \"slo\"\n",
    );
    let guards: Vec<_> = set.guards.iter().map(fault_rules::guard::Guard::explain).collect();
    assert_eq!(
        guards,
        [
            "lift its rules when the error ratio of any method /a is more than 2 points above that of the control group \
             over 10s, with 95% confidence from 100 exchanges on",
            "hold its rules where they are when the goodput of any method any path is below 100/s over 10s, with 95% \
             confidence from 100 exchanges on",
        ]
    );
    assert_eq!(
        set.hooks[0].explain(),
        "from 2m to 3m: run kill -STOP 1, at the end kill -CONT 1 (each killed after 10s)"
    );
    assert_eq!(set.rules()[0].explain(), "5% of requests on any method /a: wait 1s (under a guard)");
}
