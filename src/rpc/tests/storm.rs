//! Answers while the chain goes back and forth between two branches.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use super::Node;
use crate::chain::testing::{coinbase_coin, pay};
use crate::primitives::COIN;

/// Two branches take turns being the active one, because one after the other is invalidated and reconsidered:
///
/// ```text
/// 0 - 1 - 2 - 3 - 4
///       \ 2'- 3'
/// ```
///
/// Whatever is asked meanwhile, what one answer says fits together.
#[test]
fn r10_every_answer_is_of_one_tip() {
    let node = Node::new();
    let first = node.chain.extend(1);
    let payment = pay(1, &[coinbase_coin(&first[0])], &[(2, 49 * COIN)]);
    let mut side = vec![
        node.chain
            .block_on(first[0].hash(), vec![payment.clone()], 7),
    ];
    node.chain.submit(&side[0]).expect("a valid block");
    side.push(node.chain.block_on(side[0].hash(), Vec::new(), 8));
    let main = {
        let mut parent = first[0].hash();
        let mut blocks = Vec::new();
        for salt in 0..3 {
            let block = node.chain.block_on(parent, Vec::new(), 100 + salt);
            node.chain.submit(&block).expect("a valid block");
            parent = block.hash();
            blocks.push(block);
        }
        blocks
    };
    node.chain.submit(&side[1]).expect("a valid block");
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _ends = Ends(&stop);
        let storm = scope.spawn(|| {
            let mut turns = 0;
            while !stop.load(Ordering::Relaxed) {
                let chain = node.chain.handle();
                chain
                    .invalidate_block_blocking(main[0].hash())
                    .expect("it is known");
                chain
                    .reconsider_block_blocking(main[0].hash())
                    .expect("it is known");
                turns += 1;
            }
            turns
        });
        for _ in 0..60 {
            for block in [&main[0], &side[0]] {
                judge_block(&node.call("getblock", json!([block.hash(), 3])));
            }
            judge_block(&node.call("getblockheader", json!([main[2].hash()])));
            judge_info(
                &node,
                &node.call("getblockchaininfo", json!([])),
                [&main[2].hash(), &side[1].hash()].map(|hash| json!(hash)),
            );
            let coin = node.call(
                "gettxout",
                json!([first[0].transactions[0].txid(), 0, false]),
            );
            // The coin is there on one branch and spent on the other.
            if !coin.is_null() {
                assert_eq!(coin["confirmations"], json!(4), "{coin}");
                assert_eq!(coin["bestblock"], json!(main[2].hash()));
            }
            let set = node.call("gettxoutsetinfo", json!([]));
            let height = set["height"].as_u64().expect("a height");
            // On the side branch one coin more is made and one is spent.
            let coins = if height == 4 { 4 } else { 3 };
            assert_eq!(
                (&set["txouts"], &set["transactions"]),
                (&json!(coins), &json!(coins)),
                "{set}"
            );
        }
        stop.store(true, Ordering::Relaxed);
        assert!(storm.join().expect("no panic") > 5);
    });
}

/// Ends the storm when the questions have ended, also by a failure: the scope waits for it.
struct Ends<'s>(&'s AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn judge_block(block: &Value) {
    let confirmations = block["confirmations"].as_i64().expect("a number");
    let height = block["height"].as_i64().expect("a number");
    let has_next = block.get("nextblockhash").is_some();
    // The tips are at height 3 and 4.
    match confirmations {
        -1 => assert!(!has_next, "{block}"),
        1 => assert!(!has_next && (3..=4).contains(&height), "{block}"),
        more => assert!(
            has_next && (3..=4).contains(&(height + more - 1)),
            "{block}"
        ),
    }
    if confirmations == -1
        && let Some(transactions) = block.get("tx").and_then(Value::as_array)
    {
        assert!(
            transactions.iter().all(|tx| tx.get("fee").is_none()),
            "{block}"
        );
    }
}

fn judge_info(node: &Node, info: &Value, tips: [Value; 2]) {
    // While a branch is being left, the chain may end at the fork for a moment.
    let [long, short] = tips;
    match info["blocks"].as_u64() {
        Some(4) => assert_eq!(info["bestblockhash"], long),
        Some(3) => assert_eq!(info["bestblockhash"], short),
        other => panic!("{other:?}: {info}"),
    }
    let header = node.call("getblockheader", json!([info["bestblockhash"]]));
    for name in ["time", "mediantime", "chainwork", "bits", "difficulty"] {
        assert_eq!(info[name], header[name], "{name}");
    }
}
