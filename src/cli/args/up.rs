//! The flags of `up`, each of which is also a variable and a key of the settings file.

use std::path::PathBuf;

use clap::builder::BoolishValueParser;

use crate::node::{CpuShare, Kernel, ListenAt, MinerConfigError, Niceness, Settings, ThreadCount};
use crate::primitives::Work;

/// How a node is run.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct UpArgs {
    /// Who is paid for mined blocks [default: the wallet's first address; the wallet is made if there is none]
    #[arg(long, env = "QUARRY_MINING_ADDRESS", value_name = "ADDRESS")]
    mining_address: Option<String>,
    /// Do not mine
    #[arg(long, env = "QUARRY_NO_MINE", value_parser = BoolishValueParser::new(), value_name = "BOOL",
        num_args = 0..=1, require_equals = true, default_missing_value = "true", hide_possible_values = true)]
    no_mine: Option<bool>,
    /// Threads that mine [default: all cores but one]
    #[arg(long, env = "QUARRY_THREADS", value_name = "N", value_parser = thread_count)]
    threads: Option<ThreadCount>,
    /// How they search: one that `quarry bench-miner` lists [default: the fastest]
    #[arg(long, env = "QUARRY_MINER_KERNEL", value_name = "KERNEL")]
    miner_kernel: Option<Kernel>,
    /// Part of its time that each of these threads works, such as 0.25 [default: 1]
    #[arg(long, env = "QUARRY_CPU_SHARE", value_name = "SHARE")]
    cpu_share: Option<CpuShare>,
    /// How much they yield to other programs: 0, not at all, to 19; on Linux [default: 19]
    #[arg(long, env = "QUARRY_MINER_NICE", value_name = "N")]
    miner_nice: Option<Niceness>,
    /// Peer to stay connected to: host:port or a multiaddress; may be repeated
    #[arg(
        long,
        env = "QUARRY_PEER",
        value_delimiter = ',',
        value_name = "ADDRESS"
    )]
    peer: Vec<String>,
    /// Node to ask for others at first; may be repeated
    #[arg(
        long,
        env = "QUARRY_BOOTNODE",
        value_delimiter = ',',
        value_name = "ADDRESS"
    )]
    bootnode: Vec<String>,
    /// Do not look for peers on the local network
    #[arg(long, env = "QUARRY_NO_MDNS", value_parser = BoolishValueParser::new(), value_name = "BOOL",
        num_args = 0..=1, require_equals = true, default_missing_value = "true", hide_possible_values = true)]
    no_mdns: Option<bool>,
    /// Key of a closed network, which nodes with another key or none cannot join; `quarry network-key new` makes one
    #[arg(long, env = "QUARRY_NETWORK_KEY_FILE", value_name = "FILE")]
    network_key_file: Option<PathBuf>,
    /// Take no chain from peers that has less work than this, in hexadecimal: the chainwork that another node's
    /// getblockchaininfo tells keeps a new node from storing anything made up [default: 0]
    #[arg(long, env = "QUARRY_MINIMUM_CHAIN_WORK", value_name = "HEX")]
    minimum_chain_work: Option<Work>,
    /// Where to await peers: IP, PORT or IP:PORT [default: 0.0.0.0:7667]
    #[arg(long, env = "QUARRY_LISTEN", value_name = "IP:PORT")]
    listen: Option<ListenAt>,
    /// Where the JSON-RPC listens [default: 127.0.0.1:7668]
    #[arg(long, env = "QUARRY_RPC_LISTEN", value_name = "IP:PORT")]
    rpc_listen: Option<ListenAt>,
    /// Where the explorer listens [default: 127.0.0.1:7669]
    #[arg(long, env = "QUARRY_EXPLORER_LISTEN", value_name = "IP:PORT")]
    explorer_listen: Option<ListenAt>,
    /// Serve external miners by Stratum, and where: IP, PORT or IP:PORT [default: off; without a value: 127.0.0.1:3333]
    #[arg(long, env = "QUARRY_STRATUM_LISTEN", value_name = "IP:PORT", num_args = 0..=1, default_missing_value = "127.0.0.1")]
    stratum_listen: Option<ListenAt>,
    /// Name, besides localhost and addresses, under which RPC and explorer answer; may be repeated
    #[arg(
        long,
        env = "QUARRY_ALLOW_HOST",
        value_delimiter = ',',
        value_name = "NAME"
    )]
    allow_host: Vec<String>,
    /// Who may use the RPC, beside the holder of the cookie: USER:SALT$HASH, as `quarry rpc-auth USER` makes it; may be
    /// repeated
    #[arg(
        long,
        env = "QUARRY_RPC_AUTH",
        value_delimiter = ',',
        value_name = "USER:SALT$HASH",
        hide_env_values = true
    )]
    rpc_auth: Vec<String>,
    /// Added to the default ports
    #[arg(long, env = "QUARRY_PORT_OFFSET", value_name = "N")]
    port_offset: Option<u16>,
}

fn thread_count(text: &str) -> Result<ThreadCount, String> {
    text.parse()
        .map_err(|error: MinerConfigError| format!("{error}; --no-mine turns mining off"))
}

impl UpArgs {
    /// What flags and environment say.
    pub(in crate::cli) fn settings(&self) -> Settings {
        let list = |list: &Vec<String>| {
            // An empty variable is one empty entry.
            let given: Vec<_> = list
                .iter()
                .filter(|text| !text.is_empty())
                .cloned()
                .collect();
            (!given.is_empty()).then_some(given)
        };
        Settings {
            listen: self.listen,
            rpc_listen: self.rpc_listen,
            explorer_listen: self.explorer_listen,
            allow_host: list(&self.allow_host),
            rpc_auth: list(&self.rpc_auth),
            port_offset: self.port_offset,
            peer: list(&self.peer),
            bootnode: list(&self.bootnode),
            no_mdns: self.no_mdns,
            network_key_file: self
                .network_key_file
                .clone()
                .filter(|path| !path.as_os_str().is_empty()),
            minimum_chain_work: self.minimum_chain_work,
            no_mine: self.no_mine,
            mining_address: self.mining_address.clone(),
            threads: self.threads,
            miner_kernel: self.miner_kernel,
            stratum_listen: self.stratum_listen,
            cpu_share: self.cpu_share,
            miner_nice: self.miner_nice,
            ..Settings::default()
        }
    }
}
