//! The chain's methods.

use serde_json::{Value, json};

use super::Node;
use crate::primitives::Encode;

/// ```text
/// 0 - 1 - 2 - 3
///       \ 2'
/// ```
#[test]
fn r06_reads_are_right_on_every_kind_of_block() {
    let node = Node::new();
    let blocks = node.chain.extend(3);
    let side = node.chain.block_on(blocks[0].hash(), Vec::new(), 9);
    assert_eq!(
        node.call("submitblock", json!([hex::encode(side.to_bytes())])),
        json!("inconclusive")
    );

    let tip = json!(blocks[2].hash());
    assert_eq!(node.call("getbestblockhash", json!([])), tip);
    assert_eq!(node.call("getblockcount", json!([])), json!(3));
    assert_eq!(node.code("getblockhash", json!([4])), -8);
    assert_eq!(node.code("getblock", json!(["00".repeat(32)])), -5);
    assert_eq!(node.code("getblockheader", json!(["00".repeat(32)])), -5);

    let shown = node.call("getblock", json!([side.hash()]));
    assert_eq!(
        (&shown["confirmations"], &shown["height"], &shown["nTx"]),
        (&json!(-1), &json!(2), &json!(1))
    );
    assert_eq!(
        (shown.get("nextblockhash"), &shown["tx"][0]),
        (None, &json!(side.transactions[0].txid()))
    );
    let genesis = node.call(
        "getblockheader",
        json!([node.call("getblockhash", json!([0]))]),
    );
    assert_eq!(
        (&genesis["confirmations"], genesis.get("previousblockhash")),
        (&json!(4), None)
    );
    assert_eq!(genesis["nextblockhash"], json!(blocks[0].hash()));
    let raw = node.call("getblock", json!([tip, 0]));
    assert_eq!(raw, json!(hex::encode(blocks[2].to_bytes())));
    assert_eq!(node.call("getblock", json!([tip, false])), raw);
    let header = node.call("getblockheader", json!([tip, false]));
    assert_eq!(
        header
            .as_str()
            .map(|text| &raw.as_str().expect("hex")[..160] == text),
        Some(true)
    );

    let full = node.call("getblock", json!([tip, 2]));
    let output = &full["tx"][0]["vout"][0];
    assert_eq!(output["value"].to_string(), "50.00000000");
    assert_eq!(output["scriptPubKey"]["type"], json!("pubkeyhash"));

    let info = node.call("getblockchaininfo", json!([]));
    assert_eq!(
        (&info["chain"], &info["blocks"], &info["headers"]),
        (&json!("unit"), &json!(3), &json!(3))
    );
    assert!(info["size_on_disk"].as_u64() > Some(0));
    assert_eq!(info["initialblockdownload"], json!(false));

    let tips = node.call("getchaintips", json!([]));
    assert_eq!(
        tips[0],
        json!({ "height": 3, "hash": tip, "branchlen": 0, "status": "active" })
    );
    assert_eq!(
        tips[1],
        json!({ "height": 2, "hash": side.hash(), "branchlen": 1, "status": "valid-headers" })
    );
}

#[test]
fn blocks_can_be_submitted_invalidated_and_reconsidered() {
    let node = Node::new();
    let blocks = node.chain.extend(2);
    let block = hex::encode(blocks[1].to_bytes());
    assert_eq!(node.call("submitblock", json!([block])), json!("duplicate"));
    assert_eq!(node.code("submitblock", json!(["00"])), -22);
    assert_eq!(node.code("submitblock", json!(["xyz"])), -22);
    let mut orphan = blocks[1].clone();
    orphan.header.prev_block = crate::primitives::BlockHash::from_bytes([7; 32]);
    crate::chain::testing::solve(&mut orphan.header);
    assert_eq!(
        node.call("submitblock", json!([hex::encode(orphan.to_bytes())])),
        json!("prev-blk-not-found")
    );

    assert_eq!(
        node.call("invalidateblock", json!([blocks[1].hash()])),
        Value::Null
    );
    assert_eq!(
        node.call("getbestblockhash", json!([])),
        json!(blocks[0].hash())
    );
    assert_eq!(
        node.call("submitblock", json!([block])),
        json!("duplicate-invalid")
    );
    assert_eq!(
        node.call("reconsiderblock", json!([blocks[1].hash()])),
        Value::Null
    );
    assert_eq!(
        node.call("getbestblockhash", json!([])),
        json!(blocks[1].hash())
    );
    let genesis = node.call("getblockhash", json!([0]));
    assert_eq!(node.code("invalidateblock", json!([genesis])), -8);
    assert_eq!(node.code("invalidateblock", json!(["00".repeat(32)])), -5);
}

/// ```text
/// 0 - 1 - 2 - 3
///       \ 2'- 3'
/// ```
#[test]
fn a_precious_block_wins_a_tie_and_no_more() {
    let node = Node::new();
    let blocks = node.chain.extend(3);
    let second = node.chain.block_on(blocks[0].hash(), Vec::new(), 9);
    node.chain.submit(&second).expect("a valid block");
    let third = node.chain.block_on(second.hash(), Vec::new(), 9);
    node.chain.submit(&third).expect("a valid block");
    let tip = |node: &Node| node.call("getbestblockhash", json!([]));
    assert_eq!(tip(&node), json!(blocks[2].hash()), "it came first");
    for (hash, winner) in [
        (second.hash(), blocks[2].hash()),
        (third.hash(), third.hash()),
        (third.hash(), third.hash()),
        (blocks[2].hash(), blocks[2].hash()),
        (third.hash(), third.hash()),
    ] {
        assert_eq!(node.call("preciousblock", json!([hash])), Value::Null);
        assert_eq!(tip(&node), json!(winner));
    }
    let longer = node.chain.block_on(blocks[2].hash(), Vec::new(), 0);
    node.chain.submit(&longer).expect("a valid block");
    node.call("preciousblock", json!([third.hash()]));
    assert_eq!(tip(&node), json!(longer.hash()), "more work wins");
    assert_eq!(node.code("preciousblock", json!(["00".repeat(32)])), -5);
}

#[test]
fn what_is_missing_is_said() {
    let node = Node::new();
    assert_eq!(node.code("getpeerinfo", json!([])), -31);
    assert_eq!(node.code("addnode", json!(["127.0.0.1:1", "add"])), -31);
    assert_eq!(
        node.call("getminingstatus", json!([]))["running"],
        json!(false)
    );
    assert_eq!(
        node.call("getmininginfo", json!([]))["next"]["height"],
        json!(1)
    );
    assert_eq!(node.code("getrawtransaction", json!(["00".repeat(32)])), -5);
    assert!(node.call("uptime", json!([])).is_u64());
}

#[test]
fn stop_answers_and_stops() {
    let node = Node::new();
    assert_eq!(node.call("stop", json!([])), json!("Quarry stopping"));
    assert!(node.stop.is_cancelled());
}
