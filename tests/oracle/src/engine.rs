//! The first judge: Quarry's own engine, on a folder of its own.

use quarry::chain::{
    Audit, ChainHandle, ChainOptions, ChainReader, ChainWriter, SubmitError, open,
};
use quarry::consensus::{ChainSpec, RuleError};
use quarry::primitives::{Block, BlockHeader, Decode};
use tempfile::TempDir;

/// What the engine said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The bytes are not a block.
    Undecodable(String),
    /// Taken, or known.
    Accepted,
    /// Refused.
    Refused {
        /// The name of the rule, or of the other reason.
        rule: &'static str,
        /// The reason as RPC gives it.
        reason: &'static str,
        /// The whole text.
        text: String,
    },
}

/// The running engine.
pub struct Engine {
    running: Option<(ChainHandle, ChainWriter)>,
    spec: ChainSpec,
    dir: TempDir,
}

impl Engine {
    /// A new chain.
    pub fn new(spec: ChainSpec) -> Self {
        let dir = crate::scratch();
        let mut engine = Self {
            running: None,
            spec,
            dir,
        };
        engine.start();
        engine
    }

    fn start(&mut self) {
        let options = ChainOptions {
            sync_writes: false,
            ..ChainOptions::default()
        };
        let opened = open(self.dir.path(), self.spec.clone(), options);
        self.running = Some(opened.expect("the folder can be opened"));
    }

    fn stop(&mut self) {
        if let Some((handle, writer)) = self.running.take() {
            handle.stop_blocking();
            drop(handle);
            writer.join().expect("the disk works");
        }
    }

    /// Closes the folder and opens it again.
    pub fn reopen(&mut self) {
        self.stop();
        self.start();
    }

    fn handle(&self) -> &ChainHandle {
        &self
            .running
            .as_ref()
            .expect("the engine runs between calls")
            .0
    }

    /// Questions about the chain.
    pub fn reader(&self) -> &ChainReader {
        self.handle().reader()
    }

    /// The coins counted three ways.
    pub fn audit(&self) -> Audit {
        self.reader().audit(&mut |_| {}).expect("the disk works")
    }

    /// Takes the bytes of a block.
    pub fn block(&self, raw: &[u8]) -> Answer {
        let block = match Block::from_bytes(raw) {
            Ok(block) => block,
            Err(error) => return Answer::Undecodable(error.to_string()),
        };
        answer(self.handle().submit_block_blocking(block).map(|_| ()))
    }

    /// Takes the bytes of a header.
    pub fn header(&self, raw: &[u8]) -> Answer {
        let header = match BlockHeader::from_bytes(raw) {
            Ok(header) => header,
            Err(error) => return Answer::Undecodable(error.to_string()),
        };
        answer(
            self.handle()
                .submit_headers_blocking(vec![header])
                .map(|_| ()),
        )
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.stop();
    }
}

fn answer(result: Result<(), SubmitError>) -> Answer {
    match result {
        Ok(()) => Answer::Accepted,
        Err(error) => Answer::Refused {
            rule: name(&error),
            reason: error.reject_reason(),
            text: error.to_string(),
        },
    }
}

fn name(error: &SubmitError) -> &'static str {
    match error {
        SubmitError::Invalid(rule) | SubmitError::Mutated(rule) => RuleError::name(rule),
        SubmitError::Future { .. } => "TimeTooNew",
        SubmitError::KnownInvalid(_) => "KnownInvalid",
        SubmitError::InvalidParent(_) => "InvalidParent",
        SubmitError::UnknownParent(_) => "UnknownParent",
        other => panic!("not a verdict: {other}"),
    }
}
