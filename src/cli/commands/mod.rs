//! The commands, one file for each that is more than a line, and their dispatch.

mod balance;
mod blocks;
mod chain;
mod health;
mod init;
mod peers;
mod print;
mod rpc;
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
    let context = Context::new(&global, own)?;
    if let Command::Up(_) = &command {
        return up::run(context);
    }
    super::start_logs(&context)?;
    match &command {
        Command::CreateWallet(args) => wallet::create(&context, args),
        Command::RestoreWallet(args) => wallet::restore(&context, args),
        Command::Wallet(command) => wallet::secrets(&context, command),
        Command::ListAddresses => wallet::list(&context),
        Command::PrintBlockchain(args) => print::run(&context, args),
        Command::GetBalance(args) => balance::run(&context, args),
        Command::Send(args) => send::run(&context, args),
        Command::Rpc(args) => rpc::run(&context, args),
        Command::Status => status::run(&context),
        Command::Peers => peers::run(&context),
        Command::ImportBlocks(args) => blocks::import(&context, args),
        Command::ExportBlocks(args) => blocks::export(&context, args),
        Command::VerifyChain => verify::run(&context),
        Command::Chain(command) => chain::run(&context, *command),
        Command::Health => health::run(&context),
        Command::InitBlockchain(_) | Command::Up(_) => unreachable!("dispatched above"),
    }
}
