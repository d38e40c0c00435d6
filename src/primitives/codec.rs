//! The byte encoding of consensus types: little-endian integers and Bitcoin's CompactSize lengths.
//!
//! # Security
//! Decoding never allocates more than the input could fill: a claimed length is compared with the bytes that are left before
//! any memory is reserved for it.

use super::hash::{BlockHash, MerkleRoot, Txid};

/// Why bytes are not the encoding of a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The input ends inside a value.
    #[error("the data ends {missing} bytes too early")]
    UnexpectedEnd {
        /// How many bytes were missing.
        missing: usize,
    },
    /// A length is written in more bytes than it needs.
    #[error("the length {0} is not written in its shortest form")]
    NonCanonicalSize(u64),
    /// A list claims more items than the rest of the input could hold.
    #[error("a list claims {claimed} items, the data has room for {possible}")]
    ListTooLong {
        /// The claimed number.
        claimed: u64,
        /// The most that the rest of the input could hold.
        possible: usize,
    },
    /// Bytes follow the value.
    #[error("{0} bytes follow the end")]
    TrailingBytes(usize),
    /// A transaction without inputs, which Bitcoin's format reads as the witness marker.
    #[error("a transaction has no inputs (the witness format is not part of this chain)")]
    WitnessMarker,
}

/// A value with a consensus encoding.
pub trait Encode {
    /// Appends the encoding to `out`.
    fn encode(&self, out: &mut Vec<u8>);

    /// The length of the encoding in bytes.
    fn encoded_len(&self) -> usize;

    /// The encoding as new bytes.
    fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.encoded_len());
        self.encode(&mut out);
        out
    }
}

/// A value that can be read from its consensus encoding.
pub trait Decode: Sized {
    /// The fewest bytes an encoded value takes; bounds what a list may claim.
    const MIN_LEN: usize;

    /// Reads one value.
    ///
    /// # Errors
    /// [`DecodeError`] where the bytes are not the encoding of a value.
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError>;

    /// Reads a value that takes all of `bytes`.
    ///
    /// # Errors
    /// As [`Decode::decode`], and [`DecodeError::TrailingBytes`].
    fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let value = Self::decode(&mut reader)?;
        match reader.remaining() {
            0 => Ok(value),
            left => Err(DecodeError::TrailingBytes(left)),
        }
    }
}

/// A position in a byte slice that is being decoded.
#[derive(Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Starts at the first byte.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// How many bytes are left.
    pub const fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Takes the next `count` bytes.
    ///
    /// # Errors
    /// [`DecodeError::UnexpectedEnd`] where fewer are left.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let Some((head, rest)) = self.rest.split_at_checked(count) else {
            return Err(DecodeError::UnexpectedEnd {
                missing: count - self.rest.len(),
            });
        };
        self.rest = rest;
        Ok(head)
    }

    /// Takes the next `N` bytes as an array.
    ///
    /// # Errors
    /// As [`Reader::take`].
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    /// Reads a CompactSize: 1, 3, 5 or 9 bytes, in the shortest form only.
    ///
    /// # Errors
    /// [`DecodeError::NonCanonicalSize`], or as [`Reader::take`].
    pub fn compact_size(&mut self) -> Result<u64, DecodeError> {
        let [first] = self.array()?;
        let (value, least) = match first {
            0xfd => (u64::from(u16::from_le_bytes(self.array()?)), 0xfd),
            0xfe => (u64::from(u32::from_le_bytes(self.array()?)), 0x1_0000),
            0xff => (u64::from_le_bytes(self.array()?), 0x1_0000_0000),
            small => (u64::from(small), 0),
        };
        if value < least {
            return Err(DecodeError::NonCanonicalSize(value));
        }
        Ok(value)
    }

    /// Reads a list: its CompactSize, then the items.
    ///
    /// # Errors
    /// [`DecodeError::ListTooLong`] before anything is allocated, or the error of an item.
    pub fn list<T: Decode>(&mut self) -> Result<Vec<T>, DecodeError> {
        self.list_at(&mut |_| {})
    }

    /// The same; `at` is told before each item how many bytes are left.
    ///
    /// # Errors
    /// As [`Reader::list`].
    pub fn list_at<T: Decode>(&mut self, at: &mut dyn FnMut(usize)) -> Result<Vec<T>, DecodeError> {
        let claimed = self.compact_size()?;
        let possible = self.remaining() / T::MIN_LEN;
        let count = usize::try_from(claimed)
            .ok()
            .filter(|count| *count <= possible)
            .ok_or(DecodeError::ListTooLong { claimed, possible })?;
        let mut items = Vec::with_capacity(count);
        for _ in 0..count {
            at(self.remaining());
            items.push(T::decode(self)?);
        }
        Ok(items)
    }

    /// Reads a CompactSize and that many bytes.
    ///
    /// # Errors
    /// [`DecodeError::ListTooLong`] where fewer bytes are left.
    pub fn var_bytes(&mut self) -> Result<&'a [u8], DecodeError> {
        let claimed = self.compact_size()?;
        let possible = self.remaining();
        let count = usize::try_from(claimed)
            .ok()
            .filter(|count| *count <= possible)
            .ok_or(DecodeError::ListTooLong { claimed, possible })?;
        self.take(count)
    }
}

/// The bytes that the CompactSize of `value` takes.
pub const fn compact_size_len(value: usize) -> usize {
    match value {
        0..=0xfc => 1,
        0xfd..=0xffff => 3,
        0x1_0000..=0xffff_ffff => 5,
        _ => 9,
    }
}

/// Appends `value` as a CompactSize.
pub fn write_compact_size(value: usize, out: &mut Vec<u8>) {
    // A usize fits in 64 bits on every supported target, so the widest arm takes what the others leave.
    match (
        u8::try_from(value),
        u16::try_from(value),
        u32::try_from(value),
    ) {
        (Ok(small), ..) if small < 0xfd => out.push(small),
        (_, Ok(medium), _) => {
            out.push(0xfd);
            out.extend_from_slice(&medium.to_le_bytes());
        }
        (_, _, Ok(large)) => {
            out.push(0xfe);
            out.extend_from_slice(&large.to_le_bytes());
        }
        _ => {
            out.push(0xff);
            out.extend_from_slice(&value.to_le_bytes());
        }
    }
}

/// Appends a list: its CompactSize, then the items.
pub(super) fn write_list<T: Encode>(items: &[T], out: &mut Vec<u8>) {
    write_compact_size(items.len(), out);
    for item in items {
        item.encode(out);
    }
}

/// The length of an encoded list.
pub(super) fn list_len<T: Encode>(items: &[T]) -> usize {
    compact_size_len(items.len()) + items.iter().map(Encode::encoded_len).sum::<usize>()
}

macro_rules! integer_codec {
    ($($int:ty),*) => {$(
        impl Encode for $int {
            fn encode(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }
            fn encoded_len(&self) -> usize {
                size_of::<$int>()
            }
        }
        impl Decode for $int {
            const MIN_LEN: usize = size_of::<$int>();
            fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
                Ok(<$int>::from_le_bytes(reader.array()?))
            }
        }
    )*};
}
integer_codec!(i32, u32, u64);

macro_rules! hash_codec {
    ($($hash:ty),*) => {$(
        impl Encode for $hash {
            fn encode(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(self.as_bytes());
            }
            fn encoded_len(&self) -> usize {
                32
            }
        }
        impl Decode for $hash {
            const MIN_LEN: usize = 32;
            fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
                Ok(<$hash>::from_bytes(reader.array()?))
            }
        }
    )*};
}
hash_codec!(BlockHash, Txid, MerkleRoot);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lengths_in_a_longer_form_are_refused() {
        for bytes in [
            &[0xfd, 0xfc, 0x00][..],
            &[0xfe, 0xff, 0xff, 0, 0],
            &[0xff, 1, 0, 0, 0, 0, 0, 0, 0],
        ] {
            assert!(matches!(
                Reader::new(bytes).compact_size(),
                Err(DecodeError::NonCanonicalSize(_))
            ));
        }
    }

    #[test]
    fn a_claimed_length_never_allocates_beyond_the_input() {
        for claim in [&[0xfe, 0xff, 0xff, 0xff, 0xff][..], &[0xff; 9]] {
            assert!(matches!(
                Reader::new(claim).list::<u32>(),
                Err(DecodeError::ListTooLong { .. })
            ));
            assert!(matches!(
                Reader::new(claim).var_bytes(),
                Err(DecodeError::ListTooLong { .. })
            ));
        }
    }

    proptest! {
        #[test]
        fn compact_size_round_trip(value in prop_oneof![0_usize..0x2_0000, any::<usize>()]) {
            let mut bytes = Vec::new();
            write_compact_size(value, &mut bytes);
            prop_assert_eq!(bytes.len(), compact_size_len(value));
            prop_assert_eq!(Reader::new(&bytes).compact_size(), Ok(value as u64));
        }
    }
}
