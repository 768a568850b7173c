//! Frames as bytes: their heads, and the small ones that we write.

/// The head of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) length: usize,
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
}

impl Head {
    pub(super) fn read(bytes: &[u8; HEAD_BYTES]) -> Head {
        let [a, b, c, kind, flags, stream @ ..] = *bytes;
        let length = u32::from_be_bytes([0, a, b, c]) as usize;
        Head { length, kind, flags, stream: u32::from_be_bytes(stream) & STREAM_MAX }
    }

    pub(super) fn write(self, out: &mut Vec<u8>) {
        let [_, a, b, c] = (self.length as u32).to_be_bytes();
        let [s, t, u, v] = self.stream.to_be_bytes();
        out.extend_from_slice(&[a, b, c, self.kind, self.flags, s, t, u, v]);
    }

    pub(super) fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// Writes a header block, with CONTINUATION frames where it is longer than a frame may be. The block is given in two
/// parts that follow each other.
pub(super) fn headers(out: &mut Vec<u8>, stream: u32, parts: [&[u8]; 2], end: bool, frame_bytes: usize) {
    let end_stream = if end { END_STREAM } else { 0 };
    let length = parts[0].len() + parts[1].len();
    if length <= frame_bytes {
        out.reserve(HEAD_BYTES + length);
        Head { length, kind: HEADERS, flags: END_HEADERS | end_stream, stream }.write(out);
        out.extend_from_slice(parts[0]);
        out.extend_from_slice(parts[1]);
        return;
    }
    let block = parts.concat();
    let last = (length - 1) / frame_bytes;
    for (number, piece) in block.chunks(frame_bytes).enumerate() {
        let (kind, flags) = if number == 0 { (HEADERS, end_stream) } else { (CONTINUATION, 0) };
        let flags = if number == last { flags | END_HEADERS } else { flags };
        Head { length: piece.len(), kind, flags, stream }.write(out);
        out.extend_from_slice(piece);
    }
}

/// Writes SETTINGS with these numbers and values.
pub(super) fn settings(out: &mut Vec<u8>, values: &[(u16, u32)]) {
    Head { length: values.len() * SETTING_BYTES, kind: SETTINGS, flags: 0, stream: 0 }.write(out);
    for (id, value) in values {
        out.extend_from_slice(&id.to_be_bytes());
        out.extend_from_slice(&value.to_be_bytes());
    }
}

/// Writes the answer to SETTINGS.
pub(super) fn settings_ack(out: &mut Vec<u8>) {
    Head { length: 0, kind: SETTINGS, flags: ACK, stream: 0 }.write(out);
}

/// Writes the answer to a PING.
pub(super) fn ping_ack(out: &mut Vec<u8>, payload: &[u8]) {
    Head { length: payload.len(), kind: PING, flags: ACK, stream: 0 }.write(out);
    out.extend_from_slice(payload);
}

/// Writes WINDOW_UPDATE; stream 0 is the connection.
pub(super) fn window_update(out: &mut Vec<u8>, stream: u32, increment: u32) {
    Head { length: 4, kind: WINDOW_UPDATE, flags: 0, stream }.write(out);
    out.extend_from_slice(&increment.to_be_bytes());
}

/// Writes RST_STREAM.
pub(super) fn rst_stream(out: &mut Vec<u8>, stream: u32, code: u32) {
    Head { length: 4, kind: RST_STREAM, flags: 0, stream }.write(out);
    out.extend_from_slice(&code.to_be_bytes());
}

/// Writes GOAWAY. We take no streams from the peer, so the last one is 0.
pub(super) fn go_away(out: &mut Vec<u8>, code: u32) {
    Head { length: 8, kind: GO_AWAY, flags: 0, stream: 0 }.write(out);
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&code.to_be_bytes());
}

/// The first four bytes as a number.
pub(super) fn number(payload: &[u8]) -> Option<u32> {
    payload.first_chunk::<4>().map(|bytes| u32::from_be_bytes(*bytes))
}

pub(super) const HEAD_BYTES: usize = 9;
pub(super) const SETTING_BYTES: usize = 6;
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Largest number of a stream, and mask of the reserved bit before it.
pub(super) const STREAM_MAX: u32 = (1 << 31) - 1;
/// Largest window of flow control.
pub(super) const WINDOW_MAX: u32 = (1 << 31) - 1;
/// What a window is before any SETTINGS.
pub(super) const WINDOW_AT_FIRST: u32 = 65_535;
/// What every peer must take as a frame's payload. We never ask for more: DATA is handed on in pieces anyway.
pub(super) const FRAME_BYTES: usize = 16_384;

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const PRIORITY: u8 = 2;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PUSH_PROMISE: u8 = 5;
pub(super) const PING: u8 = 6;
pub(super) const GO_AWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;

pub(super) const END_STREAM: u8 = 0x1;
pub(super) const ACK: u8 = 0x1;
pub(super) const END_HEADERS: u8 = 0x4;
pub(super) const PADDED: u8 = 0x8;
pub(super) const PRIORITIZED: u8 = 0x20;

pub(super) const ENABLE_PUSH: u16 = 2;
pub(super) const MAX_CONCURRENT_STREAMS: u16 = 3;
pub(super) const INITIAL_WINDOW_SIZE: u16 = 4;
pub(super) const MAX_FRAME_SIZE: u16 = 5;
pub(super) const MAX_HEADER_LIST_SIZE: u16 = 6;
