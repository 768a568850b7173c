//! What a person sees while a replay runs: a screen on a terminal, one line a second in a pipe, nothing with `--quiet`.

mod draw;
mod model;
mod screen;

use std::io::IsTerminal;

use super::show;
use crate::{Options, Progress, Stop};
use model::Model;
use screen::Screen;

pub(super) use screen::restore;

/// Who tells of a run.
pub(super) enum Live {
    Quiet,
    /// A line a second; `over` writes each over the one before, where the terminal can.
    Lines {
        over: bool,
    },
    /// A screen, from the first second on.
    Screen {
        stop: Stop,
        span_us: Option<u64>,
        screen: Option<Screen>,
    },
}

impl Live {
    /// What suits the error stream. `plain`: lines in any case.
    pub(super) fn new(quiet: bool, plain: bool, options: &Options) -> Live {
        let is_terminal = std::io::stderr().is_terminal();
        let can_draw = is_terminal && std::env::var("TERM").is_ok_and(|term| term != "dumb");
        match (quiet, can_draw && !plain) {
            (true, _) => Live::Quiet,
            (false, true) => {
                let span_us = options.duration.and_then(|span| u64::try_from(span.as_micros()).ok());
                Live::Screen { stop: options.stop.clone(), span_us, screen: None }
            }
            (false, false) => Live::Lines { over: can_draw },
        }
    }

    /// Whether a screen tells of a wish to stop, so that nobody else has to.
    pub(super) fn is_screen(&self) -> bool {
        matches!(self, Live::Screen { .. })
    }

    /// Tells of what happened. Never waits for the terminal.
    pub(super) fn progress(&mut self, progress: Progress) {
        match self {
            Live::Quiet => {}
            Live::Lines { over } => line(&progress, *over),
            Live::Screen { stop, span_us, screen } => match progress {
                Progress::Planned(outline) => {
                    print!("{}", show::outline(&outline));
                    *screen = Screen::open(Model::new(&outline, *span_us), stop.clone());
                }
                progress => match screen {
                    Some(screen) => screen.update(|model| model.take(progress)),
                    None => line(&progress, true), // the terminal does not take a screen
                },
            },
        }
    }

    /// Gives the terminal back.
    pub(super) fn end(&mut self) {
        match self {
            Live::Lines { over: true } => eprint!("\r\x1b[2K"),
            Live::Screen { screen, .. } => {
                for note in screen.take().map(Screen::close).unwrap_or_default() {
                    eprintln!("note       {note}");
                }
            }
            Live::Quiet | Live::Lines { over: false } => {}
        }
    }
}

fn line(progress: &Progress, over: bool) {
    match progress {
        Progress::Planned(outline) => print!("{}", show::outline(outline)),
        Progress::Note(note) => eprintln!("note       {note}"),
        Progress::Second { second, sent, planned, .. } => {
            let line = show::second(second, *sent, *planned);
            if over {
                eprint!("\r\x1b[2K{line}");
            } else {
                eprintln!("{line}");
            }
        }
    }
}
