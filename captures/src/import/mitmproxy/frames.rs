//! The flows of a file, one after the other, and where the next one begins when one is damaged.

use std::io::BufRead;

use super::tnetstring::{Item, prefix};
use crate::import::window::Window;

/// Reads a file flow by flow. Holds one of them, at most [`MAX_FLOW`] bytes.
pub(super) struct Frames<R> {
    window: Window<R>,
}

/// What stands next in the file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// A flow, or at least a value of its own; [`Frames::bytes`] has it.
    Flow {
        offset: u64,
        len: usize,
    },
    Damage {
        offset: u64,
        why: String,
    },
    End,
}

impl<R: BufRead> Frames<R> {
    pub(super) fn new(input: R) -> Frames<R> {
        Frames { window: Window::new(input) }
    }

    /// The bytes of a flow, until the next call of [`Frames::next`].
    pub(super) fn bytes(&self, len: usize) -> &[u8] {
        self.window.passed(len)
    }

    /// The next flow. After damage it is the next that is one for certain.
    pub(super) fn next(&mut self) -> Next {
        let offset = self.window.offset();
        match self.frame() {
            Ok(Some(len)) => {
                self.window.advance(len);
                Next::Flow { offset, len }
            }
            Ok(None) => match self.window.take_failure() {
                Some(why) => Next::Damage { offset, why: format!("the input breaks off here: {why}") },
                None => Next::End,
            },
            Err(why) => {
                let cut = self.window.take_failure().map(|why| format!("; the input breaks off: {why}"));
                let cut = cut.unwrap_or_default();
                self.find_next();
                Next::Damage { offset, why: format!("{why}{cut}") }
            }
        }
    }

    /// Length of the value that begins here, all of which is in the buffer then; `None` at the end.
    fn frame(&mut self) -> Result<Option<usize>, String> {
        let available = self.window.fill(PREFIX);
        if available == 0 {
            return Ok(None);
        }
        let (len, start) = match prefix(self.window.bytes()) {
            Ok(Some(found)) => found,
            Ok(None) => return Err(format!("{available} bytes are no flow")),
            Err(why) => return Err(why.to_string()),
        };
        if MAX_FLOW < len {
            return Err(format!("a flow of {len} bytes is above the limit of {MAX_FLOW}"));
        }
        let whole = start + len + 1;
        let available = self.window.fill(whole);
        if available < whole {
            return Err(format!("a flow of {whole} bytes is cut off after {available}"));
        }
        match self.window.bytes()[whole - 1] {
            b'}' => Ok(Some(whole)),
            _ => Err("the length before a flow is wrong".to_owned()),
        }
    }

    /// Goes to the next flow behind a damaged one, or to the end.
    fn find_next(&mut self) {
        self.window.advance(1);
        loop {
            let available = self.window.fill(WINDOW);
            if available == 0 {
                return;
            }
            let window = &self.window.bytes()[..available.min(WINDOW)];
            let candidate = (0..window.len()).find(|at| begins_flow(&window[*at..]));
            // what is cut by the end of the window is looked at again with what follows
            let passed = match candidate {
                None if available < WINDOW => available,
                None => WINDOW - KEY_IN_SIGHT,
                Some(at) => at,
            };
            self.window.advance(passed);
            if candidate.is_some() {
                match self.frame() {
                    Ok(Some(len)) if is_whole_flow(&self.window.bytes()[..len]) => return,
                    _ => self.window.advance(1),
                }
            }
        }
    }
}

/// Whether the bytes begin like a dictionary with the key of a flow.
pub(super) fn begins_flow(bytes: &[u8]) -> bool {
    let Ok(Some((_, start))) = prefix(bytes) else { return false };
    let Ok(Some((key_len, key_start))) = prefix(&bytes[start..]) else { return false };
    let key = &bytes[start + key_start..];
    let known = KEYS.iter().any(|known| known.len() == key_len && key.starts_with(known.as_bytes()));
    known && matches!(key.get(key_len), Some(b';' | b','))
}

fn is_whole_flow(bytes: &[u8]) -> bool {
    Item::parse(bytes).is_ok_and(|flow| !flow.get("version").is_null() && !flow.get("type").is_null())
}

/// What a flow may begin with; the order is that of a dictionary of Python, so it depends on the version.
const KEYS: [&str; 18] = [
    "version",
    "type",
    "id",
    "error",
    "client_conn",
    "server_conn",
    "request",
    "response",
    "intercepted",
    "is_replay",
    "marked",
    "metadata",
    "comment",
    "timestamp_created",
    "backup",
    "websocket",
    "messages",
    "mode",
];
/// A flow holds both bodies; larger ones could not become an exchange.
const MAX_FLOW: usize = 128 << 20;
const PREFIX: usize = 13;
/// Two lengths and the longest key.
const KEY_IN_SIGHT: usize = 48;
const WINDOW: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(n: usize) -> String {
        let n = n.to_string();
        let inner = format!("7:version;2:21#4:type;4:http;2:id;{}:{n};", n.len());
        format!("{}:{inner}}}", inner.len())
    }

    /// Numbers of the flows found, and offsets of damage.
    fn read(bytes: &[u8]) -> (Vec<String>, Vec<u64>) {
        let mut frames = Frames::new(bytes);
        let (mut found, mut damage) = (Vec::new(), Vec::new());
        loop {
            match frames.next() {
                Next::End => return (found, damage),
                Next::Damage { offset, .. } => damage.push(offset),
                Next::Flow { len, .. } => match Item::parse(frames.bytes(len)) {
                    Ok(flow) => found.push(flow.get("id").text()),
                    Err(_) => found.push("broken".to_owned()),
                },
            }
        }
    }

    #[test]
    fn after_damage_the_next_flow_is_found() {
        let flows: Vec<String> = (0..4).map(flow).collect();
        let all = flows.concat();
        assert_eq!(read(all.as_bytes()), (vec!["0".into(), "1".into(), "2".into(), "3".into()], vec![]));
        let at = flows[0].len();
        let rest = vec!["0".to_owned(), "2".into(), "3".into()];
        for (place, byte) in [(0, b'9'), (0, b'x'), (2, b'x')] {
            let mut bytes = all.clone().into_bytes();
            bytes[at + place] = byte;
            assert_eq!(read(&bytes), (rest.clone(), vec![at as u64]), "byte {place} is {}", char::from(byte));
        }
        let cut = &all.as_bytes()[..all.len() - 1];
        assert_eq!(read(cut), (vec!["0".into(), "1".into(), "2".into()], vec![3 * at as u64]));
        assert_eq!(read(b"\n"), (vec![], vec![0]));
        assert_eq!(read(b""), (vec![], vec![]));
    }

    #[test]
    fn a_length_beyond_all_bounds_costs_no_memory() {
        let bytes = format!("{}999999999999:x{}", flow(0), flow(1));
        let mut frames = Frames::new(bytes.as_bytes());
        assert!(matches!(frames.next(), Next::Flow { .. }));
        assert!(matches!(frames.next(), Next::Damage { why, .. } if why.contains("above the limit")));
        assert!(matches!(frames.next(), Next::Flow { .. }));
        assert!(frames.window.capacity() <= 2 * WINDOW);
    }

    #[test]
    fn damage_larger_than_the_window_is_passed_over() {
        let noise = "7:abc".repeat(3 * WINDOW / 5);
        let bytes = format!("{}{noise}{}", flow(0), flow(1));
        assert_eq!(read(bytes.as_bytes()), (vec!["0".into(), "1".into()], vec![flow(0).len() as u64]));
    }
}
