//! Why the shop does not open, and why it refuses a request.

use std::io;
use std::net::SocketAddr;

use hyper::StatusCode;

use super::limits;

/// Why the shop could not be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The address cannot be listened on.
    #[error("cannot listen on {addr}: {source}")]
    Listen {
        /// What was asked for.
        addr: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// A worker did not come up.
    #[error("cannot start a worker: {0}")]
    Thread(io::Error),
}

/// Why a request got no good answer; its words are the `error` of the JSON body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("the body is not the JSON that this path takes")]
    BadJson,
    #[error("the body is not a form with a password")]
    BadForm,
    #[error("a field is empty or too long")]
    BadField,
    #[error("the query is not understood")]
    BadQuery,
    #[error("the idempotency-key is empty or too long")]
    BadKey,
    #[error("the body ended before it was complete")]
    BrokenBody,
    #[error("the body is too large")]
    TooLarge,
    #[error("log in first")]
    NoSession,
    #[error("wrong account or password")]
    WrongPassword,
    #[error("no such product")]
    NoSuchProduct,
    #[error("no such page")]
    NoSuchPage,
    #[error("this path does not take that method")]
    WrongMethod,
    #[error("the cart is full")]
    CartFull,
    #[error("the cart is empty")]
    CartEmpty,
    #[error("this account has as many orders as the shop keeps")]
    TooManyOrders,
    #[error("the shop is full")]
    ShopFull,
    #[error("something broke inside")]
    Broken,
    #[error("no connection to the database in time")]
    Busy,
    #[error("the reservation of the products has expired")]
    Expired,
    #[error("a service behind the shop failed")]
    NeighbourFailed,
    #[error("a service behind the shop did not answer in time")]
    NeighbourLate,
}

impl Refusal {
    /// The status that says it.
    pub(super) fn status(self) -> StatusCode {
        match self {
            Refusal::BadJson
            | Refusal::BadForm
            | Refusal::BadField
            | Refusal::BadQuery
            | Refusal::BadKey
            | Refusal::BrokenBody => StatusCode::BAD_REQUEST,
            Refusal::NoSession | Refusal::WrongPassword => StatusCode::UNAUTHORIZED,
            Refusal::NoSuchProduct | Refusal::NoSuchPage => StatusCode::NOT_FOUND,
            Refusal::WrongMethod => StatusCode::METHOD_NOT_ALLOWED,
            Refusal::CartFull | Refusal::CartEmpty | Refusal::TooManyOrders => StatusCode::CONFLICT,
            Refusal::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Refusal::ShopFull => StatusCode::INSUFFICIENT_STORAGE,
            Refusal::Broken | Refusal::Expired => StatusCode::INTERNAL_SERVER_ERROR,
            Refusal::Busy => StatusCode::GATEWAY_TIMEOUT,
            Refusal::NeighbourFailed => StatusCode::BAD_GATEWAY,
            Refusal::NeighbourLate => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// The body that says it.
    pub(super) fn json(self) -> String {
        match self {
            Refusal::TooLarge => format!("{{\"error\":\"{self}\",\"limit_bytes\":{}}}", limits::BODY_BYTES),
            _ => format!("{{\"error\":\"{self}\"}}"),
        }
    }
}
