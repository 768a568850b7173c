//! The bytes under HTTP: a TCP socket, in clear or under TLS.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// A client's connection below our own stream.
#[derive(Debug)]
pub(crate) enum Raw {
    /// Clear text.
    Plain(TcpStream),
    /// TLS terminated here. Boxed: the session state is large and most connections are plain.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Raw {
    /// The socket itself, for what only the kernel can do (linger, queue length, peek).
    pub(crate) fn socket(&self) -> &TcpStream {
        match self {
            Raw::Plain(tcp) => tcp,
            Raw::Tls(tls) => tls.get_ref().0,
        }
    }
}

impl AsyncRead for Raw {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Raw::Plain(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Raw::Tls(tls) => Pin::new(tls).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Raw {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Raw::Plain(tcp) => Pin::new(tcp).poll_write(cx, buf),
            Raw::Tls(tls) => Pin::new(tls).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Raw::Plain(tcp) => Pin::new(tcp).poll_write_vectored(cx, bufs),
            Raw::Tls(tls) => Pin::new(tls).poll_write_vectored(cx, bufs),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Raw::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Raw::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Raw::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Raw::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}
