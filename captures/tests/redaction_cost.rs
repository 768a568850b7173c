//! Requests made to keep the recorder busy, or to exhaust its stack: what is said within them is looked into so deep and no
//! deeper, and what looking takes grows with their length and no faster.

use captures::exchange::Request;
use captures::{Body, Exchange, Redactor};

const SECRET: &str = "Q7xTkm4RwvLbn2Zs9dPc";
const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";

/// What is left of the target and the body of a request, redacted on a stack as small as that of the recorder.
fn redacted(target: String, kind: &str, body: &str) -> String {
    let request = Request {
        target,
        headers: [("Content-Type", kind)].into_iter().collect(),
        body: Body::whole(body.as_bytes().to_vec()),
        ..Request::default()
    };
    let mut exchange = Exchange { request, ..Exchange::default() };
    let redacted = std::thread::Builder::new().stack_size(2 << 20).spawn(move || {
        Redactor::new([7; 32]).exchange(&mut exchange);
        exchange.request
    });
    let request = redacted.expect("a thread").join().expect("redacted");
    format!("{}\n{}", request.target, String::from_utf8_lossy(&request.body.data.unwrap_or_default()))
}

/// A field that says `last` behind so many documents, each of which begins like that and never ends.
fn nested(opening: &str, levels: usize, last: &str) -> String {
    (0..levels).fold(last.to_owned(), |inner, _| {
        let encoded =
            format!("{opening}{inner}").replace('%', "%25").replace('"', "%22").replace('\\', "%5C");
        format!("b={encoded}")
    })
}

const OPENINGS: [&str; 2] = ["[\"?", "[\"[\\\"?"];

#[test]
fn what_nests_deeper_than_anybody_nests_is_left_alone() {
    // the first asks for a deep stack, the second for twice the time with every level
    for (opening, levels) in [(OPENINGS[0], 500), (OPENINGS[1], 60)] {
        let field = nested(opening, levels, "c=1");
        let target = format!("/?{field}");
        assert_eq!(redacted(target.clone(), FORM, &field), format!("{target}\n{field}"));
        let document = format!("[\"?{field}");
        assert_eq!(redacted("/".to_owned(), JSON, &document), format!("/\n{document}"));
    }
}

#[test]
fn what_nests_as_texts_do_is_hidden() {
    for (opening, deepest) in [(OPENINGS[0], 4), (OPENINGS[1], 2)] {
        for levels in 1..=deepest {
            let field = nested(opening, levels, &format!("token={SECRET}"));
            for said in [redacted(format!("/?{field}"), "", ""), redacted("/".to_owned(), FORM, &field)] {
                assert!(!said.contains(SECRET) && said.contains("squall_"), "{opening} {levels}: {said}");
            }
        }
    }
    let document = (0..4).fold(format!(r#"{{"token":"{SECRET}"}}"#), |inner, _| {
        serde_json::json!({ "in": inner }).to_string()
    });
    let said = redacted("/".to_owned(), JSON, &document);
    assert!(!said.contains(SECRET) && said.contains("squall_"), "{said}");
}

#[test]
fn cost_grows_with_length_and_no_faster() {
    // each was searched to its end, or back to its beginning, from every name in it: hours, with so many
    for (beginning, name) in
        [("x=", "pwd:"), ("x=", "pwd=$"), ("x=", "pwd={"), ("x=", "pwd=\"["), ("<", "pwd:"), ("x=1:", "pwd:")]
    {
        let text = beginning.to_owned() + &name.repeat(200_000);
        for kind in [FORM, "text/plain"] {
            redacted("/".to_owned(), kind, &text);
        }
    }
    redacted("/".to_owned(), "text/plain", &"://a:hunter-22@".repeat(100_000));
}
