//! What was compared, counted.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Counts that add up over chains and processes.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Tally {
    /// Chains.
    pub chains: u64,
    /// Different blocks that all judges took, those of side branches too.
    pub blocks: u64,
    /// Payments in them, without coinbases.
    pub transactions: u64,
    /// Inputs of those.
    pub inputs: u64,
    /// Blocks and headers fed, with refused and repeated ones.
    pub steps: u64,
    /// Headers that came before their blocks.
    pub headers: u64,
    /// Times that the judges were closed and opened again.
    pub reopened: u64,
    /// Comparisons of everything.
    pub whole: u64,
    /// Reorgs by the number of blocks they took out.
    pub reorgs: BTreeMap<usize, u64>,
    /// Refused blocks by rule.
    pub refused: BTreeMap<String, u64>,
    /// Blocks that a deliberate restriction refused and the kernel took.
    pub restricted: u64,
    /// Single faults that were tried.
    pub mutations: u64,
}

impl Tally {
    /// Adds another count to this one.
    pub fn add(&mut self, other: &Self) {
        self.chains += other.chains;
        self.blocks += other.blocks;
        self.transactions += other.transactions;
        self.inputs += other.inputs;
        self.steps += other.steps;
        self.headers += other.headers;
        self.reopened += other.reopened;
        self.whole += other.whole;
        self.restricted += other.restricted;
        self.mutations += other.mutations;
        for (depth, count) in &other.reorgs {
            *self.reorgs.entry(*depth).or_default() += count;
        }
        for (rule, count) in &other.refused {
            *self.refused.entry(rule.clone()).or_default() += count;
        }
    }

    /// The table for people.
    pub fn table(&self) -> String {
        let mut lines = vec![
            format!("chains                {:>12}", self.chains),
            format!("blocks taken          {:>12}", self.blocks),
            format!("payments in them      {:>12}", self.transactions),
            format!("inputs of those       {:>12}", self.inputs),
            format!("blocks and headers fed{:>12}", self.steps),
            format!("  headers among them  {:>12}", self.headers),
            format!("mutations             {:>12}", self.mutations),
            format!("restrictions met      {:>12}", self.restricted),
            format!("restarts              {:>12}", self.reopened),
            format!("whole comparisons     {:>12}", self.whole),
            format!(
                "reorgs                {:>12}",
                self.reorgs.values().sum::<u64>()
            ),
        ];
        for range in [1..=1, 2..=5, 6..=10, 11..=20, 21..=30] {
            let count: u64 = self
                .reorgs
                .range(range.clone())
                .map(|(_, count)| count)
                .sum();
            let label = format!("  {} to {} blocks deep", range.start(), range.end());
            lines.push(format!("{label:<22}{count:>12}"));
        }
        lines.push("refused, by rule".into());
        for (rule, count) in &self.refused {
            lines.push(format!("  {rule:<26}{count:>6}"));
        }
        lines.join("\n")
    }
}
