//! What the searching threads share: the work, and whether to go on.
//!
//! The generation is the one thing that a search looks at between chunks. Whoever wants the searches to end (new work, a pause, the
//! end) raises it, so all of them end within one chunk.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::template::Template;

/// What a thread is to do.
#[derive(Debug)]
enum Assignment {
    /// Wait.
    Nothing,
    /// Search.
    Search(Arc<Template>),
    /// End.
    Stop,
}

#[derive(Debug)]
struct State {
    assignment: Assignment,
    enabled: bool,
}

/// Shared by handle, controller and workers.
#[derive(Debug)]
pub(super) struct Board {
    state: Mutex<State>,
    news: Condvar,
    generation: AtomicU64,
    /// Hashes done since the start.
    pub(super) hashes: AtomicU64,
    /// Blocks found and taken by the chain.
    pub(super) blocks_found: AtomicU64,
    /// Blocks found too late.
    pub(super) stale_blocks: AtomicU64,
    /// The bits of the hash rate, a floating-point number per second.
    pub(super) rate: AtomicU64,
    /// The bits of how many hashes a block of the latest work takes on average, a floating-point number.
    pub(super) work: AtomicU64,
    /// How many threads search at this moment.
    pub(super) searching: AtomicUsize,
    is_enabled: AtomicBool,
}

/// Work, and the generation in which it holds.
pub(super) struct Work {
    pub(super) template: Arc<Template>,
    pub(super) generation: u64,
}

impl Board {
    pub(super) fn new(enabled: bool) -> Self {
        Self {
            state: Mutex::new(State {
                assignment: Assignment::Nothing,
                enabled,
            }),
            news: Condvar::new(),
            generation: AtomicU64::new(0),
            hashes: AtomicU64::new(0),
            blocks_found: AtomicU64::new(0),
            stale_blocks: AtomicU64::new(0),
            rate: AtomicU64::new(0),
            work: AtomicU64::new(0),
            searching: AtomicUsize::new(0),
            is_enabled: AtomicBool::new(enabled),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change is one assignment; the state is whole after any panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends all searches and wakes all threads. The caller has changed the state and holds it.
    fn raise(&self, state: MutexGuard<'_, State>) {
        self.generation.fetch_add(1, Ordering::Release);
        drop(state);
        self.news.notify_all();
    }

    /// Gives work to all threads; nothing while disabled or after the end.
    pub(super) fn post(&self, template: Arc<Template>) {
        let mut state = self.state();
        if state.enabled && !matches!(state.assignment, Assignment::Stop) {
            let work = template.target().work().to_f64();
            self.work.store(work.to_bits(), Ordering::Relaxed);
            state.assignment = Assignment::Search(template);
            self.raise(state);
        }
    }

    /// Switches the search on or off. Off takes effect within one chunk; on with the next work.
    pub(super) fn set_enabled(&self, enabled: bool) {
        let mut state = self.state();
        state.enabled = enabled;
        self.is_enabled.store(enabled, Ordering::Relaxed);
        if !enabled && !matches!(state.assignment, Assignment::Stop) {
            state.assignment = Assignment::Nothing;
            self.raise(state);
        }
    }

    pub(super) fn is_enabled(&self) -> bool {
        self.is_enabled.load(Ordering::Relaxed)
    }

    /// Ends all threads within one chunk, for good.
    pub(super) fn stop(&self) {
        let mut state = self.state();
        state.assignment = Assignment::Stop;
        self.raise(state);
    }

    pub(super) fn is_stopped(&self) -> bool {
        matches!(self.state().assignment, Assignment::Stop)
    }

    /// Whether work of this generation is still to be searched.
    pub(super) fn is_current(&self, generation: u64) -> bool {
        self.generation.load(Ordering::Acquire) == generation
    }

    /// Waits for `rest`, but not beyond the end of the work of this generation.
    pub(super) fn rest(&self, generation: u64, rest: Duration) {
        // The generation changes under the lock only, so no change can come between the look and the wait.
        let waited = self
            .news
            .wait_timeout_while(self.state(), rest, |_| self.is_current(generation));
        // Whether it was cut short is seen at the next look.
        drop(waited);
    }

    /// Waits for work newer than generation `seen`; none at the end.
    pub(super) fn wait(&self, seen: Option<u64>) -> Option<Work> {
        let mut state = self.state();
        loop {
            // Read under the lock, under which it is raised: it belongs to the assignment.
            let generation = self.generation.load(Ordering::Acquire);
            match &state.assignment {
                Assignment::Stop => return None,
                Assignment::Search(template) if seen != Some(generation) => {
                    return Some(Work {
                        template: Arc::clone(template),
                        generation,
                    });
                }
                Assignment::Search(_) | Assignment::Nothing => {}
            }
            state = self
                .news
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}
