//! What a person sees on a terminal while a replay runs, and what their keys do.

use std::io::{Read, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use tempfile::TempDir;

use crate::kit::{Server, capture, eventually, picture, text};
use crate::support::{Process, Proxy, Shop, replay};
use crate::{chromium, tools};

/// A replay on a terminal.
struct Terminal {
    screen: Arc<Mutex<vt100::Parser>>,
    keys: Box<dyn Write + Send>,
    child: Box<dyn Child + Send + Sync>,
    master: Box<dyn MasterPty + Send>,
}

impl Terminal {
    /// `replay CAPTURE ARGS` on a terminal of so many columns and rows.
    fn run(capture: &Path, args: &[&str], size: (u16, u16)) -> Terminal {
        Terminal::of("xterm-256color", capture, args, size)
    }

    /// The same on a terminal of that kind.
    fn of(kind: &str, capture: &Path, args: &[&str], (cols, rows): (u16, u16)) -> Terminal {
        let size = PtySize { rows, cols, pixel_width: 0, pixel_height: 0 };
        let pty = native_pty_system().openpty(size).unwrap();
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_replay"));
        command.cwd(capture.parent().unwrap()); // a picture should not name folders of this machine
        command.arg(capture.file_name().unwrap());
        command.args(args);
        command.env("TERM", kind);
        let child = pty.slave.spawn_command(command).unwrap();
        drop(pty.slave);
        let screen = Arc::new(Mutex::new(vt100::Parser::new(rows, cols, 0)));
        let (mut told, shown) = (pty.master.try_clone_reader().unwrap(), Arc::clone(&screen));
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(read @ 1..) = told.read(&mut bytes) {
                shown.lock().unwrap().process(&bytes[..read]);
            }
        });
        Terminal { screen, keys: pty.master.take_writer().unwrap(), child, master: pty.master }
    }

    fn text(&self) -> String {
        self.screen.lock().unwrap().screen().contents()
    }

    /// Waits until the screen shows all of these.
    fn shows(&self, words: &[&str]) -> String {
        eventually(&format!("the screen shows {words:?}; it shows:\n{}", self.text()), || {
            let text = self.text();
            words.iter().all(|word| text.contains(word)).then_some(text)
        })
    }

    fn press(&mut self, key: &str) {
        self.keys.write_all(key.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    /// Its exit code, once the terminal is an ordinary one again.
    fn ends(&mut self) -> u32 {
        let code = self.child.wait().unwrap().exit_code();
        eventually("the terminal is given back", || {
            let screen = self.screen.lock().unwrap();
            let screen = screen.screen();
            (!screen.alternate_screen() && !screen.hide_cursor()).then_some(())
        });
        code
    }
}

/// It would show the codes that write a line over another.
#[test]
fn a_terminal_that_cannot_draw_gets_line_after_line() {
    let (server, folder) = (Server::plain(), TempDir::new().unwrap());
    let args = ["--target", &server.url(), "--duration", "3s"];
    let mut terminal = Terminal::of("dumb", &long(folder.path()), &args, (100, 60));
    terminal.shows(&["    0 s ", "    1 s ", "    2 s ", "verdict: pass"]);
    assert_eq!(terminal.ends(), 0);
}

/// A minute of one request every 10 ms, by a hundred users.
fn long(folder: &Path) -> std::path::PathBuf {
    let steps: Vec<_> = (0..6000).map(|n| (n % 100, 10 * n, 2, "GET /a", "shop")).collect();
    capture(folder, &steps)
}

#[test]
fn a_screen_tells_of_the_run_and_its_keys_pause_and_stop_it() {
    let (folder, server) = (TempDir::new().unwrap(), Server::plain());
    let args = ["--target", &server.url(), "--no-rehearsal"];
    let mut terminal = Terminal::run(&long(folder.path()), &args, (80, 24));
    let all = [
        "running", "sessions", "alive", "latency", "lateness", "errors", "injected", "p99", "left", "planned",
    ];
    let text = terminal.shows(&all);
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    terminal.shows(&["of 6,000", "last 2 s"]);

    terminal.press("\0\x04"); // keys of nobody: the end of an input that `script` passes on
    terminal.press("p");
    terminal.shows(&["PAUSED", "go on"]);
    terminal.press("p");
    terminal.shows(&["running"]);
    terminal.press("q");
    assert_eq!(terminal.ends(), 105);
    terminal.shows(&["books", "the run is not complete"]); // the report follows on the ordinary screen
}

/// The plan waits while a run is paused, so what is left of it does not get less; the clock beside it goes on.
#[test]
fn what_is_left_stands_during_a_pause() {
    let (folder, server) = (TempDir::new().unwrap(), Server::plain());
    let args = ["--target", &server.url(), "--no-rehearsal"];
    let mut terminal = Terminal::run(&long(folder.path()), &args, (80, 24));
    terminal.shows(&["running", "left"]);
    terminal.press("p");
    let (paused_at, left) = times(&terminal.shows(&["PAUSED"]));
    let (_, still_left) = eventually("five seconds pass", || {
        Some(times(&terminal.text())).filter(|(elapsed, _)| *elapsed >= paused_at + 5)
    });
    assert!(left.abs_diff(still_left) <= 1, "{left} s were left, then {still_left} s");
    terminal.press("p");
    eventually("it goes on", || (times(&terminal.text()).1 + 2 <= left).then_some(()));
    terminal.press("Q");
    terminal.ends();
}

/// Seconds that have passed and that are left, as the screen has them.
fn times(screen: &str) -> (u64, u64) {
    let (_, line) = screen.split_once("time ").unwrap_or_default();
    let clocks = line.split_whitespace().filter_map(|word| word.trim_end_matches(',').split_once(':'));
    let mut clocks = clocks.map(|(minutes, seconds)| {
        60 * minutes.parse::<u64>().unwrap_or(0) + seconds.parse::<u64>().unwrap_or(0)
    });
    (clocks.next().unwrap_or(0), clocks.next().unwrap_or(0))
}

#[test]
fn control_c_stops_and_a_narrow_terminal_has_a_few_words() {
    let (folder, server) = (TempDir::new().unwrap(), Server::plain());
    let args = ["--target", &server.url(), "--no-rehearsal"];
    let mut terminal = Terminal::run(&long(folder.path()), &args, (40, 10));
    terminal.shows(&["running", "/s", "q stop"]);
    let size = PtySize { rows: 24, cols: 120, pixel_width: 0, pixel_height: 0 };
    terminal.master.resize(size).unwrap();
    terminal.screen.lock().unwrap().set_size(24, 120);
    terminal.shows(&["requests sent", "latency, p99 of each second"]);
    terminal.press("\x03");
    assert_eq!(terminal.ends(), 105);
}

#[test]
fn a_pipe_gets_one_plain_line_a_second_and_quiet_nothing() {
    let (folder, server) = (TempDir::new().unwrap(), Server::plain());
    let steps: Vec<_> = (0..250).map(|n| (n % 10, 10 * n, 2, "GET /a", "shop")).collect();
    let capture = text(capture(folder.path(), &steps));
    let run = |more: &[&str]| {
        let mut process = Process::start(
            "replay",
            replay(&[&[capture.as_str(), "--target", &server.url(), "--no-rehearsal"], more].concat()),
        );
        process.wait();
        process.log()
    };
    let log = run(&[]);
    let lines: Vec<_> = log.lines().filter(|line| line.contains(" s  ") && line.contains("p99")).collect();
    assert_eq!(lines.len(), 3, "{log}");
    assert!(!log.contains('\x1b'), "{log:?}");
    assert_eq!(run(&["--quiet"]), "");
}

#[test]
fn a_run_through_faults_is_pictured_in_two_sizes() {
    let (folder, shop) = (TempDir::new().unwrap(), Shop::open(&[]));
    let rules = text(folder.path().join("faults.toml"));
    std::fs::write(&rules, FAULTS).unwrap();
    let proxy = Proxy::before(&shop.url(), &["--rules", &rules]);
    let paths = ["GET /api/products", "GET /api/products/3", "GET /api/cart", "GET /"];
    // it swells and ebbs, so that the curves have a shape
    let at = |n: u64| 12 * n + ((n as f64 / 60.0).sin() * 300.0 + 300.0) as u64;
    let steps: Vec<_> =
        (0..2400).map(|n| (n % 150, at(n), 2, paths[(n / 150 % 4) as usize], "shop")).collect();
    let capture = capture(folder.path(), &steps);
    let (target, admin) = (format!("http://{}", proxy.addr()), format!("http://{}", proxy.admin()));
    let args = ["--target", &target, "--proxy", &admin, "--no-rehearsal"];
    let sizes = [(80, 24), (140, 40)];
    let terminals = sizes.map(|size| Terminal::run(&capture, &args, size));
    for ((cols, rows), mut terminal) in sizes.into_iter().zip(terminals) {
        let shown = terminal.shows(&["running", "slow-products", "sick-cart", "time     0:2"]);
        for name in ["sessions", "failed", "injected", "slow-products"] {
            assert!(shown.contains(&format!(" {name}")), "`{name}` touches what stands before it:\n{shown}");
        }
        let svg = picture(terminal.screen.lock().unwrap().screen());
        roxmltree::Document::parse(&svg).unwrap();
        let file = chromium::shots().join(format!("terminal-{cols}x{rows}.svg"));
        std::fs::write(&file, svg).unwrap();
        terminal.press("Q");
        terminal.ends();
        if let Some(mut look) = chromium::node("terminal.js") {
            look.arg(file);
            tools::run(look);
        }
    }
}

const FAULTS: &str = r#"version = 1

[[rule]]
id = "slow-products"
on = "GET /api/products/**"
delay = "120ms"
rate = "30%"

[[rule]]
id = "sick-cart"
on = "/api/cart"
respond = 503
rate = "10%"
"#;
