//! `getblocktemplate`: what a template says, proposals, long polls.

use std::sync::atomic::Ordering;
use std::thread;

use serde_json::{Value, json};

use super::Node;
use crate::chain::testing::{coinbase_coin, pay, solve};
use crate::consensus::height_push;
use crate::primitives::{
    Amount, Block, BlockHash, BlockHeader, COIN, CompactTarget, Decode, Encode, MerkleRoot,
    OutPoint, PubkeyHash, SEQUENCE_FINAL, Script, Transaction, TxIn, TxOut, UncheckedAmount,
};

/// The block that a miner makes of a template, without its proof of work.
fn assemble(template: &Value) -> Block {
    let number = |name: &str| template[name].as_u64().expect("a number");
    let height = u32::try_from(number("height")).expect("it is small");
    let reward = Amount::from_units(number("coinbasevalue")).expect("it is money");
    let coinbase = Transaction {
        version: 1,
        inputs: vec![TxIn {
            previous_output: OutPoint::NULL,
            script_sig: Script::from([height_push(height), b"\x04mine".to_vec()].concat()),
            sequence: SEQUENCE_FINAL,
        }],
        outputs: vec![TxOut {
            value: reward.into(),
            script_pubkey: Script::p2pkh(&PubkeyHash::ZERO),
        }],
        lock_time: 0,
    };
    let mut transactions = vec![coinbase];
    for entry in template["transactions"].as_array().expect("a list") {
        let bytes = hex::decode(entry["data"].as_str().expect("hex")).expect("hex");
        let tx = Transaction::from_bytes(&bytes).expect("a transaction");
        assert_eq!(json!(tx.txid()), entry["txid"]);
        transactions.push(tx);
    }
    let text = |name: &str| template[name].as_str().expect("a text");
    let bits = u32::from_str_radix(text("bits"), 16).expect("hex");
    seal(Block {
        header: BlockHeader {
            version: i32::try_from(number("version")).expect("it fits"),
            prev_block: text("previousblockhash").parse().expect("a hash"),
            merkle_root: MerkleRoot::ZERO,
            time: u32::try_from(number("curtime")).expect("it fits"),
            bits: CompactTarget(bits),
            nonce: 0,
        },
        transactions,
    })
}

/// With the right commitment to its transactions.
fn seal(mut block: Block) -> Block {
    block.header.merkle_root = block.compute_merkle_root().0;
    block
}

fn propose(node: &Node, block: &Block) -> Value {
    let data = hex::encode(block.to_bytes());
    let request = json!([{ "mode": "proposal", "data": data, "rules": ["segwit"] }]);
    node.call("getblocktemplate", request)
}

/// A node with a payment in its mempool, and a payment that spends it.
fn node_with_payments() -> Node {
    let node = Node::new();
    let blocks = node.chain.extend(1);
    let first = pay(1, &[coinbase_coin(&blocks[0])], &[(1, 49 * COIN)]);
    let coin = OutPoint {
        txid: first.txid(),
        vout: 0,
    };
    let second = pay(1, &[coin], &[(2, 48 * COIN)]);
    for tx in [first, second] {
        node.call("sendrawtransaction", json!([hex::encode(tx.to_bytes()), 0]));
    }
    node
}

#[test]
fn a_template_makes_a_block_that_is_taken() {
    let node = node_with_payments();
    let template = node.call("getblocktemplate", json!([{ "rules": ["segwit"] }]));
    let mut plain = node.call("getblocktemplate", json!([]));
    // The mempool counts a change after it has answered for it.
    plain["longpollid"] = template["longpollid"].clone();
    assert_eq!(template, plain);
    let first = node.call("getblockhash", json!([1]));
    assert_eq!(
        (&template["height"], &template["previousblockhash"]),
        (&json!(2), &first)
    );
    let transactions = template["transactions"].as_array().expect("a list");
    let depends: Vec<_> = transactions.iter().map(|tx| &tx["depends"]).collect();
    assert_eq!(depends, [&json!([]), &json!([1])]);
    assert_eq!(
        (&transactions[0]["fee"], &transactions[0]["sigops"]),
        (&json!(COIN), &json!(1))
    );
    assert_eq!(template["coinbasevalue"], json!(52 * COIN));
    assert_eq!(
        (&template["sizelimit"], &template["sigoplimit"]),
        (&json!(1_000_000), &json!(20_000))
    );
    for (name, value) in [
        ("capabilities", json!(["proposal"])),
        ("mutable", json!(["time", "transactions", "prevblock"])),
        ("noncerange", json!("00000000ffffffff")),
        ("coinbaseaux", json!({})),
        ("target", json!("7fffff".to_owned() + &"00".repeat(29))),
    ] {
        assert_eq!(template[name], value, "{name}");
    }
    let mut block = assemble(&template);
    assert_eq!(propose(&node, &block), Value::Null);
    solve(&mut block.header);
    let data = json!([hex::encode(block.to_bytes())]);
    assert_eq!(node.call("submitblock", data.clone()), Value::Null);
    assert_eq!(node.call("submitblock", data), "duplicate");
    assert_eq!(node.call("getblockcount", json!([])), 2);
    assert_eq!(node.call("getrawmempool", json!([])), json!([]));
    assert_eq!(propose(&node, &block), "duplicate");
}

#[test]
fn proposals_are_judged_by_every_rule_but_the_proof_of_work() {
    let node = node_with_payments();
    let good = assemble(&node.call("getblocktemplate", json!([])));
    let reason = |change: &dyn Fn(&mut Block)| {
        let mut block = good.clone();
        change(&mut block);
        propose(&node, &block)
    };
    let resealed = |change: &dyn Fn(&mut Block)| {
        reason(&|block| {
            change(block);
            *block = seal(block.clone());
        })
    };
    assert_eq!(reason(&|_| {}), Value::Null);
    let other = BlockHash::from_bytes([7; 32]);
    for (found, expected) in [
        (
            reason(&|block| block.header.prev_block = other),
            "inconclusive-not-best-prevblk",
        ),
        (
            reason(&|block| block.header.bits = CompactTarget(0x1d00_ffff)),
            "bad-diffbits",
        ),
        (reason(&|block| block.header.version = 1), "bad-version"),
        (reason(&|block| block.header.time = 1), "time-too-old"),
        (
            reason(&|block| block.header.time = u32::MAX),
            "time-too-new",
        ),
        (
            reason(&|block| block.transactions[0].lock_time = 1),
            "bad-txnmrklroot",
        ),
        (
            resealed(&|block| {
                block.transactions[0].inputs[0].script_sig = Script::from(vec![0x53, 0])
            }),
            "bad-cb-height",
        ),
        (
            resealed(&|block| {
                block.transactions.remove(1);
            }),
            "bad-txns-inputs-missingorspent",
        ),
        (
            resealed(&|block| {
                block.transactions[2].outputs[0].value = UncheckedAmount(48 * COIN - 1)
            }),
            "mandatory-script-verify-flag-failed",
        ),
        (
            resealed(&|block| {
                block.transactions[0].outputs[0].value = UncheckedAmount(52 * COIN + 1)
            }),
            "bad-cb-amount",
        ),
    ] {
        assert_eq!(found, expected);
    }
    // Nothing was remembered against anything.
    assert_eq!(propose(&node, &good), Value::Null);
    assert_eq!(
        node.code("getblocktemplate", json!([{ "mode": "proposal" }])),
        -3
    );
    let nonsense = json!([{ "mode": "proposal", "data": "00" }]);
    assert_eq!(node.code("getblocktemplate", nonsense), -22);
    assert_eq!(
        node.code("getblocktemplate", json!([{ "mode": "solo" }])),
        -8
    );
    assert_eq!(node.code("getblocktemplate", json!([7])), -3);
}

#[test]
fn a_long_poll_ends_with_the_tip_and_with_the_node() {
    let node = Node::new();
    let poll = |id: &Value| json!([{ "longpollid": id }]);
    let id = node.call("getblocktemplate", json!([]))["longpollid"].clone();
    assert_eq!(node.code("getblocktemplate", poll(&json!("nonsense"))), -8);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| node.call("getblocktemplate", poll(&id)));
        let block = node.chain.extend(1).remove(0);
        let template = waiting.join().expect("it is answered");
        assert_eq!(template["previousblockhash"], json!(block.hash()));
        assert_ne!(template["longpollid"], id);
        // The id of an older tip does not wait.
        assert_eq!(node.call("getblocktemplate", poll(&id))["height"], 2);
    });
    let id = node.call("getblocktemplate", json!([]))["longpollid"].clone();
    thread::scope(|scope| {
        let polls: Vec<_> = (0..9)
            .map(|_| scope.spawn(|| node.request("getblocktemplate", poll(&id))))
            .collect();
        // One of nine finds no place, and the other calls go on meanwhile.
        while !polls.iter().any(thread::ScopedJoinHandle::is_finished) {
            node.call("getblockcount", json!([]));
        }
        node.stop.cancel();
        let answers = polls.into_iter().map(|poll| poll.join().expect("no panic"));
        let codes: Vec<_> = answers
            .map(|answer| answer["error"]["code"].clone())
            .collect();
        assert_eq!(codes, vec![json!(-1); 9]);
    });
}

// The clock decides what a template says, and by how far a miner may go ahead of it.
#[test]
fn the_times_of_a_template_are_those_that_would_be_taken() {
    let node = Node::new();
    node.chain.extend(3);
    let template = node.call("getblocktemplate", json!([]));
    let time = |name: &str| template[name].as_u64().expect("a time");
    let now = node.chain.clock.load(Ordering::Relaxed);
    let median = node.chain.handle().reader().tip().median_time_past;
    assert_eq!(time("mintime"), u64::from(median) + 1);
    assert!(time("curtime") >= now);
    let block = assemble(&template);
    for (name, beyond) in [("mintime", -1), ("maxtime", 1)] {
        let mut block = block.clone();
        block.header.time = u32::try_from(time(name)).expect("it fits");
        assert_eq!(propose(&node, &block), Value::Null, "{name}");
        block.header.time = block
            .header
            .time
            .checked_add_signed(beyond)
            .expect("it fits");
        assert_ne!(propose(&node, &block), Value::Null, "{name}");
    }
}
