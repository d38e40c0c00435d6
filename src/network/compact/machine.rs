//! The state of each block that is being filled.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use crate::{
    network::{
        limits::{block_transactions_quota, max_streams},
        quota::Quota,
        sync::PeerKey,
    },
    primitives::{Block, BlockHash, BlockHeader, ShortId, ShortIdKey, Transaction},
    wire::{BlockTransactionsRequest, CompactBlock, Protocol},
};

/// Blocks being filled at once; each may hold as much as the largest block. Others are fetched whole.
const MAX_FILLED: usize = 8;
/// Requests to one peer at once: half of the streams, since both directions share them.
pub(super) const MAX_ASKED_PER_PEER: usize = max_streams(Protocol::BlockTransactions) / 2;
/// The announcer has this many milliseconds to send what is missing; then the block is fetched whole, from whoever has it.
const PATIENCE: u64 = 2_000;

/// Something to do.
#[derive(Debug)]
pub(in crate::network) enum Action {
    /// Ask the mempool for these transactions.
    Match {
        /// The block.
        hash: BlockHash,
        /// What the ids were made with.
        key: ShortIdKey,
        /// All different.
        ids: Vec<ShortId>,
    },
    /// Ask a peer for transactions.
    Ask {
        /// Whom: the one who announced the block.
        peer: PeerKey,
        /// For which.
        request: BlockTransactionsRequest,
    },
    /// Put the block together.
    Assemble {
        /// Its header.
        header: BlockHeader,
        /// What it seems to consist of.
        transactions: Vec<Arc<Transaction>>,
    },
    /// The block is whole: give it to the chain.
    Take {
        /// Who announced it.
        peer: PeerKey,
        /// It; its merkle root is right.
        block: Arc<Block>,
    },
    /// Fetch the block like any other whose header is known.
    FetchWhole {
        /// Who announced it.
        peer: PeerKey,
        /// Its header.
        header: BlockHeader,
    },
}

/// How far a block is.
#[derive(Debug)]
enum State {
    /// The mempool is asked.
    Matching(CompactBlock),
    /// The announcer is asked for what is missing.
    Asking {
        header: BlockHeader,
        /// The block's transactions, as far as they are here.
        found: Vec<Option<Arc<Transaction>>>,
        /// How many are not.
        missing: usize,
        until: u64,
    },
    /// It is put together.
    Assembling(BlockHeader),
    /// The chain judges it; meanwhile others may be given parts of it.
    Judged(Arc<Block>),
}

#[derive(Debug)]
struct Filled {
    peer: PeerKey,
    state: State,
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(in crate::network) struct Compact {
    blocks: HashMap<BlockHash, Filled>,
    /// What each announcer was asked lately: 80 % of its quota at most.
    asked: HashMap<PeerKey, Quota>,
}

impl Compact {
    /// A peer announced a block whose header is right.
    pub(in crate::network) fn announced(
        &mut self,
        peer: PeerKey,
        compact: CompactBlock,
    ) -> Option<Action> {
        let header = compact.header;
        let hash = header.hash();
        if self.blocks.contains_key(&hash) {
            return None;
        }
        let different: HashSet<_> = compact.short_ids.iter().collect();
        let is_ambiguous = different.len() < compact.short_ids.len();
        if is_ambiguous || self.blocks.len() >= MAX_FILLED {
            return Some(Action::FetchWhole { peer, header });
        }
        let (key, ids) = (compact.key(), compact.short_ids.clone());
        let state = State::Matching(compact);
        self.blocks.insert(hash, Filled { peer, state });
        Some(Action::Match { hash, key, ids })
    }

    /// The mempool has answered; an answer that is too short lacks the rest.
    pub(in crate::network) fn matched(
        &mut self,
        now: u64,
        hash: BlockHash,
        matches: Vec<Option<Arc<Transaction>>>,
    ) -> Option<Action> {
        let peer = self.blocks.get(&hash)?.peer;
        let State::Matching(compact) = &self.blocks.get(&hash)?.state else {
            return None;
        };
        let (header, count) = (compact.header, compact.short_ids.len());
        let coinbase = Some(Arc::new(compact.coinbase.clone()));
        let matches = matches.into_iter().chain(std::iter::repeat(None));
        let found: Vec<_> = std::iter::once(coinbase)
            .chain(matches.take(count))
            .collect();
        let missing = (0..).zip(&found).filter(|(_, tx)| tx.is_none());
        let places: Vec<u32> = missing.map(|(place, _)| place).collect();
        if places.is_empty() {
            return self.assemble(hash, header, found.into_iter().flatten().collect());
        }
        let missing = places.len();
        match BlockTransactionsRequest::new(hash, places) {
            Some(request) if self.may_ask(now, peer) => {
                let state = State::Asking {
                    header,
                    found,
                    missing,
                    until: now + PATIENCE,
                };
                self.blocks.insert(hash, Filled { peer, state });
                Some(Action::Ask { peer, request })
            }
            Some(_) | None => self.give_up(hash, header),
        }
    }

    fn may_ask(&mut self, now: u64, peer: PeerKey) -> bool {
        let is_asked =
            |filled: &&Filled| filled.peer == peer && matches!(filled.state, State::Asking { .. });
        if self.blocks.values().filter(is_asked).count() >= MAX_ASKED_PER_PEER {
            return false;
        }
        let quota = self.asked.entry(peer);
        quota
            .or_insert_with(|| block_transactions_quota().own_share())
            .take(now, 1)
    }

    /// The announcer has sent what was missing, or says by an empty list that it cannot.
    pub(in crate::network) fn answered(
        &mut self,
        hash: BlockHash,
        transactions: Vec<Transaction>,
    ) -> Option<Action> {
        let State::Asking {
            header,
            found,
            missing,
            ..
        } = &mut self.blocks.get_mut(&hash)?.state
        else {
            return None;
        };
        let header = *header;
        if transactions.len() != *missing {
            return self.give_up(hash, header);
        }
        let mut sent = transactions.into_iter().map(Arc::new);
        let found = std::mem::take(found).into_iter();
        let all = found.filter_map(|tx| tx.or_else(|| sent.next())).collect();
        self.assemble(hash, header, all)
    }

    /// The announcer has not answered.
    pub(in crate::network) fn unanswered(&mut self, hash: BlockHash) -> Option<Action> {
        match &self.blocks.get(&hash)?.state {
            State::Asking { header, .. } => {
                let header = *header;
                self.give_up(hash, header)
            }
            State::Matching(_) | State::Assembling(_) | State::Judged(_) => None,
        }
    }

    fn assemble(
        &mut self,
        hash: BlockHash,
        header: BlockHeader,
        transactions: Vec<Arc<Transaction>>,
    ) -> Option<Action> {
        self.blocks.get_mut(&hash)?.state = State::Assembling(header);
        Some(Action::Assemble {
            header,
            transactions,
        })
    }

    /// The block was put together, or is not what its header commits to.
    pub(in crate::network) fn assembled(
        &mut self,
        hash: BlockHash,
        block: Option<Arc<Block>>,
    ) -> Option<Action> {
        let filled = self.blocks.get_mut(&hash)?;
        let State::Assembling(header) = filled.state else {
            return None;
        };
        match block {
            Some(block) => {
                filled.state = State::Judged(Arc::clone(&block));
                Some(Action::Take {
                    peer: filled.peer,
                    block,
                })
            }
            None => self.give_up(hash, header),
        }
    }

    fn give_up(&mut self, hash: BlockHash, header: BlockHeader) -> Option<Action> {
        let peer = self.blocks.remove(&hash)?.peer;
        Some(Action::FetchWhole { peer, header })
    }

    /// The chain has the block, or will not have it.
    pub(in crate::network) fn forget(&mut self, hash: &BlockHash) {
        self.blocks.remove(hash);
    }

    /// A peer is gone: what it was asked for has to come from others.
    pub(in crate::network) fn gone(&mut self, peer: PeerKey) -> Vec<Action> {
        self.asked.remove(&peer);
        self.give_up_asking(|filled, _| filled.peer == peer)
    }

    /// Gives up on announcers that take too long.
    pub(in crate::network) fn tick(&mut self, now: u64) -> Vec<Action> {
        self.give_up_asking(|_, until| until <= now)
    }

    fn give_up_asking(&mut self, which: impl Fn(&Filled, u64) -> bool) -> Vec<Action> {
        let asking = self
            .blocks
            .iter()
            .filter_map(|(hash, filled)| match filled.state {
                State::Asking { header, until, .. } => {
                    which(filled, until).then_some((*hash, header))
                }
                State::Matching(_) | State::Assembling(_) | State::Judged(_) => None,
            });
        let given_up: Vec<_> = asking.collect();
        let give_up = |(hash, header)| self.give_up(hash, header);
        given_up.into_iter().filter_map(give_up).collect()
    }

    /// Whether the block is not whole yet, but may be soon.
    pub(in crate::network) fn is_filling(&self, hash: &BlockHash) -> bool {
        self.blocks
            .get(hash)
            .is_some_and(|filled| match filled.state {
                State::Matching(_) | State::Asking { .. } | State::Assembling(_) => true,
                State::Judged(_) => false,
            })
    }

    /// The block, while the chain judges it.
    pub(in crate::network) fn judged(&self, hash: &BlockHash) -> Option<&Arc<Block>> {
        match &self.blocks.get(hash)?.state {
            State::Judged(block) => Some(block),
            State::Matching(_) | State::Asking { .. } | State::Assembling(_) => None,
        }
    }
}
