//! Values in HTML that scripts and forms send back: form fields, `meta` elements, `data-` attributes, and what the addresses
//! of links and forms hold. No parser of documents: tags are looked at one by one, which is all that it takes.

use std::borrow::Cow;

use super::answer::{address_parts, is_whole, path_and_query};
use super::place::{LeafKind, Within};
use crate::route;

/// Told of each value and its place.
type Found<'a> = dyn FnMut(LeafKind, &[u8]) + 'a;

/// Names each value in the order in which they stand in the page, those in addresses last: a page may be full of links.
pub(super) fn values(page: &str, found: &mut Found<'_>) {
    let mut addresses = Vec::new();
    let mut rest = page;
    while let Some(at) = rest.find('<') {
        rest = &rest[at + 1..];
        if let Some(comment) = rest.strip_prefix("!--") {
            rest = comment.find("-->").map_or("", |end| &comment[end..]);
            continue;
        }
        let name_len = rest.bytes().take_while(u8::is_ascii_alphanumeric).count();
        let (name, attributes) = rest.split_at(name_len);
        if name.is_empty() {
            continue;
        }
        let mut tag = Tag::default();
        rest = tag.read(attributes, found);
        addresses.extend(tag.address(name).filter(|_| addresses.len() < MAX_ADDRESSES));
        tag.tell(name, found);
        if ["script", "style"].iter().any(|raw| name.eq_ignore_ascii_case(raw)) {
            rest = rest.find("</").map_or("", |end| &rest[end..]);
        }
    }
    addresses.iter().for_each(|address| in_address(&decoded(address), found));
}

/// What an address of a page holds. One that is relative is taken for one from the root: no page says where it lies.
fn in_address(address: &str, found: &mut Found<'_>) {
    let address = address.trim();
    let is_whole = is_whole(address);
    let name = address.split(['/', '?', '#']).next().unwrap_or_default();
    if !is_whole && (name.is_empty() || name.contains(':')) {
        return; // a place in the page, or of another scheme
    }
    let mut whole = Cow::Borrowed(address);
    if !is_whole {
        let mut below = address;
        while let Some(rest) = below.strip_prefix("./").or_else(|| below.strip_prefix("../")) {
            below = rest;
        }
        whole = format!("/{below}").into();
    }
    let mut route = None;
    address_parts(&whole, &mut |part, value| {
        let route = route.get_or_insert_with(|| match path_and_query(&whole).0 {
            "" => "/".to_owned(),
            path => route::template(path).into_owned(),
        });
        found(part.within(Within::Page(route.clone())), value);
    });
}

/// The attributes of a tag that matter.
#[derive(Default)]
struct Tag<'t> {
    name: Option<&'t str>,
    property: Option<&'t str>,
    value: Option<&'t str>,
    content: Option<&'t str>,
    href: Option<&'t str>,
    action: Option<&'t str>,
}

impl<'t> Tag<'t> {
    /// Reads up to the end of the tag and returns what follows.
    fn read(&mut self, text: &'t str, found: &mut Found<'_>) -> &'t str {
        let mut rest = text;
        loop {
            rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '/');
            let end = rest.find(|c: char| c.is_ascii_whitespace() || matches!(c, '=' | '>' | '/'));
            let Some(end) = end else { return "" };
            let (name, after) = rest.split_at(end);
            if name.is_empty() && after.starts_with('>') {
                return &after[1..];
            }
            let Some(assigned) = after.trim_start().strip_prefix('=') else {
                rest = after;
                continue;
            };
            let value;
            (value, rest) = take_value(assigned.trim_start());
            self.note(name, value, found);
        }
    }

    fn note(&mut self, name: &str, value: &'t str, found: &mut Found<'_>) {
        let lower = name.to_ascii_lowercase();
        match lower.as_str() {
            "name" => self.name = Some(value),
            "property" => self.property = Some(value),
            "value" => self.value = Some(value),
            "content" => self.content = Some(value),
            "href" => self.href = Some(value),
            "action" | "formaction" | "hx-get" | "hx-post" | "hx-put" | "hx-patch" | "hx-delete" => {
                self.action = Some(value);
            }
            _ => {
                if let Some(data) = lower.strip_prefix("data-").filter(|data| !data.is_empty()) {
                    found(LeafKind::Data(data.to_owned()), decoded(value).as_bytes());
                }
            }
        }
    }

    /// Where a click or the form goes. What the page loads by itself, styles say, is no matter of a session.
    fn address(&self, tag: &str) -> Option<&'t str> {
        let is_link = ["a", "area"].iter().any(|known| tag.eq_ignore_ascii_case(known));
        self.action.or(self.href.filter(|_| is_link))
    }

    fn tell(self, tag: &str, found: &mut Found<'_>) {
        let is = |known: &str| tag.eq_ignore_ascii_case(known);
        let Tag { name, property, value, content, .. } = self;
        match (name.or(property), value, content) {
            (Some(name), Some(value), _) if is("input") || is("button") || is("option") => {
                found(LeafKind::Field(decoded(name).into_owned()), decoded(value).as_bytes());
            }
            (Some(name), _, Some(content)) if is("meta") => {
                found(LeafKind::Meta(decoded(name).into_owned()), decoded(content).as_bytes());
            }
            _ => {}
        }
    }
}

/// A value, in quotes or bare, and what follows it.
fn take_value(text: &str) -> (&str, &str) {
    for quote in ['"', '\''] {
        if let Some(inner) = text.strip_prefix(quote) {
            return inner.split_once(quote).unwrap_or((inner, ""));
        }
    }
    let end = text.find(|c: char| c.is_ascii_whitespace() || c == '>').unwrap_or(text.len());
    text.split_at(end)
}

/// Character references undone: those that escaping functions write.
pub(crate) fn decoded(value: &str) -> Cow<'_, str> {
    if !value.contains('&') {
        return Cow::Borrowed(value);
    }
    let mut out = String::with_capacity(value.len());
    let mut rest = value;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let reference = rest.split_once(';').filter(|(name, _)| name.len() <= LONGEST_REFERENCE);
        match reference.and_then(|(name, after)| Some((character(name)?, after))) {
            Some((character, after)) => {
                out.push(character);
                rest = after;
            }
            None => out.push('&'),
        }
    }
    out.push_str(rest);
    Cow::Owned(out)
}

fn character(name: &str) -> Option<char> {
    let number = |digits: &str, radix| u32::from_str_radix(digits, radix).ok().and_then(char::from_u32);
    match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => {
            let digits = name.strip_prefix('#')?;
            match digits.strip_prefix(['x', 'X']) {
                Some(hex) => number(hex, 16),
                None => number(digits, 10),
            }
        }
    }
}

/// Addresses of a page that are looked at.
const MAX_ADDRESSES: usize = 512;
/// `&#x10FFFF;` without the ampersand and the semicolon.
const LONGEST_REFERENCE: usize = 9;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::links::Leaf;

    fn all(page: &str) -> Vec<String> {
        let mut all = Vec::new();
        values(page, &mut |kind, value| {
            all.push(format!("{}={}", Leaf::new(kind), String::from_utf8_lossy(value)));
        });
        all
    }

    #[test]
    fn fields_metas_and_data_are_found() {
        let page = r#"<!doctype html><meta charset=utf-8><META name="csrf-token" content='a&amp;b'>
            <!-- <input name="no" value="1"> --><script>var x = '<input name="no" value="2">';</script>
            <form action="/pay"><input type=hidden name=csrf value=t0k&#x65;n><input value="9" name="n" disabled/>
            <input name="empty"><button name="go" value="1">x</button></form>
            <tr data-order-id="77" DATA-X='&unknown; &'>"#;
        assert_eq!(
            all(page),
            [
                "html-meta:csrf-token=a&b",
                "html-field:csrf=t0ken",
                "html-field:n=9",
                "html-field:go=1",
                "html-data:order-id=77",
                "html-data:x=&unknown; &"
            ]
        );
    }

    #[test]
    fn addresses_of_links_and_forms_are_looked_into() {
        let page = r##"<link href="/style/0123456789abcdef.css"><a href="/orders/77?tab=a&amp;sig=b%2Fc#top">x</a>
            <form method=post action="/orders/78/pay"><button formaction=../carts/79>y</button><input name=csrf value=t>
            </form><a href="https://shop.test/r/80">z</a><a href="//cdn.test/r/81"><a href="?page=2"><a href="./82/edit">
            <a href="#x/83"><a href="mailto:a/84"><a href="javascript:go(85)"><a href="/plain/words"><a href=86>
            <b hx-delete="/items/87">"##;
        assert_eq!(
            all(page),
            [
                "html-field:csrf=t",
                "html-path:2 /orders/{id}=77",
                "html-query:tab /orders/{id}=a",
                "html-query:sig /orders/{id}=b/c",
                "html-path:2 /orders/{id}/pay=78",
                "html-path:2 /carts/{id}=79",
                "html-path:2 /r/{id}=80",
                "html-path:2 /r/{id}=81",
                "html-query:page /=2",
                "html-path:1 /{id}/edit=82",
                "html-path:1 /{id}=86",
                "html-path:2 /items/{id}=87",
            ]
        );
    }

    #[test]
    fn broken_pages_are_no_trouble() {
        for page in [
            "<",
            "<input",
            "<input name",
            "<input name=",
            "<input name=\"x",
            "<!--",
            "<script",
            "<a b=c",
            "<a href=",
            "<a href=..",
            "<a href=../",
        ] {
            all(page);
        }
        assert_eq!(all("<input name=a value=b"), ["html-field:a=b"]);
    }

    proptest! {
        #[test]
        fn any_text_is_looked_through(page: String) {
            all(&page);
            all(&format!("<input {page}"));
            all(&format!("<a href=\"{page}\">"));
        }
    }
}
