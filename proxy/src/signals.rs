//! What signals ask of `squall proxy`.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};

use crate::start::Running;

/// SIGINT and SIGTERM stop, SIGHUP reloads the rules, SIGUSR1 lifts them, SIGUSR2 begins the next file of the recording.
pub(crate) struct Signals {
    runtime: Runtime,
    stops: Arc<AtomicUsize>,
    stopped: watch::Receiver<usize>,
    orders: RefCell<mpsc::Receiver<Order>>,
}

/// What a signal asks for that is no stop.
#[derive(Debug, Clone, Copy)]
enum Order {
    Reload,
    Lift,
    Rotate,
}

impl Signals {
    /// Installed before anything starts, so that no signal finds the default action.
    pub(crate) fn install() -> anyhow::Result<Signals> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("squall-signals")
            .enable_all()
            .build()?;
        let stops = Arc::<AtomicUsize>::default();
        let (tell, stopped) = watch::channel(0);
        let (order, orders) = mpsc::channel(ORDERS);
        let context = runtime.enter();
        let (mut int, mut term) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let (mut hup, mut usr1) = (signal(SignalKind::hangup())?, signal(SignalKind::user_defined1())?);
        let mut usr2 = signal(SignalKind::user_defined2())?;
        let count = stops.clone();
        runtime.spawn(async move {
            loop {
                let asked = tokio::select! {
                    biased; // the kill switch before all others
                    _ = usr1.recv() => Some(Order::Lift),
                    _ = int.recv() => None,
                    _ = term.recv() => None,
                    _ = hup.recv() => Some(Order::Reload),
                    _ = usr2.recv() => Some(Order::Rotate),
                };
                match asked {
                    Some(asked) => {
                        // an error means that the one who carries orders out is gone: the proxy is stopping
                        let _ = order.send(asked).await;
                    }
                    None => drop(tell.send_replace(count.fetch_add(1, Ordering::AcqRel) + 1)),
                }
            }
        });
        drop(context);
        Ok(Signals { runtime, stops, stopped, orders: orders.into() })
    }

    /// How often a stop was asked for.
    pub(crate) fn stops(&self) -> usize {
        self.stops.load(Ordering::Acquire)
    }

    /// Blocks until the first stop, carrying out what other signals ask for.
    pub(crate) fn serve(&self, running: &Running) {
        let mut stopped = self.stopped.clone();
        let mut orders = self.orders.borrow_mut();
        self.runtime.block_on(async {
            loop {
                tokio::select! {
                    _ = stopped.wait_for(|stops| *stops > 0) => return orders.close(),
                    Some(order) = orders.recv() => match order {
                        Order::Reload => running.reload(),
                        Order::Lift => running.lift("lifted by SIGUSR1"),
                        Order::Rotate => running.rotate_recording(),
                    },
                }
            }
        });
    }
}

/// Orders that wait; beyond that the next signals do.
const ORDERS: usize = 8;
