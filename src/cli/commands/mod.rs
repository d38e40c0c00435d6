//! The commands, one file for each that is more than a line, and their dispatch.

mod balance;
mod bench_miner;
mod blocks;
mod chain;
mod doctor;
mod health;
mod init;
mod mine;
mod network_key;
mod peers;
mod print;
mod reindex;
mod rpc;
mod rpc_auth;
mod send;
mod status;
mod verify;
mod wallet;

use super::args::{Args, Command};
use super::context::Context;
use super::error::CliResult;
use super::up;
use crate::node::Settings;

/// Runs the command.
pub(super) fn run(args: Args) -> CliResult {
    let Args { global, command } = args;
    let own = match &command {
        Command::Up(args) => args.settings(),
        _ => Settings::default(),
    };
    if let Command::InitBlockchain(args) = &command {
        return init::run(&global, args);
    }
    if let Command::Doctor = &command {
        return doctor::run(&global);
    }
    let context = Context::new(&global, own)?;
    let advice = context.command("doctor");
    let result = match &command {
        Command::Up(_) => up::run(context),
        other => in_context(&context, other),
    };
    result.map_err(|error| error.with_advice(&advice))
}

fn in_context(context: &Context, command: &Command) -> CliResult {
    super::start_logs(context)?;
    match command {
        Command::CreateWallet(args) => wallet::create(context, args),
        Command::RestoreWallet(args) => wallet::restore(context, args),
        Command::Wallet(command) => wallet::secrets(context, command),
        Command::ListAddresses => wallet::list(context),
        Command::PrintBlockchain(args) => print::run(context, args),
        Command::GetBalance(args) => balance::run(context, args),
        Command::Send(args) => send::run(context, args),
        Command::Mine(args) => mine::run(context, args),
        Command::Rpc(args) => rpc::run(context, args),
        Command::NetworkKey(command) => network_key::run(context, command),
        Command::RpcAuth(args) => rpc_auth::run(context, args),
        Command::Status => status::run(context),
        Command::Peers(args) => peers::run(context, args.command.as_ref()),
        Command::ImportBlocks(args) => blocks::import(context, args),
        Command::ExportBlocks(args) => blocks::export(context, args),
        Command::VerifyChain(args) => verify::run(context, args.full),
        Command::Chain(command) => chain::run(context, *command),
        Command::Health => health::run(context),
        Command::BenchMiner(args) => bench_miner::run(context, args),
        Command::Reindex(args) => reindex::run(context, args.salvage),
        Command::InitBlockchain(_) | Command::Up(_) | Command::Doctor => {
            unreachable!("dispatched above")
        }
    }
}
