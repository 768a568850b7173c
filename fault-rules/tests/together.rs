//! Mistakes beside mistakes: one does not hide another, and what only seems to be missing is not complained about.

use fault_rules::{Loader, MOST_FILE_BYTES, Report, decode, parse, parse_inline};

fn read(source: &str) -> Report {
    parse(source, "faults.toml", &Loader::NOTHING).expect_err(source)
}

/// Code, line and column of each finding.
fn places(report: &Report) -> Vec<(&'static str, usize, usize)> {
    report.findings().iter().map(|it| (it.code, it.line, it.column)).collect()
}

#[test]
fn an_id_twice_is_told_where_either_rule_is_wrong_otherwise() {
    let twice = "[[rule]]\nid = \"a\"\nrespnd = 503\n[[rule]]\nid = \"a\"\non = \"/a\"\nrespond = 503\n";
    assert_eq!(places(&read(twice)), [("E01", 3, 1), ("E02", 5, 7)]);
    let hook = "[[rule]]\nid = \"a\"\nrespnd = 503\n[[hook]]\nid = \"a\"\nstart = [\"x\"]\n";
    assert_eq!(places(&read(hook)), [("E01", 3, 1), ("E02", 5, 7)]);
    let message = read(hook).findings()[1].message.clone();
    assert_eq!(message, "the id `a` is taken by line 2");
}

#[test]
fn what_rules_are_to_each_other_is_told_beside_a_typo() {
    let source = "[safety]\nmax_affected = \"5%\"\nprotect = [\"/healthz\"]\n\
                  [guard.g]\nsignal = \"p99\"\nlimit = \"control + 1s\"\n\
                  [[rule]]\nid = \"wide\"\nrate = \"20%\"\ndelay = \"1s\"\n\
                  [[rule]]\nid = \"all\"\non = \"/a/**\"\nrespond = 503\n\
                  [[rule]]\nid = \"hidden\"\non = \"/a/b\"\nrespond = 500\n\
                  [[rule]]\nid = \"judged\"\non = \"/b\"\nrespond = 500\nguard = \"g\"\n\
                  [[rule]]\nid = \"typo\"\nrespnd = 503\n";
    let report = read(source);
    let codes: Vec<_> = report.findings().iter().map(|it| it.code).collect();
    assert_eq!(codes, ["E20", "E12", "E19", "E01"], "{report}");
}

#[test]
fn what_a_wrong_part_may_have_said_is_not_missed() {
    // the protection, the rule of the group and that of the guard are there, and cannot be read
    let source = "[safety]\nprotect = [\"healthz\"]\n[group.eu]\nmembers = [\"a:1\"]\n\
                  [guard.g]\nsignal = \"p99\"\nlimit = \"1s\"\n\
                  [[rule]]\nid = \"a\"\nrate = \"5%\"\ndelay = \"1s\"\n\
                  [[rule]]\nid = \"b\"\non = \"group eu\"\nguard = \"g\"\nrespnd = 503\n";
    let report = read(source);
    let codes: Vec<_> = report.findings().iter().map(|it| it.code).collect();
    assert_eq!(codes, ["E11", "E01"], "{report}");
}

#[test]
fn a_slip_in_a_fault_does_not_make_its_rule_another() {
    // it may have been a delay, which comes before the other's answer
    let source = "[[rule]]\nid = \"all\"\non = \"/a\"\nrespond = 503\n\
                  [[rule]]\nid = \"slow\"\non = \"/a\"\ndealy = \"1s\"\n";
    assert_eq!(places(&read(source)), [("E01", 8, 1)]);
}

#[test]
fn what_is_no_toml_says_what_to_type() {
    let help = |source: &str| {
        let report = read(source);
        let torn = report.findings().iter().find(|it| it.code == "E00");
        torn.and_then(|it| it.help.clone()).unwrap_or_default()
    };
    assert!(help("[[rule]]\nid = \"a\"\nid = \"b\"\n").contains("take one of the two out"));
    assert!(help("[safety]\n[safety]\n").contains("take one of the two out"));
    for other in ["rules:\n  - id: a\n", "{\"rule\": []}", "id = \"a\" on = \"/b\"", "id = a"] {
        assert!(help(other).contains("`key = value`"), "{other}");
    }
}

#[test]
fn bytes_that_are_no_text_are_shown_where_they_stand() {
    let report = decode(b"[[rule]]\nid = \"caf\xe9\"\nrespond = 503\n".to_vec(), "f").unwrap_err();
    assert_eq!(places(&report), [("E00", 2, 10)]);
    assert_eq!(
        report.to_string(),
        "f:2:10: error[E00]: a byte that is no UTF-8\n    2 | id = \"caf\u{fffd}\"\n      |          ^\n      = save the file as UTF-8\n"
    );
    let utf16 = decode(b"\xff\xfe[\0[\0".to_vec(), "f").unwrap_err();
    assert!(utf16.to_string().contains("looks like UTF-16"), "{utf16}");
    assert_eq!(decode(b"a = \"\xc3\xa9\"".to_vec(), "f").unwrap(), "a = \"\u{e9}\"");
    // a file that is too large was cut within a character: its size is the mistake
    let mut large = vec![b'#'; MOST_FILE_BYTES];
    large.push(0xc3);
    assert!(read(&decode(large, "f").unwrap()).to_string().contains("more than 1 MiB"));
}

#[test]
fn a_slip_in_the_fault_of_a_command_line_is_named() {
    let told = |rule: &str| parse_inline(rule).unwrap_err().to_string();
    let said = told("GET /a dealy 200ms 20%");
    assert!(said.contains("--fault:1:8: error[E01]: unknown fault `dealy`"), "{said}");
    assert!(said.contains("did you mean `delay`?"), "{said}");
    assert!(told("/a respnd 503").contains("did you mean `respond`?"));
    for whom in ["/a host loss.local group eu", "header dealy edge outag", "-> 5xx"] {
        assert!(told(whom).contains("error[E04]"), "{whom}");
    }
}
