//! Listeners: one socket an edge and thread, on the same port.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};

use crate::Error;
use crate::gate::Place;
use crate::limits::{Met, is_shortage};
use crate::serve::Server;
use crate::shared::Listening;

/// Opens a listening socket; several may share the port (SO_REUSEPORT spreads connections over them).
///
/// # Errors
/// Those of the system: the port is taken, or not ours to take.
pub(crate) fn open(addr: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// One socket for each thread, all on one port.
///
/// # Errors
/// Those of [`open`], and a port that somebody else listens on.
pub(crate) fn sockets(addr: SocketAddr, threads: usize) -> Result<Vec<std::net::TcpListener>, Error> {
    let listen = |addr| open(addr).map_err(|source| Error::Listen { addr, source });
    // SO_REUSEPORT would share a port with a stranger: ask without it first
    if addr.port() != 0 {
        drop(std::net::TcpListener::bind(addr).map_err(|source| Error::Listen { addr, source })?);
    }
    let first = listen(addr)?;
    let bound = first.local_addr().map_err(|source| Error::Listen { addr, source })?;
    let mut sockets = vec![first];
    for _ in 1..threads {
        sockets.push(listen(bound)?);
    }
    Ok(sockets)
}

/// Accepts until the proxy drains; the listening socket closes with the end of this.
pub(crate) async fn accept(listener: TcpListener, edge: usize, server: Arc<Server>, _listening: Listening) {
    let mut draining = server.shared.draining();
    loop {
        let accepted = tokio::select! {
            biased;
            _ = draining.wait_for(|draining| *draining) => break,
            accepted = server.shared.gate.accept(&listener, &server.shared.meets) => accepted,
        };
        match accepted {
            Ok((tcp, peer, place)) => begin(tcp, (peer, edge), place, &server),
            Err(error) => {
                // out of descriptors, mostly: wait until some are given back instead of spinning
                if is_shortage(&error) {
                    server.shared.meets.note(Met::OpenFiles);
                }
                tracing::warn!(%error, "cannot accept");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    // Closing the socket would reset the clients that the kernel has accepted already. The kernel is asked, since the
    // reactor may not know of them yet.
    let Ok(rest) = listener.into_std() else { return };
    while let Ok(place) = server.shared.gate.enter()
        && let Ok((tcp, peer)) = rest.accept()
    {
        if let Ok(tcp) = tcp.set_nonblocking(true).and_then(|()| TcpStream::from_std(tcp)) {
            begin(tcp, (peer, edge), place, &server);
        }
    }
}

fn begin(tcp: TcpStream, (peer, edge): (SocketAddr, usize), place: Place, server: &Arc<Server>) {
    if let Err(error) = tcp.set_nodelay(true) {
        tracing::debug!(%error, "the client left at once");
        return;
    }
    let alive = server.shared.alive_on(edge, place);
    tokio::spawn(server.clone().connection(tcp, (peer, edge), alive));
}

/// As many as Linux takes; a burst of 10,000 connects took 38 s with the usual 128.
const BACKLOG: i32 = 65_535;
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
