//! Secrets in the messages of streams.
//!
//! Texts are rewritten as bodies are, messages of gRPC field by field. Another binary message is looked into too, but
//! cannot be rewritten: its format knows lengths that would not fit any more. Where it holds a secret its bytes are withheld.

use super::bodies::rewrite_plain;
use super::echo::Echo;
use super::grpc::{self, Outcome};
use super::secrets::Secrets;
use crate::messages::{Message, Stream, StreamKind, is_grpc};
use crate::{Body, Headers};

/// Replaces the secrets in the messages; `false` when bytes were withheld.
pub(super) fn rewrite(stream: &mut Stream, headers: &Headers, secrets: &mut Secrets<'_>) -> bool {
    // what is no text is only looked into, and that thoroughly
    let is_grpc = stream.kind == StreamKind::Grpc;
    let kind = |plain: &[u8]| match std::str::from_utf8(plain) {
        // as in the body where they stand
        _ if is_grpc => "application/grpc",
        Ok(_) => "",
        Err(_) => "text/plain",
    };
    change(stream, headers, &mut |plain| rewrite_plain(plain, kind(plain), secrets))
}

/// Replaces what is echoed in the messages; `false` when bytes were withheld.
pub(super) fn echo(stream: &mut Stream, headers: &Headers, echo: &Echo) -> bool {
    change(stream, headers, &mut |plain| echo.replace(plain))
}

fn change(stream: &mut Stream, headers: &Headers, find: &mut dyn FnMut(&[u8]) -> Option<Vec<u8>>) -> bool {
    let coding = super::bodies::header(headers, "grpc-encoding");
    let kind = stream.kind;
    let mut all_kept = true;
    for message in &mut stream.messages {
        all_kept &= change_message(message, kind, &coding, find);
    }
    all_kept
}

fn change_message(
    message: &mut Message,
    kind: StreamKind,
    coding: &str,
    find: &mut dyn FnMut(&[u8]) -> Option<Vec<u8>>,
) -> bool {
    let Some(data) = &message.data else { return true };
    if kind == StreamKind::Grpc {
        match grpc::message(data, message.compressed, coding, find) {
            Outcome::Clean => return true,
            Outcome::New(new) => message.data = Some(new.into()),
            Outcome::Withheld => message.data = None,
        }
    } else {
        // nobody can say what is in what is packed
        let new = if message.compressed { Some(Vec::new()) } else { find(data) };
        let Some(new) = new else { return true };
        let is_text = !message.compressed && std::str::from_utf8(data).is_ok();
        message.data = is_text.then(|| new.into());
    }
    if let Some(data) = &message.data {
        message.len = data.len() as u64;
    }
    message.data.is_some()
}

/// What is recorded of a gRPC body, if anything.
pub(super) fn grpc_data<'a>(body: &'a Body, content_type: &str) -> Option<&'a [u8]> {
    body.data.as_deref().filter(|data| is_grpc(content_type) && !data.is_empty())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::exchange::Request;
    use crate::messages::MessageKind;
    use crate::notes::Notes;
    use crate::{Exchange, Redactor};

    fn sent(kind: MessageKind, data: &[u8]) -> Message {
        let data = bytes::Bytes::copy_from_slice(data);
        Message {
            at_us: 1,
            from_client: true,
            kind,
            compressed: false,
            len: data.len() as u64,
            data: Some(data),
        }
    }

    /// What is left of messages that a client sent over a WebSocket, and whether something was withheld.
    fn redacted(messages: Vec<Message>) -> (Vec<Message>, bool) {
        let stream = Stream { messages, ..Stream::new(StreamKind::WebSocket) };
        let mut exchange = Exchange { stream: Some(stream), ..Exchange::default() };
        let mut redactor = Redactor::new([7; 32]);
        redactor.exchange(&mut exchange);
        let once = exchange.clone();
        redactor.exchange(&mut exchange);
        assert_eq!(exchange.stream, once.stream, "redacting again changes nothing");
        (once.stream.unwrap().messages, once.notes.contains(Notes::BODY_WITHHELD))
    }

    #[test]
    fn secrets_in_texts_are_replaced_and_the_length_follows() {
        let texts = [
            r#"{"op":"login","user":"ann","password":"hunter2-secret"}"#,
            r#"42["login",{"password":"hunter2-secret"}]"#,
            "user=ann&password=hunter2-secret",
            "CONNECT\nlogin:ann\npasscode:hunter2-secret\n\n",
            "the password that was typed is hunter2-secret, says the user",
        ];
        let (messages, withheld) =
            redacted(texts.iter().map(|text| sent(MessageKind::Text, text.as_bytes())).collect());
        assert!(!withheld);
        for (message, text) in messages.iter().zip(texts) {
            let data = message.data.as_deref().unwrap();
            assert_eq!(message.len, data.len() as u64);
            let data = String::from_utf8_lossy(data);
            assert!(!data.contains("hunter2") && data.contains("squall_"), "{text:?} became {data:?}");
        }
    }

    #[test]
    fn what_is_no_secret_stays_as_it_is() {
        let messages = vec![
            sent(MessageKind::Text, b"{\"say\": \"hello\"}"),
            sent(MessageKind::Binary, b"\x01\xff\x00"),
            sent(MessageKind::Close, b"\x03\xe8bye"),
        ];
        assert_eq!(redacted(messages.clone()), (messages, false));
    }

    #[test]
    fn binary_messages_with_a_secret_are_withheld() {
        let login = sent(MessageKind::Text, b"{\"password\":\"hunter2-secret\"}");
        let (messages, withheld) =
            redacted(vec![sent(MessageKind::Binary, b"\x0a\x0ehunter2-secret\xff"), login]);
        assert_eq!((messages[0].data.as_deref(), messages[0].len, withheld), (None, 17, true));
        let packed = Message { compressed: true, ..sent(MessageKind::Text, b"packed") };
        assert_eq!(redacted(vec![packed]).0[0].data, None);
    }

    fn framed(flag: u8, message: &[u8]) -> Vec<u8> {
        [&[flag], &(message.len() as u32).to_be_bytes()[..], message].concat()
    }

    fn gzip(plain: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    #[track_caller]
    fn check_grpc(body: &[u8], coding: &str, kept: bool) {
        let headers = [("Content-Type", "application/grpc+proto"), ("grpc-encoding", coding)];
        let request = Request {
            headers: headers.into_iter().collect(),
            body: Body::whole(body.to_vec()),
            ..Request::default()
        };
        let mut exchange = Exchange { request, ..Exchange::default() };
        Redactor::new([7; 32]).exchange(&mut exchange);
        assert_eq!(exchange.request.body.data.is_some(), kept);
        assert_eq!(exchange.request.body.len, body.len() as u64);
        assert_eq!(exchange.notes.contains(Notes::BODY_WITHHELD), !kept);
    }

    #[test]
    fn addresses_cards_and_tokens_in_grpc_are_replaced() {
        let field = |number: u8, text: &str| [&[number << 3 | 2, text.len() as u8], text.as_bytes()].concat();
        let texts =
            ["ann@example.org", "4111111111111111", "ghp_0123456789abcdefABCDEF0123456789abcd", "ann"];
        let message: Vec<u8> = (1..).zip(texts).flat_map(|(number, text)| field(number, text)).collect();
        for (flag, message) in [(0, message.clone()), (1, gzip(&message))] {
            let headers = [("Content-Type", "application/grpc"), ("grpc-encoding", "gzip")];
            let said = Message { compressed: flag == 1, ..sent(MessageKind::Framed, &message) };
            let body = Body::whole(framed(flag, &message));
            let stream = Stream { messages: vec![said], ..Stream::new(StreamKind::Grpc) };
            let request = Request { headers: headers.into_iter().collect(), body, ..Request::default() };
            let mut exchange = Exchange { request, stream: Some(stream), ..Exchange::default() };
            let mut redactor = Redactor::new([7; 32]);
            redactor.exchange(&mut exchange);
            assert!(!exchange.notes.contains(Notes::BODY_WITHHELD), "flag {flag}");
            let once = exchange.clone();
            redactor.exchange(&mut exchange);
            assert_eq!(exchange, once, "redacting again changes nothing");
            let body = exchange.request.body.data.unwrap();
            let said = exchange.stream.unwrap().messages.remove(0);
            assert_eq!(
                (body.len() as u64, said.len),
                (5 + said.len, said.data.as_ref().unwrap().len() as u64)
            );
            assert_eq!(said.data.unwrap(), &body[5..], "the message stands in the body");
            let plain = if flag == 1 {
                crate::redact::decode_all("gzip", &body[5..]).unwrap()
            } else {
                body[5..].to_vec()
            };
            let plain = String::from_utf8_lossy(&plain);
            texts[..3].iter().for_each(|secret| assert!(!plain.contains(secret), "{plain:?}"));
            assert!(plain.contains(".test") && plain.ends_with("ann"), "{plain:?}");
        }
    }

    #[test]
    fn grpc_bodies_are_kept_whole_or_not_at_all() {
        let token = b"\x0a\x20 password=hunter2-secret \x12";
        check_grpc(&framed(0, b"\x0a\x03ann"), "", true);
        check_grpc(&[framed(0, b"\x0a\x03ann"), framed(0, token)].concat(), "", false);
        check_grpc(&framed(1, &gzip(b"\x0a\x03ann")), "gzip", true);
        check_grpc(&[framed(0, b"x"), framed(1, &gzip(token))].concat(), "gzip", false);
        check_grpc(&framed(1, &gzip(b"\x0a\x03ann")), "snappy", false);
        check_grpc(&framed(1, &gzip(b"\x0a\x03ann"))[..12], "gzip", false);
        check_grpc(&framed(0, b"cut off")[..7], "gzip", true);
    }
}
