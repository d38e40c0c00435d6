//! Which blocks came or went by gossip lately.

use std::collections::VecDeque;

use crate::{primitives::BlockHash, wire::BlockGossip};

/// Entries remembered: far more than the blocks of the two minutes for which gossipsub itself remembers messages.
const MAX_RECENT: usize = 512;

/// How a block is announced. Each form of a block is relayed once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::network) enum Form {
    /// With its body.
    Whole,
    /// By short transaction ids. These depend on a nonce, so there may be many such messages of one block.
    Compact,
    /// By its header.
    Header,
}

impl Form {
    /// The form of an announcement.
    pub(in crate::network) fn of(message: &BlockGossip) -> Self {
        match message {
            BlockGossip::Whole(_) => Self::Whole,
            BlockGossip::Compact(_) => Self::Compact,
            BlockGossip::Header(_) => Self::Header,
        }
    }
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(in crate::network) struct RecentBlocks(VecDeque<(BlockHash, Form)>);

impl RecentBlocks {
    /// Notes that a block came or went in this form; returns whether it is the first time.
    pub(in crate::network) fn note(&mut self, hash: BlockHash, form: Form) -> bool {
        if self.0.contains(&(hash, form)) {
            return false;
        }
        if self.0.len() >= MAX_RECENT {
            self.0.pop_front();
        }
        self.0.push_back((hash, form));
        true
    }

    /// Whether a block came or went in any form.
    pub(in crate::network) fn contains(&self, hash: &BlockHash) -> bool {
        self.0.iter().any(|(known, _)| known == hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_of_a_block_is_new_once() {
        let mut recent = RecentBlocks::default();
        let hash = BlockHash::from_bytes([1; 32]);
        assert!(!recent.contains(&hash));
        assert!(recent.note(hash, Form::Header));
        assert!(recent.contains(&hash));
        assert!(recent.note(hash, Form::Whole));
        assert!(!recent.note(hash, Form::Whole));
        assert!(!recent.note(hash, Form::Header));
        for i in 0..2_000_u32 {
            let mut bytes = [2; 32];
            bytes[..4].copy_from_slice(&i.to_le_bytes());
            recent.note(BlockHash::from_bytes(bytes), Form::Whole);
        }
        assert_eq!(recent.0.len(), MAX_RECENT);
    }
}
