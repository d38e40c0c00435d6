//! Building the task and starting it.

use std::{
    collections::{HashMap, HashSet},
    io::ErrorKind,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    sync::{mpsc, watch},
    task::{JoinHandle, JoinSet},
};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::{Service, facts::FactsSource, ticks::Ticks};
use crate::{
    chain::ChainHandle,
    mempool::MempoolHandle,
    network::{
        NetworkConfig, NetworkError, NetworkHandle, NetworkMetrics, NetworkStatus, behaviour,
        compact::Compact,
        gossip::{MeshSize, Outbox, RecentBlocks, Topics},
        limits::COMMAND_BUFFER,
        network_key::NetworkKey,
        peers::{
            AddressBook, Dialer, Observed, PeerTable, Route, Scores, Source, StaleTip,
            load_or_create_identity, socket_address,
        },
        sync::{Sync, SyncState},
        traffic::Traffic,
    },
    primitives::unix_now,
};

/// Starts the network. Must be called inside a tokio runtime.
///
/// The task ends when `cancel` is cancelled, or with an error when the chain is gone or one of its
/// helper tasks panicked; the caller joins it and stops the node on an error.
///
/// # Errors
/// [`NetworkError`] when an address is none, a port is busy, or the identity or the network key is unusable.
pub fn spawn(
    config: NetworkConfig,
    chain: ChainHandle,
    mempool: MempoolHandle,
    cancel: CancellationToken,
) -> Result<(NetworkHandle, JoinHandle<Result<(), NetworkError>>), NetworkError> {
    let key = load_or_create_identity(&config.identity_file)?;
    let network_key = config.network_key_file.as_deref();
    let network_key = network_key.map(NetworkKey::load).transpose()?;
    let book = AddressBook::load(&config.peers_file);
    let known = book.reached();
    let id = chain.reader().spec().chain_id();
    let mesh = MeshSize::for_known_peers(book.table().len());
    let traffic = Traffic::default();
    let mut swarm = behaviour::build(
        &config,
        &id,
        key,
        network_key.as_ref(),
        mesh,
        traffic.clone(),
    )?;
    for ban in book.bans(unix_now()) {
        let left = ban.1.until.saturating_sub(unix_now());
        let gate = &mut swarm.behaviour_mut().gate;
        gate.refuse(ban.0, Duration::from_secs(left));
    }
    let mut dialer = Dialer::default();
    for (source, list) in [
        (Source::Reserved, &config.peers),
        (Source::Bootnode, &config.bootnodes),
    ] {
        for address in list {
            dialer.add(source, Route::parse(address)?, 0);
        }
    }
    for (peer, addresses) in known {
        let route = Route::Addresses {
            addresses,
            peer: Some(peer),
        };
        dialer.add(Source::Known, route, 0);
    }
    for address in &config.listen {
        check_free(*address)?;
        let address = socket_address(*address);
        swarm
            .listen_on(address.clone())
            .map_err(|error| NetworkError::Listen {
                address: address.to_string(),
                reason: error.to_string(),
            })?;
    }

    let mut salt = [0; 32];
    getrandom::fill(&mut salt).map_err(|error| NetworkError::Setup {
        part: "the system's randomness",
        reason: error.to_string(),
    })?;
    let table_salt = salt
        .iter()
        .fold(0, |all: u64, byte| all.rotate_left(8) ^ u64::from(*byte));
    let local_peer_id = *swarm.local_peer_id();
    let (commands, received) = mpsc::channel(COMMAND_BUFFER);
    let (status, watched) = watch::channel(NetworkStatus {
        peers: 0,
        inbound: 0,
        sync: SyncState::Alone,
        listening: Vec::new(),
        metrics: NetworkMetrics::default(),
    });
    let handle = NetworkHandle {
        commands,
        status: watched,
        local_peer_id: local_peer_id.to_string(),
        traffic: traffic.clone(),
    };
    let reader = chain.reader().clone();
    let task = async move {
        let source = Arc::new(FactsSource::new(config.minimum_work, salt));
        let first = Arc::clone(&source);
        let facts = tokio::task::spawn_blocking(move || first.read(&reader))
            .await
            .map_err(|error| NetworkError::Task(error.to_string()))?;
        let service = Service {
            chain_id: id,
            genesis: chain.reader().spec().genesis_block().hash(),
            topics: Topics::new(&id),
            started: Instant::now(),
            peers: PeerTable::default(),
            dialer,
            book,
            scores: Scores::default(),
            dials: HashMap::new(),
            traffic,
            own_addresses: HashSet::new(),
            observed: Observed::default(),
            stale: StaleTip::default(),
            salt: table_salt,
            silent_links: 0,
            sync: Sync::new(facts),
            blocks_sent: None,
            catching_up: false,
            facts: source,
            facts_running: false,
            facts_stale: false,
            outgoing: HashMap::new(),
            serving: HashMap::new(),
            compact: Compact::default(),
            waiting: Vec::new(),
            outbox: Outbox::default(),
            recent_blocks: RecentBlocks::default(),
            own_transactions: HashMap::new(),
            block_calls: 0,
            transaction_calls: 0,
            telling: false,
            tasks: JoinSet::new(),
            commands: received,
            status,
            key_hint_due: 0,
            ticks: Ticks::default(),
            config,
            swarm,
            chain,
            mempool,
        };
        service.run(cancel).await
    };
    let span = tracing::info_span!("network");
    Ok((handle, tokio::spawn(task.instrument(span))))
}

/// Refuses an address on which somebody listens. libp2p would share the port with a program that
/// allows it, such as another node, and connections would then reach either of the two.
fn check_free(address: SocketAddr) -> Result<(), NetworkError> {
    match TcpListener::bind(address) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AddrInUse => Err(NetworkError::PortBusy {
            address: address.to_string(),
        }),
        Err(error) => Err(NetworkError::Listen {
            address: address.to_string(),
            reason: error.to_string(),
        }),
    }
}
