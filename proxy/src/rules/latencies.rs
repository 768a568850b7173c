//! Captures whose latencies a rule asks for (`delay = "like capture.zst"`), read once for each version of the file.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use fault_rules::delay::RouteLatency;

use crate::sync::lock;

/// How long the recorded exchanges of a capture took, in the terms of the rules.
///
/// # Errors
/// The file cannot be read or is no capture.
pub fn latencies(capture: &Path) -> io::Result<Vec<RouteLatency>> {
    let routes = captures::latency::latencies(capture).map_err(io::Error::other)?;
    Ok(routes
        .into_iter()
        .map(|route| RouteLatency {
            method: route.method,
            path: route.path,
            durations: route
                .durations
                .into_iter()
                .map(|(us, count)| (Duration::from_micros(us), count))
                .collect(),
        })
        .collect())
}

/// What was read before: a reload must not read a large capture again that nobody has touched.
#[derive(Debug, Default)]
pub(crate) struct Latencies {
    known: Mutex<HashMap<PathBuf, (Stamp, Vec<RouteLatency>)>>,
}

/// Time of the last change, and length.
type Stamp = (SystemTime, u64);

impl Latencies {
    /// The same as [`latencies`], from memory where the file is as it was.
    pub(crate) fn of(&self, capture: &Path) -> io::Result<Vec<RouteLatency>> {
        let meta = std::fs::metadata(capture)?;
        let stamp = (meta.modified()?, meta.len());
        if let Some((_, routes)) = lock(&self.known).get(capture).filter(|(known, _)| *known == stamp) {
            return Ok(routes.clone());
        }
        let routes = latencies(capture)?;
        let mut known = lock(&self.known);
        if MOST <= known.len() {
            known.clear(); // somebody walks through captures: only the newest matter
        }
        known.insert(capture.to_path_buf(), (stamp, routes.clone()));
        Ok(routes)
    }
}

/// More captures than one rule file names.
const MOST: usize = 16;
