//! `send`: a payment from one address of the wallet; change returns to it.
//!
//! A running node builds, signs and relays it. Without one it is built here, and the block that holds it is mined here and
//! now and paid to the sender, as the original did.

use serde_json::{Value, json};

use super::super::access::{Access, Missing};
use super::super::args::SendArgs;
use super::super::context::Context;
use super::super::error::{CliError, CliResult, Context as _};
use super::super::funds;
use super::super::output::coins;
use super::super::progress;
use super::super::wallet_access;
use crate::keys::Address;
use crate::node::OfflineChain;
use crate::rpc::{Client, ClientError, code};
use crate::wallet::{FeeRate, Payment, PaymentError, SignedPayment, Wallet, WalletError};

/// For how long a node's wallet is unlocked for one payment, in seconds, should locking it again fail.
const UNLOCK_SECONDS: u64 = 60;

/// How often a node's wallet is unlocked for one payment: another command, done with its own, may lock it in between.
const UNLOCK_TRIES: u32 = 2;

/// What the payer is told.
struct Receipt {
    txid: Value,
    fee: Value,
    block: Value,
}

/// Why nothing was paid.
enum Unpaid {
    Funds,
    Other(CliError),
}

impl From<CliError> for Unpaid {
    fn from(error: CliError) -> Self {
        Self::Other(error)
    }
}

/// Pays.
pub(super) fn run(context: &Context, args: &SendArgs) -> CliResult {
    let from = context.address("--from", &args.from)?;
    let to = context.address("--to", &args.to)?;
    let wallet = wallet_access::open(context)?;
    if !wallet.owns(&from.pubkey_hash()) {
        return Err(CliError::Failure(format!(
            "--from: '{from}' is not an address of this wallet; `quarry list-addresses` prints those that are"
        )));
    }
    let paid = match Access::find(context, Missing::Refuse)? {
        Access::Online(client) => {
            let client = wallet_access::through_node(context, client)?;
            through_node(context, &client, args, &from, &to)
        }
        Access::Offline(chain) => {
            let paid = in_database(context, wallet, &chain, args, &from, &to);
            chain.close().or_fail()?;
            paid
        }
    };
    match paid {
        Ok(Receipt { txid, fee, block }) => context.out.show(
            || json!({ "success": true, "txid": txid, "fee": fee, "block": block }),
            || format!("Success!\n{}", txid.as_str().unwrap_or_default()),
        ),
        Err(Unpaid::Funds) => {
            context.out.show(
                || json!({ "success": false, "error": "Not enough funds!" }),
                || "Not enough funds!".to_owned(),
            )?;
            Err(CliError::Told)
        }
        Err(Unpaid::Other(error)) => Err(error),
    }
}

/// Has the running node pay, and unlocks its wallet for that if it must.
fn through_node(
    context: &Context,
    client: &Client,
    args: &SendArgs,
    from: &Address,
    to: &Address,
) -> Result<Receipt, Unpaid> {
    let params = json!([
        from.to_string(),
        to.to_string(),
        coins(args.amount),
        args.fee_rate
    ]);
    let pay = || client.call("sendfrom", params.clone());
    let mut answer = pay();
    if is_locked(&answer) {
        let passphrase = context.passphrase.existing()?;
        for _ in 0..UNLOCK_TRIES {
            let unlocked = client.call(
                "walletpassphrase",
                json!([passphrase.as_str(), UNLOCK_SECONDS]),
            );
            unlocked.map_err(told)?;
            answer = pay();
            if !is_locked(&answer) {
                break;
            }
        }
        // Should this fail, the time limit locks it.
        let _ = client.call("walletlock", json!([]));
    }
    let answer = answer.map_err(|error| match error.code() {
        Some(code::WALLET_INSUFFICIENT_FUNDS) => Unpaid::Funds,
        _ => Unpaid::Other(told(error)),
    })?;
    Ok(Receipt {
        txid: answer["txid"].clone(),
        fee: answer["fee"].clone(),
        block: Value::Null,
    })
}

fn is_locked(answer: &Result<Value, ClientError>) -> bool {
    matches!(answer, Err(error) if error.code() == Some(code::WALLET_UNLOCK_NEEDED))
}

/// A node's error without its code, which is for programs.
fn told(error: ClientError) -> CliError {
    match error {
        ClientError::Rpc(error) => CliError::Failure(error.message),
        other => CliError::failure(other),
    }
}

/// Pays on the database, and mines the block.
fn in_database(
    context: &Context,
    mut wallet: Wallet,
    chain: &OfflineChain,
    args: &SendArgs,
    from: &Address,
    to: &Address,
) -> Result<Receipt, Unpaid> {
    let ledger = funds::ledger(chain, &context.spec, from)?;
    let payment = Payment::new(
        vec![(to.pubkey_hash(), args.amount)],
        FeeRate::per_byte(args.fee_rate),
        from.pubkey_hash(),
        ledger.spendable().to_vec(),
    );
    let signed = sign(context, &mut wallet, &payment)?;
    let (txid, fee) = (signed.txid, signed.fee);
    let spinner = progress::spinner("Mining the block");
    let mined = chain.mine_payment(signed.tx, from.pubkey_hash());
    spinner.finish_and_clear();
    Ok(Receipt {
        txid: json!(txid),
        fee: coins(fee),
        block: json!(mined.or_fail()?),
    })
}

/// Builds and signs. The passphrase is asked for only where there is enough to pay with.
fn sign(
    context: &Context,
    wallet: &mut Wallet,
    payment: &Payment,
) -> Result<SignedPayment, Unpaid> {
    let result = match wallet.pay(&context.spec, payment) {
        Err(PaymentError::Wallet(WalletError::Locked)) => {
            wallet_access::unlock(context, wallet)?;
            wallet.pay(&context.spec, payment)
        }
        other => other,
    };
    result.map_err(|error| match error {
        PaymentError::NotEnoughFunds { .. } => Unpaid::Funds,
        other => Unpaid::Other(CliError::failure(other)),
    })
}
