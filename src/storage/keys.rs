//! The keys of the columns: big-endian, so that their byte order is the order of numbers.

use crate::primitives::{OutPoint, PubkeyHash, Txid};

/// Names of the column families.
pub(super) mod column {
    pub const META: &str = "meta";
    pub const HEADERS: &str = "headers";
    pub const BODIES: &str = "bodies";
    pub const UNDO: &str = "undo";
    pub const HEIGHTS: &str = "heights";
    pub const COINS: &str = "coins";
    pub const ADDRESS_COINS: &str = "address_coins";
    pub const ADDRESS_HISTORY: &str = "address_history";
    pub const TRANSACTIONS: &str = "transactions";

    /// All of them, created before any data.
    pub const ALL: [&str; 9] = [
        META,
        HEADERS,
        BODIES,
        UNDO,
        HEIGHTS,
        COINS,
        ADDRESS_COINS,
        ADDRESS_HISTORY,
        TRANSACTIONS,
    ];
}

/// Keys of the `meta` column.
pub(super) mod meta {
    pub const SCHEMA: &[u8] = b"schema";
    pub const CHAIN_ID: &[u8] = b"chain-id";
    pub const SPEC: &[u8] = b"spec";
    pub const COIN_STATS: &[u8] = b"coin-stats";
}

const OUTPOINT_LEN: usize = 36;

pub(super) fn outpoint(outpoint: &OutPoint) -> [u8; OUTPOINT_LEN] {
    let mut key = [0; OUTPOINT_LEN];
    key[..32].copy_from_slice(outpoint.txid.as_bytes());
    key[32..].copy_from_slice(&outpoint.vout.to_be_bytes());
    key
}

pub(super) fn parse_outpoint(key: &[u8]) -> Option<OutPoint> {
    let (txid, vout) = key.split_at_checked(32)?;
    Some(OutPoint {
        txid: Txid::from_bytes(txid.try_into().ok()?),
        vout: u32::from_be_bytes(vout.try_into().ok()?),
    })
}

pub(super) fn address_coin(hash: &PubkeyHash, coin: &OutPoint) -> Vec<u8> {
    [&hash.as_bytes()[..], &outpoint(coin)].concat()
}

pub(super) fn address_history(hash: &PubkeyHash, height: u32, index: u32) -> Vec<u8> {
    [
        &hash.as_bytes()[..],
        &height.to_be_bytes(),
        &index.to_be_bytes(),
    ]
    .concat()
}

/// The height and the place in the block of a history key.
pub(super) fn parse_address_history(key: &[u8]) -> Option<(u32, u32)> {
    let (height, index) = key.get(20..28)?.split_at(4);
    Some((
        u32::from_be_bytes(height.try_into().ok()?),
        u32::from_be_bytes(index.try_into().ok()?),
    ))
}
