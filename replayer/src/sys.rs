//! The few calls to the kernel that no safe crate of ours offers: a timer file descriptor, the limit on open
//! files, a source address without a port, and the processor time used so far.
//!
//! This is the only module of the crate with `unsafe`: each block is one call on values that live across it, whose
//! result is checked. The timer is a timerfd because the runtime's own timer counts milliseconds: a
//! request would leave half a millisecond late at the median; a timerfd in the runtime's epoll set is 26 us late.
#![allow(unsafe_code)]

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

use tokio::io::unix::AsyncFd;

/// A timer in the present runtime's set of descriptors.
pub(crate) fn alarm() -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` returns the same open descriptor for as long as it lives, and `AsyncFd` owns it.
    unsafe { AsyncFd::register(timer()?) }.map_err(io::Error::from)
}

/// A new one-shot timer on the monotonic clock, not blocking.
fn timer() -> io::Result<OwnedFd> {
    // SAFETY: no pointer is passed; the descriptor that comes back is owned by nobody else.
    unsafe {
        let fd = libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_NONBLOCK | libc::TFD_CLOEXEC);
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

/// Arms `timer` to fire once after `wait`; an earlier setting is forgotten. A wait of zero fires at once.
pub(crate) fn arm(timer: &OwnedFd, wait: Duration) -> io::Result<()> {
    let wait = wait.max(Duration::from_nanos(1)); // zero would disarm it
    let zero = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let value = libc::timespec {
        tv_sec: libc::time_t::try_from(wait.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: libc::c_long::from(wait.subsec_nanos().cast_signed()),
    };
    let spec = libc::itimerspec { it_interval: zero, it_value: value };
    // SAFETY: `spec` lives across the call, and no old value is asked for.
    let done = unsafe { libc::timerfd_settime(timer.as_raw_fd(), 0, &raw const spec, std::ptr::null_mut()) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Raises the soft limit on open files to the hard one and returns what may be open now.
pub(crate) fn raise_open_files() -> usize {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` lives across both calls.
    let known = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } == 0;
    if !known {
        return 1024; // what POSIX systems start with
    }
    let wanted = libc::rlimit { rlim_cur: limit.rlim_max, rlim_max: limit.rlim_max };
    // SAFETY: as above.
    if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const wanted) } == 0 {
        limit = wanted;
    }
    usize::try_from(limit.rlim_cur).unwrap_or(usize::MAX)
}

/// Processor time of this process so far, user and system.
pub(crate) fn cpu_time() -> Duration {
    // SAFETY: all-zero is a valid value of this plain C structure.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: `usage` lives across the call.
    if unsafe { libc::getrusage(libc::RUSAGE_SELF, &raw mut usage) } != 0 {
        return Duration::ZERO;
    }
    let part = |time: libc::timeval| {
        Duration::from_secs(u64::try_from(time.tv_sec).unwrap_or(0))
            + Duration::from_micros(u64::try_from(time.tv_usec).unwrap_or(0))
    };
    part(usage.ru_utime) + part(usage.ru_stime)
}

/// Processor time of the calling thread so far, user and system; zero where the system does not tell.
pub(crate) fn thread_cpu_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` lives across the call.
    if unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) } != 0 {
        return Duration::ZERO;
    }
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Highest resident memory of this process so far, in bytes; 0 where the system does not tell.
pub(crate) fn peak_memory() -> u64 {
    status_bytes("VmHWM:")
}

/// Resident memory of this process now, in bytes; 0 where the system does not tell.
pub(crate) fn memory() -> u64 {
    status_bytes("VmRSS:")
}

fn status_bytes(field: &str) -> u64 {
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else { return 0 };
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let kilobytes = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}

/// Binds `socket` to a source address and leaves the choice of the port to `connect`
/// (IP_BIND_ADDRESS_NO_PORT). Then a port is only taken for one pair of addresses: many sources and targets multiply
/// the ports there are, and the kernel needs not search for one that is free everywhere.
///
/// Fails with `AddrNotAvailable` where the machine has no such address.
pub(crate) fn bind_no_port(socket: &impl AsFd, source: IpAddr) -> io::Result<()> {
    let on: libc::c_int = 1;
    let size = size_of_val(&on) as libc::socklen_t;
    // SAFETY: the descriptor is borrowed for the call, and `on` lives across it with the size that is told.
    let done = unsafe {
        let fd = socket.as_fd().as_raw_fd();
        // IPv6 sockets take the option at the level of IP, too.
        libc::setsockopt(fd, libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT, (&raw const on).cast(), size)
    };
    if done < 0 {
        return Err(io::Error::last_os_error());
    }
    socket2::SockRef::from(socket).bind(&SocketAddr::new(source, 0).into())
}

/// The limits on open files of this process, soft and hard.
pub(crate) fn open_files() -> Option<(u64, u64)> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` lives across the call.
    let known = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } == 0;
    known.then_some((limit.rlim_cur, limit.rlim_max))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_bound_socket_has_no_port_until_it_connects() {
        let check = |source: &str, target: &str| {
            let source: IpAddr = source.parse().expect("source");
            let listener = TcpListener::bind((target, 0)).expect("listener");
            let target = listener.local_addr().expect("its address");
            let family = socket2::Domain::for_address(target);
            let socket = socket2::Socket::new(family, socket2::Type::STREAM, None).expect("socket");
            bind_no_port(&socket, source).expect("bound");
            let local = || socket.local_addr().ok().and_then(|address| address.as_socket()).expect("IP");
            assert_eq!(local(), SocketAddr::new(source, 0));
            socket.connect(&target.into()).expect("connected");
            assert_eq!(local().ip(), source);
            assert_ne!(local().port(), 0);
        };
        check("127.3.4.5", "127.0.0.1");
        if TcpListener::bind("[::1]:0").is_ok() {
            check("::1", "::1");
        }
    }

    /// Connects from 127.77.1.`last` out of four ports only; `None` where the kernel cannot narrow them for a socket.
    fn connect_from(last: u8, first_port: u16, target: SocketAddr) -> io::Result<Option<socket2::Socket>> {
        const IP_LOCAL_PORT_RANGE: libc::c_int = 51; // Linux 6.3
        let range = (u32::from(first_port + 3) << 16) | u32::from(first_port);
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
        // SAFETY: `range` lives across the call with the size that is told.
        let set = unsafe {
            let fd = socket.as_fd().as_raw_fd();
            let size = size_of_val(&range) as libc::socklen_t;
            libc::setsockopt(fd, libc::IPPROTO_IP, IP_LOCAL_PORT_RANGE, (&raw const range).cast(), size)
        };
        if set < 0 {
            return Ok(None);
        }
        bind_no_port(&socket, IpAddr::from([127, 77, 1, last]))?;
        socket.connect(&target.into()).map(|()| Some(socket))
    }

    #[test]
    fn every_source_has_all_ports() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("listener");
        let target = listener.local_addr().expect("its address");
        // Other tests may listen on one of the four ports: then the next four are tried.
        let connected = [50_000, 51_000, 52_000, 53_000].into_iter().find_map(|first_port| {
            let open: io::Result<Vec<_>> =
                (0..12).map(|place| connect_from(1 + place % 3, first_port, target)).collect();
            open.ok().map(|open| (first_port, open))
        });
        let (first_port, open) =
            connected.expect("four ports from each of three addresses are twelve connections");
        let port = |socket: &Option<socket2::Socket>| {
            let local = socket.as_ref()?.local_addr().ok()?.as_socket()?;
            Some(local.port())
        };
        // A range outside the machine's own is not heeded.
        if open
            .iter()
            .all(|socket| port(socket).is_some_and(|port| (first_port..first_port + 4).contains(&port)))
        {
            let one_more = connect_from(1, first_port, target).map_err(|err| err.kind());
            assert!(matches!(one_more, Err(io::ErrorKind::AddrNotAvailable)), "{one_more:?}");
        }
    }

    #[test]
    fn an_address_of_another_machine_is_refused() {
        let socket = tokio::net::TcpSocket::new_v4().expect("socket");
        let foreign = IpAddr::from([203, 0, 113, 7]);
        let refused = bind_no_port(&socket, foreign).map_err(|err| err.kind());
        assert_eq!(refused, Err(io::ErrorKind::AddrNotAvailable));
    }
}
