//! The recorder's thread: redacts, encodes, writes, and says what became of each exchange.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::Duration;

use captures::error::Error;
use captures::{Redactor, Writer};

use super::convert::{self, EdgeName};
use super::queued::Queued;
use super::{Message, State};
use crate::books::{Scope, bump};
use crate::sync::lock;
use crate::time::wall_us;

pub(super) struct Work {
    writer: Writer,
    redactor: Redactor,
    state: Arc<State>,
    edges: Vec<EdgeName>,
    /// Exchanges in the writer's open block, which a failed write takes with it: by scope and edge.
    open: Vec<(Arc<Scope>, usize, u64)>,
    turned_away_noted: u64,
}

impl Work {
    pub(super) fn new(writer: Writer, redactor: Redactor, state: Arc<State>, edges: Vec<EdgeName>) -> Work {
        Work { writer, redactor, state, edges, open: Vec::new(), turned_away_noted: 0 }
    }

    /// Writes until told to stop, then closes the capture.
    pub(super) fn run(mut self, items: &Receiver<Message>) {
        let stopped = loop {
            // Looked for, not waited for: waking a waiting thread would cost each exchange a system call.
            match items.try_recv() {
                Ok(Message::Item(queued)) => self.write(*queued),
                Ok(Message::Stop(done)) => break Some(done),
                Err(TryRecvError::Empty) => std::thread::sleep(PAUSE),
                Err(TryRecvError::Disconnected) => break None,
            }
            self.note_turned_away();
            self.step(|writer| writer.tick(wall_us()));
        };
        self.note_turned_away();
        self.step(|writer| writer.flush(wall_us()));
        if let Err(error) = self.writer.finish(wall_us()) {
            tracing::error!(%error, "the capture could not be closed; `squall captures repair` will");
            *lock(&self.state.error) = Some(error.to_string());
        }
        if let Some(done) = stopped {
            let _ = done.try_send(());
        }
    }

    fn write(&mut self, queued: Queued) {
        let Some(mut exchange) = convert::exchange(&queued.item, &self.edges) else {
            return queued.shed("header");
        };
        self.redactor.exchange(&mut exchange);
        if let Some(stream) = &mut exchange.stream {
            stream.fill_from_body(&exchange.request.body);
        }
        let (scopes, edge) = (queued.item.scopes.clone(), queued.item.edge);
        // booked first: a block that fails takes it back, with all that are in it
        let before = self.writer.exchanges();
        let pushed = self.writer.push(&exchange, wall_us());
        if matches!(pushed, Err(Error::TooLarge { .. })) {
            queued.shed("too_large");
        } else {
            scopes.iter().for_each(|scope| self.opened(scope, edge));
            queued.recorded();
        }
        self.settle(before, pushed);
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
            let lost = outcome.is_err() && self.writer.exchanges() == before;
            for (scope, edge, count) in self.open.drain(..).filter(|_| lost) {
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
        match outcome {
            Err(error) => self.note_error(&error),
            // only a block in the file says that the disk is well again
            Ok(()) if before < self.writer.exchanges() => *lock(&self.state.error) = None,
            Ok(()) => {}
        }
    }

    /// Tells the capture of exchanges that never came here; what is lost here the writer counts itself.
    fn note_turned_away(&mut self) {
        let turned_away = self.state.turned_away.load(Ordering::Relaxed);
        if turned_away > self.turned_away_noted {
            self.writer.shed("queue", turned_away - self.turned_away_noted);
            self.turned_away_noted = turned_away;
        }
    }

    fn note_error(&self, error: &Error) {
        let text = error.to_string();
        let mut shown = lock(&self.state.error);
        if shown.as_ref() != Some(&text) {
            tracing::error!(%error, "recording fails; traffic goes on");
        }
        *shown = Some(text);
    }
}

/// How long a quiet recording sleeps before it looks again for work, and for a block that is old enough to be closed.
const PAUSE: Duration = Duration::from_millis(5);
