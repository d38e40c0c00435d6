//! Why a message was refused.

use thiserror::Error;

use crate::primitives::DecodeError;

/// A message that breaks the schema or a limit. Always the sender's fault.
#[derive(Debug, Error)]
pub enum WireError {
    /// Not protobuf, or not of this schema.
    #[error("malformed protobuf: {0}")]
    Protobuf(#[from] prost::DecodeError),
    /// Not the one encoding that a gossiped content has.
    #[error("the message is not encoded in the one allowed way")]
    NotCanonical,
    /// A field of fixed length has another length.
    #[error("{field} has {found} bytes instead of {expected}")]
    Length {
        /// Name of the field.
        field: &'static str,
        /// Bytes it must have.
        expected: usize,
        /// Bytes it has.
        found: usize,
    },
    /// A field or list is larger than agreed.
    #[error("{field}: {found} is over the limit of {limit}")]
    TooLarge {
        /// Name of the field.
        field: &'static str,
        /// The limit, in entries or bytes.
        limit: usize,
        /// What was sent.
        found: usize,
    },
    /// A list or choice that may not be empty is.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A block, header or transaction that does not decode.
    #[error("{what}: {source}")]
    Consensus {
        /// What it should have been.
        what: &'static str,
        /// Why it is not.
        source: DecodeError,
    },
}
