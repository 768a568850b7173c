//! Ctrl-C and SIGTERM.

use std::future::Future;

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The two ways to ask a process to end.
pub(crate) struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

impl Stop {
    /// From here on a signal ends nothing by itself. Within a runtime.
    pub(crate) fn listen() -> std::io::Result<Stop> {
        Ok(Stop { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Until the process is asked, once more where it was before.
    pub(crate) async fn asked(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Listens on a thread of its own, for as long as the process lives or `hear` goes on.
pub(crate) fn on_thread<F>(hear: impl FnOnce(Stop) -> F) -> std::io::Result<()>
where
    F: Future<Output = ()> + Send + 'static,
{
    let runtime: Runtime = Builder::new_current_thread().enable_io().build()?;
    let stop = {
        let _inside = runtime.enter();
        Stop::listen()?
    };
    let hear = hear(stop);
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || runtime.block_on(hear)).map(drop)
}
