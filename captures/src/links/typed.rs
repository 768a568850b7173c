//! What a user typed, and a capture therefore cannot know: passwords, of which it holds pseudonyms only.

use super::path::Part;
use super::place::Slot;
use super::request::carried;
use crate::exchange::Request;
use crate::redact::is_pseudonym;

/// A password in a request, as the capture holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Typed {
    /// Where it stands.
    pub slot: Slot,
    /// Its pseudonym.
    pub pseudonym: Vec<u8>,
    /// Whether the request makes an account with it, rather than asking for entry.
    pub is_sign_up: bool,
}

/// The password that a request sends, if the capture holds a pseudonym for it.
pub fn typed_password(request: &Request) -> Option<Typed> {
    if request.body.len == 0 || request.method != "POST" && request.method != "PUT" {
        return None;
    }
    let found = carried(request).into_iter().find(|carried| {
        let name = match &carried.slot {
            Slot::Form(name) => name.as_str(),
            Slot::Json(path) => match path.0.last() {
                Some(Part::Key(name)) => name.as_str(),
                _ => return false,
            },
            _ => return false,
        };
        is_password(name) && is_pseudonym(&carried.value)
    })?;
    let path = request.path().to_ascii_lowercase();
    let is_sign_up = SIGN_UPS.iter().any(|word| path.contains(word));
    Some(Typed { slot: found.slot, pseudonym: found.value, is_sign_up })
}

fn is_password(name: &str) -> bool {
    let plain: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
    let plain = plain.to_ascii_lowercase();
    PARTS.iter().any(|part| plain.contains(part)) || ["pass", "pin"].contains(&plain.as_str())
}

const PARTS: [&str; 8] =
    ["passw", "passphrase", "passcode", "pwd", "kennwort", "motdepasse", "contrasena", "userpass"];
/// Words in the paths of requests that make an account.
const SIGN_UPS: [&str; 8] =
    ["signup", "sign-up", "sign_up", "register", "registration", "/users", "/accounts", "/customers"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Body;

    #[test]
    fn pseudonyms_of_passwords_are_found() {
        let mut exchange = crate::Exchange::default();
        let check = |path: &str, body: &str, expect: Option<(&str, bool)>, exchange: &mut crate::Exchange| {
            exchange.request = Request {
                method: "POST".to_owned(),
                target: path.to_owned(),
                headers: [("content-type", "application/json")].into_iter().collect(),
                body: Body::whole(body.as_bytes().to_vec()),
                ..Request::default()
            };
            crate::Redactor::new([3; 32]).exchange(exchange);
            let found = typed_password(&exchange.request);
            let found = found.map(|typed| (typed.slot.to_string(), typed.is_sign_up));
            assert_eq!(found, expect.map(|(slot, sign_up)| (slot.to_owned(), sign_up)), "{path} {body}");
        };
        let login = r#"{"user":{"name":"ann","newPassword":"hunter2-secret"}}"#;
        check("/login", login, Some(("json:$.user.newPassword", false)), &mut exchange);
        check("/api/signup", login, Some(("json:$.user.newPassword", true)), &mut exchange);
        check("/login", r#"{"token":"hunter2-secret"}"#, None, &mut exchange);
        check("/login", "{}", None, &mut exchange);
    }
}
