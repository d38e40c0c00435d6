//! The threads that verify scripts: as many as the machine has cores, for all blocks, outside of every lock.
//!
//! A block's checks are split by input, so that one transaction with thousands of inputs keeps all cores busy, and the writer
//! goes on with the next block meanwhile. [`ScriptPool`] starts the threads `scripts-…`; they end when it is dropped.

use std::any::Any;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Builder, JoinHandle};

use crate::consensus::{RuleError, ScriptChecks};
use crate::primitives::{Block, PubkeyHash};

/// Inputs that a thread takes at once: about a millisecond of work, against less than a microsecond for taking them.
const PIECE: usize = 16;

/// The scripts of one transaction.
struct Check {
    /// Its place in the block.
    index: usize,
    key_hashes: Vec<PubkeyHash>,
    /// How many inputs the checks before this one have.
    before: usize,
}

/// The scripts of one block.
struct Job {
    block: Arc<Block>,
    checks: Vec<Check>,
    inputs: usize,
    progress: Mutex<Progress>,
    done: Condvar,
}

struct Progress {
    /// Pieces that are not verified yet.
    left: usize,
    /// The first input in block order whose script fails, whatever was verified first.
    worst: Option<(usize, RuleError)>,
    /// What stopped a thread that verified a piece.
    panic: Option<Box<dyn Any + Send>>,
}

/// The verification of a block's scripts, which is under way.
pub(super) struct PendingScripts(Arc<Job>);

#[derive(Default)]
struct Queue {
    /// Jobs and the piece of each that is taken next.
    jobs: VecDeque<(Arc<Job>, usize)>,
    closed: bool,
}

#[derive(Default)]
struct Board {
    queue: Mutex<Queue>,
    changed: Condvar,
}

/// The running threads.
pub(super) struct ScriptPool {
    board: Arc<Board>,
    threads: Vec<JoinHandle<()>>,
}

impl ScriptPool {
    /// Starts a thread a core.
    pub fn start() -> std::io::Result<Self> {
        let mut pool = Self {
            board: Arc::default(),
            threads: Vec::new(),
        };
        for number in 0..thread::available_parallelism().map_or(1, usize::from) {
            let board = Arc::clone(&pool.board);
            let thread = Builder::new()
                .name(format!("scripts-{number}"))
                .spawn(move || {
                    while let Some((job, piece)) = board.take() {
                        job.verify_piece(piece);
                    }
                })?;
            pool.threads.push(thread);
        }
        Ok(pool)
    }

    /// Verifies scripts of `block`: transactions by their place, and the checks of each. `None` where there are none.
    pub fn verify(
        &self,
        block: &Arc<Block>,
        checks: Vec<(usize, ScriptChecks<'_>)>,
    ) -> Option<PendingScripts> {
        let mut inputs = 0;
        let checks: Vec<Check> = checks
            .into_iter()
            .map(|(index, checks)| {
                let before = inputs;
                inputs += checks.key_hashes.len();
                Check {
                    index,
                    key_hashes: checks.key_hashes,
                    before,
                }
            })
            .collect();
        if inputs == 0 {
            return None;
        }
        let job = Arc::new(Job {
            block: Arc::clone(block),
            checks,
            inputs,
            progress: Mutex::new(Progress {
                left: inputs.div_ceil(PIECE),
                worst: None,
                panic: None,
            }),
            done: Condvar::new(),
        });
        self.board.lock().jobs.push_back((Arc::clone(&job), 0));
        self.board.changed.notify_all();
        Some(PendingScripts(job))
    }
}

impl Drop for ScriptPool {
    fn drop(&mut self) {
        self.board.lock().closed = true;
        self.board.changed.notify_all();
        for thread in self.threads.drain(..) {
            // A panic inside a piece is caught there and told to whoever waits for it.
            let _ = thread.join();
        }
    }
}

impl Board {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Each change is a push, a pop or a count: whole after any panic.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next piece, oldest job first; waits for one. `None` at the end.
    fn take(&self) -> Option<(Arc<Job>, usize)> {
        let mut queue = self.lock();
        loop {
            if queue.closed {
                return None;
            }
            if let Some((job, next)) = queue.jobs.front_mut() {
                let (job, piece) = (Arc::clone(job), *next);
                *next += 1;
                if (piece + 1) * PIECE >= job.inputs {
                    queue.jobs.pop_front();
                }
                return Some((job, piece));
            }
            let woken = self.changed.wait(queue);
            queue = woken.unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Job {
    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn verify_piece(&self, piece: usize) {
        let first = piece * PIECE;
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            self.verify_inputs(first, self.inputs.min(first + PIECE))
        }));
        let mut progress = self.lock();
        match outcome {
            Ok(None) => {}
            Ok(Some(failure)) => {
                let is_first = progress
                    .worst
                    .as_ref()
                    .is_none_or(|(at, _)| failure.0 < *at);
                if is_first {
                    progress.worst = Some(failure);
                }
            }
            Err(panic) => progress.panic = Some(panic),
        }
        progress.left -= 1;
        if progress.left == 0 {
            self.done.notify_all();
        }
    }

    /// The first of the inputs `first..end`, counted over all checks, whose script fails.
    fn verify_inputs(&self, first: usize, end: usize) -> Option<(usize, RuleError)> {
        // The last check that begins at or before the first input.
        let from = self.checks.partition_point(|check| check.before <= first) - 1;
        let checks = self.checks[from..].iter();
        for check in checks.take_while(|check| check.before < end) {
            let range =
                first.saturating_sub(check.before)..check.key_hashes.len().min(end - check.before);
            let scripts = ScriptChecks {
                tx: &self.block.transactions[check.index],
                key_hashes: check.key_hashes.clone(),
            };
            if let Err(error) = scripts.verify_inputs(range) {
                return Some((check.before, error));
            }
        }
        None
    }
}

impl PendingScripts {
    /// Waits for the end. May be asked again.
    ///
    /// # Errors
    /// The first rule in block order that is broken.
    ///
    /// # Panics
    /// With the panic of a thread that verified a piece.
    pub fn wait(&self) -> Result<(), RuleError> {
        let mut progress = self.0.lock();
        while progress.left > 0 {
            let woken = self.0.done.wait(progress);
            progress = woken.unwrap_or_else(PoisonError::into_inner);
        }
        if let Some(panic) = progress.panic.take() {
            drop(progress);
            resume_unwind(panic);
        }
        match &progress.worst {
            Some((_, error)) => Err(error.clone()),
            None => Ok(()),
        }
    }

    /// The places in the block of the transactions whose scripts these are.
    pub fn transactions(&self) -> impl Iterator<Item = usize> {
        self.0.checks.iter().map(|check| check.index)
    }
}
