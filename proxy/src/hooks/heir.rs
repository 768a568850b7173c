//! Who undoes a hook where the proxy was killed: a shell that waits at the other end of a pipe.
//!
//! A SIGKILL, or the kernel when memory runs out, ends a process without a word. The shell hears from us when the hook is undone;
//! a pipe that closes before means that nobody else is left to do it. The command reaches it as arguments, which it runs as they
//! are.

use std::io::Write;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use std::os::unix::process::CommandExt;

use fault_rules::hook::Hook;

use super::command;

/// Waits until it is released; where that never comes it runs the end of the hook.
#[derive(Debug)]
pub(super) struct Heir {
    shell: Child,
    line: ChildStdin,
}

impl Heir {
    /// One for a hook that has an end. Where there is no shell the log says so, and the hook runs all the same.
    pub(super) fn of(hook: &Hook) -> Option<Heir> {
        if hook.end.is_empty() {
            return None;
        }
        let mut command = Command::new("/bin/sh");
        command.args(["-c", SCRIPT, &hook.id]).args(&hook.end);
        // A Ctrl-C or a signal to the proxy's group is for the proxy.
        command.stdin(Stdio::piped()).stdout(Stdio::null()).process_group(0);
        let mut shell = command
            .spawn()
            .inspect_err(|error| {
                tracing::warn!(hook = hook.id, %error, "no /bin/sh: where the proxy is killed by SIGKILL this hook stays");
            })
            .ok()?;
        let line = shell.stdin.take()?;
        Some(Heir { shell, line })
    }

    /// The hook is undone, or nothing more can be done about it.
    pub(super) fn release(mut self) {
        // an error means that somebody has ended the shell: it does nothing any more
        let _ = self.line.write_all(b"undone\n");
        let _ = command::wait(&mut self.shell, Instant::now() + LAST_BREATH);
    }
}

/// Undoes unless a line comes first. `$0` is the hook, the arguments are its end. `exec` runs the program, as we do, where the
/// shell has a command of its own by that name. Signals, which a service manager sends to whom a killed proxy leaves behind,
/// pass the shell by: while it waits, and while it undoes; the command hears them, and is tried again.
const SCRIPT: &str = r#"trap '' HUP INT TERM
read -r undone && exit 0
trap : HUP INT TERM
for attempt in 1 2 3; do
    if (exec "$@") </dev/null >/dev/null 2>&1; then
        echo "squall: the proxy was killed, so hook $0 was undone without it" >&2
        exit 0
    fi
    sleep 0.2
done
echo "squall: the proxy was killed and hook $0 is NOT UNDONE; run by hand: $*" >&2
exit 1"#;

/// A shell that has been told ends within milliseconds.
const LAST_BREATH: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    /// A hook that is undone by removing this folder.
    fn hook(folder: &str) -> Hook {
        let text = format!("[[hook]]\nid = \"a\"\nstart = [\"true\"]\nend = [\"rmdir\", \"{folder}\"]\n");
        let set = fault_rules::parse(&text, "f", &fault_rules::Loader::NOTHING).expect("sound");
        set.hooks.into_iter().next().expect("a hook")
    }

    #[test]
    fn what_is_never_released_is_undone() {
        let folder = TempDir::new().expect("a folder");
        let ours = folder.path().join("it's $HOME; *");
        std::fs::create_dir(&ours).expect("a folder");
        let Heir { mut shell, line } = Heir::of(&hook(&ours.display().to_string())).expect("a shell");
        assert!(matches!(shell.try_wait(), Ok(None)), "it waits");
        drop(line); // as the kernel does for a process that is killed
        assert!(shell.wait().expect("it ends").success());
        assert!(!ours.exists());
    }

    #[test]
    fn the_end_is_the_program_and_not_the_shells_word_and_outlives_a_manager() {
        let folder = TempDir::new().expect("a folder");
        let heir_of = |end: &str| {
            let text = format!("[[hook]]\nid = \"a\"\nstart = [\"true\"]\nend = {end}\n");
            let set = fault_rules::parse(&text, "f", &fault_rules::Loader::NOTHING).expect("sound");
            Heir::of(&set.hooks[0]).expect("a shell")
        };
        // the word `kill` of a small shell does not know a signal by that name
        let mut stopped = Command::new("sleep").arg("1000").spawn().expect("it sleeps");
        let Heir { mut shell, line } = heir_of(&format!("[\"kill\", \"-SIGKILL\", \"{}\"]", stopped.id()));
        drop(line);
        assert!(shell.wait().expect("it ends").success());
        assert_eq!(stopped.wait().expect("it ends").code(), None);

        let begun = folder.path().join("begun");
        let end =
            format!("[\"sh\", \"-c\", \"mkdir {0} && kill -TERM $PPID && rmdir {0}\"]", begun.display());
        let Heir { mut shell, line } = heir_of(&end);
        drop(line);
        assert!(shell.wait().expect("it ends").success(), "a signal does not keep it from undoing");
        assert!(!begun.exists());
    }

    #[test]
    fn what_is_released_is_left_alone() {
        let folder = TempDir::new().expect("a folder");
        let ours = folder.path().join("a");
        std::fs::create_dir(&ours).expect("a folder");
        let heir = Heir::of(&hook(&ours.display().to_string())).expect("a shell");
        let pid = heir.shell.id();
        heir.release();
        assert!(ours.exists());
        assert!(!std::path::Path::new(&format!("/proc/{pid}/exe")).exists(), "its shell is gone");
    }
}
