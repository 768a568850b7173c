//! Users of a file, each session its own row, and what is put in place of recorded values.

use std::collections::BTreeMap;
use std::path::Path;

use captures::Exchange;
use replayer::{Error, Options};

use crate::support::{Server, capture, options, replay, step, with_body, with_header};

/// Visits of four requests, with a recorded user everywhere.
fn visits(count: u64) -> Vec<Exchange> {
    let typed = |step: Exchange, kind: &str| with_header(step, "Content-Type", kind);
    let visit = |s: u64| {
        let json = br#"{"user": {"email": "recorded@x.test", "age": 7}, "n": 1}"#;
        let form = step(s, s + 10, 1, "POST /form");
        let sent = step(s, s + 15, 1, "POST /json");
        [
            with_header(step(s, s, 1, "GET /a"), "X-User", "recorded"),
            step(s, s + 5, 1, "GET /find?q=1&user=recorded&z=2"),
            typed(with_body(form, b"a=1&user=recorded&b=2"), "application/x-www-form-urlencoded"),
            typed(with_body(sent, json), "application/json"),
        ]
    };
    (0..count).flat_map(visit).collect()
}

fn with_users(folder: &Path, server: &Server, text: &str, steps: &[Exchange]) -> Options {
    let users = folder.join("users.csv");
    std::fs::write(&users, text).unwrap();
    let mut options = options(&capture(folder, steps), server);
    options.users = Some(users);
    let set = [
        "header:x-user={id}",
        "query:user={id}",
        "form:user={email}",
        "json:user.email={email}",
        "header:x-who={id}/{email}",
    ];
    options.substitutions = set.iter().map(|text| text.parse().unwrap()).collect();
    options
}

fn rows(count: u64) -> String {
    let rows: String = (0..count).map(|n| format!("u{n},user+{n}@mail.test\n")).collect();
    format!("id,email\n{rows}")
}

#[test]
fn each_session_is_a_user_of_its_own_in_all_its_requests() {
    let (server, dir) = (Server::plain(), tempfile::tempdir().unwrap());
    let mut options = with_users(dir.path(), &server, &rows(30), &visits(3));
    options.amplify = 10.0;
    let report = replay(&options);
    assert_eq!(report.requests.answered, 120);
    let mut users: BTreeMap<String, String> = BTreeMap::new();
    for met in server.met() {
        let session = met.header("squall-session").unwrap();
        let user = met.header("x-user").unwrap().strip_prefix('u').unwrap().to_owned();
        assert_eq!(users.entry(session.to_owned()).or_insert_with(|| user.clone()), &user, "{met:?}");
        assert_eq!(met.header("x-who").unwrap(), format!("u{user}/user+{user}@mail.test"));
        let body = String::from_utf8(met.body.clone()).unwrap();
        match met.target.split('?').next().unwrap() {
            "/find" => assert_eq!(met.target, format!("/find?q=1&user=u{user}&z=2")),
            "/form" => assert_eq!(body, format!("a=1&user=user%2B{user}%40mail.test&b=2")),
            "/json" => {
                let email = format!("user+{user}@mail.test");
                assert_eq!(body, format!(r#"{{"user": {{"email": "{email}", "age": 7}}, "n": 1}}"#));
            }
            _ => assert!(body.is_empty()),
        }
    }
    let mut all: Vec<&String> = users.values().collect();
    all.sort();
    all.dedup();
    assert_eq!((users.len(), all.len()), (30, 30), "no user is two sessions");
}

#[test]
fn too_few_users_are_refused_in_words_unless_they_may_come_again() {
    let (server, dir) = (Server::plain(), tempfile::tempdir().unwrap());
    let mut options = with_users(dir.path(), &server, &rows(5), &visits(3));
    options.amplify = 10.0;
    let Err(err) = replayer::replay(&options, &mut |_| {}) else { panic!("it was not refused") };
    assert_eq!(err.exit_code(), 104);
    let words = err.to_string();
    assert!(
        words.contains("5 rows") && words.contains("30 sessions") && words.contains("--users-wrap"),
        "{words}"
    );
    assert!(server.met().is_empty(), "nothing was sent");
    options.users_wrap = true;
    assert_eq!(replay(&options).requests.answered, 120);
}

#[test]
fn mistakes_are_refused_without_quoting_a_secret() {
    let server = Server::plain();
    let refused = |text: &str, words: &str| {
        let dir = tempfile::tempdir().unwrap();
        let options = with_users(dir.path(), &server, text, &visits(1));
        let Err(err) = replayer::replay(&options, &mut |_| {}) else { panic!("{text} was not refused") };
        let said = err.to_string();
        assert!(matches!(err, Error::Usage(_)) && said.contains(words), "{said}");
        assert!(!said.contains("s3cret"), "{said}");
    };
    refused("name,email\nx,s3cret\n", "no column `id`");
    refused("", "users.csv");
    refused("id,email\n", "users.csv");
    refused("id,email\na,s3cret,c\n", "line 2");
    refused("id,email\n\"a\nb\",s3cret\n", "cannot go into a header");
}
