//! The wallet and transactions.

use std::time::Duration;

use serde_json::{Value, json};

use super::Node;
use crate::chain::testing::{coinbase_coin, pay};
use crate::primitives::{COIN, Encode};
use crate::wallet::{KdfParams, Wallet};

fn generate(node: &Node, count: u32, address: &Value) -> Value {
    node.call("generatetoaddress", json!([count, address]))
}

/// Coinbases mature after one block, so the tip's own is immature.
#[test]
fn money_is_earned_sent_and_confirmed() {
    let node = Node::new();
    let mine = node.call("getnewaddress", json!(["", "legacy"]));
    let other = node.call("getnewaddress", json!([]));
    assert_ne!(mine, other);
    assert_eq!(node.call("listaddresses", json!([])), json!([mine, other]));
    assert_eq!(generate(&node, 2, &mine).as_array().map(Vec::len), Some(2));
    let before = node.call("getbalance", json!([]));

    let sent = node.call("sendfrom", json!([mine, other, "0.1", 2]));
    let txid = sent["txid"].clone();
    assert_eq!(node.call("getrawmempool", json!([])), json!([txid]));
    let entry = node.call("getrawmempool", json!([true]))[txid.as_str().expect("a text")].clone();
    assert_eq!(entry["fees"]["base"], sent["fee"]);
    assert_eq!(node.call("getmempoolinfo", json!([]))["size"], json!(1));
    let shown = node.call("getrawtransaction", json!([txid, 1]));
    assert_eq!(shown.get("blockhash"), None);
    assert_eq!(shown["vout"][0]["value"].to_string(), "0.10000000");
    assert_eq!(shown["vout"][0]["scriptPubKey"]["address"], other);
    assert_eq!(
        shown["vout"][1]["scriptPubKey"]["address"], mine,
        "change goes back to the sender"
    );

    let pending = node.call("getaddressbalance", json!([other]));
    assert_eq!(
        (
            pending["balance"].to_string(),
            pending["pending"].to_string()
        ),
        ("0.00000000".into(), "0.10000000".into())
    );
    assert_eq!(pending["transactions"], json!(0));
    let block = generate(&node, 1, &mine)[0].clone();
    let after = node.call("getaddressbalance", json!([other]));
    assert_eq!(after["balance"].to_string(), "0.10000000");
    assert_eq!(after["transactions"], json!(1));
    let mined = node.call(
        "getrawtransaction",
        json!({ "txid": txid, "verbosity": 2, "blockhash": block }),
    );
    assert_eq!(
        (
            &mined["blockhash"],
            &mined["confirmations"],
            &mined["in_active_chain"]
        ),
        (&block, &json!(1), &json!(true))
    );
    assert_eq!(mined["fee"], sent["fee"]);
    assert_eq!(mined["vin"][0]["prevout"]["scriptPubKey"]["address"], mine);
    let full = node.call("getblock", json!([block, 2]));
    assert_eq!(full["tx"][1]["fee"], sent["fee"]);
    assert_ne!(node.call("getbalance", json!([])), before);
    assert_eq!(node.code("sendrawtransaction", json!([mined["hex"]])), -27);
}

#[test]
fn what_cannot_be_paid_is_refused_and_changes_nothing() {
    let node = Node::new();
    let mine = node.call("getnewaddress", json!([]));
    let poor = node.call("getnewaddress", json!([]));
    generate(&node, 2, &mine);
    let stranger = "mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn";
    for (method, params, code) in [
        ("sendtoaddress", json!([poor, 0]), -3),
        ("sendtoaddress", json!([poor, -1]), -3),
        ("sendtoaddress", json!([poor, "0.000000001"]), -3),
        ("sendtoaddress", json!([poor, 21_000_001]), -3),
        ("sendtoaddress", json!([poor, "x"]), -3),
        ("sendtoaddress", json!([poor, true]), -3),
        ("sendtoaddress", json!([poor, 20_000_000]), -6),
        (
            "sendtoaddress",
            json!(["1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2", 1]),
            -5,
        ),
        (
            "sendtoaddress",
            json!(["mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfm", 1]),
            -5,
        ),
        ("sendfrom", json!([poor, mine, 1]), -6),
        ("sendfrom", json!([stranger, mine, 1]), -5),
        ("getnewaddress", json!(["*"]), -11),
        (
            "sendtoaddress",
            json!({ "address": poor, "amount": 1, "fee_rate": 1, "conf_target": 2 }),
            -8,
        ),
        (
            "sendtoaddress",
            json!({ "address": poor, "amount": 1, "fee_rate": "0.0001" }),
            -3,
        ),
        ("getnewaddress", json!(["", "bech32"]), -5),
        ("getbalance", json!(["account"]), -32),
        ("generatetoaddress", json!([-1, mine]), -8),
    ] {
        assert_eq!(node.code(method, params.clone()), code, "{method} {params}");
    }
    assert_eq!(node.call("getrawmempool", json!([])), json!([]));
    assert_eq!(
        node.call("listaddresses", json!([true])),
        json!([mine, poor])
    );
}

#[test]
fn payments_one_after_the_other_never_share_a_coin() {
    let node = Node::new();
    let mine = node.call("getnewaddress", json!([]));
    generate(&node, 4, &mine);
    let sent: Vec<Value> = std::thread::scope(|scope| {
        let pay = || node.call("sendtoaddress", json!([mine, 1]));
        let threads: Vec<_> = (0..3).map(|_| scope.spawn(pay)).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("every payment is taken"))
            .collect()
    });
    let mut spent: Vec<String> = Vec::new();
    for txid in &sent {
        for input in node.call("getrawtransaction", json!([txid, 1]))["vin"]
            .as_array()
            .expect("a list")
        {
            spent.push(format!("{}:{}", input["txid"], input["vout"]));
        }
    }
    let count = spent.len();
    spent.sort();
    spent.dedup();
    assert_eq!(spent.len(), count);
}

#[test]
fn raw_transactions_are_judged() {
    let node = Node::new();
    let blocks = node.chain.extend(3);
    let coin = coinbase_coin(&blocks[0]);
    let hex = |tx: &crate::primitives::Transaction| json!(hex::encode(tx.to_bytes()));
    let good = pay(1, &[coin], &[(2, 50 * COIN)]);
    let greedy = pay(1, &[coin], &[(2, 49 * COIN)]);
    assert_eq!(node.code("sendrawtransaction", json!(["00"])), -22);
    assert_eq!(node.code("sendrawtransaction", json!(["zz"])), -22);
    assert_eq!(
        node.code("sendrawtransaction", json!([hex(&greedy)])),
        -25,
        "a fee of a whole coin"
    );
    assert_eq!(
        node.code(
            "sendrawtransaction",
            json!([hex(&pay(2, &[coin], &[(2, COIN)]))])
        ),
        -26,
        "not the owner"
    );
    assert_eq!(
        node.call("sendrawtransaction", json!([hex(&good)])),
        json!(good.txid())
    );
    assert_eq!(
        node.call("sendrawtransaction", json!([hex(&good)])),
        json!(good.txid()),
        "again is no error"
    );
    let other = pay(1, &[coin], &[(3, 50 * COIN)]);
    assert_eq!(
        node.code("sendrawtransaction", json!([hex(&other)])),
        -26,
        "its coin is spent, and it pays no more"
    );
    assert_eq!(
        node.call("sendrawtransaction", json!([hex(&greedy), 0])),
        json!(greedy.txid()),
        "a higher fee replaces"
    );
    assert_eq!(node.code("getmempoolentry", json!([good.txid()])), -5);
    let entry = node.call("getmempoolentry", json!([greedy.txid()]));
    assert_eq!(entry["fees"]["base"].to_string(), "1.00000000");
    let mut unknown = good.clone();
    unknown.inputs[0].previous_output.vout = 5;
    assert_eq!(node.code("sendrawtransaction", json!([hex(&unknown)])), -25);
}

#[test]
fn fees_are_estimated_from_the_tenth_block_on() {
    let node = Node::new();
    let answer = node.call("estimatesmartfee", json!([6]));
    assert!(
        answer["errors"].is_array() && answer["blocks"] == 6,
        "{answer}"
    );
    node.chain.extend(10);
    let answer = node.call("estimatesmartfee", json!([600]));
    assert_eq!(answer["feerate"].to_string(), "0.00001000");
    assert_eq!(answer["blocks"], 48);
    for target in [0, 1009] {
        assert_eq!(node.code("estimatesmartfee", json!([target])), -8);
    }
    assert_eq!(node.code("savemempool", json!([])), -1, "it has no file");
}

#[test]
fn a_locked_wallet_receives_and_does_not_pay() {
    let node = Node::without_wallet();
    assert_eq!(node.code("getnewaddress", json!([])), -18);
    let path = node.folder.path().join("wallet.json");
    let mut made = Wallet::create_with(
        &path,
        Some("open sesame"),
        KdfParams::new(8, 1, 1).expect("allowed"),
    )
    .expect("no file");
    made.new_address(1).expect("it is unlocked");
    drop(made);
    let mine = node.call("getnewaddress", json!([]));
    generate(&node, 2, &mine);
    assert_eq!(node.code("sendtoaddress", json!([mine, 1])), -13);
    assert_eq!(node.code("walletpassphrase", json!(["wrong", 60])), -14);
    assert_eq!(
        node.code("walletpassphrase", json!(["open sesame", -1])),
        -8
    );
    assert_eq!(
        node.call("walletpassphrase", json!(["open sesame", 1])),
        Value::Null
    );
    assert!(node.call("sendtoaddress", json!([mine, 1])).is_string());
    std::thread::sleep(Duration::from_millis(1200));
    assert_eq!(node.code("sendtoaddress", json!([mine, 1])), -13);
    node.call("walletpassphrase", json!(["open sesame", 60]));
    node.call("walletlock", json!([]));
    assert_eq!(node.code("sendtoaddress", json!([mine, 1])), -13);
}
