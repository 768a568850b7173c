//! What a WebSocket client writes (RFC 6455): the fields of its handshake, and masked frames.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest;

use crate::limits;
use crate::stream::{bounded, push_filled};

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opcode {
    Text = 1,
    Binary = 2,
    Close = 8,
    Ping = 9,
    Pong = 10,
}

/// A client's side of the opening handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Handshake {
    key: [u8; 24],
    accept: [u8; 28],
}

/// The handshake whose key is made of these bytes, which should be different for each connection.
pub(crate) fn handshake_fields(key: [u8; 16]) -> Handshake {
    let mut handshake = Handshake { key: [0; 24], accept: [0; 28] };
    write_base64(&key, &mut handshake.key);
    let mut sum = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    sum.update(&handshake.key);
    sum.update(PROTOCOL_ID);
    write_base64(sum.finish().as_ref(), &mut handshake.accept);
    handshake
}

impl Handshake {
    /// Appends the fields of the request, each with its line end. Extensions are not offered: compressed messages
    /// would have other sizes than the recorded ones.
    pub(crate) fn push(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n");
        out.extend_from_slice(b"Sec-WebSocket-Key: ");
        out.extend_from_slice(&self.key);
        out.extend_from_slice(b"\r\n");
    }

    /// Whether the server's Sec-WebSocket-Accept shows that it understood.
    pub(crate) fn is_accepted(&self, value: &[u8]) -> bool {
        value.trim_ascii() == self.accept
    }
}

/// Appends one whole message as a masked frame: `payload`, and after it `filler` bytes (spaces in text, else zeros).
///
/// The sum is bounded by `limits::MESSAGE_BYTES`, for pings, pongs and closes by the 125 bytes of the standard. What
/// is not UTF-8 at the end of a text (a recorded beginning that was cut) becomes spaces, or servers would hang up.
pub(crate) fn push_frame(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8], filler: u64, mask: [u8; 4]) {
    let (text, most) = match opcode {
        Opcode::Text => (true, limits::MESSAGE_BYTES),
        Opcode::Binary => (false, limits::MESSAGE_BYTES),
        Opcode::Close | Opcode::Ping | Opcode::Pong => (false, CONTROL_BYTES),
    };
    let payload = &payload[..payload.len().min(most)];
    let length = payload.len() + bounded(payload, filler).min(most - payload.len());
    let valid = if text { utf8_length(payload) } else { payload.len() };
    push_head(out, opcode, length, mask);
    let start = out.len();
    push_filled(out, &payload[..valid], if text { b' ' } else { 0 }, length - valid);
    apply_mask(&mut out[start..], mask);
}

/// A masked close frame. Codes that must not be sent (RFC 6455, section 7.4) become 1000.
pub(crate) fn close_frame(code: u16, mask: [u8; 4]) -> [u8; 8] {
    let code = match code {
        1000..=1003 | 1007..=1014 | 3000..=4999 => code,
        _ => 1000,
    };
    let [high, low] = code.to_be_bytes();
    let [first, second, third, fourth] = mask;
    let opcode = FINAL | Opcode::Close as u8;
    [opcode, MASKED | 2, first, second, third, fourth, high ^ first, low ^ second]
}

fn push_head(out: &mut Vec<u8>, opcode: Opcode, length: usize, mask: [u8; 4]) {
    out.push(FINAL | opcode as u8);
    match length {
        0..=125 => out.push(MASKED | length as u8),
        126..=0xffff => {
            out.push(MASKED | 126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            out.push(MASKED | 127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&mask);
}

/// Eight bytes at a time; it is its own inverse.
fn apply_mask(bytes: &mut [u8], mask: [u8; 4]) {
    let [a, b, c, d] = mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let mut chunks = bytes.chunks_exact_mut(8);
    for chunk in &mut chunks {
        let mut word = [0; 8];
        word.copy_from_slice(chunk);
        chunk.copy_from_slice(&(u64::from_ne_bytes(word) ^ wide).to_ne_bytes());
    }
    for (byte, mask) in chunks.into_remainder().iter_mut().zip(mask.into_iter().cycle()) {
        *byte ^= mask;
    }
}

fn utf8_length(payload: &[u8]) -> usize {
    std::str::from_utf8(payload).map_or_else(|err| err.valid_up_to(), str::len)
}

fn write_base64(bytes: &[u8], out: &mut [u8]) {
    let written = STANDARD.encode_slice(bytes, out).expect("16 bytes are 24 in base64, 20 are 28");
    debug_assert_eq!(written, out.len());
}

const FINAL: u8 = 0x80;
const MASKED: u8 = 0x80;
/// Longest payload of a control frame.
const CONTROL_BYTES: usize = 125;
/// What the standard appends to the key before it is hashed.
const PROTOCOL_ID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A server's view of one frame: opcode, payload, bytes of the head before the mask.
    fn read(frame: &[u8]) -> (u8, Vec<u8>, usize) {
        assert_eq!(frame[0] & 0xf0, 0x80, "final, nothing reserved");
        assert_eq!(frame[1] & 0x80, 0x80, "a client masks");
        let (length, head) = match frame[1] & 0x7f {
            126 => (u64::from(u16::from_be_bytes(frame[2..4].try_into().expect("two"))), 4),
            127 => (u64::from_be_bytes(frame[2..10].try_into().expect("eight")), 10),
            short => (u64::from(short), 2),
        };
        let (mask, rest) = frame[head..].split_at(4);
        assert_eq!(rest.len() as u64, length);
        let plain = rest.iter().enumerate().map(|(index, byte)| byte ^ mask[index % 4]).collect();
        (frame[0] & 0x0f, plain, head)
    }

    #[test]
    fn the_example_of_the_standard_holds() {
        let handshake = handshake_fields(*b"the sample nonce");
        let mut out = Vec::new();
        handshake.push(&mut out);
        let text = String::from_utf8(out).expect("fields are text");
        assert!(text.ends_with("\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"), "{text}");
        assert!(handshake.is_accepted(b" s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        assert!(!handshake.is_accepted(b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo") && !handshake.is_accepted(b""));
        let mut hello = Vec::new();
        push_frame(&mut hello, Opcode::Text, b"Hello", 0, [0x37, 0xfa, 0x21, 0x3d]);
        assert_eq!(hello, [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58]);
    }

    #[test]
    fn lengths_take_the_head_that_the_standard_says() {
        let check = |length: u64, head: usize| {
            let mut out = Vec::new();
            push_frame(&mut out, Opcode::Binary, b"", length, [1, 2, 3, 4]);
            let (opcode, payload, seen) = read(&out);
            assert_eq!((opcode, payload.len() as u64, seen), (2, length, head));
            assert!(payload.iter().all(|byte| *byte == 0));
        };
        check(0, 2);
        check(125, 2);
        check(126, 4);
        check(65_535, 4);
        check(65_536, 10);
        check(limits::MESSAGE_BYTES as u64, 10);
    }

    #[test]
    fn sizes_are_bounded_and_text_stays_text() {
        let check = |opcode, payload: &[u8], filler, expected: &[u8]| {
            let mut out = Vec::new();
            push_frame(&mut out, opcode, payload, filler, [9, 8, 7, 6]);
            let (seen, plain, _) = read(&out);
            assert_eq!((seen, plain.as_slice()), (opcode as u8, expected));
        };
        check(Opcode::Text, "für".as_bytes(), 2, "für  ".as_bytes());
        check(Opcode::Text, &"für".as_bytes()[..2], 3, b"f    ");
        check(Opcode::Text, b"a\xffb", 0, b"a  ");
        check(Opcode::Binary, b"a\xffb", 1, b"a\xffb\0");
        check(Opcode::Ping, b"beat", 0, b"beat");
        check(Opcode::Pong, &[7; 200], 0, &[7; 125]);
        let mut out = Vec::new();
        push_frame(&mut out, Opcode::Text, b"x", u64::MAX, [0; 4]);
        assert_eq!(read(&out).1.len(), limits::MESSAGE_BYTES);
    }

    #[test]
    fn closes_say_why_where_that_is_allowed() {
        let check = |code: u16, sent: u16| {
            let frame = close_frame(code, [0xde, 0xad, 0xbe, 0xef]);
            assert_eq!(read(&frame), (8, sent.to_be_bytes().to_vec(), 2), "{code}");
        };
        check(1000, 1000);
        check(1001, 1001);
        check(4321, 4321);
        for reserved in [0, 999, 1004, 1005, 1006, 1015, 2999, 5000] {
            check(reserved, 1000);
        }
    }

    proptest! {
        #[test]
        fn any_frame_reads_back(
            payload in prop::collection::vec(any::<u8>(), 0..300), filler in 0..70_000_u64, mask: [u8; 4]
        ) {
            let mut out = b"before".to_vec();
            push_frame(&mut out, Opcode::Binary, &payload, filler, mask);
            let (_, plain, _) = read(&out[6..]);
            prop_assert_eq!(&plain[..payload.len()], &payload[..]);
            prop_assert_eq!(plain.len() as u64, payload.len() as u64 + filler);
        }
    }
}
