//! Addresses: Base58Check over a version byte and a key hash.

use std::fmt;

use crate::primitives::{PubkeyHash, sha256d};

/// The bytes of a decoded address: version, key hash, checksum.
const DECODED_LEN: usize = 25;

/// A P2PKH address of one network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Address {
    version: u8,
    pubkey_hash: PubkeyHash,
}

/// Why a text is not an address of the network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// A character outside the Base58 alphabet.
    #[error(
        "'{text}' is not an address: character '{character}' at position {position} is not Base58"
    )]
    Character {
        /// What was given.
        text: String,
        /// The character.
        character: char,
        /// Its place, counted from 1.
        position: usize,
    },
    /// Not the length of an address.
    #[error(
        "'{text}' is not an address: it holds {found} bytes instead of {DECODED_LEN} (cut off or too long?)"
    )]
    Length {
        /// What was given.
        text: String,
        /// How many bytes it decodes to.
        found: usize,
    },
    /// The checksum is wrong: a typing mistake.
    #[error("'{text}' is not an address: its checksum is wrong (a mistyped character?)")]
    Checksum {
        /// What was given.
        text: String,
    },
    /// An address of another network.
    #[error(
        "'{text}' is an address of another network: its version byte is {found:#04x}, this network's is {expected:#04x}"
    )]
    WrongNetwork {
        /// What was given.
        text: String,
        /// The network's version byte.
        expected: u8,
        /// The address's version byte.
        found: u8,
    },
}

impl Address {
    /// The address of a key hash on a network with this version byte.
    pub const fn new(pubkey_hash: PubkeyHash, version: u8) -> Self {
        Self {
            version,
            pubkey_hash,
        }
    }

    /// The key hash that it names.
    pub const fn pubkey_hash(&self) -> PubkeyHash {
        self.pubkey_hash
    }

    /// Reads an address of the network with version byte `version`.
    ///
    /// # Errors
    /// [`AddressError`], which names the text and what is wrong with it.
    pub fn parse(text: &str, version: u8) -> Result<Self, AddressError> {
        let shown: String = text.chars().take(80).collect();
        // Base58 decoding takes quadratic time, so a text that no address can have is cut off first.
        if text.len() > 64 {
            return Err(AddressError::Length {
                text: shown,
                found: text.len(),
            });
        }
        let bytes = bs58::decode(text)
            .into_vec()
            .map_err(|error| not_base58(text, &error))?;
        let found = bytes.len();
        let Ok(bytes) = <[u8; DECODED_LEN]>::try_from(bytes) else {
            return Err(AddressError::Length { text: shown, found });
        };
        let (payload, checksum) = bytes.split_at(21);
        if sha256d(payload)[..4] != *checksum {
            return Err(AddressError::Checksum { text: shown });
        }
        if payload[0] != version {
            return Err(AddressError::WrongNetwork {
                text: shown,
                expected: version,
                found: payload[0],
            });
        }
        let mut hash = [0; 20];
        hash.copy_from_slice(&payload[1..]);
        Ok(Self::new(PubkeyHash::from_bytes(hash), version))
    }
}

/// Names the first character that is not Base58.
fn not_base58(text: &str, error: &bs58::decode::Error) -> AddressError {
    let index = match error {
        bs58::decode::Error::InvalidCharacter { index, .. }
        | bs58::decode::Error::NonAsciiCharacter { index } => *index,
        _ => 0,
    };
    let character = text.get(index..).and_then(|rest| rest.chars().next());
    AddressError::Character {
        text: text.chars().take(80).collect(),
        character: character.unwrap_or(char::REPLACEMENT_CHARACTER),
        position: index + 1,
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = bs58::encode(self.pubkey_hash.as_bytes())
            .with_check_version(self.version)
            .into_string();
        f.pad(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address() -> String {
        Address::new(PubkeyHash::from_bytes([0x5a; 20]), 0).to_string()
    }

    #[test]
    fn w01_every_change_of_one_character_is_refused() {
        let good = address();
        assert!(Address::parse(&good, 0).is_ok());
        let alphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz0OIl";
        for at in 0..good.len() {
            for other in alphabet.chars().filter(|c| !good[at..].starts_with(*c)) {
                let mut text = good.clone();
                text.replace_range(at..=at, &other.to_string());
                assert!(Address::parse(&text, 0).is_err(), "{text}");
            }
            let mut cut = good.clone();
            cut.remove(at);
            assert!(Address::parse(&cut, 0).is_err(), "{cut}");
        }
        for at in 1..good.len() {
            let mut bytes = good.clone().into_bytes();
            bytes.swap(at - 1, at);
            let swapped = String::from_utf8(bytes).unwrap();
            assert!(
                swapped == good || Address::parse(&swapped, 0).is_err(),
                "{swapped}"
            );
        }
    }

    #[test]
    fn w01_the_error_says_what_is_wrong() {
        let good = address();
        assert!(matches!(
            Address::parse(&good, 0x6f),
            Err(AddressError::WrongNetwork {
                expected: 0x6f,
                found: 0,
                ..
            })
        ));
        assert!(matches!(
            Address::parse("1O", 0),
            Err(AddressError::Character {
                character: 'O',
                position: 2,
                ..
            })
        ));
        assert!(matches!(
            Address::parse("", 0),
            Err(AddressError::Length { found: 0, .. })
        ));
        assert!(matches!(
            Address::parse("1é", 0),
            Err(AddressError::Character {
                character: 'é',
                position: 2,
                ..
            })
        ));
        assert!(matches!(
            Address::parse(&"1".repeat(10_000), 0),
            Err(AddressError::Length { .. })
        ));
    }
}
