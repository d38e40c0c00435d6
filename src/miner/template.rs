//! A block without its proof of work.
//!
//! What a search varies is the nonce, and, when all 2^32 of them are through, the extra nonce: eight bytes in the coinbase's script.
//! The branch of the merkle tree that leads from the coinbase to the root makes changing it cheap: one transaction id and one
//! hash for each level. External miners bring a coinbase of their own form; header and block take any.

use std::ops::RangeInclusive;

use super::coinbase::Coinbase;
use crate::chain::ChainReader;
use crate::consensus::{
    BLOCK_VERSION, ChainSpec, ParentContext, required_bits, times_with_equal_bits,
};
use crate::mempool::{MempoolHandle, TemplateTransactions, TemplateTx};
use crate::primitives::{
    Amount, Block, BlockHash, BlockHeader, CompactTarget, HEADER_LEN, MerkleRoot, PubkeyHash,
    Target, Transaction, Txid, sha256d,
};

/// The longest compact size of a block's number of transactions.
const MAX_COUNT_LEN: u64 = 9;
/// How often the mempool is asked again because it judged against another tip.
const TIP_TRIES: u32 = 3;

/// Why there is no template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// The time does not fit in a header.
    #[error("the time {0} does not fit in a block header, which ends in 2106")]
    Time(u64),
    /// Subsidy and fees exceed what can exist.
    #[error("subsidy and fees together are more money than can exist")]
    Reward,
    /// The rules ask for a target that is none.
    #[error("the required target {0} is not valid")]
    Target(CompactTarget),
    /// The mempool has stopped, as the node is about to.
    #[error("the mempool has stopped")]
    MempoolStopped,
}

/// A block that lacks only the nonce and extra nonce.
#[derive(Debug, Clone)]
pub struct Template {
    parent: ParentContext,
    height: u32,
    version: i32,
    time: u32,
    bits: CompactTarget,
    target: Target,
    coinbase: Coinbase,
    /// What the coinbase's id is hashed with, level by level.
    branch: Vec<[u8; 32]>,
    transactions: Vec<TemplateTx>,
    reward: Amount,
}

impl Template {
    /// A block on `parent` with the given transactions, which are valid there in that order. It pays subsidy and fees to
    /// `payout`. `now` is in seconds since 1970.
    ///
    /// # Errors
    /// [`TemplateError`].
    pub fn assemble(
        spec: &ChainSpec,
        parent: ParentContext,
        transactions: Vec<TemplateTx>,
        payout: PubkeyHash,
        now: u64,
    ) -> Result<Self, TemplateError> {
        let height = parent.height + 1;
        let fees = Amount::checked_sum(transactions.iter().map(|tx| tx.fee));
        let reward = fees
            .and_then(|fees| fees.checked_add(spec.subsidy_at(height)))
            .ok_or(TemplateError::Reward)?;
        let (time, bits, target) = time_and_target(spec, &parent, now)?;
        Ok(Self {
            parent,
            height,
            version: BLOCK_VERSION,
            time,
            bits,
            target,
            coinbase: Coinbase::new(height, reward, payout),
            branch: merkle_branch(transactions.iter().map(|tx| tx.txid)),
            transactions,
            reward,
        })
    }

    /// The same block at another time. On chains with a stall rule its target may be easier.
    ///
    /// # Errors
    /// [`TemplateError`].
    pub fn at_time(&self, spec: &ChainSpec, now: u64) -> Result<Self, TemplateError> {
        let (time, bits, target) = time_and_target(spec, &self.parent, now)?;
        Ok(Self {
            time,
            bits,
            target,
            ..self.clone()
        })
    }

    /// The header with this extra nonce, and nonce 0.
    pub fn header(&self, extra_nonce: u64) -> BlockHeader {
        self.header_over(&self.coinbase.encode(extra_nonce.to_le_bytes()))
    }

    /// The header over an encoded coinbase, with nonce 0.
    pub(super) fn header_over(&self, coinbase: &[u8]) -> BlockHeader {
        let root = self
            .branch
            .iter()
            .fold(sha256d(coinbase), |left, right| hash_pair(&left, right));
        BlockHeader {
            version: self.version,
            prev_block: self.parent.hash,
            merkle_root: MerkleRoot::from_bytes(root),
            time: self.time,
            bits: self.bits,
            nonce: 0,
        }
    }

    /// The whole block.
    pub fn block(&self, extra_nonce: u64, nonce: u32) -> Block {
        let header = BlockHeader {
            nonce,
            ..self.header(extra_nonce)
        };
        self.block_with(header, self.coinbase.transaction(extra_nonce.to_le_bytes()))
    }

    /// The whole block of a header and the coinbase that it was made over.
    pub(super) fn block_with(&self, header: BlockHeader, coinbase: Transaction) -> Block {
        let others = self.transactions.iter().map(|tx| (*tx.tx).clone());
        Block {
            header,
            transactions: std::iter::once(coinbase).chain(others).collect(),
        }
    }

    /// A template whose use panics, for tests of what happens then.
    #[cfg(test)]
    pub(super) fn broken(self) -> Self {
        Self {
            coinbase: self.coinbase.broken(),
            ..self
        }
    }

    /// The times that the header may say without asking for another target. Those after now by more than the network's drift are
    /// not taken yet.
    pub fn times(&self, spec: &ChainSpec) -> RangeInclusive<u32> {
        times_with_equal_bits(spec, &self.parent, self.time)
    }

    /// The block that it builds on.
    pub const fn parent(&self) -> BlockHash {
        self.parent.hash
    }

    /// Its version.
    pub const fn version(&self) -> i32 {
        self.version
    }

    /// Its height.
    pub const fn height(&self) -> u32 {
        self.height
    }

    /// Its time, in seconds since 1970.
    pub const fn time(&self) -> u32 {
        self.time
    }

    /// Its target in compact form.
    pub const fn bits(&self) -> CompactTarget {
        self.bits
    }

    /// Its target.
    pub const fn target(&self) -> &Target {
        &self.target
    }

    /// Its transactions without the coinbase.
    pub fn transactions(&self) -> &[TemplateTx] {
        &self.transactions
    }

    /// Subsidy and fees.
    pub const fn reward(&self) -> Amount {
        self.reward
    }

    /// The other halves of the merkle tree's pairs, from the coinbase up, as external miners take them.
    pub fn merkle_branch(&self) -> &[[u8; 32]] {
        &self.branch
    }
}

/// The time and target of a block: not before what the median of its parents allows, and the target that this time asks for.
fn time_and_target(
    spec: &ChainSpec,
    parent: &ParentContext,
    now: u64,
) -> Result<(u32, CompactTarget, Target), TemplateError> {
    let earliest = u64::from(parent.median_time_past) + 1;
    let time = now.max(earliest);
    let time = u32::try_from(time).map_err(|_| TemplateError::Time(time))?;
    let bits = required_bits(spec, parent, time).bits;
    let target = bits.to_target().map_err(|_| TemplateError::Target(bits))?;
    Ok((time, bits, target))
}

/// What the first leaf of a merkle tree is hashed with, level by level, where `others` are the leaves after it.
fn merkle_branch(others: impl Iterator<Item = Txid>) -> Vec<[u8; 32]> {
    let mut branch = Vec::new();
    // The level without its first node, which is the one that varies.
    let mut level: Vec<[u8; 32]> = others.map(Txid::to_bytes).collect();
    while let Some((sibling, rest)) = level.split_first() {
        branch.push(*sibling);
        level = rest
            .chunks(2)
            .map(|pair| hash_pair(&pair[0], pair.last().unwrap_or(&pair[0])))
            .collect();
    }
    branch
}

fn hash_pair(left: &[u8; 32], right: &[u8; 32]) -> [u8; 32] {
    let mut both = [0; 64];
    both[..32].copy_from_slice(left);
    both[32..].copy_from_slice(right);
    sha256d(&both)
}

/// What a coinbase may take of a block, in bytes and signature operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CoinbaseRoom {
    bytes: u64,
    sigops: u64,
}

impl CoinbaseRoom {
    /// Room for a coinbase that somebody else makes, as pools do, with many outputs: the reserve of Bitcoin Core
    /// (`DEFAULT_BLOCK_RESERVED_WEIGHT`, and 400 of the sigops that it counts four times).
    pub const FOREIGN: Self = Self {
        bytes: 2000,
        sigops: 100,
    };

    /// Room for our own at a height: one output, and pushes that count for nothing.
    fn own(height: u32) -> Self {
        let coinbase = Coinbase::new(height, Amount::ZERO, PubkeyHash::ZERO);
        Self {
            bytes: coinbase.encoded_len() as u64,
            sigops: 1,
        }
    }

    /// What is left of a block for other transactions, in bytes and signature operations.
    fn left(self, spec: &ChainSpec) -> (u64, u64) {
        let frame = HEADER_LEN as u64 + MAX_COUNT_LEN + self.bytes;
        let bytes = u64::from(spec.max_block_size).saturating_sub(frame);
        let sigops = u64::from(spec.max_block_sigops).saturating_sub(self.sigops);
        (bytes, sigops)
    }
}

/// Builds the next block from the mempool. `now` is in seconds since 1970.
///
/// # Errors
/// [`TemplateError`].
pub async fn build_template(
    chain: &ChainReader,
    mempool: Option<&MempoolHandle>,
    payout: PubkeyHash,
    now: u64,
) -> Result<Template, TemplateError> {
    let mut parent = chain.parent_context();
    let mut transactions = Vec::new();
    if let Some(mempool) = mempool {
        for _ in 0..TIP_TRIES {
            let (bytes, sigops) = CoinbaseRoom::own(parent.height + 1).left(chain.spec());
            let answer = mempool.template(bytes, sigops).await;
            if let Some(found) = matching(answer, &parent)? {
                transactions = found;
                break;
            }
            parent = chain.parent_context();
        }
    }
    Template::assemble(chain.spec(), parent, transactions, payout, now)
}

/// [`build_template`] for OS threads.
///
/// # Errors
/// [`TemplateError`].
pub fn build_template_blocking(
    chain: &ChainReader,
    mempool: Option<&MempoolHandle>,
    payout: PubkeyHash,
    now: u64,
) -> Result<Template, TemplateError> {
    // At most one byte less than what a block or two later needs, and the count of transactions leaves eight.
    let room = CoinbaseRoom::own(chain.tip().height + 1);
    build_roomy_template_blocking(chain, mempool, payout, now, room)
}

/// The same with another room for the coinbase.
///
/// # Errors
/// [`TemplateError`].
pub fn build_roomy_template_blocking(
    chain: &ChainReader,
    mempool: Option<&MempoolHandle>,
    payout: PubkeyHash,
    now: u64,
    room: CoinbaseRoom,
) -> Result<Template, TemplateError> {
    let mut parent = chain.parent_context();
    let mut transactions = Vec::new();
    if let Some(mempool) = mempool {
        let (bytes, sigops) = room.left(chain.spec());
        for _ in 0..TIP_TRIES {
            let answer = mempool.template_blocking(bytes, sigops);
            if let Some(found) = matching(answer, &parent)? {
                transactions = found;
                break;
            }
            parent = chain.parent_context();
        }
    }
    Template::assemble(chain.spec(), parent, transactions, payout, now)
}

/// The transactions, if they were judged against this parent. With those of another the block could be invalid; where the tip
/// keeps moving a block without transactions is better than none.
fn matching(
    answer: Option<TemplateTransactions>,
    parent: &ParentContext,
) -> Result<Option<Vec<TemplateTx>>, TemplateError> {
    let answer = answer.ok_or(TemplateError::MempoolStopped)?;
    Ok((answer.tip == parent.hash).then_some(answer.transactions))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::primitives::{Encode, merkle_root};
    use proptest::prelude::*;

    fn parent(spec: &ChainSpec) -> ParentContext {
        let genesis = spec.genesis_block();
        ParentContext {
            hash: genesis.hash(),
            height: 0,
            latest_time: spec.genesis.time,
            base: spec.genesis.bits,
            latest_time_before: None,
            median_time_past: spec.genesis.time,
        }
    }

    fn waiting(count: u32) -> Vec<TemplateTx> {
        let spec = ChainSpec::dev();
        let numbered = (0..count).map(|number| {
            let mut tx = spec.genesis_block().transactions.remove(0);
            tx.lock_time = number;
            TemplateTx {
                txid: tx.txid(),
                fee: Amount::from_units(3).unwrap(),
                sigops: 1,
                size: tx.encoded_len() as u64,
                tx: Arc::new(tx),
            }
        });
        numbered.collect()
    }

    #[test]
    fn the_time_follows_the_clock_but_stays_after_the_median() {
        let spec = ChainSpec::dev();
        let at = |now| Template::assemble(&spec, parent(&spec), Vec::new(), PubkeyHash::ZERO, now);
        let genesis = spec.genesis.time;
        assert_eq!(at(0).unwrap().time(), genesis + 1);
        assert_eq!(at(u64::from(genesis) + 50).unwrap().time(), genesis + 50);
        assert_eq!(at(u64::MAX).unwrap_err(), TemplateError::Time(u64::MAX));
        let later = at(0)
            .unwrap()
            .at_time(&spec, u64::from(genesis) + 9)
            .unwrap();
        assert_eq!(later.time(), genesis + 9);
    }

    // The stall rule: the later the block, the easier its target.
    #[test]
    fn an_overdue_block_asks_for_an_easier_target() {
        let spec = ChainSpec::dev();
        let hard = ParentContext {
            base: CompactTarget(0x1d00_ffff),
            ..parent(&spec)
        };
        let template = Template::assemble(&spec, hard, Vec::new(), PubkeyHash::ZERO, 0).unwrap();
        assert_eq!(template.bits(), CompactTarget(0x1d00_ffff));
        let late = template
            .at_time(&spec, u64::from(spec.genesis.time) + 150)
            .unwrap();
        assert_eq!(late.bits(), required_bits(&spec, &hard, late.time()).bits);
        assert!(late.target() > template.target());
    }

    // Miners that roll the time must not roll it into another target.
    #[test]
    fn the_times_of_a_template_are_those_with_its_target() {
        let spec = ChainSpec::dev();
        let hard = ParentContext {
            base: CompactTarget(0x1d00_ffff),
            ..parent(&spec)
        };
        for late in [1, 100, 129, 130, 131, 145, 1000] {
            let now = u64::from(spec.genesis.time) + late;
            let template =
                Template::assemble(&spec, hard, Vec::new(), PubkeyHash::ZERO, now).unwrap();
            let times = template.times(&spec);
            assert!(times.contains(&template.time()), "{late}");
            for time in [*times.start(), *times.end()] {
                let bits = required_bits(&spec, &hard, time).bits;
                assert_eq!(bits, template.bits(), "{late}");
            }
            let after = required_bits(&spec, &hard, times.end() + 1).bits;
            assert!(
                after != template.bits() || after == spec.pow_limit,
                "{late}"
            );
            assert!(*times.start() > hard.median_time_past, "{late}");
        }
        let regtest = ChainSpec::regtest();
        let template =
            Template::assemble(&regtest, parent(&regtest), Vec::new(), PubkeyHash::ZERO, 0);
        let first = regtest.genesis.time + 1;
        assert_eq!(template.unwrap().times(&regtest), first..=u32::MAX);
    }

    proptest! {
        #[test]
        fn the_header_commits_to_the_block(count in 0_u32..40, extra: u64, nonce: u32, height in 0_u32..100_000) {
            let spec = ChainSpec::regtest();
            let parent = ParentContext { height, ..parent(&spec) };
            let template = Template::assemble(&spec, parent, waiting(count), PubkeyHash::ZERO, 0).unwrap();
            let block = template.block(extra, nonce);
            prop_assert_eq!(BlockHeader { nonce, ..template.header(extra) }, block.header);
            let txids: Vec<Txid> = block.transactions.iter().map(Transaction::txid).collect();
            prop_assert_eq!(merkle_root(&txids), (block.header.merkle_root, false));
            let fees = 3 * u64::from(count);
            prop_assert_eq!(template.reward().units(), spec.subsidy_at(height + 1).units() + fees);
        }

        #[test]
        fn extra_nonces_give_different_headers(one: u64, other: u64) {
            prop_assume!(one != other);
            let spec = ChainSpec::regtest();
            let template = Template::assemble(&spec, parent(&spec), waiting(3), PubkeyHash::ZERO, 0).unwrap();
            prop_assert_ne!(template.header(one).merkle_root, template.header(other).merkle_root);
        }
    }
}
