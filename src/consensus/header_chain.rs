//! A chain of headers that is followed without being kept.

use std::collections::VecDeque;

use super::error::RuleError;
use super::header::{
    MEDIAN_TIME_SPAN, ParentContext, check_header_in_isolation, check_header_in_parent_context,
    median_time,
};
use super::retarget::required_bits;
use super::spec::ChainSpec;
use crate::primitives::{BlockHash, BlockHeader, Work};

/// The end of a chain of headers, with what the rules need to judge the next one: a few hundred bytes however long the chain is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderChain {
    end: ParentContext,
    /// The times of the end and of the blocks before it that the median is taken over, newest first.
    times: VecDeque<u32>,
    work: Work,
}

impl HeaderChain {
    /// The chain that ends in `end`; `times` are those of the end and the ten blocks before it, newest first, and `work` is that of the
    /// whole chain.
    pub fn new(end: ParentContext, times: impl IntoIterator<Item = u32>, work: Work) -> Self {
        Self {
            end,
            times: times.into_iter().take(MEDIAN_TIME_SPAN).collect(),
            work,
        }
    }

    /// The chain that is nothing but the first block.
    pub fn of_genesis(spec: &ChainSpec) -> Self {
        let header = spec.genesis_block().header;
        let end = ParentContext {
            hash: header.hash(),
            height: 0,
            latest_time: header.time,
            base: header.bits,
            latest_time_before: None,
            median_time_past: header.time,
        };
        Self::new(end, [header.time], work_of(&header))
    }

    /// Its last block.
    pub const fn hash(&self) -> BlockHash {
        self.end.hash
    }

    /// The height of that.
    pub const fn height(&self) -> u32 {
        self.end.height
    }

    /// The work of all its blocks.
    pub const fn work(&self) -> Work {
        self.work
    }

    /// What the rules need to know of its end.
    pub const fn end(&self) -> &ParentContext {
        &self.end
    }

    /// Judges `header`, whose hash is `hash` and whose parent is the end, and goes on to it. `now` is the local time in seconds
    /// since 1970.
    ///
    /// # Errors
    /// The first rule that the header breaks; then nothing has changed.
    pub fn extend(
        &mut self,
        spec: &ChainSpec,
        header: &BlockHeader,
        hash: &BlockHash,
        now: u64,
    ) -> Result<(), RuleError> {
        check_header_in_isolation(spec, header, hash)?;
        check_header_in_parent_context(spec, header, &self.end, now)?;
        self.times.push_front(header.time);
        self.times.truncate(MEDIAN_TIME_SPAN);
        let mut times: Vec<u32> = self.times.iter().copied().collect();
        self.work = self
            .work
            .checked_add(work_of(header))
            .expect("no chain can hold 2^256 hashes of work");
        self.end = ParentContext {
            hash: *hash,
            height: self.end.height + 1,
            latest_time: self.end.latest_time.max(header.time),
            base: required_bits(spec, &self.end, header.time).base,
            latest_time_before: Some(self.end.latest_time),
            median_time_past: median_time(&mut times),
        };
        Ok(())
    }
}

/// The work that a header claims; it was done if the hash meets the target.
fn work_of(header: &BlockHeader) -> Work {
    let target = header.bits.to_target();
    target.map_or(Work::ZERO, |target| target.work())
}
