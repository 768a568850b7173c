//! The few calls to the kernel that no safe crate of ours offers: a timer file descriptor, the limit on open
//! files, and the processor time used so far.
//!
//! This is the only module of the crate with `unsafe`: each block is one call on values that live across it, whose
//! result is checked. The timer is a timerfd because the runtime's own timer counts milliseconds: a
//! request would leave half a millisecond late at the median; a timerfd in the runtime's epoll set is 26 us late.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
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
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else { return 0 };
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}
