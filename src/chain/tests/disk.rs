//! What the engine leaves on the disk: whole blocks, few files, and a folder that belongs to one network.

use super::*;

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
