//! Every rule of every block of the active chain applied again, and the outcome compared row by row with what is stored.

use std::path::Path;
use std::sync::Arc;

use super::error::ChainError;
use super::reader::ChainReader;
use super::reindex::{Blocks, Outcome, Progress, rebuild};
use crate::primitives::{BlockHash, CoinStats};
use crate::storage::{Difference, Store};

/// Differences that are told in full.
const MAX_DIFFERENCES: usize = 20;

/// What validating the active chain anew gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revalidation {
    /// The tip that is stored.
    pub tip: BlockHash,
    /// The coins that valid blocks lead to.
    pub validated: CoinStats,
    /// Blocks that break a rule.
    pub invalid: u64,
    /// Blocks whose bodies are missing or damaged, and those above them.
    pub missing: u64,
    /// The first rows that differ from those that the blocks lead to.
    pub differences: Vec<Difference>,
    /// How many there are.
    pub difference_count: u64,
}

impl Revalidation {
    /// Whether every block is valid and every row is right.
    pub fn is_sound(&self) -> bool {
        self.tip == self.validated.tip
            && self.invalid == 0
            && self.missing == 0
            && self.difference_count == 0
    }
}

impl ChainReader {
    /// Builds the active chain anew in the empty folder `scratch`, from nothing but the stored headers and bodies, and compares.
    /// `None` if `progress` said to stop. The caller removes the folder.
    ///
    /// # Errors
    /// A failure of the disk.
    pub fn revalidate(
        &self,
        scratch: &Path,
        progress: &mut Progress<'_>,
    ) -> Result<Option<Revalidation>, ChainError> {
        let spec = Arc::clone(self.spec());
        let target = Store::open(scratch, &spec.chain_id(), &spec.to_toml())?;
        let (outcome, engine) = rebuild(self.store(), target, &spec, Blocks::Active, progress)?;
        let Outcome::Done(done) = outcome else {
            return Ok(None);
        };
        let expected = &engine.shared().store;
        let (differences, difference_count) =
            self.store().differences(expected, MAX_DIFFERENCES)?;
        Ok(Some(Revalidation {
            tip: self.coin_stats()?.tip,
            validated: done.stats,
            invalid: done.invalid,
            missing: done.damaged + done.above_gap,
            differences,
            difference_count,
        }))
    }
}
