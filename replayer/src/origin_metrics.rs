//! The origin's resident memory over the run, from its metrics in Prometheus' text format.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::admin::Admin;
use crate::error::Error;
use crate::limits;

/// Asks for the metrics again and again until it is stopped.
#[derive(Debug)]
pub(crate) struct OriginMetrics {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    over: Mutex<bool>,
    bell: Condvar,
    found: Mutex<Found>,
}

#[derive(Debug, Default)]
struct Found {
    /// Microseconds since the start, bytes.
    memory: Vec<(u64, u64)>,
    /// What went wrong last.
    trouble: Option<String>,
}

impl OriginMetrics {
    /// Looks once, so that a wrong URL is told before the run, and goes on looking.
    pub(crate) fn watch(admin: Admin) -> Result<OriginMetrics, Error> {
        look(&admin).map_err(|words| Error::Usage(format!("--origin-metrics: {words}")))?;
        let shared = Arc::<Shared>::default();
        let theirs = Arc::clone(&shared);
        let started = Instant::now();
        let thread = std::thread::Builder::new().name("replay-metrics".to_owned()).spawn(move || {
            let mut every = limits::ORIGIN_METRICS_EVERY;
            loop {
                let looked = look(&admin);
                let at_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
                if theirs.found.lock().unwrap_or_else(PoisonError::into_inner).note(at_us, looked) {
                    every *= 2;
                }
                if theirs.is_over_after(every) {
                    return;
                }
            }
        })?;
        Ok(OriginMetrics { shared, thread: Some(thread) })
    }

    /// What was found, and what went wrong if nothing was.
    pub(crate) fn stop(mut self) -> (Vec<(u64, u64)>, Option<String>) {
        self.end();
        let mut found = self.shared.found.lock().unwrap_or_else(PoisonError::into_inner);
        (std::mem::take(&mut found.memory), found.trouble.take())
    }

    fn end(&mut self) {
        *self.shared.over.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.shared.bell.notify_all();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // one that panicked has nothing to tell
        }
    }
}

impl Drop for OriginMetrics {
    fn drop(&mut self) {
        self.end();
    }
}

impl Shared {
    fn is_over_after(&self, patience: Duration) -> bool {
        let over = self.over.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.bell.wait_timeout_while(over, patience, |over| !*over);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

impl Found {
    /// True: there was no more room, so every second value is gone and there shall be half as many from now on.
    fn note(&mut self, at_us: u64, looked: Result<u64, String>) -> bool {
        match looked {
            Ok(bytes) => self.memory.push((at_us, bytes)),
            Err(words) => self.trouble = Some(words),
        }
        let is_full = limits::ORIGIN_METRICS <= self.memory.len();
        if is_full {
            let mut keep = false;
            self.memory.retain(|_| {
                keep = !keep;
                keep
            });
        }
        is_full
    }
}

fn look(admin: &Admin) -> Result<u64, String> {
    let body = admin.get_own_path()?;
    resident(&String::from_utf8_lossy(&body)).ok_or_else(|| {
        format!("{} tells no {RESIDENT}: name the page of its Prometheus metrics", admin.url())
    })
}

/// The resident memory that a page of metrics tells, summed over its processes.
fn resident(page: &str) -> Option<u64> {
    let values = page.lines().filter_map(|line| {
        let rest = line.trim_start().strip_prefix(RESIDENT)?;
        let rest = match rest.strip_prefix('{') {
            Some(labels) => labels.split_once('}')?.1,
            None => rest,
        };
        if !rest.starts_with([' ', '\t']) {
            return None; // another name that begins so
        }
        let value: f64 = rest.split_whitespace().next()?.parse().ok()?;
        (value.is_finite() && value >= 0.0).then_some(value as u64)
    });
    values.fold(None, |sum, value| Some(sum.unwrap_or(0) + value))
}

const RESIDENT: &str = "process_resident_memory_bytes";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_metrics() {
        let check = |page: &str, expected| assert_eq!(resident(page), expected, "{page}");
        check(
            "# TYPE process_resident_memory_bytes gauge\nprocess_resident_memory_bytes 1.5e+07\n",
            Some(15_000_000),
        );
        check(
            "process_resident_memory_bytes{job=\"a\"} 10 1700000000\nprocess_resident_memory_bytes{job=\"b\"} 5",
            Some(15),
        );
        check("process_resident_memory_bytes_max 7\n", None);
        check("process_resident_memory_bytes NaN\nprocess_resident_memory_bytes\n", None);
        check("", None);
    }

    #[test]
    fn a_long_run_keeps_its_course_in_bounded_space() {
        let mut found = Found::default();
        for at in 0..10 * limits::ORIGIN_METRICS as u64 {
            found.note(at, Ok(at));
        }
        assert!(found.memory.len() < limits::ORIGIN_METRICS && found.memory.is_sorted());
        assert_eq!(found.memory[0], (0, 0));
    }
}
