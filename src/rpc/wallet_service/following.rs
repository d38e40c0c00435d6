//! A wallet's book, made from the blocks that touch its addresses and kept in step by the node's events.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::sync::Arc;

use crate::chain::{ChainEvent, Event, EventReader, MempoolEvent};
use crate::mempool::TxSource;
use crate::primitives::{PubkeyHash, unix_now};
use crate::rpc::context::RpcContext;
use crate::rpc::error::{RpcError, code};
use crate::rpc::methods::stored;
use crate::wallet::{Book, Extent, Place, Wallet};

/// How often a book is made anew when blocks come in between, or when it shows that the wallet has more addresses.
const TRIES: u32 = 100;

/// The book and what keeps it in step.
pub(super) struct Following {
    pub(super) book: Book,
    events: EventReader,
    /// Events since the last end of a change of the chain: a change is taken in as a whole or not at all.
    unfinished: Vec<Arc<Event>>,
    /// How far the wallet's addresses went when `ahead` was made.
    extent: Extent,
    /// Addresses that will be the wallet's next, and are watched already.
    ahead: HashSet<PubkeyHash>,
}

impl fmt::Debug for Following {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Following")
            .field("tip", &self.book.tip())
            .field("transactions", &self.book.transaction_count())
            .finish_non_exhaustive()
    }
}

/// What a look at the events found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    UpToDate,
    /// The book must be made anew.
    Lost,
}

impl Following {
    /// The book as of now, made if there is none.
    ///
    /// # Errors
    /// A failure of a disk, or a chain that changes faster than the wallet's blocks can be read.
    pub(super) fn up_to_date<'a>(
        following: &'a mut Option<Self>,
        context: &RpcContext,
        wallet: &mut Wallet,
    ) -> Result<&'a mut Self, RpcError> {
        let coin_type = context.spec().coin_type;
        for _ in 0..TRIES {
            let mut current = match following.take() {
                Some(current) => current,
                None => match Self::make(context, wallet)? {
                    Some(made) => made,
                    None => continue,
                },
            };
            let paid = RefCell::new(BTreeSet::new());
            if !current.look_ahead(context, wallet)?
                || current.take_in(context, wallet, &paid) == State::Lost
            {
                continue;
            }
            let paid: Vec<PubkeyHash> = paid.into_inner().into_iter().collect();
            if !paid.is_empty() && wallet.take_up(coin_type, &paid)? {
                // What is ahead now may have been paid before.
                let is_whole = current.look_ahead(context, wallet)?;
                *following = is_whole.then_some(current);
                continue;
            }
            return Ok(following.insert(current));
        }
        let message = "Wallet is currently rescanning. Abort existing rescan or wait.";
        Err(RpcError::new(code::WALLET_ERROR, message))
    }

    /// Reads the blocks that touch the wallet; `None` if the chain changed meanwhile, or if they show that it has more addresses.
    fn make(context: &RpcContext, wallet: &mut Wallet) -> Result<Option<Self>, RpcError> {
        let (reader, spec) = (context.reader(), context.spec());
        let coin_type = spec.coin_type;
        // Before the chain is read: what happens meanwhile is seen twice and not missed.
        let events = context.chain.subscribe();
        let before = stored(reader.coin_stats())?;
        let ahead: HashSet<PubkeyHash> = wallet.ahead(coin_type).into_iter().collect();
        let mut failure = None;
        let mut is_used = |hash: &PubkeyHash| match stored(reader.latest_history(hash, 0, 0)) {
            Ok((_, transactions)) => transactions > 0,
            Err(error) => {
                failure.get_or_insert(error);
                false
            }
        };
        let has_more = ahead.iter().any(&mut is_used);
        if has_more {
            wallet.discover(coin_type, &mut is_used)?;
        }
        if let Some(error) = failure {
            return Err(error);
        }
        if has_more {
            return Ok(None);
        }
        let mut heights = BTreeSet::new();
        for hash in wallet.watched(coin_type).chain(ahead.iter().copied()) {
            let rows = stored(reader.address_history(&hash))?;
            heights.extend(rows.into_iter().map(|(height, _, _)| height));
        }
        let mut book = Book::new(before.tip, before.height, spec.coinbase_maturity);
        let paid = RefCell::new(BTreeSet::new());
        for height in heights {
            let block = match reader.hash_at(height) {
                Some(hash) => stored(reader.block(&hash))?.map(|block| (hash, block)),
                None => None,
            };
            // Gone with a reorganisation, which the look below notices.
            let Some((hash, block)) = block else {
                return Ok(None);
            };
            let owns = |hash: &PubkeyHash| owns(wallet, coin_type, &ahead, &paid, hash);
            book.connect(hash, height, &block, &owns);
        }
        if stored(reader.coin_stats())? != before {
            return Ok(None);
        }
        book.set_tip(before.tip, before.height);
        let mut made = Self {
            book,
            events,
            unfinished: Vec::new(),
            extent: wallet.extent(coin_type),
            ahead,
        };
        // First what waits: the wallet's own payments may depend on it.
        made.take_in_waiting(context, wallet, &paid);
        made.take_in_sent(context, wallet);
        let paid: Vec<PubkeyHash> = paid.into_inner().into_iter().collect();
        let has_more = !paid.is_empty() && wallet.take_up(coin_type, &paid)?;
        Ok((!has_more).then_some(made))
    }

    /// The wallet's own payments; those that wait nowhere are sent again.
    fn take_in_sent(&mut self, context: &RpcContext, wallet: &Wallet) {
        let coin_type = context.spec().coin_type;
        let owns = |hash: &PubkeyHash| wallet.watches(coin_type, hash);
        for sent in wallet.outgoing(&context.spec().chain_id()) {
            let (txid, time) = (sent.txid, sent.time);
            self.book.sent(&sent.tx, txid, time, sent.abandoned, &owns);
            let is_nowhere = |place: Place| place == Place::Sent;
            let place = self.book.transaction(&txid).map(|tx| tx.place);
            if place.is_some_and(is_nowhere) && sent.replaced_by.is_none() {
                let answer = context.mempool.submit_blocking(sent.tx, TxSource::Local);
                if let Err(error) = answer {
                    tracing::debug!(%txid, %error, "a payment of the wallet waits outside the mempool");
                }
            }
        }
    }

    /// Everything in the mempool that touches the wallet.
    fn take_in_waiting(
        &mut self,
        context: &RpcContext,
        wallet: &Wallet,
        paid: &RefCell<BTreeSet<PubkeyHash>>,
    ) {
        let coin_type = context.spec().coin_type;
        let now = unix_now();
        let ahead = &self.ahead;
        let owns = |hash: &PubkeyHash| owns(wallet, coin_type, ahead, paid, hash);
        for (txid, tx) in context.mempool.transactions_blocking() {
            self.book.seen(&tx, txid, now, &owns);
        }
    }

    /// Watches the addresses that come next; `false` if one of them has a history, which the book lacks.
    fn look_ahead(&mut self, context: &RpcContext, wallet: &Wallet) -> Result<bool, RpcError> {
        let coin_type = context.spec().coin_type;
        let extent = wallet.extent(coin_type);
        if extent == self.extent {
            return Ok(true);
        }
        if extent.imports != self.extent.imports {
            return Ok(false);
        }
        let ahead: HashSet<PubkeyHash> = wallet.ahead(coin_type).into_iter().collect();
        for hash in ahead.difference(&self.ahead) {
            let (_, transactions) = stored(context.reader().latest_history(hash, 0, 0))?;
            let waiting = context.mempool.address_delta_blocking(*hash);
            if transactions > 0 || !waiting.txids.is_empty() {
                return Ok(false);
            }
        }
        // What was handed out must have been watched, or lie between what was.
        let reach = crate::wallet::GAP_LIMIT;
        let was_seen = extent.external <= self.extent.external.saturating_add(reach)
            && extent.change <= self.extent.change.saturating_add(reach);
        self.ahead = ahead;
        self.extent = extent;
        Ok(was_seen)
    }

    /// Takes in what has happened.
    fn take_in(
        &mut self,
        context: &RpcContext,
        wallet: &Wallet,
        paid: &RefCell<BTreeSet<PubkeyHash>>,
    ) -> State {
        let mut reorganised = false;
        while let Some(event) = self.events.try_next() {
            let Ok((_, event)) = event else {
                return State::Lost;
            };
            let new_tip = match &*event {
                Event::Chain(ChainEvent::TipChanged { hash, .. }) => Some(*hash),
                Event::Chain(_) | Event::Mempool(_) | Event::Peer(_) => None,
            };
            let begins_change = matches!(
                &*event,
                Event::Chain(ChainEvent::Connected { .. } | ChainEvent::Disconnected { .. })
            );
            if !begins_change && self.unfinished.is_empty() {
                self.apply(context, wallet, &event, paid);
                continue;
            }
            self.unfinished.push(event);
            if let Some(new_tip) = new_tip {
                for event in std::mem::take(&mut self.unfinished) {
                    reorganised |= self.apply(context, wallet, &event, paid);
                }
                // A book that was made before the change was told is ahead of it.
                let tip = self.book.tip().0;
                if tip != new_tip && tip != context.reader().tip().hash {
                    return State::Lost;
                }
            }
        }
        if reorganised {
            // The mempool has taken in the change when it answers.
            self.book.forget_waiting();
            self.take_in_waiting(context, wallet, paid);
        }
        State::UpToDate
    }

    /// Takes in one event; `true` if blocks were taken back.
    fn apply(
        &mut self,
        context: &RpcContext,
        wallet: &Wallet,
        event: &Event,
        paid: &RefCell<BTreeSet<PubkeyHash>>,
    ) -> bool {
        let coin_type = context.spec().coin_type;
        let ahead = &self.ahead;
        let owns = |hash: &PubkeyHash| owns(wallet, coin_type, ahead, paid, hash);
        match event {
            Event::Chain(ChainEvent::Connected {
                hash,
                height,
                block,
            }) => {
                // What does not follow was there when the book was made.
                if block.header.prev_block == self.book.tip().0 {
                    self.book.connect(*hash, *height, block, &owns);
                }
                false
            }
            Event::Chain(ChainEvent::Disconnected {
                hash,
                height,
                block,
            }) => {
                let is_tip = *hash == self.book.tip().0;
                if is_tip {
                    self.book.disconnect(hash, *height, block);
                }
                is_tip
            }
            Event::Mempool(MempoolEvent::Added { tx, txid, .. }) => {
                self.book.seen(tx, *txid, unix_now(), &owns);
                false
            }
            Event::Mempool(MempoolEvent::Removed { txid, .. }) => {
                self.book.left(txid);
                false
            }
            Event::Chain(
                ChainEvent::Reorg { .. }
                | ChainEvent::TipChanged { .. }
                | ChainEvent::HeadersAdvanced { .. }
                | ChainEvent::Rejected { .. },
            )
            | Event::Peer(_) => false,
        }
    }
}

/// Whether a hash is the wallet's or will be next; what was paid without having been handed out is noted.
fn owns(
    wallet: &Wallet,
    coin_type: u32,
    ahead: &HashSet<PubkeyHash>,
    paid: &RefCell<BTreeSet<PubkeyHash>>,
    hash: &PubkeyHash,
) -> bool {
    let is_own = wallet.watches(coin_type, hash);
    let is_ahead = !is_own && ahead.contains(hash);
    if is_ahead || (is_own && wallet.is_unissued(hash)) {
        paid.borrow_mut().insert(*hash);
    }
    is_own || is_ahead
}
