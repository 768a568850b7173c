//! Two edges with different upstreams: books for each, rules for one.

use std::net::SocketAddr;

use serde_json::Value;

use crate::kit::{Server, answer};
use crate::support::{Proxy, http};

#[test]
fn edges_have_their_own_upstreams_books_and_rules() {
    let [shop, pay] =
        ["shop", "pay"].map(|name| Server::open(move |_, stream| answer(stream, name.as_bytes())));
    let [to_shop, to_pay] =
        [("shop", &shop), ("pay", &pay)].map(|(name, server)| format!("{name}={}", server.url()));
    let proxy = Proxy::start(&[
        "--listen",
        "shop=127.0.0.1:0",
        "--upstream",
        &to_shop,
        "--listen",
        "pay=127.0.0.1:0",
        "--upstream",
        &to_pay,
        "--fault",
        "POST /charge edge pay respond 503",
    ]);
    let send = |edge: &str, what: &str| {
        let door: SocketAddr = proxy.edge(edge);
        let answer = http::send(door, what, &[], b"");
        (answer.status, answer.text())
    };
    assert_ne!(proxy.edge("shop"), proxy.edge("pay"));
    for _ in 0..3 {
        assert_eq!(send("shop", "POST /charge"), (200, "shop".to_owned()), "the rule is for the other edge");
    }
    assert_eq!(send("pay", "GET /charge"), (200, "pay".to_owned()));
    for _ in 0..2 {
        assert_eq!(send("pay", "POST /charge").0, 503);
    }
    let books = proxy.settled(6);
    books.expect_balanced();
    let edge = |name: &str| books.edges().iter().find(|edge| edge["name"] == name).unwrap().clone();
    let rows = |edge: &Value| ["seen", "forwarded", "delivered"].map(|row| edge[row].as_u64().unwrap());
    assert_eq!((rows(&edge("shop")), rows(&edge("pay"))), ([3, 3, 3], [3, 1, 1]), "{books}");
    assert_eq!(edge("pay")["short_circuited"].as_object().unwrap().values().next(), Some(&2.into()));
    assert_eq!((shop.met().len(), pay.met().len()), (3, 1));
}
