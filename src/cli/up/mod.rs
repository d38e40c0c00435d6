//! `up`: runs a node, with a banner and one status line on a terminal, and with plain log lines elsewhere.

mod banner;
mod keys;
mod screen;
mod status_line;

use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::runtime::{Builder, Runtime};
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

use super::context::Context;
use super::error::{CliResult, Context as _};
use super::wallet_access;
use crate::node::{self, Node, NodeConfig, RunningNode, StartError, StratumSettings};
use crate::primitives::PubkeyHash;
use crate::rpc::RpcUser;
use banner::Facts;
use screen::Screen;

/// Threads of the executor at most: its work is small, mining and validation have threads of their own.
const MAX_WORKERS: usize = 4;

/// How long the banner waits for the node's own addresses.
const ADDRESS_PATIENCE: Duration = Duration::from_secs(2);

/// How long the executor may take to end once the node has.
const RUNTIME_PATIENCE: Duration = Duration::from_millis(500);

/// Runs a node until it is told to stop. From the first on, a signal ends it in order.
pub(super) fn run(context: Context) -> CliResult {
    let runtime = runtime()?;
    let stop = CancellationToken::new();
    let result = runtime.block_on(async {
        node::stop_on_signals(stop.clone()).or_fail_to("wait for signals")?;
        start_and_run(Arc::new(context), stop).await
    });
    // A question to a peer's name server may still be under way; nothing waits for its answer.
    runtime.shutdown_timeout(RUNTIME_PATIENCE);
    result
}

async fn start_and_run(context: Arc<Context>, stop: CancellationToken) -> CliResult {
    let interactive =
        !context.out.is_json() && io::stdin().is_terminal() && io::stdout().is_terminal();
    let screen = interactive.then(|| Arc::new(Screen::default()));
    start_logs(&context, screen.as_ref())?;
    let config = {
        let context = Arc::clone(&context);
        // It may ask for a passphrase, and derives keys.
        let configured = spawn_blocking(move || config(&context));
        tokio::select! {
            configured = configured => configured.or_fail_to("prepare the node")??,
            () = stop.cancelled() => return Ok(()),
        }
    };
    match Node::start(config.clone(), stop).await {
        Ok(node) => run_node(&context, &config, node, screen).await,
        Err(StartError::Stopped) => Ok(()),
        Err(error) => Err(error).or_fail(),
    }
}

fn runtime() -> CliResult<Runtime> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    Builder::new_multi_thread()
        .worker_threads(cores.clamp(1, MAX_WORKERS))
        .enable_all()
        .build()
        .or_fail_to("start the async runtime")
}

/// On a terminal only warnings come between banner and status line, and a reorg has a line of its own.
fn start_logs(context: &Context, screen: Option<&Arc<Screen>>) -> CliResult {
    let settings = &context.settings;
    let format = settings.log_format.unwrap_or_default();
    let colours = io::stderr().is_terminal();
    let on_screen = screen.filter(|_| colours);
    let level = settings.log_level.as_deref();
    let (level, writer) = match on_screen {
        Some(screen) => {
            let screen = Arc::clone(screen);
            let writer = BoxMakeWriter::new(move || screen::LogWriter::new(Arc::clone(&screen)));
            (level.unwrap_or("warn,reorg=off"), writer)
        }
        None => (level.unwrap_or("info"), BoxMakeWriter::new(io::stderr)),
    };
    node::init_telemetry(level, format, colours, writer).or_bad("--log-level")
}

fn config(context: &Context) -> CliResult<NodeConfig> {
    let settings = context.settings.clone();
    let mine_to = mine_to(context)?;
    let stratum = match settings.stratum_listen {
        None => None,
        // Without threads of its own a node may still have an address.
        Some(listen) => Some(StratumSettings {
            listen,
            payout: mine_to.or(mining_address(context)?),
        }),
    };
    Ok(NodeConfig {
        folder: context.folder.clone(),
        spec: context.spec.clone(),
        listen: settings.listen.unwrap_or_default(),
        rpc_listen: settings.rpc_listen.unwrap_or_default(),
        explorer_listen: settings.explorer_listen.unwrap_or_default(),
        port_offset: settings.port_offset.unwrap_or(0),
        allowed_hosts: settings.allow_host.unwrap_or_default(),
        rpc_users: rpc_users(settings.rpc_auth.as_deref().unwrap_or_default())?,
        mdns: !settings.no_mdns.unwrap_or(false),
        peers: settings.peer.unwrap_or_default(),
        bootnodes: settings.bootnode.unwrap_or_default(),
        network_key_file: settings.network_key_file,
        minimum_work: settings.minimum_chain_work.unwrap_or_default(),
        mine_to,
        threads: settings.threads.unwrap_or_default(),
        miner_kernel: settings.miner_kernel,
        cpu_share: settings.cpu_share.unwrap_or_default(),
        miner_nice: settings.miner_nice.unwrap_or_default(),
        stratum,
    })
}

/// The address that was given.
fn mining_address(context: &Context) -> CliResult<Option<PubkeyHash>> {
    let given = context.settings.mining_address.as_deref();
    let given = given.filter(|text| !text.is_empty());
    let address = given.map(|text| context.address("--mining-address", text));
    Ok(address.transpose()?.map(|address| address.pubkey_hash()))
}

fn rpc_users(texts: &[String]) -> CliResult<Vec<RpcUser>> {
    let users = texts.iter().map(|text| text.parse().or_bad("--rpc-auth"));
    users.collect()
}

/// Who is paid: the address that was given, else the wallet's first; the wallet is made if there is none.
fn mine_to(context: &Context) -> CliResult<Option<PubkeyHash>> {
    let given = mining_address(context)?;
    if context.settings.no_mine.unwrap_or(false) {
        return Ok(None);
    }
    match given {
        Some(payout) => Ok(Some(payout)),
        None => wallet_access::payout(context).map(Some),
    }
}

/// Shows the node and runs it to its end.
async fn run_node(
    context: &Context,
    config: &NodeConfig,
    node: RunningNode,
    screen: Option<Arc<Screen>>,
) -> CliResult {
    let (view, stop) = (node.view(), node.stop_token());
    let endpoints = node.endpoints().clone();
    let facts = async {
        let addresses = view.peer_addresses(ADDRESS_PATIENCE).await;
        Facts::new(context, config, &endpoints, addresses)
    };
    let Some(screen) = screen else {
        let announce = async {
            let facts = facts.await;
            facts.log();
            match context.out.is_json() {
                true => context.out.json(&json!(facts)),
                false => Ok(()),
            }
        };
        let (announced, ended) = tokio::join!(announce, node.run());
        ended.or_fail()?;
        return announced;
    };
    let show = async {
        facts.await.print(&screen);
        let keys = keys::watch(stop.clone());
        status_line::run(&screen, &view, stop.clone()).await;
        keys
    };
    let (keys, ended) = tokio::join!(show, node.run());
    screen.clear_status();
    drop(keys);
    ended.or_fail()?;
    screen.line("Stopped.");
    Ok(())
}
