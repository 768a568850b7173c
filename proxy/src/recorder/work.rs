//! The recorder's thread: redacts, encodes, writes, and says what became of each exchange.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};

use captures::error::Error;
use captures::links::{Noted, Printer};
use captures::{Exchange, Redactor, Writer};

use super::convert::{self, EdgeName};
use super::files::Files;
use super::queued::Queued;
use super::{Item, Kept, Message, State};
use crate::books::{Scope, bump};
use crate::sync::lock;
use crate::time::{micros, wall_us};

pub(super) struct Work {
    files: Files,
    writer: Writer,
    /// When the file's name was last looked at, by the wall clock.
    looked_us: u64,
    /// When the next file was last wanted and could not be begun.
    refused: Option<Instant>,
    /// The file is gone, and no other could be begun yet: nothing is written.
    adrift: bool,
    redactor: Option<Redactor>,
    /// `None` where no prints are written.
    printer: Option<Printer>,
    state: Arc<State>,
    edges: Vec<EdgeName>,
    kept: Kept,
    /// What the next exchange is written over.
    spare: Option<Box<Exchange>>,
    /// Zero outside of tests.
    pause: Duration,
    /// Exchanges in the writer's open block, which a failed write takes with it: by scope and edge.
    open: Vec<(Arc<Scope>, usize, u64)>,
    turned_away_noted: u64,
}

impl Work {
    pub(super) fn new(
        (files, writer): (Files, Writer),
        (redactor, printer): (Option<Redactor>, Option<Printer>),
        state: Arc<State>,
        (edges, kept): (Vec<EdgeName>, Kept),
        pause: Duration,
    ) -> Work {
        Work {
            files,
            writer,
            looked_us: wall_us(),
            refused: None,
            adrift: false,
            redactor,
            printer,
            state,
            edges,
            kept,
            spare: None,
            pause,
            open: Vec::new(),
            turned_away_noted: 0,
        }
    }

    /// Writes until told to stop, then closes the capture.
    pub(super) fn run(mut self, items: &Receiver<Message>) {
        let stopped = loop {
            // once for all that is done with a message: a clock that is read for each step is felt
            let now_us = wall_us();
            // Looked for, not waited for: waking a waiting thread would cost each exchange a system call.
            match items.try_recv() {
                Ok(Message::Item(queued)) => self.write(queued, now_us),
                Ok(Message::Rotate) => self.rotate(),
                Ok(Message::Stop(done)) => break Some(done),
                Err(TryRecvError::Empty) => std::thread::sleep(PAUSE),
                Err(TryRecvError::Disconnected) => break None,
            }
            self.note_turned_away();
            self.look_after_the_file(now_us);
            if !self.adrift {
                self.step(|writer| writer.tick(now_us));
            }
        };
        self.note_turned_away();
        if self.adrift {
            if let Some(done) = stopped {
                let _ = done.try_send(());
            }
            return;
        }
        self.step(|writer| writer.flush(wall_us()));
        if let Err(error) = self.writer.finish(wall_us()) {
            tracing::error!(%error, "the capture could not be closed; `squall captures repair` will");
            *lock(&self.state.error) = Some(error.to_string());
        }
        let removed = self.files.make_room(0).len() as u64;
        self.state.removed.fetch_add(removed, Ordering::Relaxed);
        if let Some(done) = stopped {
            let _ = done.try_send(());
        }
    }

    /// Once a second: is the file still where it should be, and has it come to its end?
    fn look_after_the_file(&mut self, now_us: u64) {
        let is_refused = self.refused.is_some_and(|at| at.elapsed() < GLANCE);
        if !self.adrift && !is_refused && self.files.is_due(&self.writer, now_us) {
            return self.rotate();
        }
        // a clock that was set back does not keep it from being looked at
        if now_us.abs_diff(self.looked_us) < micros(GLANCE) {
            return;
        }
        self.looked_us = now_us;
        if !self.adrift && self.writer.is_in_place() {
            return;
        }
        if !self.adrift {
            self.adrift = true;
            self.writer.shed("io", self.writer.open_exchanges());
            self.lose_open_block();
        }
        match self.files.begin_anew(wall_us()) {
            Ok(mut writer) => {
                writer.take_shed(&mut self.writer);
                self.writer = writer;
                self.adrift = false;
                let path = self.files.path();
                tracing::warn!(file = %path.display(), "the capture was removed: recording goes on in a new one");
                *lock(&self.state.file) = path;
                *lock(&self.state.error) = None;
            }
            Err(error) => self.note_error(&error),
        }
    }

    /// What was in the open block of a file that is gone will never be found.
    fn lose_open_block(&mut self) {
        for (scope, edge, count) in self.open.drain(..) {
            if scope.run.is_none() {
                self.state.recorded.fetch_sub(count, Ordering::Relaxed);
                self.state.shed.fetch_add(count, Ordering::Relaxed);
            }
            scope.note(edge, |books| {
                books.recorded -= count;
                (0..count).for_each(|_| bump(&mut books.shed, "io"));
            });
        }
    }

    /// Closes the file and begins the next; the old one goes on where that fails.
    fn rotate(&mut self) {
        self.step(|writer| writer.flush(wall_us()));
        match self.files.rotate(&mut self.writer, wall_us()) {
            Ok(closed) => {
                if let Err(error) = &closed.outcome {
                    tracing::error!(%error, file = %closed.path.display(), "a capture could not be closed; `squall captures repair` will");
                }
                self.state.closed.fetch_add(1, Ordering::Relaxed);
                self.state.removed.fetch_add(closed.removed.len() as u64, Ordering::Relaxed);
                *lock(&self.state.file) = self.files.path();
                *lock(&self.state.error) = None;
                self.refused = None;
                tracing::info!(file = %self.files.path().display(), "recording goes on in the next capture");
            }
            Err(error) => {
                self.refused = Some(Instant::now());
                self.note_error(&error);
            }
        }
    }

    fn write(&mut self, queued: Queued, now_us: u64) {
        if self.adrift {
            return self.shed(queued, "io");
        }
        if !self.pause.is_zero() {
            std::thread::sleep(self.pause);
        }
        let mut exchange = self.spare.take().unwrap_or_default();
        if convert::fill(&mut exchange, &queued.item, &self.edges, self.kept).is_none() {
            return self.shed(queued, "header");
        }
        let prints = self.prints(&queued.item, &exchange);
        if let Some(redactor) = &mut self.redactor {
            redactor.exchange(&mut exchange);
        }
        if let Some(prints) = prints {
            prints.write(&mut exchange);
        }
        if let Some(stream) = &mut exchange.stream {
            stream.fill_from_body(&exchange.request.body);
        }
        let (scopes, edge) = (queued.item.scopes.clone(), queued.item.edge);
        // booked first: a block that fails takes it back, with all that are in it
        let before = self.writer.exchanges();
        let pushed = self.writer.push(&exchange, now_us);
        if matches!(pushed, Err(Error::TooLarge { .. })) {
            queued.shed("too_large");
        } else {
            scopes.iter().for_each(|scope| self.opened(scope, edge));
            self.state.bodies.note(&queued.item, &exchange, self.kept);
            queued.recorded();
        }
        convert::empty(&mut exchange);
        self.spare = Some(exchange);
        self.settle(before, pushed);
    }

    /// Counts it as lost, in the capture too: in this file, or in the one that comes after it.
    fn shed(&mut self, queued: Queued, why: &str) {
        self.writer.shed(why, 1);
        queued.shed(why);
    }

    /// Prints of the values of an exchange that links may be found in.
    fn prints(&self, item: &Item, exchange: &Exchange) -> Option<Noted> {
        let is_organic = !item.replayed && !item.answer.own && item.faults.is_empty();
        let printer = self.printer.as_ref().filter(|_| is_organic)?;
        let body = (item.answer_body.kept() != 0).then(|| item.answer_body.piece());
        let noted = printer.note(exchange, body.as_deref(), self.redactor.as_ref());
        self.state.bodies.note_prints(item, exchange, &noted);
        Some(noted)
    }

    fn step(&mut self, call: impl FnOnce(&mut Writer) -> Result<(), Error>) {
        let before = self.writer.exchanges();
        let outcome = call(&mut self.writer);
        self.settle(before, outcome);
    }

    fn opened(&mut self, scope: &Arc<Scope>, edge: usize) {
        let same = |(of, at, _): &&mut (Arc<Scope>, usize, u64)| Arc::ptr_eq(of, scope) && *at == edge;
        match self.open.iter_mut().find(same) {
            Some((_, _, count)) => *count += 1,
            None => self.open.push((scope.clone(), edge, 1)),
        }
    }

    /// After a call the block is still open, or in the file (which held `before` exchanges), or lost with all that
    /// was in it.
    fn settle(&mut self, before: u64, outcome: Result<(), Error>) {
        if self.writer.open_exchanges() == 0 {
            match outcome.is_err() && self.writer.exchanges() == before {
                true => self.lose_open_block(),
                false => self.open.clear(),
            }
        }
        match outcome {
            Err(error) => self.note_error(&error),
            // only a block in the file says that the disk is well again
            Ok(()) if before < self.writer.exchanges() => {
                if lock(&self.state.error).take().is_some() {
                    tracing::info!("recording works again");
                }
            }
            Ok(()) => {}
        }
    }

    /// Tells the capture of exchanges that never came here.
    fn note_turned_away(&mut self) {
        let turned_away = self.state.turned_away.load(Ordering::Relaxed);
        if turned_away > self.turned_away_noted {
            self.writer.shed("queue", turned_away - self.turned_away_noted);
            self.turned_away_noted = turned_away;
        }
    }

    fn note_error(&self, error: &Error) {
        let mut shown = lock(&self.state.error);
        // of one full disk several files may complain in turn
        if shown.is_none() {
            tracing::error!(%error, "recording fails; traffic goes on");
        }
        *shown = Some(error.to_string());
    }
}

/// How long a quiet recording sleeps before it looks again for work, and for a block that is old enough to be closed.
const PAUSE: Duration = Duration::from_millis(5);
/// How often the file's name is looked at, since what is written to a removed file in between is lost; and how often another
/// file is tried to be begun.
const GLANCE: Duration = Duration::from_secs(1);
