//! The services that the shop calls, where it was told of any: payments at checkout, search for products.
//!
//! Plain HTTP over connections that are kept. The trace of the request that is served goes on (`traceparent`), and so
//! do the `squall-*` headers, so that whoever stands on the way can tell which request caused which call.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{CONTENT_TYPE, HeaderName};
use hyper::{HeaderMap, Method, Request, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::error::Refusal;
use super::limits;

/// Where the services are; `None`: the shop does their work itself.
#[derive(Debug, Clone, Default)]
pub(crate) struct Addresses {
    /// Takes `POST /charge`.
    pub(crate) payments: Option<Uri>,
    /// Takes `GET /search?q=`.
    pub(crate) search: Option<Uri>,
}

/// The services as one worker knows them; connections belong to the runtime that opened them.
pub(super) struct Neighbours {
    client: Client<HttpConnector, Full<Bytes>>,
    addresses: Addresses,
}

impl Neighbours {
    pub(super) fn new(addresses: &Addresses) -> Neighbours {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .build(connector);
        Neighbours { client, addresses: addresses.clone() }
    }

    /// Has the customer charged, once for each `idempotency-key` of the request; nothing where there are no payments.
    pub(super) async fn charge(&self, served: &HeaderMap, cents: u64) -> Result<(), Refusal> {
        let Some(payments) = &self.addresses.payments else { return Ok(()) };
        let mut request = Request::new(Full::new(Bytes::from(format!("{{\"amount_cents\":{cents}}}"))));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = below(payments, "/charge")?;
        request
            .headers_mut()
            .insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static("application/json"));
        if let Some(key) = served.get(IDEMPOTENCY_KEY) {
            request.headers_mut().insert(HeaderName::from_static(IDEMPOTENCY_KEY), key.clone());
        }
        self.call(served, request).await.map(drop)
    }

    /// What the search says to a query string as the client sent it; `None` where there is no search.
    pub(super) async fn find(&self, served: &HeaderMap, query: &str) -> Option<Result<Bytes, Refusal>> {
        let search = self.addresses.search.as_ref()?;
        let uri = match below(search, &format!("/search?{query}")) {
            Ok(uri) => uri,
            Err(why) => return Some(Err(why)),
        };
        let mut request = Request::new(Full::default());
        *request.uri_mut() = uri;
        Some(self.call(served, request).await)
    }

    async fn call(&self, served: &HeaderMap, mut request: Request<Full<Bytes>>) -> Result<Bytes, Refusal> {
        let goes_on =
            |name: &&HeaderName| name.as_str() == TRACEPARENT || name.as_str().starts_with("squall-");
        for name in served.keys().filter(goes_on) {
            if let Some(value) = served.get(name) {
                request.headers_mut().insert(name, value.clone());
            }
        }
        let exchange = async {
            let answer = self.client.request(request).await.map_err(|_| Refusal::NeighbourFailed)?;
            let is_good = answer.status().is_success();
            let body = Limited::new(answer.into_body(), limits::NEIGHBOUR_BYTES).collect().await;
            let body = body.map_err(|_| Refusal::NeighbourFailed)?.to_bytes();
            if is_good { Ok(body) } else { Err(Refusal::NeighbourFailed) }
        };
        let answered = tokio::time::timeout(limits::NEIGHBOUR_PATIENCE, exchange).await;
        answered.unwrap_or(Err(Refusal::NeighbourLate))
    }
}

/// `path` at a service.
fn below(service: &Uri, path: &str) -> Result<Uri, Refusal> {
    let authority = service.authority().map_or("", |authority| authority.as_str());
    let uri = Uri::builder().scheme("http").authority(authority).path_and_query(path);
    uri.build().map_err(|_| Refusal::BadQuery)
}

/// Reads the URL of a service: `http://HOST:PORT`, without a path.
///
/// # Errors
/// In words, what is wrong with it.
pub(crate) fn parse(text: &str) -> Result<Uri, String> {
    let uri: Uri = text.parse().map_err(|error| format!("{error}; write http://HOST:PORT"))?;
    let is_plain = uri.scheme_str() == Some("http") && uri.authority().is_some();
    if is_plain && uri.path() == "/" && uri.query().is_none() {
        Ok(uri)
    } else {
        Err("the shop calls plain HTTP at the root of a host: write http://HOST:PORT".to_owned())
    }
}

const TRACEPARENT: &str = "traceparent";
const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// Longer than sessions think, shorter than servers keep idle connections.
const IDLE: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_are_named_by_host_and_port() {
        for good in ["http://127.0.0.1:9100", "http://payments:80/"] {
            assert!(parse(good).is_ok(), "{good}");
        }
        for bad in ["127.0.0.1:9100", "https://payments", "http://payments/charge", "http://p/?q=1", "", "/"]
        {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
