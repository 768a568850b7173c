//! One worker: a thread, a runtime, a listener, and the connections it accepted.
//!
//! ```text
//! accepting --(closing)--> draining --(all connections done, or GRACE is over)--> gone
//! ```

use std::convert::Infallible;
use std::io;
use std::net::TcpListener;
use std::sync::Arc;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};

use super::{Shop, handlers, limits};

pub(super) struct Worker {
    index: usize,
    shop: Arc<Shop>,
    closing: watch::Receiver<bool>,
}

impl Worker {
    pub(super) fn new(index: usize, shop: Arc<Shop>, closing: watch::Receiver<bool>) -> Worker {
        Worker { index, shop, closing }
    }

    /// Serves until the shop closes; `report` hears once whether it came up.
    pub(super) fn run(self, listener: TcpListener, report: mpsc::Sender<io::Result<()>>) {
        let up = tokio::runtime::Builder::new_current_thread().enable_all().build().and_then(|runtime| {
            let listener = {
                let _inside = runtime.enter();
                tokio::net::TcpListener::from_std(listener)?
            };
            Ok((runtime, listener))
        });
        let (outcome, up) = match up {
            Ok(up) => (Ok(()), Some(up)),
            Err(err) => (Err(err), None),
        };
        // Nobody listens only when the start has already failed elsewhere; `closing` tells us then.
        let _ = report.try_send(outcome);
        drop(report);
        if let Some((runtime, listener)) = up {
            runtime.block_on(self.serve(listener));
        }
    }

    async fn serve(self, listener: tokio::net::TcpListener) {
        let permits = Arc::new(Semaphore::new(limits::CONNECTIONS_PER_WORKER));
        let mut closing = self.closing.clone();
        tokio::select! {
            biased;
            () = closed(&mut closing) => {}
            () = self.accept(&listener, &permits) => {}
        }
        drop(listener);
        let all = u32::try_from(limits::CONNECTIONS_PER_WORKER).unwrap_or(u32::MAX);
        if tokio::time::timeout(limits::GRACE, permits.acquire_many(all)).await.is_err() {
            tracing::warn!(worker = self.index, "requests of the shop were cut off when it closed");
        }
    }

    async fn accept(&self, listener: &tokio::net::TcpListener, permits: &Arc<Semaphore>) {
        let mut server = auto::Builder::new(TokioExecutor::new());
        server.http1().pipeline_flush(true);
        let server = Arc::new(server);
        while let Ok(permit) = Arc::clone(permits).acquire_owned().await {
            match listener.accept().await {
                Ok((stream, _peer)) => {
                    let served = self.connection(stream, Arc::clone(&server), permit);
                    tokio::spawn(served);
                }
                Err(err) => {
                    tracing::warn!(error = %err, "the shop could not accept a connection");
                    tokio::time::sleep(limits::ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Serves one connection to its end. Peers that misbehave or leave are none of the shop's business.
    fn connection(
        &self,
        stream: TcpStream,
        server: Arc<auto::Builder<TokioExecutor>>,
        permit: OwnedSemaphorePermit,
    ) -> impl Future<Output = ()> + Send + use<> {
        let (shop, index, mut closing) = (Arc::clone(&self.shop), self.index, self.closing.clone());
        async move {
            if let Err(err) = stream.set_nodelay(true) {
                tracing::debug!(error = %err, "no TCP_NODELAY");
            }
            let service = service_fn(move |req| {
                let shop = Arc::clone(&shop);
                async move { Ok::<_, Infallible>(handlers::answer(&shop, index, req).await) }
            });
            let served = server.serve_connection(TokioIo::new(stream), service);
            tokio::pin!(served);
            let ended = tokio::select! {
                biased;
                ended = served.as_mut() => ended,
                () = closed(&mut closing) => {
                    served.as_mut().graceful_shutdown();
                    served.await
                }
            };
            if let Err(err) = ended {
                tracing::debug!(error = %err, "connection of the shop ended early");
            }
            drop(permit);
        }
    }
}

/// Returns when the shop closes, or was dropped.
async fn closed(closing: &mut watch::Receiver<bool>) {
    let _ = closing.wait_for(|closing| *closing).await;
}
