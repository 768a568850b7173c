//! Secrets never reach the disk: they are replaced by keyed pseudonyms when an exchange is captured.
//!
//! What is replaced, in requests and answers alike (`FORMAT.md` has the whole list):
//! credentials in `Authorization` (the scheme stays), every cookie value (names and attributes stay), headers,
//! JSON fields, form fields, query parameters and multipart fields whose name says that they are secret, passwords in
//! URLs, values that look like well-known tokens, card numbers, e-mail addresses, what a [`Policy`] names, and whatever
//! equals a secret met before.
//!
//! A pseudonym is the same wherever the same secret stands, so a capture still shows what belongs together;
//! it is recognised and left alone when met again. A body that cannot be looked into is withheld.

mod bodies;
mod cards;
mod echo;
mod emails;
mod forms;
mod grpc;
mod headers;
mod html;
mod json;
mod jwt;
mod kinds;
mod names;
mod policy;
mod pseudonym;
mod secrets;
mod shapes;
mod streams;
mod text;
mod tokens;
mod urls;

use crate::{Exchange, Headers};
pub(crate) use bodies::{decode_all, decode_to};
pub(crate) use forms::{find, form_decode, percent_decode, percent_encode};
pub use policy::{Policy, PolicyError};
use pseudonym::Key;
pub(crate) use pseudonym::{is_text_pseudonym, resealed};
use secrets::{Known, Secrets};

/// Replaces secrets by pseudonyms under one key. Remembers a bounded number of secrets, as hashes, to find them again
/// where no name gives them away.
pub struct Redactor {
    key: Key,
    known: Known,
    policy: Policy,
}

impl Redactor {
    /// A redactor with that key, which must be random and is never written anywhere.
    pub fn new(key: [u8; 32]) -> Redactor {
        Redactor::with(key, Policy::default())
    }

    /// The same under a policy of the user's.
    pub fn with(key: [u8; 32], policy: Policy) -> Redactor {
        Redactor { key: Key::new(key), known: Known::default(), policy }
    }

    /// A short hash of the key, for the file header: captures with the same one share pseudonyms.
    pub fn key_id(&self) -> String {
        self.key.id()
    }

    /// Replaces every secret of the exchange. What is redacted already stays as it is.
    pub fn exchange(&mut self, exchange: &mut Exchange) {
        let mut secrets = Secrets::new(&self.key, &self.known, &self.policy);
        let request = &mut exchange.request;
        urls::rewrite_authority(&mut request.authority, &mut secrets);
        urls::rewrite_target(&mut request.target, &mut secrets);
        headers::rewrite(&mut request.headers, &mut secrets);
        let request_done = bodies::rewrite(&mut request.body, &mut request.headers, &mut secrets);
        let response_done = exchange.response.as_mut().is_none_or(|response| {
            headers::rewrite(&mut response.headers, &mut secrets);
            bodies::rewrite(&mut response.body, &mut response.headers, &mut secrets)
        });
        let stream_done = exchange
            .stream
            .as_mut()
            .is_none_or(|stream| streams::rewrite(stream, &request.headers, &mut secrets));
        let mut done = request_done && response_done && stream_done;
        let found = secrets.into_found();
        if !found.is_empty() {
            self.known.remember(&found, &self.key);
            done &= self.echoes(exchange, &found);
        }
        if !done {
            exchange.notes.insert(crate::notes::Notes::BODY_WITHHELD);
        }
    }

    /// Whether a name of a field may be written as it is: it is none of the secrets met before, and nothing in it looks like one.
    pub(crate) fn is_clean(&self, name: &str) -> bool {
        let mut secrets = Secrets::new(&self.key, &self.known, &self.policy);
        let name = name.as_bytes();
        secrets.hide_if_known(name).is_none() && shapes::rewrite(name, &mut secrets).is_none()
    }

    /// The secrets of an exchange may stand in its other parts too, verbatim or encoded; `false` when something was
    /// withheld for it.
    fn echoes(&self, exchange: &mut Exchange, found: &[Vec<u8>]) -> bool {
        let echo = echo::Echo::new(found, &self.known, &self.key);
        let request = &mut exchange.request;
        echo.in_query(&mut request.target);
        echo_headers(&echo, &mut request.headers);
        let mut done = bodies::echo(&mut request.body, &mut request.headers, &echo);
        if let Some(stream) = &mut exchange.stream {
            done &= streams::echo(stream, &request.headers, &echo);
        }
        if let Some(response) = &mut exchange.response {
            echo_headers(&echo, &mut response.headers);
            done &= bodies::echo(&mut response.body, &mut response.headers, &echo);
        }
        done
    }
}

/// Whether the whole value stands for a secret, text or number, under any key.
pub fn is_pseudonym(value: &[u8]) -> bool {
    is_text_pseudonym(value) || pseudonym::is_number_pseudonym(value)
}

fn echo_headers(echo: &echo::Echo, headers: &mut Headers) {
    headers.rewrite(|name, value| match names::is_structural(name) {
        true => None,
        false => echo.replace(value),
    });
}

/// The name of this policy in the file header.
pub const POLICY: &str = "pseudonyms-2";

#[cfg(test)]
mod tests;
