//! A synthetic API under the load of many users, for the benches: what is random in it, and how much, is written here.
//!
//! Sessions log in, look at products, fill a cart and order. Every request of a session carries its JWT and its cookie,
//! changes carry its CSRF token too, and each request has a traceparent and a request id of its own: 40 bytes of pure
//! chance a request, and some 300 a session.

use captures::exchange::{Protocol, Request, Response};
use captures::{Body, Exchange, Headers, SessionId};

/// What the users of a recording did, in the order in which it began.
pub(crate) fn api(sessions: u64, seed: u64) -> Vec<Exchange> {
    let mut chance = Chance(seed);
    let mut exchanges = Vec::new();
    for number in 0..sessions {
        let start_us = EPOCH_US + number * 50_000 + chance.below(5_000_000);
        User::new(number, &mut chance).visit(start_us, &mut chance, &mut exchanges);
    }
    exchanges.sort_by_key(|exchange| exchange.start_us);
    exchanges
}

/// Random numbers: SplitMix64.
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    pub(crate) fn hex(&mut self, digits: usize) -> String {
        let mut text = format!("{:016x}{:016x}", self.next(), self.next());
        text.truncate(digits);
        text
    }

    fn uuid(&mut self) -> String {
        let hex = self.hex(32);
        format!("{}-{}-4{}-a{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..])
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len() as u64) as usize]
    }

    /// A pause between two requests: exponential, 4 s in the mean.
    fn pause_us(&mut self) -> u64 {
        let uniform = (self.next() >> 11) as f64 / (1u64 << 53) as f64;
        (-(1.0 - uniform).ln() * 4e6) as u64
    }
}

struct User {
    number: u64,
    agent: &'static str,
    language: &'static str,
    token: String,
    cookie: String,
    csrf: String,
    cart: String,
    order: String,
}

impl User {
    fn new(number: u64, chance: &mut Chance) -> User {
        let issued = EPOCH_US / 1_000_000 + number;
        let claims = format!(
            r#"{{"sub":"user-{}","iat":{issued},"exp":{},"role":"customer","jti":"{}"}}"#,
            chance.below(100_000),
            issued + 3600,
            chance.hex(16)
        );
        // of RS256, as identity providers sign by default: 256 bytes
        let signature: String = (0..342).map(|_| char::from(LETTERS[chance.below(64) as usize])).collect();
        User {
            number,
            agent: chance.pick(AGENTS),
            language: chance.pick(LANGUAGES),
            token: format!("Bearer eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.{}.{signature}", base64(&claims)),
            cookie: format!("sid={}; theme={}", chance.hex(32), chance.pick(&["dark", "light"])),
            csrf: chance.hex(32),
            cart: chance.uuid(),
            order: chance.uuid(),
        }
    }

    fn visit(&self, start_us: u64, chance: &mut Chance, out: &mut Vec<Exchange>) {
        let mut at_us = start_us;
        let email = format!("user-{}@example.test", self.number);
        let login = format!(r#"{{"email":"{email}","password":"{}"}}"#, chance.hex(12));
        out.push(self.request(at_us, "POST /api/v1/auth/login", Some(&login), chance));
        for _ in 0..4 + chance.below(9) {
            at_us += 50_000 + chance.pause_us();
            let step = self.browse(chance);
            out.push(self.request(at_us, &step, None, chance));
        }
        if chance.below(2) == 0 {
            for (step, body) in self.buy(chance) {
                at_us += 50_000 + chance.pause_us();
                out.push(self.request(at_us, &step, body.as_deref(), chance));
            }
        }
    }

    fn browse(&self, chance: &mut Chance) -> String {
        match chance.below(10) {
            0..2 => format!("GET /api/v1/products?page={}&size=24&sort=popular", 1 + chance.below(8)),
            2..7 => format!("GET /api/v1/products/{}", 1000 + chance.below(5000)),
            7..9 => format!("GET /api/v1/search?q={}&limit=20", chance.pick(WORDS)),
            _ => "GET /api/v1/me".to_owned(),
        }
    }

    fn buy(&self, chance: &mut Chance) -> Vec<(String, Option<String>)> {
        let mut item = || {
            Some(format!(
                r#"{{"product_id":{},"quantity":{}}}"#,
                1000 + chance.below(5000),
                1 + chance.below(3)
            ))
        };
        let items = format!("POST /api/v1/carts/{}/items", self.cart);
        vec![
            (items.clone(), item()),
            (items, item()),
            (format!("GET /api/v1/carts/{}", self.cart), None),
            ("POST /api/v1/orders".to_owned(), Some(format!(r#"{{"cart_id":"{}"}}"#, self.cart))),
            (format!("GET /api/v1/orders/{}", self.order), None),
        ]
    }

    fn request(&self, at_us: u64, step: &str, body: Option<&str>, chance: &mut Chance) -> Exchange {
        let (method, target) = step.split_once(' ').unwrap_or((step, "/"));
        let mut headers = Headers::new();
        let length = body.map(|body| body.len().to_string());
        let trace = format!("00-{}-{}-01", chance.hex(32), chance.hex(16));
        let mut field = |name: &str, value: &str| headers.push(name, value);
        field("Host", "shop.example.test");
        field("User-Agent", self.agent);
        field("Accept", "application/json, text/plain, */*");
        field("Accept-Language", self.language);
        field("Accept-Encoding", "gzip, deflate, br, zstd");
        if let Some(length) = &length {
            field("Content-Type", "application/json");
            field("Content-Length", length);
            field("Origin", "https://shop.example.test");
            field("X-CSRF-Token", &self.csrf);
        }
        if !target.ends_with("/login") {
            field("Authorization", &self.token);
        }
        field("Cookie", &self.cookie);
        field("Referer", "https://shop.example.test/");
        field("Sec-Fetch-Dest", "empty");
        field("Sec-Fetch-Mode", "cors");
        field("Sec-Fetch-Site", "same-origin");
        field("X-Request-Id", &chance.uuid());
        field("traceparent", &trace);
        Exchange {
            session: SessionId(self.number + 1),
            connection: Some(self.number + 1),
            edge: "default".to_owned(),
            start_us: at_us,
            protocol: Protocol::Http11,
            request: Request {
                method: method.to_owned(),
                scheme: "https".to_owned(),
                authority: "shop.example.test".to_owned(),
                target: target.to_owned(),
                headers,
                body: body.map_or_else(Body::default, |body| Body::whole(body.to_owned())),
            },
            ..Exchange::default()
        }
    }
}

/// Adds answers as a recording notes them: status, times, type, length and hash.
#[allow(dead_code, reason = "not every bench wants answers")]
pub(crate) fn answered(mut exchanges: Vec<Exchange>) -> Vec<Exchange> {
    let mut chance = Chance(7);
    for exchange in &mut exchanges {
        let ttfb_us = 800 + chance.below(40_000);
        exchange.ttfb_us = Some(ttfb_us);
        exchange.duration_us = Some(ttfb_us + 20 + chance.below(900));
        exchange.response = Some(Response {
            status: if chance.below(50) == 0 { 404 } else { 200 },
            headers: [("content-type", "application/json")].into_iter().collect(),
            body: Body::digest(300 + chance.below(20_000), Some(chance.next())),
        });
    }
    exchanges
}

fn base64(text: &str) -> String {
    use base64::Engine;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text)
}

/// A moment in 2026, as good as any.
const EPOCH_US: u64 = 1_773_273_600_000_000;
const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const LANGUAGES: &[&str] = &[
    "en-US,en;q=0.9",
    "de-DE,de;q=0.9,en;q=0.7",
    "fr-FR,fr;q=0.8",
    "ja-JP,ja;q=0.9,en;q=0.5",
    "pl,en;q=0.6",
];
const WORDS: &[&str] = &[
    "lamp", "chair", "desk", "rug", "shelf", "mirror", "curtain", "pillow", "vase", "clock", "blanket",
    "stool",
];
const AGENTS: &[&str] = &[
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/134.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/134.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.3 Safari/605.1.15",
    "Mozilla/5.0 (X11; Linux x86_64; rv:136.0) Gecko/20100101 Firefox/136.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_3 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.3 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/134.0.0.0 Mobile Safari/537.36",
    "okhttp/4.12.0",
    "ShopApp/7.4.1 (iOS 18.3; iPhone17,1)",
];
