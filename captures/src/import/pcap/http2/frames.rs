//! Frames of one side of an HTTP/2 connection (RFC 9113, section 4), as they come in pieces. Data is handed on piece by
//! piece, so that bytes that are missing in it can be passed over; the frames that carry heads are collected.

/// Takes the bytes of one side apart.
#[derive(Debug, Default)]
pub(super) struct Frames {
    state: State,
    /// The head at hand, or the payload of a frame that is collected.
    held: Vec<u8>,
    /// When the first byte of the frame at hand came.
    began_us: u64,
    /// Bytes of the client's preface still to come.
    preface: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Head,
    /// Padded data: its first byte says how much padding follows.
    Padding {
        stream: u32,
        is_last: bool,
        len: usize,
    },
    Data(Data),
    Collect {
        kind: u8,
        flags: u8,
        stream: u32,
        len: usize,
    },
    Skip {
        len: usize,
    },
    Broken,
}

/// What is left of a frame of data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Data {
    stream: u32,
    /// The stream ends with it.
    is_last: bool,
    data: usize,
    padding: usize,
}

/// What is found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame<'a> {
    Data {
        stream: u32,
        bytes: &'a [u8],
    },
    /// Bytes of data that were not captured.
    Missing {
        stream: u32,
        len: usize,
    },
    /// The side sends nothing more on the stream.
    Last {
        stream: u32,
    },
    /// A frame that matters, whole.
    Whole {
        kind: u8,
        flags: u8,
        stream: u32,
        payload: &'a [u8],
        began_us: u64,
    },
}

impl Frames {
    /// Those of a client, which begin with a preface.
    pub(super) fn of_client() -> Frames {
        Frames { preface: PREFACE.len(), ..Frames::default() }
    }

    /// Whether the bytes turned out to be no frames.
    pub(super) fn is_broken(&self) -> bool {
        self.state == State::Broken
    }

    /// Takes the next bytes.
    pub(super) fn feed(&mut self, bytes: &[u8], at_us: u64, found: &mut dyn FnMut(Frame<'_>)) {
        let preface = self.preface.min(bytes.len());
        self.preface -= preface;
        let mut rest = &bytes[preface..];
        while !rest.is_empty() && self.state != State::Broken {
            let used = self.step(rest, at_us, found);
            rest = &rest[used..];
        }
    }

    /// Bytes are missing; `false` when nobody can say what follows them.
    pub(super) fn miss(&mut self, len: u64, found: &mut dyn FnMut(Frame<'_>)) -> bool {
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        match self.state {
            State::Data(left) if len <= left.data + left.padding => {
                found(Frame::Missing { stream: left.stream, len: len.min(left.data) });
                self.data(left.without(len), found);
            }
            State::Skip { len: left } if len <= left => self.skip(left - len),
            _ => self.state = State::Broken,
        }
        self.state != State::Broken
    }

    /// Takes at least one byte.
    fn step(&mut self, bytes: &[u8], at_us: u64, found: &mut dyn FnMut(Frame<'_>)) -> usize {
        match self.state {
            State::Head => {
                if self.held.is_empty() {
                    self.began_us = at_us;
                }
                let used = bytes.len().min(HEAD - self.held.len());
                self.held.extend_from_slice(&bytes[..used]);
                if self.held.len() == HEAD {
                    self.begin(found);
                }
                used
            }
            State::Padding { stream, is_last, len } => {
                let padding = usize::from(bytes[0]);
                match (len - 1).checked_sub(padding) {
                    Some(data) => self.data(Data { stream, is_last, data, padding }, found),
                    None => self.state = State::Broken,
                }
                1
            }
            State::Data(left) => {
                let of_data = left.data.min(bytes.len());
                if of_data != 0 {
                    found(Frame::Data { stream: left.stream, bytes: &bytes[..of_data] });
                }
                let used = bytes.len().min(left.data + left.padding);
                self.data(left.without(used), found);
                used
            }
            State::Collect { kind, flags, stream, len } => {
                let used = bytes.len().min(len - self.held.len());
                self.held.extend_from_slice(&bytes[..used]);
                if self.held.len() == len {
                    self.whole(kind, flags, stream, found);
                }
                used
            }
            State::Skip { len } => {
                let used = bytes.len().min(len);
                self.skip(len - used);
                used
            }
            State::Broken => bytes.len(),
        }
    }

    /// The head of a frame is complete.
    fn begin(&mut self, found: &mut dyn FnMut(Frame<'_>)) {
        let [l0, l1, l2, kind, flags, s0, s1, s2, s3] = *self.held.first_chunk().unwrap_or(&[0; HEAD]);
        self.held.clear();
        let len = usize::from(l0) << 16 | usize::from(l1) << 8 | usize::from(l2);
        let stream = u32::from_be_bytes([s0 & 0x7f, s1, s2, s3]);
        let is_last = flags & END_STREAM != 0;
        match kind {
            DATA if stream == 0 => self.state = State::Broken,
            DATA if flags & PADDED == 0 => self.data(Data { stream, is_last, data: len, padding: 0 }, found),
            DATA if len == 0 => self.state = State::Broken,
            DATA => self.state = State::Padding { stream, is_last, len },
            HEADERS | RST_STREAM | PUSH_PROMISE | CONTINUATION => match len {
                _ if stream == 0 || MAX_COLLECTED < len => self.state = State::Broken,
                0 => self.whole(kind, flags, stream, found),
                _ => self.state = State::Collect { kind, flags, stream, len },
            },
            _ => self.skip(len),
        }
    }

    fn whole(&mut self, kind: u8, flags: u8, stream: u32, found: &mut dyn FnMut(Frame<'_>)) {
        self.state = State::Head;
        let payload = std::mem::take(&mut self.held);
        found(Frame::Whole { kind, flags, stream, payload: &payload, began_us: self.began_us });
    }

    fn data(&mut self, left: Data, found: &mut dyn FnMut(Frame<'_>)) {
        if left.data + left.padding != 0 {
            self.state = State::Data(left);
            return;
        }
        self.state = State::Head;
        if left.is_last {
            found(Frame::Last { stream: left.stream });
        }
    }

    fn skip(&mut self, len: usize) {
        self.state = if len == 0 { State::Head } else { State::Skip { len } };
    }
}

impl Data {
    /// What is left behind the next `n` bytes.
    fn without(self, n: usize) -> Data {
        let data = self.data.saturating_sub(n);
        Data { data, padding: self.padding - n.saturating_sub(self.data), ..self }
    }
}

/// What a client sends first.
pub(in crate::import::pcap) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const PUSH_PROMISE: u8 = 5;
pub(super) const CONTINUATION: u8 = 9;
pub(super) const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;
pub(super) const PADDED: u8 = 8;
pub(super) const PRIORITY: u8 = 0x20;
const HEAD: usize = 9;
/// No peer takes larger heads.
const MAX_COLLECTED: usize = 1 << 20;
