//! Tokens that show by how they begin what they are, within any text: keys of well-known services, credentials behind
//! `Bearer`, private keys.

use std::ops::Range;

/// Whether a token may begin with that byte: asked of every byte of every text, so this is asked first.
pub(super) fn may_begin(byte: u8) -> bool {
    matches!(
        byte,
        b'-' | b'A' | b'B' | b'S' | b'b' | b'd' | b'g' | b'h' | b'n' | b'p' | b'r' | b's' | b'w'..=b'y'
    )
}

/// The token that begins at `at`, where a word begins.
pub(super) fn at(text: &[u8], at: usize) -> Option<Range<usize>> {
    match text[at] {
        b'-' => private_key(text, at),
        b'B' | b'b' => bearer(text, at),
        b'A' => access_key(text, at).or_else(|| key(text, at)),
        byte if may_begin(byte) => key(text, at),
        _ => None,
    }
}

/// A byte of which such words are made.
pub(super) fn is_part(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')
}

/// The word without dots at its end, which are those of a sentence.
pub(super) fn word(text: &[u8], at: usize) -> Range<usize> {
    let len = text[at..].iter().take(LONGEST).take_while(|byte| is_part(**byte)).count();
    let dots = text[at..at + len].iter().rev().take_while(|byte| **byte == b'.').count();
    at..at + len - dots
}

fn key(text: &[u8], at: usize) -> Option<Range<usize>> {
    let (prefix, least) = KEYS.iter().find(|(prefix, _)| text[at..].starts_with(prefix))?;
    let word = word(text, at);
    let rest = text.get(at + prefix.len()..word.end)?;
    let has = |test: fn(&u8) -> bool| rest.iter().any(test);
    // names of styles and of parts of a page begin like the shortest prefix
    let is_mixed = *prefix != b"sk-" || has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase);
    (*least <= rest.len() && has(u8::is_ascii_digit) && is_mixed).then_some(word)
}

/// The names of keys of Amazon: twenty capitals and digits.
fn access_key(text: &[u8], at: usize) -> Option<Range<usize>> {
    let name = text.get(at..at + 20)?;
    let is_name = (name.starts_with(b"AKIA") || name.starts_with(b"ASIA"))
        && name.iter().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
    (is_name && word(text, at).len() == 20).then_some(at..at + 20)
}

fn bearer(text: &[u8], at: usize) -> Option<Range<usize>> {
    let (scheme, rest) = text[at..].split_at_checked(BEARER.len())?;
    if !scheme.eq_ignore_ascii_case(BEARER) {
        return None;
    }
    let is_token = |byte: &&u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(byte);
    let token = &rest[..rest.iter().take(LONGEST).take_while(is_token).count()];
    let has = |test: fn(&u8) -> bool| token.iter().any(test);
    let start = at + BEARER.len();
    let is_one = SHORTEST <= token.len() && has(u8::is_ascii_digit) && has(u8::is_ascii_alphabetic);
    is_one.then_some(start..start + token.len())
}

/// What stands between the lines around a private key, or up to the end of a text that was cut.
fn private_key(text: &[u8], at: usize) -> Option<Range<usize>> {
    let rest = text[at..].strip_prefix(BEGIN)?;
    let name = rest[..rest.len().min(LONGEST_NAME)].windows(DASHES.len()).position(|part| part == DASHES)?;
    if !rest[..name].ends_with(b"PRIVATE KEY") {
        return None;
    }
    let start = at + BEGIN.len() + name + DASHES.len();
    let within = &text[start..text.len().min(start + LONGEST)];
    let len = within.windows(DASHES.len()).position(|part| part == DASHES).unwrap_or(within.len());
    let within = &within[..len];
    let start = start + (within.len() - within.trim_ascii_start().len());
    let len = within.trim_ascii().len();
    (len != 0).then_some(start..start + len)
}

const BEARER: &[u8] = b"Bearer ";
const BEGIN: &[u8] = b"-----BEGIN ";
const DASHES: &[u8] = b"-----";
const LONGEST_NAME: usize = 64;
/// Longer ones are no tokens, and keys of 16,384 bits have fewer bytes.
const LONGEST: usize = 16 << 10;
/// Shorter words behind `Bearer` may belong to a sentence.
const SHORTEST: usize = 16;
/// How keys of well-known services begin, and how many bytes follow at least.
const KEYS: [(&[u8], usize); 29] = [
    (b"AIza", 30),
    (b"dop_v1_", 40),
    (b"ghp_", 30),
    (b"gho_", 30),
    (b"ghu_", 30),
    (b"ghs_", 30),
    (b"ghr_", 30),
    (b"github_pat_", 20),
    (b"glpat-", 16),
    (b"hf_", 30),
    (b"npm_", 30),
    (b"pypi-AgE", 40),
    (b"rk_live_", 16),
    (b"rk_test_", 16),
    (b"sk_live_", 16),
    (b"sk_test_", 16),
    (b"sk-ant-", 20),
    (b"sk-proj-", 20),
    (b"sk-", 32),
    (b"shpat_", 30),
    (b"shpss_", 30),
    (b"SG.", 40),
    (b"whsec_", 24),
    (b"xoxa-", 16),
    (b"xoxb-", 16),
    (b"xoxp-", 16),
    (b"xoxs-", 16),
    (b"xapp-", 16),
    (b"ya29.", 20),
];

#[cfg(test)]
mod tests {
    #[test]
    fn tokens_by_how_they_begin() {
        assert!(super::KEYS.iter().all(|(prefix, _)| super::may_begin(prefix[0])));
        let check = |text: &str, expect: Option<&str>| {
            let found = (0..text.len()).find_map(|at| super::at(text.as_bytes(), at));
            assert_eq!(found.map(|range| &text[range]), expect, "{text}");
        };
        // none of them was ever issued
        for key in [
            concat!("sk_", "live_0123456789abcdefABCDEF01"),
            concat!("ghp", "_0123456789abcdefghijABCDEFGHIJ012345"),
            concat!("AKIA", "0123456789ABCDEF"),
            concat!("xoxb", "-0123456789-abcdefghijklmn"),
            concat!("sk-", "0123456789abcdefghijABCDEFGHIJ0123456789"),
            concat!("glpat", "-0123456789abcdefghij"),
        ] {
            check(key, Some(key));
            check(&format!("the key ({key}). More."), Some(key));
        }
        check("say bearer 0123456789abcdef/+== now", Some("0123456789abcdef/+=="));
        let pem = "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\nIBAA==\n-----END RSA PRIVATE KEY-----\n";
        check(pem, Some("MIIEow\nIBAA=="));
        check(&pem[..40], Some("MIIEow\nI"));
        for other in [
            "sk-skeleton-loader-container-item-number-2-of-many",
            "ghp_short1",
            "AKIAN is a name",
            "AKIA0123456789ABCDEF0",
            "Bearer authentication-is-wanted",
            "the bearer of this",
            "-----BEGIN CERTIFICATE-----\nMIIE\n-----END CERTIFICATE-----",
            concat!("-----BEGIN ", "PRIVATE KEY-----"),
            "hf_transformers_and_all_that_is_in_them",
            "shpat_",
        ] {
            check(other, None);
        }
    }
}
