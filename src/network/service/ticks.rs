//! What the clock starts.

use std::time::Duration;

use super::{Service, calls::Done};
use crate::{
    network::{
        gossip::Publication,
        peers::{AddressBook, Peer},
    },
    primitives::unix_now,
};

/// How often the task looks at the clock. A batch of transactions waits about as long.
pub(super) const TICK: Duration = Duration::from_millis(100);
/// How often it looks at what takes seconds anyway, milliseconds.
const SLOW_TICK: u64 = 500;
/// How often known peers are written to disk.
const SAVE: u64 = 300_000;
/// How often our own transactions are announced again while they are in no block, for peers that
/// were not there the first time, or did not yet know the coins.
const REPEAT: u64 = 60_000;
/// They are announced again so soon after a peer has caught up with us, but not more often than
/// once in `REPEAT_PAUSE`.
const REPEAT_SOON: u64 = 500;
const REPEAT_PAUSE: u64 = 5_000;
/// Everybody is told our tip once in this time at most, outside of polls: the quota of statuses is 5 in 15 s.
const TELL_PAUSE: u64 = 5_000;
/// Polls of a peer's status come at most and at least this often.
const POLL: (u64, u64) = (5_000, 30_000);
/// Gossip may bring a block this much later than a status tells of it.
const GOSSIP_GRACE: u64 = 3_000;
/// Tips that a mesh peer told of by status only, before its gossip counts as dead.
const MAX_MISSED: u32 = 3;

/// When things are due, in milliseconds since the start.
#[derive(Debug, Default)]
pub(super) struct Ticks {
    slow: u64,
    save: u64,
    repeat: u64,
    repeated: u64,
    tell: u64,
}

impl Service {
    pub(super) fn on_tick(&mut self) {
        let now = self.now();
        for publication in self.outbox.take_ready(now) {
            self.publish(publication);
        }
        self.sync_tick();
        self.compact_tick(now);
        if self.telling && now >= self.ticks.tell {
            self.telling = false;
            self.ticks.tell = now + TELL_PAUSE;
            self.poll_everybody(now);
        }
        if now >= self.ticks.slow {
            self.ticks.slow = now + SLOW_TICK;
            self.dial_due();
            self.check_handshakes(now);
            self.poll_peers(now);
            self.ask_for_addresses(now);
            self.check_gossip(now);
            self.publish_status();
        }
        if now >= self.ticks.save {
            self.ticks.save = now + SAVE;
            self.save_book();
        }
        if now >= self.ticks.repeat {
            self.ticks.repeat = now + REPEAT;
            self.ticks.repeated = now;
            let own = self.own_transactions.values();
            self.outbox.repeat(now, own);
        }
    }

    /// A peer has reached our tip: it can now judge the transactions that it may have missed.
    pub(super) fn repeat_soon(&mut self, now: u64) {
        let soon = (now + REPEAT_SOON).max(self.ticks.repeated + REPEAT_PAUSE);
        self.ticks.repeat = self.ticks.repeat.min(soon);
    }

    /// Time between polls of one peer: the block time, within bounds.
    pub(super) fn poll_interval(&self) -> u64 {
        let spacing = u64::from(self.chain.reader().spec().target_spacing);
        (spacing * 1_000).clamp(POLL.0, POLL.1)
    }

    /// Peers that have not told their status in time go.
    fn check_handshakes(&mut self, now: u64) {
        let late = |peer: &crate::network::peers::Peer| {
            peer.status.is_none() && now >= peer.handshake_until
        };
        let late: Vec<_> = self
            .peers
            .iter()
            .filter(|(_, peer)| late(peer))
            .map(|(id, _)| *id)
            .collect();
        for id in late {
            tracing::debug!(peer = %id, "no handshake in time");
            self.disconnect(id);
        }
    }

    /// A poll tells our own status, too.
    fn poll_everybody(&mut self, now: u64) {
        for (_, peer) in self.peers.iter_mut() {
            peer.next_poll = now;
            // One that is under way may have told an older tip.
            peer.polling = false;
        }
        self.poll_peers(now);
    }

    fn poll_peers(&mut self, now: u64) {
        let due: Vec<_> = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.status.is_some() && !peer.polling && now >= peer.next_poll)
            .map(|(id, _)| *id)
            .collect();
        let interval = self.poll_interval();
        for id in due {
            if let Some(peer) = self.peers.get_mut(&id) {
                peer.next_poll = now + interval;
            }
            self.send_status(id);
        }
    }

    /// A gossip link that broke stays broken without a sign. A mesh peer that again and again
    /// tells of new tips by status, while its gossip brings nothing, is disconnected and dialled
    /// once more. (A peer that is merely always second, or gets its blocks from us, never has a
    /// tip that we lack.)
    fn check_gossip(&mut self, now: u64) {
        let spacing = u64::from(self.chain.reader().spec().target_spacing);
        let silence = self.config.link_times.gossip_silence;
        let patience = silence.max(Duration::from_secs(spacing * 10));
        let mut dead = Vec::new();
        for (id, peer) in self.peers.iter_mut() {
            let Some(told) = peer.untold else { continue };
            if now < told + GOSSIP_GRACE {
                continue;
            }
            peer.untold = None;
            if peer.delivered_at >= told {
                peer.missed = 0;
                continue;
            }
            peer.missed += 1;
            let silence = Duration::from_millis(now.saturating_sub(peer.delivered_at));
            if peer.missed >= MAX_MISSED && silence >= patience {
                dead.push(*id);
            }
        }
        let topic = self.topics.blocks.hash();
        for id in dead {
            let gossip = &self.swarm.behaviour().gossip;
            if gossip.mesh_peers(&topic).any(|peer| *peer == id) {
                tracing::warn!(peer = %id, "its gossip does not arrive; connecting anew");
                self.silent_links += 1;
                self.disconnect(id);
            }
        }
    }

    fn save_book(&mut self) {
        self.book.table_mut().expire(unix_now());
        // Those that are kept are dialled anyway.
        let chosen = |peer: &Peer| !peer.inbound() && !peer.reserved && peer.status.is_some();
        let mut outbound: Vec<_> = self.peers.iter().filter(|(_, p)| chosen(p)).collect();
        outbound.sort_by_key(|(_, peer)| peer.key);
        self.book
            .set_anchors(outbound.into_iter().map(|(id, _)| *id));
        if let Some((path, content)) = self.book.take_changes() {
            self.tasks
                .spawn_blocking(move || Done::BookSaved(AddressBook::write(&path, &content)));
        }
    }

    /// Publishes what waits, writes known peers, and lets the connections go with the swarm.
    pub(super) async fn shut_down(mut self) {
        let last: Vec<Publication> = self.outbox.take_ready(u64::MAX).into();
        for publication in last {
            self.publish(publication);
        }
        self.tasks.abort_all();
        self.save_book();
        while let Some(done) = self.tasks.join_next().await {
            if let Ok(Done::BookSaved(Err(error))) = done {
                tracing::warn!(%error, "cannot write the file of known peers");
            }
        }
        tracing::debug!("network stopped");
    }
}
