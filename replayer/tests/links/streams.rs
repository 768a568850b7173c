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

    fn number(&self) -> String {
        let number = fresh("");
        self.tickets.lock().unwrap().insert(number.clone());
        number
    }

    /// What nobody knows who has not seen the page of the ticket.
    fn seal(&self, ticket: &str) -> String {
        let sum =
            ticket.bytes().fold(7_u64, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        format!("{sum:016x}")
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
                let (other, chosen) = (self.number(), self.number());
                let form = |ticket: &str| {
                    let seal = self.seal(ticket);
                    format!("<form method=post action='tickets/{ticket}?a=1&amp;seal={seal}'></form>")
                };
                let (forms, spare) = ([form(&other), form(&chosen)].concat(), self.number());
                Reply::page(format!("<div data-ticket='{ticket}' data-spare={spare}></div>{forms}"))
            }
            ("GET", path) if path == ["json"] => {
                Reply::json(200, &json!([[], [1, { "a b": { "ticket": self.ticket() } }]]))
            }
            ("POST", path) if path.len() == 2 && path[0] == "tickets" => {
                let is_sealed = ask.query["seal"] == self.seal(path[1]);
                if is_sealed { self.redeem(path[1]) } else { Reply::status(403) }
            }
            ("POST", path) if path == ["upload"] => {
                let form = std::str::from_utf8(&ask.body).unwrap();
                self.redeem(between(form, "name=\"ticket\"\r\n\r\n", "\r\n"))
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
    let spare = between(&page, "data-spare=", ">");
    let upload = format!(
        "--B\r\nContent-Disposition: form-data; name=\"ticket\"\r\n\r\n{spare}\r\n--B\r\n\
        Content-Disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\n\r\nsome text\r\n--B--\r\n"
    );
    user.send("POST /upload", &[("content-type", "multipart/form-data; boundary=B")], &upload);
    let form = between(&page[page.rfind("action=").unwrap()..], "'", "'").replace("&amp;", "&");
    user.send(&format!("POST /{form}"), &[], "");
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
        "GET /page html-data:spare -> POST /upload form:ticket",
        "GET /page html-data:ticket -> POST /form form:ticket",
        "GET /page html-path:2 /tickets/{id} -> POST /tickets/{id} path:2",
        "GET /page html-query:seal /tickets/{id} -> POST /tickets/{id} query:seal",
    ]);
    recording.expect_hundredfold();
}
