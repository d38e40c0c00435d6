//! The thread `chain`: owns the engine, takes one command after the other.
//!
//! [`open`] starts it. It ends after [`ChainHandle::stop`], when the last handle is dropped, or with the first error of the
//! disk: nothing is retried, because whether a failed write reached the disk is known only after a restart.

use std::path::Path;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{mpsc, oneshot, watch};

use super::catch_up::CatchUp;
use super::clock::{Clock, system_clock};
use super::engine::{BlockAccepted, Engine, HeadersAccepted};
use super::error::{ChainError, SubmitError};
use super::events::EventLog;
use super::handle::ChainHandle;
use super::prepared::PreparedBlock;
use crate::consensus::ChainSpec;
use crate::primitives::{BlockHash, BlockHeader};
use crate::storage::{StorageError, Store};

/// Commands that wait at most; senders beyond wait themselves.
const QUEUE: usize = 64;

/// How long collected blocks wait for the next one, if their sender announced more.
const PATIENCE: Duration = Duration::from_millis(20);
/// How long nothing must come until what is written and not synced is synced: a power cut takes no more than this time.
const SYNC_AFTER: Duration = Duration::from_millis(200);
/// How long between two looks into the queue meanwhile.
const PAUSE: Duration = Duration::from_micros(50);

/// How a chain is opened.
#[derive(Clone)]
pub struct ChainOptions {
    /// Whether a commit at the tip waits for the disk. Only tests that never lose power may say no.
    pub sync_writes: bool,
    /// Where the time comes from.
    pub clock: Clock,
}

impl Default for ChainOptions {
    fn default() -> Self {
        Self {
            sync_writes: true,
            clock: system_clock(),
        }
    }
}

pub(super) type Reply<T> = oneshot::Sender<Result<T, SubmitError>>;

/// What the thread can be asked.
pub(super) enum Command {
    /// A block; whether its sender goes on without the answer.
    Block(Box<PreparedBlock>, bool, Reply<BlockAccepted>),
    Headers(Vec<BlockHeader>, Reply<HeadersAccepted>),
    Invalidate(BlockHash, Reply<()>),
    Reconsider(BlockHash, Reply<()>),
    Prefer(BlockHash, Reply<()>),
    Stop,
}

/// The disk failed, which ended the chain's thread; the text says how.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct WriterFailure(String);

/// The running thread.
#[must_use = "the chain's thread must be joined, or its errors are lost"]
pub struct ChainWriter {
    thread: JoinHandle<Result<(), WriterFailure>>,
}

impl ChainWriter {
    /// Waits until the thread has ended and everything is on the disk.
    ///
    /// # Errors
    /// What ended it, if not a stop.
    ///
    /// # Panics
    /// With the thread's panic, if it panicked.
    pub fn join(self) -> Result<(), WriterFailure> {
        match self.thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

/// Opens the chain in the folder `path`, or makes a new one, and starts its thread.
///
/// # Errors
/// [`ChainError`]: the folder is in use, of another schema or network, or damaged.
pub fn open(
    path: &Path,
    spec: ChainSpec,
    options: ChainOptions,
) -> Result<(ChainHandle, ChainWriter), ChainError> {
    let store = Store::open(path, &spec.chain_id(), &spec.to_toml())
        .map_err(|error| explain(error, path, &spec))?;
    let now = (options.clock)();
    let engine = Engine::open(
        store,
        Arc::new(spec),
        EventLog::default(),
        options.sync_writes,
        now,
    )?;
    let shared = Arc::clone(engine.shared());
    let (commands, queue) = mpsc::channel(QUEUE);
    let (failed, failure) = watch::channel(None);
    let clock = Arc::clone(&options.clock);
    let thread = Builder::new()
        .name("chain".into())
        .spawn(move || run(engine, queue, &clock, &failed))
        .map_err(ChainError::Thread)?;
    Ok((
        ChainHandle::new(shared, commands, failure, options.clock),
        ChainWriter { thread },
    ))
}

/// Tells field by field how the folder's network differs.
pub(super) fn explain(error: StorageError, path: &Path, spec: &ChainSpec) -> ChainError {
    let StorageError::OtherNetwork { stored_spec, .. } = &error else {
        return ChainError::Storage(error);
    };
    let differences = match ChainSpec::from_toml(stored_spec) {
        Ok(stored) => stored.differences(spec),
        Err(unreadable) => vec![format!(
            "the folder's own spec cannot be read: {unreadable}"
        )],
    };
    ChainError::OtherNetwork {
        path: path.display().to_string(),
        differences,
    }
}

fn run(
    mut engine: Engine,
    mut queue: mpsc::Receiver<Command>,
    clock: &Clock,
    failed: &watch::Sender<Option<String>>,
) -> Result<(), WriterFailure> {
    let shared = Arc::clone(engine.shared());
    let mut catch_up = CatchUp::new(&shared);
    let mut more_comes = false;
    loop {
        let idle = catch_up.is_empty();
        let next = match (idle, more_comes) {
            (true, _) if engine.has_unsynced() => next_within(&mut queue, SYNC_AFTER),
            (true, _) => Next::from(queue.blocking_recv()),
            (false, true) => next_within(&mut queue, PATIENCE),
            (false, false) => next_within(&mut queue, Duration::ZERO),
        };
        let now = clock();
        // All but blocks see the chain as it is, so what is collected is written before.
        let command = match next {
            Next::Command(Command::Block(block, more, reply)) => {
                more_comes = more;
                let staged = catch_up.stage(&mut engine, *block, reply, now);
                match staged {
                    Ok(None) => continue,
                    Ok(Some((block, reply))) => Ok(Command::Block(Box::new(block), more, reply)),
                    Err(failure) => Err(failure),
                }
            }
            Next::Command(command) => Ok(command),
            Next::Nothing => {
                let done = match idle {
                    true => engine.sync().map_err(SubmitError::from),
                    false => catch_up.settle(&mut engine, now),
                };
                match done {
                    Ok(()) => continue,
                    Err(failure) => Err(failure),
                }
            }
            Next::End => Ok(Command::Stop),
        };
        let settled = command.and_then(|command| {
            catch_up.settle(&mut engine, now)?;
            Ok(command)
        });
        let command = match settled {
            Ok(command) => command,
            Err(failure) => {
                let failure = match failure {
                    SubmitError::Storage(failure) => failure,
                    other => other.to_string(),
                };
                failed.send_replace(Some(failure.clone()));
                return Err(WriterFailure(failure));
            }
        };
        let failure = match command {
            Command::Block(block, _, reply) => answer(reply, engine.accept_block(*block, now)),
            Command::Headers(headers, reply) => answer(reply, engine.accept_headers(&headers, now)),
            Command::Invalidate(hash, reply) => answer(reply, engine.invalidate(&hash, now)),
            Command::Reconsider(hash, reply) => answer(reply, engine.reconsider(&hash, now)),
            Command::Prefer(hash, reply) => answer(reply, engine.prefer(&hash, now)),
            Command::Stop => break,
        };
        if let Some(failure) = failure {
            failed.send_replace(Some(failure.clone()));
            return Err(WriterFailure(failure));
        }
    }
    engine
        .flush()
        .map_err(|error| WriterFailure(error.to_string()))
}

/// What the queue brings.
enum Next {
    Command(Command),
    /// Nothing for a while.
    Nothing,
    /// All senders are gone.
    End,
}

impl From<Option<Command>> for Next {
    fn from(received: Option<Command>) -> Self {
        received.map_or(Self::End, Self::Command)
    }
}

/// The next command, if it comes soon.
fn next_within(queue: &mut mpsc::Receiver<Command>, patience: Duration) -> Next {
    let start = Instant::now();
    loop {
        match queue.try_recv() {
            Ok(command) => return Next::Command(command),
            Err(TryRecvError::Disconnected) => return Next::End,
            Err(TryRecvError::Empty) if start.elapsed() >= patience => return Next::Nothing,
            // The queue of an async sender cannot be waited for with a limit.
            Err(TryRecvError::Empty) => std::thread::sleep(PAUSE),
        }
    }
}

/// Sends an answer; returns the failure of the disk, if it is one. Nobody may be waiting any more, which is fine.
fn answer<T>(reply: Reply<T>, result: Result<T, SubmitError>) -> Option<String> {
    let failure = match &result {
        Err(SubmitError::Storage(failure)) => Some(failure.clone()),
        _ => None,
    };
    let _ = reply.send(result);
    failure
}
