//! `rpc`: any method of the running node, as `bitcoin-cli` calls it.

use std::io::{self, BufRead, Read};

use serde_json::Value;

use super::super::access::running_node;
use super::super::args::RpcArgs;
use super::super::context::Context;
use super::super::error::{CliError, CliResult, Context as _};
use crate::rpc::{ClientError, RpcError, positional_params};

/// Bytes of standard input that are read at most: what a request may hold.
const MAX_STDIN: u64 = 10 << 20;

/// Calls the method and prints its result: texts bare, everything else as JSON, nothing for null.
pub(super) fn run(context: &Context, args: &RpcArgs) -> CliResult {
    let mut params = args.params.clone();
    if args.stdin {
        for line in io::stdin().lock().take(MAX_STDIN).lines() {
            params.push(line.or_fail_to("read standard input")?);
        }
    }
    let params =
        positional_params(&args.method, &params).map_err(|error| CliError::Usage(error.message))?;
    let client = running_node(context)?;
    let client = match &context.wallet {
        Some(name) => client.for_wallet(name),
        None => client,
    };
    let result = client
        .call(&args.method, params)
        .map_err(|error| match error {
            ClientError::Rpc(error) => CliError::Node(like_core(&error)),
            other => CliError::failure(other),
        })?;
    match result {
        Value::Null if !context.out.is_json() => Ok(()),
        Value::String(text) if !context.out.is_json() => context.out.line(text),
        other => context.out.json(&other),
    }
}

/// The form in which `bitcoin-cli` tells an error.
fn like_core(error: &RpcError) -> String {
    format!(
        "error code: {}\nerror message:\n{}",
        error.code, error.message
    )
}
