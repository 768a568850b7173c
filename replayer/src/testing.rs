//! What several unit tests need.

/// Reads a header block of literals and of fields of the static table, as a peer would.
pub(crate) fn decode_block(mut block: &[u8]) -> Vec<(String, String)> {
    let mut fields = Vec::new();
    while let Some(first) = block.first().copied() {
        if first & 0x80 != 0 {
            let index = integer(&mut block, 7);
            let (name, value) = STATIC[index];
            fields.push((name.to_owned(), value.to_owned()));
            continue;
        }
        assert_eq!(first & 0xe0, 0, "a literal that no table keeps");
        let name = match integer(&mut block, 4) {
            0 => string(&mut block),
            index => STATIC[index].0.to_owned(),
        };
        let value = string(&mut block);
        assert!(!name.bytes().any(|b| b.is_ascii_uppercase()), "{name}");
        fields.push((name, value));
    }
    fields
}

fn integer(block: &mut &[u8], bits: u32) -> usize {
    let mut next = || {
        let (byte, rest) = block.split_first().expect("an integer has an end");
        *block = rest;
        *byte
    };
    let most = (1_u8 << bits) - 1;
    let mut value = usize::from(next() & most);
    let mut shift = 0;
    while value >= usize::from(most) {
        let byte = next();
        value += usize::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            break;
        }
    }
    value
}

fn string(block: &mut &[u8]) -> String {
    assert_eq!(block[0] & 0x80, 0, "no Huffman coding");
    let len = integer(block, 7);
    let (text, rest) = block.split_at(len);
    *block = rest;
    String::from_utf8(text.to_vec()).expect("test fields are text")
}

/// The entries that requests use; the others are empty.
const STATIC: [(&str, &str); 62] = {
    let mut entries = [("", ""); 62];
    entries[1] = (":authority", "");
    entries[2] = (":method", "GET");
    entries[3] = (":method", "POST");
    entries[4] = (":path", "/");
    entries[6] = (":scheme", "http");
    entries[7] = (":scheme", "https");
    entries[19] = ("accept", "");
    entries[23] = ("authorization", "");
    entries[28] = ("content-length", "");
    entries[31] = ("content-type", "");
    entries[32] = ("cookie", "");
    entries[58] = ("user-agent", "");
    entries
};
