//! Laws of the rows: a value that was changed or moved is never read as if it were what was written.

use tempfile::TempDir;

use super::keys::{column, meta};
use super::{Durability, HeaderRecord, StorageError, Store};
use crate::consensus::ChainSpec;
use crate::primitives::{
    Amount, BlockUndo, ChainId, Coin, CoinStats, Encode, OutPoint, PubkeyHash, Txid, UtxoDiff, Work,
};

/// A database with a row in every column.
fn filled() -> (TempDir, Store) {
    let dir = TempDir::new().unwrap();
    let store = Store::open(dir.path(), &ChainId::ZERO, "spec").unwrap();
    let genesis = ChainSpec::regtest().genesis_block();
    let (hash, txid) = (genesis.hash(), genesis.transactions[0].txid());
    let coin = Coin {
        value: Amount::from_units(7).unwrap(),
        pubkey_hash: PubkeyHash::from_bytes([3; 20]),
        height: 0,
        is_coinbase: true,
    };
    let mut diff = UtxoDiff::default();
    diff.create(OutPoint { txid, vout: 0 }, coin);
    let record = HeaderRecord {
        header: genesis.header,
        height: 0,
        chainwork: Work::ZERO,
        base: genesis.header.bits,
        latest_time: genesis.header.time,
        state: super::BodyState::Connected,
        received: Some(0),
        tx_count: Some(1),
    };
    let mut batch = store.batch();
    batch.put_header(&hash, &record);
    batch.put_body(&hash, &genesis.to_bytes());
    batch.put_active(&hash, 0, &BlockUndo { spent: vec![coin] }, &[txid]);
    batch.put_history(&coin.pubkey_hash, 0, 0, &txid);
    batch.apply(&diff, &CoinStats::EMPTY);
    store.commit(batch, Durability::Buffered).unwrap();
    (dir, store)
}

/// Everything that can be read; the first error.
fn read_all(store: &Store) -> Result<(), StorageError> {
    let genesis = ChainSpec::regtest().genesis_block();
    let (hash, txid) = (genesis.hash(), genesis.transactions[0].txid());
    let owner = PubkeyHash::from_bytes([3; 20]);
    assert!(store.coin_stats()?.is_some());
    assert_eq!(store.headers().collect::<Result<Vec<_>, _>>()?.len(), 1);
    assert_eq!(store.body(&hash)?, Some(genesis));
    assert_eq!(store.undo(&hash)?.unwrap().spent.len(), 1);
    assert_eq!(store.hash_at(0)?, Some(hash));
    assert!(store.coins(&[OutPoint { txid, vout: 0 }])?[0].is_some());
    assert_eq!(store.all_coins().collect::<Result<Vec<_>, _>>()?.len(), 1);
    assert_eq!(store.address_coins(&owner)?.len(), 1);
    assert_eq!(store.address_history(&owner)?, [(0, 0, txid)]);
    assert_eq!(store.latest_history(&owner, 0, 9)?.1, 1);
    assert!(store.transaction(&txid)?.is_some());
    Ok(())
}

fn damaged_column(error: &StorageError) -> &'static str {
    match error {
        StorageError::Damaged { column, .. } => column,
        other => panic!("{other}"),
    }
}

#[test]
fn d07_a_value_with_any_bit_changed_is_damage() {
    let (_dir, store) = filled();
    read_all(&store).unwrap();
    let rows = store.dump();
    for name in column::ALL {
        assert!(rows.iter().any(|(column, ..)| *column == name), "{name}");
    }
    for (column, key, row) in &rows {
        if *column == column::META && *key != meta::COIN_STATS {
            // Compared with what the program expects when the database is opened.
            continue;
        }
        let last = row.len() - 1;
        for at in [0, last / 2, last - 4, last] {
            let mut changed = row.clone();
            changed[at] ^= 0x10;
            store.put_raw(column, key, &changed);
            let error = read_all(&store).expect_err(column);
            assert_eq!(damaged_column(&error), *column);
        }
        store.put_raw(column, key, &row[..3]);
        assert_eq!(damaged_column(&read_all(&store).unwrap_err()), *column);
        store.put_raw(column, key, row);
    }
    read_all(&store).unwrap();
}

/// A whole row, checksum and all, that belongs to another key.
#[test]
fn d07_a_value_under_another_key_is_damage() {
    let (_dir, store) = filled();
    let rows = store.dump();
    let (_, _, coin) = rows
        .iter()
        .find(|(name, ..)| *name == column::COINS)
        .unwrap();
    let elsewhere = OutPoint {
        txid: Txid::from_bytes([8; 32]),
        vout: 0,
    };
    store.put_raw(column::COINS, &super::keys::outpoint(&elsewhere), coin);
    let error = store.coins(&[elsewhere]).unwrap_err();
    assert_eq!(damaged_column(&error), column::COINS);
}

#[test]
fn d09_an_older_schema_is_refused_with_what_to_do() {
    let (dir, store) = filled();
    let older = super::SCHEMA_VERSION - 1;
    store.put_raw(column::META, meta::SCHEMA, &older.to_be_bytes());
    drop(store);
    let error = Store::open(dir.path(), &ChainId::ZERO, "spec")
        .err()
        .unwrap();
    assert!(matches!(error, StorageError::OlderSchema { .. }), "{error}");
    assert!(error.to_string().contains("export its blocks"), "{error}");
}
