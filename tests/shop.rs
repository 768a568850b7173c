//! The sample shop, through the real binary and plain sockets.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

const SIGN_UP: &str = r#"{"name":"Ada","email":"ada@example.test","password":"rain & wind"}"#;
const LOGIN: &str = "password=rain+%26+wind";

#[test]
fn a_customer_signs_up_and_buys_once() {
    let shop = Shop::open(&["--threads", "2"]);
    let mut ada = Client::new(shop.addr);
    assert_eq!(ada.get("/").status, 200);
    assert_eq!(ada.get("/api/products").json()["products"].as_array().unwrap().len(), 48);
    assert_eq!(ada.get("/api/products/7").json()["id"], 7);
    assert_eq!(ada.post("/api/signup", SIGN_UP).status, 201);
    assert_eq!(ada.post("/api/login", LOGIN).status, 200);
    assert_eq!(ada.cookies.keys().collect::<Vec<_>>(), ["customer", "sid"]);

    let cart = ada.post("/api/cart", r#"{"product":7,"quantity":2}"#).json();
    assert_eq!(cart["items"][0]["quantity"], 2);
    assert_eq!(ada.get("/api/cart").json(), cart);

    let first = ada.send("POST", "/api/checkout", &[("Idempotency-Key", "k-1")], b"{}");
    let again = ada.send("POST", "/api/checkout", &[("idempotency-key", "k-1")], b"");
    assert_eq!((first.status, again.status), (201, 201));
    assert_eq!(first.json(), again.json());
    assert_eq!(first.json()["total_cents"], cart["total_cents"]);
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(ada.post("/api/checkout", "").status, 409, "the cart is empty now");
    assert_eq!(ada.get("/api/orders").json()["orders"], json!([first.json()]));

    let count = shop.count();
    assert_eq!(count["requests"], 11);
    assert_eq!(count["by_route"]["POST /api/checkout"], 3);
    let totals =
        ["accounts", "sessions", "orders", "duplicate_orders_prevented"].map(|name| count[name].clone());
    assert_eq!(totals, [1, 1, 1, 1]);
}

#[test]
fn two_customers_are_kept_apart() {
    let shop = Shop::open(&[]);
    let (mut ada, mut bob) = (Client::new(shop.addr), Client::new(shop.addr));
    for who in [&mut ada, &mut bob] {
        assert_eq!(who.post("/api/signup", SIGN_UP).status, 201);
        assert_eq!(who.post("/api/login", LOGIN).status, 200);
    }
    assert_ne!(ada.cookies, bob.cookies);
    ada.post("/api/cart", r#"{"product":1}"#);
    assert_eq!(bob.get("/api/cart").json()["items"], json!([]));
    assert_eq!(bob.send("POST", "/api/checkout", &[("idempotency-key", "k")], b"").status, 409);
    assert_eq!(ada.send("POST", "/api/checkout", &[("idempotency-key", "k")], b"").status, 201);
}

#[test]
fn what_is_wrong_is_refused_in_words_and_counted() {
    let shop = Shop::open(&[]);
    let mut ada = Client::new(shop.addr);
    let mut n = 0;
    let mut check = |ada: &mut Client, method: &str, path: &str, body: &str, expected: u16| {
        let answer = ada.send(method, path, &[], body.as_bytes());
        assert_eq!(answer.status, expected, "{method} {path} {body}");
        assert!(answer.json()["error"].is_string(), "{method} {path} {body}");
        n += 1;
    };
    check(&mut ada, "GET", "/favicon.ico", "", 404);
    check(&mut ada, "GET", "/api/products/48", "", 404);
    check(&mut ada, "GET", "/api/products/", "", 404);
    check(&mut ada, "DELETE", "/api/cart", "", 405);
    check(&mut ada, "GET", "/api/checkout", "", 405);
    check(&mut ada, "GET", "/api/events?n=x", "", 400);
    check(&mut ada, "POST", "/api/signup", "{", 400);
    check(&mut ada, "POST", "/api/signup", r#"{"name":"","email":"a","password":"b"}"#, 400);
    check(&mut ada, "POST", "/api/login", LOGIN, 401);
    check(&mut ada, "GET", "/api/cart", "", 401);
    check(&mut ada, "POST", "/api/cart", "{}", 401);
    check(&mut ada, "POST", "/api/checkout", "", 401);
    check(&mut ada, "GET", "/api/orders", "", 401);
    ada.post("/api/signup", SIGN_UP);
    check(&mut ada, "POST", "/api/login", "password=wrong", 401);
    check(&mut ada, "POST", "/api/login", "passwort=x", 400);
    ada.post("/api/login", LOGIN);
    check(&mut ada, "POST", "/api/cart", r#"{"product":99}"#, 404);
    check(&mut ada, "POST", "/api/cart", r#"{"product":1,"quantity":0}"#, 400);
    check(&mut ada, "POST", "/api/cart", r#"{"product":1,"quantity":1000}"#, 400);
    check(&mut ada, "POST", "/api/cart", "null", 400);
    assert_eq!(shop.count()["requests"], n + 2);

    let mut eve = Client::new(shop.addr);
    eve.cookies.clone_from(&ada.cookies);
    assert_eq!(eve.send("POST", "/api/cart", &[], &vec![b' '; 16 * 1024 + 1]).status, 413);
    assert_eq!(shop.count()["by_route"]["POST /api/cart"], 6);
}

#[test]
fn head_and_options_say_what_get_would() {
    let shop = Shop::open(&[]);
    let mut ada = Client::new(shop.addr);
    let full = ada.get("/api/products");
    let head = ada.send("HEAD", "/api/products", &[], b"");
    assert_eq!(head.header("content-length"), full.header("content-length"));
    assert_eq!(head.header("content-type"), Some("application/json"));
    let options = ada.send("OPTIONS", "/api/cart", &[], b"");
    assert_eq!((options.status, options.header("allow")), (204, Some("GET, HEAD, POST, OPTIONS")));
    assert_eq!(ada.send("OPTIONS", "*", &[], b"").status, 204);
    assert_eq!(ada.send("DELETE", "/api/checkout", &[], b"").header("allow"), Some("POST, OPTIONS"));
    assert_eq!(shop.count()["by_route"]["GET /api/products"], 2);
}

#[test]
fn events_come_one_by_one() {
    let shop = Shop::open(&[]);
    let mut stream = TcpStream::connect(shop.addr).unwrap();
    stream.write_all(b"GET /api/events?n=4&gap_ms=100 HTTP/1.1\r\nhost: shop\r\n\r\n").unwrap();
    let begun = Instant::now();
    let (mut seen, mut arrivals) = (String::new(), Vec::new());
    while !seen.ends_with("0\r\n\r\n") {
        let mut piece = [0; 4096];
        let n = stream.read(&mut piece).unwrap();
        assert_ne!(n, 0, "ended early: {seen}");
        let piece = std::str::from_utf8(&piece[..n]).unwrap();
        arrivals.extend(piece.matches("event: price").map(|_| begun.elapsed()));
        seen.push_str(piece);
    }
    assert!(seen.contains("text/event-stream") && seen.contains("id: 4\n"), "{seen}");
    assert_eq!(arrivals.len(), 4);
    for (number, arrival) in (0u32..).zip(&arrivals) {
        assert!(number * Duration::from_millis(99) <= *arrival, "event {number} was early: {arrivals:?}");
    }
}

#[test]
fn http_2_is_served_on_the_same_port() {
    use http_body_util::{BodyExt, Empty};
    let shop = Shop::open(&[]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let status = runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(shop.addr).await.unwrap();
        let io = hyper_util::rt::TokioIo::new(stream);
        let executor = hyper_util::rt::TokioExecutor::new();
        let (mut sender, connection) = hyper::client::conn::http2::handshake(executor, io).await.unwrap();
        tokio::spawn(connection);
        let req =
            hyper::Request::head(format!("http://{}/api/products", shop.addr)).body(Empty::<&[u8]>::new());
        let head = sender.send_request(req.unwrap()).await.unwrap();
        assert!(head.headers().contains_key("content-length"));
        let req =
            hyper::Request::get(format!("http://{}/api/products/3", shop.addr)).body(Empty::<&[u8]>::new());
        let answer = sender.send_request(req.unwrap()).await.unwrap();
        assert_eq!(answer.version(), hyper::Version::HTTP_2);
        let status = answer.status();
        let body: Value = serde_json::from_slice(&answer.collect().await.unwrap().to_bytes()).unwrap();
        assert_eq!(body["id"], 3);
        status
    });
    assert_eq!(status, 200);
    assert_eq!(shop.count()["requests"], 2);
}

#[test]
fn sigterm_finishes_what_is_under_way_and_prints_the_counts() {
    let mut shop = Shop::open(&["--threads", "2"]);
    let mut idle = Client::new(shop.addr);
    idle.get("/");
    let mut stream = TcpStream::connect(shop.addr).unwrap();
    stream.write_all(b"GET /api/events?n=4&gap_ms=200 HTTP/1.1\r\nhost: shop\r\n\r\n").unwrap();
    stream.read_exact(&mut [0; 12]).unwrap(); // it is being answered
    let asked = Instant::now();
    shop.terminate();
    let mut rest = String::new();
    stream.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("id: 4\n") && rest.ends_with("0\r\n\r\n"), "{rest}");
    assert!(shop.child.wait().unwrap().success());
    assert!(asked.elapsed() < Duration::from_secs(4), "an idle connection must not hold it up");
    let mut printed = String::new();
    shop.stdout.read_to_string(&mut printed).unwrap();
    let counts: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(counts["requests"], 2);
}

#[test]
fn a_second_shop_does_not_share_the_port() {
    let shop = Shop::open(&["--threads", "2"]);
    let second = Command::new(env!("CARGO_BIN_EXE_squall"))
        .args(["shop", "--listen", &shop.addr.to_string()])
        .output()
        .unwrap();
    assert!(!second.status.success());
    let words = String::from_utf8(second.stderr).unwrap();
    assert!(words.contains(&format!("cannot listen on {}", shop.addr)), "{words}");
}

/// A `squall shop` of its own, ended with the test.
struct Shop {
    child: Child,
    stdout: BufReader<ChildStdout>,
    addr: SocketAddr,
}

impl Shop {
    fn open(args: &[&str]) -> Shop {
        let mut child = Command::new(env!("CARGO_BIN_EXE_squall"))
            .args(["shop", "--listen", "127.0.0.1:0"])
            .args(args)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let addr = line.trim().strip_prefix("shop listening on http://").expect("it says where it listens");
        let addr: SocketAddr = addr.parse().unwrap();
        assert_ne!(addr.port(), 0);
        Shop { child, stdout, addr }
    }

    fn count(&self) -> Value {
        Client::new(self.addr).get("/_shop/count").json()
    }

    fn terminate(&self) {
        let kill = format!("kill -TERM {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One keep-alive connection with a cookie jar.
struct Client {
    stream: BufReader<TcpStream>,
    cookies: BTreeMap<String, String>,
}

struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Client {
    fn new(addr: SocketAddr) -> Client {
        let stream = TcpStream::connect(addr).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        Client { stream: BufReader::new(stream), cookies: BTreeMap::new() }
    }

    fn get(&mut self, path: &str) -> Answer {
        self.send("GET", path, &[], b"")
    }

    fn post(&mut self, path: &str, body: &str) -> Answer {
        self.send("POST", path, &[], body.as_bytes())
    }

    fn send(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut req = format!("{method} {path} HTTP/1.1\r\nhost: shop\r\ncontent-length: {}\r\n", body.len());
        for (name, value) in headers {
            req += &format!("{name}: {value}\r\n");
        }
        if !self.cookies.is_empty() {
            let pairs: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
            req += &format!("cookie: {}\r\n", pairs.join("; "));
        }
        req += "\r\n";
        self.stream.get_mut().write_all(&[req.as_bytes(), body].concat()).unwrap();
        let answer = self.read(method == "HEAD");
        for (_, cookie) in answer.headers.iter().filter(|(name, _)| name == "set-cookie") {
            let (name, value) = cookie.split(';').next().unwrap().split_once('=').unwrap();
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
        answer
    }

    fn read(&mut self, head: bool) -> Answer {
        let status = self.line().split(' ').nth(1).unwrap().parse().unwrap();
        let mut headers = Vec::new();
        loop {
            let line = self.line();
            let Some((name, value)) = line.split_once(": ") else { break };
            headers.push((name.to_ascii_lowercase(), value.to_owned()));
        }
        let mut answer = Answer { status, headers, body: Vec::new() };
        if !head && let Some(length) = answer.header("content-length") {
            answer.body = vec![0; length.parse().unwrap()];
            self.stream.read_exact(&mut answer.body).unwrap();
        }
        answer
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stream.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}
