//! Connection tasks: open a socket, then read until it ends. A task holds no state of its own: what it reads goes
//! to the engine, which says whether to read on.

use std::cell::RefCell;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;

use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::tcp::OwnedReadHalf;
use tokio::net::{TcpSocket, TcpStream};

use crate::engine::records::{ConnId, Engine, Stage};
use crate::engine::settle;
use crate::engine::wire::{Transport, Wire, Written};

/// Opens the connection `id` and reads from it until it ends.
pub(crate) fn spawn_open(engine: &mut Engine, id: ConnId) {
    let Some(me) = engine.me.upgrade() else { return };
    let task = tokio::task::spawn_local(async move {
        let job = me.borrow().job.clone();
        match connect(&job.target.addresses).await {
            Ok(stream) => {
                let (read, write) = stream.into_split();
                let opened = me.borrow_mut().opened(id, Wire::new(write, Transport::Plain));
                if opened {
                    read_on(&me, read, id).await;
                }
            }
            Err(err) => {
                let mut engine = me.borrow_mut();
                engine.connect_failed(id, Some(&err));
                engine.after_event();
            }
        }
    });
    engine.conns[id.slot].task = Some(task.abort_handle());
}

/// Writes the rest of a request as the socket takes it.
pub(crate) fn spawn_flush(engine: &mut Engine, id: ConnId) {
    let Some(me) = engine.me.upgrade() else { return };
    tokio::task::spawn_local(poll_fn(move |cx| {
        let mut engine = me.borrow_mut();
        if !engine.is_alive(id) {
            return Poll::Ready(());
        }
        let Some(wire) = &mut engine.conns[id.slot].wire else { return Poll::Ready(()) };
        // An error here will be met by the reader, which judges.
        wire.poll_flush(cx).map(|_| ())
    }));
}

async fn connect(addresses: &[SocketAddr]) -> std::io::Result<TcpStream> {
    let mut last = std::io::Error::from(std::io::ErrorKind::AddrNotAvailable);
    for address in addresses {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_nodelay(true)?;
        match socket.connect(*address).await {
            Ok(stream) => return Ok(stream),
            Err(err) => last = err,
        }
    }
    Err(last)
}

async fn read_on(me: &Rc<RefCell<Engine>>, mut read: OwnedReadHalf, id: ConnId) {
    poll_fn(|cx| {
        loop {
            let mut engine = me.borrow_mut();
            let mut buffer = std::mem::take(&mut engine.read_buffer);
            let mut filled = ReadBuf::new(&mut buffer);
            let polled = Pin::new(&mut read).poll_read(cx, &mut filled);
            let count = filled.filled().len();
            let goes_on = match polled {
                Poll::Pending => {
                    engine.read_buffer = buffer;
                    return Poll::Pending;
                }
                Poll::Ready(Ok(())) => engine.received(id, &buffer[..count]),
                Poll::Ready(Err(_)) => {
                    engine.broken(id);
                    false
                }
            };
            engine.read_buffer = buffer;
            engine.after_event();
            if !goes_on {
                return Poll::Ready(());
            }
        }
    })
    .await;
}

impl Engine {
    /// The socket is open. False: it is not wanted any more.
    fn opened(&mut self, id: ConnId, mut wire: Wire) -> bool {
        if !self.is_alive(id) {
            return false;
        }
        self.tally.conns_opened += 1;
        if let Some(tls) = self.job.target.tls.clone() {
            let Ok(session) = rustls::ClientConnection::new(tls.config, tls.name) else {
                self.conns[id.slot].stage = Stage::Handshake;
                self.connect_failed(id, None);
                self.after_event();
                return false;
            };
            wire = wire.with_tls(session);
            let hello = wire.push();
            let conn = &mut self.conns[id.slot];
            conn.stage = Stage::Handshake;
            conn.wire = Some(wire);
            if matches!(hello, Ok(Written::Part)) {
                spawn_flush(self, id);
            }
            return true;
        }
        self.conns[id.slot].wire = Some(wire);
        self.ready(id);
        self.after_event();
        self.is_alive(id)
    }

    /// The connection can carry the operation that it was opened for.
    fn ready(&mut self, id: ConnId) {
        let op = self.conns[id.slot].op;
        let now = self.now();
        self.send(op, id.slot, now);
    }

    /// Bytes came from the socket (none: its end). False: stop reading.
    fn received(&mut self, id: ConnId, bytes: &[u8]) -> bool {
        if !self.is_alive(id) {
            return false;
        }
        if bytes.is_empty() {
            self.ended(id);
            return false;
        }
        let is_tls = self.conns[id.slot].wire.as_mut().is_some_and(|wire| wire.tls().is_some());
        if is_tls { self.received_tls(id, bytes) } else { settle::bytes_came(self, id, bytes) }
    }

    fn received_tls(&mut self, id: ConnId, mut cipher: &[u8]) -> bool {
        let mut plain = std::mem::take(&mut self.plain_buffer);
        let mut goes_on = true;
        while goes_on && !cipher.is_empty() {
            let Some(wire) = &mut self.conns[id.slot].wire else { break };
            if wire.take_in(&mut cipher).is_err() {
                let _ = wire.push(); // the alert that tells the peer why
                self.broken(id);
                goes_on = false;
                break;
            }
            if matches!(wire.push(), Ok(Written::Part)) {
                spawn_flush(self, id);
            }
            goes_on = self.handshake_done(id) && self.drain_plain(id, &mut plain);
        }
        self.plain_buffer = plain;
        goes_on
    }

    /// Starts using the connection once its handshake is over. False: the connection is gone.
    fn handshake_done(&mut self, id: ConnId) -> bool {
        let conn = &mut self.conns[id.slot];
        let Some(tls) = conn.wire.as_mut().and_then(Wire::tls) else { return false };
        if conn.stage != Stage::Handshake || tls.is_handshaking() {
            return true;
        }
        if tls.handshake_kind() == Some(rustls::HandshakeKind::Resumed) {
            self.tally.tls_resumed += 1;
        } else {
            self.tally.tls_full += 1;
        }
        self.ready(id);
        self.is_alive(id)
    }

    fn drain_plain(&mut self, id: ConnId, plain: &mut [u8]) -> bool {
        loop {
            let Some(wire) = &mut self.conns[id.slot].wire else { return false };
            let count = wire.read_plain(plain);
            if count == 0 {
                return true;
            }
            if !settle::bytes_came(self, id, &plain[..count]) {
                return false;
            }
        }
    }

    /// The peer closed the connection in good order.
    fn ended(&mut self, id: ConnId) {
        settle::connection_over(self, id, false);
    }

    /// The connection was reset, or its TLS is broken.
    fn broken(&mut self, id: ConnId) {
        if self.is_alive(id) {
            settle::connection_over(self, id, true);
        }
    }

    /// What is to be done after any event: make use of connections and room that became free.
    pub(crate) fn after_event(&mut self) {
        if !self.waiting.is_empty() || !self.fully_paced() {
            let now = self.now();
            self.serve_waiting(now);
            self.admit(now);
        }
    }
}
