//! Calls of the mempool: gossiped batches of transactions, and our own.

use std::{collections::HashSet, sync::Arc};

use libp2p::{PeerId, gossipsub::MessageId};

use super::calls::{Done, Relay};
use crate::{
    mempool::{Accepted, MempoolHandle, RejectError, TxSource},
    network::peers::Fault,
    primitives::Transaction,
    wire::decode_transaction_batch,
};

/// What is to be done with a batch of transactions.
#[derive(Debug)]
pub(super) struct BatchVerdict {
    pub(super) relay: Relay,
    pub(super) fault: Option<Fault>,
    /// What was new to us, if the batch itself is not relayed.
    pub(super) announce: Vec<Arc<Transaction>>,
}

/// Judges a batch of transactions. It is relayed only if we found every transaction valid, now or before; so whoever relays
/// one that no state could make valid has not looked, and is at fault. What depends on state is never held against anyone: what
/// we took of such a batch is announced in one of our own.
pub(super) async fn judge_gossip_transactions(
    mempool: MempoolHandle,
    source: PeerId,
    id: MessageId,
    data: Vec<u8>,
) -> Done {
    let transactions: Vec<_> = match decode_transaction_batch(&data) {
        Ok(transactions) => transactions.into_iter().map(Arc::new).collect(),
        Err(error) => {
            tracing::debug!(%error, "malformed transaction gossip");
            return Done::GossipTransactions {
                source,
                id,
                verdict: BatchVerdict {
                    relay: Relay::Reject,
                    fault: Some(Fault::BadGossip),
                    announce: Vec::new(),
                },
            };
        }
    };
    let from = TxSource::Peer(source.to_string().into());
    let results = mempool.submit_many(transactions.clone(), from).await;
    let verdict = batch_verdict(transactions.into_iter().zip(results));
    Done::GossipTransactions {
        source,
        id,
        verdict,
    }
}

fn batch_verdict(
    judged: impl Iterator<Item = (Arc<Transaction>, Result<Accepted, RejectError>)>,
) -> BatchVerdict {
    let (mut whole, mut fault) = (true, None);
    let mut announce = Vec::new();
    for (transaction, result) in judged {
        match result {
            Ok(accepted) if accepted.newly => announce.push(transaction),
            Ok(_) | Err(RejectError::AlreadyInMempool | RejectError::AlreadyKnown) => {}
            Err(error) => {
                whole = false;
                if error.is_senders_fault() {
                    tracing::debug!(%error, "a batch holds an invalid transaction");
                    fault = Some(Fault::InvalidTransaction);
                }
            }
        }
    }
    let relay = match fault {
        Some(_) => Relay::Reject,
        None if whole && !announce.is_empty() => Relay::Accept,
        None => Relay::Ignore,
    };
    if relay == Relay::Accept {
        announce.clear();
    }
    BatchVerdict {
        relay,
        fault,
        announce,
    }
}

/// Finds the transactions in the mempool that were made here.
pub(super) async fn own_transactions(mempool: MempoolHandle) -> Done {
    let entries = mempool.entries().await;
    let local: HashSet<_> = entries
        .iter()
        .filter(|entry| entry.local)
        .map(|entry| entry.txid)
        .collect();
    let all = mempool.transactions().await;
    let own = all.into_iter().filter(|(txid, _)| local.contains(txid));
    Done::OwnTransactions(own.map(|(_, transaction)| transaction).collect())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;
    use crate::{
        chain::{
            Clock,
            testing::{TestChain, coinbase_coin, pay},
        },
        mempool::{self, Policy},
        primitives::{Amount, OutPoint, Txid},
    };

    fn judge(results: Vec<Result<Accepted, RejectError>>) -> BatchVerdict {
        let transaction = Arc::new(Transaction {
            version: 1,
            inputs: Vec::new(),
            outputs: Vec::new(),
            lock_time: 0,
        });
        batch_verdict(results.into_iter().map(|r| (Arc::clone(&transaction), r)))
    }

    /// A batch with one transaction that we could not judge was relayed whole; who got it from us could find a bad signature in
    /// that one, and blamed us.
    #[test]
    fn only_what_was_judged_wholly_is_relayed() {
        let accepted = |newly| {
            Ok(Accepted {
                txid: Txid::ZERO,
                fee: Amount::ZERO,
                size: 100,
                newly,
            })
        };
        let unknown = || {
            Err(RejectError::MissingInputs {
                outpoint: OutPoint::NULL,
            })
        };
        let check = |results, relay, fault, announced| {
            let verdict = judge(results);
            assert_eq!((verdict.relay, verdict.fault), (relay, fault));
            assert_eq!(verdict.announce.len(), announced);
        };
        let (good, known) = (accepted(true), accepted(false));
        check(vec![good.clone(), known.clone()], Relay::Accept, None, 0);
        let in_chain = Err(RejectError::AlreadyKnown);
        check(vec![good.clone(), in_chain], Relay::Accept, None, 0);
        check(vec![known], Relay::Ignore, None, 0);
        check(vec![good.clone(), unknown()], Relay::Ignore, None, 1);
        let fault = Some(Fault::InvalidTransaction);
        let bad = Err(RejectError::Coinbase);
        check(vec![good, unknown(), bad], Relay::Reject, fault, 1);
    }

    /// After events were missed: what was made here is announced again, and nothing else.
    #[test]
    fn our_own_transactions_are_found_in_the_mempool() {
        let chain = TestChain::new();
        let blocks = chain.extend(3);
        let clock = Arc::clone(&chain.clock);
        let clock: Clock = Arc::new(move || clock.load(Ordering::Relaxed));
        let (mempool, task) =
            mempool::spawn(chain.handle().clone(), Policy::default(), clock).unwrap();
        let payment = |at: usize| pay(1, &[coinbase_coin(&blocks[at])], &[(2, 1_000_000)]);
        let (ours, theirs) = (payment(0), payment(1));
        mempool
            .submit_blocking(ours.clone(), TxSource::Local)
            .unwrap();
        let peer = TxSource::Peer("a peer".into());
        mempool.submit_blocking(theirs, peer).unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        match runtime.block_on(own_transactions(mempool.clone())) {
            Done::OwnTransactions(own) => assert_eq!(own, [Arc::new(ours)]),
            other => panic!("not {other:?}"),
        }
        mempool.stop_blocking();
        task.join().unwrap();
    }
}
