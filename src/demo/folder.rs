//! Where the files of a demo lie.

use std::fs::{self, DirBuilder};
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::Error;

/// A folder of the demo's own. It stays when the demo is over: its files are what the demo is about.
#[derive(Debug, Clone)]
pub(super) struct Folder {
    root: PathBuf,
}

impl Folder {
    /// The folder that the user named, if nothing is in it yet; else a new one among the temporary files.
    pub(super) fn create(named: Option<&Path>) -> Result<Folder, Error> {
        let root = match named {
            Some(root) => root.to_owned(),
            None => new_name()?,
        };
        let folder = Folder { root };
        make(&folder.root).map_err(|source| error(&folder.root, source))?;
        let mut entries = fs::read_dir(&folder.root).map_err(|source| error(&folder.root, source))?;
        if entries.next().is_some() {
            return Err(Error::NotEmpty(folder.root));
        }
        make(&folder.versions()).map_err(|source| error(&folder.versions(), source))?;
        Ok(folder)
    }

    pub(super) fn path(&self) -> &Path {
        &self.root
    }

    pub(super) fn capture(&self) -> PathBuf {
        self.root.join("capture.zst")
    }

    /// The rule file that the proxy watches.
    pub(super) fn rules(&self) -> PathBuf {
        self.root.join("faults.toml")
    }

    /// Every version that the rule file had.
    pub(super) fn versions(&self) -> PathBuf {
        self.root.join("rules")
    }

    /// The report as a page.
    pub(super) fn page(&self) -> PathBuf {
        self.root.join("run.html")
    }

    pub(super) fn ledger(&self) -> PathBuf {
        self.root.join("ledger.jsonl")
    }

    /// Saves the rule file as most editors do: a new file takes the place of the old one.
    pub(super) fn save_rules(&self, text: &str) -> Result<(), Error> {
        let new = self.root.join(".faults.toml.new");
        self.write(&new, text.as_bytes())?;
        fs::rename(&new, self.rules()).map_err(|source| error(&self.rules(), source))
    }

    /// Writes a file as JSON; gives its path.
    pub(super) fn save_json(&self, name: &str, value: &impl serde::Serialize) -> Result<PathBuf, Error> {
        let path = self.root.join(name);
        let mut text = serde_json::to_vec_pretty(value).map_err(|err| error(&path, io::Error::other(err)))?;
        text.push(b'\n');
        self.write(&path, &text)?;
        Ok(path)
    }

    pub(super) fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), Error> {
        fs::write(path, bytes).map_err(|source| error(path, source))
    }
}

fn error(path: &Path, source: io::Error) -> Error {
    Error::File { path: path.to_owned(), source }
}

/// Only the user may look inside: somebody's traffic is in there.
fn make(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn new_name() -> Result<PathBuf, Error> {
    let temporary = std::env::temp_dir();
    for number in 0..NAMES {
        let root = temporary.join(format!("squall-demo-{}-{number}", std::process::id()));
        match DirBuilder::new().mode(0o700).create(&root) {
            Ok(()) => return Ok(root),
            Err(err) if err.kind() == ErrorKind::AlreadyExists => {}
            Err(source) => return Err(Error::File { path: root, source }),
        }
    }
    Err(Error::NotEmpty(temporary))
}

/// Names that are tried before giving up.
const NAMES: u32 = 100;
