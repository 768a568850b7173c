//! The two small services behind the shop, for tests and demonstrations of a chain: payments and search.

use hyper::body::Incoming;
use hyper::{Request, StatusCode};
use serde::Deserialize;

use super::answers::{self, Answer};
use super::error::Refusal;
use super::routes::Route;
use super::{Shop, request};

/// What `squall shop` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum Role {
    /// The shop itself.
    #[default]
    Shop,
    /// Takes money: POST /charge.
    Payments,
    /// Finds products: GET /search?q=.
    Search,
}

/// Answers a request to `route`, one of this service's own.
pub(super) async fn answer(shop: &Shop, route: Route, req: Request<Incoming>) -> Answer {
    let path = req.uri().path().to_owned();
    tokio::time::sleep(shop.delay).await;
    let answered = if route == Route::Charge { charge(req).await } else { search(shop, &req) };
    answered.unwrap_or_else(|why| answers::refusal(why, &path))
}

/// Keeps no account of it: charging twice is what `idempotency-key` is for, and this purse has no bottom.
async fn charge(req: Request<Incoming>) -> Result<Answer, Refusal> {
    let body = request::body(req.into_body()).await?;
    let charge: Charge = serde_json::from_slice(&body).map_err(|_| Refusal::BadJson)?;
    Ok(answers::json(StatusCode::OK, format!("{{\"charged_cents\":{}}}", charge.amount_cents)))
}

fn search(shop: &Shop, req: &Request<Incoming>) -> Result<Answer, Refusal> {
    let query = req.uri().query().unwrap_or_default();
    let wanted = request::field(query.as_bytes(), "q").ok_or(Refusal::BadQuery)?;
    if !request::fits(&wanted) {
        return Err(Refusal::BadField);
    }
    Ok(answers::json(StatusCode::OK, shop.catalogue.matching(&wanted)))
}

#[derive(Deserialize)]
struct Charge {
    amount_cents: u64,
}
