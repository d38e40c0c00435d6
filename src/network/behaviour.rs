//! The swarm: transport, protocols and their settings.

#[cfg(test)]
mod tests;

use libp2p::{
    PeerId, StreamProtocol, Swarm, SwarmBuilder, connection_limits,
    core::upgrade,
    identify,
    identity::Keypair,
    mdns, ping,
    request_response::{self, ProtocolSupport},
    swarm::{NetworkBehaviour, behaviour::toggle::Toggle},
};

use super::{
    NetworkConfig, NetworkError,
    codec::Codec,
    gate::Gate,
    gossip::{self, GossipBehaviour, MeshSize, Topics},
    limits::{
        DIAL_TIMEOUT, EVENT_BUFFER, IDLE_TIMEOUT, MAX_INBOUND, MAX_OUTBOUND, MAX_PENDING_INBOUND,
        MAX_PENDING_OUTBOUND, MAX_PER_PEER, MDNS_QUERY, MDNS_TTL, PING, max_streams,
        request_timeout,
    },
    network_key::NetworkKey,
    traffic::Traffic,
    transport,
};
use crate::{primitives::ChainId, wire::Protocol};

/// All protocols. The order matters: what may refuse a connection comes first, else those before
/// it keep state of a connection that never was; gossip, which keeps the most, comes last.
#[derive(NetworkBehaviour)]
pub(super) struct Behaviour {
    /// Refuses by IP, ban and network.
    pub(super) gate: Gate,
    /// Refuses by number.
    pub(super) limits: connection_limits::Behaviour,
    /// Tells addresses, agent and protocols.
    pub(super) identify: identify::Behaviour,
    /// Measures latency and finds dead links.
    pub(super) ping: ping::Behaviour,
    /// Finds peers on the local network.
    pub(super) mdns: Toggle<mdns::tokio::Behaviour>,
    /// Handshake and polls.
    pub(super) status: request_response::Behaviour<Codec>,
    /// Headers after a locator.
    pub(super) headers: request_response::Behaviour<Codec>,
    /// Blocks by hash.
    pub(super) blocks: request_response::Behaviour<Codec>,
    /// Transactions of announced blocks.
    pub(super) block_transactions: request_response::Behaviour<Codec>,
    /// Addresses of other peers.
    pub(super) addresses: request_response::Behaviour<Codec>,
    /// Blocks and transactions as they appear.
    pub(super) gossip: GossipBehaviour,
}

impl Behaviour {
    /// The behaviour of one request-response protocol.
    pub(super) fn requests(
        &mut self,
        protocol: Protocol,
    ) -> &mut request_response::Behaviour<Codec> {
        match protocol {
            Protocol::Status => &mut self.status,
            Protocol::Headers => &mut self.headers,
            Protocol::Blocks => &mut self.blocks,
            Protocol::BlockTransactions => &mut self.block_transactions,
            Protocol::Addresses => &mut self.addresses,
        }
    }
}

/// The id of a protocol on one network: `/quarry/<net>/<name>/1`.
pub(super) fn protocol_id(chain: &ChainId, protocol: Protocol) -> StreamProtocol {
    StreamProtocol::try_from_owned(format!("/quarry/{}/{}/1", chain.short(), protocol.name()))
        .expect("the id starts with a slash")
}

fn requests(chain: &ChainId, protocol: Protocol) -> request_response::Behaviour<Codec> {
    let config = request_response::Config::default()
        .with_request_timeout(request_timeout(protocol))
        .with_max_concurrent_streams(max_streams(protocol));
    request_response::Behaviour::with_codec(
        Codec::new(protocol),
        [(protocol_id(chain, protocol), ProtocolSupport::Full)],
        config,
    )
}

fn behaviour(
    config: &NetworkConfig,
    chain: &ChainId,
    key: &Keypair,
    mesh: MeshSize,
) -> Result<Behaviour, NetworkError> {
    let limits = connection_limits::ConnectionLimits::default()
        .with_max_pending_incoming(Some(MAX_PENDING_INBOUND))
        .with_max_pending_outgoing(Some(MAX_PENDING_OUTBOUND))
        .with_max_established_incoming(Some(MAX_INBOUND))
        .with_max_established_outgoing(Some(MAX_OUTBOUND))
        .with_max_established_per_peer(Some(MAX_PER_PEER));
    let local = PeerId::from(key.public());
    let mdns = config
        .mdns
        .then(|| {
            let settings = mdns::Config {
                ttl: MDNS_TTL,
                query_interval: MDNS_QUERY,
                enable_ipv6: false,
            };
            mdns::tokio::Behaviour::new(settings, local)
        })
        .transpose()
        .map_err(|error| NetworkError::Setup {
            part: "mDNS",
            reason: error.to_string(),
        })?;
    Ok(Behaviour {
        gate: Gate::default(),
        limits: connection_limits::Behaviour::new(limits),
        identify: identify::Behaviour::new(
            identify::Config::new("/quarry/1".into(), key.public())
                .with_agent_version(config.agent.clone())
                .with_cache_size(0),
        ),
        ping: ping::Behaviour::new(ping::Config::new().with_interval(PING).with_timeout(PING)),
        mdns: Toggle::from(mdns),
        status: requests(chain, Protocol::Status),
        headers: requests(chain, Protocol::Headers),
        blocks: requests(chain, Protocol::Blocks),
        block_transactions: requests(chain, Protocol::BlockTransactions),
        addresses: requests(chain, Protocol::Addresses),
        gossip: gossip::build(&Topics::new(chain), mesh)?,
    })
}

/// Builds the swarm; it listens nowhere yet. Must be called inside a tokio runtime.
pub(super) fn build(
    config: &NetworkConfig,
    chain: &ChainId,
    key: Keypair,
    network_key: Option<&NetworkKey>,
    mesh: MeshSize,
    traffic: Traffic,
) -> Result<Swarm<Behaviour>, NetworkError> {
    let behaviour = behaviour(config, chain, &key, mesh)?;
    let transport = transport::build(&key, network_key, traffic)?;
    let swarm = SwarmBuilder::with_existing_identity(key)
        .with_tokio()
        .with_other_transport(|_| transport)
        .expect("the closure cannot fail")
        .with_behaviour(|_| behaviour)
        .expect("the closure cannot fail")
        .with_swarm_config(|config| {
            config
                .with_idle_connection_timeout(IDLE_TIMEOUT)
                .with_per_connection_event_buffer_size(EVENT_BUFFER)
                .with_notify_handler_buffer_size(
                    EVENT_BUFFER.try_into().expect("the constant is not zero"),
                )
                // Else every request costs a round trip more.
                .with_substream_upgrade_protocol_override(upgrade::Version::V1Lazy)
        })
        .with_connection_timeout(DIAL_TIMEOUT)
        .build();
    Ok(swarm)
}
