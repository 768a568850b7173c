//! What becomes of sockets outside their flows: options, ends, and who has left.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncReadExt, Interest, Ready};
use tokio::net::TcpStream;

use crate::conn::unacknowledged;
use crate::timer::sleep_until;

/// No delay of ours on small writes; a peer that vanished without a word is noticed within minutes.
pub(super) fn prepare(tcp: &TcpStream) -> std::io::Result<()> {
    tcp.set_nodelay(true)?;
    let alive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE_PAUSE);
    SockRef::from(tcp).set_tcp_keepalive(&alive)
}

/// Closes by RST, now.
pub(super) fn reset(tcp: TcpStream) {
    // an error means that it is closed already
    let _ = SockRef::from(&tcp).set_linger(Some(Duration::ZERO));
    drop(tcp);
}

/// Waits until the peer's kernel has all that was written, for a bounded time: a RST would take the rest back.
pub(super) async fn drained(tcp: &TcpStream) {
    let until = Instant::now() + DRAIN_LIMIT;
    while unacknowledged(tcp.as_fd()).is_ok_and(|bytes| bytes > 0) && Instant::now() < until {
        sleep_until(Instant::now() + DRAIN_PAUSE).await;
    }
}

/// Closes both in good order. What the peers still send is read and thrown away for a while, since a close with unread
/// bytes would be a RST.
pub(super) async fn close(client: TcpStream, upstream: TcpStream) {
    let discard = |mut tcp: TcpStream| async move {
        let _ = SockRef::from(&tcp).shutdown(std::net::Shutdown::Write);
        let mut waste = vec![0; 16 * 1024];
        while let Ok(1..) = tcp.read(&mut waste).await {}
    };
    let both = async { tokio::join!(discard(client), discard(upstream)) };
    let _ = tokio::time::timeout(LINGER_LIMIT, both).await;
}

/// Resolves when the peer has reset the connection. Reads nothing.
pub(super) async fn was_reset(tcp: &TcpStream) {
    while tcp.ready(Interest::ERROR).await.is_ok_and(|ready| !ready.is_error()) {}
}

/// Resolves when the peer has closed its side, whatever of it is unread. Reads nothing.
pub(super) async fn has_left(tcp: &TcpStream) {
    while tcp.ready(Interest::READABLE).await.is_ok_and(|ready| !ready.is_read_closed()) {
        // bytes wait there for their time, and would wake us again at once
        tokio::time::sleep(GLANCE).await;
    }
}

/// Waits for what is wanted of a socket; without a wish, for its failure.
pub(super) async fn ready(tcp: &TcpStream, read: bool, write: bool) -> Ready {
    let interest = match (read, write) {
        (true, true) => Interest::READABLE | Interest::WRITABLE,
        (true, false) => Interest::READABLE,
        (false, true) => Interest::WRITABLE,
        (false, false) => Interest::ERROR,
    };
    match tcp.ready(interest).await {
        Ok(ready) => ready,
        Err(_) => std::future::pending().await, // the runtime is going down
    }
}

const KEEPALIVE: Duration = Duration::from_secs(60);
const KEEPALIVE_PAUSE: Duration = Duration::from_secs(15);
const DRAIN_LIMIT: Duration = Duration::from_secs(2);
const DRAIN_PAUSE: Duration = Duration::from_micros(500);
const LINGER_LIMIT: Duration = Duration::from_secs(2);
const GLANCE: Duration = Duration::from_millis(100);
