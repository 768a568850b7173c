//! E-mail addresses, and what stands in their place: an address of the same form that reaches nobody.

use std::ops::Range;

use super::pseudonym::{Key, is_text_pseudonym};

/// Where the address stands whose `@` is at `at`; nothing before `from` belongs to it.
pub(super) fn around(text: &[u8], from: usize, at: usize) -> Option<Range<usize>> {
    let local = text[from..at].iter().rev().take_while(|byte| is_local(**byte)).count();
    let mut start = at - local.min(MAX_LOCAL);
    start +=
        text[start..at].iter().take_while(|byte| matches!(byte, b'.' | b'-' | b'+' | 0x80..=0xbf)).count();
    let domain = &text[at + 1..];
    let mut len = domain.iter().take_while(|byte| is_domain(**byte)).count().min(MAX_DOMAIN);
    len -= domain[..len].iter().rev().take_while(|byte| !byte.is_ascii_alphanumeric()).count();
    let is_address = start < at && is_domain_name(&domain[..len]) && !is_text_pseudonym(&text[start..at]);
    is_address.then(|| start..at + 1 + len)
}

/// An address of the same form: equal addresses give equal ones, and equal domains equal domains.
pub(super) fn pseudonym(address: &[u8], key: &Key) -> String {
    let at = address.iter().rposition(|byte| *byte == b'@').unwrap_or(0);
    let domain = address[at..].to_ascii_lowercase();
    format!("{}@{DOMAIN}{:08x}{TOP}", key.short(address), key.draw(&domain) as u32)
}

/// Whether all of a text is an address.
pub(super) fn is_address(text: &[u8]) -> bool {
    let at = text.iter().position(|byte| *byte == b'@');
    at.and_then(|at| around(text, 0, at)).is_some_and(|range| range == (0..text.len()))
}

/// Whether it is such an address, under any key.
pub(super) fn is_pseudonym(address: &[u8]) -> bool {
    let Some(at) = address.iter().position(|byte| *byte == b'@') else { return false };
    let (local, domain) = (&address[..at], &address[at + 1..]);
    is_text_pseudonym(local) && domain.starts_with(DOMAIN.as_bytes()) && domain.ends_with(TOP.as_bytes())
}

/// How long what follows the local part of such an address is, `@` included; 0 where something else follows.
pub(super) fn domain_len(text: &[u8]) -> usize {
    let domain = text.get(..DOMAIN_LEN).and_then(|domain| domain.strip_prefix(b"@"));
    let is_one = domain
        .is_some_and(|domain| domain.starts_with(DOMAIN.as_bytes()) && domain.ends_with(TOP.as_bytes()));
    if is_one { DOMAIN_LEN } else { 0 }
}

/// Labels with dots between them, and a last one of letters that is not the ending of a file (`logo@2x.png`).
fn is_domain_name(domain: &[u8]) -> bool {
    let mut labels = domain.rsplit(|byte| *byte == b'.');
    let top = labels.next().unwrap_or_default().to_ascii_lowercase();
    let is_top = !top.is_empty() && top.iter().all(u8::is_ascii_alphabetic) && !FILES.contains(&&top[..]);
    let mut named = 0;
    let are_labels = labels.all(|label| {
        named += 1;
        !label.is_empty()
    });
    is_top && are_labels && 0 < named
}

fn is_local(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b".+-_~%".contains(&byte) || 0x80 <= byte
}

fn is_domain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-') || 0x80 <= byte
}

/// As RFC 5321 has it.
const MAX_LOCAL: usize = 64;
const MAX_DOMAIN: usize = 255;
/// The top-level domain that RFC 2606 keeps for tests: nothing is ever delivered there.
const TOP: &str = ".test";
const DOMAIN: &str = "squall-";
/// With `@`, eight digits and `TOP`.
pub(super) const DOMAIN_LEN: usize = 1 + DOMAIN.len() + 8 + TOP.len();
/// Endings of files that look like domains.
const FILES: [&[u8]; 14] = [
    b"png", b"jpg", b"jpeg", b"gif", b"webp", b"avif", b"svg", b"css", b"js", b"html", b"htm", b"json",
    b"woff", b"ico",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expect: Option<&str>) {
        let at = text.find('@').expect("an @");
        assert_eq!(around(text.as_bytes(), 0, at).map(|range| &text[range]), expect, "{text}");
    }

    #[test]
    fn addresses_and_what_only_looks_like_one() {
        check("ann@example.org", Some("ann@example.org"));
        check("to: <Ann.O+tag@mail.example.co.uk>.", Some("Ann.O+tag@mail.example.co.uk"));
        check("write to ann@example.org.", Some("ann@example.org"));
        check("mailto:a@b.de?subject=x", Some("a@b.de"));
        for other in
            ["/logo@2x.png", "lodash@4.17.21", "@scope/x.de", "a@b", "a@.de", "a @b.de", "/@ann.b/post"]
        {
            check(other, None);
        }
    }

    #[test]
    fn pseudonyms_keep_the_form_and_what_is_equal() {
        let key = Key::new([3; 32]);
        let of = |address: &str| pseudonym(address.as_bytes(), &key);
        let (ann, bob) = (of("ann@example.org"), of("bob@Example.org"));
        assert!(is_pseudonym(ann.as_bytes()) && is_pseudonym(bob.as_bytes()), "{ann}");
        assert_ne!(ann, bob);
        assert_eq!(
            ann.split_once('@').map(|(_, domain)| domain),
            bob.split_once('@').map(|(_, domain)| domain)
        );
        assert_eq!(ann, of("ann@example.org"));
        check(&ann, None);
        assert!(
            is_address(b"ann@example.org") && !is_address(b"ann@example.org, bob") && !is_address(b"ann")
        );
    }
}
