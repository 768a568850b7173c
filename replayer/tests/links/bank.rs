//! A bank of HTML forms: each page has a fresh token that its form must send back once, redirects name what was made.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;

use crate::kit::{Ask, Recording, Reply, Service, User, between, body, fresh};

#[derive(Default)]
struct Bank {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Tokens that were given and not used.
    tokens: HashSet<String>,
    passwords: HashMap<String, String>,
    /// By session cookie: the customer.
    sessions: HashMap<String, String>,
    /// By account: the customer.
    accounts: HashMap<String, String>,
    /// By number: the receipt.
    transfers: HashMap<u64, String>,
}

impl State {
    fn token(&mut self) -> String {
        let token = fresh("csrf");
        self.tokens.insert(token.clone());
        token
    }

    /// A page with a form.
    fn form(&mut self, about: &str) -> Reply {
        let token = self.token();
        Reply::page(format!(
            "<!doctype html><p>{about}</p><form method=post><input type=\"hidden\" name=\"csrf\" value=\"{token}\">\
             <input name=password type=password></form>"
        ))
    }

    fn sign_up(&mut self, ask: &Ask) -> Reply {
        let form = ask.form();
        if !self.tokens.remove(&form["csrf"]) {
            return Reply::status(403);
        }
        let customer = fresh("cust");
        self.passwords.insert(customer.clone(), form["password"].clone());
        Reply::see(format!("/login?customer={customer}&from=signup"))
    }

    fn log_in(&mut self, ask: &Ask) -> Reply {
        let form = ask.form();
        let is_known = self.passwords.get(&form["customer"]) == Some(&form["password"]);
        if !self.tokens.remove(&form["csrf"]) || !is_known {
            return Reply::status(403);
        }
        let (session, account) = (fresh("sid"), fresh("acc"));
        self.sessions.insert(session.clone(), form["customer"].clone());
        self.accounts.insert(account.clone(), form["customer"].clone());
        Reply::see(format!("/accounts/{account}"))
            .with("set-cookie", &format!("bank={session}; Path=/; HttpOnly"))
    }

    fn is_owner(&self, ask: &Ask, account: &str) -> bool {
        let customer = self.sessions.get(ask.cookie("bank"));
        customer.is_some() && customer == self.accounts.get(account)
    }

    fn account(&mut self, account: &str) -> Reply {
        let token = self.token();
        Reply::page(format!(
            "<html><head><meta name=\"csrf-token\" content=\"{token}\"></head>\
             <body data-account=\"{account}\">balance: 100</body></html>"
        ))
    }

    fn transfer(&mut self, ask: &Ask) -> Reply {
        if !self.tokens.remove(ask.header("x-csrf-token")) {
            return Reply::status(403);
        }
        let (number, receipt) = (7000 + self.transfers.len() as u64, fresh("r&="));
        self.transfers.insert(number, receipt.clone());
        let receipt: String = url::form_urlencoded::byte_serialize(receipt.as_bytes()).collect();
        Reply::see(format!("/transfers/{number}?receipt={receipt}"))
    }
}

impl Service for Bank {
    fn answer(&self, ask: &Ask) -> Reply {
        let mut state = self.state.lock().unwrap();
        match ask.what() {
            ("GET", path) if path == ["signup"] => state.form("sign up"),
            ("POST", path) if path == ["signup"] => state.sign_up(ask),
            ("GET", path) if path == ["login"] => {
                match state.passwords.contains_key(&ask.query["customer"]) {
                    true => state.form("log in"),
                    false => Reply::status(404),
                }
            }
            ("POST", path) if path == ["login"] => state.log_in(ask),
            ("GET", path) if path[0] == "accounts" && state.is_owner(ask, path[1]) => state.account(path[1]),
            ("POST", path) if path[0] == "accounts" && state.is_owner(ask, path[1]) => state.transfer(ask),
            ("GET", path) if path[0] == "transfers" => {
                let receipt = path[1].parse().ok().and_then(|number: u64| state.transfers.get(&number));
                match receipt.is_some() && receipt == ask.query.get("receipt") {
                    true => Reply::page("<p data-state=done>".to_owned()),
                    false => Reply::status(404),
                }
            }
            _ => Reply::status(401),
        }
    }
}

fn visit(user: &mut User, number: u64) {
    let location =
        |response: &captures::exchange::Response| response.headers.get_str("location").unwrap().to_owned();
    let page = body(&user.send("GET /signup", &[], ""));
    let csrf = between(&page, "name=\"csrf\" value=\"", "\"");
    let form = format!("name=user{number}&password=a+secret+of+{number}&csrf={csrf}");
    let next = location(&user.send("POST /signup", &[], &form));
    let customer = between(&next, "customer=", "&").to_owned();
    let page = body(&user.send(&format!("GET {next}"), &[], ""));
    let csrf = between(&page, "name=\"csrf\" value=\"", "\"");
    let form = format!("customer={customer}&password=a+secret+of+{number}&csrf={csrf}");
    let account = location(&user.send("POST /login", &[], &form));
    for amount in [10, 25] {
        let page = body(&user.send(&format!("GET {account}"), &[], ""));
        let csrf = between(&page, "csrf-token\" content=\"", "\"").to_owned();
        let form = format!("amount={amount}&currency=EUR");
        let made = user.send(&format!("POST {account}/transfers"), &[("X-CSRF-Token", &csrf)], &form);
        user.send(&format!("GET {}", location(&made)), &[], "");
    }
}

#[test]
fn a_bank_of_forms_and_redirects() {
    let recording = Recording::of(Bank::default(), 6, visit);
    recording.expect_links(&[
        "GET /signup html-field:csrf -> POST /signup form:csrf",
        "POST /signup redirect-query:customer -> GET /login query:customer",
        "POST /signup redirect-query:customer -> POST /login form:customer",
        "GET /login html-field:csrf -> POST /login form:csrf",
        "POST /login redirect-path:2 -> GET /accounts/{id} path:2",
        "POST /login redirect-path:2 -> POST /accounts/{id}/transfers path:2",
        "GET /accounts/{id} html-meta:csrf-token -> POST /accounts/{id}/transfers header:x-csrf-token",
        "POST /accounts/{id}/transfers redirect-path:2 -> GET /transfers/{id} path:2",
        "POST /accounts/{id}/transfers redirect-query:receipt -> GET /transfers/{id} query:receipt",
    ]);
    recording.expect_hundredfold();
}
