//! Protobuf messages <-> our own types, with hard limits. The only place that uses `prost`.
//!
//! Guarantees: a decoder looks at lengths and counts before it allocates, never keeps more than
//! a small multiple of what it was given, and never panics. What comes out is well formed, not
//! valid: blocks and transactions still have to pass the consensus rules.
//!
//! Where to find: the schema is `proto/quarry.proto`; the sizes are in [`limits`]; requests and
//! answers in `messages`, `block_transactions` and `addresses`; gossip in `gossip`.

pub mod limits;

mod addresses;
mod block_transactions;
mod error;
mod fields;
mod gossip;
mod messages;
mod proto;

pub use addresses::PeerAddress;
pub use block_transactions::BlockTransactionsRequest;
pub use error::WireError;
pub use gossip::{BlockGossip, CompactBlock, decode_transaction_batch, encode_transaction_batch};
pub use messages::{HeadersRequest, Protocol, Request, Response, Status};
