//! `rpc-auth`: a user with a new password for the JSON-RPC, as Bitcoin Core's `rpcauth.py` makes them.

use serde_json::json;

use super::super::args::RpcAuthArgs;
use super::super::context::Context;
use super::super::error::{CliResult, Context as _};
use crate::rpc::RpcUser;

/// Prints what the node must be told, and the password, which is nowhere else.
pub(super) fn run(context: &Context, args: &RpcAuthArgs) -> CliResult {
    let (user, password) = RpcUser::generate(&args.user).or_bad("USER")?;
    if context.out.is_json() {
        return context
            .out
            .json(&json!({ "rpc-auth": user.to_string(), "password": *password }));
    }
    context.out.line(format!("rpc-auth: {user}"))?;
    context.out.line(format!("password: {}", *password))
}
