//! Views of what the store holds: a recorded session as steps, when each is due, what it waits for, which connection
//! it uses.
//!
//! A step waits for every earlier step that had (nearly) ended in the recording when it began. Because both are
//! intervals on one time line, what step n waits for contains what step n-1 waits for: steps are released in
//! order, and "may it go?" is one comparison for each request of the session still in flight.

use std::fmt;

use zerocopy::FromBytes;

use crate::cookies::{Jar, RecordedCookies};
use crate::drift::Recorded;
use crate::plan::store::{
    HTTP2, IS_HEAD, KeyRecord, LAST_ON_LANE, NO_LANE, NO_LEN, PLAIN, REPLAYABLE, Row, SUBMITS, StepRecord,
    Store, TRACED,
};
use crate::plan::substitute::{self, Composed, Outgoing};
use crate::plan::template::{Sender, write};
use crate::stream::script::Script;

/// A recorded session, ready to be sent by any number of clones.
#[derive(Clone, Copy)]
pub(crate) struct Program<'a> {
    store: &'a Store,
    row: &'a Row,
}

/// One request of a program.
#[derive(Clone, Copy)]
pub(crate) struct Step<'a> {
    store: &'a Store,
    record: &'a StepRecord,
}

/// What a step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// A request and its answer.
    Exchange = 0,
    /// A request whose answer is a stream of events or messages.
    Stream = 1,
}

impl<'a> Program<'a> {
    pub(crate) fn new(store: &'a Store, row: &'a Row) -> Program<'a> {
        Program { store, row }
    }

    /// The recorded session; for all captures but the first, a hash of it and the capture's number.
    pub(crate) fn session(self) -> u64 {
        self.row.session
    }

    /// Number of the capture that it comes from.
    pub(crate) fn source(self) -> u16 {
        self.row.source()
    }

    /// Start, in microseconds from the first start of its capture.
    pub(crate) fn start_us(self) -> u64 {
        self.row.start_us
    }

    /// From its start to the end of its last answer, in microseconds.
    pub(crate) fn length_us(self) -> u64 {
        self.row.length_us()
    }

    /// How many steps it has; at least one.
    pub(crate) fn len(self) -> u32 {
        self.row.len()
    }

    /// The step `index`, below [`Program::len`].
    pub(crate) fn step(self, index: u32) -> Step<'a> {
        Step { store: self.store, record: self.store.step(self.row, index) }
    }

    /// All steps, by offset.
    pub(crate) fn steps(self) -> impl Iterator<Item = Step<'a>> {
        (0..self.len()).map(move |index| self.step(index))
    }

    /// Whether step `next` must wait for `flying`, an earlier step that is still in flight.
    pub(crate) fn waits_for(self, next: u32, flying: u32) -> bool {
        self.step(flying).end_us() <= self.step(next).offset_us()
    }
}

impl<'a> Step<'a> {
    /// Due, in microseconds after the session's start.
    pub(crate) fn offset_us(self) -> u64 {
        self.record.offset_us.get()
    }

    /// When it counts as ended in the recording: steps that begin then or later wait for it.
    pub(crate) fn end_us(self) -> u64 {
        self.record.end_us.get()
    }

    /// Number of the exchange within the recorded session: skipped ones leave gaps.
    pub(crate) fn index(self) -> u32 {
        self.record.index.get()
    }

    /// Connection of its own session; `None`: any of the pool.
    pub(crate) fn lane(self) -> Option<u16> {
        Some(self.record.lane.get()).filter(|lane| *lane != NO_LANE)
    }

    /// Whether no later step uses its lane. Over HTTP/2 earlier ones may still be in flight on it.
    pub(crate) fn is_last_on_lane(self) -> bool {
        self.has(LAST_ON_LANE)
    }

    /// Index into the plan's routes.
    pub(crate) fn route(self) -> u16 {
        self.store.route(self.name())
    }

    /// Number of the name of its route, before routes are chosen.
    pub(crate) fn name(self) -> u32 {
        self.record.name.get()
    }

    /// Recorded status; 0 where no answer was seen.
    pub(crate) fn status(self) -> u16 {
        self.record.status.get()
    }

    /// What the recording knows of the answer's body.
    pub(crate) fn answer(self) -> Recorded {
        Recorded {
            len: Some(self.record.answer.get()).filter(|len| *len != NO_LEN),
            shape: self.record.shape.get(),
            is_plain: self.has(PLAIN),
        }
    }

    /// Whether the answer has no body whatever its header says.
    pub(crate) fn is_head(self) -> bool {
        self.has(IS_HEAD)
    }

    /// Whether a careful client sends it again when it failed.
    pub(crate) fn is_replayable(self) -> bool {
        self.has(REPLAYABLE)
    }

    /// Whether an impatient user sends it twice.
    pub(crate) fn submits(self) -> bool {
        self.has(SUBMITS)
    }

    /// What the recorded answer took, in microseconds: some streams outlast any patience.
    pub(crate) fn duration_us(self) -> u64 {
        self.record.duration_us.get()
    }

    /// Hash of method, target and length of body.
    pub(crate) fn what(self) -> u64 {
        self.record.what.get()
    }

    /// What the recording knows of the messages of a stream; `None`: it was none.
    pub(crate) fn script(self) -> Option<Script<'a>> {
        if self.record.kind == Kind::Exchange as u8 {
            return None;
        }
        let at = self.pieces_at() + u64::from(self.record.pieces.get());
        Script::read(self.store.blob(at, self.record.stream.get()))
    }

    /// Path of the request, without its query.
    pub(crate) fn path(self) -> &'a [u8] {
        let [start, end] = self.record.path;
        &self.head()[start.get() as usize..end.get() as usize]
    }

    /// What was recorded of the body.
    pub(crate) fn body(self) -> &'a [u8] {
        let at = self.pieces_at() + u64::from(self.record.pieces.get()) + u64::from(self.record.stream.get());
        self.store.blob(at, self.record.body.get())
    }

    /// Whether links take something from its answer, or put something into its request.
    pub(crate) fn has_links(self) -> bool {
        self.record.links.get() > 0
    }

    /// What it has to do with links, see [`crate::links::block`].
    pub(crate) fn links(self) -> &'a [u8] {
        let parts = [self.record.pieces, self.record.stream, self.record.body];
        let at = self.pieces_at() + parts.iter().map(|length| u64::from(length.get())).sum::<u64>();
        self.store.blob(at, self.record.links.get().into())
    }

    /// Bytes of the body that were not recorded, sent as spaces.
    pub(crate) fn filler(self) -> u64 {
        self.record.filler.get()
    }

    /// Whether `--set` or a link changes something of it: then only [`Step::compose`] writes it.
    pub(crate) fn is_substituted(self) -> bool {
        self.record.pieces.get() > 0
    }

    /// Writes the whole HTTP/1.1 head for one attempt, up to the empty line.
    pub(crate) fn write_head(self, out: &mut Vec<u8>, sender: Sender<'_>, jar: Option<&Jar>, attempt: u32) {
        debug_assert!(!self.has(HTTP2) && !self.is_substituted());
        self.write_static(out, sender);
        write::tail(out, &self.tail(sender, jar, attempt));
    }

    /// Writes the complete HTTP/2 header block for one attempt.
    pub(crate) fn write_head_h2(
        self,
        out: &mut Vec<u8>,
        sender: Sender<'_>,
        jar: Option<&Jar>,
        attempt: u32,
    ) {
        debug_assert!(self.has(HTTP2) && !self.is_substituted());
        self.write_static(out, sender);
        write::tail_h2(out, &self.tail(sender, jar, attempt));
    }

    /// Writes head and body together, in the flavour of the plan, whether or not anything is substituted.
    pub(crate) fn compose(self, head: &mut Vec<u8>, body: &mut Vec<u8>, outgoing: &Outgoing<'_>) -> Composed {
        let composed = match self.is_substituted() {
            true => substitute::compose(self.pieces(), head, body, outgoing),
            false => {
                self.write_static(head, outgoing.sender);
                Composed::Recorded
            }
        };
        let tail = write::Tail {
            carried: outgoing.carried,
            ..self.tail(outgoing.sender, outgoing.jar, outgoing.attempt)
        };
        match self.has(HTTP2) {
            true => write::tail_h2(head, &tail),
            false => write::tail(head, &tail),
        }
        composed
    }

    fn tail<'t>(self, sender: Sender<'t>, jar: Option<&'t Jar>, attempt: u32) -> write::Tail<'t>
    where
        'a: 't,
    {
        let cookies = RecordedCookies(self.cookies());
        let trace = sender.trace.filter(|_| !self.has(TRACED));
        write::Tail { sender, jar, carried: None, attempt, trace, path: self.path(), cookies }
    }

    /// The head with this clone's keys in its holes.
    fn write_static(self, out: &mut Vec<u8>, sender: Sender<'_>) {
        let head = self.head();
        let mut from = 0;
        for record in self.keys() {
            let place = record.place.get() as usize;
            out.extend_from_slice(&head[from..place]);
            sender.push_key(out, &record.key());
            from = place;
        }
        out.extend_from_slice(&head[from..]);
    }

    fn has(self, flag: u8) -> bool {
        self.record.flags & flag != 0
    }

    fn head(self) -> &'a [u8] {
        self.store.blob(self.record.blob.get(), self.record.head.get())
    }

    fn keys(self) -> &'a [KeyRecord] {
        let at = self.record.blob.get() + u64::from(self.record.head.get());
        let bytes = self.store.blob(at, self.record.keys.get());
        <[KeyRecord]>::ref_from_bytes(bytes).expect("whole records were stored")
    }

    fn cookies(self) -> &'a [u8] {
        let before = u64::from(self.record.head.get()) + u64::from(self.record.keys.get());
        self.store.blob(self.record.blob.get() + before, self.record.cookies.get())
    }

    fn pieces(self) -> &'a [u8] {
        self.store.blob(self.pieces_at(), self.record.pieces.get())
    }

    fn pieces_at(self) -> u64 {
        let lengths = [self.record.head, self.record.keys, self.record.cookies];
        self.record.blob.get() + lengths.iter().map(|length| u64::from(length.get())).sum::<u64>()
    }
}

impl fmt::Debug for Program<'_> {
    /// Without the bytes that it sends.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.row.fmt(f)
    }
}

impl fmt::Debug for Step<'_> {
    /// Without the bytes that it sends.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.record.fmt(f)
    }
}
