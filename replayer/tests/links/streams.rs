//! Values from server-sent events, from compressed answers, and into every part of a request.

use std::collections::HashSet;
use std::sync::Mutex;

use serde_json::json;

use crate::kit::{Ask, Recording, Reply, Service, User, between, body, fresh, json};

/// Gives tickets in many ways, and takes each once.
#[derive(Default)]
struct Desk {
    tickets: Mutex<HashSet<String>>,
}

impl Desk {
    fn ticket(&self) -> String {
        let ticket = fresh("tick\"et<&>");
        self.tickets.lock().unwrap().insert(ticket.clone());
        ticket
    }

    fn redeem(&self, ticket: &str) -> Reply {
        Reply::status(if self.tickets.lock().unwrap().remove(ticket) { 200 } else { 410 })
    }
}

impl Service for Desk {
    fn answer(&self, ask: &Ask) -> Reply {
        match ask.what() {
            ("GET", path) if path == ["events"] => {
                let (first, second) =
                    (json!({ "ticket": self.ticket() }), json!({ "ticket": self.ticket() }));
                let body = format!(
                    ": hello\n\nevent: news\ndata: {first}\n\ndata: nothing\n\nid: 7\ndata: {second}\n\n"
                );
                Reply { body, ..Reply::status(200) }.with("content-type", "text/event-stream")
            }
            ("GET", path) if path == ["page"] => {
                let ticket = self.ticket().replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;");
                Reply::page(format!("<div data-ticket='{ticket}'></div>"))
            }
            ("GET", path) if path == ["json"] => {
                Reply::json(200, &json!([[], [1, { "a b": { "ticket": self.ticket() } }]]))
            }
            ("POST", path) if path == ["form"] => self.redeem(&ask.form()["ticket"]),
            ("POST", path) if path == ["json"] => {
                self.redeem(ask.json()["deep"][1]["ticket"].as_str().unwrap())
            }
            ("GET", path) if path == ["query"] => self.redeem(&ask.query["ticket"]),
            _ => Reply::status(404),
        }
    }
}

fn visit(user: &mut User, _: u64) {
    let events = body(&user.send("GET /events", &[], ""));
    let second: serde_json::Value = serde_json::from_str(between(&events, "id: 7\ndata: ", "\n")).unwrap();
    let encode = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    user.send(&format!("GET /query?ticket={}&x=1", encode(second["ticket"].as_str().unwrap())), &[], "");
    let page = body(&user.send("GET /page", &[], ""));
    let ticket = between(&page, "data-ticket='", "'")
        .replace("&lt;", "<")
        .replace("&quot;", "\"")
        .replace("&amp;", "&");
    user.send("POST /form", &[], &format!("a=1&ticket={}", encode(&ticket)));
    let listed = json(&user.send("GET /json", &[], ""));
    let ticket = &listed[1][1]["a b"]["ticket"];
    user.send("POST /json", &[], &json!({ "deep": [0, { "ticket": ticket }] }).to_string());
}

#[test]
fn events_attributes_and_nested_values_are_carried() {
    let recording = Recording::of(Desk::default(), 4, visit);
    recording.expect_links(&[
        "GET /events event:$.ticket -> GET /query query:ticket",
        "GET /json json:$[*][*][\"a b\"].ticket -> POST /json json:$.deep[*].ticket",
        "GET /page html-data:ticket -> POST /form form:ticket",
    ]);
    recording.expect_hundredfold();
}
