//! What an address owns, asked of a running node or of the database.

use serde_json::{Value, json};

use super::access::Access;
use super::error::{CliError, CliResult, Context as _};
use crate::consensus::ChainSpec;
use crate::keys::Address;
use crate::node::OfflineChain;
use crate::primitives::{Amount, Transaction, Txid};
use crate::rpc::Client;
use crate::wallet::{Ledger, LedgerContext};

/// What an address owns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Funds {
    /// Everything that is in the chain.
    pub(super) balance: Amount,
    /// What of it can be spent now.
    pub(super) spendable: Amount,
    /// What of it was mined too recently.
    pub(super) immature: Amount,
    /// What waiting transactions bring.
    pub(super) pending: Amount,
    /// What waiting transactions spend.
    pub(super) being_spent: Amount,
}

impl Funds {
    /// Asks for what `address` owns.
    pub(super) fn of(access: &Access, spec: &ChainSpec, address: &Address) -> CliResult<Self> {
        match access {
            Access::Offline(chain) => {
                let ledger = ledger(chain, spec, address)?;
                let sums = ledger.balances();
                let balance = sums.spendable.checked_add(sums.immature);
                let balance = balance
                    .ok_or_else(|| CliError::failure("the coins add up to more than can exist"))?;
                Ok(Self {
                    balance,
                    spendable: sums.spendable,
                    immature: sums.immature,
                    pending: sums.pending,
                    being_spent: sums.being_spent,
                })
            }
            Access::Online(client) => Self::read(&ask(client, address)?),
        }
    }

    fn read(answer: &Value) -> CliResult<Self> {
        let amount = |field: &str| -> CliResult<Amount> {
            let text = answer[field].to_string();
            text.parse().or_fail_to(format!(
                "read '{field}' of the node's answer to getaddressbalance"
            ))
        };
        Ok(Self {
            balance: amount("balance")?,
            spendable: amount("spendable")?,
            immature: amount("immature")?,
            pending: amount("pending")?,
            being_spent: amount("being_spent")?,
        })
    }

    /// Whether the address was ever paid, even if nothing of it is left.
    pub(super) fn were_ever(access: &Access, address: &Address) -> CliResult<bool> {
        match access {
            Access::Offline(chain) => chain.is_used(&address.pubkey_hash()).or_fail(),
            Access::Online(client) => {
                let answer = ask(client, address)?;
                let mined = answer["transactions"].as_u64().ok_or_else(|| {
                    CliError::failure(
                        "the node's answer to getaddressbalance has no 'transactions'",
                    )
                })?;
                Ok(mined > 0 || Self::read(&answer)?.pending > Amount::ZERO)
            }
        }
    }
}

fn ask(client: &Client, address: &Address) -> CliResult<Value> {
    client
        .call("getaddressbalance", json!([address.to_string()]))
        .or_fail()
}

/// The coins of an address, by what can be done with them. Without a node nothing waits.
pub(super) fn ledger(
    chain: &OfflineChain,
    spec: &ChainSpec,
    address: &Address,
) -> CliResult<Ledger> {
    let context = LedgerContext {
        tip_height: chain.tip().height,
        coinbase_maturity: spec.coinbase_maturity,
    };
    let owner = address.pubkey_hash();
    let coins = chain.address_coins(&owner).or_fail()?;
    let waiting: [(Txid, &Transaction); 0] = [];
    Ledger::new(context, |hash| *hash == owner, coins, waiting).or_fail()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nodes_answer_is_read_exactly() {
        let answer: Value = serde_json::from_str(
            r#"{"balance": 20999999.99999999, "spendable": 0.00000001, "immature": 50.00000000, "pending": 0, "being_spent": 1.5}"#,
        )
        .unwrap();
        let funds = Funds::read(&answer).unwrap();
        assert_eq!(funds.balance.to_string(), "20999999.99999999");
        assert_eq!(funds.immature.to_string(), "50");
        assert!(Funds::read(&json!({})).is_err());
    }
}
