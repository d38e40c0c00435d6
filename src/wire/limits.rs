//! The largest messages that are sent or accepted. Receivers enforce them, so they are part of
//! the protocol: lowering one cuts off nodes that still send more.

/// Hashes in a headers request. Locators double their steps, so 64 reach below any height.
pub const MAX_LOCATOR: usize = 64;
/// Headers in one answer (160 kB). A full answer means that there may be more.
pub const MAX_HEADERS: usize = 2_000;
/// Hashes in a blocks request.
pub const MAX_BLOCKS: usize = 16;
/// A server stops adding blocks to an answer past this many bytes (it always adds the first).
pub const BLOCKS_SOFT_LIMIT: usize = 4 << 20;
/// The largest block on any network, whatever its chain spec says.
pub const MAX_BLOCK_BYTES: usize = 4_000_000;
/// A block of up to this many bytes is gossiped whole; a larger one is announced by short ids.
pub const MAX_GOSSIP_BLOCK: usize = 64 << 10;
/// The largest announcement by short ids: some 70,000 transactions, more than a block can hold. A block whose coinbase makes it
/// larger is announced by its header.
pub const MAX_COMPACT_BLOCK: usize = 448 << 10;
/// Transactions of one block that are asked for at once, and answered.
pub const MAX_BLOCK_TRANSACTIONS: usize = 1 << 16;
/// Transactions in one gossiped batch.
pub const MAX_BATCH_TRANSACTIONS: usize = 256;
/// Bytes of transactions that an honest sender puts into one batch (a single larger transaction
/// travels alone).
pub const BATCH_TARGET_BYTES: usize = 64 << 10;
/// Addresses in one answer.
pub const MAX_ADDRESSES: usize = 64;
/// Bytes of a peer's id: those in use have 34 to 38.
pub const MAX_PEER_ID_BYTES: usize = 64;
/// Bytes of an address in binary form: those in use have 8 to 30.
pub const MAX_ADDRESS_BYTES: usize = 128;
/// The longest user agent.
pub const MAX_AGENT: usize = 64;

/// Bytes of a serialized header.
pub(super) const HEADER_BYTES: usize = 80;
