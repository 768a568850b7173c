//! Bytes to and from a socket, in the clear or through TLS. Writing never waits: what the socket does not take at
//! once is kept and flushed later.

use std::io::{self, Read, Write};
use std::task::{Context, Poll};

use bytes::Bytes;
use rustls::ClientConnection;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::task::AbortHandle;

/// The writing side of a connection, and its TLS state.
#[derive(Debug)]
pub(crate) struct Wire {
    /// `None` only while it is dropped.
    socket: Option<OwnedWriteHalf>,
    transport: Transport,
    rest: Rest,
    /// Whether the socket took a byte of the present request.
    touched: bool,
    /// Bytes that the socket took at the last push.
    took: usize,
    /// The task that writes the rest; it ends with the wire, since a socket that is gone wakes nobody.
    pub(crate) flusher: Option<AbortHandle>,
}

/// How bytes become bytes on the socket.
#[derive(Debug)]
pub(crate) enum Transport {
    Plain,
    Tls(Box<ClientConnection>),
}

/// How much of a request the socket took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    All,
    /// The rest must be flushed.
    Part,
}

/// What is still to be written of a request.
#[derive(Debug, Default)]
struct Rest {
    head: Bytes,
    body: Bytes,
    filler: u64,
}

impl Wire {
    pub(crate) fn new(socket: OwnedWriteHalf, transport: Transport) -> Wire {
        Wire {
            socket: Some(socket),
            transport,
            rest: Rest::default(),
            touched: false,
            took: 0,
            flusher: None,
        }
    }

    /// The same socket, spoken to through TLS.
    pub(crate) fn with_tls(mut self, tls: ClientConnection) -> Wire {
        self.transport = Transport::Tls(Box::new(tls));
        self
    }

    /// Writes a request: `head`, then `body`, then `filler` spaces.
    pub(crate) fn send(&mut self, head: &[u8], body: Bytes, filler: u64) -> io::Result<Written> {
        self.touched = false;
        if let (Transport::Plain, Some(socket)) = (&self.transport, &self.socket) {
            let taken = match socket.try_write(head) {
                Ok(taken) => taken,
                Err(err) if err.kind() == io::ErrorKind::WouldBlock => 0,
                Err(err) => return Err(err),
            };
            self.touched = taken > 0;
            if taken == head.len() && body.is_empty() && filler == 0 {
                return Ok(Written::All);
            }
            self.rest = Rest { head: Bytes::copy_from_slice(&head[taken..]), body, filler };
        } else {
            self.rest = Rest { head: Bytes::copy_from_slice(head), body, filler };
        }
        self.push()
    }

    /// Keeps a request to be written by [`Wire::poll_flush`] alone.
    pub(crate) fn queue(&mut self, head: &[u8], body: Bytes, filler: u64) -> Written {
        self.touched = true;
        self.rest = Rest { head: Bytes::copy_from_slice(head), body, filler };
        Written::Part
    }

    /// Writes bytes after what is still to be written: the messages of a WebSocket, in their order.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> io::Result<Written> {
        if !self.has_rest() {
            return self.send(bytes, Bytes::new(), 0);
        }
        self.keep(bytes);
        self.push()
    }

    /// Keeps bytes after what is still to be written, for [`Wire::poll_flush`] alone.
    pub(crate) fn keep(&mut self, bytes: &[u8]) -> Written {
        self.touched = true;
        self.rest.head = Bytes::from([&self.rest.head, bytes].concat());
        Written::Part
    }

    /// Writes as much of the rest as the socket takes.
    pub(crate) fn push(&mut self) -> io::Result<Written> {
        loop {
            match self.push_at_most(usize::MAX)? {
                Written::Part if self.took > 0 => {}
                written => return Ok(written),
            }
        }
    }

    /// Writes up to `most` bytes of the rest, in one call.
    pub(crate) fn push_at_most(&mut self, most: usize) -> io::Result<Written> {
        self.took = 0;
        let Some(socket) = &self.socket else { return Ok(Written::All) };
        let from = self.rest.front();
        let from = &from[..from.len().min(most)];
        let taken = match &mut self.transport {
            Transport::Plain if from.is_empty() => return Ok(Written::All),
            Transport::Plain => socket.try_write(from).inspect(|taken| self.rest.take(*taken)),
            Transport::Tls(tls) if from.is_empty() && !tls.wants_write() => return Ok(Written::All),
            Transport::Tls(tls) => {
                let taken = tls.writer().write(from)?;
                self.rest.take(taken);
                if tls.wants_write() { tls.write_tls(&mut Socket(socket)) } else { Ok(taken) }
            }
        };
        match taken {
            Ok(taken) => self.took = taken,
            Err(err) if err.kind() == io::ErrorKind::WouldBlock => {}
            Err(err) => return Err(err),
        }
        self.touched |= self.took > 0;
        Ok(Written::Part)
    }

    /// Goes on pushing whenever the socket takes more, until all is written.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if self.push()? == Written::All {
                return Poll::Ready(Ok(()));
            }
            let Some(socket) = &self.socket else { return Poll::Ready(Ok(())) };
            std::task::ready!(socket.as_ref().poll_write_ready(cx))?;
        }
    }

    /// Bytes that the socket took at the last push.
    pub(crate) fn took(&self) -> usize {
        self.took
    }

    /// Whether no byte of the present request was taken by the socket.
    pub(crate) fn is_untouched(&self) -> bool {
        !self.touched
    }

    /// Whether a part of the present request is still to be written.
    pub(crate) fn has_rest(&self) -> bool {
        !self.rest.front().is_empty()
    }

    pub(crate) fn tls(&mut self) -> Option<&mut ClientConnection> {
        match &mut self.transport {
            Transport::Plain => None,
            Transport::Tls(tls) => Some(tls),
        }
    }

    /// Deciphers what came from the socket, as far as `cipher` goes; plain bytes are read by [`Wire::read_plain`].
    pub(crate) fn take_in(&mut self, cipher: &mut &[u8]) -> Result<(), io::Error> {
        let Some(tls) = self.tls() else { return Ok(()) };
        tls.read_tls(cipher)?;
        tls.process_new_packets().map_err(|err| io::Error::new(io::ErrorKind::InvalidData, err))?;
        Ok(())
    }

    /// Reads deciphered bytes; 0 when there are none at the moment.
    pub(crate) fn read_plain(&mut self, buffer: &mut [u8]) -> usize {
        self.tls().and_then(|tls| tls.reader().read(buffer).ok()).unwrap_or(0)
    }
}

impl Drop for Wire {
    /// The reading half closes the socket; a `shutdown` before that would only cost a system call.
    fn drop(&mut self) {
        if let Some(socket) = self.socket.take() {
            socket.forget();
        }
        if let Some(task) = self.flusher.take() {
            task.abort();
        }
    }
}

impl Rest {
    /// The next bytes to write; empty when there are none.
    fn front(&self) -> &[u8] {
        if !self.head.is_empty() {
            &self.head
        } else if !self.body.is_empty() {
            &self.body
        } else {
            &SPACES[..SPACES.len().min(usize::try_from(self.filler).unwrap_or(usize::MAX))]
        }
    }

    fn take(&mut self, bytes: usize) {
        if !self.head.is_empty() {
            self.head = self.head.slice(bytes..);
        } else if !self.body.is_empty() {
            self.body = self.body.slice(bytes..);
        } else {
            self.filler -= bytes as u64;
        }
    }
}

/// The socket as rustls wants to write to it.
struct Socket<'a>(&'a OwnedWriteHalf);

impl Write for Socket<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Filler for bodies that were not recorded whole.
static SPACES: [u8; 16 * 1024] = [b' '; 16 * 1024];
