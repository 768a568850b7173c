//! A task API of JSON: UUIDs for everything, bearer tokens that are renewed, ETags that changes must name.

use std::collections::HashMap;
use std::sync::Mutex;

use serde_json::json;

use crate::kit::{Ask, Recording, Reply, Service, User, fresh, json, uuid};

#[derive(Default)]
struct Tasks {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// By client: the secret.
    clients: HashMap<String, String>,
    /// By access token: the client.
    tokens: HashMap<String, String>,
    /// By token that renews: the client.
    refresh: HashMap<String, String>,
    /// By task: owner, tag.
    tasks: HashMap<String, (String, String)>,
}

impl State {
    fn register(&mut self, ask: &Ask) -> Reply {
        let client = uuid();
        self.clients.insert(client.clone(), ask.json()["password"].to_string());
        for _ in 0..3 {
            self.tasks.insert(uuid(), (client.clone(), tag()));
        }
        Reply::json(201, &json!({ "client": { "id": client }, "plan": "free" }))
    }

    fn token(&mut self, ask: &Ask) -> Reply {
        let asked = ask.json();
        let client = asked["client_id"].as_str().unwrap_or_default();
        match self.clients.get(client) == Some(&asked["password"].to_string()) {
            true => self.grant(client.to_owned()),
            false => Reply::status(401),
        }
    }

    fn renew(&mut self, ask: &Ask) -> Reply {
        let asked = ask.json();
        let Some(client) = self.refresh.remove(asked["refresh_token"].as_str().unwrap_or_default()) else {
            return Reply::status(401);
        };
        self.tokens.retain(|_, owner| *owner != client);
        self.grant(client)
    }

    fn grant(&mut self, client: String) -> Reply {
        let (token, refresh) = (fresh("at."), fresh("rt."));
        self.tokens.insert(token.clone(), client.clone());
        self.refresh.insert(refresh.clone(), client);
        Reply::json(200, &json!({ "access_token": token, "refresh_token": refresh, "expires_in": 3600 }))
    }

    fn tasks(&mut self, client: &str, ask: &Ask) -> Reply {
        match ask.what() {
            ("GET", path) if path.len() == 1 => {
                let own = self.tasks.iter().filter(|(_, (owner, _))| owner == client);
                let mut own: Vec<&String> = own.map(|(id, _)| id).collect();
                own.sort_unstable();
                let list: Vec<_> = own.iter().map(|id| json!({ "id": id, "title": "a task" })).collect();
                Reply::json(200, &json!({ "tasks": list, "count": list.len() }))
            }
            ("POST", path) if path.len() == 1 => {
                let (id, tag) = (uuid(), tag());
                self.tasks.insert(id.clone(), (client.to_owned(), tag.clone()));
                let title = ask.json()["title"].clone();
                Reply::json(201, &json!({ "task": { "id": id, "title": title, "done": false } }))
                    .with("etag", &tag)
            }
            (method, path) => self.task(client, (method, path[1]), ask.header("if-match")),
        }
    }

    fn task(&mut self, client: &str, (method, id): (&str, &str), if_match: &str) -> Reply {
        let Some((_, known)) = self.tasks.get_mut(id).filter(|(owner, _)| owner == client) else {
            return Reply::status(404);
        };
        match method {
            "GET" => Reply::json(200, &json!({ "title": "a task" })).with("etag", known),
            _ if if_match != known => Reply::status(412),
            "PUT" => {
                *known = tag();
                Reply::json(200, &json!({ "ok": true })).with("etag", known)
            }
            _ => {
                self.tasks.remove(id);
                Reply::status(204)
            }
        }
    }
}

fn tag() -> String {
    format!("\"{}\"", fresh("v"))
}

impl Service for Tasks {
    fn answer(&self, ask: &Ask) -> Reply {
        let mut state = self.state.lock().unwrap();
        match ask.what() {
            ("POST", path) if path == ["register"] => state.register(ask),
            ("POST", path) if path == ["token"] => state.token(ask),
            ("POST", path) if path == ["refresh"] => state.renew(ask),
            (_, path) if path[0] == "tasks" => {
                let token = ask.header("authorization").strip_prefix("Bearer ").unwrap_or_default();
                match state.tokens.get(token).cloned() {
                    Some(client) => state.tasks(&client, ask),
                    None => Reply::status(401),
                }
            }
            _ => Reply::status(404),
        }
    }
}

fn visit(user: &mut User, number: u64) {
    let typed = format!("{{\"name\":\"user {number}\",\"password\":\"secret-{number}\"}}");
    let client = json(&user.send("POST /register", &[], &typed))["client"]["id"].as_str().unwrap().to_owned();
    let asked = json!({ "client_id": client, "password": format!("secret-{number}") }).to_string();
    let granted = json(&user.send("POST /token", &[], &asked));
    let bearer =
        |granted: &serde_json::Value| format!("Bearer {}", granted["access_token"].as_str().unwrap());
    let auth = bearer(&granted);
    let listed = json(&user.send("GET /tasks", &[("Authorization", &auth)], ""));
    let first = listed["tasks"][number as usize % 3]["id"].as_str().unwrap().to_owned();
    user.send(&format!("GET /tasks/{first}"), &[("Authorization", &auth)], "");
    let made = user.send("POST /tasks", &[("Authorization", &auth)], "{\"title\":\"wash up\"}");
    let id = json(&made)["task"]["id"].as_str().unwrap().to_owned();
    let tag = |response: &captures::exchange::Response| response.headers.get_str("etag").unwrap().to_owned();
    let (auth, first_tag) = (auth, tag(&made));
    let headers = [("Authorization", auth.as_str()), ("If-Match", first_tag.as_str())];
    let put = user.send(&format!("PUT /tasks/{id}"), &headers, "{\"done\":true}");
    let asked = json!({ "refresh_token": granted["refresh_token"] }).to_string();
    let auth = bearer(&json(&user.send("POST /refresh", &[], &asked)));
    let last_tag = tag(&put);
    user.send(&format!("DELETE /tasks/{id}"), &[("Authorization", &auth), ("If-Match", &last_tag)], "");
}

#[test]
fn a_task_api_of_tokens_and_tags() {
    let recording = Recording::of(Tasks::default(), 6, visit);
    let token = "POST /token json:$.access_token";
    recording.expect_links(&[
        "POST /register json:$.client.id -> POST /token json:$.client_id",
        &format!("{token} -> GET /tasks header:authorization bearer"),
        &format!("{token} -> GET /tasks/{{id}} header:authorization bearer"),
        &format!("{token} -> POST /tasks header:authorization bearer"),
        &format!("{token} -> PUT /tasks/{{id}} header:authorization bearer"),
        "POST /token json:$.refresh_token -> POST /refresh json:$.refresh_token",
        "POST /refresh json:$.access_token -> DELETE /tasks/{id} header:authorization bearer",
        "GET /tasks json:$.tasks[*].id -> GET /tasks/{id} path:2",
        "POST /tasks json:$.task.id -> PUT /tasks/{id} path:2",
        "POST /tasks json:$.task.id -> DELETE /tasks/{id} path:2",
        "POST /tasks header:etag -> PUT /tasks/{id} header:if-match",
        "PUT /tasks/{id} header:etag -> DELETE /tasks/{id} header:if-match",
    ]);
    recording.expect_hundredfold();
}
