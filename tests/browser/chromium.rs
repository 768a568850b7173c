//! Scripts that drive a browser, and where they put their pictures; also for tests elsewhere.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::tools;

/// A script of `tests/browser` with a browser to drive and what looks at pages; `None`: something that it needs is not there.
pub(crate) fn node(script: &str) -> Option<Command> {
    tools::program("chromium", "chromium")?;
    let libraries =
        ["-e", "require('playwright-core'); require('axe-core/axe.min.js'); require('html-validate')"];
    let mut node = tools::installed("node", ("NODE_PATH", "node/node_modules"), &libraries)?;
    node.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser").join(script));
    Some(node)
}

/// Where screenshots go: `target/screenshots`, or the folder that `SQUALL_SCREENSHOTS` names.
pub(crate) fn shots() -> PathBuf {
    let shots = std::env::var_os("SQUALL_SCREENSHOTS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target/screenshots"), PathBuf::from);
    std::fs::create_dir_all(&shots).unwrap();
    shots
}
