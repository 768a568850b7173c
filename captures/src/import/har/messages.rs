//! `_webSocketMessages`, as Chrome and those who follow it write them.

use serde_json::Value;

use super::parts;
use crate::limits::MAX_MESSAGES;
use crate::messages::{Message, MessageKind, Stream, StreamKind};

/// The messages of an entry that began at `start_us`; `None` where it has no list of them. What is no message that can be
/// understood is counted as not kept, and so are those that are too many.
pub(super) fn web_socket(entry: &Value, start_us: u64) -> Option<Stream> {
    let list = entry.get("_webSocketMessages")?.as_array()?;
    let mut stream = Stream::new(StreamKind::WebSocket);
    for value in list {
        match message(value, start_us).filter(|_| stream.messages.len() < MAX_MESSAGES) {
            Some(message) => stream.messages.push(message),
            None => stream.truncated += 1,
        }
    }
    Some(stream)
}

fn message(value: &Value, start_us: u64) -> Option<Message> {
    let from_client = match value.get("type")?.as_str()? {
        "send" => true,
        "receive" => false,
        _ => return None,
    };
    let opcode = value.get("opcode").and_then(parts::number)? as u8;
    let kind = MessageKind::from_number(opcode).filter(|kind| {
        use MessageKind::{Binary, Close, Ping, Pong, Text};
        matches!(kind, Text | Binary | Close | Ping | Pong)
    })?;
    let text = value.get("data").and_then(Value::as_str).unwrap_or_default();
    let data = match kind {
        MessageKind::Binary => crate::export::unbase64(text).ok()?,
        _ => text.as_bytes().to_vec(),
    };
    // since 1970: Chrome counts seconds, Playwright milliseconds; doubles are exact to a microsecond until 2255
    let time = value.get("time").and_then(parts::number).unwrap_or_default();
    let time_us = time * if time < FAR_SECONDS { 1e6 } else { 1e3 };
    Some(Message {
        at_us: (time_us.round() as u64).saturating_sub(start_us),
        from_client,
        kind,
        compressed: false,
        len: data.len() as u64,
        data: from_client.then(|| data.into()),
    })
}

/// The year 5138 in seconds, 1973 in milliseconds.
const FAR_SECONDS: f64 = 1e11;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn messages_of_chrome() {
        let entry = json!({ "_webSocketMessages": [
            { "type": "send", "time": 1_680_134_454.25, "opcode": 1, "data": "hello" },
            { "type": "receive", "time": 1_680_134_454.500_001, "opcode": 2, "data": "/wA=" },
            { "type": "send", "time": 1_680_134_455_000.0, "opcode": 2, "data": "/wA=" },
            { "type": "receive", "time": 3, "opcode": 1, "data": "before the start" },
            { "type": "error", "time": 1_680_134_455.0, "opcode": -1, "data": "net::ERR" },
            { "type": "send", "opcode": 5, "data": "" },
            { "type": "send", "opcode": 2, "data": "no base64!" },
            7, null,
        ] });
        let stream = web_socket(&entry, 1_680_134_454_250_000).unwrap();
        let said: Vec<_> = stream
            .messages
            .iter()
            .map(|message| (message.at_us, message.from_client, message.len, message.data.as_deref()))
            .collect();
        let expect: [(u64, bool, u64, Option<&[u8]>); 4] = [
            (0, true, 5, Some(b"hello")),
            (250_001, false, 2, None),
            (750_000, true, 2, Some(b"\xff\0")),
            (0, false, 16, None),
        ];
        assert_eq!((said.as_slice(), stream.truncated), (&expect[..], 5));
        assert_eq!(web_socket(&json!({ "_webSocketMessages": 7 }), 0), None);
        assert_eq!(web_socket(&json!({}), 0), None);
    }
}
