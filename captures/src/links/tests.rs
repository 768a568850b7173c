//! Links in sessions made by hand.

use super::digest::Digests;
use super::{LinkSet, Printer, choose};
use crate::exchange::{Request, Response};
use crate::{Body, Exchange, Redactor, SessionId};

/// Sessions that follow one another, a second apart.
#[derive(Default)]
struct Scene {
    exchanges: Vec<Exchange>,
    session: u64,
    step: u64,
}

impl Scene {
    fn session(&mut self) -> u64 {
        self.session += 1;
        self.step = 0;
        self.session
    }

    /// One exchange: `METHOD TARGET`, fields and body of both messages. A body's type follows from how it begins.
    fn step(&mut self, what: &str, sent: (&[(&str, &str)], &str), given: (&[(&str, &str)], &str)) {
        let (method, target) = what.split_once(' ').unwrap();
        self.step += 1;
        let headers = |fields: &[(&str, &str)], body: &str| {
            let kind = match body.bytes().next() {
                Some(b'{' | b'[') => "application/json",
                Some(b'<') => "text/html",
                Some(b'd') if body.starts_with("data:") => "text/event-stream",
                _ => "application/x-www-form-urlencoded",
            };
            fields.iter().copied().chain([("content-type", kind)]).collect()
        };
        self.exchanges.push(Exchange {
            session: SessionId(self.session),
            start_us: START_US + self.session * 1_000_000 + self.step * 10_000,
            request: Request {
                method: method.to_owned(),
                target: target.to_owned(),
                headers: headers(sent.0, sent.1),
                body: Body::whole(sent.1.as_bytes().to_vec()),
                ..Request::default()
            },
            response: Some(Response {
                status: 200,
                headers: headers(given.0, given.1),
                body: Body::whole(given.1.as_bytes().to_vec()),
            }),
            duration_us: Some(2_000),
            ..Exchange::default()
        });
    }

    /// What is mined of it; the same is mined where prints stand for the bodies of answers.
    fn links(&self) -> LinkSet {
        let set = self.mined();
        assert_eq!(shown(&self.printed().mined()), shown(&set));
        set
    }

    /// The same recorded with prints, and its secrets hidden.
    fn printed(&self) -> Scene {
        let (printer, mut redactor) = (Printer::new(&[9; 32]), Redactor::new([9; 32]));
        let mut scene = Scene { exchanges: self.exchanges.clone(), session: 0, step: 0 };
        for exchange in &mut scene.exchanges {
            let body = &mut exchange.response.as_mut().unwrap().body;
            let data = body.data.take();
            let noted = printer.note(exchange, data.as_deref(), Some(&redactor));
            redactor.exchange(exchange);
            noted.write(exchange);
        }
        scene
    }

    fn mined(&self) -> LinkSet {
        let mut digests = Digests::default();
        self.exchanges.iter().for_each(|exchange| digests.add(0, exchange));
        choose::links(digests)
    }

    /// The same with the secrets hidden.
    fn redacted(&self) -> Scene {
        let mut redactor = Redactor::new([9; 32]);
        let mut scene = Scene { exchanges: self.exchanges.clone(), session: 0, step: 0 };
        scene.exchanges.iter_mut().for_each(|exchange| redactor.exchange(exchange));
        scene
    }
}

fn shown(set: &LinkSet) -> Vec<String> {
    set.links.iter().map(|link| format!("{} -> {}", link.from, link.to)).collect()
}

/// Something long that differs from every other.
fn long(kind: &str, n: u64) -> String {
    format!("{kind}{:016x}", (n + 7).wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

fn shop(sessions: u64) -> Scene {
    let mut scene = Scene::default();
    for _ in 0..sessions {
        let n = scene.session();
        let (csrf, token, order, tag) = (long("c", n), long("t", n), long("o", n), long("\"e", n) + "\"");
        let login = format!("name=user{n}&password=secret-word-{n}&csrf={csrf}");
        let bearer = format!("Bearer {token}");
        let auth: &[(&str, &str)] = &[("Authorization", &bearer)];
        scene.step(
            "GET /login",
            (&[], ""),
            (&[], &format!("<form><input type=hidden name=csrf value={csrf}>")),
        );
        scene.step(
            "POST /login",
            (&[], &login),
            (&[], &format!("{{\"token\":\"{token}\",\"user\":\"user{n}\"}}")),
        );
        scene.step(
            "GET /items",
            (auth, ""),
            (&[], r#"{"items":[{"id":"item-00001-a","n":1},{"id":"item-00002-b","n":2}]}"#),
        );
        let item = if n.is_multiple_of(2) { "item-00001-a" } else { "item-00002-b" };
        scene.step(
            "POST /orders",
            (auth, &format!("{{\"item\":\"{item}\",\"quantity\":{}}}", n % 3 + 1)),
            (&[("Location", &format!("/orders/{order}?via=shop")), ("ETag", &tag)], ""),
        );
        let page = format!("<p data-order={order} data-quantity={}>", n % 3 + 1);
        scene.step(&format!("GET /orders/{order}"), (auth, ""), (&[], &page));
        scene.step(&format!("PUT /orders/{order}"), (&[auth[0], ("If-Match", &tag)], "{}"), (&[], ""));
    }
    scene
}

const SHOP: [&str; 8] = [
    "GET /login html-field:csrf -> POST /login form:csrf",
    "POST /login json:$.token -> GET /items header:authorization bearer",
    "POST /login json:$.token -> GET /orders/{id} header:authorization bearer",
    "POST /login json:$.token -> POST /orders header:authorization bearer",
    "POST /login json:$.token -> PUT /orders/{id} header:authorization bearer",
    "POST /orders header:etag -> PUT /orders/{id} header:if-match",
    "POST /orders redirect-path:2 -> GET /orders/{id} path:2",
    "POST /orders redirect-path:2 -> PUT /orders/{id} path:2",
];

#[test]
fn all_that_is_given_and_sent_back_is_found_and_nothing_else() {
    for sessions in [2, 5, 40] {
        let set = shop(sessions).links();
        let mut found = shown(&set);
        found.sort_unstable_by_key(|link| link.split_once("->").map(|(from, _)| from.to_owned()));
        let mut expected: Vec<String> = SHOP.iter().map(|link| (*link).to_owned()).collect();
        expected.sort_unstable();
        found.sort_unstable();
        assert_eq!(found, expected, "{sessions} sessions");
        assert_eq!((set.sessions, set.whole_answers), (sessions, set.answers));
        for link in &set.links {
            assert_eq!((link.sessions, link.coverage, link.fresh), (sessions, 1.0, 1.0), "{link:?}");
        }
        let constant = set.rejected.iter().find(|miss| miss.to.to_string() == "POST /orders json:$.item");
        assert!(constant.is_some_and(|miss| miss.why.contains("constant")), "{:#?}", set.rejected);
    }
}

#[test]
fn pseudonyms_are_linked_as_values_are() {
    let redacted = shop(10).redacted();
    let body = redacted.exchanges[1].response.as_ref().unwrap().body.data.clone().unwrap();
    assert!(String::from_utf8_lossy(&body).contains("squall_"), "the token is hidden");
    assert_eq!(shown(&redacted.links()), shown(&shop(10).links()));
}

#[test]
fn short_numbers_need_many_sessions_and_a_rule_without_exception() {
    let scene = |sessions: u64, id: fn(u64) -> u64, sent: fn(u64) -> u64| {
        let mut scene = Scene::default();
        for _ in 0..sessions {
            let n = scene.session();
            let given = format!("{{\"id\":{},\"total\":{}}}", id(n), n % 4);
            scene.step("POST /carts", (&[], "{}"), (&[], &given));
            scene.step(&format!("GET /carts/{}", sent(n)), (&[], ""), (&[], "{}"));
        }
        scene.links()
    };
    let expected = ["POST /carts json:$.id -> GET /carts/{id} path:2"];
    assert_eq!(shown(&scene(12, |n| n + 40, |n| n + 40)), expected);
    assert_eq!(shown(&scene(12, |n| n, |n| n)), expected);
    let rejected = |set: LinkSet, words: &str| {
        assert_eq!(shown(&set), [""; 0]);
        assert!(set.rejected.iter().any(|miss| miss.why.contains(words)), "{words}: {:#?}", set.rejected);
    };
    rejected(scene(4, |n| n + 40, |n| n + 40), "it takes 5");
    rejected(scene(40, |_| 7, |_| 7), "constant");
    rejected(scene(40, |n| n % 3, |n| n % 3), "constant");
    // every other client asks for something else
    rejected(scene(40, |n| n + 40, |n| if n.is_multiple_of(2) { n + 40 } else { 3 }), "by chance");
}

#[test]
fn what_a_client_sent_first_is_its_own() {
    let mut scene = Scene::default();
    for _ in 0..8 {
        let n = scene.session();
        let name = long("user-", n);
        let typed = format!("{{\"name\":\"{name}\"}}");
        scene.step("POST /users", (&[], &typed), (&[], &typed));
        scene.step("GET /me", (&[], ""), (&[], &typed));
        scene.step(&format!("GET /search?q={name}"), (&[], ""), (&[], ""));
    }
    let set = scene.links();
    assert_eq!(shown(&set), [""; 0]);
    let why: Vec<&str> = set.rejected.iter().map(|miss| miss.why.as_str()).collect();
    assert!(why.iter().any(|why| why.contains("sent the value before")), "{:#?}", set.rejected);
}

#[test]
fn of_two_numbers_that_grow_alike_the_one_that_is_named_alike_is_meant() {
    let mut scene = Scene::default();
    for _ in 0..12 {
        let n = scene.session();
        let id = format!("{{\"id\":{n}}}");
        scene.step("POST /users", (&[], "{}"), (&[], &id));
        scene.step("POST /carts", (&[], "{}"), (&[], &id));
        scene.step(&format!("GET /users/{n}/name"), (&[], ""), (&[], ""));
        scene.step(&format!("GET /carts/{n}/lines"), (&[], ""), (&[], ""));
    }
    let expected = [
        "POST /carts json:$.id -> GET /carts/{id}/lines path:2",
        "POST /users json:$.id -> GET /users/{id}/name path:2",
    ];
    assert_eq!(shown(&scene.links()), expected);
}

#[test]
fn lists_and_events_give_values_too() {
    let mut scene = Scene::default();
    for _ in 0..6 {
        let n = scene.session();
        let (a, b, job) = (long("a", n), long("b", n), long("j", n));
        scene.step("GET /inbox", (&[], ""), (&[], &format!("[{{\"id\":\"{a}\"}},{{\"id\":\"{b}\"}}]")));
        scene.step(
            &format!("GET /mails/{}", if n.is_multiple_of(2) { &a } else { &b }),
            (&[], ""),
            (&[], ""),
        );
        scene.step(
            "GET /events",
            (&[], ""),
            (&[], &format!("data: {{\"x\":1}}\n\ndata: {{\"job\":\"{job}\"}}\n\n")),
        );
        scene.step(&format!("DELETE /jobs?id={job}"), (&[], ""), (&[], ""));
    }
    let expected = [
        "GET /events event:$.job -> DELETE /jobs query:id",
        "GET /inbox json:$[*].id -> GET /mails/{id} path:2",
    ];
    assert_eq!(shown(&scene.links()), expected);
}

#[test]
fn a_token_that_is_renewed_has_two_sources() {
    let mut scene = Scene::default();
    for _ in 0..6 {
        let n = scene.session();
        let (first, second) = (long("f", n), long("s", n));
        let give = |token: &str| format!("{{\"token\":\"{token}\"}}");
        let with = |token: &str| format!("Bearer {token}");
        scene.step("POST /login", (&[], "{}"), (&[], &give(&first)));
        scene.step("GET /me", (&[("authorization", &with(&first))], ""), (&[], ""));
        scene.step("POST /refresh", (&[("authorization", &with(&first))], ""), (&[], &give(&second)));
        scene.step("GET /me", (&[("authorization", &with(&second))], ""), (&[], ""));
    }
    let expected = [
        "POST /login json:$.token -> GET /me header:authorization bearer",
        "POST /login json:$.token -> POST /refresh header:authorization bearer",
        "POST /refresh json:$.token -> GET /me header:authorization bearer",
    ];
    assert_eq!(shown(&scene.links()), expected);
}

const START_US: u64 = 1_700_000_000_000_000;

#[test]
fn addresses_in_json_give_their_parts() {
    let mut scene = Scene::default();
    for _ in 0..6 {
        let n = scene.session();
        let (first, second, key) = (long("", n), long("", n + 100), long("K", n));
        let next = |id: &str| {
            format!(r#"{{"_links":{{"self":{{"href":"/items"}},"next":{{"href":"/items/{id}"}}}}}}"#)
        };
        scene.step("GET /items", (&[], ""), (&[], &next(&first)));
        scene.step(&format!("GET /items/{first}"), (&[], ""), (&[], &next(&second)));
        scene.step(&format!("GET /items/{second}"), (&[], ""), (&[], "{}"));
        let signed = format!(r#"{{"upload":"https://files.test/put/{n}?sig={key}&expires=1900000000"}}"#);
        scene.step("POST /uploads", (&[], "{}"), (&[], &signed));
        scene.step(&format!("PUT /put/{n}?sig={key}&expires=1900000000"), (&[], "{}"), (&[], "{}"));
    }
    assert_eq!(
        shown(&scene.links()),
        [
            "GET /items json-path:2 $._links.next.href -> GET /items/{id} path:2",
            "GET /items/{id} json-path:2 $._links.next.href -> GET /items/{id} path:2",
            "POST /uploads json-path:2 $.upload -> PUT /put/{id} path:2",
            "POST /uploads json-query:sig $.upload -> PUT /put/{id} query:sig",
        ]
    );
}

#[test]
fn addresses_in_pages_and_events_give_their_parts() {
    let mut scene = Scene::default();
    for _ in 0..6 {
        let n = scene.session();
        let (order, seal, job) = (long("", n), long("S", n), long("", n + 100));
        let page = format!(
            r#"<a href="/orders/1{order}?tab=all">other</a><a href="/orders/{order}?tab=all&amp;seal={seal}">this</a>
            <form action="/orders/{order}/pay" method=post><input name=order value="{order}"><input name=n value={n}></form>"#
        );
        scene.step("GET /orders", (&[], ""), (&[], &page));
        scene.step(&format!("GET /orders/{order}?tab=all&seal={seal}"), (&[], ""), (&[], "<p>"));
        scene.step(&format!("POST /orders/{order}/pay"), (&[], &format!("order={order}&n={n}")), (&[], "{}"));
        let event = format!("data: {{\"status\":\"https://shop.test/jobs/{job}\"}}\n\n");
        scene.step("POST /jobs", (&[], "{}"), (&[], &event));
        scene.step(&format!("GET /jobs/{job}"), (&[], ""), (&[], "{}"));
    }
    assert_eq!(
        shown(&scene.links()),
        [
            "GET /orders html-field:n -> POST /orders/{id}/pay form:n",
            "GET /orders html-field:order -> POST /orders/{id}/pay form:order",
            "GET /orders html-path:2 /orders/{id} -> GET /orders/{id} path:2",
            "GET /orders html-path:2 /orders/{id}/pay -> POST /orders/{id}/pay path:2",
            "GET /orders html-query:seal /orders/{id} -> GET /orders/{id} query:seal",
            "POST /jobs event-path:2 $.status -> GET /jobs/{id} path:2",
        ]
    );
}

#[test]
fn fields_of_multipart_forms_carry_values() {
    let mut scene = Scene::default();
    for _ in 0..3 {
        let n = scene.session();
        let token = long("T", n);
        scene.step("GET /avatar", (&[], ""), (&[], &format!("<input type=hidden name=csrf value={token}>")));
        let part = |head: &str, content: &str| {
            format!("--B\r\ncontent-disposition: form-data; {head}\r\n\r\n{content}\r\n")
        };
        let form =
            [part("name=\"csrf\"", &token), part("name=\"file\"; filename=\"a.txt\"", "file")].concat();
        let kind = [("content-type", "multipart/form-data; boundary=B")];
        scene.step("POST /avatar", (&kind, &format!("{form}--B--\r\n")), (&[], "{}"));
    }
    assert_eq!(shown(&scene.links()), ["GET /avatar html-field:csrf -> POST /avatar form:csrf"]);
}
