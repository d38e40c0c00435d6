//! Wallets: several of them, their history, their payments.

use serde_json::{Value, json};

use super::Node;
use super::schema::assert_as_described;

impl Node {
    /// The result of a call to a wallet that must succeed; it has the form that the document promises.
    pub(super) fn ask(&self, wallet: &str, method: &str, params: Value) -> Value {
        let mut answer = self.request_at(&format!("/wallet/{wallet}"), method, params);
        assert_eq!(answer.get("error"), None, "{wallet} {method}");
        assert_as_described(method, &answer["result"]);
        answer["result"].take()
    }

    pub(super) fn refusal(&self, wallet: &str, method: &str, params: Value) -> i64 {
        let answer = self.request_at(&format!("/wallet/{wallet}"), method, params);
        let code = answer["error"]["code"].as_i64();
        code.unwrap_or_else(|| panic!("{method} succeeded: {answer}"))
    }

    /// A wallet with an address that was paid `blocks` block rewards, of which the last is young.
    pub(super) fn rich(&self, wallet: &str, blocks: u32) -> Value {
        let address = self.ask(wallet, "getnewaddress", json!([]));
        self.call("generatetoaddress", json!([blocks, address]));
        address
    }
}

pub(super) fn text(value: &Value) -> String {
    value.to_string()
}

#[test]
fn wallets_are_made_loaded_and_told_apart() {
    let node = Node::new();
    assert_eq!(node.call("listwallets", json!([])), json!([""]));
    let made = node.call("createwallet", json!(["shop"]));
    assert_eq!(made, json!({ "name": "shop" }));
    assert_eq!(node.code("createwallet", json!(["shop"])), -4);
    assert_eq!(node.code("createwallet", json!(["../shop"])), -8);
    assert_eq!(node.code("loadwallet", json!(["shop"])), -35);
    assert_eq!(node.code("loadwallet", json!(["none"])), -18);
    assert_eq!(node.call("listwallets", json!([])), json!(["", "shop"]));
    assert_eq!(node.code("getbalance", json!([])), -19, "which one?");
    let mine = node.rich("shop", 2);
    assert_eq!(
        text(&node.ask("shop", "getbalance", json!([]))),
        "100.00000000"
    );
    assert_eq!(text(&node.ask("", "getbalance", json!([]))), "0.00000000");
    assert_eq!(node.refusal("none", "getbalance", json!([])), -18);
    let info = node.ask("shop", "getwalletinfo", json!([]));
    assert_eq!(
        (&info["walletname"], &info["txcount"]),
        (&json!("shop"), &json!(2))
    );

    node.call("unloadwallet", json!(["shop"]));
    assert_eq!(
        node.call("getbalance", json!([])),
        node.ask("", "getbalance", json!([]))
    );
    assert_eq!(node.refusal("shop", "getbalance", json!([])), -18);
    let known = node.call("listwalletdir", json!([]));
    assert_eq!(known["wallets"][1]["name"], json!("shop"));
    node.call("loadwallet", json!(["shop"]));
    assert_eq!(
        text(&node.ask("shop", "getbalance", json!([]))),
        "100.00000000"
    );

    let copy = node.folder.path().join("copy.json");
    node.ask("shop", "backupwallet", json!([copy]));
    assert_eq!(
        node.refusal("shop", "backupwallet", json!(["copy.json"])),
        -8
    );
    node.call("restorewallet", json!(["again", copy]));
    assert_eq!(node.code("restorewallet", json!(["again", copy])), -36);
    let info = node.ask("again", "getaddressinfo", json!([mine]));
    assert_eq!(info["ismine"], json!(true));
}

#[test]
fn history_has_categories_fees_labels_and_comments() {
    let node = Node::new();
    let mine = node.rich("", 3);
    let rent = node.ask("", "getnewaddress", json!(["rent"]));
    let stranger = "mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn";
    node.ask("", "setlabel", json!([stranger, "landlord"]));
    let sent = json!({
        "address": stranger, "amount": 7, "comment": "May", "comment_to": "Ms X", "fee_rate": "1.5",
    });
    let txid = node.ask("", "sendtoaddress", sent);
    let waiting = node.ask("", "gettransaction", json!([txid, false, true]));
    assert_eq!(text(&waiting["amount"]), "-7.00000000");
    assert_eq!(
        (&waiting["confirmations"], &waiting["trusted"]),
        (&json!(0), &json!(true))
    );
    assert_eq!(
        (&waiting["comment"], &waiting["to"]),
        (&json!("May"), &json!("Ms X"))
    );
    assert_eq!(waiting["details"][0]["label"], json!("landlord"));
    assert_eq!(waiting["decoded"]["txid"], txid);
    let size = node.call("getmempoolentry", json!([txid]))["vsize"]
        .as_f64()
        .expect("n");
    let fee = -waiting["fee"].as_f64().expect("n") * 1e8;
    assert!(
        fee >= size * 1.5 && fee < size * 1.5 + 5.0,
        "{fee} for {size}"
    );

    let block = node.call("generatetoaddress", json!([1, rent]))[0].clone();
    let known = node.ask("", "gettransaction", json!([txid]));
    assert_eq!(
        (&known["blockhash"], &known["confirmations"]),
        (&block, &json!(1))
    );
    let listed = node.ask("", "listtransactions", json!(["*", 100]));
    let kinds: Vec<&str> = listed
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| one["category"].as_str().expect("a text"))
        .collect();
    assert_eq!(
        kinds,
        ["generate", "generate", "generate", "generate", "send"]
    );
    let skipped = node.ask("", "listtransactions", json!(["*", 2, 1]));
    assert_eq!(skipped.as_array().map(Vec::len), Some(2));
    assert_eq!(skipped[1]["category"], json!("generate"));
    let labelled = node.ask("", "listtransactions", json!(["rent"]));
    assert_eq!(
        (labelled.as_array().map(Vec::len), &labelled[0]["address"]),
        (Some(1), &rent)
    );

    let since = node.ask(
        "",
        "listsinceblock",
        json!([node.call("getblockhash", json!([3]))]),
    );
    assert_eq!(since["transactions"].as_array().map(Vec::len), Some(2));
    assert_eq!(since["lastblock"], block);
    let labels = node.ask("", "listlabels", json!([]));
    assert_eq!(labels, json!(["", "landlord", "rent"]));
    assert_eq!(
        node.ask("", "getaddressesbylabel", json!(["rent"]))[rent.as_str().expect("a text")],
        json!({ "purpose": "receive" })
    );
    assert_eq!(
        text(&node.ask("", "getreceivedbyaddress", json!([mine]))),
        "150.00000000"
    );
    let by_label = node.ask("", "getreceivedbylabel", json!(["rent"]));
    assert!(text(&by_label).starts_with("50.0000"), "{by_label}");
    let by_address = node.ask("", "listreceivedbyaddress", json!([]));
    assert_eq!(by_address.as_array().map(Vec::len), Some(2));
    node.ask("", "listreceivedbylabel", json!([1, true]));
    let groups = node.ask("", "listaddressgroupings", json!([]));
    assert_eq!(groups.as_array().map(Vec::len), Some(2), "{groups}");
    let info = node.ask("", "getaddressinfo", json!([mine]));
    assert_eq!(
        (&info["hdkeypath"], &info["ischange"]),
        (&json!("m/44h/1h/0h/0/0"), &json!(false))
    );
}

/// ```text
/// 1 ─ 2 ─ 3 ─ 4 (the payment)
///           └ 4' ─ 5'
/// ```
#[test]
fn w06_the_books_follow_reorganisations() {
    let node = Node::new();
    let mine = node.rich("", 3);
    let other = node.ask("", "getnewaddress", json!([]));
    let txid = node.ask("", "sendtoaddress", json!([other, 20]));
    let block = node.call("generatetoaddress", json!([1, mine]))[0].clone();
    let confirmed = node.ask("", "getbalances", json!([]));
    node.call("invalidateblock", json!([block]));
    let pending = node.ask("", "gettransaction", json!([txid]));
    assert_eq!(
        (&pending["confirmations"], pending.get("blockhash")),
        (&json!(0), None)
    );
    assert_eq!(
        text(&node.ask("", "getbalance", json!([]))),
        "150.00000000",
        "its own change counts"
    );
    let removed = node.ask("", "listsinceblock", json!([block]));
    assert_eq!(
        removed["removed"]
            .as_array()
            .map(|list| list.iter().any(|one| one["txid"] == txid)),
        Some(true)
    );
    node.call("reconsiderblock", json!([block]));
    assert_eq!(node.ask("", "getbalances", json!([])), confirmed);
    assert_eq!(
        node.ask("", "gettransaction", json!([txid]))["blockhash"],
        block
    );
    let before = node.ask("", "listtransactions", json!(["*", 100]));
    node.ask("", "rescanblockchain", json!([]));
    assert_eq!(node.ask("", "getbalances", json!([])), confirmed);
    let after = node.ask("", "listtransactions", json!(["*", 100]));
    assert_eq!(
        before.as_array().map(Vec::len),
        after.as_array().map(Vec::len)
    );
}

#[test]
fn payments_to_many_from_chosen_coins_and_of_everything() {
    let node = Node::new();
    let mine = node.rich("", 4);
    let (one, other) = (
        "mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn",
        "mfWxJ45yp2SFn7UciZyNpvDKrzbhyfKrY8",
    );
    let many = json!({ "amounts": { one: 1, other: 2 }, "subtractfeefrom": [other], "fee_rate": 10, "verbose": true });
    let sent = node.ask("", "sendmany", many);
    let shown = node.call("getrawtransaction", json!([sent["txid"], 1]));
    assert_eq!(text(&shown["vout"][0]["value"]), "1.00000000");
    let paid = shown["vout"][1]["value"].as_f64().expect("n") + sent["fee"].as_f64().expect("n");
    assert!((paid - 2.0).abs() < 1e-9);

    let coins = node.ask("", "listunspent", json!([1]));
    let coins = coins.as_array().expect("a list").clone();
    assert_eq!(coins.len(), 3);
    let kept = json!([{ "txid": coins[0]["txid"], "vout": coins[0]["vout"] }]);
    node.ask("", "lockunspent", json!([false, kept]));
    assert_eq!(node.ask("", "listlockunspent", json!([])), kept);
    assert_eq!(
        node.ask("", "listunspent", json!([1]))
            .as_array()
            .map(Vec::len),
        Some(2)
    );
    assert_eq!(node.refusal("", "lockunspent", json!([false, kept])), -8);
    let limited = json!([0, 999, [mine], true, { "maximumCount": 1, "minimumAmount": 50 }]);
    assert_eq!(
        node.ask("", "listunspent", limited)
            .as_array()
            .map(Vec::len),
        Some(1)
    );

    let chosen = json!([{ "txid": coins[1]["txid"], "vout": coins[1]["vout"] }]);
    let options = json!({ "inputs": chosen, "change_position": 0, "fee_rate": 2 });
    let sent = node.ask(
        "",
        "send",
        json!({ "outputs": { one: 3 }, "options": options }),
    );
    let shown = node.call("getrawtransaction", json!([sent["txid"], 1]));
    assert_eq!(shown["vin"].as_array().map(Vec::len), Some(1));
    assert_eq!(shown["vin"][0]["txid"], coins[1]["txid"]);
    assert_eq!(text(&shown["vout"][1]["value"]), "3.00000000");

    let all = node.ask(
        "",
        "sendall",
        json!({ "recipients": [other], "fee_rate": 1 }),
    );
    assert_eq!(all["complete"], json!(true));
    assert_eq!(
        text(&node.ask("", "getbalance", json!([]))),
        "50.00000000",
        "what is kept back"
    );
    node.ask("", "lockunspent", json!([true]));
    assert_eq!(node.refusal("", "sendtoaddress", json!([one, 51])), -6);
    for (method, params, code) in [
        ("sendmany", json!(["x", { one: 1 }]), -8),
        ("sendmany", json!(["", { one: 0 }]), -3),
        ("sendmany", json!(["", { one: 1 }, 1, "", [other]]), -8),
        (
            "send",
            json!([{ one: 1 }, null, "unset", null, { "inputz": [] }]),
            -3,
        ),
        ("send", json!([[{ one: 1 }, { one: 2 }]]), -8),
        ("sendall", json!([[]]), -8),
    ] {
        assert_eq!(
            node.refusal("", method, params.clone()),
            code,
            "{method} {params}"
        );
    }
}

#[test]
fn fees_are_raised_by_replacement_and_by_a_child() {
    let node = Node::new();
    node.rich("", 3);
    let stranger = "mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn";
    let first = node.ask(
        "",
        "sendtoaddress",
        json!({ "address": stranger, "amount": 5, "comment": "a" }),
    );
    assert_eq!(
        node.refusal("", "abandontransaction", json!([first])),
        -5,
        "it waits"
    );
    assert_eq!(
        node.refusal("", "bumpfee", json!([first, { "fee_rate": "0.5" }])),
        -8
    );
    let raised = node.ask("", "bumpfee", json!([first, { "fee_rate": 20 }]));
    assert!(raised["fee"].as_f64() > raised["origfee"].as_f64());
    assert_eq!(
        node.call("getrawmempool", json!([])),
        json!([raised["txid"]])
    );
    let old = node.ask("", "gettransaction", json!([first]));
    assert_eq!(
        (&old["replaced_by_txid"], &old["confirmations"]),
        (&raised["txid"], &json!(0))
    );
    let new = node.ask("", "gettransaction", json!([raised["txid"]]));
    assert_eq!(
        (&new["replaces_txid"], &new["comment"]),
        (&first, &json!("a"))
    );
    assert_eq!(text(&new["amount"]), "-5.00000000");
    let prepared = node.ask("", "psbtbumpfee", json!([raised["txid"]]));
    assert!(prepared["fee"].as_f64() > raised["fee"].as_f64());

    let child = node.ask("", "bumpfeebychild", json!([raised["txid"], 100]));
    let entry = node.call("getmempoolentry", json!([child["txid"]]));
    let rate = entry["fees"]["ancestor"].as_f64().expect("n") * 1e8
        / entry["ancestorsize"].as_f64().expect("n");
    assert!((100.0..105.0).contains(&rate), "{rate}");
    assert_eq!(
        node.refusal("", "bumpfee", json!([raised["txid"]])),
        -8,
        "it has a child"
    );
    let block = node.call("generatetoaddress", json!([1, stranger]));
    assert_eq!(block.as_array().map(Vec::len), Some(1));
    assert_eq!(
        node.ask("", "gettransaction", json!([first]))["confirmations"],
        json!(-1),
        "a conflict"
    );
}

#[test]
fn what_the_mempool_dropped_is_sent_again_or_given_up() {
    let node = Node::new();
    let mine = node.rich("", 2);
    let stranger = "mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn";
    // Spends the last reward, which its block takes along when it is left.
    let coins = node.ask("", "listunspent", json!([1, 1]));
    let options = json!({ "inputs": [{ "txid": coins[0]["txid"], "vout": 0 }] });
    let sent = node.ask(
        "",
        "send",
        json!({ "outputs": { stranger: 3 }, "options": options }),
    );
    let tip = node.call("getbestblockhash", json!([]));
    node.call("invalidateblock", json!([tip]));
    let lost = node.ask("", "gettransaction", json!([sent["txid"]]));
    assert_eq!(
        (&lost["trusted"], lost.get("blockhash")),
        (&json!(false), None)
    );
    assert_eq!(node.call("getrawmempool", json!([])), json!([]));
    node.ask("", "abandontransaction", json!([sent["txid"]]));
    let given_up = node.ask("", "gettransaction", json!([sent["txid"]]));
    assert_eq!(given_up["details"][0]["abandoned"], json!(true));
    assert_eq!(
        node.refusal("", "abandontransaction", json!([sent["txid"]])),
        -5
    );
    assert_eq!(text(&node.ask("", "getbalance", json!([]))), "50.00000000");
    assert!(mine.is_string());
}
