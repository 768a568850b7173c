//! Secrets in JSON. Works on the bytes and keeps everything else as it stands: order, spaces, escapes, also in a
//! document that was cut short.

use super::secrets::Secrets;
use super::{shapes, text, urls};

/// Rewrites a JSON document, or several one after the other; `None` when nothing is to be hidden.
pub(super) fn rewrite(document: &[u8], secrets: &mut Secrets<'_>) -> Option<Vec<u8>> {
    let mut walk = Walk { document, out: Vec::new(), done: 0, stack: Vec::new(), secrets };
    walk.run();
    if walk.done == 0 {
        return None;
    }
    let rest = &document[walk.done..];
    walk.out.extend_from_slice(rest);
    Some(walk.out)
}

/// Rewrites a text if it is a JSON document; `None` also when it is none.
pub(super) fn rewrite_embedded(text: &[u8], secrets: &mut Secrets<'_>) -> Option<Vec<u8>> {
    looks_like_json(text).then(|| rewrite(text, secrets)).flatten()
}

/// Whether a text begins as a JSON object or array does.
pub(super) fn looks_like_json(text: &[u8]) -> bool {
    matches!(text.trim_ascii_start().first(), Some(b'{' | b'['))
}

/// Whether a text begins as only JSON does: objects with keys in quotes, arrays, values.
pub(super) fn begins_strictly(text: &[u8]) -> bool {
    match text.trim_ascii_start() {
        [b'{', rest @ ..] => matches!(rest.trim_ascii_start().first(), None | Some(b'"' | b'}')),
        [first, ..] => {
            matches!(first, b'[' | b'"' | b'-' | b'0'..=b'9')
                || [&b"null"[..], b"true", b"false"].contains(&text.trim_ascii())
        }
        [] => true,
    }
}

struct Walk<'a, 'b, 'c> {
    document: &'a [u8],
    out: Vec<u8>,
    /// Up to where the document was copied; 0 when nothing was changed yet.
    done: usize,
    stack: Vec<Level>,
    secrets: &'b mut Secrets<'c>,
}

/// An open object or array.
struct Level {
    object: bool,
    /// Everything in it is secret.
    secret: bool,
    /// The next string is a key.
    key_next: bool,
    /// The last key, where paths of the user's want to know it.
    key: Vec<u8>,
    /// The last key says that its value is secret.
    key_secret: bool,
    /// The last key is one of those that name another field: `{"name": "password", "value": …}`.
    key_names: bool,
    /// Such a name was met and is secret.
    named_secret: bool,
}

impl Walk<'_, '_, '_> {
    fn run(&mut self) {
        let mut at = 0;
        while let Some(byte) = self.document.get(at) {
            match byte {
                b'{' | b'[' => self.open(*byte == b'{'),
                b'}' | b']' => {
                    self.stack.pop();
                }
                b',' => self.next_item(),
                b'"' => {
                    at = self.string(at + 1);
                    continue;
                }
                b'-' | b'0'..=b'9' | b'a'..=b'z' => {
                    at = self.bare(at);
                    continue;
                }
                _ => {}
            }
            at += 1;
        }
    }

    fn open(&mut self, object: bool) {
        let secret = self.is_secret();
        self.stack.push(Level {
            object,
            secret,
            key_next: object,
            key: Vec::new(),
            key_secret: false,
            key_names: false,
            named_secret: false,
        });
    }

    /// A path of the user's may lead to this key.
    fn follow_paths(&mut self, name: &[u8]) {
        let policy = self.secrets.policy();
        if policy.paths.is_empty() {
            return;
        }
        if let Some(level) = self.stack.last_mut() {
            level.key = name.to_vec();
        }
        let keys = || self.stack.iter().filter(|level| level.object).map(|level| &level.key[..]);
        if policy.paths.iter().any(|path| path.leads_along(keys()))
            && let Some(level) = self.stack.last_mut()
        {
            level.key_secret = true;
        }
    }

    fn next_item(&mut self) {
        if let Some(level) = self.stack.last_mut() {
            level.key_next = level.object;
        }
    }

    fn is_secret(&self) -> bool {
        self.stack.last().is_some_and(|level| level.secret || level.object && level.key_secret)
    }

    /// A string whose content begins at `start`; returns where to go on.
    fn string(&mut self, start: usize) -> usize {
        let end = string_end(self.document, start);
        let content = &self.document[start..end];
        let plain = unescape(content);
        match self.stack.last_mut() {
            Some(level) if level.key_next => {
                level.key(&plain, self.secrets);
                self.follow_paths(&plain);
                if let Some(new) = shapes::name(&plain, self.secrets) {
                    self.replace(start..end, &escape(&new));
                }
            }
            _ => {
                if let Some(new) = self.value(&plain) {
                    self.replace(start..end, &new);
                }
                if let Some(level) = self.stack.last_mut() {
                    level.named_secret |= level.key_names && self.secrets.is_secret_field(&plain);
                }
            }
        }
        end + 1
    }

    /// What stands in place of a string value, escaped.
    fn value(&mut self, plain: &[u8]) -> Option<Vec<u8>> {
        if self.is_secret() {
            return self.secrets.hide(plain).map(String::into_bytes);
        }
        if let Some(pseudonym) = self.secrets.hide_if_known(plain) {
            return Some(pseudonym.into_bytes());
        }
        if plain.len() < SHORTEST_DOCUMENT {
            return None;
        }
        let new = self.secrets.nested(|secrets| rewrite_embedded(plain, secrets));
        let urls = urls::rewrite_bytes(new.as_deref().unwrap_or(plain), self.secrets).or(new);
        let named = text::rewrite(urls.as_deref().unwrap_or(plain), self.secrets).or(urls);
        let all = shapes::rewrite(named.as_deref().unwrap_or(plain), self.secrets).or(named)?;
        Some(escape(&all))
    }

    /// A number or a word; returns where to go on.
    fn bare(&mut self, start: usize) -> usize {
        let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.' | b'_');
        let rest = &self.document[start..];
        let end = start + rest.iter().position(|byte| !is_part(byte)).unwrap_or(rest.len());
        if self.is_secret() {
            let new = match &self.document[start..end] {
                b"null" | b"false" => None,
                b"true" => Some("false".to_owned()),
                number => self.secrets.hide_number(number),
            };
            if let Some(new) = new {
                self.replace(start..end, new.as_bytes());
            }
        } else if shapes::is_card(&self.document[start..end], self.secrets)
            && let Some(new) = self.secrets.pseudonym(&self.document[start..end])
        {
            self.replace(start..end, new.as_bytes());
        }
        end
    }

    fn replace(&mut self, place: std::ops::Range<usize>, new: &[u8]) {
        self.out.extend_from_slice(&self.document[self.done..place.start]);
        self.out.extend_from_slice(new);
        self.done = place.end;
    }
}

impl Level {
    fn key(&mut self, name: &[u8], secrets: &Secrets<'_>) {
        let is = |words: &[&str]| words.iter().any(|word| name.eq_ignore_ascii_case(word.as_bytes()));
        self.key_next = false;
        self.key_names = is(&["name", "key", "field"]);
        self.key_secret =
            secrets.is_secret_field(name) || self.named_secret && is(&["value", "val", "values"]);
    }
}

/// Where the closing quote stands, or the document ends.
fn string_end(document: &[u8], start: usize) -> usize {
    let mut at = start;
    while let Some(byte) = document.get(at) {
        match byte {
            b'"' => return at,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    document.len()
}

/// Undoes the escapes of a JSON string; what is not well escaped stays.
fn unescape(content: &[u8]) -> Vec<u8> {
    if !content.contains(&b'\\') {
        return content.to_vec();
    }
    let quoted = [b"\"", content, b"\""].concat();
    match serde_json::from_slice::<String>(&quoted) {
        Ok(plain) => plain.into_bytes(),
        Err(_) => content.to_vec(),
    }
}

/// A text as the content of a JSON string.
pub(super) fn escape(plain: &[u8]) -> Vec<u8> {
    let quoted = serde_json::to_vec(&String::from_utf8_lossy(plain)).unwrap_or_default();
    quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default().to_vec()
}

/// Shorter strings hold no document, URL or assignment.
const SHORTEST_DOCUMENT: usize = 5;
