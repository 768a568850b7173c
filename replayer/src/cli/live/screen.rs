//! The terminal: a thread that draws the model, reads keys, and gives the terminal back.
//!
//! The run never waits for it. What is drawn is a copy; a terminal that takes no bytes stops the drawing and nothing else.

use std::io::{Stderr, stderr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::crossterm::{cursor, execute};

use super::draw;
use super::model::Model;
use crate::Stop;

/// A screen that is open.
pub(in crate::cli) struct Screen {
    shared: Arc<Shared>,
    over: Receiver<()>,
}

struct Shared {
    model: Mutex<Model>,
    /// The run has ended.
    is_over: AtomicBool,
    stop: Stop,
}

/// A screen is on the terminal.
static IS_OPEN: AtomicBool = AtomicBool::new(false);

impl Screen {
    /// Opens the screen; `None` where the terminal does not take one.
    pub(super) fn open(model: Model, stop: Stop) -> Option<Screen> {
        enable_raw_mode().ok()?;
        IS_OPEN.store(true, Ordering::Relaxed);
        if execute!(stderr(), EnterAlternateScreen, cursor::Hide).is_err() {
            restore();
            return None;
        }
        let Ok(terminal) = Terminal::new(CrosstermBackend::new(stderr())) else {
            restore();
            return None;
        };
        let shared = Arc::new(Shared { model: Mutex::new(model), is_over: AtomicBool::new(false), stop });
        let (tell, over) = channel();
        let for_thread = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("replay-view".to_owned()).spawn(move || {
            for_thread.show(terminal);
            restore();
            let _ = tell.send(());
        });
        if thread.is_err() {
            restore();
            return None;
        }
        Some(Screen { shared, over })
    }

    pub(super) fn update(&self, change: impl FnOnce(&mut Model)) {
        change(&mut self.shared.model.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Gives the terminal back; what the user was told meanwhile. A terminal that takes no bytes is waited for briefly.
    pub(super) fn close(self) -> Vec<String> {
        self.shared.is_over.store(true, Ordering::Relaxed);
        let _ = self.over.recv_timeout(PATIENCE);
        self.shared.snapshot().notes.into()
    }
}

/// Gives the terminal back, if a screen is on it. May be called at any time, by anyone.
pub(in crate::cli) fn restore() {
    if IS_OPEN.swap(false, Ordering::Relaxed) {
        // A terminal that is gone cannot be restored.
        let _ = execute!(stderr(), LeaveAlternateScreen, cursor::Show);
        let _ = disable_raw_mode();
    }
}

impl Shared {
    fn snapshot(&self) -> Model {
        let mut model = self.model.lock().unwrap_or_else(PoisonError::into_inner);
        model.clock.heed_pause(self.stop.is_paused(), Instant::now());
        model.clone()
    }

    fn show(&self, mut terminal: Terminal<CrosstermBackend<Stderr>>) {
        let _ = terminal.clear(); // what cannot be cleared cannot be drawn upon either
        while !self.is_over.load(Ordering::Relaxed) {
            let model = self.snapshot();
            if terminal.draw(|frame| draw::draw(frame, &model, draw::State::of(&self.stop))).is_err() {
                return;
            }
            match event::poll(FRAME) {
                Ok(true) => match event::read() {
                    Ok(Event::Key(key)) => self.obey(key),
                    Ok(_) => {}
                    Err(_) => return,
                },
                Ok(false) => {}
                // no keyboard: drawing goes on
                Err(_) => std::thread::sleep(FRAME),
            }
        }
    }

    fn obey(&self, key: KeyEvent) {
        if key.kind == KeyEventKind::Release {
            return;
        }
        let held = key.modifiers & (KeyModifiers::CONTROL | KeyModifiers::ALT);
        match key.code {
            KeyCode::Char('c') if held == KeyModifiers::CONTROL => self.stop.interrupt(),
            // also what a NUL reads as, which some programs that run others on a terminal send
            _ if !held.is_empty() => {}
            KeyCode::Char('p' | ' ') => self.stop.pause(!self.stop.is_paused()),
            KeyCode::Char('q') if draw::State::of(&self.stop) != draw::State::Stopping => {
                self.stop.interrupt();
            }
            KeyCode::Char('Q') => {
                self.stop.interrupt();
                self.stop.interrupt();
            }
            _ => {}
        }
    }
}

/// How often the screen is drawn, at the least.
const FRAME: Duration = Duration::from_millis(250);
/// How long the end of a run waits for the terminal.
const PATIENCE: Duration = Duration::from_secs(2);
