//! The proxy's side of a run: announcing it, watching for a lifted cap, and reading the books afterwards.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use captures::opset::OpSet;
use hyper::Method;
use serde_json::json;

use crate::admin::Admin;
use crate::admin::types::{EdgeBooks, Ended, ProxyBooks, Status};
use crate::books::Joined;
use crate::error::Error;
use crate::faults;
use crate::limits;
use crate::report::edges::find_slow;
use crate::report::{Edge, Faults};
use crate::stop::Stop;
use crate::tally::{Failure, Tally};

/// A proxy in front of the target.
#[derive(Debug)]
pub(crate) struct Proxy {
    admin: Admin,
    run: String,
    /// Name of the edge that the target is; empty: the first.
    edge: String,
    lifted_before: Option<String>,
}

/// What the proxy's books say about a run.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) books: ProxyBooks,
    pub(crate) edge: Option<EdgeBooks>,
    /// What the edges took, ours first.
    pub(crate) edges: Vec<Edge>,
    pub(crate) joined: Joined,
    /// Rules that ended attempts of ours without an answer, or held them until we gave them up.
    pub(crate) ended: BTreeMap<(u64, u32), String>,
    /// Rules that had touched calls, at other edges, of attempts that we gave up.
    pub(crate) below: BTreeMap<(u64, u32), String>,
    /// How many of those did not fit into the proxy's list.
    pub(crate) ended_lost: u64,
    /// What its rules could do, and when; `None`: not known.
    pub(crate) faults: Option<Faults>,
    pub(crate) notes: Vec<String>,
}

/// Watches for a lifted cap, and what the rules may do, until it is dropped.
#[derive(Debug)]
pub(crate) struct Watch {
    over: Arc<(Mutex<bool>, Condvar)>,
    thread: Option<JoinHandle<faults::Seen>>,
}

impl Proxy {
    /// Asks the proxy who it is and announces the run. `Ok(Err(words))`: it is not there, or not in front of the
    /// target, and the user did not insist on it.
    pub(crate) fn announce(
        admin: Admin,
        insisted: bool,
        port: u16,
        announcement: &serde_json::Value,
    ) -> Result<Result<(Proxy, Vec<String>), String>, Error> {
        let status: Status = match admin.json("/status") {
            Ok(status) => status,
            Err(err) if insisted => return Err(Error::Usage(format!("the proxy does not answer: {err}"))),
            Err(err) => return Ok(Err(format!("no proxy found ({err})"))),
        };
        let listens_there =
            |listen: &str| listen.rsplit(':').next().and_then(|p| p.parse().ok()) == Some(port);
        let edge = status.edges.iter().find(|edge| listens_there(&edge.listen)).map(|edge| edge.name.clone());
        let mut notes = Vec::new();
        if edge.is_none() && !insisted {
            return Ok(Err(format!("the proxy at {} is not in front of this target", admin.url())));
        }
        if !status.armed && status.rules.count > 0 {
            notes.push(format!("the proxy has rules but is NOT ARMED: squall arm {}", admin.url()));
        }
        if let Some(reason) = &status.lifted {
            notes.push(format!("the proxy's rules are lifted: {reason}"));
        }
        let mut announcement = announcement.clone();
        announcement["edge"] = json!(edge);
        let run = announcement["run"].as_str().unwrap_or_default().to_owned();
        if let Err(err) = admin.send(Method::POST, "/runs", Some(&announcement)) {
            return Err(Error::Usage(format!("the proxy does not take the run: {err}")));
        }
        tracing::debug!(proxy = admin.url(), version = status.version, run, "run announced");
        Ok(Ok((Proxy { admin, run, edge: edge.unwrap_or_default(), lifted_before: status.lifted }, notes)))
    }

    /// Gives the proxy a sign of life once a second, and looks whether a cap has lifted the rules: that stops the run.
    pub(crate) fn watch(&self, stop: &Stop) -> Result<Watch, Error> {
        let admin = self.admin.again()?;
        let (stop, before) = (stop.clone(), self.lifted_before.clone());
        let over = Arc::new((Mutex::new(false), Condvar::new()));
        let shared = Arc::clone(&over);
        let thread = std::thread::Builder::new().name("replay-watch".to_owned()).spawn(move || {
            let mut seen = faults::Seen::default();
            let mut is_over = false;
            while !is_over {
                is_over = wait(&shared, if seen.is_empty() { Duration::ZERO } else { WATCH_EVERY });
                if !is_over {
                    // Rules that want a sign of life from whoever drives the load get it here.
                    let _ = admin.send(Method::POST, "/heartbeat", None);
                }
                let body = admin.get("/status", limits::ADMIN_JSON_BYTES, 2 * WATCH_EVERY);
                let Some(status) = body.ok().and_then(|body| serde_json::from_slice::<Status>(&body).ok())
                else {
                    seen.miss();
                    continue;
                };
                seen.look(&admin, &status, Instant::now());
                if let Some(reason) = status.lifted.filter(|now| Some(now) != before.as_ref())
                    && status.breach != Some(false)
                {
                    stop.guard(format!("the proxy lifted its rules: {reason}"));
                }
            }
            seen
        })?;
        Ok(Watch { over, thread: Some(thread) })
    }

    /// Reads the books once nothing is in flight any more, and joins them with what was sent.
    pub(crate) fn find(&self, tally: &Tally) -> Findings {
        let mut found = Findings::default();
        match self.settled_books(&mut found.notes) {
            Ok(books) => found.books = books,
            Err(err) => {
                found.notes.push(format!("the proxy's books cannot be read: {err}"));
                return found;
            }
        }
        if found.books.ledger_lost > 0 {
            found.notes.push(format!("the proxy's ledger lost {} lines", found.books.ledger_lost));
        }
        let mut edges = found.books.edges.iter();
        let named = edges.clone().find(|edge| edge.name == self.edge);
        found.edge = named.or_else(|| edges.next()).cloned();
        found.edges = chain(&found);
        found.joined = self.join_seen(tally);
        if !tally.unanswered.is_empty() {
            self.join_ended(tally, &mut found);
        }
        if let Err(err) = self.admin.send(Method::DELETE, &format!("/runs/{}", self.run), None) {
            tracing::debug!(error = err, "the proxy did not take the end of the run");
        }
        found
    }

    fn settled_books(&self, notes: &mut Vec<String>) -> Result<ProxyBooks, String> {
        let path = format!("/books?run={}", self.run);
        let begun = Instant::now();
        loop {
            let books: ProxyBooks = self.admin.json(&path)?;
            if books.in_flight == 0 {
                return Ok(books);
            }
            if begun.elapsed() >= limits::BOOKS_WAIT {
                notes.push(format!("{} exchanges are still in flight in the proxy", books.in_flight));
                return Ok(books);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn join_seen(&self, tally: &Tally) -> Joined {
        let Some(sent) = &tally.ops else { return Joined::Not };
        let path = format!("/runs/{}/seen", self.run);
        let bytes = match self.admin.get(&path, limits::ADMIN_SET_BYTES, 2 * limits::ADMIN_TIMEOUT) {
            Ok(bytes) => bytes,
            Err(err) => return Joined::Failed(err),
        };
        let seen = match OpSet::from_bytes(&bytes) {
            Ok(seen) => seen,
            Err(err) => return Joined::Failed(err.to_string()),
        };
        match sent.subtract(&seen).decode() {
            Ok(difference) => Joined::Done {
                lost: difference.only_left.len() as u64,
                strangers: difference.only_right.len() as u64,
            },
            Err(err) => Joined::Failed(err.to_string()),
        }
    }

    fn join_ended(&self, tally: &Tally, found: &mut Findings) {
        let ours: HashMap<(u64, u32), Failure> =
            tally.unanswered.iter().map(|one| ((one.op, one.attempt), one.failure)).collect();
        let (ended, below) = (&mut found.ended, &mut found.below);
        let lost = self.admin.lines(&format!("/runs/{}/ended", self.run), &mut |line| {
            let Ok(line) = serde_json::from_slice::<Ended>(line) else { return };
            let Ok(op) = u64::from_str_radix(&line.op, 16) else { return };
            let Some(failure) = ours.get(&(op, line.attempt)) else { return };
            // of an attempt that we did not give up something else was the end, whatever held it then
            if !line.left || matches!(failure, Failure::Timeout | Failure::Aborted) {
                let of_rule = if line.below { &mut *below } else { &mut *ended };
                of_rule.insert((op, line.attempt), line.rule);
            }
        });
        match lost {
            Ok(lost) => found.ended_lost = lost,
            Err(err) => {
                found.ended_lost = u64::MAX;
                found.notes.push(format!("what rules ended cannot be read: {err}"));
            }
        }
    }
}

impl Watch {
    /// Ends it: what it has seen.
    pub(crate) fn end(mut self) -> faults::Seen {
        self.stop()
    }

    fn stop(&mut self) -> faults::Seen {
        let (over, bell) = &*self.over;
        *over.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = true;
        bell.notify_all();
        // A watch that panicked has nothing to tell.
        self.thread.take().and_then(|thread| thread.join().ok()).unwrap_or_default()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop();
    }
}

/// What a replay tells the proxy about itself.
pub(crate) fn announcement(run: &str, plan_hash: &str, options: &crate::Options) -> serde_json::Value {
    json!({ "run": run, "plan_hash": plan_hash, "seed": options.seed, "amplify": options.amplify, "argv": options.argv })
}

/// What the edges took, ours first, with a mark on the one that a slow p99 comes from.
fn chain(found: &Findings) -> Vec<Edge> {
    let ours = found.edge.as_ref().map_or("", |edge| edge.name.as_str());
    let edge = |books: &EdgeBooks| Edge {
        name: books.name.clone(),
        seen: books.seen,
        times: books.times.clone(),
        slow: None,
    };
    let mut edges: Vec<Edge> = found.books.edges.iter().map(edge).collect();
    edges.sort_by_key(|edge| edge.name != ours);
    edges.truncate(limits::EDGES_SHOWN);
    find_slow(&mut edges);
    edges
}

/// Waits; true once it is over.
fn wait(shared: &(Mutex<bool>, Condvar), patience: Duration) -> bool {
    let (over, bell) = shared;
    let guard = over.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let waited = bell.wait_timeout_while(guard, patience, |over| !*over);
    *waited.unwrap_or_else(std::sync::PoisonError::into_inner).0
}

const WATCH_EVERY: Duration = Duration::from_secs(1);
