//! The messages of a WebSocket, which belong to the flow of its handshake.

use super::tnetstring::Item;
use crate::Exchange;
use crate::import::{Tally, micros};
use crate::limits::MAX_MESSAGES;
use crate::messages::{Message, MessageKind, Stream, StreamKind};
use crate::notes::Notes;

/// Gives the exchange of a handshake its messages. `flow` is the dictionary that holds them: the field `websocket` of
/// a flow, or before version 12 a flow of its own. What was injected in mitmproxy is left out: nobody's client sent it.
pub(super) fn attach(exchange: &mut Exchange, flow: &Item<'_>, tally: &mut Tally) {
    let mut stream = Stream::new(StreamKind::WebSocket);
    let mut end_us = exchange.duration_us.unwrap_or(0);
    for item in flow.get("messages").list() {
        if item.list().get(INJECTED).is_some_and(Item::is_true) {
            tally.note("injected messages left out", 1);
            continue;
        }
        match message(item, exchange.start_us).filter(|_| stream.messages.len() < MAX_MESSAGES) {
            Some(message) => {
                end_us = end_us.max(message.at_us);
                stream.messages.push(message);
            }
            None => stream.truncated += 1,
        }
    }
    let end = flow.get("timestamp_end").number().and_then(micros);
    end_us = end_us.max(end.map_or(0, |end| end.saturating_sub(exchange.start_us)));
    stream.messages.extend(close(flow, end_us));
    exchange.duration_us = Some(end_us);
    exchange.notes.insert(Notes::WEBSOCKET.with(Notes::UPGRADED));
    exchange.stream = Some(stream);
}

/// Kind, from the client, content, time, and whether it was held back: a list.
fn message(item: &Item<'_>, start_us: u64) -> Option<Message> {
    let [kind, from_client, content, time, ..] = item.list() else { return None };
    let kind = match kind.number()? as u8 {
        1 => MessageKind::Text,
        2 => MessageKind::Binary,
        9 => MessageKind::Ping,
        10 => MessageKind::Pong,
        _ => return None,
    };
    let content = content.bytes()?;
    let from_client = from_client.is_true();
    Some(Message {
        at_us: micros(time.number()?)?.saturating_sub(start_us),
        from_client,
        kind,
        compressed: false,
        len: content.len() as u64,
        data: from_client.then(|| content.to_vec().into()),
    })
}

/// The frame that closed it, of which the file knows sender, code and reason.
fn close(flow: &Item<'_>, at_us: u64) -> Option<Message> {
    let from_client = match (flow.get("closed_by_client"), flow.get("close_sender").bytes()) {
        (Item::Bool(yes), _) => *yes,
        (_, Some(sender)) => sender == b"client",
        _ => return None,
    };
    let code = flow.get("close_code").number().filter(|code| (1000.0..5000.0).contains(code))? as u16;
    // 1005 and 1006 say that no frame, or none with a code, was seen
    let data = match code {
        1005 => Vec::new(),
        1006 => return None,
        code => [&code.to_be_bytes(), flow.get("close_reason").bytes().unwrap_or_default()].concat(),
    };
    Some(Message {
        at_us,
        from_client,
        kind: MessageKind::Close,
        compressed: false,
        len: data.len() as u64,
        data: from_client.then(|| data.into()),
    })
}

/// Place of that word in the list of a message.
const INJECTED: usize = 5;
