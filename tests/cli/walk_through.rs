//! The walk-through of the original, line for line, without a node and with one; and what goes beyond it.

use super::support::Folder;
use serde_json::json;

fn is_hash(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|c| c.is_ascii_hexdigit())
}

/// Pays all that `from` has, after more than that was refused; the transaction's id.
fn pay_50_of_50(folder: &Folder, from: &str, to: &str) -> String {
    let send = |amount| folder.run(&["send", "--from", from, "--to", to, "--amount", amount]);
    let too_much = send("51");
    assert_eq!(
        (
            too_much.status,
            too_much.stdout.as_str(),
            too_much.stderr.as_str()
        ),
        (1, "Not enough funds!\n", "")
    );
    let sent = send("50").ok();
    let (first, txid) = sent.split_once('\n').expect("two lines");
    assert!(first == "Success!" && is_hash(txid), "{sent}");
    txid.to_owned()
}

#[test]
fn offline_line_for_line() {
    let folder = Folder::new();
    let (a, b) = (folder.new_address(), folder.new_address());
    assert_eq!(folder.run(&["list-addresses"]).ok(), format!("{a}\n{b}"));

    let made = folder.run(&["init-blockchain", "--address", &a]).ok();
    let lines: Vec<_> = made.lines().collect();
    assert_eq!(lines.len(), 3, "{made}");
    let genesis = lines[0].strip_prefix("Genesis block: ").expect("the hash");
    assert_eq!(
        lines[1],
        format!("Spec: {}", folder.file("network.toml").display())
    );
    assert_eq!(lines[2], "Done");
    assert_eq!(folder.run(&["print-blockchain"]).ok(), genesis);

    let blocks: serde_json::Value =
        serde_json::from_str(&folder.run(&["print-blockchain", "--full"]).ok()).expect("JSON");
    assert_eq!(blocks[0]["hash"], genesis);
    assert_eq!(blocks[0]["height"], 0);
    assert_eq!(blocks[0]["prev_block_hash"], "0".repeat(64));
    assert_eq!(blocks[0]["transactions"][0]["vin"][0]["vout"], -1);
    assert_eq!(blocks[0]["transactions"][0]["vout"][0]["value"], json!(50));

    assert_eq!(folder.balance(&a), "50");
    assert_eq!(folder.balance(&b), "0");
    let txid = pay_50_of_50(&folder, &a, &b);
    // The block that holds the payment was mined to the sender.
    assert_eq!(
        (folder.balance(&a), folder.balance(&b)),
        ("50".into(), "50".into())
    );

    let blocks = folder.run(&["print-blockchain", "--full"]).ok();
    let blocks: serde_json::Value = serde_json::from_str(&blocks).expect("JSON");
    assert_eq!(blocks[1]["hash"], genesis, "the newest block comes first");
    assert_eq!(blocks[0]["transactions"][1]["id"], txid);
    assert_eq!(
        blocks[0]["transactions"][1]["vin"][0]["txid"],
        blocks[1]["transactions"][0]["id"]
    );
    assert!(folder.json(&["verify-chain"])["sound"] == true);
}

#[test]
fn online_line_for_line() {
    let (folder, a, b) = Folder::with_network();
    let node = folder.up(&["--no-mine"]);
    assert_eq!(folder.run(&["list-addresses"]).ok(), format!("{a}\n{b}"));
    let c = folder.new_address();
    let hashes = folder.run(&["print-blockchain"]).ok();
    assert!(is_hash(&hashes), "{hashes}");
    let full = folder.run(&["print-blockchain", "--full"]).ok();
    assert!(full.contains(&hashes), "{full}");

    assert_eq!(folder.balance(&a), "50");
    let txid = pay_50_of_50(&folder, &a, &b);
    // It waits, and its coins cannot be spent twice.
    assert_eq!(folder.json(&["rpc", "getrawmempool"]), json!([txid]));
    assert_eq!(folder.balance(&b), "0");
    assert_eq!(
        folder
            .run(&["send", "--from", &a, "--to", &b, "--amount", "50"])
            .status,
        1
    );

    folder.run(&["rpc", "generatetoaddress", "1", &a]).ok();
    assert_eq!(
        (folder.balance(&a), folder.balance(&b)),
        ("50".into(), "50".into())
    );
    // Change returns to the sender.
    folder
        .run(&[
            "send",
            "--from",
            &b,
            "--to",
            &c,
            "--amount",
            "0.00000001",
            "--fee-rate",
            "2",
        ])
        .ok();
    folder.run(&["rpc", "generatetoaddress", "1", &a]).ok();
    assert_eq!(folder.balance(&c), "0.00000001");
    assert_eq!(folder.run(&["rpc", "getblockcount"]).ok(), "2");
    drop(node);
    // Killed, not stopped: the next command finds the stale node.json, and the chain whole.
    assert_eq!(folder.balance(&c), "0.00000001");
    assert!(folder.json(&["verify-chain"])["sound"] == true);
}

/// The blocks pay the wallet's first address, or the one that is given; one on the other, the newest is printed last.
#[test]
fn blocks_are_mined_on_demand_with_a_node_and_without_one() {
    let folder = Folder::new();
    let regtest = |words: &[&str]| folder.run(&[&["--chain", "regtest"], words].concat());
    let mined = regtest(&["mine", "3"]).ok();
    let mut hashes: Vec<_> = mined.lines().map(str::to_owned).collect();
    assert!(hashes.len() == 3 && hashes.iter().all(|hash| is_hash(hash)));
    let first = regtest(&["list-addresses"]).ok();
    let other = regtest(&["create-wallet"]).ok();
    let other = other.strip_prefix("New address: ").expect("the line");
    let balance = |address: &str| regtest(&["get-balance", "--address", address]).ok();
    assert_eq!(balance(&first), format!("Balance of '{first}': 150"));

    let node = folder.up(&["--chain", "regtest", "--no-mine"]);
    let more = folder.json(&["--chain", "regtest", "mine", "20", "--address", other]);
    assert_eq!(more["address"], other);
    let blocks = more["blocks"].as_array().expect("a list");
    assert_eq!(blocks.len(), 20);
    hashes.extend(
        blocks
            .iter()
            .map(|hash| hash.as_str().expect("text").to_owned()),
    );
    assert_eq!(balance(other), format!("Balance of '{other}': 1000"));
    regtest(&[
        "mine",
        "1",
        "--address",
        "1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2",
    ])
    .fails(2, &["--address"]);
    drop(node);

    let last = regtest(&["m", "1", "--address", other]).ok();
    hashes.push(last);
    let printed = regtest(&["print-blockchain"]).ok();
    let mut printed: Vec<_> = printed.lines().collect();
    printed.reverse();
    assert_eq!(printed[1..], hashes);
    let verified = folder.json(&["--chain", "regtest", "verify-chain"]);
    assert_eq!(verified["sound"], true);
}

#[test]
fn verbs_go_by_letter_and_every_answer_has_a_json_form() {
    let (folder, a, b) = Folder::with_network();
    assert_eq!(folder.run(&["l"]).ok(), format!("{a}\n{b}"));
    assert!(is_hash(&folder.run(&["p"]).ok()));
    assert_eq!(
        folder.run(&["g", "--address", &a]).ok(),
        format!("Balance of '{a}': 50")
    );
    assert_eq!(folder.json(&["list-addresses"])[0]["address"], a.as_str());
    assert_eq!(
        folder.json(&["get-balance", "--address", &a])["balance"],
        json!(50)
    );
    assert_eq!(
        folder
            .json(&["print-blockchain"])
            .as_array()
            .expect("a list")
            .len(),
        1
    );
    assert_eq!(folder.json(&["status"])["height"], 0);
    assert_eq!(folder.json(&["chain", "show"])["name"], "mine");
    let sent = folder.json(&["s", "--from", &a, "--to", &b, "--amount", "20"]);
    assert_eq!(sent["success"], true);
    assert!(is_hash(
        sent["block"].as_str().expect("the block that was mined")
    ));
    assert_eq!(folder.balance(&a), "80");
    let refused = folder.run(&["send", "--from", &b, "--to", &a, "--amount", "21", "--json"]);
    assert_eq!(refused.status, 1);
    assert!(refused.stdout.contains("Not enough funds!"));
}

#[test]
fn blocks_go_into_a_file_and_into_another_folder() {
    let (folder, a, b) = Folder::with_network();
    folder
        .run(&["send", "--from", &a, "--to", &b, "--amount", "7"])
        .ok();
    let file = folder.file("blocks.dat");
    let file = file.to_str().expect("text");
    assert!(
        folder
            .run(&["export-blocks", file])
            .ok()
            .starts_with("Exported 2 blocks")
    );
    folder
        .run(&["export-blocks", file])
        .fails(1, &["blocks.dat exists already", "--force"]);

    let other = Folder::new();
    let spec = folder.file("network.toml");
    let spec = spec.to_str().expect("text");
    let imported = other.json(&["--chain", spec, "import-blocks", file]);
    assert_eq!(
        (&imported["new"], &imported["known"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(
        other.json(&["--chain", spec, "status"])["tip"],
        folder.json(&["status"])["tip"]
    );
    // A node takes them as well.
    let third = Folder::new();
    let node = third.up(&["--chain", spec, "--no-mine"]);
    let imported = third.json(&["--chain", spec, "import-blocks", file]);
    assert_eq!(
        (&imported["new"], &imported["height"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(
        third.json(&["--chain", spec, "import-blocks", file])["known"],
        2
    );
    let exported = third.file("again.dat");
    third
        .run(&[
            "--chain",
            spec,
            "export-blocks",
            exported.to_str().expect("text"),
        ])
        .ok();
    drop(node);
    assert_eq!(
        std::fs::read(exported).expect("it is there"),
        std::fs::read(file).expect("it is there")
    );
}

#[test]
fn a_wallet_is_restored_from_its_phrase() {
    let (folder, a, b) = Folder::with_network();
    folder
        .run(&["send", "--from", &a, "--to", &b, "--amount", "1"])
        .ok();
    let phrase = folder.run(&["wallet", "phrase"]).ok();
    assert_eq!(phrase.split(' ').count(), 12);
    std::fs::rename(folder.file("wallet.json"), folder.file("old.json")).expect("it moves");
    folder
        .run_with_input(&["restore-wallet"], &phrase.replacen(' ', " x", 1))
        .fails(1, &["word 2"]);
    assert!(!folder.file("wallet.json").exists());
    let restored = folder.run_with_input(&["restore-wallet"], &phrase).ok();
    assert!(restored.contains("2 used addresses"), "{restored}");
    assert_eq!(folder.run(&["list-addresses"]).ok(), format!("{a}\n{b}"));
    folder
        .run_with_input(&["restore-wallet"], &phrase)
        .fails(1, &["already"]);
}

/// An address whose coins are all spent is as used as any other.
#[test]
fn a_wallet_is_restored_beside_a_running_node() {
    let (folder, a, b) = Folder::with_network();
    let _node = folder.up(&["--no-mine"]);
    for (from, to, amount) in [(&a, &b, "1"), (&b, &a, "1")] {
        folder
            .run(&["send", "--from", from, "--to", to, "--amount", amount])
            .ok();
        folder.run(&["rpc", "generatetoaddress", "1", &a]).ok();
    }
    assert_eq!(folder.balance(&b), "0");
    let phrase = folder.run(&["wallet", "phrase"]).ok();
    std::fs::rename(folder.file("wallet.json"), folder.file("old.json")).expect("it moves");
    let restored = folder.run_with_input(&["restore-wallet"], &phrase).ok();
    assert!(restored.contains("2 used addresses"), "{restored}");
    assert_eq!(folder.run(&["list-addresses"]).ok(), format!("{a}\n{b}"));
}

/// Each command locks the wallet when it is done, perhaps before the other one has paid.
#[test]
fn two_payments_from_a_locked_wallet_at_a_time_both_succeed() {
    let mut folder = Folder::new();
    folder.set("QUARRY_PASSPHRASE", "right");
    let [a, b] = [(); 2].map(|()| folder.new_address());
    folder.run(&["init-blockchain", "--address", &a]).ok();
    let _node = folder.up(&["--no-mine"]);
    let send = || folder.run(&["send", "--from", &a, "--to", &b, "--amount", "1"]);
    std::thread::scope(|scope| {
        let other = scope.spawn(send);
        send().ok();
        other.join().expect("it does not panic").ok();
    });
}
