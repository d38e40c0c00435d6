//! Everything that follows from the blocks, computed again and compared with what is stored.
//!
//! One pass over the blocks and one over each column, in memory that does not grow with either: sets are compared by the sums of
//! the hashes of their rows. What a block spent is taken from its undo data; were that wrong, the sums would not meet. The
//! rules are not applied again: `revalidate` does that.

use super::consistency::is_own_body;
use super::reader::ChainReader;
use super::row_sum::{RowSum, address_coin_row, history_row};
use super::transition::touched_addresses;
use crate::primitives::{Block, BlockHash, BlockUndo, CoinStats, OutPoint, Transaction, coins_of};
use crate::storage::{BodyState, HeaderRecord, StorageError, Store};

/// Faults that are told in full.
const MAX_FAULTS: usize = 20;

/// What is stored, beside what the blocks say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audit {
    /// The stats that every commit carries on.
    pub recorded: CoinStats,
    /// The stats of the coins that are stored.
    pub stored: CoinStats,
    /// The stats of the coins that follow from the blocks.
    pub recomputed: CoinStats,
    /// The other columns that follow from the blocks.
    pub columns: Vec<ColumnAudit>,
    /// The first things that are wrong, in words.
    pub faults: Vec<String>,
    /// How many there are.
    pub fault_count: u64,
}

/// The rows of a column, and those that follow from the blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ColumnAudit {
    /// The column.
    pub column: &'static str,
    /// What is stored.
    pub stored: RowSum,
    /// What follows from the blocks.
    pub recomputed: RowSum,
}

impl ColumnAudit {
    /// Whether both are the same rows.
    pub fn is_sound(&self) -> bool {
        self.stored == self.recomputed
    }
}

impl Audit {
    /// Whether all accounts agree.
    pub fn is_sound(&self) -> bool {
        self.recorded == self.stored
            && self.stored == self.recomputed
            && self.columns.iter().all(ColumnAudit::is_sound)
            && self.fault_count == 0
    }
}

impl ChainReader {
    /// Compares everything that is stored of the active chain with its blocks. Reads everything; nobody may write meanwhile.
    /// `progress` is told the height after each block.
    ///
    /// # Errors
    /// A failure to read the record of the coins. Whatever else is damaged is part of the answer.
    pub fn audit(&self, progress: &mut dyn FnMut(u32)) -> Result<Audit, StorageError> {
        let recorded = self.coin_stats()?;
        let mut fold = Fold::new(self.store(), &recorded);
        for height in 0..=recorded.height {
            if let Err(error) = fold.block(height) {
                // A damaged block or record: the accounts after it cannot meet any more.
                fold.fault(format!("height {height}: {error}"));
            }
            progress(height);
        }
        let mut stored = Sums::default();
        let mut stored_coins = at(&recorded);
        fold.read_columns(&mut stored, &mut stored_coins);
        if fold.parent != Some(recorded.tip) {
            let found = fold.parent.unwrap_or_default();
            fold.fault(format!(
                "the chain of blocks ends in {found}, the recorded tip is {}",
                recorded.tip
            ));
        }
        let columns = fold.sums.named().into_iter().zip(stored.named());
        Ok(Audit {
            recorded,
            stored: stored_coins,
            recomputed: fold.coins,
            columns: columns
                .map(|((column, recomputed), (_, stored))| ColumnAudit {
                    column,
                    stored,
                    recomputed,
                })
                .collect(),
            faults: fold.faults,
            fault_count: fold.fault_count,
        })
    }
}

/// No coins, at the place of `stats`.
fn at(stats: &CoinStats) -> CoinStats {
    CoinStats {
        tip: stats.tip,
        height: stats.height,
        ..CoinStats::EMPTY
    }
}

/// The rows of each column but the coins.
#[derive(Default)]
struct Sums {
    heights: RowSum,
    undo: RowSum,
    address_coins: RowSum,
    address_history: RowSum,
    transactions: RowSum,
}

impl Sums {
    fn named(&self) -> [(&'static str, RowSum); 5] {
        [
            ("heights", self.heights),
            ("undo", self.undo),
            ("address_coins", self.address_coins),
            ("address_history", self.address_history),
            ("transactions", self.transactions),
        ]
    }
}

/// The blocks so far.
struct Fold<'s> {
    store: &'s Store,
    /// The last block, and what its header record says.
    parent: Option<BlockHash>,
    parent_record: Option<HeaderRecord>,
    coins: CoinStats,
    sums: Sums,
    faults: Vec<String>,
    fault_count: u64,
}

impl<'s> Fold<'s> {
    fn new(store: &'s Store, recorded: &CoinStats) -> Self {
        Self {
            store,
            parent: None,
            parent_record: None,
            coins: at(recorded),
            sums: Sums::default(),
            faults: Vec::new(),
            fault_count: 0,
        }
    }

    fn fault(&mut self, what: impl Into<String>) {
        self.fault_count += 1;
        if self.faults.len() < MAX_FAULTS {
            self.faults.push(what.into());
        }
    }

    /// Adds what the block at a height does.
    fn block(&mut self, height: u32) -> Result<(), StorageError> {
        let Some(hash) = self.store.hash_at(height)? else {
            self.fault(format!("height {height}: no block in the height index"));
            return Ok(());
        };
        let row: [&[u8]; 2] = [&height.to_be_bytes(), hash.as_bytes()];
        self.sums.heights.add(&row);
        self.sums.undo.add(&[hash.as_bytes()]);
        let parent = self.parent.replace(hash).unwrap_or_default();
        let before = self.parent_record.take();
        let record = self.store.header(&hash)?;
        self.parent_record = record;
        let Some(block) = self.store.body(&hash)? else {
            self.fault(format!("height {height}: the body of {hash} is missing"));
            return Ok(());
        };
        if !is_own_body(&block, &hash) {
            self.fault(format!(
                "height {height}: the body of {hash} is not its own"
            ));
        }
        match record {
            None => self.fault(format!("height {height}: the header of {hash} is missing")),
            Some(record) => {
                if let Some(what) = wrong_record(&record, before.as_ref(), &parent, height, &block)
                {
                    self.fault(format!(
                        "height {height}: the record of {hash} has a wrong {what}"
                    ));
                }
            }
        }
        match self.store.undo(&hash)? {
            None => self.fault(format!(
                "height {height}: the undo data of {hash} is missing"
            )),
            Some(undo) => self.effects(&hash, height, &block, &undo),
        }
        Ok(())
    }

    fn effects(&mut self, hash: &BlockHash, height: u32, block: &Block, undo: &BlockUndo) {
        let txids: Vec<_> = block.transactions.iter().map(Transaction::txid).collect();
        for (index, (tx, txid)) in (0_u32..).zip(block.transactions.iter().zip(&txids)) {
            let row: [&[u8]; 3] = [txid.as_bytes(), hash.as_bytes(), &index.to_be_bytes()];
            self.sums.transactions.add(&row);
            for (outpoint, coin) in coins_of(tx, *txid, height, index == 0) {
                self.coins.add(&outpoint, &coin);
                let row = address_coin_row(&coin.pubkey_hash, &outpoint, &coin);
                self.sums.address_coins.add(&[&row]);
            }
        }
        let spenders = block.transactions.iter().skip(1);
        let spent: Vec<OutPoint> = spenders
            .flat_map(|tx| tx.inputs.iter().map(|input| input.previous_output))
            .collect();
        if spent.len() != undo.spent.len() {
            self.fault(format!(
                "height {height}: the block spends {} coins, its undo data holds {}",
                spent.len(),
                undo.spent.len()
            ));
        }
        for (outpoint, coin) in spent.iter().zip(&undo.spent) {
            if self.coins.remove(outpoint, coin).is_none() {
                self.fault(format!("height {height}: more is spent than there is"));
            }
            let row = address_coin_row(&coin.pubkey_hash, outpoint, coin);
            self.sums.address_coins.remove(&[&row]);
        }
        for (owner, index) in touched_addresses(block, undo) {
            let txid = txids[index as usize];
            let row = history_row(&owner, &(height, index, txid));
            self.sums.address_history.add(&[&row]);
        }
    }

    /// Adds up what is stored.
    fn read_columns(&mut self, sums: &mut Sums, coins: &mut CoinStats) {
        let store = self.store;
        self.read(store.all_heights(), |(height, hash)| {
            let row: [&[u8]; 2] = [&height.to_be_bytes(), hash.as_bytes()];
            sums.heights.add(&row);
        });
        self.read(store.all_undo(), |hash| sums.undo.add(&[hash.as_bytes()]));
        self.read(store.all_coins(), |(outpoint, coin)| {
            coins.add(&outpoint, &coin);
        });
        self.read(store.all_address_coins(), |(owner, outpoint, coin)| {
            let row = address_coin_row(&owner, &outpoint, &coin);
            sums.address_coins.add(&[&row]);
        });
        self.read(store.all_history(), |(owner, row)| {
            sums.address_history.add(&[&history_row(&owner, &row)]);
        });
        self.read(store.all_transactions(), |(txid, place)| {
            let index = place.index.to_be_bytes();
            let row: [&[u8]; 3] = [txid.as_bytes(), place.block.as_bytes(), &index];
            sums.transactions.add(&row);
        });
    }

    fn read<T>(
        &mut self,
        rows: impl Iterator<Item = Result<T, StorageError>>,
        mut add: impl FnMut(T),
    ) {
        for row in rows {
            match row {
                Ok(row) => add(row),
                Err(error) => self.fault(error.to_string()),
            }
        }
    }
}

/// What a header record says wrongly of itself, given its parent's record.
fn wrong_record(
    record: &HeaderRecord,
    before: Option<&HeaderRecord>,
    parent: &BlockHash,
    height: u32,
    block: &Block,
) -> Option<&'static str> {
    let header = &record.header;
    if *header != block.header || header.prev_block != *parent {
        return Some("header");
    }
    if record.height != height {
        return Some("height");
    }
    if record.state != BodyState::Connected || record.received.is_none() {
        return Some("state");
    }
    if record.tx_count.map(|count| count as usize) != Some(block.transactions.len()) {
        return Some("number of transactions");
    }
    let before = before?;
    let own_work = header.bits.to_target().ok().map(|target| target.work());
    let work = own_work.and_then(|own| before.chainwork.checked_add(own));
    if work != Some(record.chainwork) || record.chainwork <= before.chainwork {
        return Some("work");
    }
    if record.latest_time != before.latest_time.max(header.time) {
        return Some("latest time");
    }
    None
}
