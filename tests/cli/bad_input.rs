//! Bad input gets an error that names it and what would be right, status 2 for a wrong call and 1 for a failure, and
//! changes nothing.

use super::support::Folder;

/// An address of `regtest`, and the same with a mistyped character on `dev`.
const OF_REGTEST: &str = "mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn";

#[test]
fn wrong_calls() {
    let folder = Folder::new();
    for words in [
        &[][..],
        &["no-such-command"],
        &["send"],
        &["--no-such-flag", "status"],
        &["r"],
        &["rpc"],
    ] {
        let run = folder.run(words);
        assert_eq!(
            (run.status, run.stdout.as_str()),
            (2, ""),
            "{words:?}: {run:?}"
        );
    }
    folder
        .run(&["--chain", "testnet", "status"])
        .fails(2, &["'testnet'", "dev, regtest"]);
    folder
        .run(&["--log-level", "lowd", "status"])
        .fails(2, &["'lowd'", "debug"]);
    folder
        .run(&["up", "--rpc-listen", "here"])
        .fails(2, &["'here'", "IP:PORT"]);
    folder
        .run(&["up", "--threads", "0"])
        .fails(2, &["--threads"]);
    folder
        .run(&["rpc", "getblockhash", "five"])
        .fails(2, &["'five'"]);
    assert_eq!(folder.snapshot(), []);
}

#[test]
fn wrong_addresses() {
    let (folder, a, b) = Folder::with_network();
    let before = folder.snapshot();
    // Two neighbours that differ, swapped.
    let at = (5..30)
        .find(|&at| a.as_bytes()[at] != a.as_bytes()[at + 1])
        .expect("no address is one character");
    let mut mistyped = a.clone().into_bytes();
    mistyped.swap(at, at + 1);
    let mistyped = String::from_utf8(mistyped).expect("ASCII");
    let cut = &a[..a.len() - 3];
    for (wrong, why) in [
        (mistyped.as_str(), "checksum"),
        (OF_REGTEST, "another network"),
        ("1O", "Base58"),
        ("", "bytes"),
        (cut, "bytes"),
    ] {
        folder
            .run(&["get-balance", "--address", wrong])
            .fails(2, &["--address", wrong, why]);
        folder
            .run(&["send", "--from", &a, "--to", wrong, "--amount", "1"])
            .fails(2, &["--to", wrong, why]);
        folder
            .run(&["send", "--from", wrong, "--to", &a, "--amount", "1"])
            .fails(2, &["--from", wrong, why]);
        folder
            .run(&["init-blockchain", "--address", wrong])
            .fails(2, &["--address", wrong, why]);
        if !wrong.is_empty() {
            folder
                .run(&["up", "--mining-address", wrong])
                .fails(2, &["--mining-address", wrong, why]);
        }
    }
    // A good address that is not ours cannot pay.
    let foreign = Folder::new().new_address();
    folder
        .run(&["send", "--from", &foreign, "--to", &b, "--amount", "1"])
        .fails(1, &[&foreign, "list-addresses"]);
    assert_eq!(
        (folder.snapshot(), folder.balance(&a)),
        (before, "50".into())
    );
}

#[test]
fn wrong_amounts() {
    let (folder, a, b) = Folder::with_network();
    for (amount, why) in [
        ("0", "smallest is 0.00000001"),
        ("-1", "negative"),
        ("1.123456789", "8 decimals"),
        ("21000000.00000001", "21000000"),
        ("99999999999999999999999999", "21000000"),
        ("1e3", "decimal number"),
        ("", "decimal number"),
    ] {
        folder
            .run(&["send", "--from", &a, "--to", &b, "--amount", amount])
            .fails(2, &["--amount", why]);
    }
    folder
        .run(&[
            "send",
            "--from",
            &a,
            "--to",
            &b,
            "--amount",
            "1",
            "--fee-rate",
            "18446744073709551615",
        ])
        .fails(1, &["fee rate"]);
    assert_eq!(folder.balance(&a), "50");
}

#[test]
fn damaged_specs_and_settings() {
    let folder = Folder::new();
    let spec = folder.run(&["chain", "show"]).ok();
    let file = folder.file("spec.toml");
    let name = file.to_str().expect("text");
    for (from, to, why) in [
        (
            "target_spacing = 10",
            "target_spacing = 0",
            "target_spacing",
        ),
        ("halving_interval", "halving_intervall", "halving_intervall"),
        ("coin_type = 1", "", "coin_type"),
        ("time = 1767225600", "time = 1767225601", "genesis.nonce"),
        ("[genesis]", "[genesis", "TOML"),
    ] {
        std::fs::write(&file, spec.replacen(from, to, 1)).expect("a file");
        folder
            .run(&["--chain", name, "status"])
            .fails(1, &["spec.toml", why]);
        folder
            .run(&["--chain", name, "up"])
            .fails(1, &["spec.toml", why]);
    }
    std::fs::remove_file(&file).expect("it goes");
    std::fs::write(folder.file("quarry.toml"), "prot-offset = 5\n").expect("a file");
    folder
        .run(&["status"])
        .fails(1, &["quarry.toml", "prot-offset"]);
    assert!(!folder.file("dev").exists() && !folder.file("wallet.json").exists());
}

#[test]
fn a_network_that_is_there_already() {
    let (folder, a, _) = Folder::with_network();
    let before = folder.snapshot();
    folder
        .run(&["init-blockchain", "--address", &a])
        .fails(1, &["network.toml exists", "--datadir"]);
    folder
        .run(&["--chain", "dev", "init-blockchain", "--address", &a])
        .fails(2, &["--chain", "--name"]);
    let empty = Folder::new();
    for name in ["dev", "regtest", "Mine", "../up", ""] {
        empty
            .run(&["init-blockchain", "--address", &a, "--name", name])
            .fails(2, &["--name", "a-z"]);
    }
    assert_eq!((folder.snapshot(), empty.snapshot()), (before, vec![]));
}

#[test]
fn a_folder_of_another_network() {
    let (folder, ..) = Folder::with_network();
    let (other, ..) = Folder::with_network();
    let spec = other.file("network.toml");
    let spec = spec.to_str().expect("text");
    // Both are named `mine`, so they would share a folder.
    folder
        .run(&["--chain", spec, "print-blockchain"])
        .fails(1, &["another network", "genesis.payout", "--datadir"]);
    folder
        .run(&["--chain", spec, "up", "--no-mine"])
        .fails(1, &["another network", "genesis.payout"]);
    assert_eq!(folder.json(&["status"])["height"], 0);
    // A network without a chain here is not made by asking.
    folder
        .run(&["--chain", "regtest", "print-blockchain"])
        .fails(1, &["no chain", "regtest", "quarry up"]);
    assert!(!folder.file("regtest").exists());
}

#[test]
fn a_folder_of_a_newer_schema() {
    let (folder, ..) = Folder::with_network();
    let database = folder.file("mine/db");
    {
        let columns =
            rocksdb::DB::list_cf(&rocksdb::Options::default(), &database).expect("it exists");
        let db = rocksdb::DB::open_cf(&rocksdb::Options::default(), &database, columns)
            .expect("it opens");
        let meta = db.cf_handle("meta").expect("the column of the version");
        db.put_cf(meta, b"schema", 7_000_000_u32.to_be_bytes())
            .expect("it is written");
    }
    for words in [
        &["print-blockchain"][..],
        &["up", "--no-mine"],
        &["verify-chain"],
    ] {
        folder
            .run(words)
            .fails(1, &["schema version 7000000", "newer quarry"]);
    }
}

#[test]
fn a_corrupt_wallet() {
    let (folder, a, b) = Folder::with_network();
    let file = folder.file("wallet.json");
    let good = std::fs::read_to_string(&file).expect("it is there");
    let digit = good
        .rfind(|c: char| c.is_ascii_digit())
        .expect("hexadecimal");
    let mut changed = good.clone();
    changed.replace_range(
        digit..=digit,
        if &good[digit..=digit] == "1" {
            "2"
        } else {
            "1"
        },
    );
    for bad in ["", "{", &good[..good.len() / 2], &changed] {
        std::fs::write(&file, bad).expect("it is ours");
        for words in [
            &["list-addresses"][..],
            &["create-wallet"],
            &["send", "--from", &a, "--to", &b, "--amount", "1"],
            &["up"],
        ] {
            folder.run(words).fails(1, &["wallet.json", "damaged"]);
        }
        assert_eq!(
            std::fs::read_to_string(&file).expect("it is there"),
            bad,
            "it is left as it was"
        );
    }
    std::fs::write(&file, good).expect("it is ours");
    assert_eq!(folder.balance(&a), "50");
}

#[test]
fn a_wrong_passphrase() {
    let mut folder = Folder::new();
    folder.set("QUARRY_PASSPHRASE", "right");
    let (a, b) = (folder.new_address(), folder.new_address());
    folder.run(&["init-blockchain", "--address", &a]).ok();
    assert!(
        !std::fs::read_to_string(folder.file("wallet.json"))
            .expect("a wallet")
            .contains("phrase\": \"")
    );
    let send = ["send", "--from", &a, "--to", &b, "--amount", "10"];
    folder.set("QUARRY_PASSPHRASE", "wrong");
    folder.run(&send).fails(1, &["wrong passphrase"]);
    folder
        .run(&["wallet", "phrase"])
        .fails(1, &["wrong passphrase"]);
    folder.set("QUARRY_PASSPHRASE", "");
    folder
        .run(&send)
        .fails(1, &["--passphrase-file", "QUARRY_PASSPHRASE"]);
    assert_eq!(folder.balance(&a), "50");
    // What needs no secret works locked.
    assert_eq!(folder.run(&["list-addresses"]).ok(), format!("{a}\n{b}"));
    let file = folder.file("passphrase");
    std::fs::write(&file, "right\nsecond line\n").expect("a file");
    let with_file = [
        &send[..],
        &["--passphrase-file", file.to_str().expect("text")],
    ]
    .concat();
    folder.run(&with_file).ok();
    assert_eq!(folder.balance(&b), "10");

    let _node = folder.up(&["--no-mine"]);
    folder.set("QUARRY_PASSPHRASE", "wrong");
    folder.run(&send).fails(1, &["wrong passphrase"]);
    folder.set("QUARRY_PASSPHRASE", "right");
    folder.run(&send).ok();
}

#[test]
fn bad_block_files() {
    let (folder, ..) = Folder::with_network();
    let file = folder.file("blocks.dat");
    let name = file.to_str().expect("text");
    folder
        .run(&["import-blocks", name])
        .fails(1, &["blocks.dat"]);
    folder.run(&["export-blocks", name]).ok();
    let good = std::fs::read(&file).expect("it is there");
    let other = Folder::new();
    other
        .run(&["import-blocks", name])
        .fails(1, &["byte 0", "another network"]);
    assert!(!other.file("dev").exists());
    std::fs::write(&file, &good[..good.len() - 1]).expect("it is ours");
    folder
        .run(&["import-blocks", name])
        .fails(1, &["byte 0", "cut off"]);
    folder
        .run(&["export-blocks", "/no/such/folder/blocks.dat"])
        .fails(1, &["/no/such/folder/blocks.dat"]);
}

#[test]
fn errors_of_the_node_are_told_as_bitcoin_cli_does() {
    let folder = Folder::new();
    folder
        .run(&["rpc", "getblockcount"])
        .fails(1, &["no node", "quarry up"]);
    let _node = folder.up(&["--no-mine"]);
    let run = folder.run(&["rpc", "getblockhash", "99"]);
    assert_eq!(
        run.stderr,
        "error code: -8\nerror message:\nBlock height out of range\n"
    );
    run.fails(1, &[]);
    folder
        .run(&["rpc", "nosuchmethod"])
        .fails(1, &["error code: -32601", "Method not found"]);
}
