//! Each mistake of a rule file: its code, the exact text the caret stands under, and what the help says.

use fault_rules::{Loader, Report, RuleSet, parse, parse_inline};

fn read(source: &str) -> Result<RuleSet, Report> {
    let file = |name: &str| match name {
        "bodies/503.json" => Ok(b"{}".to_vec()),
        _ => Err(std::io::Error::from(std::io::ErrorKind::NotFound)),
    };
    parse(source, "faults.toml", &Loader { file: &file, ..Loader::NOTHING })
}

/// One finding as `CODE [marked text] help`.
fn brief(report: &Report) -> Vec<String> {
    let one = |finding: &fault_rules::report::Diagnostic| {
        let width = finding.end_column - finding.column;
        let marked: String = finding.source.chars().skip(finding.column - 1).take(width).collect();
        format!("{} [{marked}] {}", finding.code, finding.help.as_deref().unwrap_or(""))
    };
    report.findings().iter().map(one).collect()
}

/// A whole file with exactly one finding.
#[track_caller]
fn check_file(source: &str, expect: &str) {
    let found = brief(&read(source).expect_err(source));
    assert_eq!(found, [expect], "in:\n{source}");
}

/// A rule with these lines and an id has exactly one finding.
#[track_caller]
fn check(lines: &str, expect: &str) {
    check_file(&format!("[[rule]]\nid = \"a\"\n{lines}\n"), expect);
}

#[test]
fn unknown_words_name_the_nearest_right_one() {
    check("dealy = \"2s\"\nrespond = 503", "E01 [dealy] did you mean `delay`?");
    check("match = \"/\"\nrespond = 503", "E01 [match] did you mean `on`?");
    check("probability = \"5%\"\nrespond = 503", "E01 [probability] did you mean `rate`?");
    check("respond = { statsu = 503, status = 503 }", "E01 [statsu] did you mean `status`?");
    check("one_of = [{ respond = 503, wieght = 2 }]", "E01 [wieght] did you mean `weight`?");
    check("delay = { dist = \"normla\" }", "E07 [normla] did you mean `normal`?");
    check("rate = \"5% of sesions\"\nrespond = 503", "E05 [sesions] did you mean `sessions`?");
    check("rate_limit = { rate = \"5/s\", per = \"sesion\" }", "E29 [sesion] did you mean `session`?");
    check_file("[saftey]\nmax_run = \"1h\"", "E01 [saftey] did you mean `safety`?");
    check_file("[safety]\nmax_runs = \"1h\"", "E01 [max_runs] did you mean `max_run`?");
    check(
        "respond = 503\nxyzzy = 1",
        "E01 [xyzzy] known here: id, on, rate, attempts, shard, every, burst, when, guard, delay, respond, rate_limit, reset, blackhole, truncate, throttle, stall, loss, corrupt, drop_response, duplicate, storm, outage, stale, goaway, websocket_close, failover, one_of",
    );
}

#[test]
fn ids_are_there_once_and_well_formed() {
    let twice = "[[rule]]\nid = \"a\"\nrespond = 500\n[[rule]]\nid = \"a\"\nrespond = 503\n";
    check_file(twice, "E02 [a] give one of the two another id");
    let nameless = "[[rule]]\nrespond = 500";
    let help = "write `id = \"cart-tail\"`: the id decides who is selected, so it must not change by itself";
    check_file(nameless, &format!("E25 [[[rule]]] {help}"));
    check_file(
        "[[rule]]\nid = \"a b\"\nrespond = 500",
        "E25 [a b] use 1 to 64 letters, digits, `.`, `_` or `-`: `cart-tail`",
    );
}

#[test]
fn a_rule_has_something_to_do_and_not_two_things() {
    let both = "keep one, or let a roll choose: one_of = [{ … }, { … }]";
    check("respond = 503\nreset = \"before headers\"", &format!("E03 [reset] {both}"));
    check(
        "respond = 503\nstorm = { when = [\"5xx\"], copies = 1, max_amplification = 2 }",
        &format!("E03 [storm] {both}"),
    );
    check(
        "respond = 503\none_of = [{ reset = \"after headers\" }]",
        "E03 [one_of] move the fault into `one_of`, or into a rule of its own",
    );
    check(
        "delay = \"1s\"\none_of = [{ delay = \"1s\" }]",
        "E03 [delay] keep the rule's, or give each branch its own",
    );
    check_file(
        "[[rule]]\nid = \"a\"",
        "E04 [[[rule]]] give it a delay, or one of respond, rate_limit, reset, blackhole, truncate, throttle, stall, loss, corrupt, drop_response, duplicate, storm, outage, stale, goaway, websocket_close, one_of",
    );
    check("one_of = [{ weight = 2 }]", "E04 [{ weight = 2 }] give it a delay or a fault");
    check("one_of = []", "E09 [[]] give at least one branch a weight above 0");
    check(
        "one_of = [{ respond = 500, weight = 0 }]",
        "E09 [[{ respond = 500, weight = 0 }]] give at least one branch a weight above 0",
    );
    check("one_of = [{ respond = 500, weight = 1.5 }]", "E09 [1.5] write `weight = 2`");
}

#[test]
fn rates_are_percentages() {
    check("respond = 500\nrate = 0.5", "E05 [0.5] write `50%` or `0.5%`, whichever is meant");
    check("respond = 500\nrate = 20", "E05 [20] write `20%`");
    check("respond = 500\nrate = \"0.5\"", "E05 [0.5] write `50%` or `0.5%`, whichever is meant");
    check("respond = 500\nrate = \"101%\"", "E05 [101%] write at most `100%`");
    check("respond = 500\nrate = \"5% sessions\"", "E05 [sessions] write `20% of sessions`");
    check("respond = 500\nrate = \"5% of header\"", "E05 [header] write `5% of header NAME`");
    check("respond = 500\nrate = \"\"", "E05 [\"] write `20%` or `20% of sessions`");
}

#[test]
fn times_have_units_and_sense() {
    check("delay = 500", "E06 [500] write `\"500ms\"` or `\"500s\"`, whichever is meant");
    check("delay = \"500\"", "E06 [500] write `500ms` or `500s`, whichever is meant");
    check("delay = \"50..200ms\"", "E06 [50] write `50ms` or `50s`, whichever is meant");
    check("delay = \"5secs\"", "E06 [5secs] did you mean `5s`?");
    check("blackhole = 30", "E06 [30] write `blackhole = \"30s\"`");
    check("blackhole = \"30\"", "E06 [30] write `30ms` or `30s`, whichever is meant");
    check("reset = \"after 5000 of body\"", "E06 [5000] write `5000 B`, `64KB` or `1MB`");
    check("delay = \"200ms..50ms\"", "E07 [200ms..50ms] write the shorter one first");
    check(
        "delay = \"p50 900ms, p99 80ms\"",
        "E07 [p50 900ms, p99 80ms] one in a hundred is slower than p99, so it is the longer one",
    );
    check("delay = \"p50 900ms\"", "E07 [p50 900ms] write `p50 80ms, p99 900ms`");
    check("delay = \"p50 0ms, p99 80ms\"", "E07 [p50 0ms, p99 80ms] give a p50 above zero");
    check("delay = { dist = \"lognormal\", p50 = \"1s\" }", "E07 [delay] write `p99 = \"200ms\"`");
    check(
        "delay = \"10ms +- 50ms\"",
        "E08 [10ms +- 50ms] make it smaller, or accept the cut: { dist = \"normal\", mean = …, sd = …, min = \"0ms\" }",
    );
    check("respond = 500\nwhen = \"2m..1m\"", "E18 [2m..1m] write the earlier time first");
    check("respond = 500\nwhen = \"1m\"", "E18 [1m] write `1m..` for from then on, `..1m` for until then");
    check("respond = 500\nwhen = \"..\"", "E18 [..] leave `when` out for always");
    check_file("[safety]\nmax_run = 45", "E06 [45] write `\"45s\"` or `\"45m\"`, whichever is meant");
    check_file("[safety]\nheartbeat = \"0s\"", "E06 [0s] write a time above zero");
}

#[test]
fn on_says_whom() {
    let rule = |on: &str, expect: &str| check(&format!("respond = 500\non = '{on}'"), expect);
    rule("get /a", "E11 [get] methods are written in capitals: `GET`");
    rule("GTE /a", "E11 [GTE] did you mean `GET`?");
    rule("GET|PSOT /a", "E11 [PSOT] did you mean `POST`?");
    rule("hots a.b", "E11 [hots] did you mean `host`?");
    rule("/a?x=1", "E11 [?x=1] drop it: a rule goes by the path, the query is never part of it");
    rule("/a /b", "E11 [/b] all of `on` must hold at once; write a rule for each");
    rule("/a/**/b", "E11 [**] let it be the last part: `/api/**`");
    rule("/caf\u{e9}", "E11 [\u{e9}] paths are compared as they are sent: write `%C3%A9`");
    rule("header", "E11 [header] write `header NAME`");
    rule("header a(b", "E11 [a(b] write `x-api-key`");
    rule(
        "host http://x",
        "E11 [http://x] not a host name; write `shop.local`, `shop.local:8443` or `*.shop.local`",
    );
    rule("api/**", "E11 [api/**] a path begins with `/`: `/api/**`");
    check("respond = 500\non = { paht = \"/a\" }", "E01 [paht] did you mean `path`?");
    check("respond = 500\non = { method = [\"GET\", \"FETCH\"] }", "E11 [FETCH] did you mean `PATCH`?");
    check("respond = 500\non = { method = [] }", "E11 [[]] leave `method` out for all methods");
    check_file("[safety]\nprotect = [\"\"]", "E11 [\"] name a path, a host, a header or an edge");
}

#[test]
fn answers_are_answers() {
    check("respond = 99", "E28 [99] write 200 to 599");
    check(
        "respond = \"503\"",
        "E24 [\"503\"] write `respond = 503` or `respond = { status = 503, body = \"…\" }`",
    );
    check("respond = { body = \"x\" }", "E28 [respond] write `status = 503`");
    check(
        "respond = { status = 500, headers = { retry-after = \"5\" } }",
        "E15 [\"5\"] clients heed it on 429, 503 and 3xx only",
    );
    check("respond = { status = 204, body = \"x\" }", "E16 [\"x\"] drop the body, or choose another status");
    check(
        "respond = { status = 200, headers = { content-length = \"5\" } }",
        "E28 [content-length] drop it: the proxy frames its answers itself",
    );
    check("respond = { status = 200, headers = { x-a = 5 } }", "E24 [5] write `\"5\"`");
    check(
        "respond = { status = 200, headers = { x-a = \"a\\r\\nb\" } }",
        "E28 [\"a\\r\\nb\"] write the value on one line",
    );
    check(
        "respond = { status = 503, body_file = \"nope\" }",
        "E10 [nope] a relative name starts from the rule file",
    );
    check(
        "respond = { status = 503, body = \"a\", body_file = \"bodies/503.json\" }",
        "E28 [body_file] keep one of the two",
    );
    check("rate_limit = { rate = \"5/s\", status = 500 }", "E15 [500] write `status = 429`, or leave it out");
    check(
        "rate_limit = { rate = \"5/s\", headers = { Retry-After = \"1\" } }",
        "E15 [\"1\"] drop it: the bucket says the true one",
    );
    check("rate_limit = { burst = 5 }", "E29 [rate_limit] write `rate = \"50/s\"`");
    check("rate_limit = \"50\"", "E06 [50] write what it counts by: `50/s`");
    check(
        "reset = \"soon\"",
        "E24 [soon] write `before headers`, `after headers`, `after 5000 B of body`, `after 50% of body`, `after 20 events` or `after 2s`",
    );
    check("blackhole = \"30s, then explode\"", "E24 [then explode] write `then reset` or `then close`");
}

#[test]
fn storms_are_capped() {
    let cap = "write `max_amplification = 4.0`: upstream attempts per forwarded exchange";
    check("storm = { when = [\"5xx\"], copies = 3 }", &format!("E21 [storm] {cap}"));
    let storm = |body: &str, expect: &str| check(&format!("storm = {{ {body} }}"), expect);
    storm(
        "when = [\"5xx\"], copies = 3, max_amplification = 0.5",
        "E21 [0.5] write `max_amplification = 4.0`",
    );
    storm(
        "when = [\"6xx\"], copies = 3, max_amplification = 4",
        "E21 [6xx] write `5xx`, `503`, `slower than 500ms` or `failure`",
    );
    storm("when = [], copies = 3, max_amplification = 4", "E21 [[]] write `when = [\"5xx\"]`");
    storm(
        "when = [\"slower than 5\"], copies = 3, max_amplification = 4",
        "E06 [5] write `5ms` or `5s`, whichever is meant",
    );
    check("storm = { when = [\"5xx\"], copies = 101, max_amplification = 4 }", "E24 [101] ");
}

#[test]
fn the_file_itself() {
    check_file("version = 2", "E26 [2] write `version = 1`");
    check_file("seed = \"xyz\"", "E27 [\"xyz\"] write `seed = \"0x5eed2026\"`");
    check_file("seed = -1", "E27 [-1] write `seed = \"0x5eed2026\"`");
    check_file("[rule]\nid = \"a\"", "E24 [rule] write `[[rule]]`, with two brackets");
    check_file("rule = [1]", "E24 [1] write `[[rule]]`, then one key a line");
    assert_eq!(read(&" ".repeat(2 << 20)).unwrap_err().findings()[0].code, "E00");
}

#[test]
fn all_mistakes_come_at_once_and_in_order() {
    let source = "version = 2\n[[rule]]\nid = \"a\"\ndealy = 5\nrate = 0.5\n[[rule]]\nrespond = 7\n";
    let places: Vec<_> =
        read(source).unwrap_err().findings().iter().map(|it| (it.code, it.line, it.column)).collect();
    let expect = [("E26", 1, 11), ("E01", 4, 1), ("E05", 5, 8), ("E25", 6, 1), ("E28", 7, 11)];
    assert_eq!(places, expect);
}

#[test]
fn a_syntax_error_does_not_hide_the_rest_nor_invent_gaps() {
    let source = "[[rule]]\nid = \"a\nrespond = 503\n[[rule]]\nid = \"b\"\nrespond = 99\n";
    let report = read(source).unwrap_err();
    let codes: Vec<_> = report.findings().iter().map(|it| (it.code, it.line)).collect();
    assert_eq!(codes, [("E00", 2), ("E28", 6)], "{report}");
}

#[test]
fn a_report_is_bounded() {
    let source: String = (0..500).map(|n| format!("x{n} = 1\n")).collect();
    let report = read(&source).unwrap_err();
    assert_eq!(report.findings().len(), 101);
    assert_eq!(report.findings()[100].message, "400 more findings are not shown");
}

#[test]
fn the_caret_stands_under_the_word() {
    let report = read("[[rule]]\nid = \"\u{e9}t\u{e9}\"\n\tdealy = \"2s\" # \u{e9}\n").unwrap_err();
    let text = report.to_string();
    assert!(text.contains("faults.toml:3:2: error[E01]: unknown key `dealy` in [[rule]]\n"), "{text}");
    assert!(
        text.contains("    3 |  dealy = \"2s\" # \u{e9}\n      |  ^^^^^\n      = did you mean `delay`?\n"),
        "{text}"
    );
    assert!(text.contains("faults.toml:2:7: error[E25]"), "{text}");
    let long = format!("[[rule]]\nid = \"a\"\nrespond = 503\n{} = 1\n", "x".repeat(5_000));
    assert!(read(&long).unwrap_err().to_string().lines().all(|line| line.len() < 6_000));
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json[1]["code"], "E01");
    assert_eq!(json[1]["column"], 2);
    assert_eq!(json[1]["severity"], "error");
}

#[test]
fn what_is_probably_not_meant_is_a_warning() {
    let blanket =
        "[[rule]]\nid = \"all\"\nrespond = 503\n[[rule]]\nid = \"b\"\non = \"GET /a\"\nrespond = 500\n";
    let codes = |source: &str| -> Vec<_> {
        let source = format!("[safety]\nprotect = [\"/healthz\"]\n{source}");
        read(&source).unwrap().warnings.iter().map(|it| it.code).collect()
    };
    assert_eq!(codes(blanket), ["E12"]);
    assert_eq!(codes(&blanket.replace("respond = 503", "respond = 503\nrate = \"99%\"")), Vec::<&str>::new());
    assert_eq!(codes(&blanket.replace("respond = 500", "respond = 500\ndelay = \"1s\"")), Vec::<&str>::new());
    assert_eq!(codes(&blanket.replace("respond = 503", "rate_limit = \"5/s\"")), Vec::<&str>::new());
    assert_eq!(codes("[[rule]]\nid = \"a\"\nrate = \"0%\"\nrespond = 500"), ["W04"]);
}

#[test]
fn the_command_line_is_told_as_exactly() {
    let check =
        |rule: &str, expect: &str| assert_eq!(brief(&parse_inline(rule).unwrap_err()), [expect], "{rule}");
    check("", "E04 [] write `GET /api/** delay 200ms 20%`: whom, what, how many");
    check("GET /a", "E04 [GET /a] write `GET /api/** delay 200ms 20%`: whom, what, how many");
    check("GET /a delay 200 20%", "E06 [200] write `200ms` or `200s`, whichever is meant");
    check("GTE /a delay 200ms", "E11 [GTE] did you mean `GET`?");
    check("/a delay 200ms 20% of sesions", "E05 [sesions] did you mean `sessions`?");
    check("/a respond 99", "E28 [99] write 200 to 599");
    check("/a respond", "E04 [respond] write `respond 503`");
    check("/a respond 503 reset \"after headers\"", "E03 [reset] give each its own --fault");
    check("/a delay 1s when 2m..1m", "E18 [2m..1m] write the earlier time first");
    check("/a storm 3", "E24 [3] put it into a rule file: storm = { when = [\"5xx\"], copies = 3, … }");
    check("/a?b delay 1s", "E11 [?b] drop it: a rule goes by the path, the query is never part of it");
}
