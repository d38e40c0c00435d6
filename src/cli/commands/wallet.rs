//! `create-wallet`, `list-addresses`, `restore-wallet` and `wallet …`.

use serde_json::{Value, json};

use super::super::access::{Access, Missing};
use super::super::args::{CreateWalletArgs, RestoreArgs, WalletCommand};
use super::super::context::Context;
use super::super::error::{CliError, CliResult, Context as _};
use super::super::funds::Funds;
use super::super::passphrase::{self, Secret};
use super::super::wallet_access;
use crate::wallet::Wallet;

/// `create-wallet`: one more address, in a new wallet if there is none.
pub(super) fn create(context: &Context, args: &CreateWalletArgs) -> CliResult {
    let mut wallet = match args.encrypt {
        true => make_encrypted(context)?,
        false => wallet_access::open_or_make(context)?,
    };
    if args.show_phrase {
        wallet_access::unlock(context, &mut wallet)?;
    }
    let hash = wallet_access::new_address(context, &mut wallet)?;
    let address = context.address_of(hash).to_string();
    let phrase = match args.show_phrase {
        true => Some(wallet.recovery_phrase().or_fail()?),
        false => None,
    };
    if context.out.is_json() {
        let mut value = json!({ "address": address });
        if let Some(phrase) = phrase {
            value["recovery_phrase"] = Value::String(phrase.to_string());
        }
        return context.out.json(&value);
    }
    context.out.line(format_args!("New address: {address}"))?;
    if let Some(phrase) = phrase {
        context
            .out
            .line(format_args!("Recovery phrase: {}", phrase.as_str()))?;
    }
    Ok(())
}

fn make_encrypted(context: &Context) -> CliResult<Wallet> {
    let file = &context.wallet_file;
    if wallet_access::open_if_any(context)?.is_some() {
        return Err(CliError::Failure(format!(
            "there is a wallet at {} already; set its passphrase with `quarry wallet passphrase`",
            file.display()
        )));
    }
    let passphrase = context.passphrase.new_one()?;
    Wallet::create(file, Some(&passphrase)).or_fail()
}

/// The passphrase that a restored wallet gets, if any.
fn passphrase_for_new(context: &Context, ask: bool) -> CliResult<Option<Secret>> {
    match ask {
        true => context.passphrase.new_one().map(Some),
        false => context.passphrase.given(),
    }
}

/// `list-addresses`.
pub(super) fn list(context: &Context) -> CliResult {
    let wallet = wallet_access::open(context)?;
    let addresses = wallet.addresses(context.spec.coin_type);
    if context.out.is_json() {
        let list: Vec<_> = addresses
            .iter()
            .map(|owned| {
                json!({
                    "address": context.address_of(owned.hash).to_string(),
                    "path": owned.path(),
                    "change": owned.is_change(),
                    "created": owned.created,
                })
            })
            .collect();
        return context.out.json(&list);
    }
    for owned in addresses {
        context.out.line(context.address_of(owned.hash))?;
    }
    Ok(())
}

/// `restore-wallet`: the wallet of a phrase, with the addresses that were ever paid on the chain that is here.
pub(super) fn restore(context: &Context, args: &RestoreArgs) -> CliResult {
    if wallet_access::open_if_any(context)?.is_some() {
        return Err(CliError::Failure(format!(
            "there is a wallet at {} already; move it away first if you really want another one here",
            context.wallet_file.display()
        )));
    }
    let phrase = passphrase::recovery_phrase()?;
    let passphrase = passphrase_for_new(context, args.encrypt)?;
    let passphrase = passphrase.as_deref().map(String::as_str);
    let file = &context.wallet_file;
    let mut wallet = Wallet::restore(file, &phrase, passphrase).or_fail()?;
    let found = if context.network().has_chain() {
        find_used(context, &mut wallet)?
    } else {
        0
    };
    if wallet.addresses(context.spec.coin_type).is_empty() {
        wallet_access::new_address(context, &mut wallet)?;
    }
    let addresses = wallet.addresses(context.spec.coin_type);
    let first = addresses
        .first()
        .map(|owned| context.address_of(owned.hash).to_string());
    context.out.show(
        || json!({ "first_address": first, "used_addresses": found }),
        || {
            let first = first.clone().unwrap_or_default();
            format!("Wallet restored: {found} used addresses found\nFirst address: {first}")
        },
    )
}

/// Searches the chain for addresses of the wallet that were used.
fn find_used(context: &Context, wallet: &mut Wallet) -> CliResult<usize> {
    let access = Access::find(context, Missing::Refuse)?;
    let mut failure = None;
    let found = wallet
        .discover(context.spec.coin_type, |hash| {
            match Funds::were_ever(&access, &context.address_of(*hash)) {
                Ok(used) => used,
                Err(error) => {
                    failure.get_or_insert(error);
                    false
                }
            }
        })
        .or_fail()?;
    match failure {
        None => access.close().map(|()| found),
        Some(error) => Err(CliError::Failure(format!(
            "the wallet is restored, but its used addresses could not be searched for: {error}"
        ))),
    }
}

/// `wallet phrase` and `wallet passphrase`.
pub(super) fn secrets(context: &Context, command: &WalletCommand) -> CliResult {
    let mut wallet = wallet_access::open(context)?;
    match command {
        WalletCommand::Phrase => {
            wallet_access::unlock(context, &mut wallet)?;
            let phrase = wallet.recovery_phrase().or_fail()?;
            context.out.show(
                || json!({ "recovery_phrase": phrase.as_str() }),
                || phrase.to_string(),
            )
        }
        WalletCommand::Passphrase { remove } => {
            let was_encrypted = wallet.is_encrypted();
            wallet_access::unlock(context, &mut wallet)?;
            let new = match (remove, was_encrypted) {
                (true, _) => None,
                // File and variable hold the old one.
                (false, true) => Some(context.passphrase.ask_new()?),
                (false, false) => Some(context.passphrase.new_one()?),
            };
            wallet
                .set_passphrase(new.as_deref().map(String::as_str))
                .or_fail()?;
            let encrypted = wallet.is_encrypted();
            context.out.show(
                || json!({ "encrypted": encrypted }),
                || match encrypted {
                    true => {
                        "The wallet is encrypted. Copies made before are as they were.".to_owned()
                    }
                    false => "The wallet is stored without a passphrase.".to_owned(),
                },
            )
        }
    }
}
