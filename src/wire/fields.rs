//! Checks on raw fields: counting before decoding, fixed lengths, consensus bytes.

use prost::encoding::{DecodeContext, decode_key, skip_field};

use super::error::WireError;
use crate::primitives::Decode;

/// Refuses a message in which the repeated field `tag` occurs more than `limit` times.
///
/// prost would first build the whole list: a list of empty entries costs two bytes each on the
/// wire and 24 in memory, so an 8 MiB answer could take 100 MB. This pass allocates nothing.
pub(super) fn check_count(
    mut bytes: &[u8],
    tag: u32,
    field: &'static str,
    limit: usize,
) -> Result<(), WireError> {
    let mut found = 0;
    while !bytes.is_empty() {
        let (key, wire_type) = decode_key(&mut bytes)?;
        skip_field(wire_type, key, &mut bytes, DecodeContext::default())?;
        if key == tag {
            found += 1;
            at_most(field, found, limit)?;
        }
    }
    Ok(())
}

/// `found` may be `limit` at most.
pub(super) fn at_most(field: &'static str, found: usize, limit: usize) -> Result<(), WireError> {
    if found > limit {
        return Err(WireError::TooLarge {
            field,
            limit,
            found,
        });
    }
    Ok(())
}

/// The 32 bytes of a hash-like field.
pub(super) fn array32(field: &'static str, bytes: &[u8]) -> Result<[u8; 32], WireError> {
    bytes.try_into().map_err(|_| WireError::Length {
        field,
        expected: 32,
        found: bytes.len(),
    })
}

/// Decodes consensus bytes, all of them.
pub(super) fn consensus<T: Decode>(what: &'static str, bytes: &[u8]) -> Result<T, WireError> {
    T::from_bytes(bytes).map_err(|source| WireError::Consensus { what, source })
}
