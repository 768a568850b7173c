//! The sockets: one listener a worker, all on one port, so that the kernel spreads connections over the workers.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

use super::error::Error;
use super::limits;

/// Opens `n` listeners on one address; port 0 takes a free port, the same for all of them.
pub(super) fn open(addr: SocketAddr, n: usize) -> Result<(SocketAddr, Vec<TcpListener>), Error> {
    let failed = |source| Error::Listen { addr, source };
    refuse_shared(addr).map_err(failed)?;
    let first = listen(addr).map_err(failed)?;
    let taken = first.local_addr().map_err(failed)?;
    let mut listeners = vec![first];
    for _ in 1..n {
        listeners.push(listen(taken).map_err(failed)?);
    }
    Ok((taken, listeners))
}

/// With SO_REUSEPORT a second shop of the same user would get half of the first one's connections without either
/// noticing, and no count would be true. A bind without that option fails where somebody listens already.
fn refuse_shared(addr: SocketAddr) -> io::Result<()> {
    let socket = tcp(addr)?;
    socket.bind(&addr.into())
}

fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = tcp(addr)?;
    socket.set_reuse_port(true)?;
    socket.bind(&addr.into())?;
    socket.listen(limits::BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

fn tcp(addr: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?; // a restart must not wait for connections in TIME_WAIT
    Ok(socket)
}
