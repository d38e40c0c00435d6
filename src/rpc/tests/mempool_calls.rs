//! Calls about what waits: packages, trials, relatives, priorities, and batches of payments.

use serde_json::{Value, json};

use super::Node;
use super::protocol::parsed;
use crate::chain::testing::{coinbase_coin, pay};
use crate::primitives::{COIN, Encode, OutPoint, Transaction};

fn hex(tx: &Transaction) -> Value {
    json!(hex::encode(tx.to_bytes()))
}

fn output(tx: &Transaction, vout: u32) -> OutPoint {
    OutPoint {
        txid: tx.txid(),
        vout,
    }
}

/// A parent of two outputs and a child of the first.
fn family(node: &Node) -> (Transaction, Transaction) {
    let blocks = node.chain.extend(3);
    let parent = pay(
        1,
        &[coinbase_coin(&blocks[0])],
        &[(2, 25 * COIN), (2, 25 * COIN - 500)],
    );
    let child = pay(2, &[output(&parent, 0)], &[(3, 25 * COIN - 1_000)]);
    (parent, child)
}

#[test]
fn transactions_are_tried_out_together() {
    let node = Node::new();
    let (parent, child) = family(&node);
    let both = node.call("testmempoolaccept", json!([[hex(&parent), hex(&child)]]));
    assert_eq!(both[0]["allowed"], true, "{both}");
    assert_eq!(both[1]["txid"], json!(child.txid()));
    assert_eq!(both[1]["fees"]["base"].to_string(), "0.00001000");
    assert_eq!(both[1]["fees"]["effective-includes"], json!([child.txid()]));
    let alone = node.call("testmempoolaccept", json!([[hex(&child)]]));
    assert_eq!(alone[0]["allowed"], false);
    assert_eq!(alone[0]["reject-reason"], "missing-inputs");
    let wrong_way = node.call("testmempoolaccept", json!([[hex(&child), hex(&parent)]]));
    assert_eq!(wrong_way[0]["package-error"], "package-not-sorted");
    assert!(wrong_way[0]["allowed"].is_null());
    let dear = node.call("testmempoolaccept", json!([[hex(&parent)], "0.00000001"]));
    assert_eq!(dear[0]["reject-reason"], "max-fee-exceeded");
    assert_eq!(node.call("getrawmempool", json!([])), json!([]));
    node.call("sendrawtransaction", json!([hex(&parent)]));
    let known = node.call("testmempoolaccept", json!([[hex(&parent)]]));
    assert_eq!(known[0]["reject-reason"], "txn-already-in-mempool");
    assert_eq!(node.code("testmempoolaccept", json!([[]])), -8);
    assert_eq!(node.code("testmempoolaccept", json!([["zz"]])), -22);
    assert_eq!(node.code("testmempoolaccept", json!([[1]])), -3);
}

#[test]
fn a_package_is_taken_and_its_relatives_are_found() {
    let node = Node::new();
    let (parent, child) = family(&node);
    assert_eq!(
        node.code("submitpackage", json!([[hex(&child), hex(&parent)]])),
        -25
    );
    let answer = node.call("submitpackage", json!([[hex(&parent), hex(&child)]]));
    assert_eq!(answer["package_msg"], "success", "{answer}");
    let (parent, child) = (json!(parent.txid()), json!(child.txid()));
    let result = &answer["tx-results"][child.as_str().expect("an id")];
    assert_eq!(result["txid"], child);
    assert_eq!(result["fees"]["base"].to_string(), "0.00001000");
    assert_eq!(answer["replaced-transactions"], json!([]));

    assert_eq!(
        node.call("getmempoolancestors", json!([child])),
        json!([parent])
    );
    assert_eq!(
        node.call("getmempooldescendants", json!([parent])),
        json!([child])
    );
    let verbose = node.call("getmempooldescendants", json!([parent, true]));
    assert_eq!(
        verbose[child.as_str().expect("an id")]["depends"],
        json!([parent])
    );
    assert_eq!(
        node.code("getmempoolancestors", json!(["00".repeat(32)])),
        -5
    );

    let spent = json!([[{ "txid": parent, "vout": 0 }, { "txid": parent, "vout": 1 }]]);
    let spenders = node.call("gettxspendingprevout", spent);
    assert_eq!(spenders[0]["spendingtxid"], child);
    assert_eq!(spenders[1], json!({ "txid": parent, "vout": 1 }));
    assert_eq!(node.code("gettxspendingprevout", json!([[]])), -8);
    let negative = json!([[{ "txid": parent, "vout": -1 }]]);
    assert_eq!(node.code("gettxspendingprevout", negative), -8);

    let numbered = node.call("getrawmempool", json!([false, true]));
    assert_eq!(numbered["txids"].as_array().expect("a list").len(), 2);
    assert_eq!(numbered["mempool_sequence"], 3);
    assert_eq!(node.code("getrawmempool", json!([true, true])), -8);
}

#[test]
fn priorities_are_told_apart_from_fees() {
    let node = Node::new();
    let (parent, _) = family(&node);
    let txid = json!(parent.txid());
    assert_eq!(
        node.call("prioritisetransaction", json!([txid, 0, -700])),
        true
    );
    let listed = node.call("getprioritisedtransactions", json!([]));
    let line = &listed[txid.as_str().expect("an id")];
    assert_eq!(*line, json!({ "fee_delta": -700, "in_mempool": false }));
    // It counts as less than nothing, and no fee is asked for.
    node.call(
        "prioritisetransaction",
        json!({ "txid": txid, "fee_delta": 300 }),
    );
    node.call("sendrawtransaction", json!([hex(&parent)]));
    let entry = node.call("getmempoolentry", json!([txid]));
    assert_eq!(entry["fees"]["base"].to_string(), "0.00000500");
    assert_eq!(entry["fees"]["modified"].to_string(), "0.00000100");
    node.call("prioritisetransaction", json!([txid, null, -200]));
    let entry = node.call("getmempoolentry", json!([txid]));
    assert_eq!(entry["fees"]["ancestor"].to_string(), "-0.00000100");
    let listed = node.call("getprioritisedtransactions", json!([]));
    assert_eq!(listed[txid.as_str().expect("an id")]["modified_fee"], -100);
    assert_eq!(node.code("prioritisetransaction", json!([txid, 1, 5])), -8);
    assert_eq!(node.code("prioritisetransaction", json!([txid])), -1);
    assert_eq!(node.code("importmempool", json!(["/nowhere/at/all"])), -1);
}

/// Neighbours in a batch are judged together, and each still gets the answer that it would get alone.
#[test]
fn a_batch_of_payments_is_answered_one_by_one() {
    let node = Node::new();
    let (parent, child) = family(&node);
    let rival = pay(2, &[output(&parent, 0)], &[(4, 25 * COIN - 900)]);
    let send = |id: u32, params: Value| json!({ "jsonrpc": "2.0", "id": id, "method": "sendrawtransaction", "params": params });
    let batch = json!([
        send(1, json!([hex(&parent)])),
        send(2, json!([hex(&child)])),
        send(3, json!(["zz"])),
        send(4, json!([hex(&child), "0.00000001"])),
        send(5, json!([hex(&rival)])),
        { "jsonrpc": "2.0", "id": 6, "method": "getrawmempool" },
        send(7, json!([5])),
        { "jsonrpc": "2.0", "method": "sendrawtransaction", "params": [hex(&parent)] },
    ]);
    let answers = parsed(&node.post(batch.to_string()).body);
    let answers = answers.as_array().expect("a list");
    assert_eq!(answers.len(), 7, "a notification has no answer");
    assert_eq!(answers[0]["result"], json!(parent.txid()));
    assert_eq!(answers[1]["result"], json!(child.txid()));
    assert_eq!(answers[2]["error"]["code"], -22);
    assert_eq!(
        answers[3]["result"],
        json!(child.txid()),
        "it is there already"
    );
    assert_eq!(answers[4]["error"]["code"], -26);
    assert_eq!(answers[5]["result"].as_array().expect("a list").len(), 2);
    assert_eq!(answers[6]["error"]["code"], -3);
    let ids: Vec<_> = answers
        .iter()
        .map(|answer| answer["id"].to_string())
        .collect();
    assert_eq!(ids, ["1", "2", "3", "4", "5", "6", "7"]);
}
