//! Which blocks are news.

/// A block whose chain has less work than the one this far below the tip is no news: its gossip is neither relayed nor taken.
/// Measured in work and not in height, or blocks of little work could be made for nothing and stored by everybody.
const NEWS_DEPTH: u32 = 6;

/// The height of the active chain's block whose work the parent of a block must reach to be news.
pub const fn oldest_news(tip_height: u32) -> u32 {
    tip_height.saturating_sub(NEWS_DEPTH + 1)
}
