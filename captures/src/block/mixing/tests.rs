use proptest::prelude::*;

use super::*;
use crate::splitmix;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn what_is_coded_comes_back(raw in proptest::collection::vec(prop_oneof![any::<u8>(), 0x60u8..0x64, Just(b'\n')], 0..600)) {
        let coded = code(&raw).expect("what is random does not shrink to nothing");
        prop_assert_eq!(decode(&coded), Ok(raw));
    }

    #[test]
    fn any_bytes_are_read_or_refused(coded in proptest::collection::vec(any::<u8>(), 0..100)) {
        if let Ok(raw) = decode(&coded) {
            prop_assert!(raw.len() <= most_from(coded.len()));
        }
    }
}

#[test]
fn what_is_random_hardly_grows_and_what_is_known_hardly_costs() {
    let noise: Vec<u8> = (0..4096).map(|n| splitmix::mix(n) as u8).collect();
    assert!(code(&noise).unwrap().len() < noise.len() + noise.len() / 50);
    let known: Vec<u8> = words::all()[200..400].join(&b'\n');
    assert!(code(&known).unwrap().len() * 10 < known.len());
}

/// What is written today is read with this model for ever: another one is another encoding.
#[test]
fn the_model_stays_as_it_is() {
    let raw = b"https://www.example.com/api/v1/carts?page=2&size=24\nMozilla/5.0 (X11; Linux x86_64)\n\x00\x01\x02\xff";
    let coded = code(raw).unwrap();
    let hex: String = coded.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, "581f5c39faccfa18f1b798e55375178afbc28fd4b832a0027f96fb19");
    assert_eq!(decode(&coded).as_deref(), Ok(&raw[..]));
}

#[test]
fn what_shrinks_too_far_is_left_to_others_and_refused() {
    assert!(code(&vec![b'x'; MAX_MIXED]).is_none());
    let claim = |length: u64, coded: &[u8]| {
        let mut bytes = Vec::new();
        put_varint(&mut bytes, length);
        bytes.extend_from_slice(coded);
        bytes
    };
    assert!(decode(&claim(1025, &[])).is_err(), "a kilobyte out of nothing");
    assert!(decode(&claim(1 + MAX_MIXED as u64, &[0; 4096])).is_err(), "beyond the limit");
    assert!(decode(&claim(u64::MAX, &[0; 4096])).is_err(), "a length that is a lie");
    let mut coded = code(b"all of it, and").unwrap();
    coded.extend(b"something more");
    assert!(decode(&coded).is_err(), "bytes are left over");
    assert_eq!(decode(&code(b"").unwrap()), Ok(Vec::new()));
    assert!(decode(&[]).is_err());
}
