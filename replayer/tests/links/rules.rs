//! Rules of the user: links where the recording has no bodies of answers, links that are forbidden, links that miss.

use std::collections::HashSet;
use std::io::Write;
use std::sync::Mutex;

use captures::{Body, Exchange};
use replayer::options::LinkChoice;
use replayer::{Progress, Report};
use serde_json::json;
use tempfile::NamedTempFile;

use crate::kit::{Ask, Recording, Reply, Service, User, fresh, json, open};

/// Gives a token under a name, and asks for it.
struct Door {
    field: &'static str,
    tokens: Mutex<HashSet<String>>,
}

impl Door {
    fn new(field: &'static str) -> Door {
        Door { field, tokens: Mutex::default() }
    }
}

impl Service for Door {
    fn answer(&self, ask: &Ask) -> Reply {
        let mut tokens = self.tokens.lock().unwrap();
        match ask.what() {
            ("POST", _) => {
                let token = fresh("t");
                tokens.insert(token.clone());
                Reply::json(200, &json!({ self.field: token }))
            }
            _ => {
                let bearer = ask.header("authorization").strip_prefix("Bearer ").unwrap_or_default();
                let is_in = tokens.contains(bearer) || tokens.contains(ask.cookie("door"));
                Reply::status(if is_in { 200 } else { 401 })
            }
        }
    }
}

fn visit(user: &mut User, _: u64) {
    let token = json(&user.send("POST /login", &[], "{}"))["token"].as_str().unwrap().to_owned();
    let bearer = format!("Bearer {token}");
    user.send("GET /me", &[("Authorization", &bearer)], "");
    user.send("GET /mine?x=1", &[("Authorization", &bearer)], "");
}

fn without_answers(exchange: &mut Exchange) {
    let body = &mut exchange.response.as_mut().unwrap().body;
    *body = Body::digest(body.len, body.hash);
}

fn file(text: &str) -> (NamedTempFile, LinkChoice) {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    let choice = LinkChoice::File(file.path().to_owned());
    (file, choice)
}

fn counts(report: &Report) -> Vec<(&str, &str, u64, u64)> {
    let count = |link: &replayer::report::LinkUse| (link.used, link.missed);
    let all = report.links.iter();
    all.map(|link| (link.from.as_str(), link.to.as_str(), count(link).0, count(link).1)).collect()
}

const RULE: &str = "[[link]]\nfrom = 'POST /login json:$.token'\nto = '* header:authorization bearer'\n";

#[test]
fn a_rule_does_where_answers_were_not_recorded() {
    let recording = Recording::changed(Door::new("token"), 2, visit, without_answers);
    recording.expect_links(&[]);
    let auto = recording.replay(|options| options.amplify = 5.0);
    assert_eq!((auto.requests.status.get("401"), auto.links.len()), (Some(&20), 0));
    let (_file, links) = file(RULE);
    let report = recording.replay(|options| (options.links, options.amplify) = (links, 5.0));
    assert_eq!(report.requests.status.get("200"), Some(&30), "{:?}", report.requests);
    assert_eq!(counts(&report), [("POST /login json:$.token", "* header:authorization bearer", 20, 0)]);
}

#[test]
fn a_rule_forbids_what_was_mined() {
    let recording = Recording::of(Door::new("token"), 2, visit);
    let (_file, links) = file("[[forbid]]\nto = 'GET /me header:authorization bearer'\n");
    let report = recording.replay(|options| (options.links, options.amplify) = (links, 5.0));
    assert_eq!(
        (report.requests.status.get("200"), report.requests.status.get("401")),
        (Some(&20), Some(&10))
    );
    let expected = [("POST /login json:$.token", "GET /mine header:authorization bearer", 10, 0)];
    assert_eq!(counts(&report), expected);
    let (_file, links) = file("auto = false\n");
    assert!(recording.replay(|options| options.links = links).links.is_empty());
}

#[test]
fn what_the_user_sets_counts_before_a_link() {
    let recording = Recording::of(Door::new("token"), 2, visit);
    let report = recording.replay(|options| {
        options.substitutions = vec!["header:authorization=Bearer none".parse().unwrap()];
    });
    assert_eq!((report.requests.status.get("401"), report.links.len()), (Some(&4), 0));
}

#[test]
fn what_is_not_there_is_counted_and_the_recorded_value_sent() {
    let recording = Recording::of(Door::new("token"), 1, visit);
    let other = open(Door::new("jwt"));
    let report = recording.replay(|options| {
        options.target = Some(format!("http://{other}"));
        options.amplify = 3.0;
    });
    let missed: u64 = report.links.iter().map(|link| link.missed).sum();
    let used: u64 = report.links.iter().map(|link| link.used).sum();
    assert_eq!((used, missed, report.requests.status.get("401")), (0, 6, Some(&6)));
    let text = report.text();
    assert!(
        text.contains("3 missed: POST /login json:$.token -> GET /me header:authorization bearer"),
        "{text}"
    );
}

#[test]
fn a_cookie_that_a_script_made_of_an_answer_is_carried_too() {
    let visit = |user: &mut User, _: u64| {
        let token = json(&user.send("POST /login", &[], "{}"))["token"].as_str().unwrap().to_owned();
        user.send("GET /me", &[("Cookie", &format!("theme=dark; door={token}"))], "");
    };
    let recording = Recording::of(Door::new("token"), 3, visit);
    recording.expect_links(&["POST /login json:$.token -> GET /me cookie:door"]);
    recording.expect_hundredfold();
}

/// Lets in whoever knows the password of one account.
struct Gate;

impl Service for Gate {
    fn answer(&self, ask: &Ask) -> Reply {
        let is_known =
            ask.what().0 == "GET" || ask.form().get("password").is_some_and(|word| word == "open sesame");
        Reply::status(if is_known { 200 } else { 401 })
    }
}

#[test]
fn a_login_with_a_password_that_nobody_recorded_is_named_by_the_rehearsal() {
    let recording = Recording::of(Gate, 3, |user, _| {
        user.send("POST /login", &[], "name=ada&password=open+sesame");
    });
    let report = recording.replay(|options| (options.rehearsal, options.amplify) = (true, 10.0));
    assert_eq!((report.verdict.as_str(), report.exit_code), ("stopped", 108), "{}", report.reason);
    let words = "POST /login sends a password that a user typed, in 3 sessions";
    assert!(report.reason.contains(words) && report.reason.contains("--users"), "{}", report.reason);
    let set = recording.replay(|options| {
        (options.rehearsal, options.amplify) = (true, 10.0);
        options.substitutions = vec!["form:password=open sesame".parse().unwrap()];
    });
    assert_eq!(set.requests.status.get("200"), Some(&30), "{}", set.reason);
}

#[test]
fn a_bad_file_is_refused_with_its_line() {
    let recording = Recording::of(Door::new("token"), 1, visit);
    let refused = |choice: LinkChoice, words: &str| {
        let mut options = replayer::Options::new(&recording.path);
        options.target = Some(format!("http://{}", recording.address));
        options.links = choice;
        let err = replayer::replay(&options, &mut |_: Progress| {}).unwrap_err();
        assert!(err.to_string().contains(words) && err.exit_code() == 104, "{err}");
    };
    let (_file, links) = file("[[link]]\nfrom = 'POST /login jsn:$.token'\n");
    refused(links, "line 2: `jsn:` is no kind of place, did you mean `json:`");
    refused(LinkChoice::File("/nowhere/rules.toml".into()), "--links /nowhere/rules.toml");
}
