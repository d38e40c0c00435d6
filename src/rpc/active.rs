//! The calls that run, for `getrpcinfo`. Their number is bounded by the server's places and connections.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

#[derive(Debug, Default)]
struct Calls {
    next: u64,
    running: BTreeMap<u64, (&'static str, Instant)>,
}

/// The calls. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct ActiveCalls(Arc<Mutex<Calls>>);

/// One call, until it is dropped.
pub(super) struct ActiveCall {
    calls: ActiveCalls,
    number: u64,
}

impl ActiveCalls {
    /// Notes that a call begins.
    pub(super) fn enter(&self, method: &'static str) -> ActiveCall {
        let mut calls = self.calls();
        let number = calls.next;
        calls.next += 1;
        calls.running.insert(number, (method, Instant::now()));
        ActiveCall {
            calls: self.clone(),
            number,
        }
    }

    /// The methods and for how long each runs, the longest first.
    pub(super) fn list(&self) -> Vec<(&'static str, Duration)> {
        let calls = self.calls();
        let running = calls.running.values();
        running
            .map(|(method, begun)| (*method, begun.elapsed()))
            .collect()
    }

    /// No code that can panic runs under the lock.
    fn calls(&self) -> MutexGuard<'_, Calls> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ActiveCall {
    fn drop(&mut self) {
        self.calls.calls().running.remove(&self.number);
    }
}
