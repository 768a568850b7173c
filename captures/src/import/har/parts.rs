//! URLs, header lists and bodies of an archive.

use base64::Engine;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use serde_json::Value;
use xxhash_rust::xxh3::xxh3_64;

use crate::import::encode_target;
use crate::notes::Notes;
use crate::{Body, Headers};

/// The parts of a URL that a request is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Url {
    pub(crate) scheme: String,
    pub(crate) authority: String,
    pub(crate) target: String,
    /// A WebSocket, if the scheme says so.
    pub(crate) notes: Notes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadUrl {
    /// `data:`, `blob:`, `chrome-extension:` and so on.
    Other,
    Broken,
}

/// Splits a URL without rewriting it; credentials and fragment go.
pub(crate) fn split_url(url: &str) -> Result<Url, BadUrl> {
    let url = url.trim();
    let (scheme, rest) = url.split_once(':').ok_or(BadUrl::Broken)?;
    let (scheme, notes) = match scheme.to_ascii_lowercase().as_str() {
        "http" => ("http", Notes::NONE),
        "https" => ("https", Notes::NONE),
        "ws" => ("http", Notes::WEBSOCKET.with(Notes::UPGRADED)),
        "wss" => ("https", Notes::WEBSOCKET.with(Notes::UPGRADED)),
        other
            if other.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
                && !other.is_empty() =>
        {
            return Err(BadUrl::Other);
        }
        _ => return Err(BadUrl::Broken),
    };
    let rest = rest.strip_prefix("//").ok_or(BadUrl::Broken)?;
    let rest = rest.split('#').next().unwrap_or_default();
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let authority = authority.rsplit('@').next().unwrap_or_default();
    if authority.is_empty()
        || authority.bytes().any(|byte| byte.is_ascii_whitespace() || byte.is_ascii_control())
    {
        return Err(BadUrl::Broken);
    }
    let slash = if path.starts_with('/') { "" } else { "/" };
    let target = encode_target(format!("{slash}{path}").as_bytes());
    Ok(Url { scheme: scheme.to_owned(), authority: authority.to_owned(), target, notes })
}

/// A list of `{"name", "value"}`; what is no header is passed over.
pub(super) fn headers(list: Option<&Value>) -> Headers {
    let mut headers = Headers::new();
    for field in list.and_then(Value::as_array).into_iter().flatten() {
        let Some(name) = field.get("name").and_then(Value::as_str) else { continue };
        // pseudo-fields of HTTP/2 are no headers
        if name.is_empty() || name.starts_with(':') {
            continue;
        }
        let value = match field.get("value") {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Null) | None => String::new(),
            Some(other) => other.to_string(),
        };
        // Firefox and others join repeated fields by a line feed
        for line in value.split('\n') {
            headers.push(name, line.trim_matches(['\r', ' ', '\t']));
        }
    }
    headers
}

/// Some tools list the cookies that were sent and leave out the header that sent them.
pub(super) fn add_cookies(headers: &mut Headers, list: Option<&Value>) {
    if headers.get("cookie").is_some() {
        return;
    }
    let text = |cookie: &Value, key: &str| cookie.get(key).and_then(Value::as_str).map(str::to_owned);
    let pair = |cookie: &Value| Some(format!("{}={}", text(cookie, "name")?, text(cookie, "value")?));
    let pairs: Vec<String> = list.and_then(Value::as_array).into_iter().flatten().filter_map(pair).collect();
    if !pairs.is_empty() {
        headers.push("Cookie", pairs.join("; "));
    }
}

/// A number, also where a tool wrote it as text.
pub(super) fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
    .filter(|number| number.is_finite())
}

/// `postData`: its text, or what its parameters say.
pub(super) fn request_body(request: &Value) -> Body {
    let declared = size(request.get("bodySize"));
    let Some(post) = request.get("postData").filter(|post| post.is_object()) else {
        return Body::digest(declared.unwrap_or(0), None);
    };
    let text = post.get("text").and_then(Value::as_str).unwrap_or_default();
    if !text.is_empty() {
        let encoding =
            ["encoding", "_encoding"].iter().find_map(|key| post.get(*key)).and_then(Value::as_str);
        return Body::whole(decoded(text, encoding));
    }
    let mime = post.get("mimeType").and_then(Value::as_str).unwrap_or_default();
    match post.get("params").and_then(Value::as_array) {
        Some(params) if !params.is_empty() => Body::whole(from_params(params, mime)),
        _ => Body::digest(declared.unwrap_or(0), None),
    }
}

/// What a form sent, rebuilt from its parameters; the content of files is not in an archive.
fn from_params(params: &[Value], mime: &str) -> Vec<u8> {
    let text =
        |param: &Value, key: &str| param.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    if !mime.to_ascii_lowercase().starts_with("multipart/") {
        let part = |param: &Value, key: &str| as_sent(text(param, key));
        let pairs: Vec<String> =
            params.iter().map(|param| format!("{}={}", part(param, "name"), part(param, "value"))).collect();
        return pairs.join("&").into_bytes();
    }
    let boundary = mime.split("boundary=").nth(1).unwrap_or("squall").trim_matches('"').to_owned();
    let mut out = String::new();
    for param in params {
        let file = match text(param, "fileName").as_str() {
            "" => String::new(),
            name => format!("; filename=\"{name}\""),
        };
        let (name, value) = (text(param, "name"), text(param, "value"));
        let head = format!("Content-Disposition: form-data; name=\"{name}\"{file}");
        out.push_str(&format!("--{boundary}\r\n{head}\r\n\r\n{value}\r\n"));
    }
    out.push_str(&format!("--{boundary}--\r\n"));
    out.into_bytes()
}

/// A name or value of a form as it was sent: most tools keep it so, encoded; what cannot have been sent they decoded.
fn as_sent(text: String) -> String {
    let fits = |byte: u8| byte.is_ascii_graphic() && !b"&#\"<>".contains(&byte);
    match text.bytes().all(fits) {
        true => text,
        false => String::from_utf8_lossy(&crate::redact::percent_encode(text.as_bytes())).into_owned(),
    }
}

/// The bytes of `content`, as they stand there.
pub(super) fn content(response: &Value) -> Body {
    let content = response.get("content").unwrap_or(&Value::Null);
    let text = content.get("text").and_then(Value::as_str).unwrap_or_default();
    Body::whole(decoded(text, content.get("encoding").and_then(Value::as_str)))
}

/// `content`: how long the body is, its hash where that is certain, and its bytes where they are wanted.
///
/// An archive holds the body after content decoding, `bodySize` is what was transferred. Without a content coding
/// both are the same; with one, length is the transferred one and no hash can be known.
pub(super) fn response_body(response: &Value, headers: &mut Headers, keep: bool) -> Body {
    let content = response.get("content").unwrap_or(&Value::Null);
    let text = content.get("text").and_then(Value::as_str).unwrap_or_default();
    let data = decoded(text, content.get("encoding").and_then(Value::as_str));
    let transferred = size(response.get("bodySize")).filter(|n| *n != 0);
    let unpacked = size(content.get("size")).or_else(|| (!data.is_empty()).then_some(data.len() as u64));
    let coding = headers.get_str("content-encoding").unwrap_or_default().trim();
    let coded = !coding.is_empty() && !coding.eq_ignore_ascii_case("identity");
    if keep && !data.is_empty() {
        let body = Body::whole(data);
        headers.retain(|name, _| !(coded && name.eq_ignore_ascii_case("content-encoding")));
        let len = body.len.to_string().into_bytes();
        headers.rewrite(|name, _| name.eq_ignore_ascii_case("content-length").then(|| len.clone()));
        return body;
    }
    if coded {
        return Body::digest(transferred.or(unpacked).unwrap_or(0), None);
    }
    let len = unpacked.or(transferred).unwrap_or(0);
    let whole = !data.is_empty() && data.len() as u64 == len;
    Body::digest(len, whole.then(|| xxh3_64(&data)))
}

fn size(value: Option<&Value>) -> Option<u64> {
    value.and_then(number).filter(|n| (0.0..1e15).contains(n)).map(|n| n as u64)
}

/// Base64 where the archive says so and it is; the text itself otherwise.
fn decoded(text: &str, encoding: Option<&str>) -> Vec<u8> {
    match encoding {
        Some(encoding) if encoding.eq_ignore_ascii_case("base64") => {
            let packed: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
            LENIENT.decode(&packed).unwrap_or_else(|_| text.as_bytes().to_vec())
        }
        _ => text.as_bytes().to_vec(),
    }
}

/// Padding is often left out.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
