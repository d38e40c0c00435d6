//! Calls of chain and mempool: what runs in helper tasks, and how their errors are read.
//!
//! This (and `transactions`, for the mempool) is the only place that maps errors of other modules to
//! verdicts on peers; each mapping is one exhaustive match.

use std::{io, net::SocketAddr, sync::Arc};

use libp2p::{PeerId, gossipsub::MessageId, request_response::ResponseChannel};
use tokio::sync::oneshot;

use super::{
    facts::{FactsSource, chain_up_to},
    transactions::BatchVerdict,
};
use crate::{
    chain::{BlockAccepted, ChainHandle, ChainReader, SubmitError},
    consensus::RuleError,
    network::{
        NetworkError,
        gossip::{Form, Publication},
        peers::{Fault, TargetId},
        sync::{BlockVerdict, Facts, HeadersVerdict, PeerKey, PeerStatus, Weighing, WeighingError},
    },
    primitives::{Block, BlockHash, BlockHeader, Transaction, Work},
    wire::{
        BlockGossip, HeadersRequest, Protocol, Response,
        limits::{BLOCKS_SOFT_LIMIT, MAX_HEADERS},
    },
};

/// The result of a helper task.
#[derive(Debug)]
pub(super) enum Done {
    /// The chain was read.
    Facts(Facts),
    /// For sync.
    HeadersJudged {
        peer: PeerKey,
        verdict: HeadersVerdict,
        weighing: Option<Box<Weighing>>,
        /// The chain that the headers show the peer to have.
        has: Option<PeerStatus>,
        facts: Facts,
    },
    /// For sync.
    BlocksJudged {
        verdicts: Vec<(BlockHash, BlockVerdict)>,
        facts: Facts,
    },
    /// A request was answered.
    Served {
        peer: PeerId,
        protocol: Protocol,
        channel: ResponseChannel<Response>,
        response: Response,
    },
    /// The header of a gossiped block was judged: it can be relayed, or not.
    GossipHeader {
        source: PeerId,
        id: MessageId,
        judgement: GossipJudgement,
    },
    /// The body of a gossiped block was judged, too late for the relay verdict.
    GossipBody {
        /// Who sent it, unless it was gone before the block was whole.
        source: Option<PeerId>,
        hash: BlockHash,
        verdict: BlockVerdict,
        /// The chain that the block shows the sender to have.
        has: Option<PeerStatus>,
        facts: Facts,
    },
    /// The header of a block that is too large for gossip is in the tree, or is not.
    GossipAnnounced {
        source: PeerId,
        /// The chain that the header shows the sender to have.
        has: Option<PeerStatus>,
        facts: Facts,
    },
    /// The mempool has looked for the transactions of an announced block.
    CompactMatched {
        hash: BlockHash,
        matches: Vec<Option<Arc<Transaction>>>,
    },
    /// An announced block was put together, or is not what its header commits to.
    CompactAssembled {
        hash: BlockHash,
        block: Option<Arc<Block>>,
    },
    /// The announcement of a large block of ours is ready.
    Announcement(Publication),
    /// A batch of transactions was judged.
    GossipTransactions {
        source: PeerId,
        id: MessageId,
        verdict: BatchVerdict,
    },
    /// Our own transactions that wait in the mempool.
    OwnTransactions(Vec<Arc<Transaction>>),
    /// A name was looked up.
    Resolved {
        target: TargetId,
        addresses: io::Result<Vec<SocketAddr>>,
    },
    /// Peers were written to disk.
    BookSaved(io::Result<()>),
    /// The chain has stopped or failed.
    ChainGone(String),
}

/// The one verdict that gossipsub gets for a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Relay {
    /// Pass it on.
    Accept,
    /// Drop it; nobody's fault.
    Ignore,
    /// Drop it and hold it against the sender.
    Reject,
}

/// What is to be done with a gossiped block.
#[derive(Debug)]
pub(super) enum GossipJudgement {
    /// Relay it, and take it in.
    News(BlockGossip),
    /// Relay it; we have it.
    Known(BlockHash, Form),
    /// Drop it, and ask the sender for headers: we lack its parent.
    UnknownParent,
    /// Drop it.
    Stale,
    /// Drop it: it may be fine later.
    Future,
    /// Drop it and punish the sender.
    Bad(Fault),
    /// Our own trouble.
    OurFault,
}

/// [`FactsSource::read`] off the executor.
async fn read_facts(chain: &ChainHandle, facts: Arc<FactsSource>) -> Result<Facts, String> {
    let reader = chain.reader().clone();
    tokio::task::spawn_blocking(move || facts.read(&reader))
        .await
        .map_err(|error| error.to_string())
}

/// Reads the chain, as a task.
pub(super) async fn refresh(chain: ChainHandle, facts: Arc<FactsSource>) -> Done {
    read_facts(&chain, facts)
        .await
        .map_or_else(Done::ChainGone, Done::Facts)
}

/// Hands headers to the chain, as far as they show enough work.
pub(super) async fn judge_headers(
    chain: ChainHandle,
    facts: Arc<FactsSource>,
    peer: PeerKey,
    headers: Vec<BlockHeader>,
    least: Work,
    weighing: Option<Box<Weighing>>,
) -> Done {
    let (reader, source) = (chain.reader().clone(), Arc::clone(&facts));
    let now = chain.now();
    let weigh = move || source.weigh(&reader, now, headers, least, weighing);
    let (stored, weighing) = match tokio::task::spawn_blocking(weigh).await {
        Ok(Ok(weighed)) => (Ok(weighed.store), weighed.weighing),
        Ok(Err(error)) => {
            tracing::debug!(?peer, %error, "headers are not stored");
            (Err(weighing_verdict(error)), None)
        }
        Err(error) => return Done::ChainGone(error.to_string()),
    };
    let (verdict, last) = match stored {
        Ok(headers) => {
            let last = headers.last().map(BlockHeader::hash);
            match store_headers(&chain, headers).await {
                Ok(verdict) => (verdict, last),
                Err(gone) => return Done::ChainGone(gone),
            }
        }
        Err(verdict) => (verdict, None),
    };
    let has = last.and_then(|hash| chain_up_to(chain.reader(), &hash));
    if let Some(has) = &has {
        facts.add_end(has.best_hash);
    }
    match read_facts(&chain, facts).await {
        Ok(facts) => Done::HeadersJudged {
            peer,
            verdict,
            weighing,
            has,
            facts,
        },
        Err(error) => Done::ChainGone(error),
    }
}

/// Stores headers; an error tells that the chain is gone.
async fn store_headers(
    chain: &ChainHandle,
    headers: Vec<BlockHeader>,
) -> Result<HeadersVerdict, String> {
    if headers.is_empty() {
        return Ok(HeadersVerdict::Accepted);
    }
    match chain.submit_headers(headers).await {
        Ok(_) => Ok(HeadersVerdict::Accepted),
        Err(error) => headers_verdict(&error).ok_or_else(|| error.to_string()),
    }
}

fn weighing_verdict(error: WeighingError) -> HeadersVerdict {
    match error {
        WeighingError::Unconnected => HeadersVerdict::Unconnected,
        WeighingError::OtherChain | WeighingError::TooLong => HeadersVerdict::OtherChain,
        WeighingError::Rule(RuleError::TimeTooNew { .. }) => HeadersVerdict::Future,
        WeighingError::Rule(_) => HeadersVerdict::Invalid,
    }
}

/// Keeps calls of [`judge_blocks`] in order, although each waits for answers while the next one sends.
#[derive(Debug)]
pub(super) struct Turn {
    /// The call before has sent its blocks, or is gone.
    pub(super) before: Option<oneshot::Receiver<()>>,
    /// Tells the next call so; when it is dropped, too.
    pub(super) sent: oneshot::Sender<()>,
}

/// Hands blocks to the chain, in order and all at once, so that it can write them together, and with those of the next call if there
/// are `more`; tells of them up to the first that fails. Those behind it fail with it, or wait on their branch as if they had come
/// before it.
pub(super) async fn judge_blocks(
    chain: ChainHandle,
    facts: Arc<FactsSource>,
    blocks: Vec<Arc<Block>>,
    more: bool,
    turn: Turn,
) -> Done {
    if let Some(before) = turn.before {
        // An error says that the call before has ended.
        let _ = before.await;
    }
    let mut verdicts = Vec::with_capacity(blocks.len());
    let mut answers = Vec::with_capacity(blocks.len());
    let count = blocks.len();
    for (number, block) in (1..).zip(blocks) {
        let hash = block.header.hash();
        match chain.send_block(block, more || number < count).await {
            Ok(answer) => answers.push((hash, answer)),
            Err(gone) => return Done::ChainGone(gone.to_string()),
        }
    }
    drop(turn.sent);
    for (hash, answer) in answers {
        let verdict = match verdict_of(answer.wait().await) {
            Ok(verdict) => verdict,
            Err(gone) => return Done::ChainGone(gone),
        };
        verdicts.push((hash, verdict));
        if verdict != BlockVerdict::Accepted {
            break;
        }
    }
    match read_facts(&chain, facts).await {
        Ok(facts) => Done::BlocksJudged { verdicts, facts },
        Err(error) => Done::ChainGone(error),
    }
}

fn verdict_of(answer: Result<BlockAccepted, SubmitError>) -> Result<BlockVerdict, String> {
    match answer {
        Ok(_) => Ok(BlockVerdict::Accepted),
        Err(error) => block_verdict(&error).ok_or_else(|| error.to_string()),
    }
}

/// `None`: the chain is gone.
fn headers_verdict(error: &SubmitError) -> Option<HeadersVerdict> {
    Some(match error {
        SubmitError::Invalid(_) => HeadersVerdict::Invalid,
        SubmitError::KnownInvalid(_) | SubmitError::InvalidParent(_) => HeadersVerdict::OnInvalid,
        SubmitError::UnknownParent(_) => HeadersVerdict::Unconnected,
        SubmitError::Future { .. } => HeadersVerdict::Future,
        // Headers have no bodies to be mutated, and these calls name no block.
        SubmitError::Mutated(_) | SubmitError::UnknownBlock(_) => HeadersVerdict::OurFault,
        SubmitError::Stopped | SubmitError::Storage(_) => return None,
    })
}

/// `None`: the chain is gone.
fn block_verdict(error: &SubmitError) -> Option<BlockVerdict> {
    Some(match error {
        SubmitError::Invalid(_) | SubmitError::KnownInvalid(_) | SubmitError::InvalidParent(_) => {
            BlockVerdict::Invalid
        }
        SubmitError::UnknownParent(_) => BlockVerdict::UnknownParent,
        SubmitError::Future { .. } => BlockVerdict::Future,
        SubmitError::Mutated(_) => BlockVerdict::Mutated,
        SubmitError::UnknownBlock(_) => BlockVerdict::OurFault,
        SubmitError::Stopped | SubmitError::Storage(_) => return None,
    })
}

/// Judges a message of the topic `blocks` as far as is needed to relay it: encoding, header rules,
/// and that a whole body belongs to its header.
pub(super) async fn judge_gossip_block(
    chain: ChainHandle,
    facts: Arc<FactsSource>,
    source: PeerId,
    id: MessageId,
    data: Vec<u8>,
) -> Done {
    let judgement = match judge_block_message(&chain, &facts, &data) {
        Ok(judgement) => judgement,
        Err(gone) => return Done::ChainGone(gone),
    };
    Done::GossipHeader {
        source,
        id,
        judgement,
    }
}

fn judge_block_message(
    chain: &ChainHandle,
    facts: &FactsSource,
    data: &[u8],
) -> Result<GossipJudgement, String> {
    let message = match BlockGossip::decode(data) {
        Ok(message) => message,
        Err(error) => {
            tracing::debug!(%error, "malformed block gossip");
            return Ok(GossipJudgement::Bad(Fault::BadGossip));
        }
    };
    if let BlockGossip::Whole(block) = &message {
        let (root, mutated) = block.compute_merkle_root();
        if mutated || root != block.header.merkle_root {
            return Ok(GossipJudgement::Bad(Fault::BadGossip));
        }
    }
    let header = *message.header();
    if let Err(error) = chain.check_header(&header) {
        return error_judgement(&error).ok_or_else(|| error.to_string());
    }
    let reader = chain.reader();
    if !facts.is_news(reader, &header) {
        return Ok(GossipJudgement::Stale);
    }
    let hash = header.hash();
    // The header may be known without its body.
    let have = reader
        .header_info(&hash)
        .is_some_and(|info| info.tx_count.is_some());
    Ok(if have {
        GossipJudgement::Known(hash, Form::of(&message))
    } else {
        GossipJudgement::News(message)
    })
}

/// `None`: the chain is gone.
fn error_judgement(error: &SubmitError) -> Option<GossipJudgement> {
    Some(match error {
        SubmitError::Invalid(_) => GossipJudgement::Bad(Fault::InvalidHeader),
        // Its header was fine, so whoever relayed it may be honest.
        SubmitError::KnownInvalid(_) | SubmitError::InvalidParent(_) => GossipJudgement::Stale,
        SubmitError::UnknownParent(_) => GossipJudgement::UnknownParent,
        SubmitError::Future { .. } => GossipJudgement::Future,
        SubmitError::Mutated(_) | SubmitError::UnknownBlock(_) => GossipJudgement::OurFault,
        SubmitError::Stopped | SubmitError::Storage(_) => return None,
    })
}

/// Gives a gossiped block to the chain.
pub(super) async fn take_gossip_block(
    chain: ChainHandle,
    facts: Arc<FactsSource>,
    source: Option<PeerId>,
    block: Arc<Block>,
) -> Done {
    let hash = block.header.hash();
    let verdict = match verdict_of(chain.submit_block(block).await) {
        Ok(verdict) => verdict,
        Err(gone) => return Done::ChainGone(gone),
    };
    let has = chain_up_to(chain.reader(), &hash);
    if let Some(has) = &has {
        facts.add_end(has.best_hash);
    }
    match read_facts(&chain, facts).await {
        Ok(facts) => Done::GossipBody {
            source,
            hash,
            verdict,
            has,
            facts,
        },
        Err(gone) => Done::ChainGone(gone),
    }
}

/// Takes in the header of a block that was announced by header only.
pub(super) async fn take_gossip_header(
    chain: ChainHandle,
    facts: Arc<FactsSource>,
    source: PeerId,
    header: BlockHeader,
) -> Done {
    let accepted = match chain.submit_headers(vec![header]).await {
        Ok(_) => true,
        Err(error) if headers_verdict(&error).is_some() => false,
        Err(error) => return Done::ChainGone(error.to_string()),
    };
    let has = chain_up_to(chain.reader(), &header.hash()).filter(|_| accepted);
    if let Some(has) = &has {
        facts.add_end(has.best_hash);
    }
    match read_facts(&chain, facts).await {
        Ok(facts) => Done::GossipAnnounced { source, has, facts },
        Err(error) => Done::ChainGone(error),
    }
}

/// Answers a headers request. Blocking.
pub(super) fn serve_headers(reader: &ChainReader, request: &HeadersRequest) -> Response {
    Response::Headers(reader.headers_after(&request.locator, &request.stop, MAX_HEADERS))
}

/// Answers a blocks request. Blocking.
pub(super) fn serve_blocks(
    reader: &ChainReader,
    hashes: &[BlockHash],
) -> Result<Response, NetworkError> {
    let mut blocks = Vec::with_capacity(hashes.len());
    let mut bytes = 0;
    for hash in hashes {
        if bytes > BLOCKS_SOFT_LIMIT {
            break;
        }
        let block = reader
            .raw_block(hash)
            .map_err(|error| NetworkError::Chain(error.to_string()))?;
        if let Some(block) = block {
            bytes += block.len();
            blocks.push(block);
        }
    }
    Ok(Response::RawBlocks(blocks))
}
