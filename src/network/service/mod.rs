//! The network task: owns the swarm and everything that changes with it.
//!
//! Started by [`spawn`], ended by its token. It waits for five things (swarm events, results of
//! helper tasks, commands, events of chain and mempool, the clock) and handles each without
//! waiting for anything else.

mod addresses;
mod calls;
mod chain;
mod commands;
mod compact;
mod connections;
mod dialling;
mod facts;
mod gossip;
mod requests;
mod start;
mod sync;
mod ticks;
mod transactions;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Instant,
};

use futures::StreamExt;
use libp2p::{
    Multiaddr, PeerId, Swarm,
    request_response::{InboundRequestId, OutboundRequestId},
    swarm::{ConnectionId, SwarmEvent},
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

pub use start::spawn;

use super::{
    NetworkConfig, NetworkError, NetworkStatus,
    behaviour::{Behaviour, BehaviourEvent},
    compact::Compact,
    gossip::{Delivery, Outbox, RecentBlocks, Topics, drain_deliveries},
    handle::Command,
    peers::{AddressBook, Dialer, Observed, PeerTable, Scores, StaleTip, TargetId},
    sync::{RequestId, Sync},
    traffic::Traffic,
};
use crate::{
    chain::ChainHandle,
    mempool::MempoolHandle,
    primitives::{BlockHash, ChainId, Transaction, Txid},
    wire::Protocol,
};
use calls::Done;
use facts::FactsSource;

/// A request of ours that is in flight.
#[derive(Debug, Clone, Copy)]
enum Outgoing {
    Status,
    Sync(RequestId),
    /// For transactions of this announced block.
    BlockTransactions(BlockHash),
    Addresses,
}

/// The state of the task.
struct Service {
    config: NetworkConfig,
    swarm: Swarm<Behaviour>,
    chain: ChainHandle,
    mempool: MempoolHandle,
    /// The network, and its first block: computed once.
    chain_id: ChainId,
    genesis: BlockHash,
    topics: Topics,
    started: Instant,

    peers: PeerTable,
    dialer: Dialer,
    book: AddressBook,
    scores: Scores,
    traffic: Traffic,
    /// Dials under way.
    dials: HashMap<ConnectionId, TargetId>,
    /// Addresses that turned out to be our own.
    own_addresses: HashSet<Multiaddr>,
    /// Where others see us.
    observed: Observed,
    stale: StaleTip,
    /// Decides which of many addresses are dialled and given: nobody else can foresee it.
    salt: u64,
    /// Links whose gossip did not arrive, since the start.
    silent_links: u64,

    sync: Sync,
    /// Told when the chain has got the last blocks that sync handed to it: those of the next call come behind them.
    blocks_sent: Option<oneshot::Receiver<()>>,
    /// We were more than a block behind, and are not there yet.
    catching_up: bool,
    /// Reads the chain for sync.
    facts: Arc<FactsSource>,
    /// A reading is under way; the chain has changed since it began.
    facts_running: bool,
    facts_stale: bool,

    outgoing: HashMap<(Protocol, OutboundRequestId), Outgoing>,
    serving: HashMap<(Protocol, InboundRequestId), PeerId>,

    compact: Compact,
    /// Requests for transactions of blocks that are not whole yet.
    waiting: Vec<compact::Waiting>,
    outbox: Outbox,
    /// Blocks that came or went by gossip.
    recent_blocks: RecentBlocks,
    /// Our own transactions that are not yet in a block.
    own_transactions: HashMap<Txid, Arc<Transaction>>,
    /// Calls for gossiped blocks under way, and for transactions: apart, so that a flood of these never costs a block.
    block_calls: usize,
    transaction_calls: usize,
    /// Everybody is to be told our tip.
    telling: bool,

    tasks: JoinSet<Done>,
    commands: mpsc::Receiver<Command>,
    status: watch::Sender<NetworkStatus>,
    /// When to say again that somebody may lack the network key.
    key_hint_due: u64,
    ticks: ticks::Ticks,
}

/// What to tell the logs when a handler found something it cannot go on with.
type Step = Result<(), NetworkError>;

impl Service {
    /// Milliseconds since the start.
    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Runs until the token is cancelled or something fails.
    async fn run(mut self, cancel: CancellationToken) -> Result<(), NetworkError> {
        let mut events = self.chain.subscribe();
        let mut clock = tokio::time::interval(ticks::TICK);
        clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut commands_open = true;
        loop {
            tokio::select! {
                () = cancel.cancelled() => break,
                (event, deliveries) = next_event(&mut self.swarm) => {
                    self.on_deliveries(&deliveries);
                    if let Some(event) = event {
                        self.on_swarm_event(event);
                    }
                }
                Some(done) = self.tasks.join_next() => {
                    self.on_done(done.map_err(|error| NetworkError::Task(error.to_string()))?)?;
                }
                command = self.commands.recv(), if commands_open => match command {
                    Some(command) => self.on_command(command),
                    None => commands_open = false,
                },
                event = events.next() => self.on_node_event(event),
                _ = clock.tick() => self.on_tick(),
            }
        }
        self.shut_down().await;
        Ok(())
    }

    fn on_swarm_event(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::Behaviour(event) => self.on_behaviour_event(event),
            SwarmEvent::ConnectionEstablished {
                peer_id,
                connection_id,
                endpoint,
                ..
            } => self.on_connected(peer_id, connection_id, &endpoint),
            SwarmEvent::ConnectionClosed {
                peer_id,
                connection_id,
                cause,
                ..
            } => self.on_disconnected(peer_id, connection_id, cause),
            SwarmEvent::OutgoingConnectionError {
                connection_id,
                peer_id,
                error,
            } => self.on_dial_error(connection_id, peer_id, error),
            SwarmEvent::NewListenAddr { address, .. } => {
                tracing::info!(%address, "listening");
                self.publish_status();
            }
            SwarmEvent::ExpiredListenAddr { address, .. } => {
                tracing::info!(%address, "no longer listening");
                self.publish_status();
            }
            SwarmEvent::ListenerClosed { reason, .. } => {
                tracing::error!(?reason, "a listener has closed");
                self.publish_status();
            }
            SwarmEvent::ListenerError { error, .. } => {
                tracing::warn!(%error, "a listener has trouble");
            }
            SwarmEvent::IncomingConnectionError { error, .. } => {
                tracing::debug!(%error, "an inbound connection failed");
                self.hint_at_network_key(&error);
            }
            // Others tell of steps whose results come as events of their own.
            _ => {}
        }
    }

    fn on_behaviour_event(&mut self, event: BehaviourEvent) {
        match event {
            BehaviourEvent::Identify(event) => self.on_identify(event),
            BehaviourEvent::Ping(event) => self.on_ping(event),
            BehaviourEvent::Mdns(event) => self.on_mdns(event),
            BehaviourEvent::Status(event) => self.on_request_event(Protocol::Status, event),
            BehaviourEvent::Headers(event) => self.on_request_event(Protocol::Headers, event),
            BehaviourEvent::Blocks(event) => self.on_request_event(Protocol::Blocks, event),
            BehaviourEvent::BlockTransactions(event) => {
                self.on_request_event(Protocol::BlockTransactions, event);
            }
            BehaviourEvent::Addresses(event) => {
                self.on_request_event(Protocol::Addresses, event);
            }
            BehaviourEvent::Gossip(event) => self.on_gossip(event),
            BehaviourEvent::Gate(never) => match never {},
            BehaviourEvent::Limits(never) => match never {},
        }
    }
}

/// Polls the swarm once it has something, and takes what was delivered by gossip meanwhile (see
/// [`drain_deliveries`]): after every poll, on the thread that polled.
async fn next_event(
    swarm: &mut Swarm<Behaviour>,
) -> (Option<SwarmEvent<BehaviourEvent>>, Vec<Delivery>) {
    use std::task::Poll;
    std::future::poll_fn(|context| {
        let poll = swarm.poll_next_unpin(context);
        let deliveries = drain_deliveries();
        match poll {
            Poll::Ready(event) => Poll::Ready((event, deliveries)),
            Poll::Pending if !deliveries.is_empty() => Poll::Ready((None, deliveries)),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}
