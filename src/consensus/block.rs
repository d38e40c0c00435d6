//! Rules of a block: alone, after its parent, and connected to the coins.

use std::sync::Arc;

use super::error::RuleError;
use super::locks::is_final;
use super::rule_switch::{broken, required};
use super::spec::ChainSpec;
use super::transaction::{
    ScriptChecks, SpendContext, check_transaction_in_isolation, check_transaction_in_utxo_context,
    output_sum,
};
use crate::primitives::{
    Amount, Block, BlockHash, BlockUndo, Coin, Encode, OutPoint, Transaction, Txid, UtxoDiff,
    UtxoView, coins_of, merkle_root,
};

/// The encoded size of a transaction that could pass for an inner node of the merkle tree.
const INNER_NODE_LEN: usize = 64;

/// A block that obeys every rule that needs no context, with the hashes that were computed on the way.
#[derive(Debug, Clone)]
pub struct CheckedBlock {
    block: Arc<Block>,
    hash: BlockHash,
    txids: Vec<Txid>,
    encoded_len: usize,
}

impl CheckedBlock {
    /// The block.
    pub const fn block(&self) -> &Arc<Block> {
        &self.block
    }

    /// The hash of its header.
    pub const fn hash(&self) -> BlockHash {
        self.hash
    }

    /// The ids of its transactions, in block order.
    pub fn txids(&self) -> &[Txid] {
        &self.txids
    }

    /// Its encoded size in bytes.
    pub const fn encoded_len(&self) -> usize {
        self.encoded_len
    }

    /// Every coin that its transactions spend.
    pub fn spent_outpoints(&self) -> impl Iterator<Item = OutPoint> {
        let transactions = self.block.transactions.iter();
        let spenders = transactions.filter(|tx| !tx.is_coinbase());
        spenders.flat_map(|tx| tx.inputs.iter().map(|input| input.previous_output))
    }

    /// The first transaction, if it is the coinbase that a block must begin with.
    fn coinbase(&self) -> Option<&Transaction> {
        let first = self.block.transactions.first();
        first.filter(|tx| tx.is_coinbase())
    }

    /// Wraps a block that was checked before it was stored.
    pub fn trusted(block: Arc<Block>, hash: BlockHash) -> Self {
        let txids = block.transactions.iter().map(Transaction::txid).collect();
        let encoded_len = block.encoded_len();
        Self::hashed(block, hash, txids, encoded_len)
    }

    /// The same with what was computed before: its hash, the ids of all its transactions, and its encoded size.
    pub const fn hashed(
        block: Arc<Block>,
        hash: BlockHash,
        txids: Vec<Txid>,
        encoded_len: usize,
    ) -> Self {
        Self {
            block,
            hash,
            txids,
            encoded_len,
        }
    }
}

/// The rules that a body meets or breaks wherever it is (Bitcoin Core, `CheckBlock`). The caller has checked the header.
///
/// The first checks say whether the body is the one that the header commits to; only after them does an error speak about the
/// block and not about one altered copy of it.
///
/// # Errors
/// The first rule that is broken.
pub fn check_block_in_isolation(
    spec: &ChainSpec,
    block: Arc<Block>,
) -> Result<CheckedBlock, RuleError> {
    let hash = block.hash();
    check_hashed_block_in_isolation(spec, CheckedBlock::trusted(block, hash))
}

/// The same for a block whose hashes were computed before.
///
/// # Errors
/// The first rule that is broken.
pub fn check_hashed_block_in_isolation(
    spec: &ChainSpec,
    checked: CheckedBlock,
) -> Result<CheckedBlock, RuleError> {
    let block = &checked.block;
    check_commitment(&checked)?;
    check_block_size(spec, &checked)?;
    check_coinbase_is_first(&checked)?;
    for tx in &block.transactions {
        check_transaction_in_isolation(spec, tx)?;
    }
    check_sigops(spec, block)?;
    Ok(checked)
}

fn check_commitment(checked: &CheckedBlock) -> Result<(), RuleError> {
    let expected = checked.block.header.merkle_root;
    let (found, mutated) = merkle_root(&checked.txids);
    if found != expected {
        broken(RuleError::MerkleRootMismatch { expected, found })?;
    }
    if mutated {
        broken(RuleError::MerkleTreeMutated)?;
    }
    // No valid transaction is that short: a P2PKH output, an input and the frame alone take 85 bytes.
    let inner_node = |tx: &Transaction| tx.encoded_len() == INNER_NODE_LEN;
    match checked.block.transactions.iter().position(inner_node) {
        Some(index) => broken(RuleError::SixtyFourByteTransaction { index }),
        None => Ok(()),
    }
}

fn check_block_size(spec: &ChainSpec, checked: &CheckedBlock) -> Result<(), RuleError> {
    let (found, limit) = (checked.encoded_len, spec.max_block_size);
    if u32::try_from(found).is_ok_and(|found| found <= limit) {
        return Ok(());
    }
    broken(RuleError::BlockTooLarge { found, limit })
}

fn check_coinbase_is_first(checked: &CheckedBlock) -> Result<(), RuleError> {
    if checked.coinbase().is_none() {
        broken(RuleError::CoinbaseMissing)?;
    }
    let mut others = checked.block.transactions.iter().skip(1);
    match others.position(Transaction::is_coinbase) {
        Some(index) => broken(RuleError::CoinbaseNotFirst { index: index + 1 }),
        None => Ok(()),
    }
}

/// Legacy signature operations: one for each P2PKH output, none in the pushes of input scripts. A coinbase script is free bytes,
/// so its operations are counted as Bitcoin Core counts them.
fn check_sigops(spec: &ChainSpec, block: &Block) -> Result<(), RuleError> {
    let outputs: usize = block.transactions.iter().map(|tx| tx.outputs.len()).sum();
    let coinbase = block.transactions.first().map_or(0, coinbase_sigops);
    let found = outputs + coinbase;
    if u32::try_from(found).is_ok_and(|found| found <= spec.max_block_sigops) {
        return Ok(());
    }
    broken(RuleError::TooManySigops {
        found,
        limit: spec.max_block_sigops,
    })
}

/// The signature operations that Bitcoin Core counts in a coinbase's script (`CScript::GetSigOpCount(false)`): 1 for
/// `OP_CHECKSIG` and its verifying form, 20 for `OP_CHECKMULTISIG` and its, up to the first push that is cut off.
fn coinbase_sigops(coinbase: &Transaction) -> usize {
    let Some(input) = coinbase.inputs.first() else {
        return 0;
    };
    let mut rest = input.script_sig.as_bytes();
    let mut count = 0;
    while let Some((opcode, tail)) = rest.split_first() {
        let (length_bytes, direct) = match opcode {
            direct @ 0..=75 => (0, usize::from(*direct)),
            76 => (1, 0),
            77 => (2, 0),
            78 => (4, 0),
            _ => (0, 0),
        };
        let Some((length, tail)) = tail.split_at_checked(length_bytes) else {
            return count;
        };
        let pushed = length
            .iter()
            .rev()
            .fold(direct, |len, byte| len << 8 | usize::from(*byte));
        let Some(tail) = tail.get(pushed..) else {
            return count;
        };
        count += match opcode {
            0xac | 0xad => 1,
            0xae | 0xaf => 20,
            _ => 0,
        };
        rest = tail;
    }
    count
}

/// The rules of a body in its place (Bitcoin Core, `ContextualCheckBlock`): BIP34's height and BIP113's lock times.
///
/// # Errors
/// The first rule that is broken.
pub fn check_block_in_parent_context(
    block: &CheckedBlock,
    height: u32,
    median_time_past: u32,
) -> Result<(), RuleError> {
    for tx in &block.block.transactions {
        if !is_final(tx, height, median_time_past) {
            broken(RuleError::NotFinal {
                lock_time: tx.lock_time,
            })?;
        }
    }
    let Some(coinbase) = block.coinbase() else {
        return broken(RuleError::CoinbaseMissing);
    };
    let script = coinbase.inputs[0].script_sig.as_bytes();
    if !script.starts_with(&height_push(height)) {
        broken(RuleError::CoinbaseHeight { height })?;
    }
    Ok(())
}

/// The push of a height as Bitcoin Core's `CScript() << height` writes it: the shortest form, `OP_1` to `OP_16` for small ones.
pub fn height_push(height: u32) -> Vec<u8> {
    /// The opcode that pushes nothing, followed by `OP_1` at 0x51.
    const OP_1: u8 = 0x51;
    match u8::try_from(height) {
        Ok(0) => return vec![0],
        Ok(small @ 1..=16) => return vec![OP_1 + small - 1],
        _ => {}
    }
    let mut number = height.to_le_bytes().to_vec();
    while number.last() == Some(&0) {
        number.pop();
    }
    // The top bit is the sign: a number that would set it takes one more byte.
    if number.last().is_some_and(|top| top & 0x80 != 0) {
        number.push(0);
    }
    let push = u8::try_from(number.len()).expect("a height has at most 5 bytes");
    number.insert(0, push);
    number
}

/// Where a block is connected.
pub struct ConnectContext<'a> {
    /// Its height.
    pub height: u32,
    /// The median time of its parent and the ten blocks before.
    pub median_time_past: u32,
    /// The same of the block at a height of its chain.
    pub median_time_at: &'a dyn Fn(u32) -> u32,
}

/// What connecting a block does.
#[derive(Debug)]
pub struct BlockEffect<'a> {
    /// The change of the coins.
    pub diff: UtxoDiff,
    /// What undoes it.
    pub undo: BlockUndo,
    /// The sum of the fees.
    pub fees: Amount,
    /// What is still to be verified before the effect may be used: the scripts of each transaction, with its place.
    pub script_checks: Vec<(usize, ScriptChecks<'a>)>,
}

/// The coins of the block being connected, over those of its parent.
struct Overlay<'v, V> {
    diff: &'v UtxoDiff,
    below: &'v V,
}

impl<V: UtxoView> UtxoView for Overlay<'_, V> {
    fn coin(&self, outpoint: &OutPoint) -> Option<Coin> {
        self.diff.coin_over(outpoint, self.below)
    }
}

/// Connects a block to the coins of its parent (Bitcoin Core, `ConnectBlock`).
///
/// `view` answers for every coin in [`CheckedBlock::spent_outpoints`]. `is_verified` says which transactions had their scripts
/// verified before; theirs are left out of the checks that remain.
///
/// BIP30 (no two unspent transactions with one id) holds by construction: every coinbase but the first block's begins with its
/// height, so no two are equal, and then no two transactions are.
///
/// # Errors
/// The first rule that is broken.
pub fn connect_block<'a>(
    spec: &ChainSpec,
    block: &'a CheckedBlock,
    context: &ConnectContext<'_>,
    view: &impl UtxoView,
    is_verified: &dyn Fn(&Txid) -> bool,
) -> Result<BlockEffect<'a>, RuleError> {
    let spend_context = SpendContext {
        height: context.height,
        median_time_past: context.median_time_past,
        median_time_at: context.median_time_at,
    };
    let mut diff = UtxoDiff::default();
    let mut undo = BlockUndo::default();
    let mut fees = Amount::ZERO;
    let mut script_checks = Vec::new();
    for (index, (tx, txid)) in block
        .block
        .transactions
        .iter()
        .zip(&block.txids)
        .enumerate()
    {
        if !tx.is_coinbase() {
            let overlay = Overlay {
                diff: &diff,
                below: view,
            };
            let (fee, spent) =
                check_transaction_in_utxo_context(spec, tx, &spend_context, &overlay)?;
            fees = add_fee(fees, fee)?;
            if !is_verified(txid) {
                script_checks.push((index, ScriptChecks::new(tx, &spent)));
            }
            for (input, coin) in tx.inputs.iter().zip(&spent) {
                diff.spend(input.previous_output, *coin);
            }
            undo.spent.extend(spent);
        }
        for (outpoint, coin) in coins_of(tx, *txid, context.height, tx.is_coinbase()) {
            diff.create(outpoint, coin);
        }
    }
    check_coinbase_amount(spec, block, context.height, fees)?;
    Ok(BlockEffect {
        diff,
        undo,
        fees,
        script_checks,
    })
}

/// Fees stay in the range of money, and so does what a coinbase may take.
fn add_fee(sum: Amount, fee: Amount) -> Result<Amount, RuleError> {
    let sum = sum.checked_add(fee).ok_or(RuleError::FeeSum);
    required(sum, || Amount::MAX)
}

/// A coinbase takes at most the subsidy and the fees.
fn check_coinbase_amount(
    spec: &ChainSpec,
    block: &CheckedBlock,
    height: u32,
    fees: Amount,
) -> Result<(), RuleError> {
    let Some(coinbase) = block.coinbase() else {
        return broken(RuleError::CoinbaseMissing);
    };
    let paid = output_sum(coinbase)?;
    let allowed = add_fee(spec.subsidy_at(height), fees)?;
    if paid > allowed {
        broken(RuleError::CoinbaseAmount { paid, allowed })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    // B8: the forms that Bitcoin Core's `CScript << int64_t` writes.
    #[test]
    fn b08_heights_are_pushed_in_the_shortest_form() {
        for (height, push) in [
            (0, "00"),
            (1, "51"),
            (16, "60"),
            (17, "0111"),
            (127, "017f"),
            (128, "028000"),
            (255, "02ff00"),
            (256, "020001"),
            (32_767, "02ff7f"),
            (32_768, "03008000"),
            (8_388_608, "0400008000"),
            (u32::MAX, "05ffffffff00"),
        ] {
            assert_eq!(hex::encode(height_push(height)), push, "{height}");
        }
    }

    #[test]
    fn b14_coinbase_scripts_count_as_core_counts_them() {
        let count = |script: &[u8]| {
            let mut tx = ChainSpec::regtest().genesis_block().transactions.remove(0);
            tx.inputs[0].script_sig = crate::primitives::Script::from(script.to_vec());
            coinbase_sigops(&tx)
        };
        assert_eq!(count(&[0xac, 0xad, 0xae, 0xaf]), 42);
        assert_eq!(count(&[1, 0xac, 0xac]), 1);
        assert_eq!(
            count(&[0xac, 5, 0xac]),
            1,
            "nothing counts after a push that is cut off"
        );
        assert_eq!(count(&[76, 1, 0xac, 0xac]), 1);
        assert_eq!(count(&[77, 1, 0, 0xac, 0xac]), 1);
        assert_eq!(count(&[78, 0xff, 0xff, 0xff, 0xff, 0xac]), 0);
    }
}
