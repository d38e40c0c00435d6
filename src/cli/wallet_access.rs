//! The wallet as commands use it: opened, made, unlocked.

use serde_json::json;

use super::context::Context;
use super::error::{CliResult, Context as _};
use crate::primitives::PubkeyHash;
use crate::rpc::{Client, code};
use crate::wallet::{Wallet, WalletError};

/// The wallet of the data folder, which must exist.
pub(super) fn open(context: &Context) -> CliResult<Wallet> {
    Wallet::open(&context.wallet_file).or_fail()
}

/// The wallet of the data folder, if there is one.
pub(super) fn open_if_any(context: &Context) -> CliResult<Option<Wallet>> {
    match Wallet::open(&context.wallet_file) {
        Ok(wallet) => Ok(Some(wallet)),
        Err(WalletError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error).or_fail(),
    }
}

/// The wallet of the data folder; made, with the passphrase that is given or without one, if there is none. Of several
/// commands that begin at the same time one makes it and the others open it.
pub(super) fn open_or_make(context: &Context) -> CliResult<Wallet> {
    if let Some(wallet) = open_if_any(context)? {
        return Ok(wallet);
    }
    let passphrase = context.passphrase.given()?;
    let passphrase = passphrase.as_deref().map(String::as_str);
    match Wallet::create(&context.wallet_file, passphrase) {
        Err(WalletError::AlreadyExists { .. }) => open(context),
        made => made.or_fail(),
    }
}

/// The node, calling methods of the command's wallet, which it loads if it has not.
pub(super) fn through_node(context: &Context, client: Client) -> CliResult<Client> {
    let name = context.wallet.as_deref().unwrap_or_default();
    match client.call("loadwallet", json!([name])) {
        Ok(_) => {}
        Err(error) if error.code() == Some(code::WALLET_ALREADY_LOADED) => {}
        Err(error) => return Err(error).or_fail(),
    }
    Ok(client.for_wallet(name))
}

/// Unlocks the wallet, if it is locked.
pub(super) fn unlock(context: &Context, wallet: &mut Wallet) -> CliResult {
    if wallet.is_locked() {
        let passphrase = context.passphrase.existing()?;
        wallet.unlock(&passphrase).or_fail()?;
    }
    Ok(())
}

/// A new address on the command's network. Only the first one of a network needs the passphrase.
pub(super) fn new_address(context: &Context, wallet: &mut Wallet) -> CliResult<PubkeyHash> {
    match wallet.new_address(context.spec.coin_type) {
        Err(WalletError::LockedForNewNetwork { .. }) => {
            unlock(context, wallet)?;
            wallet.new_address(context.spec.coin_type).or_fail()
        }
        other => other.or_fail(),
    }
}

/// Who is paid for blocks unless told otherwise: the wallet's first address; the wallet is made if there is none.
pub(super) fn payout(context: &Context) -> CliResult<PubkeyHash> {
    let mut wallet = open_or_make(context)?;
    let addresses = wallet.addresses(context.spec.coin_type);
    let first = addresses.into_iter().find(|owned| !owned.is_change());
    match first {
        Some(owned) => Ok(owned.hash),
        None => new_address(context, &mut wallet),
    }
}
