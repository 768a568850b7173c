//! What one shopper does: comes, looks around, signs up, logs in, fills a cart, pays, and looks at the orders.

use std::net::SocketAddr;
use std::time::Duration;

use hyper::StatusCode;
use tokio::time::sleep;

use super::chance::Chance;
use super::client::{Ask, Client};

/// One of the crowd. Everything it does follows from its number and the seed.
pub(super) struct Shopper {
    number: u32,
    chance: Chance,
    password: String,
}

/// What a visit came to.
pub(super) struct Visit {
    /// Requests that were answered as they should have been.
    pub(super) answered: u64,
    /// What must not be found in a capture: the password in its two spellings, and the cookies.
    pub(super) secrets: Vec<String>,
}

impl Shopper {
    pub(super) fn new(number: u32, seed: u64) -> Shopper {
        let mut chance = Chance::new(seed ^ (u64::from(number) << 32));
        let password = format!("{:08x} wind & {:08x}", chance.next() as u32, chance.next() as u32);
        Shopper { number, chance, password }
    }

    /// The whole visit, beginning at some time within `arrivals`.
    pub(super) async fn visit(mut self, shop: SocketAddr, arrivals: Duration) -> Result<Visit, String> {
        sleep(arrivals.mul_f64(self.chance.share())).await;
        let mut browser = Browser { client: Client::connect(shop).await?, answered: 0 };
        self.come_in(&mut browser).await?;
        self.sign_up_and_log_in(&mut browser).await?;
        self.look_around(&mut browser).await?;
        self.buy(&mut browser).await?;
        let mut secrets: Vec<String> = browser.client.cookie_values().map(str::to_owned).collect();
        secrets.extend([self.form_password(), self.password]);
        Ok(Visit { answered: browser.answered, secrets })
    }

    async fn come_in(&mut self, browser: &mut Browser) -> Result<(), String> {
        browser.expect(StatusCode::OK, Ask::get("/")).await?;
        if self.chance.once_in(3) {
            browser.expect(StatusCode::NOT_FOUND, Ask::get("/favicon.ico")).await?;
        }
        self.think().await;
        browser.expect(StatusCode::OK, Ask::get("/api/products")).await?;
        self.think().await;
        self.open_product(browser).await
    }

    async fn sign_up_and_log_in(&mut self, browser: &mut Browser) -> Result<(), String> {
        self.think().await;
        let form = serde_json::json!({
            "name": format!("Shopper {}", self.number),
            "email": format!("shopper-{}@example.test", self.number),
            "password": self.password,
        });
        let sign_up = Ask::post("/api/signup", JSON, form.to_string());
        browser.expect(StatusCode::CREATED, sign_up).await?;
        self.think().await;
        let login = Ask::post("/api/login", FORM, format!("password={}", self.form_password()));
        browser.expect(StatusCode::OK, login).await
    }

    /// Looks at products; every other shopper has the price ticker open meanwhile, on a second connection.
    async fn look_around(&mut self, browser: &mut Browser) -> Result<(), String> {
        let ticker = match self.number % 2 {
            0 => Some(Browser { client: browser.client.another().await?, answered: 0 }),
            _ => None,
        };
        let events =
            format!("/api/events?n={}&gap_ms={}", 3 + self.chance.below(4), 40 + self.chance.below(60));
        let watch = async {
            let Some(mut ticker) = ticker else { return Ok(0) };
            ticker.expect(StatusCode::OK, Ask::get(&events)).await.map(|()| ticker.answered)
        };
        let browse = async {
            for _ in 0..1 + self.chance.below(3) {
                self.think().await;
                self.open_product(browser).await?;
            }
            Ok::<(), String>(())
        };
        let (watched, browsed) = tokio::join!(watch, browse);
        browsed?;
        browser.answered += watched?;
        Ok(())
    }

    async fn buy(&mut self, browser: &mut Browser) -> Result<(), String> {
        for _ in 0..1 + self.chance.below(2) {
            self.think().await;
            let wanted =
                serde_json::json!({ "product": self.chance.below(48), "quantity": 1 + self.chance.below(3) });
            browser.expect(StatusCode::OK, Ask::post("/api/cart", JSON, wanted.to_string())).await?;
        }
        self.think().await;
        browser.expect(StatusCode::OK, Ask::get("/api/cart")).await?;
        self.think().await;
        let key = format!("order-{:016x}", self.chance.next());
        let presses = if self.chance.once_in(4) { 2 } else { 1 }; // the impatient press the button twice
        for _ in 0..presses {
            let mut checkout = Ask::post("/api/checkout", JSON, "{}".to_owned());
            checkout.idempotency_key = Some(&key);
            browser.expect(StatusCode::CREATED, checkout).await?;
        }
        self.think().await;
        browser.expect(StatusCode::OK, Ask::get("/api/orders")).await
    }

    async fn open_product(&mut self, browser: &mut Browser) -> Result<(), String> {
        let page = format!("/api/products/{}", self.chance.below(48));
        browser.expect(StatusCode::OK, Ask::get(&page)).await
    }

    async fn think(&mut self) {
        sleep(SHORTEST_THOUGHT + self.chance.wait(THOUGHT)).await;
    }

    fn form_password(&self) -> String {
        self.password.replace(' ', "+").replace('&', "%26")
    }
}

struct Browser {
    client: Client,
    answered: u64,
}

impl Browser {
    async fn expect(&mut self, expected: StatusCode, ask: Ask<'_>) -> Result<(), String> {
        let what = format!("{} {}", ask.method, ask.path);
        let status = self.client.send(ask).await?;
        if status != expected {
            return Err(format!("{what} was answered with {status} instead of {expected}"));
        }
        self.answered += 1;
        Ok(())
    }
}

const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";
const SHORTEST_THOUGHT: Duration = Duration::from_millis(40);
const THOUGHT: Duration = Duration::from_millis(380);
