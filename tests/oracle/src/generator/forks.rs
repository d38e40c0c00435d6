//! Forks and faults: branches in every order, blocks that break one rule, blocks that come again.

use std::rc::Rc;

use quarry::primitives::BlockHash;

use super::Generator;
use crate::forge::finish;
use crate::mutations::{self, Core, How, Mutation, Stage};
use crate::trial::{Divergence, Verdict};
use crate::view::{Spend, View};

impl Generator {
    /// A branch from some blocks back, that wins, ties or loses, perhaps with a fault; its blocks come in order, out of order,
    /// or after their headers.
    pub(super) fn fork(&mut self) -> Result<(), Divergence> {
        let tip = self.current();
        let deepest = self.shape.depth.min(tip.height as usize - 1);
        let depth = match self.rng.below(3) {
            0 => 1,
            1 => 1 + self.rng.below(deepest.min(6)),
            _ => 1 + self.rng.below(deepest),
        };
        let length = match self.rng.below(10) {
            0 => depth.saturating_sub(1).max(1),
            1..=2 => depth,
            3 => depth + 2,
            _ => depth + 1,
        };
        let active = self.trial.model.active();
        let base = BlockHash::from_bytes(active[active.len() - 1 - depth]);
        let stale: Vec<Spend> = active[active.len() - depth..]
            .iter()
            .flat_map(|hash| self.made[&BlockHash::from_bytes(*hash)].payments.clone())
            .collect();
        let fault_at = match self.rng.below(8) {
            0 => Some(1),
            1 => Some(length - 1),
            _ => None,
        };
        let mut view = self.view_at(base);
        let mut stale = stale.chunks(stale.len().div_ceil(length).max(1));
        let mut branch = Vec::new();
        for place in 0..length {
            let faulty = (fault_at == Some(place))
                .then(|| self.faulty(&mut view))
                .flatten();
            let hash = faulty.unwrap_or_else(|| {
                let reuse = stale.next().unwrap_or_default().to_vec();
                self.make(&mut view, &reuse)
            });
            branch.push(hash);
        }
        // Sometimes the last block has a twin of the same height.
        if self.rng.chance(15) && length > 1 {
            let mut beside = self.view_at(branch[length - 2]);
            branch.push(self.make(&mut beside, &[]));
        }
        self.deliver(&branch)
    }

    /// A block with a fault that shows when it is connected, for a branch. The coins after it are as if it spent nothing.
    fn faulty(&mut self, view: &mut View) -> Option<BlockHash> {
        let late: Vec<Mutation> = self
            .faults
            .iter()
            .filter(|fault| {
                matches!(fault.how, How::Block(Stage::Connected, _)) && fault.core != Core::Takes
            })
            .copied()
            .collect();
        let fault = late[self.rng.below(late.len())];
        let How::Block(_, make) = fault.how else {
            return None;
        };
        let before = view.clone();
        let (mut draft, mut bench) = mutations::draft(&mut self.forge, &before, &mut self.rng)?;
        if !make(&mut draft, &mut bench) {
            return None;
        }
        self.trial.tally.mutations += 1;
        finish(&mut draft.block);
        let hash = self.keep(&before, view, &draft.block, Vec::new());
        let made = self
            .made
            .get_mut(&hash)
            .and_then(Rc::get_mut)
            .expect("just made");
        made.created.clear();
        Some(hash)
    }

    fn deliver(&mut self, branch: &[BlockHash]) -> Result<(), Divergence> {
        let mut shuffled = branch.to_vec();
        match self.rng.below(5) {
            // Before their parents: refused, and fed again in order.
            0 => {
                self.rng.shuffle(&mut shuffled);
                for hash in &shuffled {
                    self.feed(hash)?;
                }
            }
            // After their headers, in any order.
            1 => {
                for hash in branch {
                    self.trial.header(self.made[hash].raw[..80].to_vec())?;
                }
                self.rng.shuffle(&mut shuffled);
                for hash in &shuffled {
                    self.feed(hash)?;
                }
            }
            _ => {}
        }
        for hash in branch {
            self.feed(hash)?;
        }
        Ok(())
    }

    /// A block with a single fault at the tip, then honest blocks.
    pub(super) fn fault(&mut self) -> Result<(), Divergence> {
        let fault = self.faults[self.rng.below(self.faults.len())];
        if self.try_fault(&fault)? && fault.core == Core::Takes {
            // The kernel went astray; two blocks lead it back.
            self.grow(2)?;
        }
        Ok(())
    }

    /// Feeds a fault at the tip. False where it cannot be made here.
    ///
    /// # Errors
    /// A divergence.
    pub fn try_fault(&mut self, fault: &Mutation) -> Result<bool, Divergence> {
        let (How::Block(_, make) | How::Heavy(make)) = fault.how else {
            return Ok(false);
        };
        let view = self.current();
        let Some((mut draft, mut bench)) = mutations::draft(&mut self.forge, &view, &mut self.rng)
        else {
            return Ok(false);
        };
        if !make(&mut draft, &mut bench) {
            return Ok(false);
        }
        fault.run(&mut self.trial, draft.into_bytes(), &self.forge)?;
        Ok(true)
    }

    /// A fault on a branch that starts two blocks back and wins with its third: taken unseen, found when the branch wins.
    ///
    /// ```text
    ///  base ── a ── tip
    ///     └── fault ── b ── c
    /// ```
    ///
    /// # Errors
    /// A divergence.
    ///
    /// # Panics
    /// Where the fault cannot be made here.
    pub fn late_fault_on_a_branch(&mut self, fault: &Mutation) -> Result<(), Divergence> {
        let How::Block(Stage::Connected, make) = fault.how else {
            return Ok(());
        };
        let base = self.current();
        self.grow(2)?;
        let tip = self.trial.model.tip();
        let found = (0..50).find_map(|_| {
            let (mut draft, mut bench) = mutations::draft(&mut self.forge, &base, &mut self.rng)?;
            make(&mut draft, &mut bench).then_some(draft)
        });
        let faulty = self.adopt(&base, found.expect("the fault can be made here"));
        let mut branch = vec![faulty.hash()];
        for _ in 0..2 {
            let mut view = self.view_at(branch[branch.len() - 1]);
            branch.push(self.make(&mut view, &[]));
        }
        let last = branch.pop().expect("three blocks");
        for hash in branch {
            self.feed_valid(&hash)?;
        }
        if fault.core == Core::Takes {
            let raw = self.made[&last].raw.clone();
            self.trial.restricted(raw, &self.forge.signed)?;
        } else if self.feed(&last)? == Verdict::Accepted {
            return Err(Divergence("the branch won".into()));
        }
        if self.trial.model.tip() != tip {
            return Err(Divergence("the old tip did not come back".into()));
        }
        Ok(())
    }

    /// A block that was fed before, valid or not, or a child of one.
    pub(super) fn repeat(&mut self) -> Result<(), Divergence> {
        let old = self.order[self.rng.below(self.order.len())];
        self.feed(&old)?;
        if self.rng.chance(30) {
            let recent =
                self.order[self.order.len() - 1 - self.rng.below(self.order.len().min(20))];
            let mut view = self.view_at(recent);
            let child = self.make(&mut view, &[]);
            self.feed(&child)?;
        }
        Ok(())
    }
}
