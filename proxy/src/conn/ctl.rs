//! What the HTTP layer and the stream below it tell each other about one connection.

use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use tokio::sync::Notify;

use super::cut::Cut;
use super::framing::BodyFraming;
use super::h2_tag::Tag;
use super::inbound::InboundOrder;
use crate::faults::SharedShaping;
use crate::sync::lock;

/// Shared by a connection's stream and the exchanges on it.
#[derive(Debug)]
pub(crate) struct ConnCtl {
    /// Number of the connection, unique in the process.
    pub(crate) id: u64,
    /// Index of the edge that accepted it.
    pub(crate) edge: usize,
    /// The client.
    pub(crate) peer: SocketAddr,
    /// Its address without the port, as rules see it.
    pub(crate) client: Box<str>,
    /// Exchanges that reached our hooks; the accept loop compares it to find requests that did not.
    hooked: AtomicU64,
    request_over: AtomicBool,
    answer_over: AtomicBool,
    refused: AtomicU8,
    deaf: AtomicBool,
    framing: AtomicU64,
    reset_on_close: AtomicBool,
    linger: Mutex<Option<TcpStream>>,
    /// What goes out in place of the last chunk.
    last_chunk: Mutex<Option<Vec<u8>>>,
    trails: AtomicBool,
    streams: AtomicUsize,
    answer: Order<SharedShaping>,
    request: Order<InboundOrder>,
    armed: AtomicBool,
    tags: AtomicU32,
    cuts: Mutex<Vec<(Tag, Cut)>>,
    farewell: Mutex<Option<Farewell>>,
    leaves: Notify,
    ended_by: OnceLock<Ended>,
}

/// What the stream of an HTTP/1 connection is to do with the exchange under way.
#[derive(Debug)]
struct Order<T> {
    stands: AtomicBool,
    what: Mutex<Option<T>>,
}

/// How an HTTP/2 connection is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Farewell {
    /// GOAWAY with this code; see [`fault_rules::action::Goaway`].
    Goaway(u32),
    /// RST.
    Reset,
}

/// The rule that has ended a connection with everything on it.
#[derive(Debug, Clone)]
pub(crate) struct Ended {
    pub(crate) rule: Arc<str>,
    /// The word of the rule language.
    pub(crate) action: &'static str,
}

/// Why a request never reached the hooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Pingora could not read it.
    Parse,
    HeaderTime,
    HeaderSize,
}

impl Refusal {
    /// The row of the books.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Refusal::Parse => "parse",
            Refusal::HeaderTime => "header_timeout",
            Refusal::HeaderSize => "header_size",
        }
    }

    /// The whole answer; of what pingora refuses it is pingora's.
    pub(super) fn answer(self) -> &'static str {
        match self {
            Refusal::Parse => "",
            Refusal::HeaderTime => {
                "HTTP/1.1 408 Request Timeout\r\nsquall-error: header-timeout\r\ncontent-length: 0\r\n\
                 connection: close\r\n\r\n"
            }
            Refusal::HeaderSize => {
                "HTTP/1.1 431 Request Header Fields Too Large\r\nsquall-error: header-size\r\n\
                 content-length: 0\r\nconnection: close\r\n\r\n"
            }
        }
    }
}

impl ConnCtl {
    pub(crate) fn new(id: u64, edge: usize, peer: SocketAddr) -> Self {
        ConnCtl {
            id,
            edge,
            peer,
            client: peer.ip().to_string().into(),
            hooked: AtomicU64::new(0),
            request_over: AtomicBool::new(false),
            answer_over: AtomicBool::new(false),
            refused: AtomicU8::new(0),
            deaf: AtomicBool::new(false),
            framing: AtomicU64::new(NO_FRAMING),
            reset_on_close: AtomicBool::new(false),
            linger: Mutex::new(None),
            last_chunk: Mutex::new(None),
            trails: AtomicBool::new(false),
            streams: AtomicUsize::new(0),
            answer: Order::default(),
            request: Order::default(),
            armed: AtomicBool::new(false),
            tags: AtomicU32::new(0),
            cuts: Mutex::new(Vec::new()),
            farewell: Mutex::new(None),
            leaves: Notify::new(),
            ended_by: OnceLock::new(),
        }
    }

    /// Is it the first exchange of the connection?
    pub(crate) fn count_hook(&self) -> bool {
        self.hooked.fetch_add(1, Ordering::Relaxed) == 0
    }

    pub(crate) fn hooked(&self) -> u64 {
        self.hooked.load(Ordering::Relaxed)
    }

    /// An HTTP/2 stream opens.
    pub(crate) fn open_stream(&self) {
        self.streams.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn close_stream(&self) {
        self.streams.fetch_sub(1, Ordering::Relaxed);
    }

    /// HTTP/2 streams open now.
    pub(crate) fn streams(&self) -> usize {
        self.streams.load(Ordering::Relaxed)
    }

    /// Answers that may be under way: one on HTTP/1.
    pub(super) fn answers(&self) -> usize {
        self.streams().max(1)
    }

    pub(super) fn begin_request(&self) {
        self.request_over.store(false, Ordering::Release);
        self.answer_over.store(false, Ordering::Release);
        self.framing.store(NO_FRAMING, Ordering::Release);
        if self.has_last_chunk() {
            self.take_last_chunk(); // of an answer that was not written to its end
        }
    }

    /// This request is answered before any hook, and why.
    pub(super) fn refuse(&self, why: Refusal) {
        self.refused.store(why as u8 + 1, Ordering::Release);
    }

    pub(crate) fn refusal(&self) -> Option<Refusal> {
        let at = usize::from(self.refused.load(Ordering::Acquire)).checked_sub(1)?;
        REFUSALS.get(at).copied()
    }

    /// The header of an HTTP/1 request was read: its body ends so. Said again where an answer changes that.
    pub(crate) fn frame(&self, body: BodyFraming) {
        let code = match body {
            BodyFraming::Length(length) => length.min(ENDLESS - 1),
            BodyFraming::Endless => ENDLESS,
            BodyFraming::Chunked => CHUNKED,
        };
        self.framing.store(code, Ordering::Release);
    }

    /// What was said since the last time.
    pub(super) fn take_framing(&self) -> Option<BodyFraming> {
        if self.framing.load(Ordering::Acquire) == NO_FRAMING {
            return None; // most of the time, and without a write
        }
        match self.framing.swap(NO_FRAMING, Ordering::AcqRel) {
            NO_FRAMING => None,
            ENDLESS => Some(BodyFraming::Endless),
            CHUNKED => Some(BodyFraming::Chunked),
            length => Some(BodyFraming::Length(length)),
        }
    }

    /// The client takes nothing: the connection ends with a reset, since nothing else would reach it.
    pub(super) fn give_up_deaf(&self) {
        self.deaf.store(true, Ordering::Release);
        self.reset_on_close();
    }

    pub(crate) fn was_deaf(&self) -> bool {
        self.deaf.load(Ordering::Acquire)
    }

    /// The request was read to its end: whatever comes now is of the next one.
    pub(crate) fn request_over(&self) {
        self.request_over.store(true, Ordering::Release);
    }

    pub(super) fn is_request_over(&self) -> bool {
        self.request_over.load(Ordering::Acquire)
    }

    /// The upstream has said all that it will: what is held of that is waited for.
    pub(crate) fn answer_over(&self) {
        self.answer_over.store(true, Ordering::Release);
    }

    pub(super) fn is_answer_over(&self) -> bool {
        self.answer_over.load(Ordering::Acquire)
    }

    /// Ends the chunked answer under way with these bytes.
    pub(crate) fn trail(&self, last_chunk: Vec<u8>) {
        *lock(&self.last_chunk) = Some(last_chunk);
        self.trails.store(true, Ordering::Release);
    }

    /// What is to end the chunked answer under way, once it ends.
    pub(super) fn take_last_chunk(&self) -> Option<Vec<u8>> {
        self.trails.store(false, Ordering::Release);
        lock(&self.last_chunk).take()
    }

    pub(super) fn last_chunk(&self) -> Option<Vec<u8>> {
        lock(&self.last_chunk).clone()
    }

    pub(super) fn has_last_chunk(&self) -> bool {
        self.trails.load(Ordering::Acquire)
    }

    /// Keeps the socket open behind the stream, since a close with unread bytes would take the answer back.
    pub(crate) fn linger(&self, socket: TcpStream) {
        *lock(&self.linger) = Some(socket);
    }

    pub(crate) fn take_lingering(&self) -> Option<TcpStream> {
        lock(&self.linger).take()
    }

    /// Close with RST instead of FIN when the stream is dropped.
    pub(crate) fn reset_on_close(&self) {
        self.reset_on_close.store(true, Ordering::Release);
    }

    pub(crate) fn wants_reset(&self) -> bool {
        self.reset_on_close.load(Ordering::Acquire)
    }

    /// HTTP/1: the answer whose header has not been written yet goes out under these shapes.
    pub(crate) fn shape_answer(&self, shaping: SharedShaping) {
        self.answer.give(shaping);
    }

    /// HTTP/1: what the client sends from here on comes in under these shapes.
    pub(crate) fn shape_request(&self, order: InboundOrder) {
        self.request.give(order);
    }

    /// The exchange is over: whatever still passes is unshaped.
    pub(crate) fn unshape(&self) {
        self.answer.withdraw();
        self.request.withdraw();
    }

    pub(super) fn answer_order(&self) -> Option<Option<SharedShaping>> {
        self.answer.look()
    }

    pub(super) fn request_order(&self) -> Option<Option<InboundOrder>> {
        self.request.look()
    }

    /// Asks the frame layer to cut the stream whose header will bear this tag.
    pub(crate) fn arm(&self, tag: Tag, cut: Cut) {
        let mut cuts = lock(&self.cuts);
        if cuts.len() == MAX_ARMED {
            cuts.remove(0); // of a stream that its client gave up before the header left
        }
        cuts.push((tag, cut));
        drop(cuts);
        self.armed.store(true, Ordering::Release);
    }

    /// The frame layer's question at every header: may it bear a tag? One load where none can.
    pub(crate) fn is_armed(&self) -> bool {
        self.armed.load(Ordering::Acquire)
    }

    /// A tag for an answer whose cut will be armed.
    pub(crate) fn next_tag(&self) -> Tag {
        Tag::new(self.tags.fetch_add(1, Ordering::Relaxed))
    }

    /// Hands over, for good, the cut whose tag an answer's header bears; the tag is taken out of it.
    pub(super) fn take_tagged(&self, block: &mut Vec<u8>) -> Option<Cut> {
        let mut cuts = lock(&self.cuts);
        let at = cuts.iter().position(|(tag, _)| tag.take_from(block))?;
        let (_, cut) = cuts.swap_remove(at);
        self.armed.store(!cuts.is_empty(), Ordering::Release);
        Some(cut)
    }

    /// HTTP/2: the connection is to end.
    pub(crate) fn say_farewell(&self, how: Farewell) {
        *lock(&self.farewell) = Some(how);
        self.leaves.notify_one();
    }

    /// Resolves when the connection is to end; for one to wait for.
    ///
    /// # Cancel safety
    /// Safe.
    pub(crate) async fn farewell(&self) -> Farewell {
        loop {
            if let Some(how) = lock(&self.farewell).take() {
                return how;
            }
            self.leaves.notified().await;
        }
    }

    /// A rule ends the connection, and with it all that is under way on it.
    pub(crate) fn end_by(&self, ended: Ended) {
        // of two the first has done it
        let _ = self.ended_by.set(ended);
    }

    /// The rule that has ended the connection.
    pub(crate) fn ended_by(&self) -> Option<&Ended> {
        self.ended_by.get()
    }
}

impl<T> Order<T> {
    fn give(&self, what: T) {
        *lock(&self.what) = Some(what);
        self.stands.store(true, Ordering::Release);
    }

    fn withdraw(&self) {
        if self.stands.swap(false, Ordering::AcqRel) {
            *lock(&self.what) = None;
        }
    }

    /// `None`: no order stands. Else the order where it was not taken up yet.
    fn look(&self) -> Option<Option<T>> {
        self.stands.load(Ordering::Acquire).then(|| lock(&self.what).take())
    }
}

impl<T> Default for Order<T> {
    fn default() -> Self {
        Order { stands: AtomicBool::new(false), what: Mutex::new(None) }
    }
}

/// Cuts that wait for their header, a connection: more than it may have streams.
const MAX_ARMED: usize = 1024;

const REFUSALS: [Refusal; 3] = [Refusal::Parse, Refusal::HeaderTime, Refusal::HeaderSize];

/// Framings as one number: these, and any other for a length.
const NO_FRAMING: u64 = u64::MAX;
const CHUNKED: u64 = u64::MAX - 1;
const ENDLESS: u64 = u64::MAX - 2;
