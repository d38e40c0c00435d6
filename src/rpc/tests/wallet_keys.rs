//! What needs a wallet's keys: partially signed transactions, keys that come and go, locking.

use serde_json::{Value, json};

use super::Node;
use super::wallets::text;
use crate::chain::testing::{coinbase_coin, key, pay};
use crate::primitives::{COIN, Encode};

/// A wallet without keys prepares, one with keys and no coins of its own knowledge signs, and anybody sends.
#[test]
fn psbts_go_from_a_watching_wallet_to_a_signer_and_back() {
    let node = Node::new();
    node.call("createwallet", json!(["cold"]));
    node.call("createwallet", json!(["watch", true]));
    node.ask("cold", "getnewaddress", json!([]));
    let listed = node.ask("cold", "listdescriptors", json!([]))["descriptors"].clone();
    let requests: Vec<Value> = listed.as_array().expect("a list").iter().map(|one| json!({
        "desc": one["desc"], "timestamp": "now", "active": true, "internal": one["internal"], "range": [0, 50],
    })).collect();
    let imported = node.ask("watch", "importdescriptors", json!([requests]));
    assert_eq!(imported, json!([{ "success": true }, { "success": true }]));
    let refused = node.ask("cold", "importdescriptors", json!([requests]));
    assert_eq!(refused[0]["success"], json!(false));
    node.rich("watch", 2);
    assert_eq!(
        node.refusal(
            "watch",
            "sendtoaddress",
            json!(["mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn", 1])
        ),
        -4
    );

    let to = json!([{ "mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn": 12 }]);
    let funded = node.ask(
        "watch",
        "walletcreatefundedpsbt",
        json!([[], to, 0, { "fee_rate": 3 }]),
    );
    let psbt = funded["psbt"].clone();
    let shown = node.ask("", "decodepsbt", json!([psbt]));
    assert_eq!(shown["fee"], funded["fee"]);
    assert_eq!(
        shown["inputs"][0]["bip32_derivs"][0]["path"],
        json!("m/44h/1h/0h/0/0")
    );
    let change = usize::try_from(funded["changepos"].as_u64().expect("change")).expect("small");
    assert_eq!(
        shown["outputs"][change]["bip32_derivs"][0]["path"],
        json!("m/44h/1h/0h/1/0")
    );
    assert_eq!(
        node.ask("", "analyzepsbt", json!([psbt]))["next"],
        json!("signer")
    );
    let untouched = node.ask("watch", "walletprocesspsbt", json!([psbt]));
    assert_eq!(untouched["complete"], json!(false));

    let signed = node.ask(
        "cold",
        "walletprocesspsbt",
        json!([psbt, true, "ALL", true, false]),
    );
    assert_eq!(signed["complete"], json!(true));
    assert_eq!(
        node.ask("", "analyzepsbt", json!([signed["psbt"]]))["next"],
        json!("finalizer")
    );
    let both = node.ask("", "combinepsbt", json!([[psbt, signed["psbt"]]]));
    let whole = node.ask("", "finalizepsbt", json!([both]));
    assert_eq!(whole["complete"], json!(true));
    let txid = node.call("sendrawtransaction", json!([whole["hex"]]));
    assert_eq!(
        text(&node.ask("watch", "gettransaction", json!([txid]))["amount"]),
        "-12.00000000"
    );

    let bare = node.ask("", "createpsbt", json!([[{ "txid": txid, "vout": 0 }], to]));
    assert_eq!(
        node.ask("", "analyzepsbt", json!([bare]))["next"],
        json!("updater")
    );
    let filled = node.ask("", "utxoupdatepsbt", json!([bare]));
    assert_eq!(
        node.ask("", "analyzepsbt", json!([filled]))["inputs"][0]["has_utxo"],
        json!(true)
    );
    assert_eq!(
        node.code("converttopsbt", json!([whole["hex"]])),
        -22,
        "signed"
    );
    assert!(
        node.call("converttopsbt", json!([whole["hex"], true]))
            .is_string()
    );
    assert_eq!(node.code("decodepsbt", json!(["junk"])), -22);
}

#[test]
fn keys_come_in_and_go_out_and_sign() {
    let node = Node::new();
    let blocks = node.chain.extend(3);
    let wif = key(1).to_wif(0xef);
    let address = node.chain.handle().reader().spec().address_version;
    let address = crate::keys::Address::new(key(1).public_key().pubkey_hash(), address).to_string();
    node.ask("", "importprivkey", json!([wif.as_str(), "mine"]));
    assert_eq!(text(&node.ask("", "getbalance", json!([]))), "150.00000000");
    assert_eq!(
        node.ask("", "dumpprivkey", json!([address])),
        json!(wif.as_str())
    );
    assert_eq!(node.refusal("", "importprivkey", json!(["x"])), -5);
    assert_eq!(
        node.refusal("", "importaddress", json!([address])),
        -4,
        "it has keys"
    );

    let signature = node.ask("", "signmessage", json!([address, "hello"]));
    assert_eq!(
        signature,
        node.call("signmessagewithprivkey", json!([wif.as_str(), "hello"]))
    );
    assert_eq!(
        node.call("verifymessage", json!([address, signature, "hello"])),
        json!(true)
    );
    assert_eq!(
        node.call("verifymessage", json!([address, signature, "hellO"])),
        json!(false)
    );
    assert_eq!(
        node.code("verifymessage", json!([address, "!", "hello"])),
        -3
    );

    let unsigned = pay(9, &[coinbase_coin(&blocks[0])], &[(2, 50 * COIN)]);
    let hex = hex::encode(unsigned.to_bytes());
    let signed = node.ask("", "signrawtransactionwithwallet", json!([hex]));
    assert_eq!(signed["complete"], json!(true));
    assert_eq!(
        signed,
        node.call("signrawtransactionwithkey", json!([hex, [wif.as_str()]]))
    );
    let failed = node.call("signrawtransactionwithkey", json!([hex, []]));
    assert_eq!(
        (
            &failed["complete"],
            failed["errors"].as_array().map(Vec::len)
        ),
        (&json!(false), Some(1))
    );
    node.call("sendrawtransaction", json!([signed["hex"]]));

    let info = node.call("getdescriptorinfo", json!([format!("addr({address})")]));
    let checked = info["descriptor"].clone();
    assert_eq!(
        node.call("deriveaddresses", json!([checked])),
        json!([address])
    );
    assert_eq!(
        node.code("deriveaddresses", json!([format!("addr({address})")])),
        -5
    );
    node.call("createwallet", json!(["watch", true]));
    node.ask("watch", "importaddress", json!([address, "theirs"]));
    let seen = node.ask("watch", "listunspent", json!([]));
    assert_eq!(
        (seen.as_array().map(Vec::len), &seen[0]["solvable"]),
        (Some(2), &json!(false))
    );
    assert_eq!(seen[0]["label"], json!("theirs"));
}

/// Everything that needs a key is refused while the wallet is locked; a later unlocking is not cut short by an earlier one's end.
#[test]
fn r12_a_locked_wallet_refuses_what_needs_its_keys() {
    let node = Node::new();
    let mine = node.rich("", 3);
    let hex = hex::encode(pay(9, &[], &[(2, COIN)]).to_bytes());
    let funded = node.ask(
        "",
        "walletcreatefundedpsbt",
        json!([[], [{ mine.as_str().expect("a text"): 1 }]]),
    );
    let txid = node.ask("", "sendtoaddress", json!([mine, 1]));
    let listed = node.ask("", "listdescriptors", json!([true]));
    assert_eq!(node.refusal("", "encryptwallet", json!([""])), -8);
    node.ask("", "encryptwallet", json!(["one"]));
    assert_eq!(node.refusal("", "encryptwallet", json!(["two"])), -15);
    let key = key(5).to_wif(0xef);
    for (method, params) in [
        ("sendtoaddress", json!([mine, 1])),
        (
            "sendmany",
            json!(["", { mine.as_str().expect("a text"): 1 }]),
        ),
        ("sendall", json!([[mine]])),
        ("send", json!([{ mine.as_str().expect("a text"): 1 }])),
        ("sendfrom", json!([mine, mine, 1])),
        ("bumpfee", json!([txid])),
        ("bumpfeebychild", json!([txid, 50])),
        ("signmessage", json!([mine, "x"])),
        ("signrawtransactionwithwallet", json!([hex])),
        ("walletprocesspsbt", json!([funded["psbt"]])),
        ("dumpprivkey", json!([mine])),
        ("importprivkey", json!([key.as_str()])),
        (
            "importdescriptors",
            json!([[{ "desc": listed["descriptors"][0]["desc"], "timestamp": 0 }]]),
        ),
        ("listdescriptors", json!([true])),
    ] {
        let code = node.refusal("", method, params.clone());
        let expected = if method == "signrawtransactionwithwallet" {
            [-13, -22]
        } else {
            [-13, -13]
        };
        assert!(expected.contains(&code), "{method}: {code}");
    }
    for (method, params) in [
        ("getnewaddress", json!([])),
        ("getbalance", json!([])),
        ("listdescriptors", json!([])),
        (
            "walletcreatefundedpsbt",
            json!([[], [{ mine.as_str().expect("a text"): 1 }]]),
        ),
    ] {
        node.ask("", method, params);
    }
    assert_eq!(
        node.refusal("", "walletpassphrase", json!(["two", 60])),
        -14
    );
    node.ask("", "walletpassphrase", json!(["one", 1]));
    node.ask("", "walletpassphrase", json!(["one", 600]));
    let until = node.ask("", "getwalletinfo", json!([]))["unlocked_until"]
        .as_u64()
        .expect("n");
    assert!(until > 1_600_000_000);
    std::thread::sleep(std::time::Duration::from_millis(1_300));
    node.ask("", "signmessage", json!([mine, "still unlocked"]));
    node.ask("", "walletpassphrase", json!(["one", 0]));
    node.until_locked(&mine);
    assert_eq!(
        node.refusal("", "walletpassphrasechange", json!(["two", "three"])),
        -14
    );
    node.ask("", "walletpassphrasechange", json!(["one", "three"]));
    assert_eq!(node.refusal("", "dumpprivkey", json!([mine])), -13);
    node.ask("", "walletpassphrase", json!(["three", 600]));
    let again = node.ask("", "listdescriptors", json!([true]));
    for at in 0..2 {
        let key = |listed: &Value| listed["descriptors"][at]["desc"].clone();
        assert_eq!(key(&again), key(&listed), "the keys are the same");
    }
}

impl Node {
    fn until_locked(&self, address: &Value) {
        let start = std::time::Instant::now();
        while self
            .request_at("/wallet/", "dumpprivkey", json!([address]))
            .get("error")
            .is_none()
        {
            assert!(start.elapsed().as_secs() < 30, "it stays unlocked");
            std::thread::yield_now();
        }
    }
}
