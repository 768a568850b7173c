//! Where a request carries values that name something: a product, a cart, a user, a token.

use crate::{Exchange, route};

/// Shows every such value of a request to `visit`, with the key space that it is of:
/// `/products/{id}`, `?page`, `cookie:sid`, `header:x-api-key`, `json:cart_id`, `form:coupon`.
pub(super) fn visit(exchange: &Exchange, visit: &mut dyn FnMut(&str, &str)) {
    let request = &exchange.request;
    let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
    path_values(path, visit);
    pairs("?", query, '&', visit);
    for (name, value) in request.headers.iter() {
        let Ok(value) = std::str::from_utf8(value) else { continue };
        let name = name.to_ascii_lowercase();
        if name == "cookie" {
            pairs("cookie:", value, ';', visit);
        } else if ["if-match", "if-none-match"].contains(&name.as_str()) {
            if LONG <= value.len() && is_tag(value) {
                visit(&format!("header:{name}"), value);
            }
        } else if !is_about_the_client(&name) {
            let token = credentials(value);
            if LONG <= token.len() && is_identifier(token) {
                visit(&format!("header:{name}"), token);
            }
        }
    }
    if let Some(body) = request.body.data.as_ref().filter(|body| body.len() <= MAX_BODY) {
        body_values(exchange, body, visit);
    }
}

/// The segments of a path that are identifiers, and their key spaces.
pub(super) fn path_values(path: &str, visit: &mut dyn FnMut(&str, &str)) {
    let template = route::template(path);
    let mut space = String::new();
    for (place, (segment, known)) in path.split('/').zip(template.split('/')).enumerate() {
        if place != 0 {
            space.push('/');
        }
        space.push_str(known);
        if segment != known {
            visit(&space, segment);
        }
    }
}

fn pairs(prefix: &str, text: &str, separator: char, visit: &mut dyn FnMut(&str, &str)) {
    for pair in text.split(separator) {
        if let Some((name, value)) = pair.trim().split_once('=')
            && is_identifier(value)
        {
            visit(&format!("{prefix}{name}"), value);
        }
    }
}

fn body_values(exchange: &Exchange, body: &[u8], visit: &mut dyn FnMut(&str, &str)) {
    let kind = exchange.request.headers.get_str("content-type").unwrap_or_default();
    if kind.contains("json") {
        if let Ok(document) = serde_json::from_slice(body) {
            json_values("", &document, visit);
        }
    } else if kind.contains("x-www-form-urlencoded")
        && let Ok(text) = std::str::from_utf8(body)
    {
        pairs("form:", text, '&', visit);
    }
}

/// Leaves by the name they stand under. The depth is bounded by the reader of JSON.
fn json_values(name: &str, value: &serde_json::Value, visit: &mut dyn FnMut(&str, &str)) {
    match value {
        serde_json::Value::Object(fields) => {
            fields.iter().for_each(|(name, value)| json_values(name, value, visit));
        }
        serde_json::Value::Array(items) => items.iter().for_each(|item| json_values(name, item, visit)),
        serde_json::Value::String(text) if is_identifier(text) => visit(&format!("json:{name}"), text),
        serde_json::Value::Number(number) if number.is_u64() => {
            visit(&format!("json:{name}"), &number.to_string());
        }
        _ => {}
    }
}

/// `Bearer abc` is `abc`.
fn credentials(value: &str) -> &str {
    value.split_once(' ').filter(|(scheme, _)| scheme.len() <= LONGEST_SCHEME).map_or(value, |(_, rest)| rest)
}

/// The tag that an answer gave a version of a document, with its quotes: one, not a list.
fn is_tag(value: &str) -> bool {
    let quoted = value.strip_prefix("W/").unwrap_or(value);
    let tag = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    tag.is_some_and(is_identifier)
}

/// A number, a word with digits in it, or an address.
fn is_identifier(value: &str) -> bool {
    let digits = value.bytes().filter(u8::is_ascii_digit).count();
    let is_word = value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.~=%+/@".contains(&byte));
    let is_distinct = super::rewrite::DISTINCT <= value.len();
    let is_address = value.split_once('@').is_some_and(|(name, host)| !name.is_empty() && host.contains('.'));
    is_word
        && value.len() <= LONGEST
        && (digits != 0 && digits == value.len() || is_distinct && (digits != 0 || is_address))
}

/// Headers that say what the client is or wants, not who it is.
fn is_about_the_client(name: &str) -> bool {
    const NAMES: [&str; 14] = [
        "host",
        "user-agent",
        "referer",
        "origin",
        "content-length",
        "content-type",
        "date",
        "range",
        "dnt",
        "connection",
        "cache-control",
        "priority",
        "te",
        "upgrade-insecure-requests",
    ];
    const PREFIXES: [&str; 4] = ["accept", "if-", "sec-", "content-"];
    NAMES.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

const LONG: usize = 8;
const LONGEST: usize = 4096;
const LONGEST_SCHEME: usize = 16;
/// Larger documents are uploads, and reading them for identifiers takes long.
const MAX_BODY: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::Request;
    use crate::{Body, Headers};

    #[test]
    fn values_and_their_key_spaces() {
        let headers: Headers = [
            ("Cookie", "sid=abc123; theme=dark"),
            ("Authorization", "Bearer squall_0123456789abcdef0"),
            ("User-Agent", "Mozilla/5.0"),
            ("If-Match", "W/\"5d41402a\""),
            ("If-None-Match", "\"5d41402a\", \"7c4f29407893\""),
            ("Content-Type", "application/json"),
        ]
        .into_iter()
        .collect();
        let request = Request {
            target: "/users/7/carts/550e8400-e29b-41d4-a716-446655440000/x?page=2&q=red".to_owned(),
            headers,
            body: Body::whole(
                r#"{"cart":{"id":71},"lines":[{"product_id":"sku-0042"}],"note":"two words 2","mail":"ada@example.test"}"#,
            ),
            ..Request::default()
        };
        let mut found = Vec::new();
        visit(&Exchange { request, ..Exchange::default() }, &mut |space, value| {
            found.push(format!("{space} {value}"));
        });
        assert_eq!(
            found,
            [
                "/users/{id} 7",
                "/users/{id}/carts/{id} 550e8400-e29b-41d4-a716-446655440000",
                "?page 2",
                "cookie:sid abc123",
                "header:authorization squall_0123456789abcdef0",
                "header:if-match W/\"5d41402a\"",
                "json:id 71",
                "json:product_id sku-0042",
                "json:mail ada@example.test",
            ]
        );
    }
}
