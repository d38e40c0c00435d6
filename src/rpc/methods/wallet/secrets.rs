//! The wallet's passphrase, and single private keys.

use std::time::Duration;

use serde_json::{Value, json};

use super::imports::import_one;
use crate::keys::{Address, PublicKey, SecretKey};
use crate::rpc::error::{RpcError, code};
use crate::rpc::method::{Answer, Call, Kind, Method, optional, required};
use crate::wallet::{Descriptor, WalletError};

/// The longest unlocking in seconds, about three years (Bitcoin Core, `MAX_SLEEP_TIME`).
const MAX_UNLOCK_SECONDS: u64 = 100_000_000;

pub(super) const ENCRYPTWALLET: Method = Method {
    name: "encryptwallet",
    params: &[required(
        "passphrase",
        Kind::Text,
        "The passphrase, at least one character",
    )],
    about: "Encrypts the wallet, which is locked then. Copies made before are as they were, so its recovery phrase stays the same.",
    result: "\"str\" (string) what to do now",
    run: encryptwallet,
};

pub(super) const WALLETPASSPHRASE: Method = Method {
    name: "walletpassphrase",
    params: &[
        required("passphrase", Kind::Text, "The passphrase of the wallet"),
        required(
            "timeout",
            Kind::Integer,
            "For how many seconds the wallet can pay",
        ),
    ],
    about: "Unlocks the wallet for a while.",
    result: "null",
    run: walletpassphrase,
};

pub(super) const WALLETPASSPHRASECHANGE: Method = Method {
    name: "walletpassphrasechange",
    params: &[
        required("oldpassphrase", Kind::Text, "The passphrase of the wallet"),
        required("newpassphrase", Kind::Text, "The one that it shall have"),
    ],
    about: "Encrypts the wallet with another passphrase.",
    result: "null",
    run: walletpassphrasechange,
};

pub(super) const WALLETLOCK: Method = Method {
    name: "walletlock",
    params: &[],
    about: "Removes the keys from memory; walletpassphrase brings them back.",
    result: "null",
    run: walletlock,
};

pub(super) const DUMPPRIVKEY: Method = Method {
    name: "dumpprivkey",
    params: &[required("address", Kind::Text, "An address of the wallet")],
    about: "The private key of an address. Whoever has it and a public descriptor of the wallet (listdescriptors) can work out all its keys of this network: show at most one of the two.",
    result: "\"str\" (string) the key in wallet import format",
    run: dumpprivkey,
};

pub(super) const IMPORTPRIVKEY: Method = Method {
    name: "importprivkey",
    params: &[
        required(
            "privkey",
            Kind::Text,
            "A private key in wallet import format, of a compressed public key",
        ),
        optional("label", Kind::Text, "A label for its address"),
        optional(
            "rescan",
            Kind::Ignored,
            "Not used: the chain's index finds what it has",
        ),
    ],
    about: "Imports a private key: the same as importdescriptors with pkh(KEY). The recovery phrase does not restore it.",
    result: "null",
    run: importprivkey,
};

pub(super) const IMPORTADDRESS: Method = Method {
    name: "importaddress",
    params: &[
        required("address", Kind::Text, "The address to watch"),
        optional("label", Kind::Text, "A label for it"),
        optional(
            "rescan",
            Kind::Ignored,
            "Not used: the chain's index finds what it has",
        ),
        optional("p2sh", Kind::Ignored, "Not used"),
    ],
    about: "Watches an address, in a wallet without private keys: the same as importdescriptors with addr(ADDRESS).",
    result: "null",
    run: importaddress,
};

pub(super) const IMPORTPUBKEY: Method = Method {
    name: "importpubkey",
    params: &[
        required("pubkey", Kind::Text, "A compressed public key in hex"),
        optional("label", Kind::Text, "A label for its address"),
        optional(
            "rescan",
            Kind::Ignored,
            "Not used: the chain's index finds what it has",
        ),
    ],
    about: "Watches the address of a public key, in a wallet without private keys: the same as importdescriptors with pkh(KEY).",
    result: "null",
    run: importpubkey,
};

fn encryptwallet(call: &Call<'_>) -> Answer {
    let passphrase = call.args.required_text("passphrase")?;
    let wallet = call.wallet()?;
    wallet.keys(|wallet| {
        if !wallet.has_private_keys() {
            return Err(RpcError::new(
                code::WALLET_ENCRYPTION_FAILED,
                "Error: wallet does not contain private keys, nothing to encrypt.",
            ));
        }
        if wallet.is_encrypted() {
            return Err(RpcError::new(
                code::WALLET_WRONG_ENC_STATE,
                "Error: running with an encrypted wallet, but encryptwallet was called.",
            ));
        }
        if passphrase.is_empty() {
            return Err(RpcError::invalid_parameter("passphrase cannot be empty"));
        }
        wallet.set_passphrase(Some(passphrase))?;
        Ok(wallet.lock()?)
    })?;
    Ok(json!(
        "wallet encrypted; unlock it with walletpassphrase to pay. Copies made before are not encrypted."
    ))
}

fn walletpassphrase(call: &Call<'_>) -> Answer {
    let passphrase = call.args.required_text("passphrase")?;
    let seconds: i64 = call.args.required_integer("timeout")?;
    let seconds = u64::try_from(seconds)
        .map_err(|_| RpcError::invalid_parameter("Timeout cannot be negative."))?;
    let duration = Duration::from_secs(seconds.min(MAX_UNLOCK_SECONDS));
    let (stop, runtime) = (call.context.stop.clone(), call.runtime);
    call.wallet()?.unlock(passphrase, duration, stop, runtime)?;
    Ok(Value::Null)
}

fn walletpassphrasechange(call: &Call<'_>) -> Answer {
    let old = call.args.required_text("oldpassphrase")?;
    let new = call.args.required_text("newpassphrase")?;
    if old.is_empty() || new.is_empty() {
        return Err(RpcError::invalid_parameter("passphrase cannot be empty"));
    }
    call.wallet()?.keys(|wallet| {
        let was_locked = wallet.is_locked();
        wallet.unlock(old)?;
        let changed = wallet.set_passphrase(Some(new));
        if was_locked {
            wallet.lock()?;
        }
        Ok(changed?)
    })?;
    Ok(Value::Null)
}

fn walletlock(call: &Call<'_>) -> Answer {
    call.wallet()?.lock()?;
    Ok(Value::Null)
}

fn dumpprivkey(call: &Call<'_>) -> Answer {
    let spec = call.context.spec();
    let text = call.args.required_text("address")?;
    let hash = Address::parse(text, spec.address_version)?.pubkey_hash();
    let key = call.wallet()?.keys(|wallet| {
        if wallet.is_locked() {
            return Err(WalletError::Locked.into());
        }
        Ok(wallet.secret_key_for(&hash)?)
    })?;
    let unknown = || {
        let message = format!("Private key for address {text} is not known");
        RpcError::new(code::WALLET_ERROR, message)
    };
    let key = key.ok_or_else(unknown)?;
    Ok(json!(key.to_wif(spec.wif_version).as_str()))
}

fn importprivkey(call: &Call<'_>) -> Answer {
    let text = call.args.required_text("privkey")?;
    let key = SecretKey::from_wif(text, call.context.spec().wif_version).map_err(|error| {
        let message = format!("Invalid private key encoding: {error}");
        RpcError::new(code::INVALID_ADDRESS_OR_KEY, message)
    })?;
    import_one(call, Descriptor::of_secret(key))
}

fn importaddress(call: &Call<'_>) -> Answer {
    let version = call.context.spec().address_version;
    let hash = call.args.required_address("address", version)?;
    import_one(call, Descriptor::of_hash(hash))
}

fn importpubkey(call: &Call<'_>) -> Answer {
    const WRONG: &str = "Pubkey must be a hex string";
    let bytes = call.args.required_hex("pubkey", WRONG)?;
    let key = PublicKey::from_bytes(&bytes).map_err(|error| {
        let message = format!("Pubkey is not a valid public key: {error}");
        RpcError::new(code::INVALID_ADDRESS_OR_KEY, message)
    })?;
    import_one(call, Descriptor::of_public(key))
}
