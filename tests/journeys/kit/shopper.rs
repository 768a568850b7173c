//! A user of the sample shop: an account, cookies, a cart, an order.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::support::http::{self, Answer};

/// A shopper with cookies of their own.
pub(crate) struct Shopper {
    door: SocketAddr,
    cookies: BTreeMap<String, String>,
    /// What they would not want to be read by others.
    pub(crate) secrets: Vec<String>,
}

impl Shopper {
    pub(crate) fn at(door: SocketAddr) -> Shopper {
        Shopper { door, cookies: BTreeMap::new(), secrets: Vec::new() }
    }

    /// Signs up, logs in, looks around and buys: [`VISIT`] requests, all of them answered well.
    #[track_caller]
    pub(crate) fn visit(&mut self, name: &str) {
        let password = format!("pässword {name}/47+11");
        let form: String = password.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let account = format!(r#"{{"name":"{name}","email":"{name}@example.test","password":"{password}"}}"#);
        let key = format!("api-key-of-{name}-8d1f6c");
        let bearer = format!("{name}.bearer.token.0123456789");
        let authorization = format!("Bearer {bearer}");
        let email = format!("{name}@example.test");
        self.secrets.extend([password.clone(), form.clone(), key.clone(), bearer, email]);
        let typed = [("content-type", "application/json")];
        let order = format!("order-of-{name}");
        self.send("GET /", &[], b"", 200);
        self.send("POST /api/signup", &typed, account.as_bytes(), 201);
        let form = format!("password={form}");
        self.send("POST /api/login", &[("content-type", FORM)], form.as_bytes(), 200);
        self.send("GET /api/products", &[("x-api-key", &key)], b"", 200);
        self.send("POST /api/cart", &typed, br#"{"product":7,"quantity":2}"#, 200);
        self.send("GET /api/cart", &[("authorization", &authorization)], b"", 200);
        self.send("POST /api/checkout", &[("idempotency-key", &order)], b"", 201);
        self.send("GET /api/orders", &[], b"", 200);
    }

    #[track_caller]
    fn send(&mut self, what: &str, headers: &[(&str, &str)], body: &[u8], expected: u16) -> Answer {
        let jar: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let jar = jar.join("; ");
        let mut headers = headers.to_vec();
        if !jar.is_empty() {
            headers.push(("cookie", &jar));
        }
        let answer = http::send(self.door, what, &headers, body);
        assert_eq!(answer.status, expected, "{what}: {}", answer.text());
        let set = answer.headers.iter().filter(|(name, _)| name == "set-cookie");
        for (name, value) in set.filter_map(|(_, value)| value.split(';').next()?.split_once('=')) {
            self.secrets.push(value.to_owned());
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
        answer
    }
}

/// Requests of one visit.
pub(crate) const VISIT: u64 = 8;

const FORM: &str = "application/x-www-form-urlencoded";
