//! A store: an account in a cookie, a token against forged requests in a header, carts by number, orders by name; and
//! a catalogue, whose numbers are the same for all and no links.

use std::collections::HashMap;
use std::sync::Mutex;

use serde_json::json;

use crate::kit::{Ask, Recording, Reply, Service, User, fresh, json};

#[derive(Default)]
struct Store {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// By customer cookie: the password.
    customers: HashMap<String, String>,
    /// By session cookie: the token.
    sessions: HashMap<String, String>,
    /// By number: session, items.
    carts: HashMap<u64, (String, u64)>,
    /// By name: the session.
    orders: HashMap<String, String>,
}

impl State {
    fn sign_up(&mut self, ask: &Ask) -> Reply {
        let customer = fresh("k");
        self.customers.insert(customer.clone(), ask.json()["password"].to_string());
        Reply::json(201, &json!({ "ok": true })).with("set-cookie", &format!("customer={customer}; Path=/"))
    }

    fn log_in(&mut self, ask: &Ask) -> Reply {
        if self.customers.get(ask.cookie("customer")) != Some(&ask.json()["password"].to_string()) {
            return Reply::status(401);
        }
        let (session, token) = (fresh("s"), fresh("x"));
        self.sessions.insert(session.clone(), token.clone());
        Reply::json(200, &json!({ "csrf": token })).with("set-cookie", &format!("sid={session}; Path=/"))
    }

    fn change(&mut self, ask: &Ask) -> Reply {
        let session = ask.cookie("sid").to_owned();
        if self.sessions.get(&session).is_none_or(|token| token != ask.header("x-csrf")) {
            return Reply::status(403);
        }
        match ask.what().1.as_slice() {
            ["carts"] => {
                let cart = 40 + self.carts.len() as u64;
                self.carts.insert(cart, (session, 0));
                Reply::json(201, &json!({ "cart": cart, "items": 0, "currency": "EUR" }))
            }
            ["carts", cart, "items"] => match self.cart(cart, &session) {
                Some(items) => {
                    *items += 1;
                    Reply::json(200, &json!({ "items": *items }))
                }
                None => Reply::status(404),
            },
            ["orders"] => {
                let cart = ask.json()["cart"].to_string();
                if self.cart(&cart, &session).is_none_or(|items| *items == 0) {
                    return Reply::status(409);
                }
                let order = fresh("o");
                self.orders.insert(order.clone(), session);
                Reply::json(201, &json!({ "order": { "id": order, "state": "placed" } }))
            }
            _ => Reply::status(404),
        }
    }

    fn cart(&mut self, cart: &str, session: &str) -> Option<&mut u64> {
        let (owner, items) = self.carts.get_mut(&cart.parse().ok()?)?;
        (owner == session).then_some(items)
    }
}

impl Service for Store {
    fn answer(&self, ask: &Ask) -> Reply {
        let mut state = self.state.lock().unwrap();
        let product = |id: u64| json!({ "id": id, "name": format!("product {id}"), "cents": 100 + id });
        match ask.what() {
            ("GET", path) if path == ["products"] => {
                Reply::json(200, &(1..=30).map(product).collect::<Vec<_>>().into())
            }
            ("GET", path) if path[0] == "products" => {
                Reply::json(200, &product(path[1].parse().unwrap_or(0)))
            }
            ("POST", path) if path == ["signup"] => state.sign_up(ask),
            ("POST", path) if path == ["login"] => state.log_in(ask),
            ("GET", path) if path[0] == "orders" => match state.orders.get(path[1]) {
                Some(owner) if owner == ask.cookie("sid") => Reply::json(200, &json!({ "state": "placed" })),
                _ => Reply::status(404),
            },
            _ => state.change(ask),
        }
    }
}

fn visit(user: &mut User, number: u64) {
    let (first, second) = (number * 7 % 30 + 1, number * 11 % 30 + 1);
    let typed =
        json!({ "name": format!("user {number}"), "password": format!("secret-{number}") }).to_string();
    user.send("GET /products", &[], "");
    user.send(&format!("GET /products/{first}"), &[], "");
    user.send("POST /signup", &[], &typed);
    let csrf =
        json(&user.send("POST /login", &[], &json!({ "password": format!("secret-{number}") }).to_string()));
    let csrf = csrf["csrf"].as_str().unwrap().to_owned();
    let auth = [("X-CSRF", csrf.as_str())];
    let cart = json(&user.send("POST /carts", &auth, "{}"))["cart"].as_u64().unwrap();
    for product in [first, second] {
        let item = json!({ "product": product, "quantity": number % 3 + 1 }).to_string();
        user.send(&format!("POST /carts/{cart}/items"), &auth, &item);
    }
    let order = json(&user.send("POST /orders", &auth, &json!({ "cart": cart }).to_string()));
    user.send(&format!("GET /orders/{}", order["order"]["id"].as_str().unwrap()), &[], "");
}

#[test]
fn a_store_of_cookies_tokens_and_numbers() {
    let recording = Recording::of(Store::default(), 12, visit);
    recording.expect_links(&[
        "POST /login json:$.csrf -> POST /carts header:x-csrf",
        "POST /login json:$.csrf -> POST /carts/{id}/items header:x-csrf",
        "POST /login json:$.csrf -> POST /orders header:x-csrf",
        "POST /carts json:$.cart -> POST /carts/{id}/items path:2",
        "POST /carts json:$.cart -> POST /orders json:$.cart",
        "POST /orders json:$.order.id -> GET /orders/{id} path:2",
    ]);
    let set = recording.mined();
    let cookies = set.links.iter().filter(|link| link.is_cookie()).map(|link| link.from.to_string());
    let cookies: std::collections::BTreeSet<String> = cookies.collect();
    let expected = ["POST /login set-cookie:sid", "POST /signup set-cookie:customer"].map(str::to_owned);
    assert_eq!(cookies, expected.into(), "the jar carries these");
    recording.expect_hundredfold();
}
