//! The composition root: every part of a node, started in order.
//!
//! Order: folder and chain (which locks it), ports, mempool, network, miner, external miners, RPC, explorer, and at last
//! `node.json`, which tells commands that the node answers. Whatever fails, what was started before is stopped again; so it is when the node is
//! told to stop meanwhile, which is looked for between the steps.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::sync::broadcast;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::config::{Endpoints, NodeConfig};
use super::mining;
use super::notices::{self, NOTICES};
use super::open_files::{OpenFiles, TooFewFiles};
use super::opening::{self, OpenError};
use super::ports::{self, Bound, PortError, Service};
use super::running::{Parts, Published, RunningNode};
use super::tasks::Tasks;
use crate::chain::{ChainHandle, ChainOptions, SettableClock};
use crate::consensus::ChainSpec;
use crate::explorer::{self, ExplorerConfig, ExplorerContext};
use crate::mempool::{self, MempoolHandle, Policy};
use crate::miner::{self, MinerConfig, MinerHandle, Payouts, StratumConfig, StratumHandle};
use crate::network::{self, NetworkConfig, NetworkError, NetworkHandle};
use crate::rpc::{
    self, ActiveCalls, Cookie, LongPolls, NodeFile, RpcConfig, RpcContext, WalletService,
};

/// How long opening the chain may go on once the node is told to stop. What is left then is abandoned, which the database
/// survives.
const OPENING_PATIENCE: Duration = Duration::from_secs(4);
/// How long the parts of a node that did not come up may take to end.
const ABANDON_PATIENCE: Duration = Duration::from_secs(4);

/// Why a node could not start. The data is as it was.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The limit of open files.
    #[error(transparent)]
    Files(#[from] TooFewFiles),
    /// The chain.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A port.
    #[error(transparent)]
    Port(#[from] PortError),
    /// The network.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// The password of the RPC.
    #[error(transparent)]
    Cookie(#[from] rpc::CookieError),
    /// The system refused a thread, a socket or a file.
    #[error("cannot start {what}: {source}")]
    System {
        /// For what.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
    /// Nothing failed: it was told to stop before it was up.
    #[error("the node was told to stop while it was starting")]
    Stopped,
}

/// A node.
#[derive(Debug)]
pub struct Node;

impl Node {
    /// Starts a node, which stops when `stop` is cancelled, even before it is up. Must be called inside a tokio runtime, and
    /// outside its worker threads' time-critical work: opening the chain may take seconds after a crash.
    ///
    /// # Errors
    /// [`StartError`]; everything that was started is stopped again.
    pub async fn start(
        config: NodeConfig,
        stop: CancellationToken,
    ) -> Result<RunningNode, StartError> {
        let started = Instant::now();
        let files = OpenFiles::secure(config.stratum.is_some())?;
        let time = SettableClock::default();
        let folder = config.folder.network(&config.spec);
        let (chain, writer) = {
            let (folder, spec) = (folder.clone(), config.spec.clone());
            let options = ChainOptions {
                clock: time.clock(),
                ..ChainOptions::default()
            };
            let open = move || opening::open(&folder, &spec, options);
            tokio::select! {
                opened = blocking(open) => opened.map_err(system("the chain"))??,
                () = lapsed(&stop, OPENING_PATIENCE) => return Err(StartError::Stopped),
            }
        };
        let mut starting = Starting {
            tasks: Tasks::default(),
            cancel: stop,
            files,
            time,
            chain: chain.clone(),
            mempool: None,
        };
        starting.tasks.spawn_join("chain", move || writer.join());
        match starting.rest(&config, started).await {
            Ok(parts) => Ok(RunningNode::new(parts, starting.tasks, starting.cancel)),
            Err(error) => {
                starting.abandon().await;
                Err(error)
            }
        }
    }
}

/// What has been started.
struct Starting {
    tasks: Tasks,
    cancel: CancellationToken,
    files: OpenFiles,
    time: SettableClock,
    chain: ChainHandle,
    mempool: Option<MempoolHandle>,
}

impl Starting {
    async fn rest(&mut self, config: &NodeConfig, started: Instant) -> Result<Parts, StartError> {
        let folder = config.folder.network(&config.spec);
        let offset = config.port_offset;
        self.go_on()?;
        let rpc_port = ports::bind(Service::Rpc, config.rpc_listen, offset)?;
        let explorer_port = ports::bind(Service::Explorer, config.explorer_listen, offset)?;
        let stratum_port = config
            .stratum
            .map(|stratum| ports::bind(Service::Stratum, stratum.listen, offset))
            .transpose()?;
        let stratum_address = stratum_port.as_ref().map(|port| port.address);
        let stratum_instead_of = stratum_port.as_ref().and_then(|port| port.instead_of);

        let (mempool, mempool_task) = mempool::spawn_with_file(
            self.chain.clone(),
            Policy::default(),
            self.time.clock(),
            folder.mempool_file(),
        )
        .map_err(system("the mempool"))?;
        self.mempool = Some(mempool.clone());
        self.tasks
            .spawn_join("mempool", move || mempool_task.join());

        let (notices, _) = broadcast::channel(NOTICES);
        let reporter =
            notices::report(self.chain.subscribe(), notices.clone(), self.cancel.clone());
        self.tasks.spawn("notices", reporter);

        self.go_on()?;
        let (p2p_address, p2p_instead_of, network) = self.network(config, &mempool)?;

        self.go_on()?;
        let miner = self.miner(config, &mempool)?;
        let stratum = match stratum_port {
            None => None,
            Some(port) => Some(self.stratum(config, port.listener, &mempool)?),
        };
        let gate = mining::gate(
            miner.clone(),
            stratum.clone(),
            network.status(),
            self.cancel.clone(),
        );
        self.tasks.spawn("mining gate", gate);

        self.go_on()?;
        let cookie = Arc::new(Cookie::create(folder.path())?);
        let context = Arc::new(RpcContext {
            chain: self.chain.clone(),
            mempool: mempool.clone(),
            miner: Some(miner.clone()),
            stratum: stratum.clone(),
            network: Some(network.clone()),
            expects_peers: expects_peers(config),
            wallet: WalletService::new(config.folder.path()),
            long_polls: LongPolls::default(),
            stop: self.cancel.clone(),
            clock: self.time.clock(),
            started,
            // Time that stands still is for tests, whose chain this is.
            mock_time: (config.spec == ChainSpec::regtest()).then(|| self.time.clone()),
            active: ActiveCalls::default(),
            database: folder.database(),
        });
        let rpc = rpc::serve(
            listener(rpc_port.listener, "the RPC")?,
            context,
            Arc::clone(&cookie),
            RpcConfig {
                connections: Some(self.files.connections()),
                allowed_hosts: config.allowed_hosts.clone(),
                users: config.rpc_users.clone(),
            },
            self.cancel.clone(),
        );
        self.tasks.spawn("rpc", rpc);

        let explorer = explorer::serve(
            listener(explorer_port.listener, "the explorer")?,
            ExplorerContext {
                chain: self.chain.clone(),
                mempool: mempool.clone(),
                miner: Some(miner.clone()),
                stratum: stratum.clone(),
                network: Some(network.status()),
                started,
            },
            ExplorerConfig {
                connections: Some(self.files.connections()),
                allowed_hosts: config.allowed_hosts.clone(),
                expects_peers: expects_peers(config),
            },
            self.cancel.clone(),
        );
        self.tasks.spawn("explorer", explorer);

        let stepped_over = [
            (Service::P2p, p2p_instead_of),
            (Service::Rpc, rpc_port.instead_of),
            (Service::Explorer, explorer_port.instead_of),
            (Service::Stratum, stratum_instead_of),
        ];
        let endpoints = Endpoints {
            p2p: p2p_address,
            rpc: rpc_port.address,
            explorer: explorer_port.address,
            stratum: stratum_address,
            stepped_over: stepped_over
                .into_iter()
                .filter_map(|(service, port)| Some((service, port?)))
                .collect(),
        };
        let node_file = NodeFile {
            pid: std::process::id(),
            rpc: Endpoints::local(endpoints.rpc),
            explorer: Some(Endpoints::local(endpoints.explorer)),
            p2p: vec![format!(
                "/ip4/127.0.0.1/tcp/{}/p2p/{}",
                endpoints.p2p.port(),
                network.local_peer_id()
            )],
        };
        node_file
            .write(folder.path())
            .map_err(system("node.json"))?;
        Ok(Parts {
            chain: self.chain.clone(),
            mempool,
            network,
            miner,
            stratum,
            notices,
            endpoints,
            _published: Published::new(folder, node_file, cookie),
        })
    }

    /// Whether to take the next step.
    fn go_on(&self) -> Result<(), StartError> {
        match self.cancel.is_cancelled() {
            true => Err(StartError::Stopped),
            false => Ok(()),
        }
    }

    /// Starts the network. libp2p binds the port itself, so the one that was found free may be taken meanwhile.
    fn network(
        &mut self,
        config: &NodeConfig,
        mempool: &MempoolHandle,
    ) -> Result<(SocketAddr, Option<u16>, NetworkHandle), StartError> {
        const TRIES: usize = 5;
        let folder = config.folder.network(&config.spec);
        for left in (0..TRIES).rev() {
            let Bound {
                listener,
                address,
                instead_of,
            } = ports::bind(Service::P2p, config.listen, config.port_offset)?;
            drop(listener);
            let settings = NetworkConfig {
                mdns: config.mdns,
                peers: config.peers.clone(),
                bootnodes: config.bootnodes.clone(),
                network_key_file: config.network_key_file.clone(),
                minimum_work: config.minimum_work,
                ..NetworkConfig::new(folder.path(), vec![address])
            };
            let spawned = network::spawn(
                settings,
                self.chain.clone(),
                mempool.clone(),
                self.cancel.clone(),
            );
            match spawned {
                Err(NetworkError::PortBusy { .. }) if left > 0 => {}
                Err(error) => return Err(error.into()),
                Ok((handle, task)) => {
                    self.tasks.spawn("network", async move {
                        match task.await {
                            Ok(result) => result.map_err(|error| error.to_string()),
                            Err(error) => Err(error.to_string()),
                        }
                    });
                    return Ok((address, instead_of, handle));
                }
            }
        }
        unreachable!("the last try returns")
    }

    /// Starts the miner.
    fn miner(
        &mut self,
        config: &NodeConfig,
        mempool: &MempoolHandle,
    ) -> Result<MinerHandle, StartError> {
        let settings = MinerConfig {
            threads: config.threads,
            kernel: config.miner_kernel,
            share: config.cpu_share,
            niceness: config.miner_nice,
            payout: config.mine_to,
            enabled: config.mine_to.is_some(),
        };
        let (miner, task) = miner::spawn(
            settings,
            self.chain.clone(),
            mempool.clone(),
            self.time.clock(),
        )
        .map_err(system("the miner"))?;
        self.tasks.spawn_join("miner", move || task.join());
        Ok(miner)
    }

    /// Starts the server for external miners.
    fn stratum(
        &mut self,
        config: &NodeConfig,
        socket: std::net::TcpListener,
        mempool: &MempoolHandle,
    ) -> Result<StratumHandle, StartError> {
        let settings = StratumConfig {
            payouts: Payouts {
                address_version: config.spec.address_version,
                node: config.stratum.and_then(|stratum| stratum.payout),
            },
            connections: self.files.miners(),
        };
        let (stratum, task) = miner::serve_stratum(
            listener(socket, "the Stratum server")?,
            settings,
            self.chain.clone(),
            mempool.clone(),
            self.time.clock(),
            self.cancel.clone(),
        )
        .map_err(system("the Stratum server"))?;
        self.tasks.spawn("stratum", task);
        Ok(stratum)
    }

    /// Stops what was started.
    async fn abandon(&mut self) {
        self.cancel.cancel();
        let ending = async {
            if let Some(mempool) = &self.mempool {
                mempool.stop().await;
            }
            self.chain.stop().await;
            while self.tasks.next().await.is_some() {}
        };
        if timeout(ABANDON_PATIENCE, ending).await.is_err() {
            tracing::warn!(tasks = self.tasks.running().join(", "), "abandoned");
        }
    }
}

/// Whether a node without peers is of no use: it was told whom to connect to.
const fn expects_peers(config: &NodeConfig) -> bool {
    !config.peers.is_empty() || !config.bootnodes.is_empty()
}

/// Waits until `patience` is over after `stop`.
async fn lapsed(stop: &CancellationToken, patience: Duration) {
    stop.cancelled().await;
    sleep(patience).await;
}

fn listener(
    listener: std::net::TcpListener,
    what: &'static str,
) -> Result<TcpListener, StartError> {
    TcpListener::from_std(listener).map_err(system(what))
}

fn system(what: &'static str) -> impl Fn(io::Error) -> StartError {
    move |source| StartError::System { what, source }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(io::Error::other)
}
