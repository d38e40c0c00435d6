//! What lies behind a header: its ancestors, their times, and what the rules ask of them.

use super::BlockTree;
use crate::consensus::{HeaderChain, MEDIAN_TIME_SPAN, ParentContext, median_time};
use crate::primitives::BlockHash;
use crate::storage::HeaderRecord;

impl BlockTree {
    /// The ancestor of `hash` at `height`.
    pub fn ancestor(&self, hash: &BlockHash, height: u32) -> Option<BlockHash> {
        let mut at = *hash;
        loop {
            let record = self.get(&at)?;
            if record.height < height {
                return None;
            }
            if record.height == height {
                return Some(at);
            }
            let at_height = record.height as usize;
            for chain in [&self.active, &self.best_headers] {
                if chain.get(at_height) == Some(&at) {
                    return chain.get(height as usize).copied();
                }
            }
            at = record.header.prev_block;
        }
    }

    /// The median time of a block and the ten before it.
    pub fn median_time_past(&self, hash: &BlockHash) -> u32 {
        self.entries.get(hash).map_or(0, |entry| entry.median_time)
    }

    /// The median time of a header, whose ancestors are entries, and the ten before it.
    pub(super) fn median_time_of(&self, record: &HeaderRecord) -> u32 {
        median_time(&mut self.times_back_from(record))
    }

    /// The times of a header, whose ancestors are entries, and of the ten before it, newest first.
    fn times_back_from(&self, record: &HeaderRecord) -> Vec<u32> {
        let mut times = Vec::with_capacity(MEDIAN_TIME_SPAN);
        times.push(record.header.time);
        let mut at = record.header.prev_block;
        while times.len() < MEDIAN_TIME_SPAN {
            let Some(record) = self.get(&at) else {
                break;
            };
            times.push(record.header.time);
            at = record.header.prev_block;
        }
        times
    }

    /// The chain of headers that ends in `hash`.
    pub fn header_chain(&self, hash: &BlockHash) -> Option<HeaderChain> {
        let record = self.get(hash)?;
        let end = self.parent_context(hash)?;
        let times = self.times_back_from(record);
        Some(HeaderChain::new(end, times, record.chainwork))
    }

    /// What the rules need to know of a parent.
    pub fn parent_context(&self, hash: &BlockHash) -> Option<ParentContext> {
        let record = self.get(hash)?;
        Some(ParentContext {
            hash: *hash,
            height: record.height,
            latest_time: record.latest_time,
            base: record.base,
            latest_time_before: self
                .get(&record.header.prev_block)
                .map(|record| record.latest_time),
            median_time_past: self.median_time_past(hash),
        })
    }
}
