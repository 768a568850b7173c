//! Marks one answer of an HTTP/2 connection, so that the frame layer knows its stream.
//!
//! Pingora tells nobody the id of a stream whose answer it writes. So the answer gets a header field of ours, and the
//! frame layer finds it, reads the id off the frame and takes the field out again: no client ever sees it. That is
//! safe because the field is sent as never indexed (RFC 7541 section 6.2.3), so it leaves no trace in the connection's
//! header table, and findable because its letters all have codes of five bits (RFC 7541 appendix B).

use http::{HeaderName, HeaderValue};

/// A mark, unique among the answers under way on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Tag(u32);

impl Tag {
    /// The `n`-th mark of a connection; they repeat after [`Tag::DIFFERENT`].
    pub(super) fn new(n: u32) -> Tag {
        Tag(n % Tag::DIFFERENT)
    }

    /// The field to be added to the answer's header.
    pub(crate) fn field(self) -> (HeaderName, HeaderValue) {
        let mut value =
            HeaderValue::from_bytes(&self.letters()).expect("letters and digits are a header value");
        value.set_sensitive(true); // never indexed
        (HeaderName::from_static(NAME), value)
    }

    /// Takes the field out of a header block. False: it is not in there.
    pub(super) fn take_from(self, block: &mut Vec<u8>) -> bool {
        let field = self.encoded();
        let Some(at) = block.windows(field.len()).position(|window| window == field) else { return false };
        block.drain(at..at + field.len());
        true
    }

    fn letters(self) -> [u8; LEN] {
        let mut rest = self.0;
        [(); LEN].map(|()| {
            let letter = ALPHABET[rest as usize % ALPHABET.len()];
            rest /= 10;
            letter
        })
    }

    /// Literal never indexed, with a new name; both strings in the Huffman code.
    pub(super) fn encoded(self) -> Vec<u8> {
        let mut field = vec![0x10];
        for text in [NAME.as_bytes(), &self.letters()] {
            let code = huffman(text);
            field.push(0x80 | u8::try_from(code.len()).expect("both strings are short"));
            field.extend_from_slice(&code);
        }
        field
    }

    const DIFFERENT: u32 = 100_000_000;
}

/// The code of a text made of [`ALPHABET`]: five bits a letter, filled up with ones.
fn huffman(text: &[u8]) -> Vec<u8> {
    let mut bits = text.iter().flat_map(|letter| {
        let code = ALPHABET.iter().position(|of| of == letter).unwrap_or_default();
        (0..5).rev().map(move |bit| code >> bit & 1 == 1)
    });
    let mut code = Vec::new();
    while let Some(first) = bits.next() {
        let byte = (0..7).fold(u8::from(first), |byte, _| byte << 1 | u8::from(bits.next().unwrap_or(true)));
        code.push(byte);
    }
    code
}

/// The letters whose codes are their places here, in five bits.
const ALPHABET: &[u8; 10] = b"012aceiost";
/// Not a name that anybody uses.
const NAME: &str = "tacet0cite0";
const LEN: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_of_the_standard() {
        assert_eq!(huffman(b"a"), [0b0001_1111]);
        assert_eq!(huffman(b"01"), [0b0000_0000, 0b0111_1111]);
        assert_eq!(huffman(b"tttttttt"), [0b0100_1010, 0b0101_0010, 0b1001_0100, 0b1010_0101, 0b0010_1001]);
    }

    #[test]
    fn only_its_own_field_is_taken_out() {
        let (one, other) = (Tag::new(1), Tag::new(100_000_002));
        let mut block = [b"before".as_slice(), &other.encoded(), &one.encoded(), b"behind"].concat();
        assert!(one.take_from(&mut block));
        assert!(!one.take_from(&mut block));
        assert_eq!(block, [b"before".as_slice(), &Tag::new(2).encoded(), b"behind"].concat());
    }

    /// The encoder that pingora uses writes the field as it is looked for, whatever came before it.
    #[test]
    fn the_h2_crate_encodes_it_so() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let (client, server) = tokio::io::duplex(1 << 20);
            let serving = tokio::spawn(async move {
                let mut server = h2::server::handshake(server).await.expect("a handshake");
                while let Some(Ok((request, _))) = server.accept().await {
                    assert!(request.headers().contains_key(NAME));
                }
            });
            let (tell, told) = std::sync::mpsc::channel();
            let tapped = Tapped { inner: client, tell };
            let (mut send, connection) = h2::client::handshake(tapped).await.expect("a handshake");
            tokio::spawn(connection);
            let mut answers = Vec::new();
            for n in 0..100 {
                send = send.ready().await.expect("a stream");
                let (name, value) = Tag::new(n).field();
                let request = http::Request::builder().uri("http://t/").header("x", n).header(name, value);
                answers.push(send.send_request(request.body(()).expect("a request"), true).expect("sent"));
            }
            for (answer, _) in answers {
                answer.await.expect_err("nobody answers");
            }
            drop(send);
            serving.await.expect("served");
            let mut wire: Vec<u8> = told.try_iter().flatten().collect();
            (0..100).for_each(|n| assert!(Tag::new(n).take_from(&mut wire), "{n}"));
        });
    }

    struct Tapped {
        inner: tokio::io::DuplexStream,
        tell: std::sync::mpsc::Sender<Vec<u8>>,
    }

    use std::io::Result;
    use std::pin::Pin;
    use std::task::{Context, Poll};
    use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

    impl AsyncRead for Tapped {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buf: &mut ReadBuf<'_>,
        ) -> Poll<Result<()>> {
            Pin::new(&mut self.inner).poll_read(cx, buf)
        }
    }

    impl AsyncWrite for Tapped {
        fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<Result<usize>> {
            let wrote = Pin::new(&mut self.inner).poll_write(cx, buf);
            if let Poll::Ready(Ok(n)) = wrote {
                self.tell.send(buf[..n].to_vec()).expect("told");
            }
            wrote
        }

        fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
            Pin::new(&mut self.inner).poll_flush(cx)
        }

        fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
            Pin::new(&mut self.inner).poll_shutdown(cx)
        }
    }
}
