//! The examples of RFC 7541, appendix C, and what no decoder may accept.

use proptest::prelude::*;

use super::*;
use crate::limits;

fn bytes(hex: &str) -> Vec<u8> {
    let digits: String = hex.split_whitespace().collect();
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

fn lines(fields: &Fields) -> Vec<String> {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    fields.all().map(|(name, value)| format!("{}: {}", text(name), text(value))).collect()
}

/// Blocks of one connection, and what each stands for.
fn check(blocks: &[(&str, &[&str])]) {
    let (mut decoder, mut fields) = (Decoder::new(), Fields::default());
    for (hex, expected) in blocks {
        assert_eq!(decoder.decode(&bytes(hex), &mut fields), Ok(()), "{hex}");
        assert_eq!(lines(&fields), *expected, "{hex}");
        assert!(fields.is_sound() && !fields.is_too_large());
    }
}

fn refused(hex: &str) {
    let (mut decoder, mut fields) = (Decoder::new(), Fields::default());
    assert_eq!(decoder.decode(&bytes(hex), &mut fields), Err(Garbage), "{hex}");
}

const REQUESTS: [&[&str]; 3] = [
    &[":method: GET", ":scheme: http", ":path: /", ":authority: www.example.com"],
    &[":method: GET", ":scheme: http", ":path: /", ":authority: www.example.com", "cache-control: no-cache"],
    &[
        ":method: GET",
        ":scheme: https",
        ":path: /index.html",
        ":authority: www.example.com",
        "custom-key: custom-value",
    ],
];

const ANSWERS: [&[&str]; 3] = [
    &[
        ":status: 302",
        "cache-control: private",
        "date: Mon, 21 Oct 2013 20:13:21 GMT",
        "location: https://www.example.com",
    ],
    &[
        ":status: 307",
        "cache-control: private",
        "date: Mon, 21 Oct 2013 20:13:21 GMT",
        "location: https://www.example.com",
    ],
    &[
        ":status: 200",
        "cache-control: private",
        "date: Mon, 21 Oct 2013 20:13:22 GMT",
        "location: https://www.example.com",
        "content-encoding: gzip",
        "set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
    ],
];

#[test]
fn single_fields_of_the_standard() {
    check(&[(
        "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572",
        &["custom-key: custom-header"],
    )]);
    check(&[("040c 2f73 616d 706c 652f 7061 7468", &[":path: /sample/path"])]);
    check(&[("1008 7061 7373 776f 7264 0673 6563 7265 74", &["password: secret"])]);
    check(&[("82", &[":method: GET"])]);
}

#[test]
fn requests_of_the_standard() {
    check(&[
        ("8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d", REQUESTS[0]),
        ("8286 84be 5808 6e6f 2d63 6163 6865", REQUESTS[1]),
        ("8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65", REQUESTS[2]),
    ]);
    check(&[
        ("8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff", REQUESTS[0]),
        ("8286 84be 5886 a8eb 1064 9cbf", REQUESTS[1]),
        ("8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf", REQUESTS[2]),
    ]);
}

#[test]
fn answers_of_the_standard_drop_fields_from_a_table_of_256_bytes() {
    check(&[
        ("3fe101", &[]),
        (
            "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133
             3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
            ANSWERS[0],
        ),
        ("4803 3330 37c1 c0bf", ANSWERS[1]),
        (
            "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a
             6970 7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d
             6178 2d61 6765 3d33 3630 303b 2076 6572 7369 6f6e 3d31",
            ANSWERS[2],
        ),
    ]);
    check(&[
        ("3fe101", &[]),
        (
            "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d
             29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
            ANSWERS[0],
        ),
        ("4883 640e ffc1 c0bf", ANSWERS[1]),
        (
            "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d
             d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106
             3d50 07",
            ANSWERS[2],
        ),
    ]);
}

#[test]
fn what_cannot_be_decoded_is_refused() {
    refused("80"); // number 0
    refused("be"); // the dynamic table is empty
    refused("7e00"); // a name from there
    refused("ffffffffffff0f"); // an integer without end
    refused("ff80808080800f");
    refused("40"); // cut before the name
    refused("400161"); // cut before the value
    refused("4001610262"); // cut in the value
    refused("00018161ff"); // cut Huffman text
    refused("3fe21f"); // a table of 4,097 bytes
    refused("8220"); // a change of size after a field
}

#[test]
fn a_table_may_shrink_and_grow_within_its_bound() {
    check(&[("203fe11f82", &[":method: GET"])]);
}

#[test]
fn a_bomb_is_read_to_its_end_and_told() {
    let (mut decoder, mut fields) = (Decoder::new(), Fields::default());
    let mut block = b"\x40\x01a\x7f\xa1\x1e".to_vec(); // a value of 4,000 bytes, kept in the table
    block.extend_from_slice(&[b'b'; 4000]);
    block.resize(limits::HEAD_BYTES, 0xbe);
    assert_eq!(decoder.decode(&block, &mut fields), Ok(()));
    assert!(fields.is_too_large());
    assert!(fields.text().len() <= limits::HEAD_BYTES);
    assert_eq!(decoder.decode(&[0xbe], &mut fields), Ok(()));
    assert!(!fields.is_too_large());
    assert_eq!(fields.get(b"a").map(<[u8]>::len), Some(4000));
}

#[test]
fn an_unsound_field_stays_unsound_when_it_is_named_by_number() {
    let (mut decoder, mut fields) = (Decoder::new(), Fields::default());
    assert_eq!(decoder.decode(b"\x40\x01A\x01b", &mut fields), Ok(()));
    assert!(!fields.is_sound());
    assert_eq!(decoder.decode(&[0xbe], &mut fields), Ok(()));
    assert!(!fields.is_sound());
    assert_eq!(decoder.decode(&[0x82], &mut fields), Ok(()));
    assert!(fields.is_sound());
}

proptest! {
    #[test]
    fn no_bytes_upset_it(blocks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 1..5)) {
        let (mut decoder, mut fields) = (Decoder::new(), Fields::default());
        for block in blocks {
            let _ = decoder.decode(&block, &mut fields);
            let _ = lines(&fields);
        }
    }

    #[test]
    fn what_is_encoded_comes_back(
        sent in proptest::collection::vec(("[a-z-]{1,20}", proptest::collection::vec(any::<u8>(), 0..300)), 0..20),
    ) {
        let mut block = Vec::new();
        for (name, value) in &sent {
            push(&mut block, name.as_bytes(), value);
        }
        let (mut decoder, mut fields) = (Decoder::new(), Fields::default());
        prop_assert_eq!(decoder.decode(&block, &mut fields), Ok(()));
        let came: Vec<_> = fields.all().map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
        let sent: Vec<_> = sent.into_iter().map(|(name, value)| (name.into_bytes(), value)).collect();
        prop_assert_eq!(came, sent);
    }
}
