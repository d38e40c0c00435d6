//! The command line: what can be said, as types. Nothing here acts.
//!
//! A command is found by its name, by a unique prefix of it, and the original's seven by their first letter (an exact
//! letter beats the prefixes: `s` is `send`, although `status` begins with it too).

mod peers;
mod up;

use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

use crate::node::{self, ThreadCount};
use crate::primitives::Amount;

pub(in crate::cli) use peers::{PeersArgs, PeersCommand};
pub(in crate::cli) use up::UpArgs;

/// A private proof-of-work payment network in one binary, in Bitcoin's own formats.
#[derive(Debug, Parser)]
#[command(
    name = "quarry",
    version,
    infer_subcommands = true,
    arg_required_else_help = true
)]
#[command(
    after_help = "Commands go by their name, a unique prefix, or, for the first seven, their first letter.\n\
    Settings come from flags, then QUARRY_… variables, then <datadir>/quarry.toml, then defaults."
)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    pub(in crate::cli) global: GlobalArgs,
    #[command(subcommand)]
    pub(in crate::cli) command: Command,
}

/// Flags that stand before or after any command.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Global options")]
pub(in crate::cli) struct GlobalArgs {
    /// Folder of wallet and chains [default: the platform's data folder]
    #[arg(long, global = true, env = "QUARRY_DATADIR", value_name = "DIR")]
    pub(in crate::cli) datadir: Option<PathBuf>,
    /// Network [default: the data folder's own, else dev]
    #[arg(
        long,
        global = true,
        env = "QUARRY_CHAIN",
        value_name = "dev|regtest|FILE"
    )]
    pub(in crate::cli) chain: Option<String>,
    /// A wallet of this name instead of the data folder's default one
    #[arg(long, global = true, env = "QUARRY_WALLET", value_name = "NAME")]
    pub(in crate::cli) wallet: Option<String>,
    /// Print JSON
    #[arg(long, global = true)]
    pub(in crate::cli) json: bool,
    /// error, warn, info, debug, trace, or directives such as info,quarry::network=debug
    #[arg(long, global = true, env = "QUARRY_LOG_LEVEL", value_name = "LEVEL")]
    pub(in crate::cli) log_level: Option<String>,
    /// Form of the log lines on standard error
    #[arg(
        long,
        global = true,
        env = "QUARRY_LOG_FORMAT",
        value_enum,
        value_name = "FORMAT"
    )]
    pub(in crate::cli) log_format: Option<LogFormat>,
    /// Settings file [default: quarry.toml in the data folder]
    #[arg(long, global = true, env = "QUARRY_CONFIG", value_name = "FILE")]
    pub(in crate::cli) config: Option<PathBuf>,
    /// File whose first line is the wallet's passphrase (or set QUARRY_PASSPHRASE)
    #[arg(
        long,
        global = true,
        env = "QUARRY_PASSPHRASE_FILE",
        value_name = "FILE"
    )]
    pub(in crate::cli) passphrase_file: Option<PathBuf>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Command {
    /// Make the wallet if there is none, and a new address in it
    #[command(alias = "c")]
    CreateWallet(CreateWalletArgs),
    /// Print the wallet's addresses, one a line
    #[command(alias = "l")]
    ListAddresses,
    /// Make a new network whose first block pays an address; it becomes the data folder's own
    #[command(alias = "i")]
    InitBlockchain(InitArgs),
    /// Print the blocks from the newest to the first
    #[command(alias = "p")]
    PrintBlockchain(PrintArgs),
    /// Print what an address owns
    #[command(alias = "g")]
    GetBalance(BalanceArgs),
    /// Pay from an address of the wallet
    #[command(alias = "s")]
    Send(SendArgs),
    /// Run a node: connect, follow the chain, mine
    #[command(alias = "u")]
    Up(Box<UpArgs>),
    /// Find blocks now, through the running node or without one
    Mine(MineArgs),
    /// Ask the running node through its JSON-RPC, as bitcoin-cli does
    Rpc(RpcArgs),
    /// Make a user with a new password for the JSON-RPC (nothing is kept: the line goes to `up --rpc-auth`)
    RpcAuth(RpcAuthArgs),
    /// Print how the node, or without one the chain, is doing
    Status,
    /// Print the running node's peers, or change whom it knows
    Peers(PeersArgs),
    /// Take in the blocks of a block file (records of magic, length, block)
    ImportBlocks(ImportArgs),
    /// Write the best chain into a block file
    ExportBlocks(ExportArgs),
    /// Compare coins and indexes with what follows from the stored blocks
    VerifyChain(VerifyArgs),
    /// Build the chain's database anew from the stored blocks
    ///
    /// Every header and block that can be read is judged again; coins, undo data and indexes are made anew. An interrupted
    /// reindex goes on when it is called again, and until then no node starts on the folder. What cannot be read comes from
    /// peers at the next `quarry up`. The wallet is not touched.
    Reindex(ReindexArgs),
    /// Measure how fast this machine searches for blocks, with each kernel that works here
    BenchMiner(BenchMinerArgs),
    /// Say what is wrong with the data folder, and the command that mends it
    Doctor,
    /// The network's parameters
    #[command(subcommand)]
    Chain(ChainCommand),
    /// Make the wallet again from its recovery phrase (asked for, or read from standard input)
    RestoreWallet(RestoreArgs),
    /// The wallet's secrets
    #[command(subcommand)]
    Wallet(WalletCommand),
    /// The key of a closed network, for `up --network-key-file`
    #[command(subcommand)]
    NetworkKey(NetworkKeyCommand),
    /// Succeed if the node of the data folder is healthy (for container health checks)
    Health,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct CreateWalletArgs {
    /// Ask for a passphrase that encrypts the new wallet
    #[arg(long)]
    pub(in crate::cli) encrypt: bool,
    /// Also print the words that restore the wallet
    #[arg(long)]
    pub(in crate::cli) show_phrase: bool,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct RestoreArgs {
    /// Ask for a passphrase that encrypts the wallet
    #[arg(long)]
    pub(in crate::cli) encrypt: bool,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct InitArgs {
    /// Who gets the coins of the first block
    #[arg(long, value_name = "ADDRESS")]
    pub(in crate::cli) address: String,
    /// Name of the network: a-z, 0-9 and - [default: mine]
    #[arg(long, default_value = "mine", hide_default_value = true)]
    pub(in crate::cli) name: String,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct PrintArgs {
    /// Print whole blocks, as JSON, instead of their hashes
    #[arg(long)]
    pub(in crate::cli) full: bool,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct BalanceArgs {
    /// Any address of the network
    #[arg(long, value_name = "ADDRESS")]
    pub(in crate::cli) address: String,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct SendArgs {
    /// Who pays: an address of the wallet; change returns to it
    #[arg(long, value_name = "ADDRESS")]
    pub(in crate::cli) from: String,
    /// Who is paid
    #[arg(long, value_name = "ADDRESS")]
    pub(in crate::cli) to: String,
    /// Coins, with at most 8 decimals
    #[arg(long, value_name = "COINS", value_parser = positive_amount, allow_hyphen_values = true)]
    pub(in crate::cli) amount: Amount,
    /// Fee in base units (0.00000001 coins) a byte
    #[arg(long, value_name = "UNITS", default_value_t = 0, value_parser = fee_rate)]
    pub(in crate::cli) fee_rate: u64,
}

fn fee_rate(text: &str) -> Result<u64, String> {
    text.parse()
        .map_err(|_| "expected a whole number of base units a byte, such as 0 or 1".to_owned())
}

fn positive_amount(text: &str) -> Result<Amount, String> {
    match text.parse() {
        Ok(Amount::ZERO) => Err("the amount is 0: the smallest is 0.00000001".to_owned()),
        Ok(amount) => Ok(amount),
        Err(error) => Err(format!("{error}")),
    }
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct MineArgs {
    /// How many blocks
    #[arg(value_name = "N", value_parser = block_count)]
    pub(in crate::cli) count: NonZeroU32,
    /// Who is paid for them [default: the wallet's first address; the wallet is made if there is none]
    #[arg(long, value_name = "ADDRESS")]
    pub(in crate::cli) address: Option<String>,
}

fn block_count(text: &str) -> Result<NonZeroU32, String> {
    text.parse()
        .map_err(|_| "expected a whole number of blocks from 1 on".to_owned())
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct RpcArgs {
    /// Read further parameters from standard input, one a line: for what lists of processes must not show
    #[arg(long)]
    pub(in crate::cli) stdin: bool,
    /// The method; `help` lists them
    pub(in crate::cli) method: String,
    /// Its parameters: JSON where they are, else texts
    #[arg(allow_negative_numbers = true, value_name = "PARAM")]
    pub(in crate::cli) params: Vec<String>,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct RpcAuthArgs {
    /// The user's name
    pub(in crate::cli) user: String,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct ImportArgs {
    /// The block file
    pub(in crate::cli) file: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct ExportArgs {
    /// The block file to write
    pub(in crate::cli) file: PathBuf,
    /// Replace a file that exists
    #[arg(long)]
    pub(in crate::cli) force: bool,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct VerifyArgs {
    /// Also apply every rule to every block again, signatures too (needs room for a second database)
    #[arg(long)]
    pub(in crate::cli) full: bool,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct ReindexArgs {
    /// Take what can be read from the files of a database that cannot be opened; the old one is kept beside
    #[arg(long)]
    pub(in crate::cli) salvage: bool,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct BenchMinerArgs {
    /// Threads that search together [default: all cores]
    #[arg(long, value_name = "N")]
    pub(in crate::cli) threads: Option<ThreadCount>,
    /// How often each kernel is measured; the median counts
    #[arg(long, value_name = "N", default_value = "9")]
    pub(in crate::cli) rounds: NonZeroUsize,
    /// Divide by the threads' processor time instead of the time of day: on a busy machine, what an idle one would reach
    #[arg(long)]
    pub(in crate::cli) cpu_time: bool,
}

/// What can be asked of a network's parameters.
#[derive(Debug, Clone, Copy, Subcommand)]
pub(in crate::cli) enum ChainCommand {
    /// Print the spec as TOML, the form that --chain takes, and the chain id
    Show,
}

/// What can be done with the key of a closed network.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum NetworkKeyCommand {
    /// Make a key, in a new file that only you can read, and print where it is
    New {
        /// The file [default: network.key in the data folder]
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}

/// What can be done with the wallet's secrets.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum WalletCommand {
    /// Print the words that restore the wallet: whoever reads them owns its coins
    Phrase,
    /// Set, change or remove the passphrase
    Passphrase {
        /// Store the wallet without a passphrase
        #[arg(long)]
        remove: bool,
    },
}

/// The forms of log lines.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(in crate::cli) enum LogFormat {
    /// For people
    Text,
    /// One JSON object a line
    Json,
}

impl From<LogFormat> for node::LogFormat {
    fn from(format: LogFormat) -> Self {
        match format {
            LogFormat::Text => Self::Text,
            LogFormat::Json => Self::Json,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn name(words: &[&str]) -> String {
        let parsed = Args::try_parse_from(["quarry"].iter().chain(words));
        match parsed {
            Ok(args) => format!("{:?}", args.command)
                .chars()
                .take_while(|c| c.is_alphabetic())
                .collect(),
            Err(error) => error.kind().to_string(),
        }
    }

    #[test]
    fn clap_finds_no_contradiction() {
        Args::command().debug_assert();
    }

    #[test]
    fn verbs_go_by_name_prefix_or_first_letter() {
        for (words, command) in [
            (vec!["create-wallet"], "CreateWallet"),
            (vec!["cr"], "CreateWallet"),
            (vec!["c"], "CreateWallet"),
            (vec!["l"], "ListAddresses"),
            (vec!["i", "--address", "1"], "InitBlockchain"),
            (vec!["p"], "PrintBlockchain"),
            (vec!["g", "--address", "1"], "GetBalance"),
            (
                vec!["s", "--from", "1", "--to", "2", "--amount", "3"],
                "Send",
            ),
            (vec!["u"], "Up"),
            (vec!["m", "5"], "Mine"),
            (vec!["st"], "Status"),
            (vec!["im", "file"], "ImportBlocks"),
            (vec!["ch", "show"], "Chain"),
            (vec!["hea"], "Health"),
        ] {
            assert_eq!(name(&words), command, "{words:?}");
        }
        assert!(
            Args::try_parse_from(["quarry", "res"]).is_ok(),
            "restore-wallet is the only one"
        );
        assert!(
            Args::try_parse_from(["quarry", "r"]).is_err(),
            "rpc, reindex or restore-wallet"
        );
    }

    #[test]
    fn global_flags_stand_before_or_after() {
        for words in [
            [
                "quarry",
                "--json",
                "rpc",
                "getblockhash",
                "-1",
                "--datadir=x",
            ],
            [
                "quarry",
                "rpc",
                "--datadir=x",
                "getblockhash",
                "-1",
                "--json",
            ],
        ] {
            let args = Args::try_parse_from(words).expect("good");
            assert!(args.global.json && args.global.datadir == Some("x".into()));
            let Command::Rpc(rpc) = args.command else {
                panic!("rpc")
            };
            assert_eq!(rpc.params, ["-1"]);
        }
    }

    #[test]
    fn numbers_are_refused_with_what_would_be_right() {
        let send = [
            "quarry", "send", "--from", "a", "--to", "b", "--amount", "1",
        ];
        for (words, says) in [
            (
                [&send[..], &["--fee-rate", "0.5"]].concat(),
                "whole number of base units",
            ),
            (
                vec!["quarry", "up", "--threads", "0"],
                "from 1 to 1024; --no-mine",
            ),
            (
                vec!["quarry", "bench-miner", "--threads", "100000"],
                "from 1 to 1024",
            ),
            (
                vec!["quarry", "up", "--cpu-share", "25"],
                "such as 0.25 for a quarter",
            ),
            (
                vec!["quarry", "up", "--miner-nice", "20"],
                "0 (like any program) to 19",
            ),
            (vec!["quarry", "mine", "0"], "blocks from 1 on"),
        ] {
            let error = Args::try_parse_from(words).unwrap_err();
            assert_eq!(error.exit_code(), 2);
            assert!(error.to_string().contains(says), "{error}");
        }
    }

    #[test]
    fn amounts_are_refused_with_what_would_be_right() {
        for (amount, says) in [
            ("0", "smallest is 0.00000001"),
            ("0.0", "smallest is 0.00000001"),
            ("-5", "negative"),
            ("0.123456789", "8 decimals"),
            ("21000001", "at most 21000000"),
            ("five", "decimal number"),
        ] {
            let words = [
                "quarry", "send", "--from", "a", "--to", "b", "--amount", amount,
            ];
            let error = Args::try_parse_from(words).unwrap_err();
            assert_eq!(error.exit_code(), 2);
            assert!(error.to_string().contains(says), "{amount}: {error}");
        }
    }
}
