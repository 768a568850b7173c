//! A TCP edge: where it listens, where its connections go, open or closed.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::books::TcpBooks;
use super::connection;
use crate::gate::Place;
use crate::limits::{Met, is_shortage};
use crate::shared::{Listening, Shared};
use crate::sync::lock;

/// One edge. It may be closed: then it has a place and a name, and nobody is let in.
#[derive(Debug)]
pub(crate) struct TcpEdge {
    pub(crate) name: Arc<str>,
    pub(crate) books: Arc<TcpBooks>,
    /// Of the command line: it cannot be removed.
    pub(crate) is_fixed: bool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    listen: SocketAddr,
    upstream: Arc<str>,
    door: Option<Arc<Door>>,
}

/// One opening of an edge: its listeners and the connections that came in by them hold it.
#[derive(Debug)]
pub(crate) struct Door {
    pub(super) books: Arc<TcpBooks>,
    pub(super) upstream: Arc<str>,
    closed: watch::Sender<bool>,
}

impl TcpEdge {
    /// A closed edge.
    pub(super) fn new(books: Arc<TcpBooks>, listen: SocketAddr, upstream: &str, is_fixed: bool) -> Self {
        let state = State { listen, upstream: Arc::from(upstream), door: None };
        TcpEdge { name: books.name.clone(), books, is_fixed, state: Mutex::new(state) }
    }

    /// Where it listens, or would.
    pub(crate) fn listen(&self) -> SocketAddr {
        lock(&self.state).listen
    }

    /// `host:port` of where its connections go.
    pub(crate) fn upstream(&self) -> Arc<str> {
        lock(&self.state).upstream.clone()
    }

    pub(crate) fn is_open(&self) -> bool {
        lock(&self.state).door.is_some()
    }

    /// Lets clients in by these sockets, one for each worker thread.
    pub(super) fn open(&self, sockets: Vec<std::net::TcpListener>, shared: &Arc<Shared>) {
        let mut state = lock(&self.state);
        if let Some(addr) = sockets.first().and_then(|socket| socket.local_addr().ok()) {
            state.listen = addr;
        }
        let door = Arc::new(Door {
            books: self.books.clone(),
            upstream: state.upstream.clone(),
            closed: watch::channel(false).0,
        });
        for (socket, worker) in sockets.into_iter().zip(shared.tcp.workers()) {
            let (door, shared, listening) = (door.clone(), shared.clone(), shared.listening());
            worker.spawn(async move {
                match TcpListener::from_std(socket) {
                    Ok(listener) => accept(listener, door, shared, listening).await,
                    Err(error) => tracing::error!(%error, "a listener is of no use"),
                }
            });
        }
        state.door = Some(door);
    }

    /// Lets nobody in any more, and ends the connections there are. When this returns, the port is free and they are over
    /// (or it took too long).
    pub(super) fn close(&self, shared: &Shared) {
        let Some(door) = lock(&self.state).door.take() else { return };
        door.closed.send_replace(true);
        shared.rules.wake_sleepers();
        let until = Instant::now() + CLOSE_LIMIT;
        while Arc::strong_count(&door) > 1 && Instant::now() < until {
            std::thread::sleep(CLOSE_POLL);
        }
    }

    /// Another place, for a closed edge.
    pub(super) fn place(&self, listen: SocketAddr, upstream: &str) {
        let mut state = lock(&self.state);
        state.listen = listen;
        state.upstream = Arc::from(upstream);
    }
}

impl Door {
    pub(super) fn is_closed(&self) -> bool {
        *self.closed.borrow()
    }

    /// Resolves when it closes.
    pub(super) async fn closed(&self) {
        // an error would mean that the door is gone, and with it all who wait
        let _ = self.closed.subscribe().wait_for(|closed| *closed).await;
    }
}

/// Accepts until the proxy drains or the door closes.
async fn accept(listener: TcpListener, door: Arc<Door>, shared: Arc<Shared>, _listening: Listening) {
    let mut draining = shared.draining();
    let mut closed = door.closed.subscribe();
    loop {
        let accepted = tokio::select! {
            biased;
            _ = closed.wait_for(|closed| *closed) => return,
            _ = draining.wait_for(|draining| *draining) => break,
            accepted = shared.gate.accept(&listener, &shared.meets) => accepted,
        };
        match accepted {
            Ok((tcp, peer, place)) => begin((tcp, peer, place), &door, &shared),
            Err(error) => {
                // out of descriptors, mostly: wait until some are given back instead of spinning
                if is_shortage(&error) {
                    shared.meets.note(Met::OpenFiles);
                }
                tracing::warn!(%error, "cannot accept");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    // closing the socket would reset the clients that the kernel has accepted already
    let Ok(rest) = listener.into_std() else { return };
    while let Ok(place) = shared.gate.enter()
        && let Ok((tcp, peer)) = rest.accept()
    {
        if let Ok(tcp) = tcp.set_nonblocking(true).and_then(|()| TcpStream::from_std(tcp)) {
            begin((tcp, peer, place), &door, &shared);
        }
    }
}

fn begin((tcp, peer, place): (TcpStream, SocketAddr, Place), door: &Arc<Door>, shared: &Arc<Shared>) {
    let held = (shared.alive(), place);
    // not within another future: that would hold this one twice
    tokio::spawn(connection::serve((tcp, peer), door.clone(), shared.clone(), held));
}

const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
const CLOSE_LIMIT: Duration = Duration::from_secs(2);
const CLOSE_POLL: Duration = Duration::from_millis(1);
