//! Secret keys as text: the wallet import format (WIF), Base58Check over a version byte, the key and a mark of compression.

use zeroize::Zeroizing;

use super::secp::SecretKey;

/// Version, key, mark of compression.
const PAYLOAD_LEN: usize = 34;
/// The mark that the key's public key is compressed.
const COMPRESSED: u8 = 1;
/// No text of this format is longer: 38 bytes with the checksum are at most 52 characters.
const MAX_TEXT: usize = 64;

/// Why a text is not a secret key of the network. It never quotes the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WifError {
    /// Not Base58 with a right checksum.
    #[error("not a key in wallet import format (mistyped?)")]
    Malformed,
    /// A key whose public key is uncompressed, which no output of this chain can be spent with.
    #[error("the key is for an uncompressed public key; this chain knows compressed ones only")]
    Uncompressed,
    /// A key of another network.
    #[error(
        "the key is of another network: its version byte is {found:#04x}, this network's is {expected:#04x}"
    )]
    WrongNetwork {
        /// The network's version byte.
        expected: u8,
        /// The key's.
        found: u8,
    },
}

impl SecretKey {
    /// Reads a key in wallet import format of the network with version byte `version`.
    ///
    /// # Errors
    /// [`WifError`], which names what is wrong and not the text.
    pub fn from_wif(text: &str, version: u8) -> Result<Self, WifError> {
        if text.len() > MAX_TEXT {
            return Err(WifError::Malformed);
        }
        let decoded = bs58::decode(text).with_check(None).into_vec();
        let bytes = Zeroizing::new(decoded.map_err(|_| WifError::Malformed)?);
        match (bytes.first(), bytes.len(), bytes.last()) {
            (Some(found), 33 | 34, _) if *found != version => Err(WifError::WrongNetwork {
                expected: version,
                found: *found,
            }),
            (Some(_), PAYLOAD_LEN, Some(&COMPRESSED)) => {
                let mut key = Zeroizing::new([0; 32]);
                key.copy_from_slice(&bytes[1..33]);
                Self::from_bytes(&key).map_err(|_| WifError::Malformed)
            }
            (Some(_), 33, _) => Err(WifError::Uncompressed),
            _ => Err(WifError::Malformed),
        }
    }

    /// The text of [`from_wif`](Self::from_wif).
    ///
    /// # Security
    /// Whoever reads it owns the key's coins.
    pub fn to_wif(&self, version: u8) -> Zeroizing<String> {
        let mut payload = Zeroizing::new([0; PAYLOAD_LEN]);
        payload[0] = version;
        payload[1..33].copy_from_slice(self.to_bytes().as_slice());
        payload[33] = COMPRESSED;
        Zeroizing::new(bs58::encode(payload.as_slice()).with_check().into_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The key 1, as every Bitcoin wallet writes it.
    const ONE: &str = "KwDiBf89QgGbjEhKnhXJuH7LrciVrZi3qYjgd9M7rFU73sVHnoWn";

    fn one() -> SecretKey {
        let mut bytes = [0; 32];
        bytes[31] = 1;
        SecretKey::from_bytes(&bytes).expect("in range")
    }

    #[test]
    fn the_key_one_is_what_all_wallets_write() {
        assert_eq!(one().to_wif(0x80).as_str(), ONE);
        let read = SecretKey::from_wif(ONE, 0x80).expect("right");
        assert_eq!(read.public_key(), one().public_key());
        let theirs = bitcoin::PrivateKey::from_wif(ONE).expect("right");
        assert_eq!(theirs.to_bytes(), *one().to_bytes());
    }

    #[test]
    fn what_is_wrong_is_named_and_the_key_is_not() {
        let uncompressed = "5HpHagT65TZzG1PH3CSu63k8DbpvD8s5ip4nEB3kEsreAnchuDf";
        for (text, version, error) in [
            (
                ONE,
                0xef,
                WifError::WrongNetwork {
                    expected: 0xef,
                    found: 0x80,
                },
            ),
            (uncompressed, 0x80, WifError::Uncompressed),
            ("", 0x80, WifError::Malformed),
            (&ONE[1..], 0x80, WifError::Malformed),
            (&"1".repeat(500), 0x80, WifError::Malformed),
        ] {
            let found = SecretKey::from_wif(text, version).expect_err("refused");
            assert_eq!(found, error);
            assert!(text.is_empty() || !found.to_string().contains(text));
        }
        for at in 0..ONE.len() {
            let mut text = ONE.to_owned();
            let other = if text[at..].starts_with('x') {
                "y"
            } else {
                "x"
            };
            text.replace_range(at..=at, other);
            assert!(SecretKey::from_wif(&text, 0x80).is_err(), "{at}");
        }
    }
}
