//! Connection tasks: open a socket, then read until it ends. A task holds no state of its own: what it reads goes
//! to the engine, which says whether to read on.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::tcp::OwnedReadHalf;
use tokio::net::{TcpSocket, TcpStream};

use crate::bind::Sources;
use crate::engine::records::{ConnId, Engine, Speaks, Stage};
use crate::engine::settle;
use crate::engine::wire::{Transport, Wire, Written};
use crate::limits;
use crate::misbehave::throttle::Throttle;

/// Opens the connection `id` and reads from it until it ends.
pub(crate) fn spawn_open(engine: &mut Engine, id: ConnId) {
    let Some(me) = engine.me.upgrade() else { return };
    let task = tokio::task::spawn_local(async move {
        let _witness = Witness;
        let (job, source, slow) = {
            let mut engine = me.borrow_mut();
            let source = engine.sources.as_mut().map(Sources::take);
            (engine.job.clone(), source, engine.conns[id.slot].reads.is_some())
        };
        let mut opened = connect(&job.target.addresses, source, slow).await;
        let more = me.borrow().sources.as_ref().map_or(0, Sources::len);
        for _ in 0..more {
            // One address without a free port says nothing of the others.
            let no_port = |err: &std::io::Error| err.raw_os_error() == Some(libc::EADDRNOTAVAIL);
            if !opened.as_ref().is_err_and(no_port) {
                break;
            }
            let next = me.borrow_mut().sources.as_mut().map(Sources::take);
            opened = connect(&job.target.addresses, next, slow).await;
        }
        match opened {
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

thread_local! {
    static HAS_PANICKED: Cell<bool> = const { Cell::new(false) };
}

/// Whether a connection task of this thread has panicked. The runtime catches that, and what the task was about to do
/// for the engine is half done: the run must not go on.
pub(crate) fn has_panicked() -> bool {
    HAS_PANICKED.get()
}

/// Sees the panic of the task that holds it.
struct Witness;

impl Drop for Witness {
    fn drop(&mut self) {
        if std::thread::panicking() {
            HAS_PANICKED.set(true);
        }
    }
}

/// Writes what is left to be written as the socket takes it, or as the user's link does.
pub(crate) fn spawn_flush(engine: &mut Engine, id: ConnId) {
    let Some(me) = engine.me.upgrade() else { return };
    let conn = &mut engine.conns[id.slot];
    let link = conn.link;
    let Some(wire) = conn.wire.as_mut().filter(|wire| wire.flusher.is_none()) else { return };
    let task = tokio::task::spawn_local(async move {
        match link {
            None => flush(&me, id).await,
            Some(rate) => trickle(&me, id, rate).await,
        }
        let mut engine = me.borrow_mut();
        if let Some(wire) = engine.wire_of(id) {
            wire.flusher = None;
        }
        engine.flushed(id);
    });
    wire.flusher = Some(task.abort_handle());
}

async fn flush(me: &Rc<RefCell<Engine>>, id: ConnId) {
    poll_fn(|cx| {
        let mut engine = me.borrow_mut();
        let Some(wire) = engine.wire_of(id) else { return Poll::Ready(()) };
        // An error here will be met by the reader, which judges.
        wire.poll_flush(cx).map(|_| ())
    })
    .await;
}

/// Writes no faster than the user's link.
async fn trickle(me: &Rc<RefCell<Engine>>, id: ConnId, rate: u64) {
    let mut link = Throttle::new(rate);
    loop {
        let most = room(me, &link).await;
        let mut engine = me.borrow_mut();
        let now = engine.now();
        let Some(wire) = engine.wire_of(id) else { return };
        if !matches!(wire.push_at_most(most), Ok(Written::Part)) {
            return;
        }
        link.moved(wire.took(), now);
    }
}

/// How many bytes may move, once some may.
async fn room(me: &Rc<RefCell<Engine>>, link: &Throttle) -> usize {
    loop {
        let now = me.borrow().now();
        match link.room(now) {
            Ok(bytes) => return bytes.min(limits::READ_BYTES),
            Err(free_ns) => tokio::time::sleep(Duration::from_nanos(free_ns.saturating_sub(now))).await,
        }
    }
}

async fn connect(addresses: &[SocketAddr], source: Option<IpAddr>, slow: bool) -> std::io::Result<TcpStream> {
    let mut last = std::io::Error::from(std::io::ErrorKind::AddrNotAvailable);
    for address in addresses {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_nodelay(true)?;
        if let Some(source) = source.filter(|source| source.is_ipv4() == address.is_ipv4()) {
            crate::sys::bind_no_port(&socket, source)?;
        }
        if slow {
            // Else the kernel would read at full speed what the user does not.
            socket.set_recv_buffer_size(SLOW_BUFFER)?;
        }
        match socket.connect(*address).await {
            Ok(stream) => return Ok(stream),
            Err(err) => last = err,
        }
    }
    Err(last)
}

async fn read_on(me: &Rc<RefCell<Engine>>, mut read: OwnedReadHalf, id: ConnId) {
    let slow = me.borrow().conns.get(id.slot).and_then(|conn| conn.reads);
    let Some(rate) = slow else {
        while poll_fn(|cx| read_some(me, &mut read, id, cx, limits::READ_BYTES)).await.is_some() {}
        return;
    };
    let mut link = Throttle::new(rate);
    loop {
        let most = room(me, &link).await;
        let Some(count) = poll_fn(|cx| read_some(me, &mut read, id, cx, most)).await else { return };
        let now = me.borrow().now();
        link.moved(count, now);
    }
}

/// Reads once; the engine gets what came. `None`: there is nothing to read on for.
fn read_some(
    me: &Rc<RefCell<Engine>>,
    read: &mut OwnedReadHalf,
    id: ConnId,
    cx: &mut Context<'_>,
    most: usize,
) -> Poll<Option<usize>> {
    let mut engine = me.borrow_mut();
    let mut buffer = std::mem::take(&mut engine.read_buffer);
    let mut filled = ReadBuf::new(&mut buffer[..most]);
    let polled = Pin::new(read).poll_read(cx, &mut filled);
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
    Poll::Ready(goes_on.then_some(count))
}

/// Whether the peer ended the handshake because it speaks no protocol that we offered.
fn is_no_protocol(err: &std::io::Error) -> bool {
    let alert = err.get_ref().and_then(|err| err.downcast_ref::<rustls::Error>());
    matches!(alert, Some(rustls::Error::AlertReceived(rustls::AlertDescription::NoApplicationProtocol)))
}

/// Receive buffer of a connection whose user reads slowly, in bytes.
const SLOW_BUFFER: u32 = 4096;

impl Engine {
    fn wire_of(&mut self, id: ConnId) -> Option<&mut Wire> {
        if self.is_alive(id) { self.conns[id.slot].wire.as_mut() } else { None }
    }

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

    /// The connection can carry what it was opened for.
    fn ready(&mut self, id: ConnId) {
        let now = self.now();
        match self.conns[id.slot].speaks {
            Speaks::Http1(_) => self.send(self.conns[id.slot].op, id.slot, now),
            Speaks::Http2(_) => self.start_streams(id, now),
        }
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
            if let Err(err) = wire.take_in(&mut cipher) {
                let _ = wire.push(); // the alert that tells the peer why
                self.tally.no_http2 += u64::from(is_no_protocol(&err));
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
        if self.job.http2 && tls.alpn_protocol() != Some(b"h2") {
            self.tally.no_http2 += 1;
            self.connect_failed(id, None);
            return false;
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
        self.flush_dirty();
    }
}
