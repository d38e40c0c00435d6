//! What goes into the state machine and what comes out.

use std::sync::Arc;

use super::weighing::Weighing;
use crate::primitives::{Block, BlockHash, BlockHeader, Work};

/// A connected peer. Keys are not used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerKey(pub u64);

/// A request sent by an [`Action`]; echoed by the event that ends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// The best chain that a peer claims to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerStatus {
    /// Its tip.
    pub best_hash: BlockHash,
    /// Height of its tip.
    pub best_height: u32,
    /// Work of the chain up to its tip.
    pub work: Work,
}

/// What sync needs to know of our own chain.
#[derive(Debug, Clone)]
pub struct Facts {
    /// Grows with every reading of the chain; older facts than the last are ignored.
    pub stamp: u64,
    /// Height of the active tip.
    pub tip_height: u32,
    /// Hash of the best known header whose chain is not known to be invalid.
    pub best_header: BlockHash,
    /// Its height.
    pub best_header_height: u32,
    /// Work of the chain up to it.
    pub best_header_work: Work,
    /// End of the best chain that we have or could fetch: our tip, or one of [`Sync::ends`](super::Sync::ends) with
    /// more work. The best header may have more still, when the peer that sent it is gone.
    pub goal: BlockHash,
    /// Its height.
    pub goal_height: u32,
    /// Work of the chain up to it.
    pub goal_work: Work,
    /// Hashes to ask headers after, newest first.
    pub locator: Vec<BlockHash>,
    /// The first bodies that the chain up to the goal lacks, in order.
    pub missing: Vec<(u32, BlockHash)>,
}

/// Something happened.
#[derive(Debug)]
pub enum Event {
    /// A handshake ended, or a polled status came.
    PeerStatus {
        /// Who.
        peer: PeerKey,
        /// What it claims.
        status: PeerStatus,
    },
    /// A peer sent or named a header that we know to be valid, so it has the chain up to it: more than its last status
    /// may say, or less than it claims.
    PeerHas {
        /// Who.
        peer: PeerKey,
        /// That chain.
        status: PeerStatus,
    },
    /// A peer is gone; its requests need no failure events.
    PeerGone {
        /// Who.
        peer: PeerKey,
    },
    /// The chain was read.
    Facts(Facts),
    /// A peer sent a block or header whose parent we do not know.
    UnknownParent {
        /// Who.
        peer: PeerKey,
    },
    /// Headers arrived.
    HeadersAnswered {
        /// The request they answer.
        request: RequestId,
        /// At most as many as the protocol allows.
        headers: Vec<BlockHeader>,
    },
    /// Blocks arrived.
    BlocksAnswered {
        /// The request they answer.
        request: RequestId,
        /// Those that the peer sent.
        blocks: Vec<Arc<Block>>,
    },
    /// A request ended without an answer.
    RequestFailed {
        /// Which one.
        request: RequestId,
        /// How.
        failure: RequestFailure,
    },
    /// The chain has judged headers.
    HeadersJudged {
        /// Who sent them.
        peer: PeerKey,
        /// What came of it.
        verdict: HeadersVerdict,
        /// The chain of headers has not shown enough work to be stored as a whole: the next answer is to be judged with this.
        weighing: Option<Box<Weighing>>,
        /// The chain that they show the peer to have.
        has: Option<PeerStatus>,
        /// The chain afterwards.
        facts: Facts,
    },
    /// The chain has judged blocks: one verdict for each of the action, or fewer if it stopped.
    BlocksJudged {
        /// Verdicts by block.
        verdicts: Vec<(BlockHash, BlockVerdict)>,
        /// The chain afterwards.
        facts: Facts,
    },
}

/// How a request ended without an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestFailure {
    /// No answer within the protocol's time.
    Timeout,
    /// "Asked too often": nobody's fault.
    RateLimited,
    /// The answer breaks the schema or a limit.
    Malformed,
    /// The connection or stream broke.
    Broken,
}

/// The chain's answer to a run of headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadersVerdict {
    /// They obey the rules. All are known now, unless they are being weighed.
    Accepted,
    /// The first does not connect to anything known.
    Unconnected,
    /// One of them breaks a rule.
    Invalid,
    /// They are not those that the same peer sent when it was asked the first time, or there is no end to them.
    OtherChain,
    /// They descend from a block that was found (or declared) invalid before. No fault: the
    /// operator may have invalidated a block that all others hold valid.
    OnInvalid,
    /// One of them is too far in the future; it may be fine later.
    Future,
    /// Our own trouble.
    OurFault,
}

/// The chain's answer to a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockVerdict {
    /// Stored or known already.
    Accepted,
    /// It breaks a rule, or descends from one that does.
    Invalid,
    /// The body is not the one that the header commits to.
    Mutated,
    /// Its parent is not known.
    UnknownParent,
    /// Too far in the future; it may be fine later.
    Future,
    /// Our own trouble.
    OurFault,
}

/// Something to do.
#[derive(Debug)]
pub enum Action {
    /// Ask `peer` for headers.
    RequestHeaders {
        /// Whom.
        peer: PeerKey,
        /// Echoed by the event that ends it.
        request: RequestId,
        /// Hashes to continue after.
        locator: Vec<BlockHash>,
    },
    /// Ask `peer` for blocks.
    RequestBlocks {
        /// Whom.
        peer: PeerKey,
        /// Echoed by the event that ends it.
        request: RequestId,
        /// Which, in chain order.
        hashes: Vec<BlockHash>,
    },
    /// Hand headers to the chain, as far as they show enough work (see [`weigh`](super::weigh)).
    JudgeHeaders {
        /// Who sent them.
        peer: PeerKey,
        /// At least one; each is the child of the one before.
        headers: Vec<BlockHeader>,
        /// They are to be stored only if their chain has more work than this: more than the goal, and than the peer has shown before.
        least: Work,
        /// What earlier ones of the same chain have left, if it is being weighed.
        weighing: Option<Box<Weighing>>,
    },
    /// Hand blocks to the chain, one after the other, and behind those of all such actions before.
    JudgeBlocks {
        /// In chain order.
        blocks: Vec<Arc<Block>>,
        /// Others will follow, so that there is no hurry to write these.
        more: bool,
    },
    /// Hold something against a peer.
    Misbehaved {
        /// Whom.
        peer: PeerKey,
        /// What.
        fault: SyncFault,
    },
}

/// What a peer did wrong during sync.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncFault {
    /// It did not answer in time.
    Silent,
    /// It claims more work than its headers show.
    FalseClaim,
    /// Headers that do not follow each other.
    DiscontinuousHeaders,
    /// Again and again headers that do not follow our locator.
    UnconnectedHeaders,
    /// Headers that break a rule.
    InvalidHeaders,
    /// A block that nobody asked it for.
    UnsolicitedBlock,
    /// A body that does not belong to its header.
    MutatedBlock,
    /// A block that breaks a rule.
    InvalidBlock,
    /// An answer that breaks the schema or a limit.
    Malformed,
}

/// From how many blocks behind on a node catches up. Blocks that are only on their way must not stop its miners.
const CATCH_UP_GAP: u32 = 6;

/// How far sync is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncState {
    /// No peer has told its status: nothing to compare with.
    Alone,
    /// Headers are being fetched.
    Headers {
        /// Height of our best header.
        height: u32,
        /// Height that the best peer claims.
        target: u32,
    },
    /// Blocks are being fetched, and they come: a peer that has them is connected, and one arrived (or we began) within
    /// the last 15 s.
    Blocks {
        /// Height of our tip.
        height: u32,
        /// Height of the best chain that a peer has.
        target: u32,
    },
    /// No peer is known to have more that it sends. There may be headers with more work whose blocks nobody has.
    Synced {
        /// Height of our tip.
        height: u32,
    },
}

impl SyncState {
    /// Whether many blocks are on their way to us whose headers were checked: to build on our tip only makes forks. What peers
    /// merely claim stops nobody.
    pub const fn is_catching_up(&self) -> bool {
        match self {
            Self::Blocks { height, target } => target.saturating_sub(*height) > CATCH_UP_GAP,
            Self::Alone | Self::Headers { .. } | Self::Synced { .. } => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_checked_headers_are_caught_up_with() {
        let (height, target) = (10, 10 + CATCH_UP_GAP);
        let more = target + 1;
        assert!(!SyncState::Blocks { height, target }.is_catching_up());
        let far = SyncState::Blocks {
            height,
            target: more,
        };
        assert!(far.is_catching_up());
        let claimed = SyncState::Headers {
            height,
            target: u32::MAX,
        };
        assert!(!claimed.is_catching_up());
        assert!(!SyncState::Alone.is_catching_up());
        // Headers whose blocks do not come, too: see the state machine.
        assert!(!SyncState::Synced { height }.is_catching_up());
    }
}
