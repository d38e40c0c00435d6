//! `generateblock` and `generatetoaddress`, by the cases of Bitcoin Core's `rpc_generate.py`.

use serde_json::{Value, json};

use super::Node;
use crate::chain::testing::{coinbase_coin, pay};
use crate::primitives::{Block, COIN, Decode, Encode, OutPoint, Transaction};

fn hex(tx: &Transaction) -> Value {
    json!(hex::encode(tx.to_bytes()))
}

/// The code and message of a call that must fail.
fn refusal(node: &Node, method: &str, params: Value) -> (i64, String) {
    let answer = node.request(method, params);
    let error = &answer["error"];
    let message = error["message"].as_str().unwrap_or_default().to_owned();
    (error["code"].as_i64().unwrap_or_default(), message)
}

#[test]
fn a_block_is_generated_with_the_given_transactions() {
    let node = Node::new();
    let blocks = node.chain.extend(4);
    let address = node.call("getnewaddress", json!([]));
    let payment = |at: usize| pay(1, &[coinbase_coin(&blocks[at])], &[(2, 50 * COIN)]);
    let (waiting, other, raw) = (payment(0), payment(1), payment(2));
    let txids = [&waiting, &other].map(|tx| node.call("sendrawtransaction", json!([hex(tx)])));

    // Not submitted: the chain is as it was, and takes the block when it is handed in.
    let made = node.call("generateblock", json!([address, [], false]));
    assert_eq!(node.call("getblockcount", json!([])), json!(4));
    assert_eq!(node.call("submitblock", json!([made["hex"]])), Value::Null);
    assert_eq!(node.call("getbestblockhash", json!([])), made["hash"]);

    // By id, and written out; the other one that waits goes on waiting.
    let params = json!({ "output": address, "transactions": [hex(&raw), txids[0]] });
    let made = node.call("generateblock", params);
    assert_eq!(made.get("hex"), None);
    let block = node.call("getblock", json!([made["hash"], 2]));
    assert_eq!(block["height"], json!(6));
    let ids: Vec<_> = (1..3).map(|at| block["tx"][at]["txid"].clone()).collect();
    assert_eq!(ids, [json!(raw.txid()), txids[0].clone()]);
    let coinbase = &block["tx"][0]["vout"][0];
    assert_eq!(coinbase["value"].to_string(), "50.00000000");
    assert_eq!(coinbase["scriptPubKey"]["address"], address);
    assert_eq!(node.call("getrawmempool", json!([])), json!([txids[1]]));
}

#[test]
fn what_makes_no_block_is_refused_and_changes_nothing() {
    let node = Node::new();
    let blocks = node.chain.extend(3);
    let address = node.call("getnewaddress", json!([]));
    let parent = pay(1, &[coinbase_coin(&blocks[0])], &[(2, 50 * COIN)]);
    let child = pay(
        2,
        &[OutPoint {
            txid: parent.txid(),
            vout: 0,
        }],
        &[(3, 50 * COIN)],
    );
    let txid = node.call("sendrawtransaction", json!([hex(&parent)]));
    let missing = "00".repeat(32);
    let long = "zz".repeat(100_000);
    for (transactions, code, says) in [
        (
            json!([hex(&child), txid]),
            -25,
            "TestBlockValidity failed: bad-txns-inputs-missingorspent, ".to_owned(),
        ),
        (
            json!([txid, txid]),
            -25,
            "TestBlockValidity failed: ".to_owned(),
        ),
        (
            json!([missing]),
            -5,
            format!("Transaction {missing} not in mempool."),
        ),
        (
            json!(["0000"]),
            -22,
            "Transaction decode failed for 0000. Make sure the tx has at least one input.".into(),
        ),
        (
            json!([long]),
            -22,
            "Transaction decode failed for zz".into(),
        ),
        (json!([5]), -3, "transactions: 5 is not a string".into()),
        (json!("00"), -3, "not of expected type array".into()),
    ] {
        for submit in [true, false] {
            let params = json!([address, transactions, submit]);
            let (found, message) = refusal(&node, "generateblock", params);
            assert_eq!(found, code, "{message}");
            assert!(message.contains(&says), "{message}");
            assert!(message.len() < 500);
        }
    }
    let bad = refusal(&node, "generateblock", json!(["1234", []]));
    assert_eq!(bad.0, -5, "{}", bad.1);
    assert_eq!(node.code("generateblock", json!([address])), -1);
    assert_eq!(node.call("getblockcount", json!([])), json!(3));
    assert_eq!(node.call("getrawmempool", json!([])), json!([txid]));
    // In their order they make one.
    let params = json!([address, [txid, hex(&child)], false]);
    let made = node.call("generateblock", params);
    let bytes = hex::decode(made["hex"].as_str().expect("text")).expect("hex");
    let block = Block::from_bytes(&bytes).expect("a block");
    assert_eq!(block.transactions[1..], [parent, child]);
}

#[test]
fn blocks_are_generated_from_several_sides_at_a_time() {
    let node = Node::new();
    let address = node.call("getnewaddress", json!([]));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..10 {
                    node.call("generateblock", json!([address, []]));
                    node.call("generatetoaddress", json!([2, address]));
                }
            });
        }
    });
    // Of the single blocks some may have come too late; each other call has made its two.
    let height = node
        .call("getblockcount", json!([]))
        .as_u64()
        .expect("a number");
    assert!((80..=120).contains(&height), "{height}");
}

#[test]
fn a_thousand_blocks_come_with_one_call() {
    let node = Node::new();
    let address = node.call("getnewaddress", json!([]));
    let hashes = node.call("generatetoaddress", json!([1000, address]));
    let hashes = hashes.as_array().expect("a list");
    assert_eq!(hashes.len(), 1000);
    for (index, height) in [(0, 1), (499, 500), (999, 1000)] {
        let found = node.call("getblockhash", json!([height]));
        assert_eq!(found, hashes[index]);
    }
    let info = node.call("getmininginfo", json!([]));
    assert_eq!(info["blocks"], json!(1000));
    assert_eq!(info["miner"], node.call("getminingstatus", json!([])));
    assert_eq!(info["miner"]["expected_seconds"], Value::Null);
    assert_eq!(
        node.call("generatetoaddress", json!([0, address])),
        json!([])
    );
}
