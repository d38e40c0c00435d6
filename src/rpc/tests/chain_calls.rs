//! Blocks in figures, coins, proofs, waiting, raw transactions.

use std::time::Duration;

use serde_json::{Value, json};

use super::Node;
use super::schema::assert_as_described;
use crate::chain::testing::{coinbase_coin, key, key_hash, pay};
use crate::keys::Address;
use crate::primitives::{Block, COIN, Encode, Transaction};

/// Calls and compares the answer with the method's description.
fn call(node: &Node, method: &str, params: Value) -> Value {
    let answer = node.call(method, params);
    assert_as_described(method, &answer);
    answer
}

fn hex_of(tx: &Transaction) -> String {
    hex::encode(tx.to_bytes())
}

/// Three blocks, and a fourth with payments of 1,000 and 5,000 units of fee.
fn with_payments() -> (Node, Block) {
    let node = Node::new();
    let blocks = node.chain.extend(3);
    let spend =
        |block: &Block, units: u64| pay(1, &[coinbase_coin(block)], &[(2, COIN), (3, units)]);
    let payments = vec![
        spend(&blocks[0], 49 * COIN - 1_000),
        spend(&blocks[1], 49 * COIN - 5_000),
    ];
    let block = node.chain.block_on(blocks[2].hash(), payments, 0);
    node.chain.submit(&block).expect("a valid block");
    (node, block)
}

#[test]
fn a_block_has_figures() {
    let (node, block) = with_payments();
    let all = call(&node, "getblockstats", json!([4]));
    assert_eq!(all, call(&node, "getblockstats", json!([block.hash()])));
    let size: usize = block.transactions[1..]
        .iter()
        .map(Encode::encoded_len)
        .sum();
    for (name, value) in [
        ("height", json!(4)),
        ("txs", json!(3)),
        ("ins", json!(2)),
        ("outs", json!(5)),
        ("totalfee", json!(6_000)),
        ("avgfee", json!(3_000)),
        ("minfee", json!(1_000)),
        ("medianfee", json!(3_000)),
        ("maxfee", json!(5_000)),
        ("total_size", json!(size)),
        ("total_weight", json!(4 * size)),
        ("total_out", json!(100 * COIN - 6_000)),
        ("subsidy", json!(50 * COIN)),
        ("utxo_increase", json!(3)),
        ("utxo_increase_actual", json!(3)),
        // An output of P2PKH has 34 bytes, and Core counts 41 more for a coin.
        ("utxo_size_inc", json!(3 * 75)),
        ("swtxs", json!(0)),
    ] {
        assert_eq!(all[name], value, "{name}");
    }
    let rates = all["feerate_percentiles"].as_array().expect("a list");
    assert_eq!(
        (&rates[0], &rates[4]),
        (&all["minfeerate"], &all["maxfeerate"])
    );
    let chosen = call(&node, "getblockstats", json!([4, ["txs", "height"]]));
    assert_eq!(chosen, json!({ "txs": 3, "height": 4 }));

    let genesis = call(&node, "getblockstats", json!([0]));
    assert_eq!(
        (
            &genesis["utxo_increase"],
            &genesis["utxo_increase_actual"],
            &genesis["avgfee"]
        ),
        (&json!(1), &json!(0), &json!(0))
    );
    for (params, code) in [
        (json!([5]), -8),
        (json!([-1]), -8),
        (json!(["00".repeat(32)]), -5),
        (json!([4, ["fees"]]), -8),
        (json!([4, [1]]), -3),
    ] {
        assert_eq!(node.code("getblockstats", params.clone()), code, "{params}");
    }
}

#[test]
fn transactions_are_counted_over_time() {
    let (node, block) = with_payments();
    let stats = call(&node, "getchaintxstats", json!([]));
    assert_eq!(
        (
            &stats["txcount"],
            &stats["window_block_count"],
            &stats["window_tx_count"]
        ),
        (&json!(7), &json!(3), &json!(5))
    );
    assert_eq!(stats["window_final_block_hash"], json!(block.hash()));
    let none = call(&node, "getchaintxstats", json!([0, block.hash()]));
    assert_eq!(none.get("txrate"), None);
    for params in [json!([4]), json!([-1])] {
        assert_eq!(node.code("getchaintxstats", params), -8);
    }
    assert_eq!(
        node.code("getchaintxstats", json!([1, "00".repeat(32)])),
        -5
    );
    assert!(call(&node, "getdifficulty", json!([])).is_number());
    let deployments = call(&node, "getdeploymentinfo", json!([]));
    assert_eq!(deployments["deployments"]["csv"]["active"], json!(true));
    assert_eq!(call(&node, "verifychain", json!([4, 0])), json!(true));
    let third = call(&node, "getblock", json!([block.hash(), 3]));
    assert_eq!(
        third["tx"][1]["vin"][0]["prevout"]["value"].to_string(),
        "50.00000000"
    );
}

#[test]
fn coins_are_shown_with_and_without_the_mempool() {
    let (node, block) = with_payments();
    let paid = &block.transactions[1];
    let coin = call(&node, "gettxout", json!([paid.txid(), 0]));
    assert_eq!(
        (&coin["confirmations"], coin["value"].to_string()),
        (&json!(1), "1.00000000".to_owned())
    );
    assert_eq!(coin["coinbase"], json!(false));
    let spender = pay(
        2,
        &[crate::primitives::OutPoint {
            txid: paid.txid(),
            vout: 0,
        }],
        &[(1, COIN - 1_000)],
    );
    node.call("sendrawtransaction", json!([hex_of(&spender)]));
    assert_eq!(
        call(&node, "gettxout", json!([paid.txid(), 0])),
        Value::Null
    );
    assert_eq!(
        call(&node, "gettxout", json!([paid.txid(), 0, false])),
        coin
    );
    let waiting = call(&node, "gettxout", json!([spender.txid(), 0]));
    assert_eq!(waiting["confirmations"], json!(0));
    assert_eq!(
        call(&node, "gettxout", json!([spender.txid(), 0, false])),
        Value::Null
    );
    assert_eq!(
        call(&node, "gettxout", json!([spender.txid(), 9])),
        Value::Null
    );

    let set = call(&node, "gettxoutsetinfo", json!([]));
    assert_eq!(
        (&set["txouts"], &set["transactions"]),
        (&json!(6), &json!(4))
    );
    assert_eq!(set["bogosize"], json!(6 * 75));
    assert_eq!(set["total_amount"].to_string(), "199.99994000");
    let bare = call(&node, "gettxoutsetinfo", json!(["none"]));
    assert_eq!(
        (bare.get("hash_serialized_3"), &bare["txouts"]),
        (None, &json!(6))
    );
    assert_eq!(node.code("gettxoutsetinfo", json!(["muhash"])), -8);
    assert_eq!(node.code("gettxoutsetinfo", json!(["none", 1])), -8);
}

#[test]
fn transactions_are_proven() {
    let (node, block) = with_payments();
    let txids: Vec<Value> = block
        .transactions
        .iter()
        .map(|tx| json!(tx.txid()))
        .collect();
    for wanted in [&txids[..], &txids[1..2], &txids[..1]] {
        let proof = call(&node, "gettxoutproof", json!([wanted]));
        assert_eq!(
            call(&node, "verifytxoutproof", json!([proof])),
            json!(wanted)
        );
        assert_eq!(
            call(&node, "gettxoutproof", json!([wanted, block.hash()])),
            proof
        );
        // More transactions than the block has: an inner node could pass for one.
        let mut bytes = hex::decode(proof.as_str().expect("a text")).expect("hex");
        bytes[80] += 1;
        let changed = node.call("verifytxoutproof", json!([hex::encode(&bytes)]));
        assert_eq!(changed, json!([]));
    }
    let unknown = "11".repeat(32);
    let genesis = node.call("getblockhash", json!([0]));
    for (params, code) in [
        (json!([[]]), -8),
        (json!([[txids[0], txids[0]]]), -8),
        (json!([[unknown]]), -5),
        (json!([[txids[0], unknown]]), -5),
        (json!([[txids[0]], genesis]), -5),
        (json!([[txids[0]], unknown]), -5),
        (json!([["zz"]]), -8),
        (json!([[1]]), -3),
    ] {
        assert_eq!(node.code("gettxoutproof", params.clone()), code, "{params}");
    }
    let proof = node.call("gettxoutproof", json!([[txids[0]]]));
    node.call("invalidateblock", json!([block.hash()]));
    assert_eq!(
        node.code("verifytxoutproof", json!([proof])),
        -5,
        "it is not in the chain"
    );
    assert_eq!(node.code("verifytxoutproof", json!(["00"])), -22);
}

#[test]
fn whoever_waits_is_told() {
    let node = Node::new();
    let over = call(&node, "waitfornewblock", json!([50]));
    assert_eq!(over["height"], json!(0));
    std::thread::scope(|scope| {
        let waits = [
            scope.spawn(|| call(&node, "waitfornewblock", json!([0, over["hash"]]))),
            scope.spawn(|| call(&node, "waitforblockheight", json!({ "height": 1 }))),
        ];
        std::thread::sleep(Duration::from_millis(50));
        let block = node.chain.extend(1).remove(0);
        for wait in waits {
            let told = wait.join().expect("it is answered");
            assert_eq!(told, json!({ "hash": block.hash(), "height": 1 }));
        }
        let at_once = call(&node, "waitforblock", json!([block.hash(), 0]));
        assert_eq!(at_once["height"], json!(1));
    });
    assert_eq!(node.code("waitfornewblock", json!([-1])), -1);
    assert_eq!(
        call(&node, "waitforblock", json!(["00".repeat(32), 20]))["height"],
        json!(1)
    );
}

#[test]
fn raw_transactions_are_made_and_read() {
    let node = Node::new();
    let blocks = node.chain.extend(3);
    let to = Address::new(key_hash(5), node.chain.reader().spec().address_version).to_string();
    let input = |block: &Block| json!({ "txid": coinbase_coin(block).txid, "vout": 0 });
    let inputs = json!([input(&blocks[0]), input(&blocks[1])]);
    let made = call(
        &node,
        "createrawtransaction",
        json!([inputs, { &to: "99.9999" }, 0]),
    );
    let read = call(&node, "decoderawtransaction", json!([made]));
    assert_eq!(read["vout"][0]["value"].to_string(), "99.99990000");
    assert_eq!(read["vout"][0]["scriptPubKey"]["address"], json!(to));
    assert_eq!(
        (&read["vin"][0]["sequence"], &read["version"]),
        (&json!(0xffff_fffd_u32), &json!(2))
    );
    let listed = call(
        &node,
        "createrawtransaction",
        json!([inputs, [{ &to: 99.9999 }]]),
    );
    assert_eq!(listed, made);
    let locked = call(
        &node,
        "createrawtransaction",
        json!({ "inputs": inputs, "outputs": [], "locktime": 7, "replaceable": false, "version": 1 }),
    );
    let locked = call(&node, "decoderawtransaction", json!([locked]));
    assert_eq!(
        (
            &locked["vin"][0]["sequence"],
            &locked["locktime"],
            &locked["version"]
        ),
        (&json!(0xffff_fffe_u32), &json!(7), &json!(1))
    );

    // Each of two holders signs one input.
    let bytes = hex::decode(made.as_str().expect("a text")).expect("hex");
    let unsigned =
        <Transaction as crate::primitives::Decode>::from_bytes(&bytes).expect("it was just made");
    let signed = |index: usize| {
        let mut tx = unsigned.clone();
        crate::keys::sign_input(&mut tx, index, &key(1));
        hex_of(&tx)
    };
    let combined = call(
        &node,
        "combinerawtransaction",
        json!([[signed(0), made, signed(1)]]),
    );
    let txid = node.call("sendrawtransaction", json!([combined]));
    assert_eq!(
        txid,
        call(&node, "decoderawtransaction", json!([combined]))["txid"]
    );

    let script = read["vout"][0]["scriptPubKey"]["hex"].clone();
    let shown = call(&node, "decodescript", json!([script]));
    assert_eq!(
        (&shown["address"], &shown["type"]),
        (&json!(to), &json!("pubkeyhash"))
    );
    assert_eq!(
        call(&node, "decodescript", json!([""]))["type"],
        json!("nonstandard")
    );
    assert_eq!(
        call(&node, "validateaddress", json!([to]))["scriptPubKey"],
        script
    );
    assert_eq!(
        call(&node, "validateaddress", json!(["bc1q"]))["isvalid"],
        json!(false)
    );

    for (method, params, code) in [
        ("createrawtransaction", json!([[{ "vout": 0 }], {}]), -8),
        (
            "createrawtransaction",
            json!([[{ "txid": "00", "vout": 0 }], {}]),
            -8,
        ),
        (
            "createrawtransaction",
            json!([[{ "txid": "00".repeat(32), "vout": -1 }], {}]),
            -8,
        ),
        (
            "createrawtransaction",
            json!([[{ "txid": "00".repeat(32), "vout": "0" }], {}]),
            -3,
        ),
        ("createrawtransaction", json!([[7], {}]), -3),
        ("createrawtransaction", json!([[], { "nonsense": 1 }]), -5),
        ("createrawtransaction", json!([[], { &to: -1 }]), -3),
        ("createrawtransaction", json!([[], { &to: true }]), -3),
        ("createrawtransaction", json!([[], { "data": "00" }]), -8),
        (
            "createrawtransaction",
            json!([[], [{ &to: 1 }, { &to: 2 }]]),
            -8,
        ),
        (
            "createrawtransaction",
            json!([[], [{ &to: 1, "data": "00" }]]),
            -8,
        ),
        ("createrawtransaction", json!([[], {}, -1]), -8),
        ("createrawtransaction", json!([[], {}, 0, true, 3]), -8),
        ("decoderawtransaction", json!(["zz"]), -22),
        ("decoderawtransaction", json!([made, true]), -22),
        ("decodescript", json!(["zz"]), -22),
        ("combinerawtransaction", json!([[]]), -8),
        ("combinerawtransaction", json!([[1]]), -3),
        (
            "combinerawtransaction",
            json!([[
                made,
                hex_of(&pay(1, &[coinbase_coin(&blocks[2])], &[(2, COIN)]))
            ]]),
            -8,
        ),
    ] {
        assert_eq!(node.code(method, params.clone()), code, "{method} {params}");
    }
}

#[test]
fn the_node_tells_of_itself() {
    let node = Node::new();
    assert_eq!(
        call(&node, "getindexinfo", json!([]))["txindex"]["synced"],
        json!(true)
    );
    assert_eq!(call(&node, "getindexinfo", json!(["no index"])), json!({}));
    let info = call(&node, "getrpcinfo", json!([]));
    assert_eq!(info["active_commands"][0]["method"], json!("getrpcinfo"));
    call(&node, "getmemoryinfo", json!([]));
    assert_eq!(node.code("getmemoryinfo", json!(["mallocinfo"])), -8);
    assert_eq!(
        call(&node, "getnetworkinfo", json!([]))["networkactive"],
        json!(false)
    );
    assert_eq!(
        node.call("setmocktime", json!([2_000_000_000])),
        Value::Null
    );
    assert_eq!(node.code("setmocktime", json!([-1])), -8);
    let refused = node.request("pruneblockchain", json!([1]));
    let message = refused["error"]["message"].as_str().expect("a message");
    assert!(
        message.contains("left out: all blocks are kept"),
        "{message}"
    );
    assert_eq!(node.code("pruneblockchain", json!([1])), -32601);
    assert_eq!(node.code("help", json!(["pruneblockchain"])), -1);
}
