//! A tip that stands still: perhaps nobody finds blocks, perhaps those around us keep them. Then another peer is asked.

use crate::primitives::BlockHash;

/// Block times without a block after which a tip is stale: chance alone makes one wait so long once in 10^13 blocks.
const BLOCKS: u64 = 30;
/// And at least this long, milliseconds.
const LEAST: u64 = 300_000;
/// Outbound connections beyond the usual number.
const MAX_EXTRA: usize = 4;

/// Watches the tip.
#[derive(Debug, Default)]
pub(in crate::network) struct StaleTip {
    tip: BlockHash,
    since: u64,
}

impl StaleTip {
    /// How many outbound connections more than usual are wanted at `now` (milliseconds): one when the tip is stale, and
    /// another one each time as long again.
    pub(in crate::network) fn extra(&mut self, now: u64, tip: BlockHash, spacing: u32) -> usize {
        if tip != self.tip {
            self.tip = tip;
            self.since = now;
        }
        let patience = (u64::from(spacing) * 1_000 * BLOCKS).max(LEAST);
        let times = now.saturating_sub(self.since) / patience;
        usize::try_from(times).map_or(MAX_EXTRA, |times| times.min(MAX_EXTRA))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p15_a_stale_tip_wants_one_peer_more_and_a_new_one_none() {
        let mut stale = StaleTip::default();
        let tip = |byte| BlockHash::from_bytes([byte; 32]);
        assert_eq!(stale.extra(0, tip(1), 60), 0);
        assert_eq!(stale.extra(1_799_999, tip(1), 60), 0);
        assert_eq!(stale.extra(1_800_000, tip(1), 60), 1);
        assert_eq!(stale.extra(3_600_000, tip(1), 60), 2);
        assert_eq!(stale.extra(u64::MAX, tip(1), 60), MAX_EXTRA);
        assert_eq!(stale.extra(u64::MAX, tip(2), 60), 0);
        let mut quick = StaleTip::default();
        assert_eq!(quick.extra(0, tip(1), 1), 0);
        assert_eq!(quick.extra(LEAST - 1, tip(1), 1), 0);
        assert_eq!(quick.extra(LEAST, tip(1), 1), 1);
    }
}
