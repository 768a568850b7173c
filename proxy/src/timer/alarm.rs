//! A timerfd in the set of descriptors that the present runtime waits for.
//!
//! `unsafe` once, for tokio's promise that a registered descriptor stays the same open file: it asks for more than the
//! type of an owned descriptor says.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::unix::AsyncFd;

/// Fires once each time it is armed.
#[derive(Debug)]
pub(super) struct Alarm(AsyncFd<OwnedFd>);

impl Alarm {
    /// One of the present runtime's.
    ///
    /// # Errors
    /// The system has no descriptor left.
    pub(super) fn new() -> io::Result<Alarm> {
        let fd = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        // SAFETY: an `OwnedFd` gives the same open descriptor for as long as it lives, and `AsyncFd` owns it.
        Ok(Alarm(unsafe { AsyncFd::register(fd) }.map_err(io::Error::from)?))
    }

    /// To fire after `wait`, counted by the kernel from now on, so not early; an earlier setting is forgotten.
    ///
    /// # Errors
    /// None that a timer of ours can meet.
    pub(super) fn arm(&self, wait: Duration) -> io::Result<()> {
        let wait = wait.max(Duration::from_nanos(1)); // zero would disarm it
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        let value = Timespec {
            tv_sec: i64::try_from(wait.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: wait.subsec_nanos().into(),
        };
        let once = Itimerspec { it_interval: zero, it_value: value };
        timerfd_settime(self.0.get_ref(), TimerfdTimerFlags::empty(), &once)?;
        Ok(())
    }

    /// Resolves when it has fired. Nothing is read from it: arming it again forgets that it fired.
    ///
    /// # Errors
    /// The runtime ends.
    pub(super) async fn fired(&self) -> io::Result<()> {
        self.0.readable().await?.clear_ready();
        Ok(())
    }
}
