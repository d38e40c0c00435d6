//! What the engine leaves on the disk: whole blocks, few files, and a folder that belongs to one network.

use super::engine::Engine;
use super::*;
use crate::storage::{Durability, Store};

#[test]
fn d09_another_network_and_schema_are_refused() {
    let chain = TestChain::new();
    let refused = open(
        chain.dir.path(),
        ChainSpec {
            target_spacing: 7,
            name: "unit".into(),
            coinbase_maturity: 1,
            ..ChainSpec::regtest()
        },
        ChainOptions::default(),
    );
    // The folder is locked by the running chain, which comes first.
    assert!(matches!(
        refused,
        Err(ChainError::Storage(crate::storage::StorageError::InUse(_)))
    ));
    let dir = {
        let mut chain = chain;
        chain.extend(1);
        std::mem::replace(&mut chain.dir, tempfile::TempDir::new().unwrap())
    };
    let other = ChainSpec {
        target_spacing: 7,
        name: "unit".into(),
        coinbase_maturity: 1,
        ..ChainSpec::regtest()
    };
    match open(dir.path(), other, ChainOptions::default()) {
        Err(ChainError::OtherNetwork { differences, .. }) => {
            assert_eq!(differences, ["target_spacing: 600 / 7"])
        }
        other => panic!("{:?}", other.map(|_| ())),
    }
}

/// Each session that writes leaves small files behind; they are merged, so that a thousand sessions do not leave thousands.
#[test]
fn many_short_sessions_leave_few_files() {
    let mut chain = TestChain::new();
    for _ in 0..40 {
        chain.extend(1);
        chain.restart();
    }
    let files = std::fs::read_dir(chain.dir.path()).unwrap();
    let tables = files.filter(|file| {
        let path = file.as_ref().unwrap().path();
        path.extension().is_some_and(|ending| ending == "sst")
    });
    let count = tables.count();
    assert!(count <= 9 * 10, "{count} files after 40 sessions");
    assert_eq!(chain.reader().tip().height, 40);
    assert_sound(&chain);
}

/// What is handed in together is synced together: by the last block, and now and then on the way.
#[test]
fn only_the_last_of_blocks_that_follow_each_other_waits_for_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let spec = ChainSpec::regtest();
    let now = u64::from(spec.genesis.time);
    let store = Store::open(dir.path(), &spec.chain_id(), &spec.to_toml()).unwrap();
    let mut engine = Engine::open(store, spec.into(), EventLog::default(), true, now).unwrap();
    for _ in 0..2 {
        assert_eq!(engine.durability(1, false, now, now), Durability::Synced);
        for _ in 1..500 {
            assert_eq!(engine.durability(1, true, now, now), Durability::Buffered);
        }
        assert_eq!(engine.durability(1, true, now, now), Durability::Synced);
    }
    assert_eq!(engine.durability(1, true, now, now), Durability::Buffered);
    assert_eq!(engine.durability(1, false, now, now), Durability::Synced);
    engine.sync_writes = false;
    assert_eq!(engine.durability(1, false, now, now), Durability::Buffered);
}

#[test]
fn a_followed_block_is_taken_like_any_other() {
    let mut chain = TestChain::new();
    let first = chain.block_on(tip(&chain), Vec::new(), 0);
    let taken = chain.handle().submit_followed_block_blocking(first.clone());
    assert_eq!(taken, Ok(BlockAccepted::NewTip { height: 1 }));
    chain.extend(1);
    chain.restart();
    assert_eq!(chain.reader().tip().height, 2);
    assert_eq!(chain.reader().hash_at(1), Some(first.hash()));
    assert_sound(&chain);
}

#[test]
fn regtest_blocks_survive_their_bytes() {
    let chain = TestChain::new();
    let blocks = chain.extend(3);
    for block in blocks {
        let bytes = chain.reader().raw_block(&block.hash()).unwrap().unwrap();
        assert_eq!(bytes, block.to_bytes());
        assert_eq!(Block::from_bytes(&bytes).unwrap(), block);
    }
    assert_eq!(chain.reader().coin_stats().unwrap().total, 150 * COIN);
    assert_eq!(Amount::from_units(150 * COIN).unwrap().to_string(), "150");
}
