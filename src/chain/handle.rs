//! How the rest of the node talks to the chain's thread.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};

use super::clock::Clock;
use super::engine::{BlockAccepted, HeadersAccepted, Shared};
use super::error::SubmitError;
use super::events::{EventLog, EventReader};
use super::prepared::PreparedBlock;
use super::reader::ChainReader;
use super::signature_cache::SignatureCache;
use super::writer::{Command, Reply};
use crate::primitives::{Block, BlockHash, BlockHeader};

/// Submits to the chain and reads from it. Clones share it.
///
/// Every call has a twin `…_blocking` for OS threads; the plain one is for async tasks.
#[derive(Clone)]
pub struct ChainHandle {
    reader: ChainReader,
    shared: Arc<Shared>,
    commands: mpsc::Sender<Command>,
    failure: watch::Receiver<Option<String>>,
    clock: Clock,
}

/// The answer to a block that was sent.
#[derive(Debug)]
pub struct BlockAnswer(oneshot::Receiver<Result<BlockAccepted, SubmitError>>);

impl BlockAnswer {
    /// Waits for it.
    ///
    /// # Errors
    /// [`SubmitError`].
    pub async fn wait(self) -> Result<BlockAccepted, SubmitError> {
        self.0.await.map_err(|_| SubmitError::Stopped)?
    }

    /// The same for OS threads.
    ///
    /// # Errors
    /// [`SubmitError`].
    ///
    /// # Panics
    /// On a thread of an async executor.
    pub fn wait_blocking(self) -> Result<BlockAccepted, SubmitError> {
        self.0.blocking_recv().map_err(|_| SubmitError::Stopped)?
    }
}

macro_rules! command {
    ($(#[$doc:meta])* $name:ident, $blocking:ident, $argument:ident: $type:ty => $variant:ident -> $answer:ty) => {
        $(#[$doc])*
        ///
        /// # Errors
        /// [`SubmitError`].
        pub async fn $name(&self, $argument: $type) -> Result<$answer, SubmitError> {
            let (reply, answer) = oneshot::channel();
            let command = Command::$variant($argument.into(), reply);
            self.commands.send(command).await.map_err(|_| SubmitError::Stopped)?;
            answer.await.map_err(|_| SubmitError::Stopped)?
        }

        /// The same for OS threads.
        ///
        /// # Errors
        /// [`SubmitError`].
        ///
        /// # Panics
        /// On a thread of an async executor.
        pub fn $blocking(&self, $argument: $type) -> Result<$answer, SubmitError> {
            self.ask_blocking(|reply| Command::$variant($argument.into(), reply))
        }
    };
}

impl ChainHandle {
    pub(super) fn new(
        shared: Arc<Shared>,
        commands: mpsc::Sender<Command>,
        failure: watch::Receiver<Option<String>>,
        clock: Clock,
    ) -> Self {
        Self {
            reader: ChainReader::new(Arc::clone(&shared)),
            shared,
            commands,
            failure,
            clock,
        }
    }

    fn ask_blocking<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, SubmitError> {
        let (reply, answer) = oneshot::channel();
        self.commands
            .blocking_send(command(reply))
            .map_err(|_| SubmitError::Stopped)?;
        answer.blocking_recv().map_err(|_| SubmitError::Stopped)?
    }

    /// Takes a block whose parent's header is known.
    ///
    /// # Errors
    /// [`SubmitError`].
    pub async fn submit_block(
        &self,
        block: impl Into<Arc<Block>> + Send,
    ) -> Result<BlockAccepted, SubmitError> {
        let (reply, answer) = oneshot::channel();
        let block = Box::new(PreparedBlock::received(block.into()));
        let command = Command::Block(block, false, reply);
        let sent = self.commands.send(command).await;
        sent.map_err(|_| SubmitError::Stopped)?;
        answer.await.map_err(|_| SubmitError::Stopped)?
    }

    /// The same for OS threads.
    ///
    /// # Errors
    /// [`SubmitError`].
    ///
    /// # Panics
    /// On a thread of an async executor.
    pub fn submit_block_blocking(
        &self,
        block: impl Into<Arc<Block>>,
    ) -> Result<BlockAccepted, SubmitError> {
        let block = Box::new(PreparedBlock::received(block.into()));
        self.ask_blocking(|reply| Command::Block(block, false, reply))
    }

    /// The same for a block on which the caller makes the next one at once: only the last of them, handed in by
    /// [`submit_block_blocking`](Self::submit_block_blocking), waits for the disk, and with it all.
    ///
    /// # Errors
    /// [`SubmitError`].
    ///
    /// # Panics
    /// On a thread of an async executor.
    pub fn submit_followed_block_blocking(
        &self,
        block: impl Into<Arc<Block>>,
    ) -> Result<BlockAccepted, SubmitError> {
        let block = Box::new(PreparedBlock::received(block.into()).followed());
        self.ask_blocking(|reply| Command::Block(block, false, reply))
    }

    /// Takes one of several blocks, in order, that are under way at once; the answer is asked for later. `more` says that another
    /// one follows at once: then the chain may hold the answer back for some milliseconds, to write more blocks at once.
    ///
    /// # Errors
    /// [`SubmitError::Stopped`].
    pub async fn send_block(
        &self,
        block: Arc<Block>,
        more: bool,
    ) -> Result<BlockAnswer, SubmitError> {
        let (reply, answer) = oneshot::channel();
        let block = Box::new(PreparedBlock::received(block));
        let sent = self.commands.send(Command::Block(block, more, reply)).await;
        sent.map_err(|_| SubmitError::Stopped)?;
        Ok(BlockAnswer(answer))
    }

    /// The same for OS threads, of a prepared block that others follow.
    ///
    /// # Errors
    /// [`SubmitError::Stopped`].
    ///
    /// # Panics
    /// On a thread of an async executor.
    pub fn send_block_blocking(&self, block: PreparedBlock) -> Result<BlockAnswer, SubmitError> {
        let (reply, answer) = oneshot::channel();
        let command = Command::Block(Box::new(block), true, reply);
        let sent = self.commands.blocking_send(command);
        sent.map_err(|_| SubmitError::Stopped)?;
        Ok(BlockAnswer(answer))
    }

    command! {
        /// Takes headers, each the child of a known one, in order.
        submit_headers, submit_headers_blocking, headers: Vec<BlockHeader> => Headers -> HeadersAccepted
    }
    command! {
        /// Treats a block as invalid from now on.
        invalidate_block, invalidate_block_blocking, hash: BlockHash => Invalidate -> ()
    }
    command! {
        /// Takes back that a block, its ancestors or its descendants are invalid.
        reconsider_block, reconsider_block_blocking, hash: BlockHash => Reconsider -> ()
    }
    command! {
        /// Prefers a block to all others of equal work.
        prefer_block, prefer_block_blocking, hash: BlockHash => Prefer -> ()
    }

    /// Whether a header obeys the rules, so that its block may be relayed. Changes nothing, and does not wait for the chain's thread.
    ///
    /// # Errors
    /// [`SubmitError`].
    pub fn check_header(&self, header: &BlockHeader) -> Result<(), SubmitError> {
        self.reader.check_header(header, self.now())
    }

    /// The time by which the chain judges, in seconds since 1970.
    pub fn now(&self) -> u64 {
        (self.clock)()
    }

    /// What is known of the chain.
    pub const fn reader(&self) -> &ChainReader {
        &self.reader
    }

    /// The stream of everything that happens in the node.
    pub fn events(&self) -> &EventLog {
        &self.shared.events
    }

    /// A reader of what happens from now on.
    pub fn subscribe(&self) -> EventReader {
        self.shared.events.subscribe()
    }

    /// Which transactions had their scripts verified.
    pub fn signature_cache(&self) -> &Arc<SignatureCache> {
        &self.shared.signatures
    }

    /// Changes to a text when the chain's thread ends with an error; the node must then stop.
    pub fn failure(&self) -> watch::Receiver<Option<String>> {
        self.failure.clone()
    }

    /// Asks the thread to finish its work and end.
    pub async fn stop(&self) {
        // An error means that it has ended already.
        let _ = self.commands.send(Command::Stop).await;
    }

    /// The same for OS threads.
    ///
    /// # Panics
    /// On a thread of an async executor.
    pub fn stop_blocking(&self) {
        let _ = self.commands.blocking_send(Command::Stop);
    }
}
