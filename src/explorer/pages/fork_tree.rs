//! The latest blocks of all branches, drawn as a picture: the active chain is the lowest row, time goes to the right.

use std::collections::HashMap;

use maud::{Markup, html};

use crate::chain::{ChainReader, TipStatus};
use crate::primitives::BlockHash;

/// Heights shown below the active tip, itself included.
const SPAN: u32 = 30;
/// Heights shown above it: branches of headers whose bodies are missing.
const AHEAD: u32 = 6;
/// Branches shown at most, the highest first; bounds the work on a chain under attack.
const MAX_BRANCHES: usize = 24;
/// Distance between heights and between rows, in units of the picture.
const STEP: u32 = 32;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Active,
    Fork,
    Pending,
    Invalid,
}

#[derive(Debug, Clone, Copy)]
struct Node {
    hash: BlockHash,
    parent: BlockHash,
    height: u32,
    row: u32,
    kind: Kind,
}

/// What is drawn.
pub(super) struct ForkTree {
    nodes: Vec<Node>,
    low: u32,
    high: u32,
}

impl ForkTree {
    /// The tree as it is now.
    pub(super) fn of(reader: &ChainReader) -> Self {
        let tip = reader.tip();
        let low = tip.height.saturating_sub(SPAN - 1);
        let mut tree = Self {
            nodes: Vec::new(),
            low,
            high: tip.height,
        };
        let mut rows: HashMap<BlockHash, u32> = HashMap::new();
        for height in low..=tip.height {
            if let Some(info) = reader
                .hash_at(height)
                .and_then(|hash| reader.header_info(&hash))
            {
                rows.insert(info.hash, 0);
                tree.nodes.push(Node {
                    hash: info.hash,
                    parent: info.header.prev_block,
                    height,
                    row: 0,
                    kind: Kind::Active,
                });
            }
        }
        let branches = reader
            .tips()
            .into_iter()
            .filter(|tip| tip.status != TipStatus::Active && tip.height >= low);
        for branch in branches.take(MAX_BRANCHES) {
            tree.add_branch(
                reader,
                branch.hash,
                kind(branch.status),
                tip.height.saturating_add(AHEAD),
                &mut rows,
            );
        }
        tree
    }

    fn add_branch(
        &mut self,
        reader: &ChainReader,
        tip: BlockHash,
        kind: Kind,
        highest: u32,
        rows: &mut HashMap<BlockHash, u32>,
    ) {
        let mut found = Vec::new();
        let mut hash = tip;
        while !rows.contains_key(&hash) {
            let Some(info) = reader
                .header_info(&hash)
                .filter(|info| info.height >= self.low)
            else {
                break;
            };
            // A branch far ahead is walked for as long as it is drawn, not for ever.
            if info.height > highest.saturating_add(SPAN) {
                return;
            }
            if info.height <= highest {
                found.push((info.hash, info.header.prev_block, info.height));
            }
            hash = info.header.prev_block;
        }
        let (Some(last), Some(first)) = (found.first(), found.last()) else {
            return;
        };
        let (from, to) = (first.2.saturating_sub(1), last.2);
        let row = self.free_row(from, to);
        self.high = self.high.max(to);
        for (hash, parent, height) in found {
            rows.insert(hash, row);
            self.nodes.push(Node {
                hash,
                parent,
                height,
                row,
                kind,
            });
        }
    }

    /// The lowest row with nothing between these heights.
    fn free_row(&self, from: u32, to: u32) -> u32 {
        let is_free = |row: &u32| {
            !self
                .nodes
                .iter()
                .any(|node| node.row == *row && (from..=to).contains(&node.height))
        };
        (1..).find(is_free).unwrap_or(1)
    }

    /// The picture.
    pub(super) fn draw(&self) -> Markup {
        let places: HashMap<BlockHash, (u32, u32)> = self
            .nodes
            .iter()
            .map(|node| (node.hash, self.place(node.height, node.row)))
            .collect();
        let rows = self.nodes.iter().map(|node| node.row).max().unwrap_or(0);
        let (width, height) = ((self.high - self.low + 1) * STEP, (rows + 1) * STEP + 16);
        let base = rows * STEP + STEP / 2;
        html! {
            svg.tree viewBox={ "0 0 " (width) " " (height) } role="img" aria-label="Tree of the latest blocks" {
                g transform={ "translate(0 " (base) ")" } {
                    @for node in &self.nodes {
                        @if let (Some(from), Some(to)) = (places.get(&node.parent), places.get(&node.hash)) {
                            line x1=(from.0) y1={ "-" (from.1) } x2=(to.0) y2={ "-" (to.1) } {}
                        }
                    }
                    @for node in &self.nodes {
                        @let (x, y) = self.place(node.height, node.row);
                        a href={ "/block/" (node.hash) } {
                            title { (node.height) " " (node.hash) " " (label(node.kind)) }
                            circle class=(class(node.kind)) cx=(x) cy={ "-" (y) } r="8" {}
                        }
                        @if node.row == 0 && node.height % 5 == 0 {
                            text x=(x) y="24" { (node.height) }
                        }
                    }
                }
            }
        }
    }

    /// Right of the first height, and up from the lowest row.
    fn place(&self, height: u32, row: u32) -> (u32, u32) {
        ((height - self.low) * STEP + STEP / 2, row * STEP)
    }
}

const fn kind(status: TipStatus) -> Kind {
    match status {
        TipStatus::Active => Kind::Active,
        TipStatus::ValidFork | TipStatus::ValidHeaders => Kind::Fork,
        TipStatus::HeadersOnly => Kind::Pending,
        TipStatus::Invalid => Kind::Invalid,
    }
}

const fn class(kind: Kind) -> &'static str {
    match kind {
        Kind::Active => "active",
        Kind::Fork => "fork",
        Kind::Pending => "pending",
        Kind::Invalid => "invalid",
    }
}

const fn label(kind: Kind) -> &'static str {
    match kind {
        Kind::Active => "(active chain)",
        Kind::Fork => "(side branch)",
        Kind::Pending => "(header only)",
        Kind::Invalid => "(invalid)",
    }
}
