//! What the wallet notes beside its keys: labels of addresses, and payments that it sent.

use crate::primitives::{ChainId, Encode, PubkeyHash, Transaction, Txid};

use super::error::WalletError;
use super::records::OutgoingRecord;
use super::store::Wallet;

/// Longest label in bytes. Longer ones would fill the file.
pub const MAX_LABEL_BYTES: usize = 1_000;
/// Longest comment in bytes.
pub const MAX_COMMENT_BYTES: usize = 1_000;

/// A payment that the wallet sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// The signed transaction.
    pub tx: Transaction,
    /// Its id.
    pub txid: Txid,
    /// Unix time in seconds.
    pub time: u64,
    /// Given up: its coins may be spent again.
    pub abandoned: bool,
    /// What the payer noted.
    pub comment: String,
    /// Whom the payer noted.
    pub to: String,
    /// The payment that it takes the place of.
    pub replaces: Option<Txid>,
    /// The payment that took its place.
    pub replaced_by: Option<Txid>,
}

impl Wallet {
    /// The label of an address, the wallet's own or another's.
    #[must_use]
    pub fn label(&self, hash: &PubkeyHash) -> Option<&str> {
        self.file.labels.get(hash).map(String::as_str)
    }

    /// All labels.
    pub fn labels(&self) -> impl Iterator<Item = (&PubkeyHash, &str)> {
        let labels = self.file.labels.iter();
        labels.map(|(hash, label)| (hash, label.as_str()))
    }

    /// Labels addresses.
    ///
    /// # Errors
    /// [`WalletError::TextTooLong`], or why the disk refused.
    pub fn set_label(&mut self, hashes: &[PubkeyHash], label: &str) -> Result<(), WalletError> {
        check_length("label", label, MAX_LABEL_BYTES)?;
        self.modify(|file, _| {
            for hash in hashes {
                file.labels.insert(*hash, label.to_owned());
            }
            Ok(())
        })
    }

    /// The payments sent on a network that are not buried in the chain yet, oldest first.
    #[must_use]
    pub fn outgoing(&self, chain: &ChainId) -> Vec<Outgoing> {
        let records = self.file.outgoing.iter();
        records
            .filter(|record| record.chain == *chain)
            .filter_map(|record| {
                let tx = record.transaction()?;
                Some(Outgoing {
                    txid: tx.txid(),
                    tx,
                    time: record.time,
                    abandoned: record.abandoned,
                    comment: record.comment.clone(),
                    to: record.to.clone(),
                    replaces: record.replaces,
                    replaced_by: record.replaced_by,
                })
            })
            .collect()
    }

    /// Notes a payment that was sent, and forgets those that `is_buried` says need no more care.
    ///
    /// # Errors
    /// [`WalletError::TextTooLong`], or why the disk refused.
    pub fn note_outgoing(
        &mut self,
        chain: ChainId,
        sent: &Outgoing,
        is_buried: impl Fn(&Txid) -> bool,
    ) -> Result<(), WalletError> {
        check_length("comment", &sent.comment, MAX_COMMENT_BYTES)?;
        check_length("comment", &sent.to, MAX_COMMENT_BYTES)?;
        self.modify(|file, _| {
            file.outgoing.retain_mut(|record| {
                let txid = record.transaction().map(|tx| tx.txid());
                if record.chain == chain && txid.is_some() && txid == sent.replaces {
                    record.replaced_by = Some(sent.txid);
                }
                let buried = txid.is_none_or(|txid| is_buried(&txid) || txid == sent.txid);
                record.chain != chain || !buried
            });
            file.outgoing.push(OutgoingRecord {
                chain,
                tx: hex::encode(sent.tx.to_bytes()),
                time: sent.time,
                abandoned: sent.abandoned,
                comment: sent.comment.clone(),
                to: sent.to.clone(),
                replaces: sent.replaces,
                replaced_by: sent.replaced_by,
            });
            Ok(())
        })
    }

    /// Gives up payments: their coins may be spent again.
    ///
    /// # Errors
    /// Why the disk refused.
    pub fn abandon(&mut self, chain: &ChainId, txids: &[Txid]) -> Result<(), WalletError> {
        self.modify(|file, _| {
            for record in &mut file.outgoing {
                let txid = record.transaction().map(|tx| tx.txid());
                let is_meant = txid.is_some_and(|txid| txids.contains(&txid));
                record.abandoned |= record.chain == *chain && is_meant;
            }
            Ok(())
        })
    }
}

fn check_length(what: &'static str, text: &str, max: usize) -> Result<(), WalletError> {
    match text.len() {
        found if found > max => Err(WalletError::TextTooLong { what, found, max }),
        _ => Ok(()),
    }
}
