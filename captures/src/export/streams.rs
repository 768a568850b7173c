//! The messages of a stream in the exports: what `stream` holds on a line of NDJSON and in `_squall` of an archive.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{base64, unbase64};
use crate::messages::{Message, Stream};

/// A stream.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ExactStream {
    kind: String,
    /// Messages that were not kept.
    truncated: u64,
    messages: Vec<ExactMessage>,
}

/// A message; times in microseconds after the start of the exchange.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct ExactMessage {
    at_us: u64,
    from_client: bool,
    kind: String,
    len: u64,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    compressed: bool,
    /// Its bytes, where they are recorded and text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    /// Its bytes, where they are recorded and no text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    base64: Option<String>,
}

impl ExactStream {
    pub(crate) fn of(stream: &Stream) -> ExactStream {
        ExactStream {
            kind: stream.kind.as_str().to_owned(),
            truncated: stream.truncated,
            messages: stream.messages.iter().map(ExactMessage::of).collect(),
        }
    }

    /// The stream again.
    ///
    /// # Errors
    /// In words, what is no stream that Squall wrote.
    pub(crate) fn restore(self) -> Result<Stream, String> {
        Ok(Stream {
            kind: self.kind.parse().map_err(|err| format!("stream: {err}"))?,
            messages: self.messages.into_iter().map(ExactMessage::restore).collect::<Result<_, _>>()?,
            truncated: self.truncated,
        })
    }
}

impl ExactMessage {
    fn of(message: &Message) -> ExactMessage {
        let text = message.data.as_ref().map(|data| std::str::from_utf8(data).map_err(|_| data));
        let (text, base64) = match text {
            None => (None, None),
            Some(Ok(text)) => (Some(text.to_owned()), None),
            Some(Err(data)) => (None, Some(base64(data))),
        };
        ExactMessage {
            at_us: message.at_us,
            from_client: message.from_client,
            kind: message.kind.as_str().to_owned(),
            len: message.len,
            compressed: message.compressed,
            text,
            base64,
        }
    }

    fn restore(self) -> Result<Message, String> {
        let data = match (self.text, self.base64) {
            (Some(text), _) => Some(Bytes::from(text)),
            (None, Some(coded)) => {
                Some(unbase64(&coded).map_err(|err| format!("a message is not base64: {err}"))?.into())
            }
            (None, None) => None,
        };
        if data.as_ref().is_some_and(|data| data.len() as u64 != self.len) {
            return Err("a message is not as long as it says".to_owned());
        }
        Ok(Message {
            at_us: self.at_us,
            from_client: self.from_client,
            kind: self.kind.parse().map_err(|err| format!("message: {err}"))?,
            compressed: self.compressed,
            len: self.len,
            data,
        })
    }
}

/// A stream with something of everything, for the tests of the formats.
#[cfg(test)]
pub(crate) fn example() -> Stream {
    use crate::messages::{MessageKind, StreamKind};
    let message = |at_us, from_client, kind, data: Option<&'static [u8]>| Message {
        at_us,
        from_client,
        kind,
        compressed: data.is_none(),
        len: data.map_or(7, |data| data.len() as u64),
        data: data.map(Bytes::from_static),
    };
    Stream {
        kind: StreamKind::WebSocket,
        messages: vec![
            message(5, true, MessageKind::Text, Some(b"{\"say\":\"hello\"}")),
            message(9, false, MessageKind::Text, None),
            message(9, true, MessageKind::Binary, Some(b"\xff\0")),
            message(10, true, MessageKind::Close, Some(b"")),
        ],
        truncated: 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_that_nobody_wrote_is_refused_in_words() {
        let mut wrong = ExactStream::of(&example());
        wrong.messages[0].len += 1;
        assert!(wrong.restore().unwrap_err().contains("not as long"));
        let mut wrong = ExactStream::of(&example());
        wrong.messages[2].base64 = Some("?".to_owned());
        assert!(wrong.restore().unwrap_err().contains("base64"));
        let mut wrong = ExactStream::of(&example());
        wrong.messages[1].kind = "carrier pigeon".to_owned();
        assert!(wrong.restore().unwrap_err().contains("kind"));
    }
}
