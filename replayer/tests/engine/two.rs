//! An HTTP/2 origin that notes what it is sent, in the clear or over TLS; a test says what becomes of each stream.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

/// A request as it was met.
#[derive(Clone, Debug)]
pub(crate) struct Met {
    pub(crate) connection: usize,
    pub(crate) request: http::Request<()>,
    pub(crate) body: Vec<u8>,
}

/// What becomes of a stream.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// 200 with these fields and a body.
    Fine(Vec<(&'static str, String)>, Vec<u8>),
    /// 200 with so many mebibytes, made as they are sent.
    Mebibytes(usize),
    /// RST_STREAM with this code, before anything else.
    Reset(Reason),
    /// RST_STREAM after the head of the answer.
    Cut,
    /// 200, once the gate has let it through.
    Gated,
    /// 200 without a look at the body, for which no room is made.
    Early,
}

/// How the origin is set up.
#[derive(Clone, Default)]
pub(crate) struct Setup {
    pub(crate) max_streams: Option<u32>,
    /// Each connection says GOAWAY when it has met so many requests, and ends when they are answered.
    pub(crate) goodbye_after: Option<usize>,
    /// Bytes that may be sent ahead on a stream and on a connection.
    pub(crate) window: Option<u32>,
    pub(crate) tls: Option<Arc<rustls::ServerConfig>>,
}

pub(crate) struct Two {
    pub(crate) address: SocketAddr,
    secure: bool,
    shared: Arc<Shared>,
}

struct Shared {
    setup: Setup,
    handler: Box<dyn Fn(&Met) -> Reply + Send + Sync>,
    met: Mutex<Vec<Met>>,
    gate: Semaphore,
    open: AtomicUsize,
    peak: AtomicUsize,
}

impl Two {
    /// Answers everything, in the clear.
    pub(crate) fn plain() -> Two {
        Two::open(Setup::default(), |_| fine())
    }

    pub(crate) fn open(setup: Setup, handler: impl Fn(&Met) -> Reply + Send + Sync + 'static) -> Two {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let (address, secure) = (listener.local_addr().unwrap(), setup.tls.is_some());
        let shared = Arc::new(Shared {
            setup,
            handler: Box::new(handler),
            met: Mutex::default(),
            gate: Semaphore::new(0),
            open: AtomicUsize::new(0),
            peak: AtomicUsize::new(0),
        });
        let inside = Arc::clone(&shared);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(accept(listener, inside));
        });
        Two { address, secure, shared }
    }

    pub(crate) fn url(&self) -> String {
        let scheme = if self.secure { "https" } else { "http" };
        format!("{scheme}://localhost:{}", self.address.port())
    }

    pub(crate) fn met(&self) -> Vec<Met> {
        self.shared.met.lock().unwrap().clone()
    }

    /// Most streams that were open at once, over all connections.
    pub(crate) fn peak(&self) -> usize {
        self.shared.peak.load(Ordering::SeqCst)
    }

    /// Lets so many gated answers through.
    pub(crate) fn let_through(&self, count: usize) {
        self.shared.gate.add_permits(count);
    }
}

impl Met {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.request.headers().get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) fn path(&self) -> &str {
        self.request.uri().path()
    }
}

pub(crate) fn fine() -> Reply {
    Reply::Fine(Vec::new(), b"ok".to_vec())
}

async fn accept(listener: std::net::TcpListener, shared: Arc<Shared>) {
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    let mut number = 0;
    while let Ok((socket, _)) = listener.accept().await {
        let _ = socket.set_nodelay(true);
        let (connection, shared) = (number, Arc::clone(&shared));
        number += 1;
        tokio::spawn(async move {
            match shared.setup.tls.clone() {
                None => serve(socket, connection, shared).await,
                Some(config) => {
                    if let Ok(socket) = TlsAcceptor::from(config).accept(socket).await {
                        serve(socket, connection, shared).await;
                    }
                }
            }
        });
    }
}

async fn serve(socket: impl AsyncRead + AsyncWrite + Unpin, connection: usize, shared: Arc<Shared>) {
    let mut builder = h2::server::Builder::new();
    if let Some(most) = shared.setup.max_streams {
        builder.max_concurrent_streams(most);
    }
    if let Some(window) = shared.setup.window {
        builder.initial_window_size(window).initial_connection_window_size(window);
    }
    let Ok(mut http2) = builder.handshake::<_, bytes::Bytes>(socket).await else { return };
    let mut place = 0;
    while let Some(accepted) = http2.accept().await {
        let Ok((request, respond)) = accepted else { return };
        let open = shared.open.fetch_add(1, Ordering::SeqCst) + 1;
        shared.peak.fetch_max(open, Ordering::SeqCst);
        let (request, body) = request.into_parts_of();
        let mut met = Met { connection, request, body: Vec::new() };
        place += 1;
        if shared.setup.goodbye_after == Some(place) {
            http2.graceful_shutdown();
        }
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let reply = (shared.handler)(&met);
            let unread = match reply {
                Reply::Early => Some(body),
                _ => {
                    met.body = read_all(body).await;
                    None
                }
            };
            shared.met.lock().unwrap().push(met);
            answer(reply, respond, &shared).await;
            if unread.is_some() {
                std::future::pending::<()>().await; // dropped, it would be reset
            }
        });
    }
}

async fn read_all(mut body: RecvStream) -> Vec<u8> {
    let mut all = Vec::new();
    while let Some(Ok(piece)) = body.data().await {
        let _ = body.flow_control().release_capacity(piece.len());
        all.extend_from_slice(&piece);
    }
    all
}

async fn answer(reply: Reply, mut respond: SendResponse<bytes::Bytes>, shared: &Shared) {
    let (fields, body) = match reply {
        Reply::Fine(fields, body) => (fields, body),
        Reply::Gated => {
            shared.gate.acquire().await.unwrap().forget();
            (Vec::new(), b"ok".to_vec())
        }
        Reply::Early => (Vec::new(), b"ok".to_vec()),
        Reply::Mebibytes(count) => return pour(count, respond).await,
        Reply::Reset(reason) => {
            shared.open.fetch_sub(1, Ordering::SeqCst);
            return respond.send_reset(reason);
        }
        Reply::Cut => {
            shared.open.fetch_sub(1, Ordering::SeqCst);
            let head = http::Response::new(());
            if let Ok(mut stream) = respond.send_response(head, false) {
                // Else the reset would overtake the head.
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                stream.send_reset(Reason::INTERNAL_ERROR);
            }
            return;
        }
    };
    let mut head = http::Response::builder();
    for (name, value) in fields {
        head = head.header(name, value);
    }
    shared.open.fetch_sub(1, Ordering::SeqCst); // once the client knows, it may open the next at once
    let Ok(mut stream) = respond.send_response(head.body(()).unwrap(), false) else { return };
    let _ = stream.send_data(body.into(), true);
}

/// Sends the same mebibyte over and over, as fast as the windows allow.
async fn pour(count: usize, mut respond: SendResponse<bytes::Bytes>) {
    let Ok(mut stream) = respond.send_response(http::Response::new(()), false) else { return };
    let block = bytes::Bytes::from(vec![b'x'; 1 << 20]);
    for number in 1..=count {
        let mut left = block.clone();
        while !left.is_empty() {
            stream.reserve_capacity(left.len());
            let Some(Ok(room)) = std::future::poll_fn(|cx| stream.poll_capacity(cx)).await else { return };
            let piece = left.split_to(room.min(left.len()));
            let _ = stream.send_data(piece, number == count && left.is_empty());
        }
    }
}

/// A request in two: what it says, and its body.
trait PartsOf {
    fn into_parts_of(self) -> (http::Request<()>, RecvStream);
}

impl PartsOf for http::Request<RecvStream> {
    fn into_parts_of(self) -> (http::Request<()>, RecvStream) {
        let (parts, body) = self.into_parts();
        (http::Request::from_parts(parts, ()), body)
    }
}

/// TLS with a certificate of its own, and these protocols.
pub(crate) fn tls(protocols: &[&[u8]]) -> Arc<rustls::ServerConfig> {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)
        .unwrap();
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    Arc::new(config)
}
