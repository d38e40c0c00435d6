//! Wallets as such: made, loaded, described, copied.

use std::path::Path;

use serde_json::{Map, Value, json};

use crate::rpc::error::{RpcError, code};
use crate::rpc::method::{Answer, Call, Kind, Method, optional, required};
use crate::wallet::{Extent, GAP_LIMIT, Wallet, WalletError};

/// The version that Bitcoin Core tells of its current wallets; clients compare it.
const WALLET_VERSION: u32 = 169_900;

pub(super) const CREATEWALLET: Method = Method {
    name: "createwallet",
    params: &[
        required("wallet_name", Kind::Text, "Its name, which its file has"),
        optional(
            "disable_private_keys",
            Kind::Boolean,
            "true for a wallet that watches imported descriptors and signs nothing (default false)",
        ),
        optional(
            "blank",
            Kind::Boolean,
            "Taken for compatibility: a wallet with private keys always has a recovery phrase, which is not used before an address is asked for",
        ),
        optional(
            "passphrase",
            Kind::Text,
            "Encrypts the wallet (default: none)",
        ),
        optional("avoid_reuse", Kind::Ignored, "Not used"),
        optional("descriptors", Kind::Boolean, "Must be true"),
        optional(
            "load_on_startup",
            Kind::Ignored,
            "Not used: named wallets are loaded by loadwallet",
        ),
        optional("external_signer", Kind::Boolean, "Must be false"),
    ],
    about: "Makes a wallet and loads it. Its recovery phrase is shown by `quarry wallet phrase`.",
    result: "{\"name\": \"str\", \"warnings\"?: [\"str\", ...]} (object)",
    run: createwallet,
};

pub(super) const LOADWALLET: Method = Method {
    name: "loadwallet",
    params: &[
        required("filename", Kind::Text, "The wallet's name"),
        optional("load_on_startup", Kind::Ignored, "Not used"),
    ],
    about: "Loads a wallet. The default one, of the empty name, is loaded as it is.",
    result: "{\"name\": \"str\"} (object)",
    run: loadwallet,
};

pub(super) const UNLOADWALLET: Method = Method {
    name: "unloadwallet",
    params: &[
        optional(
            "wallet_name",
            Kind::Text,
            "The wallet's name (default: the one that the path names)",
        ),
        optional("load_on_startup", Kind::Ignored, "Not used"),
    ],
    about: "Forgets a wallet and its secrets. Its file stays.",
    result: "{} (object)",
    run: unloadwallet,
};

pub(super) const LISTWALLETS: Method = Method {
    name: "listwallets",
    params: &[],
    about: "The names of the wallets that are loaded; the default one's is empty.",
    result: "[\"str\", ...] (array)",
    run: listwallets,
};

pub(super) const LISTWALLETDIR: Method = Method {
    name: "listwalletdir",
    params: &[],
    about: "The names of the wallets that have a file.",
    result: "{\"wallets\": [{\"name\": \"str\", \"warnings\": [...]}, ...]} (object)",
    run: listwalletdir,
};

pub(super) const GETWALLETINFO: Method = Method {
    name: "getwalletinfo",
    params: &[],
    about: "What the wallet is. Balances are told by getbalances.",
    result: "{\"walletname\": \"str\", \"walletversion\": n, \"format\": \"str\", \"txcount\": n, \"keypoolsize\": n, \"keypoolsize_hd_internal\": n, \"unlocked_until\"?: n, \"paytxfee\": n, \"private_keys_enabled\": true|false, \"avoid_reuse\": false, \"scanning\": false, \"descriptors\": true, \"external_signer\": false, \"blank\": true|false, \"birthtime\": n, \"flags\": [...], \"lastprocessedblock\": {\"hash\": \"hex\", \"height\": n}} (object)",
    run: getwalletinfo,
};

pub(super) const BACKUPWALLET: Method = Method {
    name: "backupwallet",
    params: &[required(
        "destination",
        Kind::Text,
        "The absolute path of the file to write, or of a folder to write it into; a file that exists is not replaced",
    )
    .such_as(r#""/backups/wallet.json""#)],
    about: "Writes a copy of the wallet's file. It is as secret as the wallet.",
    result: "null",
    run: backupwallet,
};

pub(super) const RESTOREWALLET: Method = Method {
    name: "restorewallet",
    params: &[
        required("wallet_name", Kind::Text, "The name of the wallet to make"),
        required(
            "backup_file",
            Kind::Text,
            "The absolute path of a file that backupwallet wrote",
        )
        .such_as(r#""/backups/wallet.json""#),
        optional("load_on_startup", Kind::Ignored, "Not used"),
    ],
    about: "Makes a wallet of a copy, and loads it.",
    result: "{\"name\": \"str\"} (object)",
    run: restorewallet,
};

pub(super) const RESCANBLOCKCHAIN: Method = Method {
    name: "rescanblockchain",
    params: &[
        optional(
            "start_height",
            Kind::Integer,
            "Taken for compatibility: the blocks that touch the wallet are found by an index, so all are read",
        ),
        optional("stop_height", Kind::Integer, "As start_height"),
    ],
    about: "Makes the wallet's history anew from the blocks that touch its addresses.",
    result: "{\"start_height\": n, \"stop_height\": n} (object)",
    run: rescanblockchain,
};

fn createwallet(call: &Call<'_>) -> Answer {
    let name = call.args.required_text("wallet_name")?;
    if call.args.boolean("descriptors") == Some(false) {
        return Err(RpcError::new(
            code::WALLET_ERROR,
            "descriptors argument must be set to \"true\"; it is no longer possible to create a legacy wallet.",
        ));
    }
    if call.args.boolean("external_signer").unwrap_or(false) {
        let message = "external signers are not run by the node; use PSBTs";
        return Err(RpcError::new(code::WALLET_ERROR, message));
    }
    let passphrase = call.args.text("passphrase").filter(|text| !text.is_empty());
    let path = call.context.wallet.path_of(name)?;
    let made = match (call.args.boolean("disable_private_keys"), passphrase) {
        (Some(true), Some(_)) => {
            return Err(RpcError::new(
                code::WALLET_ERROR,
                "Passphrase provided but private keys are disabled. A passphrase is only used to encrypt private keys, so cannot be used for wallets with private keys disabled.",
            ));
        }
        (Some(true), None) => Wallet::create_watch_only(&path),
        (Some(false) | None, passphrase) => Wallet::create(&path, passphrase),
    };
    let wallet = made.map_err(|error| match error {
        WalletError::AlreadyExists { path } => RpcError::new(
            code::WALLET_ERROR,
            format!(
                "Wallet file verification failed. Failed to create database path '{}'. Database already exists.",
                path.display()
            ),
        ),
        other => other.into(),
    })?;
    let loaded = call.context.wallet.load(name, wallet)?;
    let mut answer = json!({ "name": loaded.name() });
    if call.args.text("passphrase") == Some("") {
        answer["warnings"] =
            json!(["Empty string given as passphrase, wallet will not be encrypted."]);
    }
    Ok(answer)
}

fn loadwallet(call: &Call<'_>) -> Answer {
    let name = call.args.required_text("filename")?;
    let loaded = call.context.wallet.load_from_disk(name)?;
    Ok(json!({ "name": loaded.name() }))
}

fn unloadwallet(call: &Call<'_>) -> Answer {
    let name = match (call.args.text("wallet_name"), call.wallet) {
        (Some(name), Some(path)) if name != path => {
            return Err(RpcError::invalid_parameter(
                "RPC endpoint wallet and wallet_name parameter specify different wallets",
            ));
        }
        (Some(name), _) | (None, Some(name)) => name.to_owned(),
        (None, None) => {
            return Err(RpcError::invalid_parameter(
                "Either the RPC endpoint wallet or the wallet name parameter must be provided",
            ));
        }
    };
    call.context.wallet.unload(&name)?;
    Ok(Value::Object(Map::new()))
}

fn listwallets(call: &Call<'_>) -> Answer {
    Ok(json!(call.context.wallet.names()))
}

fn listwalletdir(call: &Call<'_>) -> Answer {
    let names = call.context.wallet.names_on_disk().map_err(|error| {
        let folder = call.context.wallet.folder();
        let message = format!("cannot list {}: {error}", folder.display());
        RpcError::new(code::WALLET_ERROR, message)
    })?;
    let wallets: Vec<Value> = names
        .iter()
        .map(|name| json!({ "name": name, "warnings": [] }))
        .collect();
    Ok(json!({ "wallets": wallets }))
}

fn getwalletinfo(call: &Call<'_>) -> Answer {
    let wallet = call.wallet()?;
    wallet.with(call.context, |open| {
        let (hash, height) = open.book.tip();
        let extent = open.wallet.extent(call.context.spec().coin_type);
        let mut info = json!({
            "walletname": wallet.name(),
            "walletversion": WALLET_VERSION,
            "format": format!("quarry-wallet-{}", open.wallet.format_version()),
            "txcount": open.book.transaction_count(),
            "keypoolsize": GAP_LIMIT,
            "keypoolsize_hd_internal": GAP_LIMIT,
            "paytxfee": 0,
            "private_keys_enabled": open.wallet.has_private_keys(),
            "avoid_reuse": false,
            "scanning": false,
            "descriptors": true,
            "external_signer": false,
            "blank": extent == Extent::default(),
            "birthtime": open.wallet.created(),
            "flags": [],
            "lastprocessedblock": { "hash": hash, "height": height },
        });
        if open.wallet.is_encrypted() {
            info["unlocked_until"] = json!(open.unlocked_until);
        }
        Ok(info)
    })
}

/// The node's working folder is not that of whoever asks.
fn absolute(text: &str) -> Result<&Path, RpcError> {
    let path = Path::new(text);
    match path.is_absolute() {
        true => Ok(path),
        false => Err(RpcError::invalid_parameter(
            "the path must be absolute: the node may run in another folder than you",
        )),
    }
}

fn backupwallet(call: &Call<'_>) -> Answer {
    let destination = absolute(call.args.required_text("destination")?)?;
    let wallet = call.wallet()?;
    let file = match (destination.is_dir(), wallet.path().file_name()) {
        (true, Some(name)) => destination.join(name),
        _ => destination.to_owned(),
    };
    wallet.keys(|wallet| Ok(wallet.back_up(&file)?))?;
    Ok(Value::Null)
}

fn restorewallet(call: &Call<'_>) -> Answer {
    let name = call.args.required_text("wallet_name")?;
    let copy = absolute(call.args.required_text("backup_file")?)?;
    let path = call.context.wallet.path_of(name)?;
    if !copy.exists() {
        return Err(RpcError::invalid_parameter("Backup file does not exist"));
    }
    let wallet = Wallet::restore_file(path, copy)?;
    let loaded = call.context.wallet.load(name, wallet)?;
    Ok(json!({ "name": loaded.name() }))
}

fn rescanblockchain(call: &Call<'_>) -> Answer {
    let tip = call.context.reader().tip().height;
    let start: u32 = call.args.integer("start_height")?.unwrap_or(0);
    let stop: u32 = call.args.integer("stop_height")?.unwrap_or(tip);
    if start > tip {
        return Err(RpcError::invalid_parameter("Invalid start_height"));
    }
    if stop > tip || stop < start {
        return Err(RpcError::invalid_parameter("Invalid stop_height"));
    }
    let wallet = call.wallet()?;
    wallet.rescan();
    wallet.with(call.context, |_| Ok(()))?;
    Ok(json!({ "start_height": start, "stop_height": stop }))
}
