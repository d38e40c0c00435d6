//! `get-balance`.

use serde_json::json;

use super::super::access::{Access, Missing};
use super::super::args::BalanceArgs;
use super::super::context::Context;
use super::super::error::CliResult;
use super::super::funds::Funds;
use super::super::output::coins;

/// Prints the sum of an address's confirmed coins.
pub(super) fn run(context: &Context, args: &BalanceArgs) -> CliResult {
    let address = context.address("--address", &args.address)?;
    let access = Access::find(context, Missing::Refuse)?;
    let funds = Funds::of(&access, &context.spec, &address)?;
    access.close()?;
    context.out.show(
        || {
            json!({
                "address": address.to_string(),
                "balance": coins(funds.balance),
                "spendable": coins(funds.spendable),
                "immature": coins(funds.immature),
                "pending": coins(funds.pending),
                "being_spent": coins(funds.being_spent),
            })
        },
        || format!("Balance of '{address}': {}", funds.balance),
    )
}
