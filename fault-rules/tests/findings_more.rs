//! Mistakes in selectors, faults, groups, guards and hooks: the code, the text the caret stands under, the help.

use fault_rules::report::{Diagnostic, Severity};
use fault_rules::{Loader, Report, RuleSet, parse, parse_inline};

fn read(source: &str) -> Result<RuleSet, Report> {
    parse(source, "faults.toml", &Loader::NOTHING)
}

/// One finding as `CODE [marked text] help`.
fn brief(finding: &Diagnostic) -> String {
    let width = finding.end_column - finding.column;
    let marked: String = finding.source.chars().skip(finding.column - 1).take(width).collect();
    format!("{} [{marked}] {}", finding.code, finding.help.as_deref().unwrap_or(""))
}

/// A whole file with exactly one error.
#[track_caller]
fn check_file(source: &str, expect: &str) {
    let report = read(source).expect_err(source);
    let errors = report.findings().iter().filter(|finding| finding.severity == Severity::Error);
    assert_eq!(errors.map(brief).collect::<Vec<_>>(), [expect], "in:\n{source}");
}

/// A rule with these lines and an id has exactly one error.
#[track_caller]
fn check(lines: &str, expect: &str) {
    check_file(&format!("[[rule]]\nid = \"a\"\n{lines}\n"), expect);
}

/// A file that is read has exactly these warnings.
#[track_caller]
fn warns(source: &str, expect: &[&str]) {
    let set = read(source).unwrap_or_else(|report| panic!("{report}"));
    assert_eq!(set.warnings.iter().map(brief).collect::<Vec<_>>(), expect, "in:\n{source}");
}

const SAFE: &str = "[safety]\nprotect = [\"/healthz\"]\n";

#[test]
fn names_must_be_known() {
    let groups = "[group.eu-west]\nmembers = [\"a:1\"]\n[group.us]\nmembers = [\"b:1\"]\n";
    let in_groups = |lines: &str, expect: &str| {
        check_file(&format!("{groups}[[rule]]\nid = \"a\"\n{lines}\n"), expect);
    };
    in_groups("on = \"group eu-wst\"\nrespond = 500", "E10 [eu-wst] did you mean `eu-west`?");
    in_groups("on = { group = \"asia\" }\nrespond = 500", "E10 [asia] known here: eu-west, us");
    in_groups("outage = \"refuse\"\nfailover = { to = \"uss\" }", "E10 [uss] did you mean `us`?");
    in_groups(
        "on = \"group us\"\noutage = \"refuse\"\nfailover = { to = \"us\" }",
        "E24 [us] name another group in `to`",
    );
    let none = "there is no group here; a rule file names one by `[group.eu]`";
    check("on = \"group eu\"\nrespond = 500", &format!("E10 [eu] {none}"));
    check(
        "guard = \"slo\"\nrespond = 500",
        "E10 [slo] there is no guard here; a rule file names one by `[guard.slo]`",
    );
    check(
        "on = \"/c/{customer}\"\nrate = \"5% of path custmer\"\nrespond = 500",
        "E10 [custmer] did you mean `customer`?",
    );
    check(
        "on = \"/c/{id}\"\nshard = \"crc32(path customer) % 16 in [3]\"\nrespond = 500",
        "E10 [customer] name a part in `on`: \"/api/{customer}/**\"",
    );
    check("delay = \"like nope.zst\"", "E10 [nope.zst] a relative name starts from the rule file");
}

#[test]
fn a_wrong_group_or_guard_is_said_once() {
    let source = "[group.eu]\nmembers = []\n[guard.slo]\nsignal = \"p9x\"\nlimit = \"1s\"\n\
                  [[rule]]\nid = \"a\"\non = \"group eu\"\nguard = \"slo\"\nrespond = 500\n";
    let found: Vec<_> = read(source).unwrap_err().findings().iter().map(|it| (it.code, it.line)).collect();
    assert_eq!(found, [("E30", 2), ("E31", 4)]);
}

#[test]
fn a_status_is_waited_for_by_what_comes_after_it() {
    let waits = |fault: &str, expect: &str| check(&format!("on = \"/a -> 2xx\"\n{fault}"), expect);
    let later =
        "drop `-> …`, or take a fault of the answer: drop_response, truncate, stall, reset after headers";
    for (fault, key) in [
        ("respond = 503", "respond"),
        ("reset = \"before headers\"", "reset"),
        ("blackhole = \"3s\"", "blackhole"),
        ("duplicate = 1", "duplicate"),
        ("outage = \"refuse\"", "outage"),
        ("stale = \"3s\"", "stale"),
        ("rate_limit = \"5/s\"", "rate_limit"),
        ("throttle = { request = \"1KB/s\" }", "throttle"),
    ] {
        waits(fault, &format!("E13 [{key}] {later}"));
    }
    waits("delay = \"1s\"", "E13 [\"1s\"] add ` at response` or ` at first_byte`");
    waits("one_of = [{ respond = 500 }]", &format!("E13 [respond] {later}"));
    check_file("[safety]\nprotect = [\"/a -> 2xx\"]", "E13 [/a -> 2xx] drop `-> …`");
    check_file(
        "[guard.g]\non = \"-> 2xx\"\nsignal = \"p50\"\nlimit = \"1s\"",
        "E13 [\"-> 2xx\"] drop `-> …`",
    );
    let statuses = "write `2xx`, `503`, `500..599` or `4xx|503`";
    for wrong in ["6xx", "99", "2x", "503..500", "ok"] {
        check(&format!("on = \"/a -> {wrong}\"\ntruncate = \"5%\""), &format!("E11 [{wrong}] {statuses}"));
    }
    check("on = \"/a ->\"\ntruncate = \"5%\"", "E11 [->] write `-> 2xx`");
}

#[test]
fn shards_are_there_and_hashed_as_known() {
    let shard = |value: &str, expect: &str| {
        check(&format!("on = \"/c/{{c}}\"\nrespond = 500\nshard = {value}"), expect);
    };
    shard("\"crc32(path c) % 16 in [3, 16]\"", "E14 [16] they count from 0 to 15");
    shard("\"crc23(path c) % 16 in [3]\"", "E14 [crc23] did you mean `crc32`?");
    shard("\"crc32(pth c) % 16 in [3]\"", "E14 [pth] did you mean `path`?");
    shard("\"crc32(path) % 16 in [3]\"", "E14 [path] write `path NAME`");
    shard("\"crc32(path c) % 0 in [3]\"", "E14 [0] write `crc32(path customer) % 16 in [3, 11]`");
    shard("\"3 of 16\"", "E14 [3 of 16] write `crc32(path customer) % 16 in [3, 11]`");
    let table = |rest: &str, expect: &str| {
        shard(&format!("{{ key = \"path c\", hash = \"crc32\", {rest} }}"), expect);
    };
    table("of = 16, is = [16]", "E14 [16] they count from 0 to 15");
    table("of = 16, is = []", "E14 [[]] write `is = [3, 11]`");
    table("of = 16, is = [\"3\"]", "E14 [\"3\"] write `in [3, 11]`");
    table("is = [3]", "E30 [shard] write `of = 16`");
}

#[test]
fn selectors_count_from_one() {
    let check = |line: &str, expect: &str| check(&format!("respond = 500\n{line}"), expect);
    let attempts = "write `1`, `1..2` or `3..`";
    check("attempts = \"0\"", &format!("E24 [0] {attempts}"));
    check("attempts = \"2..1\"", &format!("E24 [2..1] {attempts}"));
    check("attempts = 0", "E24 [0] ");
    check("every = \"10\"", "E24 [10] write `10th`");
    check("every = \"0th\"", "E24 [0th] write `10th`");
    check(
        "every = \"10th of session\"",
        "E24 [10th of session] write `10th`, `3rd per session` or `10th per header NAME`",
    );
    check("every = \"10th per sesion\"", "E29 [sesion] did you mean `session`?");
    check("burst = { enter = \"1%\" }", "E30 [burst] write `leave = \"10%\"`");
    check("burst = { enter = 1, leave = \"1%\" }", "E05 [1] write `1%`");
}

#[test]
fn windows_hold_their_ramps_and_repeats() {
    let check = |when: &str, expect: &str| check(&format!("delay = \"1s\"\nwhen = {when}"), expect);
    check(
        "\"1m..2m, ramp 40s, ramp down 30s\"",
        "E18 [1m..2m, ramp 40s, ramp down 30s] shorten them, or give the window a later end",
    );
    check("\"1m.., ramp down 30s\"", "E18 [1m.., ramp down 30s] give the window an end: `1m..9m`");
    check("\"1m..9m, every 5m\"", "E18 [1m..9m, every 5m] shorten it, or repeat it less often");
    check("\"1m.., every 5m\"", "E18 [1m.., every 5m] give it an end: `1m..2m`");
    check("\"1m..9m, steps 4\"", "E18 [1m..9m, steps 4] add `ramp 2m`, or drop the steps");
    check("\"1m..9m, rmap 2m\"", "E18 [rmap] did you mean `ramp`?");
    check("\"1m..9m, ramp 2\"", "E06 [2] write `2ms` or `2s`, whichever is meant");
    check(
        "\"1m..9m, every 10m 0 times\"",
        "E18 [0] write `ramp 2m`, `ramp down 1m`, `steps 4`, `every 10m` or `every 10m 3 times`",
    );
    check(
        "{ from = \"2m\", to = \"1m\" }",
        "E18 [{ from = \"2m\", to = \"1m\" }] write the earlier time first",
    );
    check("{ to = \"9m\", times = 3 }", "E18 [{ to = \"9m\", times = 3 }] add `every = \"10m\"`");
    check(
        "{ to = \"9m\", scale = \"delay\" }",
        "E18 [{ to = \"9m\", scale = \"delay\" }] add `ramp = \"2m\"`, or drop the scale",
    );
    check("{ form = \"2m\" }", "E01 [form] did you mean `from`?");
}

#[test]
fn a_ramp_of_the_delay_has_a_delay() {
    let when = "{ to = \"9m\", ramp = \"1m\", scale = \"delay\" }";
    check(&format!("respond = 500\nwhen = {when}"), &format!("E18 [{when}] drop `scale`: the rate ramps"));
}

#[test]
fn delays_fall_where_they_can() {
    check(
        "delay = \"1s at answer\"",
        "E07 [answer] known here: connect, request, response, first_byte, close",
    );
    check("delay = \"1s at respones\"", "E07 [respones] did you mean `response`?");
    check(
        "delay = \"at least 1s at request\"",
        "E07 [at least 1s at request] write `at response` or `at first_byte`",
    );
    let pareto =
        |rest: &str, expect: &str| check(&format!("delay = {{ dist = \"pareto\", {rest} }}"), expect);
    pareto("scale = \"1s\"", "E07 [delay] write `shape = 1.5`");
    pareto("scale = \"1s\", shape = 0", "E07 [delay] write `shape = 1.5`; the smaller, the heavier the tail");
    pareto("scale = \"1s\", shape = 0.9", "E07 [delay] add `max = \"5s\"`, or take a shape above 1");
    pareto(
        "scale = \"1s\", shape = 2, max = \"5ms\"",
        "E07 [delay] the scale is the shortest delay: raise max",
    );
    let table = |points: &str, expect: &str| {
        check(&format!("delay = {{ dist = \"table\", points = {points} }}"), expect);
    };
    table(
        "{ p50 = \"2s\", p99 = \"1s\" }",
        "E07 [{ p50 = \"2s\", p99 = \"1s\" }] a percentile never falls: sort them",
    );
    table("{ q50 = \"2s\" }", "E07 [q50] write `p50`, `p99` or `p99_9`");
    table("{ p101 = \"2s\" }", "E07 [p101] write `p50`, `p99` or `p99_9`");
    table("{}", "E07 [{}] write `points = { p50 = \"80ms\", p99 = \"900ms\" }`");
    check("delay = \"like x.zst x0\"", "E07 [x.zst] write a factor above 0, to 1000");
}

#[test]
fn faults_say_what_and_where() {
    check(
        "truncate = \"20 events\"",
        "E24 [20 events] write `60%`, `5000 B` or `headers`; for streams: stall, reset",
    );
    check("truncate = \"60\"", "E06 [60] write `5000 B`, `64KB` or `1MB`");
    check("throttle = \"10KB\"", "E06 [10KB] write bytes a second: `10KB/s`");
    check("throttle = \"0 B/s\"", "E06 [0 B/s] write `10KB/s`");
    check("throttle = {}", "E30 [throttle] write `response = \"10KB/s\"`, `request = …` or both");
    check("throttle = { response = \"1KB/s\", peice = \"1 B\" }", "E01 [peice] did you mean `piece`?");
    check(
        "stall = \"8s\"",
        "E24 [8s] write `8s after headers`, `8s after 20 events` or `forever after 5000 B`",
    );
    check("stall = \"8s after lunch\"", "E06 [lunch] write `5000 B`, `64KB` or `1MB`");
    check("stall = \"8s after headers, then\"", "E24 [then] write `then reset` or `then close`");
    check("loss = 0.02", "E05 [0.02] write `2%` or `0.02%`, whichever is meant");
    check(
        "loss = { rate = \"2%\", rto = \"2m\" }",
        "E24 [loss] give `rto` a time above zero, `max_rto` one at least as long",
    );
    check("corrupt = \"bitflip\"", "E24 [bitflip] write `bitflip per 4KB`");
    check("corrupt = \"bitflop per 4KB\"", "E24 [bitflop] did you mean `bitflip`?");
    check("corrupt = { per = \"0 B\" }", "E06 [0 B] write a size above zero");
    check("corrupt = { per = \"1KB\", direction = \"reqest\" }", "E24 [reqest] did you mean `request`?");
    check(
        "drop_response = \"never\"",
        "E24 [never] write `reset`, `close`, `blackhole`, `30s, then reset` or `{ respond = 503 }`",
    );
    check("duplicate = 0", "E24 [0] ");
    check("outage = \"dark\"", "E24 [dark] known here: refuse, reset, blackhole");
    check(
        "respond = 500\nfailover = { to = \"us\" }",
        "E30 [failover] add `outage = \"refuse\"`, or drop it",
    );
    check("stale = 30", "E06 [30] write `\"30ms\"` or `\"30s\"`, whichever is meant");
    check("goaway = \"ENHANCE_CALM\"", "E24 [ENHANCE_CALM] did you mean `ENHANCE_YOUR_CALM`?");
    check(
        "reset = { at = \"after headers\", code = \"REFUSED\" }",
        "E24 [REFUSED] known here: NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR, SETTINGS_TIMEOUT, STREAM_CLOSED, FRAME_SIZE_ERROR, REFUSED_STREAM, CANCEL, COMPRESSION_ERROR, CONNECT_ERROR, ENHANCE_YOUR_CALM, INADEQUATE_SECURITY, HTTP_1_1_REQUIRED",
    );
    check(
        "reset = { at = \"after headers\", scope = \"conection\" }",
        "E24 [conection] did you mean `connection`?",
    );
    let close = "write 1000 to 4999 (not 1004, 1005, 1015), as 1011 for a server's failure; 1006 ends without a frame";
    for code in ["1005", "999", "5000"] {
        check(&format!("websocket_close = {code}"), &format!("E24 [{code}] {close}"));
    }
    check("websocket_close = \"1011 at once\"", "E24 [1011 at once] write `1011` or `1011 after 20 events`");
    check(
        "storm = { when = [\"5xx\"], copies = 1, max_amplification = 2, backoff = \"100ms x99\" }",
        "E21 [100ms x99] write `none`, `100ms` or `100ms x2`, with a factor from 1 to 10",
    );
    check(
        "respond = { grpc_status = \"GONE\" }",
        "E24 [GONE] known here: OK, CANCELLED, UNKNOWN, INVALID_ARGUMENT, DEADLINE_EXCEEDED, NOT_FOUND, ALREADY_EXISTS, PERMISSION_DENIED, RESOURCE_EXHAUSTED, FAILED_PRECONDITION, ABORTED, OUT_OF_RANGE, UNIMPLEMENTED, INTERNAL, UNAVAILABLE, DATA_LOSS, UNAUTHENTICATED",
    );
    check("respond = { grpc_status = 17 }", "E24 [17] ");
    check(
        "respond = { status = 503, grpc_status = 14 }",
        "E28 [status] drop it: a gRPC answer is 200 with a status of its own",
    );
    check(
        "respond = { grpc_message = \"x\", status = 503 }",
        "E28 [grpc_message] add `grpc_status = \"UNAVAILABLE\"`",
    );
    check(
        "respond = { grpc_status = 14, body = \"x\" }",
        "E16 [\"x\"] drop it: the call ends without a message",
    );
}

#[test]
fn a_fault_of_the_body_needs_one() {
    let advice = "take `reset = \"after headers\"`, or let `on` have answers with a body";
    let check = |on: &str, fault: &str, marked: &str| {
        check(&format!("on = \"{on}\"\n{fault}"), &format!("E16 [{marked}] {advice}"));
    };
    check("HEAD /a", "truncate = \"60%\"", "truncate");
    check("-> 204|304", "throttle = \"1KB/s\"", "throttle");
    check("HEAD", "corrupt = \"bitflip per 4KB\"", "corrupt");
    check("HEAD", "loss = \"2%\"", "loss");
    check("-> 304", "reset = \"after 5 B of body\"", "reset");
    check("HEAD", "stall = \"8s after 20 events\"", "stall");
    check("HEAD", "delay = \"1s at first_byte\"", "\"1s at first_byte\"");
    assert!(read(&format!("{SAFE}[[rule]]\nid = \"a\"\non = \"HEAD\"\nreset = \"after headers\"")).is_ok());
    assert!(read(&format!("{SAFE}[[rule]]\nid = \"a\"\non = \"HEAD|GET\"\ntruncate = \"60%\"")).is_ok());
}

#[test]
fn guards_are_whole_and_sensible() {
    let guard = |lines: &str, expect: &str| check_file(&format!("[guard.g]\n{lines}"), expect);
    guard("limit = \"1%\"", "E30 [g] write `signal = \"error_ratio\"`");
    guard("signal = \"p99\"", "E30 [g] write `limit = \"control + 2%\"`");
    guard(
        "signal = \"p100\"\nlimit = \"1s\"",
        "E31 [p100] known here: error_ratio, p50, p90, p95, p99, goodput, attempts_per_op",
    );
    guard(
        "signal = \"errors\"\nlimit = \"1%\"",
        "E31 [errors] known here: error_ratio, p50, p90, p95, p99, goodput, attempts_per_op",
    );
    let limit = |signal: &str, limit: &str, help: &str| {
        guard(&format!("signal = \"{signal}\"\nlimit = \"{limit}\""), &format!("E31 [{limit}] {help}"));
    };
    limit("error_ratio", "500ms", "write `control + 2%`, `baseline + 2%` or `1%`");
    limit("error_ratio", "control - 2%", "write `control + 2%`, `baseline + 2%` or `1%`");
    limit("error_ratio", "baseline x1.5", "write `control + 2%`, `baseline + 2%` or `1%`");
    limit("p99", "baseline x0.5", "write `control + 50ms`, `baseline + 10%`, `baseline x1.5` or `500ms`");
    limit("goodput", "baseline + 10%", "write `baseline - 10%`, `baseline x0.9` or `100/s`");
    limit("goodput", "control - 10%", "write `baseline - 10%` or `100/s`");
    limit("attempts_per_op", "0.5", "write `control + 10%`, `baseline x1.5` or `1.5`");
    guard("signal = \"p99\"\nlimit = \"500\"", "E06 [500] write `500ms` or `500s`, whichever is meant");
    let more = |line: &str, expect: &str| guard(&format!("signal = \"p99\"\nlimit = \"1s\"\n{line}"), expect);
    more("window = \"1ms\"", "E31 [\"1ms\"] write `window = \"10s\"`");
    more("trip = \"stop\"", "E31 [stop] known here: lift, step_down, hold");
    more("min_samples = 5", "E24 [5] ");
    more("confidence = \"100%\"", "E31 [\"100%\"] write `95%`");
    more("compare = \"control\"", "E01 [compare] did you mean `limit`?");
    check_file(
        "[guard.g]\nsignal = \"p99\"\nlimit = \"control + 1s\"\n[[rule]]\nid = \"a\"\non = \"/a\"\nrespond = 500\nguard = \"g\"",
        "E19 [a] lower the rate, or compare with `baseline`",
    );
}

#[test]
fn groups_hooks_and_safety_are_whole() {
    check_file("[group.eu]", "E30 [eu] write `members = [\"127.0.0.1:9101\"]`");
    check_file(
        "[group.eu]\nmembers = [\"127.0.0.1\"]",
        "E24 [127.0.0.1] write host and port as `--upstream` has them: `127.0.0.1:9101`",
    );
    check_file(
        "[group]\nmembers = [\"a:1\"]",
        "E24 [[\"a:1\"]] write `members = [\"127.0.0.1:9101\"]` below its name",
    );
    check_file(
        "[group.\"e u\"]\nmembers = [\"a:1\"]",
        "E25 [\"e u\"] use 1 to 64 letters, digits, `.`, `_` or `-`",
    );
    check_file("[[hook]]\nid = \"h\"", "E30 [[[hook]]] write `start = [\"kill\", \"-STOP\", \"1234\"]`");
    check_file(
        "[[hook]]\nid = \"h\"\nstart = []",
        "E30 [[]] write program and arguments: `start = [\"kill\", \"-STOP\", \"1234\"]`",
    );
    check_file("[[hook]]\nid = \"h\"\nstart = \"kill\"", "E24 [\"kill\"] write `[ … ]`");
    check_file(
        "[[hook]]\nid = \"h\"\nstart = [\"a\"]\nwhen = \"1m..2m, ramp 5s\"",
        "E18 [\"1m..2m, ramp 5s\"] drop the ramps",
    );
    check_file(
        "[[rule]]\nid = \"h\"\non = \"/a\"\nrespond = 500\n[[hook]]\nid = \"h\"\nstart = [\"a\"]",
        "E02 [h] give one of the two another id",
    );
    check_file("[safety]\narmed = \"yes\"", "E24 [\"yes\"] write `armed = true`");
    check_file(
        "[safety]\nlisten = [\"10.0.0.5\"]",
        "E24 [10.0.0.5] write it as `--listen` has it: `10.0.0.5:8080`",
    );
}

#[test]
fn what_is_probably_not_meant_is_a_warning() {
    warns(
        "[[rule]]\nid = \"all\"\nrate = \"5%\"\ndelay = \"1s\"\n",
        &["W02 [all] write `[safety]` and `protect = [\"/healthz\"]`, or narrow the rule by `on`"],
    );
    let with =
        |lines: &str, expect: &[&str]| warns(&format!("{SAFE}[[rule]]\nid = \"a\"\n{lines}\n"), expect);
    with(
        "on = \"/a\"\nreset = { at = \"after headers\", scope = \"connection\" }",
        &[
            "W03 [reset] drop `scope` to reset the stream only; the others are booked as cut by this rule otherwise",
        ],
    );
    with(
        "on = \"/a\"\ngoaway = \"CANCEL\"",
        &[
            "W03 [goaway] `goaway = \"graceful\"` lets them finish; they are booked as cut by this rule otherwise",
        ],
    );
    with("on = \"/a\"\ngoaway = \"graceful\"", &[]);
    with(
        "on = \"/a header accept=text/event-stream\"\ntruncate = \"60%\"",
        &["E17 [truncate] count instead: `after 20 events`, `after 5000 B`, `after 2s`"],
    );
    with("burst = { enter = \"0%\", leave = \"1%\" }\nrespond = 500", &["W04 [a] raise its rate"]);
    warns(
        &format!("{SAFE}[group.eu]\nmembers = [\"a:1\"]\n[guard.g]\nsignal = \"p99\"\nlimit = \"1s\"\n"),
        &[
            "W05 [eu] write `on = \"group eu\"` in one, or drop the group",
            "W05 [g] add `guard = \"g\"` to the rules that it is for",
        ],
    );
}

#[test]
fn rates_that_are_certain_to_breach_the_cap_are_told() {
    let cap = |cap: &str, rules: &str, expect: bool| {
        let source = format!("[safety]\nmax_affected = \"{cap}\"\nprotect = [\"/healthz\"]\n{rules}");
        let set = read(&source).unwrap_or_else(|report| panic!("{report}"));
        let codes: Vec<_> = set.warnings.iter().map(|it| it.code).collect();
        assert_eq!(codes, if expect { vec!["E20"] } else { vec![] }, "{source}");
    };
    let rule = |id: &str, lines: &str| format!("[[rule]]\nid = \"{id}\"\n{lines}\n");
    let (twenty, thirty) =
        (rule("a", "rate = \"20%\"\ndelay = \"1s\""), rule("b", "rate = \"30%\"\ndelay = \"1s\""));
    cap("50%", &format!("{twenty}{thirty}"), false);
    cap("44%", &format!("{twenty}{thirty}"), true);
    cap("30%", &thirty, true);
    cap("30%", &rule("b", "on = \"/a\"\nrespond = 500"), false);
    cap("30%", &rule("b", "rate_limit = \"5/s\""), false);
    cap("30%", &rule("b", "respond = 500\nevery = \"4th\""), false);
    cap("20%", &rule("b", "respond = 500\nevery = \"4th\""), true);
    cap("20%", &rule("b", "respond = 500\nburst = { enter = \"1%\", leave = \"9%\" }"), false);
    let (early, late) = (
        "when = \"..1m\"\nrate = \"40%\"\ndelay = \"1s\"",
        "when = \"1m..\"\nrate = \"40%\"\ndelay = \"1s\"",
    );
    cap("50%", &format!("{}{}", rule("a", early), rule("b", late)), false);
    cap("50%", &format!("{}{}", rule("a", early), rule("b", early)), true);
}

#[test]
fn the_command_line_is_told_as_exactly() {
    let check = |rule: &str, expect: &str| {
        let report = parse_inline(rule).expect_err(rule);
        assert_eq!(report.findings().iter().map(brief).collect::<Vec<_>>(), [expect], "{rule}");
    };
    check(
        "/a -> 2xx respond 503",
        "E13 [respond] drop `-> …`, or take a fault of the answer: drop_response, truncate, stall, reset after headers",
    );
    check("/a delay like capture.zst", "E10 [capture.zst] a relative name starts from the rule file");
    check("group eu outage refuse", "E10 [eu] there is no group here; a rule file names one by `[group.eu]`");
    check("/a outage", "E04 [outage] write `outage refuse`");
    check("/a truncate", "E04 [truncate] write `truncate 60%`");
    check(
        "/a stall 8s 5%",
        "E24 [8s] write `8s after headers`, `8s after 20 events` or `forever after 5000 B`",
    );
    check("/a respond 503 attempts 0", "E24 [0] write `1`, `1..2` or `3..`");
    check("/a respond 503 attempts 1 attempts 2", "E28 [503 attempts 1] write 200 to 599");
}
