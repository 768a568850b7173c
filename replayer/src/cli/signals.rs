//! Ctrl-C: once to stop in good order, twice to stop at once, three times to leave.

use tokio::signal::unix::{SignalKind, signal};

use crate::Stop;
use crate::cli::live;

/// Passes SIGINT and SIGTERM on to `stop`, from a thread that ends with the process. It says so, unless a screen does.
pub(crate) fn stop_on(stop: &Stop, has_screen: bool) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut interrupt, mut terminate) = {
        let _inside = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    let stop = stop.clone();
    std::thread::Builder::new().name("replay-signals".to_owned()).spawn(move || {
        runtime.block_on(async {
            for count in 1_u32.. {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                match count {
                    1 | 2 if has_screen => {}
                    1 => eprintln!("\nstopping: what is in flight may finish; once more to stop at once"),
                    2 => eprintln!("\nstopping at once"),
                    _ => {
                        live::restore();
                        std::process::exit(105)
                    }
                }
                stop.interrupt();
            }
        });
    })?;
    Ok(())
}
