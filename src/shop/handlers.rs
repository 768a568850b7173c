//! What the shop does for a request.

use hyper::body::Incoming;
use hyper::header::{HeaderName, SET_COOKIE};
use hyper::{Method, Request, StatusCode};
use serde::{Deserialize, Serialize};

use super::answers::{self, Answer};
use super::catalogue::Catalogue;
use super::defects::{self, Defect};
use super::error::Refusal;
use super::events::Events;
use super::identity::Id;
use super::routes::{self, Route};
use super::store::{Checkout, Line};
use super::{Shop, limits, request, side};

/// Answers one request on worker `index`, and counts it before anything else can happen to it.
pub(super) async fn answer(shop: &Shop, index: usize, req: Request<Incoming>) -> Answer {
    let head = *req.method() == Method::HEAD;
    let answer = if let Some(internal) = req.uri().path().strip_prefix("/_shop/") {
        own(shop, internal)
    } else if req.uri().path() == "/metrics" {
        answers::metrics(defects::metrics())
    } else {
        let route = routes::find(shop.role, req.method(), req.uri().path());
        shop.tallies[index].count(route);
        defects::serve(shop, index, route, req).await
    };
    if head { answers::without_body(answer) } else { answer }
}

/// The paths that ask about the shop itself, and are not counted.
fn own(shop: &Shop, path: &str) -> Answer {
    match path {
        "count" => as_json(StatusCode::OK, &shop.counts()),
        "harmed" => answers::json(StatusCode::OK, shop.defects.harmed()),
        _ => answers::refusal(Refusal::NoSuchPage, path),
    }
}

/// Serves as a shop without defects does.
pub(super) async fn serve(shop: &Shop, index: usize, route: Route, req: Request<Incoming>) -> Answer {
    match route {
        Route::Home => answers::home(),
        Route::Charge | Route::Search => side::answer(shop, route, req).await,
        Route::Options => answers::options(req.uri().path()),
        _ => {
            let path = req.uri().path().to_owned();
            let answered = match route {
                Route::Products => products(shop, index, &req).await,
                Route::Product => product(shop, &path),
                Route::SignUp => sign_up(shop, req).await,
                Route::Login => log_in(shop, req).await,
                Route::ShowCart => show_cart(shop, &req),
                Route::AddToCart => add_to_cart(shop, req).await,
                Route::Checkout => check_out(shop, index, req).await,
                Route::Orders => orders(shop, &req),
                Route::Events => Events::of(req.uri().query().unwrap_or_default()).map(answers::stream),
                Route::WrongMethod => Err(Refusal::WrongMethod),
                _ => Err(Refusal::NoSuchPage),
            };
            answered.unwrap_or_else(|why| answers::refusal(why, &path))
        }
    }
}

/// All of them; where there is a search, those it finds.
async fn products(shop: &Shop, index: usize, req: &Request<Incoming>) -> Result<Answer, Refusal> {
    let query = req.uri().query().filter(|query| request::field(query.as_bytes(), "q").is_some());
    let found = match query {
        Some(query) => shop.neighbours[index].find(req.headers(), query).await,
        None => None,
    };
    let list = found.unwrap_or_else(|| Ok(shop.catalogue.list()))?;
    Ok(answers::json(StatusCode::OK, list))
}

fn product(shop: &Shop, path: &str) -> Result<Answer, Refusal> {
    let id = path.rsplit('/').next().and_then(|id| id.parse().ok()).ok_or(Refusal::NoSuchProduct)?;
    let page = shop.catalogue.page(id).ok_or(Refusal::NoSuchProduct)?;
    Ok(answers::json(StatusCode::OK, page))
}

async fn sign_up(shop: &Shop, req: Request<Incoming>) -> Result<Answer, Refusal> {
    let body = request::body(req.into_body()).await?;
    let form: SignUp<'_> = serde_json::from_slice(&body).map_err(|_| Refusal::BadJson)?;
    if !request::fits(&form.name) || !request::fits(&form.email) || !request::fits(&form.password) {
        return Err(Refusal::BadField);
    }
    let account = shop.store.sign_up(&form.password);
    let mut answer = answers::json(StatusCode::CREATED, format!("{{\"customer\":\"{account}\"}}"));
    set_cookie(&mut answer, CUSTOMER, account);
    Ok(answer)
}

async fn log_in(shop: &Shop, req: Request<Incoming>) -> Result<Answer, Refusal> {
    let account = request::cookie(req.headers(), CUSTOMER);
    let body = request::body(req.into_body()).await?;
    let password = request::field(&body, "password").ok_or(Refusal::BadForm)?;
    if !request::fits(&password) {
        return Err(Refusal::BadField);
    }
    let session = shop.store.log_in(account.ok_or(Refusal::WrongPassword)?, &password)?;
    let mut answer = answers::json(StatusCode::OK, "{\"ok\":true}");
    set_cookie(&mut answer, SESSION, session);
    Ok(answer)
}

fn show_cart(shop: &Shop, req: &Request<Incoming>) -> Result<Answer, Refusal> {
    let lines = shop.store.cart(session(req)?)?;
    Ok(cart(&shop.catalogue, &lines))
}

async fn add_to_cart(shop: &Shop, req: Request<Incoming>) -> Result<Answer, Refusal> {
    let session = session(&req)?;
    let body = request::body(req.into_body()).await?;
    let wanted: Wanted = serde_json::from_slice(&body).map_err(|_| Refusal::BadJson)?;
    if wanted.quantity == 0 || limits::QUANTITY < wanted.quantity {
        return Err(Refusal::BadField);
    }
    shop.catalogue.product(wanted.product).ok_or(Refusal::NoSuchProduct)?;
    let line = Line { product: wanted.product, quantity: wanted.quantity };
    Ok(cart(&shop.catalogue, &shop.store.add_to_cart(session, line)?))
}

async fn check_out(shop: &Shop, index: usize, req: Request<Incoming>) -> Result<Answer, Refusal> {
    let session = session(&req)?;
    let (head, body) = req.into_parts();
    let key = head.headers.get("idempotency-key").cloned();
    request::body(body).await?; // whatever it says; the cart is here
    let key = key.as_ref().map(|key| key.as_bytes().trim_ascii());
    if key.is_some_and(|key| key.is_empty() || limits::KEY_BYTES < key.len()) {
        return Err(Refusal::BadKey);
    }
    if shop.defects.has(Defect::ManyItems) {
        let (products, untouched) = shop.store.reservation(session)?;
        if defects::has_expired(products, untouched) {
            return Err(Refusal::Expired);
        }
    }
    let price = |product| shop.catalogue.product(product).map_or(0, |(_, cents)| cents);
    let cart = shop.store.cart(session)?;
    if !cart.is_empty() {
        let due = cart.iter().map(|line| price(line.product) * u64::from(line.quantity)).sum();
        tokio::time::sleep(shop.delay).await;
        shop.neighbours[index].charge(&head.headers, due).await?;
    }
    // A repeat is answered as the first was, so that a client that retries need not know.
    let (order, repeated) = match shop.store.check_out(session, key, price)? {
        Checkout::Placed(order) => (order, false),
        Checkout::Repeated(order) => (order, true),
    };
    let mut answer = as_json(StatusCode::CREATED, &order);
    if repeated {
        answers::add(&mut answer, HeaderName::from_static("idempotent-replayed"), "true");
    }
    Ok(answer)
}

fn orders(shop: &Shop, req: &Request<Incoming>) -> Result<Answer, Refusal> {
    let orders = shop.store.orders(session(req)?)?;
    Ok(as_json(StatusCode::OK, &serde_json::json!({ "orders": orders })))
}

fn session(req: &Request<Incoming>) -> Result<Id, Refusal> {
    request::cookie(req.headers(), SESSION).ok_or(Refusal::NoSession)
}

fn cart(catalogue: &Catalogue, lines: &[Line]) -> Answer {
    let items: Vec<CartItem<'_>> = lines
        .iter()
        .filter_map(|line| {
            let (name, price_cents) = catalogue.product(line.product)?;
            Some(CartItem { product: line.product, name, quantity: line.quantity, price_cents })
        })
        .collect();
    let total_cents = items.iter().map(|item| item.price_cents * u64::from(item.quantity)).sum();
    as_json(StatusCode::OK, &Cart { items, total_cents })
}

fn as_json(status: StatusCode, value: &impl Serialize) -> Answer {
    let body = serde_json::to_vec(value).expect("plain structs with string keys always serialise");
    answers::json(status, body)
}

fn set_cookie(answer: &mut Answer, name: &str, id: Id) {
    answers::add(answer, SET_COOKIE, &format!("{name}={id}; Path=/; HttpOnly; SameSite=Lax"));
}

/// A sign-up, as it is sent.
#[derive(Deserialize)]
struct SignUp<'a> {
    #[serde(borrow)]
    name: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    email: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    password: std::borrow::Cow<'a, str>,
}

/// What is to go into the cart, as it is sent.
#[derive(Deserialize)]
struct Wanted {
    product: u32,
    #[serde(default = "one")]
    quantity: u32,
}

#[derive(Serialize)]
struct Cart<'a> {
    items: Vec<CartItem<'a>>,
    total_cents: u64,
}

#[derive(Serialize)]
struct CartItem<'a> {
    product: u32,
    name: &'a str,
    quantity: u32,
    price_cents: u64,
}

fn one() -> u32 {
    1
}

const CUSTOMER: &str = "customer";
const SESSION: &str = "sid";
