//! HTTP/2 by the h2 crate: a client that sees frames' ends and codes, and an origin for gRPC-like calls.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::PATIENCE;
use super::tls::{Identity, name};

/// One HTTP/2 connection to the proxy.
#[derive(Clone)]
pub(crate) struct H2Client {
    send: SendRequest<Bytes>,
    scheme: &'static str,
}

/// What came of a stream.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    /// 0: no header came.
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Option<HeaderMap>,
    /// The code of RST_STREAM, where one ended it.
    pub(crate) reset: Option<Reason>,
    /// Any other error.
    pub(crate) error: Option<String>,
}

/// Runs a test's async part, with a deadline that only a bug meets.
pub(crate) fn block_on<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async { tokio::time::timeout(PATIENCE, test).await.expect("no hang") })
}

impl H2Client {
    /// By prior knowledge.
    pub(crate) async fn connect(addr: SocketAddr) -> H2Client {
        let tcp = TcpStream::connect(addr).await.expect("the proxy listens");
        tcp.set_nodelay(true).expect("nodelay");
        H2Client::over(tcp, "http").await
    }

    /// By ALPN.
    pub(crate) async fn connect_tls(addr: SocketAddr, identity: &Identity) -> H2Client {
        let tcp = TcpStream::connect(addr).await.expect("the proxy listens");
        let connector = tokio_rustls::TlsConnector::from(identity.config(&[b"h2"]));
        let tls = connector.connect(name(), tcp).await.expect("a handshake");
        assert_eq!(tls.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
        H2Client::over(tls, "https").await
    }

    async fn over(
        io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        scheme: &'static str,
    ) -> H2Client {
        let mut builder = h2::client::Builder::new();
        builder.initial_window_size(1 << 20).initial_connection_window_size(16 << 20);
        let (send, connection) = builder.handshake(io).await.expect("an HTTP/2 handshake");
        tokio::spawn(async move {
            let _ = connection.await;
        });
        H2Client { send, scheme }
    }

    pub(crate) async fn start(
        &self,
        request: http::request::Builder,
        end: bool,
    ) -> (ResponseFuture, SendStream<Bytes>) {
        let mut send = self.send.clone().ready().await.expect("the connection lives");
        let request = request.version(http::Version::HTTP_2).body(()).expect("a request");
        send.send_request(request, end).expect("a stream")
    }

    /// The same on a connection that may be gone.
    pub(crate) async fn try_start(
        &self,
        request: http::request::Builder,
        end: bool,
    ) -> Option<(ResponseFuture, SendStream<Bytes>)> {
        let mut send = self.send.clone().ready().await.ok()?;
        let request = request.version(http::Version::HTTP_2).body(()).expect("a request");
        send.send_request(request, end).ok()
    }

    /// Whether the connection takes new streams.
    pub(crate) async fn is_open(&self) -> bool {
        self.send.clone().ready().await.is_ok()
    }

    pub(crate) fn request(&self, method: &str, target: &str) -> http::request::Builder {
        Request::builder().method(method).uri(format!("{}://test{target}", self.scheme))
    }

    /// Whether the server ends the connection; a deadline that only a bug meets says no.
    pub(crate) async fn closed(&self) -> bool {
        loop {
            match self.send.clone().ready().await {
                Ok(_) => tokio::time::sleep(std::time::Duration::from_millis(2)).await,
                Err(_) => return true,
            }
        }
    }

    /// Waits for the end of the connection: what the server said of it, if it did.
    pub(crate) async fn why_closed(&self) -> h2::Error {
        loop {
            match self.send.clone().ready().await {
                Ok(_) => tokio::time::sleep(std::time::Duration::from_millis(2)).await,
                Err(error) => return error,
            }
        }
    }

    /// Waits until the server's settings are known, which limit what comes after.
    pub(crate) async fn settled(&self) {
        assert_eq!(self.get("/status/204").await.status, 204);
    }

    pub(crate) async fn get(&self, target: &str) -> Outcome {
        let (response, _) = self.start(self.request("GET", target), true).await;
        finish(response).await
    }

    pub(crate) async fn send(&self, request: http::request::Builder, body: impl Into<Bytes>) -> Outcome {
        let (response, mut stream) = self.start(request, false).await;
        // an answer may come, or the stream end, before the body is out
        let _ = stream.send_data(body.into(), true);
        finish(response).await
    }
}

/// Reads a stream to its end, whatever that is.
pub(crate) async fn finish(response: ResponseFuture) -> Outcome {
    let mut outcome = Outcome {
        status: 0,
        headers: HeaderMap::new(),
        body: Vec::new(),
        trailers: None,
        reset: None,
        error: None,
    };
    let response = match response.await {
        Ok(response) => response,
        Err(error) => {
            outcome.failed(&error);
            return outcome;
        }
    };
    outcome.status = response.status().as_u16();
    outcome.headers = response.headers().clone();
    let mut body = response.into_body();
    while let Some(chunk) = body.data().await {
        match chunk {
            Ok(chunk) => {
                let _ = body.flow_control().release_capacity(chunk.len());
                outcome.body.extend_from_slice(&chunk);
            }
            Err(error) => {
                outcome.failed(&error);
                return outcome;
            }
        }
    }
    match body.trailers().await {
        Ok(trailers) => outcome.trailers = trailers,
        Err(error) => outcome.failed(&error),
    }
    outcome
}

impl Outcome {
    fn failed(&mut self, error: &h2::Error) {
        if error.is_reset() && error.is_remote() {
            self.reset = error.reason();
        } else {
            self.error = Some(error.to_string());
        }
    }
}

/// The next piece of a body, its window given back.
pub(crate) async fn piece(body: &mut RecvStream) -> Bytes {
    let chunk = body.data().await.expect("not the end").expect("bytes, not an error");
    let _ = body.flow_control().release_capacity(chunk.len());
    chunk
}

/// An HTTP/2 origin in clear text; the handler runs as a task for each stream.
pub(crate) struct H2Origin {
    pub(crate) addr: SocketAddr,
    count: Arc<AtomicUsize>,
}

pub(crate) type Respond = h2::server::SendResponse<Bytes>;

impl H2Origin {
    pub(crate) fn start<F, R>(handler: F) -> H2Origin
    where
        F: Fn(Request<RecvStream>, Respond) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("nonblocking");
        let addr = listener.local_addr().expect("bound");
        let count = Arc::<AtomicUsize>::default();
        let counted = count.clone();
        std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(accept(listener, Arc::new(handler), counted));
        });
        H2Origin { addr, count }
    }

    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }
}

async fn accept<F, R>(listener: std::net::TcpListener, handler: Arc<F>, count: Arc<AtomicUsize>)
where
    F: Fn(Request<RecvStream>, Respond) -> R + Send + Sync + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
    while let Ok((tcp, _)) = listener.accept().await {
        let (handler, count) = (handler.clone(), count.clone());
        tokio::spawn(async move {
            let Ok(mut connection) = h2::server::handshake(tcp).await else { return };
            while let Some(Ok((request, respond))) = connection.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(handler(request, respond));
            }
        });
    }
}

/// Reads a request body whole.
pub(crate) async fn whole(mut body: RecvStream) -> Vec<u8> {
    let mut all = Vec::new();
    while let Some(Ok(chunk)) = body.data().await {
        let _ = body.flow_control().release_capacity(chunk.len());
        all.extend_from_slice(&chunk);
    }
    all
}

/// An answer with a body and trailers.
pub(crate) fn answer(mut respond: Respond, body: Vec<u8>, trailers: Option<HeaderMap>) {
    let header = Response::builder()
        .status(200)
        .header("content-type", "application/grpc")
        .body(())
        .expect("a header");
    let Ok(mut stream) = respond.send_response(header, false) else { return };
    let _ = stream.send_data(Bytes::from(body), trailers.is_none());
    if let Some(trailers) = trailers {
        let _ = stream.send_trailers(trailers);
    }
}
