//! How many bytes a socket has not yet got acknowledged by its peer.
//!
//! `unsafe`, since Linux tells the length of a send queue only through `ioctl`, for which
//! neither std nor socket2 has a safe call. The descriptor is borrowed from a live stream for the length of
//! the call, and the kernel writes one `int` to a local.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Bytes written to the socket that the peer's kernel has not acknowledged (Linux `SIOCOUTQ`, tcp(7)).
///
/// # Errors
/// Those of `ioctl`, for instance on a socket that is already gone.
pub(crate) fn unacknowledged(socket: BorrowedFd<'_>) -> io::Result<usize> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: the descriptor is open for the borrow, and TIOCOUTQ (the same number as SIOCOUTQ) stores one int.
    let done = unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
    if done == 0 { Ok(usize::try_from(bytes).unwrap_or(0)) } else { Err(io::Error::last_os_error()) }
}
