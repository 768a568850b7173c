use std::path::Path;
use std::time::Instant;

use tempfile::TempDir;

use super::*;
use crate::rules::{Policy, Source};

/// Rules whose hooks make and remove folders in one of ours.
struct Fixture {
    folder: TempDir,
    rules: Arc<Rules>,
    ledger: Ledger,
    _lines: crate::ledger::Writing,
}

impl Fixture {
    fn new(hooks: &str) -> Fixture {
        let policy = Policy { allow_hooks: true, listens: Vec::new() };
        let rules = Arc::new(Rules::new(Vec::new(), 1, policy));
        let (ledger, lines) = Ledger::start(None).expect("a ledger");
        let fixture = Fixture { folder: TempDir::new().expect("a folder"), rules, ledger, _lines: lines };
        fixture.load(hooks);
        fixture
    }

    /// `DIR` in the text is the folder.
    fn load(&self, hooks: &str) {
        let text = format!("version = 1\n{hooks}").replace("DIR", &self.folder.path().display().to_string());
        let set =
            fault_rules::parse(&text, "hooks.toml", &fault_rules::Loader::NOTHING).expect("sound rules");
        self.rules.replace(set, Source::default()).expect("allowed");
    }

    fn start(&self) -> Hooks {
        Hooks::start(self.rules.clone(), self.ledger.clone()).expect("a thread")
    }

    fn has(&self, name: &str) -> bool {
        self.folder.path().join(name).exists()
    }

    fn await_has(&self, name: &str, there: bool) {
        let until = Instant::now() + Duration::from_secs(60);
        while self.has(name) != there {
            assert!(Instant::now() < until, "{name} is not {there}: {:?}", self.rules.hooks.books());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn state(&self, id: &str) -> &'static str {
        let books = self.rules.hooks.books();
        books.iter().find(|books| books.id == id).map_or("waiting", |books| books.state)
    }
}

fn hook(id: &str, more: &str) -> String {
    format!(
        "[[hook]]\nid = \"{id}\"\nstart = [\"mkdir\", \"DIR/{id}\"]\nend = [\"rmdir\", \"DIR/{id}\"]\n{more}\n"
    )
}

/// The thread may be kept from its work between its look at the windows and the question when to look again.
#[test]
fn a_turn_behind_the_look_is_not_slept_through() {
    let fixture = Fixture::new(&hook("a", "when = \"300ms..600ms\""));
    let hooks = fixture.rules.live().set.hooks.clone();
    let check = |looked: u64, now: u64, expect: Duration| {
        let [looked, now] = [looked, now].map(Duration::from_millis);
        assert_eq!(pause(&hooks, looked, now), expect, "{looked:?} {now:?}");
    };
    check(100, 100, Duration::from_millis(200));
    check(299, 301, Duration::ZERO);
    check(599, 700, Duration::ZERO);
    check(601, 601, IDLE);
}

#[test]
fn a_window_opens_and_closes() {
    let fixture = Fixture::new(&hook("a", "when = \"500ms..1500ms, every 2s 2 times\""));
    let hooks = fixture.start();
    fixture.rules.arm();
    let until = Instant::now() + Duration::from_secs(60);
    // nobody here needs to look while a window is open: what was not made could not be removed either
    while !fixture.rules.hooks.books().iter().any(|books| (books.state, books.runs) == ("over", 2)) {
        assert!(Instant::now() < until, "{:?}", fixture.rules.hooks.books());
        std::thread::sleep(Duration::from_millis(5));
    }
    drop(hooks);
    let books = fixture.rules.hooks.books();
    assert!(!fixture.has("a"));
    assert_eq!((books[0].start.as_str(), books[0].end.as_str()), ("exit 0", "exit 0"));
    fixture.ledger.settle();
    let actions: Vec<_> =
        fixture.ledger.tail(None, 0, 10).0.iter().map(|line| (line.action, line.applied)).collect();
    assert_eq!(actions, [("hook_start", true), ("hook_end", true)].repeat(2));
}

#[test]
fn nothing_begins_unarmed_and_whatever_lifts_also_undoes() {
    let fixture = Fixture::new(&hook("a", ""));
    let hooks = fixture.start();
    std::thread::sleep(Duration::from_millis(50));
    assert!(!fixture.has("a"));
    type Undo = fn(&Fixture);
    let undoings: [(&str, Undo); 4] = [
        ("lifted", |fixture| fixture.rules.lift("by hand", false)),
        ("breached", |fixture| fixture.rules.lift("max_affected", true)),
        ("lifted alone", |fixture| assert!(fixture.rules.lift_rule("a"))),
        ("removed", |fixture| fixture.load("")),
    ];
    for (_, undo) in undoings {
        fixture.rules.arm();
        fixture.await_has("a", true);
        undo(&fixture);
        fixture.await_has("a", false);
    }
    fixture.load(&hook("a", ""));
    fixture.await_has("a", true);
    drop(hooks);
    assert!(!fixture.has("a"), "undone before the thread ends");
}

#[test]
fn a_start_that_fails_takes_all_with_it() {
    let bad = "[[hook]]\nid = \"bad\"\nstart = [\"sh\", \"-c\", \"mkdir DIR/half; exit 3\"]\nend = [\"rmdir\", \"DIR/half\"]\n";
    let fixture = Fixture::new(&(hook("a", "") + bad + &hook("late", "")));
    let hooks = fixture.start();
    fixture.rules.arm();
    let until = Instant::now() + Duration::from_secs(60);
    while fixture.rules.standing.seen().lifted.is_none() {
        assert!(Instant::now() < until);
        std::thread::sleep(Duration::from_millis(5));
    }
    let lifted = fixture.rules.standing.seen().lifted.expect("lifted");
    assert_eq!((lifted.reason.as_str(), lifted.breach), ("hook bad: its start failed: exit 3", true));
    assert!(!fixture.has("a") && !fixture.has("half") && !fixture.has("late"));
    assert_eq!(
        (fixture.state("a"), fixture.state("bad"), fixture.state("late")),
        ("over", "failed", "waiting")
    );
    drop(hooks);
}

#[test]
fn an_end_that_fails_is_tried_again_and_said() {
    let stubborn = "[[hook]]\nid = \"a\"\nstart = [\"mkdir\", \"DIR/a\"]\nend = [\"sh\", \"-c\", \"mkdir DIR/x 2>/dev/null && exit 1; rmdir DIR/a\"]\n";
    let fixture = Fixture::new(stubborn);
    let hooks = fixture.start();
    fixture.rules.arm();
    fixture.await_has("a", true);
    drop(hooks);
    assert!(!fixture.has("a"), "the second attempt");
    let never = "[[hook]]\nid = \"b\"\nstart = [\"true\"]\nend = [\"false\"]\n";
    let fixture = Fixture::new(never);
    let hooks = fixture.start();
    fixture.rules.arm();
    while fixture.state("b") != "on" {
        std::thread::sleep(Duration::from_millis(5));
    }
    drop(hooks);
    assert_eq!(fixture.state("b"), "not_undone");
}

#[test]
fn a_panic_undoes_what_is_on() {
    let fixture = Fixture::new(&hook("a", ""));
    std::fs::create_dir(fixture.folder.path().join("a")).expect("a folder");
    let on = fixture.rules.live().set.hooks.clone();
    let (rules, ledger, stopped) = (fixture.rules.clone(), fixture.ledger.clone(), watch::channel(false).1);
    rules.arm();
    let thread = std::thread::spawn(move || {
        let on = on.into_iter().map(On::new).collect();
        let _keeper = Keeper { on, rules, ledger, stopped };
        panic!("a hook stumbles");
    });
    assert!(thread.join().is_err());
    assert!(!Path::exists(&fixture.folder.path().join("a")));
    assert!(fixture.rules.standing.seen().lifted.expect("lifted").reason.contains("panicked"));
}
