//! The whole of Squall in under a minute: a shop, the proxy recording a crowd of shoppers, and that very capture
//! replayed a hundredfold through the proxy while the rule file is edited. Ends with a report that reconciles.
//!
//! ```text
//! crowd --> proxy (records) --> shop          replay --> proxy (injects) --> shop
//!               |                                ^            ^
//!            capture.zst ------------------------+        faults.toml <-- director
//! ```
//!
//! Everything runs in this process on free loopback ports, and by way of the same interfaces that a user has: the
//! capture file, the rule file, the admin API.

mod crowd;
mod director;
mod ending;
mod error;
mod evidence;
mod folder;
mod interrupt;
mod narrator;
mod next;
mod pace;
mod progress;
mod script;
mod secrets;
mod stage;
mod status;

use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use replayer::options::Speed;

pub(crate) use error::Error;
pub(crate) use interrupt::Interrupt;

use director::Director;
use ending::Ending;
use folder::Folder;
use narrator::Narrator;
use progress::Telling;
use script::Edit;
use stage::{Front, Stage};

/// What a demo is asked to be.
#[derive(Debug, Clone, Default)]
pub(crate) struct Options {
    /// How many sessions for each recorded one; `None`: 100, or what fits where the capture is somebody else's.
    pub(crate) amplify: Option<f64>,
    /// Somebody else's capture, instead of one of the demo's own.
    pub(crate) capture: Option<PathBuf>,
    /// Where run.json is to be written, beside the demo's own folder.
    pub(crate) json: Option<PathBuf>,
    /// Where the judgement is to be written as JUnit XML.
    pub(crate) junit: Option<PathBuf>,
    /// Where its page is to be written, beside the demo's own folder.
    pub(crate) report: Option<PathBuf>,
    /// Folder for the files; new or empty. `None`: one among the temporary files.
    pub(crate) keep: Option<PathBuf>,
    /// Nothing but the report.
    pub(crate) quiet: bool,
    /// The command line, for the record.
    pub(crate) argv: Vec<String>,
}

/// Runs the demo and returns what to exit with: the replay's code.
///
/// # Errors
/// When it does not come to a report.
pub(crate) fn run(options: &Options, interrupt: &Interrupt) -> Result<u8, Error> {
    let narrator = Narrator::new(options.quiet);
    for file in [&options.json, &options.junit, &options.report].into_iter().flatten() {
        writable(file)?; // better now than after the run
    }
    if options.capture.as_deref().is_some_and(|capture| !captures::reader::is_capture(capture)) {
        return Err(Error::NoCapture(options.capture.clone().unwrap_or_default()));
    }
    let folder = Folder::create(options.keep.as_deref())?;
    folder.save_rules(script::QUIET)?;
    let demo = Demo { options, interrupt, narrator, folder, stage: Stage::open(SEED)? };
    demo.narrator.step("shop", format!("open on {}", demo.stage.shop_url()));
    match &options.capture {
        Some(capture) => demo.foreign(capture),
        None => demo.own(),
    }
}

struct Demo<'a> {
    options: &'a Options,
    interrupt: &'a Interrupt,
    narrator: Narrator,
    folder: Folder,
    stage: Stage,
}

impl Demo<'_> {
    /// Records a crowd and replays it.
    fn own(self) -> Result<u8, Error> {
        let capture = self.folder.capture();
        let front = self.stage.recording(capture.clone())?;
        let doors = front.doors();
        self.narrator.step(
            "proxy",
            format!("in front of it on http://{}, recording to {}", front.edge, capture.display()),
        );
        self.record(front, &capture)?;
        let front = self.stage.injecting(&self.folder, Some(doors))?;
        self.narrator.step(
            "proxy",
            format!("again on http://{}, its rules in {}", front.edge, self.folder.rules().display()),
        );
        let mut options = self.replay_options(&capture);
        options.amplify = match self.options.amplify {
            Some(amplify) => amplify,
            None => self.affordable(&options, pace::AMPLIFY)?,
        };
        self.perform(front, options, &script::SHOP)
    }

    /// Replays somebody else's capture.
    fn foreign(self, capture: &Path) -> Result<u8, Error> {
        let front = self.stage.injecting(&self.folder, None)?;
        self.narrator.step(
            "proxy",
            format!(
                "in front of it on http://{}, its rules in {}",
                front.edge,
                self.folder.rules().display()
            ),
        );
        let mut options = self.replay_options(capture);
        options.target = Some(format!("http://{}", front.edge));
        options.proxy = Some(format!("http://{}", front.admin));
        let recorded = replayer::preview(&options)?.plan;
        if recorded.requests == 0 {
            return Err(Error::EmptyCapture(capture.to_owned()));
        }
        options.amplify = self.options.amplify.unwrap_or_else(|| pace::amplify(recorded.requests));
        let plan = replayer::preview(&options)?.plan; // clones of a lone session make it longer
        options.speed = Speed::Times(pace::speed(plan.requests, Duration::from_micros(plan.span_us)));
        if self.options.amplify.is_none() {
            options.amplify = self.affordable(&options, options.amplify)?;
        }
        let span = Duration::from_micros(recorded.span_us);
        let seconds = span.as_secs_f64();
        self.narrator.step(
            "capture",
            format!("{}: {} requests, recorded in {seconds:.1} s", capture.display(), recorded.requests),
        );
        self.narrator.more("the shop says 404 to paths that it does not know; the books are the same");
        self.perform(front, options, &script::ANY)
    }

    fn record(&self, front: Front, capture: &Path) -> Result<(), Error> {
        let narrator = self.narrator;
        let (shoppers, within) = (crowd::SHOPPERS, crowd::ARRIVALS.as_secs());
        narrator.step(
            "crowd",
            format!("{shoppers} shoppers come within {within} s: sign up, log in, browse, buy …"),
        );
        let begun = Instant::now();
        let takings = crowd::run(front.edge, SEED, self.interrupt)?;
        let took = begun.elapsed().as_secs_f64();
        narrator.more(format!(
            "all have left after {took:.1} s: {} requests, each answered as it should be",
            takings.requests
        ));
        front.close(self.interrupt);
        let found = evidence::examine(capture, takings)?;
        narrator.step(
            "capture",
            format!(
                "closed and verified: {} exchanges of {} sessions in {} blocks, {} bytes",
                found.exchanges, found.sessions, found.blocks, found.bytes
            ),
        );
        narrator.more(format!(
            "no secret in it: {} passwords and cookies looked for in {} bytes, raw and decoded",
            found.secrets, found.searched
        ));
        Ok(())
    }

    fn replay_options(&self, capture: &Path) -> replayer::Options {
        // Where the system has no such file, it has no such limit either.
        let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
        replayer::Options {
            max_connections: pace::connections(&limits),
            origin_counter: Some(format!("{}/_shop/count", self.stage.shop_url())),
            argv: self.options.argv.clone(),
            stop: self.interrupt.replay(),
            ..replayer::Options::new(capture)
        }
    }

    /// What of `amplify` the limit on open files allows.
    fn affordable(&self, options: &replayer::Options, amplify: f64) -> Result<f64, Error> {
        let wanted = replayer::Options { amplify, ..options.clone() };
        let sockets = replayer::preview(&wanted)?.plan.sockets;
        let affordable = pace::within_files(amplify, sockets, options.max_connections);
        if affordable < amplify {
            self.narrator.more(format!(
                "{affordable}x instead of {amplify}x: it wants {sockets} sockets, and few files may be open (ulimit -Hn)"
            ));
        }
        Ok(affordable)
    }

    /// Replays while the rules are edited; then the report.
    fn perform(self, front: Front, options: replayer::Options, script: &[Edit]) -> Result<u8, Error> {
        let director = Director { folder: &self.folder, admin: front.admin, narrator: self.narrator };
        let (cue, cues) = mpsc::channel();
        let mut telling = Telling::new(self.narrator, cue);
        let (report, complaints) = std::thread::scope(|scope| {
            let directing = scope.spawn(move || director.play(script, &cues));
            let report = replayer::replay(&options, &mut |progress| telling.tell(progress));
            drop(telling); // and its cue: the director goes home
            let complaints =
                directing.join().unwrap_or_else(|_| Ok(vec!["the director panicked".to_owned()]));
            (report, complaints)
        });
        let (report, complaints) = (report?, complaints?);
        let books = front.close(self.interrupt);
        self.folder.save_json("proxy.json", &books)?;
        let shop = self.stage.close();
        self.narrator.step(
            "shop",
            format!(
                "closed: {} requests, {} accounts, {} orders; {} checkouts came again and placed none",
                shop.requests,
                shop.totals.accounts,
                shop.totals.orders,
                shop.totals.duplicate_orders_prevented
            ),
        );
        let ending = Ending { options: self.options, narrator: self.narrator, folder: &self.folder };
        ending.tell(&report, &options.captures[0].path, script, &complaints)
    }
}

fn writable(path: &Path) -> Result<(), Error> {
    let opened = std::fs::OpenOptions::new().append(true).create(true).open(path);
    opened.map(drop).map_err(|source| Error::File { path: path.to_owned(), source })
}

/// The crowd's and the shop's; every demo is the same demo.
const SEED: u64 = 0x5eed_2026;
