//! What is found, and that it is found as it would be byte by byte.

use proptest::prelude::*;

use super::*;
use crate::block::samples::typed;

fn found(text: &str, style: Style) -> String {
    let mut finder = Finder::default();
    finder.find(text.as_bytes(), style, 1_700_000_000_000_000);
    let words = |hole: &Hole| format!("{:?} {}", hole.kind, &text[hole.start as usize..hole.end as usize]);
    finder.holes.iter().map(words).collect::<Vec<_>>().join(", ")
}

#[test]
fn identifiers_numbers_and_times() {
    let check = |text: &str, expect: &str| assert_eq!(found(text, Style::Document), expect, "{text}");
    check("/products/4711/reviews?page=2", "Integer 4711, Integer 2");
    check("/v1/users/007", "");
    check(
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "Hex 4bf92f3577b34da6a3ce929d0e0e4736, Hex 00f067aa0ba902b7",
    );
    check("id=0f8fad5b-d9cb-469f-a165-70867728950e;", "Uuid 0f8fad5b-d9cb-469f-a165-70867728950e");
    check("0f8fad5b-d9cb-469f-a165-70867728950`", "Hex 0f8fad5b, Integer 70867728950");
    check("order-0F8FAD5B-D9CB-469F-A165-70867728950E", "UuidUpper 0F8FAD5B-D9CB-469F-A165-70867728950E");
    check("_=1700000012345&t=1699999999", "Millis 1700000012345, Seconds 1699999999");
    check("n=1600000012345", "Integer 1600000012345");
    check("at 2023-11-14T22:13:20.123Z", "DateMillis 2023-11-14T22:13:20.123");
    check("2023-11-14T22:13:20+01:00", "DateSeconds 2023-11-14T22:13:20");
    check("Bearer aB3dE5gH7jK9mN1pQ3sT5", "Word aB3dE5gH7jK9mN1pQ3sT5");
    check("t=aB3dE5gH7-jK9mN1pQ_3sT5uV7x", "Token aB3dE5gH7-jK9mN1pQ_3sT5uV7x");
    check("/assets/jquery-ui-1-main-bundle-production.js", "Integer 1");
    check("00000000000000000001", "Hex 00000000000000000001");
    check("eyJzdWIiOiJ1c2VyIDEyMyJ9.x", "Embedded eyJzdWIiOiJ1c2VyIDEyMyJ9");
}

#[test]
fn short_numbers_of_headers_are_words() {
    let check = |text: &str, expect: &str| assert_eq!(found(text, Style::Header), expect, "{text}");
    check("Mozilla/5.0 (X11; Linux x86_64) Chrome/124.0.0.0 Safari/537.36", "");
    check("148", "Integer 148");
    check("GA1.2.1234567.89", "Integer 1234567");
}

#[test]
fn a_value_has_so_many_holes_and_no_more() {
    assert_eq!(found(&"1,".repeat(1000), Style::Document).matches("Integer").count(), MAX_HOLES);
}

/// Text of few letters, so that it is often nearly something.
fn dense() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        Just(b'0'),
        Just(b'7'),
        Just(b'a'),
        Just(b'f'),
        Just(b'g'),
        Just(b'A'),
        Just(b'G'),
        Just(b'-'),
        Just(b'_'),
        Just(b'.'),
        any::<u8>()
    ];
    proptest::collection::vec(byte, 0..200)
}

proptest! {
    #[test]
    fn as_if_byte_by_byte(text in prop_oneof![dense(), (typed(), 0usize..70).prop_map(|(text, shift)| {
        // across the border between one look and the next
        [" ".repeat(shift).as_bytes(), text.as_bytes()].concat()
    })], at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut texts = vec![text.clone()];
        if !text.is_empty() {
            let mut changed = text;
            let at = at.index(changed.len());
            changed[at] = byte;
            texts.push(changed);
        }
        let mut finder = Finder::default();
        for (text, style) in texts.iter().flat_map(|text| [(text, Style::Document), (text, Style::Header)]) {
            let mut expect = Vec::new();
            bytewise::find(text, style, 1_700_000_000_000_000, &mut expect);
            finder.find(text, style, 1_700_000_000_000_000);
            for hole in finder.holes.iter_mut().filter(|hole| hole.kind == Kind::Embedded) {
                hole.number = 0;
            }
            prop_assert_eq!(&finder.holes, &expect);
        }
    }
}
