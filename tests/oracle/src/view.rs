//! The coins of one branch, as whoever makes payments sees them.

use quarry::primitives::{BlockHash, OutPoint, Transaction};

/// Blocks after which a coinbase may be spent on regtest.
pub const MATURITY: u32 = 100;

/// A coin whose key the forge holds.
#[derive(Debug, Clone, Copy)]
pub struct Owned {
    /// Where it is.
    pub outpoint: OutPoint,
    /// Its value in base units.
    pub value: u64,
    /// The number of its key.
    pub key: usize,
    /// The height of the block that made it.
    pub height: u32,
    /// Whether a coinbase made it.
    pub coinbase: bool,
    /// The median time before the block that made it.
    pub median_before: u32,
}

/// A payment and the coins it spends.
pub type Spend = (Transaction, Vec<Owned>);

/// A branch up to a block.
#[derive(Debug, Clone)]
pub struct View {
    /// The block.
    pub tip: BlockHash,
    /// Its height.
    pub height: u32,
    /// Its time and those of the ten blocks before, oldest first.
    pub times: Vec<u32>,
    /// What can be spent.
    pub coins: Vec<Owned>,
}

impl View {
    /// The median time of the branch's last eleven blocks.
    pub fn median(&self) -> u32 {
        let mut times = self.times.clone();
        times.sort_unstable();
        times[times.len() / 2]
    }

    /// Whether the next block may spend the coin.
    pub fn is_mature(&self, coin: &Owned) -> bool {
        !coin.coinbase || self.height + 1 >= coin.height + MATURITY
    }
}
