//! The door: how many connections may be open, and how much may be buffered for them, before further clients wait
//! outside, in the kernel's queue.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use crate::limits::{Meets, Met};

/// One for all listeners of a proxy.
#[derive(Debug)]
pub(crate) struct Gate {
    most: usize,
    open: AtomicUsize,
    left: Notify,
    max_buffered: usize,
    /// Bytes that connections hold, in the sizes that were allocated.
    buffered: AtomicUsize,
}

/// Held by a connection for as long as it is open.
#[derive(Debug)]
pub(crate) struct Place(Arc<Gate>);

/// What one holder has of all that is buffered; given back when dropped.
#[derive(Debug)]
pub(crate) struct Held {
    gate: Arc<Gate>,
    bytes: usize,
}

impl Gate {
    pub(crate) fn new(most: usize, max_buffered: usize) -> Arc<Gate> {
        Arc::new(Gate {
            most,
            open: AtomicUsize::new(0),
            left: Notify::new(),
            max_buffered,
            buffered: AtomicUsize::new(0),
        })
    }

    /// Accepts the next client once there is a place for it.
    ///
    /// # Errors
    /// Those of `accept`.
    ///
    /// # Cancel safety
    /// Safe: a client that was not returned was not accepted.
    pub(crate) async fn accept(
        self: &Arc<Self>,
        listener: &TcpListener,
        meets: &Meets,
    ) -> io::Result<(TcpStream, SocketAddr, Place)> {
        loop {
            let mut left = pin!(self.left.notified());
            left.as_mut().enable(); // before the look, so that nobody leaves unnoticed behind it
            // A place is taken for each look only: a listener that nobody comes to must not keep it from the others.
            let accepted = std::future::poll_fn(|cx| match self.enter() {
                Ok(place) => listener.poll_accept(cx).map_ok(|(tcp, peer)| Ok((tcp, peer, place))),
                Err(met) => Poll::Ready(Ok(Err(met))),
            });
            let met = match accepted.await? {
                Ok(accepted) => return Ok(accepted),
                Err(met) => met,
            };
            meets.note(met);
            match met {
                Met::Connections => left.await,
                _ => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    /// A place, if there is one.
    ///
    /// # Errors
    /// The bound that was met.
    pub(crate) fn enter(self: &Arc<Self>) -> Result<Place, Met> {
        if self.is_full() {
            return Err(Met::Buffered);
        }
        let entered = self
            .open
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |open| (open < self.most).then_some(open + 1));
        entered.map(|_| Place(self.clone())).map_err(|_| Met::Connections)
    }

    /// Connections open now, and how many may be.
    pub(crate) fn connections(&self) -> [usize; 2] {
        [self.open.load(Ordering::Acquire), self.most]
    }

    /// Is as much buffered as may be?
    pub(crate) fn is_full(&self) -> bool {
        self.max_buffered < self.buffered.load(Ordering::Relaxed)
    }

    /// Is so much buffered that faults hold nothing more back? They must not shut the door.
    fn is_crowded(&self) -> bool {
        self.max_buffered - self.max_buffered / RESERVE < self.buffered.load(Ordering::Relaxed)
    }

    /// Bytes buffered now, and the bound.
    pub(crate) fn memory(&self) -> [usize; 2] {
        [self.buffered.load(Ordering::Relaxed), self.max_buffered]
    }
}

impl Held {
    pub(crate) fn of(gate: Arc<Gate>) -> Held {
        Held { gate, bytes: 0 }
    }

    /// So many bytes are held now.
    pub(crate) fn set(&mut self, bytes: usize) {
        if bytes != self.bytes {
            self.gate.buffered.fetch_add(bytes.wrapping_sub(self.bytes), Ordering::Relaxed);
            self.bytes = bytes;
        }
    }

    /// Do all together hold as much as may be?
    pub(crate) fn is_full(&self) -> bool {
        self.gate.is_full()
    }

    /// Do all together hold as much as faults may add to?
    pub(crate) fn is_crowded(&self) -> bool {
        self.gate.is_crowded()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.set(0);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::AcqRel);
        self.0.left.notify_waiters();
    }
}

/// The part of the bound that what faults hold back leaves to everything else: an eighth.
const RESERVE: usize = 8;
/// How soon a door that was shut for want of memory is tried again.
const PAUSE: Duration = Duration::from_millis(10);
