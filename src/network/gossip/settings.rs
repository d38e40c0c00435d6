//! Settings of gossipsub. Every value that is not the default says why.

use std::{collections::HashSet, time::Duration};

use libp2p::gossipsub::{
    Behaviour, ConfigBuilder, IdentTopic, IdentityTransform, MaxCountSubscriptionFilter, Message,
    MessageAuthenticity, MessageId, PeerScoreParams, PeerScoreThresholds, TopicScoreParams,
    ValidationMode, WhitelistSubscriptionFilter, score_parameter_decay,
};

use super::deliveries::record_delivery;
use crate::{
    network::NetworkError,
    primitives::{ChainId, sha256},
    wire::limits::{MAX_COMPACT_BLOCK, MAX_GOSSIP_BLOCK},
};

/// gossipsub as we use it: only our topics, and not many subscriptions at once.
pub(in crate::network) type GossipBehaviour =
    Behaviour<IdentityTransform, MaxCountSubscriptionFilter<WhitelistSubscriptionFilter>>;

/// Bytes of a message id.
const ID_BYTES: usize = 20;
/// The largest frame. A message within 8 KiB of its limit kills the link for good (the check
/// looks at the read buffer, not at the frame), so what we publish stays far below: a block
/// message is 448 KiB at most, a batch about 128 KiB.
const MAX_FRAME: usize = 1 << 20;
const MAX_BLOCKS_MESSAGE: usize = 512 << 10;
const MAX_TXS_MESSAGE: usize = 128 << 10;
/// Ids in one control message.
const MAX_CONTROL_IDS: usize = 600;
/// Bytes of control data that a receiver takes.
const MAX_CONTROL_BYTES: usize = 64 << 10;
/// Never send what would break a peer: its limits are these, too.
const HEADROOM: usize = 16 << 10;
const _: () = assert!(MAX_CONTROL_IDS * (ID_BYTES + 2) + 64 < MAX_CONTROL_BYTES);
const _: () = assert!(MAX_CONTROL_BYTES <= MAX_FRAME - HEADROOM);
const _: () = assert!(MAX_GOSSIP_BLOCK + HEADROOM < MAX_BLOCKS_MESSAGE);
const _: () = assert!(MAX_COMPACT_BLOCK + HEADROOM < MAX_BLOCKS_MESSAGE);
const _: () = assert!(MAX_TRANSACTION_MESSAGE + HEADROOM <= MAX_TXS_MESSAGE);

/// The largest batch that is published: the target plus the transaction that went over it.
/// Larger single transactions are left to blocks.
pub(in crate::network) const MAX_TRANSACTION_MESSAGE: usize = 112 << 10;

/// The two topics of one network.
#[derive(Debug, Clone)]
pub(in crate::network) struct Topics {
    /// Blocks.
    pub(in crate::network) blocks: IdentTopic,
    /// Batches of transactions.
    pub(in crate::network) transactions: IdentTopic,
}

impl Topics {
    /// `/quarry/<net>/blocks/1` and `/quarry/<net>/txs/1`. Networks are kept apart here, since a
    /// protocol id of its own would cost gossipsub its IDONTWANT messages.
    pub(in crate::network) fn new(chain: &ChainId) -> Self {
        let net = chain.short();
        Self {
            blocks: IdentTopic::new(format!("/quarry/{net}/blocks/1")),
            transactions: IdentTopic::new(format!("/quarry/{net}/txs/1")),
        }
    }
}

/// How many mesh neighbours to keep: target, low and high mark, outbound at least.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::network) enum MeshSize {
    /// Up to some 20 nodes: fewer copies of everything.
    Small,
    /// Beyond.
    Large,
}

impl MeshSize {
    /// gossipsub cannot change its mesh while it runs, so the size follows from the number of
    /// peers that the address file knows at start.
    pub(in crate::network) fn for_known_peers(known: usize) -> Self {
        if known > 20 { Self::Large } else { Self::Small }
    }
}

/// Topic and all bytes, since a block hash as id would let an altered body with the same header
/// keep the honest one away.
fn message_id(message: &Message) -> MessageId {
    let topic = message.topic.as_str().as_bytes();
    let mut bytes = Vec::with_capacity(topic.len() + 1 + message.data.len());
    bytes.extend_from_slice(topic);
    bytes.push(0);
    bytes.extend_from_slice(&message.data);
    MessageId::new(&sha256(&bytes)[..ID_BYTES])
}

/// Builds the behaviour, subscribed to both topics.
pub(in crate::network) fn build(
    topics: &Topics,
    mesh: MeshSize,
) -> Result<GossipBehaviour, NetworkError> {
    let fail = |reason: String| NetworkError::Setup {
        part: "gossip",
        reason,
    };
    let (target, low, high, outbound) = match mesh {
        MeshSize::Small => (4, 2, 8, 1),
        MeshSize::Large => (8, 5, 12, 3),
    };
    let config = ConfigBuilder::default()
        .validation_mode(ValidationMode::Anonymous)
        // Relay only what we have judged: one verdict for each message.
        .validate_messages()
        .message_id_fn(message_id)
        .max_transmit_size(MAX_FRAME)
        .max_transmit_size_for_topic(MAX_BLOCKS_MESSAGE, topics.blocks.hash())
        .max_transmit_size_for_topic(MAX_TXS_MESSAGE, topics.transactions.hash())
        .max_control_messages_sent(MAX_CONTROL_IDS)
        .max_control_message_size(MAX_CONTROL_BYTES)
        .max_publish_messages(64)
        .heartbeat_interval(Duration::from_millis(700))
        .heartbeat_initial_delay(Duration::from_millis(500))
        .mesh_n(target)
        .mesh_n_low(low)
        .mesh_n_high(high)
        .mesh_outbound_min(outbound)
        // Verdicts must come within 12 heartbeats, or the message is forgotten.
        .history_length(12)
        .history_gossip(3)
        .duplicate_cache_time(Duration::from_secs(120))
        .connection_handler_queue_len(256)
        .publish_queue_duration(Duration::from_secs(5))
        .forward_queue_duration(Duration::from_secs(2))
        .idontwant_on_publish(true)
        .build()
        .map_err(|error| fail(error.to_string()))?;
    let known = HashSet::from([topics.blocks.hash(), topics.transactions.hash()]);
    let filter = MaxCountSubscriptionFilter {
        filter: WhitelistSubscriptionFilter(known),
        max_subscribed_topics: 4,
        max_subscriptions_per_request: 16,
    };
    let mut behaviour =
        Behaviour::new_with_subscription_filter(MessageAuthenticity::Anonymous, config, filter)
            .map_err(|error| fail(error.into()))?;
    behaviour
        .with_peer_score_and_message_delivery_time_callback(
            score_params(topics),
            score_thresholds(),
            Some(record_delivery),
        )
        .map_err(fail)?;
    for topic in [&topics.blocks, &topics.transactions] {
        behaviour
            .subscribe(topic)
            .map_err(|error| fail(error.to_string()))?;
    }
    Ok(behaviour)
}

fn score_thresholds() -> PeerScoreThresholds {
    PeerScoreThresholds {
        gossip_threshold: -500.0,
        publish_threshold: -1_000.0,
        graylist_threshold: -2_500.0,
        accept_px_threshold: 10.0,
        opportunistic_graft_threshold: 5.0,
    }
}

/// Without scores a slow or lying peer would stay in the mesh for ever.
fn score_params(topics: &Topics) -> PeerScoreParams {
    PeerScoreParams {
        topics: [
            (topics.blocks.hash(), topic_score(1.0, 30.0, -100.0)),
            (
                topics.transactions.hash(),
                topic_score(0.01, 1_000.0, -10.0),
            ),
        ]
        .into(),
        topic_score_cap: 0.0,
        // P6, many peers on one IP, is off: its exceptions are single addresses, so private ranges
        // cannot be excepted, and the gate refuses public ones long before.
        ip_colocation_factor_weight: 0.0,
        behaviour_penalty_weight: -10.0,
        behaviour_penalty_threshold: 6.0,
        behaviour_penalty_decay: score_parameter_decay(Duration::from_secs(600)),
        decay_interval: Duration::from_secs(1),
        slow_peer_weight: -1.0,
        slow_peer_threshold: 20.0,
        slow_peer_decay: 0.9,
        ..PeerScoreParams::default()
    }
}

/// `first` and `first_cap` reward being first with a message; `invalid` punishes bad ones.
fn topic_score(first: f64, first_cap: f64, invalid: f64) -> TopicScoreParams {
    TopicScoreParams {
        topic_weight: 1.0,
        // P1: up to 10 points for two minutes in the mesh.
        time_in_mesh_weight: 1.0,
        time_in_mesh_quantum: Duration::from_secs(12),
        time_in_mesh_cap: 10.0,
        first_message_deliveries_weight: first,
        first_message_deliveries_decay: score_parameter_decay(Duration::from_secs(3_600)),
        first_message_deliveries_cap: first_cap,
        // P3 expects a steady stream: on a topic with a block a minute it scores everyone −200.
        mesh_message_deliveries_weight: 0.0,
        mesh_failure_penalty_weight: 0.0,
        invalid_message_deliveries_weight: invalid,
        invalid_message_deliveries_decay: score_parameter_decay(Duration::from_secs(3_600)),
        ..TopicScoreParams::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topics() -> Topics {
        Topics::new(&ChainId::from_bytes([7; 32]))
    }

    #[test]
    fn the_settings_are_accepted_for_both_sizes() {
        for mesh in [MeshSize::Small, MeshSize::Large] {
            build(&topics(), mesh).unwrap();
        }
    }

    /// P11: the id is of topic and content, whatever else a frame says.
    #[test]
    fn p11_ids_depend_on_topic_and_every_byte() {
        let id = |topic: &IdentTopic, data: &[u8], sequence_number| {
            message_id(&Message {
                source: None,
                data: data.to_vec(),
                sequence_number,
                topic: topic.hash(),
            })
        };
        let topics = topics();
        assert_eq!(
            id(&topics.blocks, b"x", None),
            id(&topics.blocks, b"x", Some(9))
        );
        assert_ne!(
            id(&topics.blocks, b"x", None),
            id(&topics.blocks, b"y", None)
        );
        assert_ne!(
            id(&topics.blocks, b"x", None),
            id(&topics.transactions, b"x", None)
        );
        assert_eq!(id(&topics.blocks, b"x", None).0.len(), ID_BYTES);
    }
}
