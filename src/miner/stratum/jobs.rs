//! The jobs of a connection, and judging the shares of them. No I/O; the time is an argument.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use serde_json::{Value, json};

use super::difficulty::Difficulty;
use super::limits::{MAX_JOBS, MAX_SHARES};
use super::protocol::{Code, EXTRA_NONCE2_LEN, Refusal, Submission};
use crate::consensus::ChainSpec;
use crate::miner::coinbase::{Coinbase, EXTRA_NONCE_LEN};
use crate::miner::template::Template;
use crate::primitives::{Block, BlockHash, BlockHeader, PubkeyHash, Target};

/// The bytes of the extra nonce that tell connections apart.
pub(super) const EXTRA_NONCE1_LEN: usize = EXTRA_NONCE_LEN - EXTRA_NONCE2_LEN;

/// What all connections work on.
#[derive(Debug)]
pub(super) struct Work {
    /// The block. Its own payout is nobody's: each job has a coinbase of its own.
    pub(super) template: Template,
    /// Whether miners must leave what they have at once: the tip is another, or the target easier.
    pub(super) urgent: bool,
}

/// A share that was taken.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Share {
    /// What it counts.
    pub(super) difficulty: Difficulty,
    /// What its hash would have sufficed for.
    pub(super) reached: Difficulty,
    /// The block, where it is one.
    pub(super) block: Option<Block>,
}

/// What does not change from job to job.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) spec: Arc<ChainSpec>,
    pub(super) extra_nonce1: [u8; EXTRA_NONCE1_LEN],
    /// The bits of the version that the miner may vary.
    pub(super) version_mask: u32,
}

#[derive(Debug)]
struct Job {
    number: u32,
    work: Arc<Work>,
    coinbase: Coinbase,
    difficulty: Difficulty,
    /// What a share must meet: the target of the difficulty, or the block's where that is easier.
    target: Target,
    /// The hashes of the shares that were taken.
    taken: HashSet<BlockHash>,
}

/// The latest jobs of a connection, on one parent.
#[derive(Debug, Default)]
pub(super) struct Jobs {
    jobs: VecDeque<Job>,
    next: u32,
}

impl Jobs {
    /// Makes a job of the work; returns the parameters of its `mining.notify`. Jobs on another parent are forgotten, and so are
    /// the oldest.
    pub(super) fn add(
        &mut self,
        work: &Arc<Work>,
        payout: PubkeyHash,
        difficulty: Difficulty,
    ) -> Value {
        let template = &work.template;
        self.jobs
            .retain(|job| job.work.template.parent() == template.parent());
        if self.jobs.len() == MAX_JOBS {
            self.jobs.pop_front();
        }
        let clean = work.urgent || self.jobs.is_empty();
        let job = Job {
            number: self.next,
            work: Arc::clone(work),
            coinbase: Coinbase::new(template.height(), template.reward(), payout),
            difficulty,
            target: difficulty.target().max(*template.target()),
            taken: HashSet::new(),
        };
        self.next = self.next.wrapping_add(1);
        let params = job.notify(clean);
        self.jobs.push_back(job);
        params
    }

    /// Judges a share. `now` is in seconds since 1970.
    pub(super) fn judge(
        &mut self,
        rules: &Rules,
        submission: &Submission,
        now: u64,
    ) -> Result<Share, Refusal> {
        let number = u32::from_str_radix(&submission.job, 16).ok();
        let job = self
            .jobs
            .iter_mut()
            .find(|job| Some(job.number) == number)
            .ok_or_else(|| Refusal::new(Code::Stale, "Job not found (stale)"))?;
        job.judge(rules, submission, now)
    }
}

impl Job {
    /// The parameters of `mining.notify`.
    fn notify(&self, clean: bool) -> Value {
        let template = &self.work.template;
        // For reasons lost in time, each word of four bytes is turned round.
        let mut previous = template.parent().to_bytes();
        previous.chunks_mut(4).for_each(<[u8]>::reverse);
        let branch: Vec<String> = template.merkle_branch().iter().map(hex::encode).collect();
        json!([
            format!("{:x}", self.number),
            hex::encode(previous),
            hex::encode(self.coinbase.head()),
            hex::encode(self.coinbase.tail()),
            branch,
            format!("{:08x}", template.version()),
            template.bits().to_string(),
            format!("{:08x}", template.time()),
            clean,
        ])
    }

    fn judge(
        &mut self,
        rules: &Rules,
        submission: &Submission,
        now: u64,
    ) -> Result<Share, Refusal> {
        let template = &self.work.template;
        let bits = submission.version_bits.unwrap_or(0);
        if bits & !rules.version_mask != 0 {
            let message = format!(
                "version bits {bits:08x} are outside of the mask {:08x}",
                rules.version_mask
            );
            return Err(Refusal::new(Code::Other, message));
        }
        let times = template.times(&rules.spec);
        let drift = now.saturating_add(rules.spec.max_future_drift.into());
        if !times.contains(&submission.time) || u64::from(submission.time) > drift {
            let last = drift.min(u64::from(*times.end()));
            let message = format!(
                "ntime {:08x} is out of range: {:08x} to {last:08x}",
                submission.time,
                times.start()
            );
            return Err(Refusal::new(Code::Other, message));
        }
        if self.taken.len() >= MAX_SHARES {
            let message = "too many shares of one job; wait for the next";
            return Err(Refusal::new(Code::Other, message));
        }
        let extra_nonce = extra_nonce(rules.extra_nonce1, submission.extra_nonce2);
        let header = BlockHeader {
            version: roll(template.version(), bits, rules.version_mask),
            time: submission.time,
            nonce: submission.nonce,
            ..template.header_over(&self.coinbase.encode(extra_nonce))
        };
        let hash = header.hash();
        let reached = Difficulty::of_hash(&hash);
        if !self.target.is_met_by(&hash) {
            let message = format!(
                "Low difficulty share of {}; {} is needed",
                reached.value(),
                self.difficulty.value()
            );
            return Err(Refusal::new(Code::LowDifficulty, message));
        }
        if !self.taken.insert(hash) {
            return Err(Refusal::new(Code::Duplicate, "Duplicate share"));
        }
        let is_block = template.target().is_met_by(&hash);
        // A block may be easier than a share.
        let difficulty = match self.difficulty.target().is_met_by(&hash) {
            true => self.difficulty,
            false => Difficulty::of(template.target()),
        };
        let block =
            is_block.then(|| template.block_with(header, self.coinbase.transaction(extra_nonce)));
        Ok(Share {
            difficulty,
            reached,
            block,
        })
    }
}

/// The whole extra nonce.
fn extra_nonce(one: [u8; EXTRA_NONCE1_LEN], two: [u8; EXTRA_NONCE2_LEN]) -> [u8; EXTRA_NONCE_LEN] {
    let mut whole = [0; EXTRA_NONCE_LEN];
    whole[..EXTRA_NONCE1_LEN].copy_from_slice(&one);
    whole[EXTRA_NONCE1_LEN..].copy_from_slice(&two);
    whole
}

/// The version with the miner's bits within the mask (BIP310).
const fn roll(version: i32, bits: u32, mask: u32) -> i32 {
    let rolled = version.cast_unsigned() & !mask | bits & mask;
    rolled.cast_signed()
}
