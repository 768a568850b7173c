//! `websocket_close`: the proxy closes a WebSocket in the server's name.
//!
//! Client: the messages before, then a close frame with code and reason at a message's end, then FIN; what it says
//! after that is read and dropped. 1006 stands for an end without a close frame. Upstream: sees the connection go.
//! Bound: none needed. Client leaves first: `client_gone`. Fewer messages than asked for: `no_such_point`. Not a
//! WebSocket: `wrong_protocol`.

use fault_rules::action::WebsocketClose;

/// The close frame (RFC 6455 section 5.5.1), unmasked as from a server; nothing for 1006.
pub(super) fn frame(close: &WebsocketClose) -> Vec<u8> {
    if close.code == ABNORMAL {
        return Vec::new();
    }
    let reason = &close.reason.as_bytes()[..close.reason.len().min(MAX_REASON)];
    let len = u8::try_from(reason.len() + 2).expect("a control frame has at most 125 bytes");
    let mut frame = vec![FIN_AND_CLOSE, len];
    frame.extend_from_slice(&close.code.to_be_bytes());
    frame.extend_from_slice(reason);
    frame
}

/// RFC 6455 section 7.4.1: never on the wire.
const ABNORMAL: u16 = 1006;
const FIN_AND_CLOSE: u8 = 0x88;
/// A control frame has at most 125 bytes, two of which are the code.
const MAX_REASON: usize = 123;
