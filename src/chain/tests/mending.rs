//! Damage that RocksDB accepts is found, and a chain built anew from its blocks is the chain that was.

use super::*;
use crate::storage::{BodyState, StorageError, Store};

/// Columns that follow from the active chain, with how a row of theirs is called in an audit.
const DERIVED: [&str; 6] = [
    "heights",
    "undo",
    "coins",
    "address_coins",
    "address_history",
    "transactions",
];

/// ```text
/// 0 ── a1 ── … ── a9 ── a10 (pays twice)   active
///       └── b2                              a side branch
/// ```
fn busy_chain() -> (TestChain, Vec<Block>) {
    let chain = TestChain::new();
    let mut blocks = chain.extend(9);
    let payments = vec![
        pay(
            1,
            &[coinbase_coin(&blocks[0])],
            &[(2, 20 * COIN), (3, 29 * COIN)],
        ),
        pay(
            1,
            &[coinbase_coin(&blocks[1]), coinbase_coin(&blocks[2])],
            &[(2, 99 * COIN)],
        ),
    ];
    let block = chain.block_on(tip(&chain), payments, 0);
    chain.submit(&block).unwrap();
    blocks.push(block);
    let side = chain.block_on(blocks[0].hash(), Vec::new(), 7);
    chain.submit(&side).unwrap();
    assert_sound(&chain);
    (chain, blocks)
}

/// The chain of `source` built anew beside it, in `runs` runs of which all but the last are stopped.
fn rebuilt(source: &TestChain, runs: u64) -> (tempfile::TempDir, Reindexed) {
    let target = tempfile::TempDir::new().unwrap();
    let spec = source.reader().spec();
    for run in 1..=runs {
        let mut go_on = |done: u64, total: u64| run == runs || done < total * run / runs;
        let outcome = reindex(source.dir.path(), false, target.path(), spec, &mut go_on).unwrap();
        match outcome {
            Outcome::Stopped => assert!(run < runs, "run {run} of {runs}"),
            Outcome::Done(done) => {
                assert!(run == runs, "run {run} of {runs}");
                return (target, done);
            }
        }
    }
    unreachable!("the last run goes to the end")
}

/// Everything that depends on the active chain alone.
fn state_in(dir: &std::path::Path) -> Vec<(&'static str, Vec<u8>, Vec<u8>)> {
    let mut rows = Store::open_read_only(dir).unwrap().dump();
    rows.retain(|(column, ..)| !matches!(*column, "headers" | "bodies"));
    rows
}

#[test]
fn d10_a_reindex_in_any_number_of_runs_gives_the_same_chain() {
    let (chain, _) = busy_chain();
    let expected = active_state(&chain);
    for runs in [1, 2, 10] {
        let (dir, done) = rebuilt(&chain, runs);
        assert!(done.is_complete(), "{done:?}");
        assert_eq!((done.blocks, done.invalid), (11, 0));
        assert_eq!(done.stats, chain.reader().coin_stats().unwrap());
        assert!(state_in(dir.path()) == expected, "{runs} runs");
    }
}

/// ```text
/// 0 ── a1 ── a2      first received, active
///  └── b1 ── b2      as much work
/// ```
#[test]
fn d10_the_first_received_of_equal_branches_wins_again() {
    let chain = TestChain::new();
    let genesis = tip(&chain);
    // Whichever of the hashes is lower, the order of reception decides.
    let branches = [branch(&chain, genesis, 2, 1), branch(&chain, genesis, 2, 2)];
    for block in branches.iter().flatten() {
        chain.submit(block).unwrap();
    }
    let (_dir, done) = rebuilt(&chain, 1);
    assert_eq!(done.stats.tip, branches[0][1].hash());
    assert_eq!(done.stats.tip, tip(&chain));
}

#[test]
fn d07_a_dropped_row_of_any_column_is_found_by_the_audit_and_mended_by_a_reindex() {
    let (chain, blocks) = busy_chain();
    let expected = active_state(&chain);
    let store = chain.reader().store();
    for (column, key, row) in store.dump() {
        if !DERIVED.contains(&column) {
            continue;
        }
        store.delete_raw(column, &key);
        let audit = chain.reader().audit(&mut |_| {}).unwrap();
        assert!(!audit.is_sound(), "{column}/{}", hex::encode(&key));
        store.put_raw(column, &key, &row);
    }
    assert_sound(&chain);
    for (column, key, _) in store.dump() {
        if DERIVED.contains(&column) {
            store.delete_raw(column, &key);
        }
    }
    let (dir, done) = rebuilt(&chain, 1);
    assert!(state_in(dir.path()) == expected);
    assert_eq!(done.stats.tip, blocks[9].hash());
}

/// A row that was right once: its checksum fits, and only the sums tell that it should not be there any more.
#[test]
fn d07_a_row_that_came_back_is_found_by_the_audit() {
    let chain = TestChain::new();
    let blocks = chain.extend(2);
    let before = active_state(&chain);
    let payment = pay(1, &[coinbase_coin(&blocks[0])], &[(2, 50 * COIN)]);
    let block = chain.block_on(tip(&chain), vec![payment], 0);
    chain.submit(&block).unwrap();
    let after = active_state(&chain);
    let store = chain.reader().store();
    let mut gone = before.iter().filter(|(column, key, _)| {
        !after
            .iter()
            .any(|(other, name, _)| other == column && name == key)
    });
    let (column, key, row) = gone.next().expect("a spent coin");
    store.put_raw(column, key, row);
    assert!(!chain.reader().audit(&mut |_| {}).unwrap().is_sound());
}

/// Every record that speaks of the tip is compared with the others whenever the chain is opened.
#[test]
fn d07_a_tip_whose_records_disagree_is_refused_at_the_opening() {
    let (chain, blocks) = busy_chain();
    let genesis = chain.reader().spec().genesis_block().hash();
    let store = chain.reader().store();
    let check = || consistency::check_tip(store, &genesis);
    check().unwrap();
    let last = blocks[9].hash();
    let txid = blocks[9].transactions[1].txid();
    for (column, key) in [
        ("meta", b"coin-stats".to_vec()),
        ("heights", 0_u32.to_be_bytes().to_vec()),
        ("heights", 10_u32.to_be_bytes().to_vec()),
        ("headers", last.as_bytes().to_vec()),
        ("bodies", last.as_bytes().to_vec()),
        ("undo", last.as_bytes().to_vec()),
        ("transactions", txid.as_bytes().to_vec()),
    ] {
        let rows = store.dump();
        let row = rows
            .iter()
            .find(|(name, found, _)| *name == column && *found == key);
        let (_, _, row) = row.expect("it is there");
        store.delete_raw(column, &key);
        let error = check().map(|_| ()).expect_err(column);
        assert!(matches!(error, ChainError::Damaged(_)), "{column}: {error}");
        store.put_raw(column, &key, row);
    }
    check().unwrap();
}

/// An honest block that spends a coin which our disk lost must not be condemned: the node says that its disk is damaged.
#[test]
fn d07_a_lost_coin_never_makes_an_honest_block_invalid() {
    let (mut chain, blocks) = busy_chain();
    let coin = coinbase_coin(&blocks[4]);
    let honest = chain.block_on(tip(&chain), vec![pay(1, &[coin], &[(2, 50 * COIN)])], 0);
    let spent = coinbase_coin(&blocks[0]);
    let double = chain.block_on(tip(&chain), vec![pay(1, &[spent], &[(3, 50 * COIN)])], 1);

    // What was really spent is still refused for ever.
    assert!(matches!(
        chain.submit(&double),
        Err(SubmitError::Invalid(RuleError::MissingCoin { .. }))
    ));
    assert_eq!(
        chain.submit(&double),
        Err(SubmitError::KnownInvalid(double.hash()))
    );

    let key = [&coin.txid.as_bytes()[..], &coin.vout.to_be_bytes()].concat();
    // What a run keeps in memory is not asked of the disk.
    chain.restart();
    chain.reader().store().delete_raw("coins", &key);
    match chain.submit(&honest) {
        Err(SubmitError::Storage(text)) => {
            assert!(
                text.contains("coins/") && text.contains("never spent it"),
                "{text}"
            );
        }
        other => panic!("{other:?}"),
    }
    let record = chain.reader().store().header(&honest.hash()).unwrap();
    assert!(record.is_none_or(|record| record.state != crate::storage::BodyState::Invalid));

    // The chain built anew takes it.
    let (dir, _) = rebuilt(&chain, 1);
    let spec = chain.reader().spec().as_ref().clone();
    let (handle, writer) = open(dir.path(), spec, ChainOptions::default()).unwrap();
    let taken = handle.submit_block_blocking(honest.clone());
    handle.stop_blocking();
    drop(handle);
    writer.join().unwrap();
    assert_eq!(taken, Ok(BlockAccepted::NewTip { height: 11 }));
    assert!(chain.failure().contains("never spent it"));
}

/// A body that was changed on the disk, with a fitting checksum, is not taken for the block that its header names.
#[test]
fn d07_a_bent_body_never_makes_its_header_invalid() {
    let (chain, blocks) = busy_chain();
    let store = chain.reader().store();
    let hash = blocks[9].hash();
    let mut bent = blocks[9].clone();
    bent.transactions[1].outputs[0].value = Amount::from_units(1).unwrap().into();
    let mut batch = store.batch();
    batch.put_body(&hash, &bent.to_bytes());
    store
        .commit(batch, crate::storage::Durability::Buffered)
        .unwrap();
    let genesis = chain.reader().spec().genesis_block().hash();
    assert!(consistency::check_tip(store, &genesis).is_err());
    assert!(!chain.reader().audit(&mut |_| {}).unwrap().is_sound());
    let (_dir, done) = rebuilt(&chain, 1);
    assert_eq!((done.damaged, done.invalid, done.stats.height), (1, 0, 9));
}

#[test]
fn d06_damaged_headers_and_bodies_cost_only_what_builds_on_them() {
    let (chain, blocks) = busy_chain();
    let store = chain.reader().store();
    // The body has the header.
    store.put_raw("headers", blocks[3].hash().as_bytes(), b"nonsense");
    store.delete_raw("headers", blocks[5].hash().as_bytes());
    let (_dir, done) = rebuilt(&chain, 1);
    assert_eq!(
        (done.stats.height, done.damaged, done.above_gap),
        (10, 0, 0)
    );
    // The header has no body.
    store.put_raw("bodies", blocks[6].hash().as_bytes(), b"nonsense");
    let (_dir, done) = rebuilt(&chain, 1);
    assert_eq!((done.stats.height, done.damaged, done.above_gap), (6, 1, 3));
    assert_eq!(done.old_height, Some(10));
}

/// A block that was marked invalid is judged anew.
#[test]
fn d07_a_wrong_mark_does_not_survive_a_reindex() {
    let (chain, blocks) = busy_chain();
    chain
        .handle()
        .invalidate_block_blocking(blocks[4].hash())
        .unwrap();
    assert_eq!(chain.reader().tip().height, 4);
    let (_dir, done) = rebuilt(&chain, 1);
    assert_eq!(done.stats.tip, blocks[9].hash());
}

#[test]
fn d07_full_verification_names_the_row() {
    let (chain, blocks) = busy_chain();
    let check = || {
        let scratch = tempfile::TempDir::new().unwrap();
        let found = chain.reader().revalidate(scratch.path(), &mut |_, _| true);
        found.unwrap().unwrap()
    };
    assert!(check().is_sound());
    let store = chain.reader().store();
    store.delete_raw("undo", blocks[2].hash().as_bytes());
    let found = check();
    assert!(!found.is_sound() && found.difference_count == 1);
    assert_eq!(found.differences[0].column, "undo");
    assert_eq!(
        found.differences[0].key,
        hex::encode(blocks[2].hash().as_bytes())
    );
    assert_eq!(found.differences[0].what, "is missing");
}

#[test]
fn d09_a_reindex_refuses_another_networks_blocks() {
    let (chain, _) = busy_chain();
    let target = tempfile::TempDir::new().unwrap();
    let other = ChainSpec::regtest();
    let result = reindex(
        chain.dir.path(),
        false,
        target.path(),
        &other,
        &mut |_, _| true,
    );
    assert!(matches!(
        result,
        Err(ReindexError::Source(ChainError::OtherNetwork { .. }))
    ));
}

/// The rows of the schema before had no checksums; their bodies and headers are read all the same.
#[test]
fn d09_a_reindex_reads_the_schema_before() {
    let (chain, blocks) = busy_chain();
    let store = chain.reader().store();
    for (column, key, row) in store.dump() {
        if (column, &key[..]) != ("meta", b"schema") {
            store.put_raw(column, &key, &row[..row.len() - 4]);
        }
    }
    store.put_raw("meta", b"schema", &1_u32.to_be_bytes());
    let (_dir, done) = rebuilt(&chain, 1);
    assert_eq!(done.stats.tip, blocks[9].hash());
    assert!(done.is_complete(), "{done:?}");
}

/// A look-up that fails is an error of the disk, never an answer.
#[test]
fn d07_an_edited_coin_is_an_error_and_no_answer() {
    let (mut chain, blocks) = busy_chain();
    // What a run keeps in memory is not asked of the disk.
    chain.restart();
    let store = chain.reader().store();
    let coin = coinbase_coin(&blocks[4]);
    let key = [&coin.txid.as_bytes()[..], &coin.vout.to_be_bytes()].concat();
    let rows = store.dump();
    let row = rows
        .iter()
        .find(|(column, found, _)| *column == "coins" && *found == key);
    let mut row = row.expect("it is unspent").2.clone();
    row[0] ^= 1;
    store.put_raw("coins", &key, &row);
    let error = chain.reader().coins(&[coin]).unwrap_err();
    assert!(
        matches!(
            error,
            StorageError::Damaged {
                column: "coins",
                ..
            }
        ),
        "{error}"
    );
    let spends = chain.block_on(tip(&chain), vec![pay(1, &[coin], &[(2, 50 * COIN)])], 0);
    assert!(matches!(
        chain.submit(&spends),
        Err(SubmitError::Storage(_))
    ));
    assert!(chain.failure().contains("checksum"));
}

/// A body that cannot be read is not one that is missing: the mark on its block stays, and the node says that its disk is damaged.
#[test]
fn d07_taking_back_a_mark_does_not_take_an_unreadable_body_for_a_missing_one() {
    let (chain, blocks) = busy_chain();
    let last = blocks[9].hash();
    chain.handle().invalidate_block_blocking(last).unwrap();
    let store = chain.reader().store();
    let rows = store.dump();
    let row = rows
        .iter()
        .find(|(column, found, _)| *column == "bodies" && found[..] == last.as_bytes()[..]);
    let mut row = row.expect("its body stays stored").2.clone();
    row[100] ^= 1;
    store.put_raw("bodies", last.as_bytes(), &row);
    let refused = chain.handle().reconsider_block_blocking(last);
    assert!(
        matches!(refused, Err(SubmitError::Storage(_))),
        "{refused:?}"
    );
    let record = chain.reader().store().header(&last).unwrap();
    assert_eq!(record.map(|record| record.state), Some(BodyState::Invalid));
    assert!(chain.failure().contains("checksum"));
}
