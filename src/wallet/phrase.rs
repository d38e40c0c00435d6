//! Recovery phrases: BIP39, English list.
//!
//! The wallet makes phrases of 12 words and restores any length of the standard. BIP39's own optional passphrase (the
//! "25th word") is not used: the wallet's passphrase encrypts the file and is no part of the keys, so the words alone
//! restore every coin.

use bip39::{Language, Mnemonic};
use zeroize::{Zeroize, Zeroizing};

use super::error::{PhraseError, WalletError};

/// Entropy of a new wallet in bytes: 12 words, 128 bits, the strength of a secp256k1 key.
const NEW_ENTROPY_BYTES: usize = 16;

/// The randomness behind a phrase; wiped when dropped, never printed.
#[derive(Clone)]
pub(super) struct Entropy(Zeroizing<Vec<u8>>);

impl Entropy {
    /// New randomness from the operating system.
    pub(super) fn generate() -> Result<Self, WalletError> {
        let mut bytes = Zeroizing::new(vec![0; NEW_ENTROPY_BYTES]);
        fill_random(&mut bytes)?;
        Ok(Self(bytes))
    }

    /// Takes the bytes that were encrypted in the file; `None` if no phrase has this length.
    pub(super) fn from_bytes(bytes: Zeroizing<Vec<u8>>) -> Option<Self> {
        Mnemonic::from_entropy_in(Language::English, &bytes).ok()?;
        Some(Self(bytes))
    }

    /// Reads a phrase as typed: any case, any white space.
    pub(super) fn from_phrase(phrase: &str) -> Result<Self, PhraseError> {
        let lower = Zeroizing::new(phrase.to_lowercase());
        let mnemonic = Mnemonic::parse_in_normalized(Language::English, &lower).map_err(
            |error| match error {
                bip39::Error::BadWordCount(found) => PhraseError::WordCount { found },
                bip39::Error::UnknownWord(at) => PhraseError::UnknownWord { position: at + 1 },
                bip39::Error::InvalidChecksum => PhraseError::Checksum,
                // Neither can come from parsing in a given language.
                bip39::Error::BadEntropyBitCount(_) | bip39::Error::AmbiguousLanguages(_) => {
                    PhraseError::Checksum
                }
            },
        )?;
        Ok(Self(Zeroizing::new(mnemonic.to_entropy())))
    }

    /// The bytes to encrypt.
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The words, lower case, one space between.
    pub(super) fn phrase(&self) -> Zeroizing<String> {
        // Room for 24 words of at most 8 letters, so that growing leaves no copies behind.
        let mut text = Zeroizing::new(String::with_capacity(24 * 9));
        for word in self.mnemonic().words() {
            if !text.is_empty() {
                text.push(' ');
            }
            text.push_str(word);
        }
        text
    }

    /// The 64-byte seed of BIP32, with BIP39's passphrase left empty.
    pub(super) fn seed(&self) -> Zeroizing<[u8; 64]> {
        self.seed_with("")
    }

    fn seed_with(&self, bip39_passphrase: &str) -> Zeroizing<[u8; 64]> {
        let mut seed = self.mnemonic().to_seed_normalized(bip39_passphrase);
        let kept = Zeroizing::new(seed);
        seed.zeroize();
        kept
    }

    fn mnemonic(&self) -> Mnemonic {
        Mnemonic::from_entropy_in(Language::English, &self.0)
            .expect("every constructor made or checked an entropy of a BIP39 length")
    }
}

/// Fills `bytes` with randomness of the operating system.
pub(super) fn fill_random(bytes: &mut [u8]) -> Result<(), WalletError> {
    getrandom::fill(bytes).map_err(|error| WalletError::Random(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// (entropy, phrase, seed with BIP39 passphrase "TREZOR").
    /// Source: github.com/trezor/python-mnemonic, vectors.json, named by BIP39 as its test vectors.
    const VECTORS: [(&str, &str, &str); 4] = [
        (
            "00000000000000000000000000000000",
            "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about",
            "c55257c360c07c72029aebc1b53c05ed0362ada38ead3e3e9efa3708e53495531f09a6987599d18264c1e1c92f2cf141630c7a3c4ab7c81b2f001698e7463b04",
        ),
        (
            "7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f",
            "legal winner thank year wave sausage worth useful legal winner thank yellow",
            "2e8905819b8723fe2c1d161860e5ee1830318dbf49a83bd451cfb8440c28bd6fa457fe1296106559a3c80937a1c1069be3a3a5bd381ee6260e8d9739fce1f607",
        ),
        (
            "80808080808080808080808080808080",
            "letter advice cage absurd amount doctor acoustic avoid letter advice cage above",
            "d71de856f81a8acc65e6fc851a38d4d7ec216fd0796d0a6827a3ad6ed5511a30fa280f12eb2e47ed2ac03b5c462a0358d18d69fe4f985ec81778c1b370b652a8",
        ),
        (
            "ffffffffffffffffffffffffffffffff",
            "zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo wrong",
            "ac27495480225222079d7be181583751e86f571027b0497b5b5d11218e0a8a13332572917f0f8e5a589620c6f15b11c61dee327651a14c34e18231052e48c069",
        ),
    ];

    #[test]
    fn published_vectors() {
        for (entropy, phrase, seed) in VECTORS {
            let bytes = hex::decode(entropy).expect("hex");
            let made = Entropy::from_bytes(Zeroizing::new(bytes.clone())).expect("length");
            assert_eq!(made.phrase().as_str(), phrase);
            assert_eq!(hex::encode(made.seed_with("TREZOR").as_slice()), seed);
            let read = Entropy::from_phrase(phrase).expect("phrase");
            assert_eq!(read.as_bytes(), bytes);
        }
    }

    #[test]
    fn typing_habits_do_not_matter() {
        let (entropy, phrase, _) = VECTORS[1];
        let typed = format!("  {}\n", phrase.to_uppercase().replace(' ', " \t "));
        let read = Entropy::from_phrase(&typed).expect("phrase");
        assert_eq!(hex::encode(read.as_bytes()), entropy);
    }

    #[test]
    fn mistakes_are_named_without_repeating_words() {
        let find = |text: &str| Entropy::from_phrase(text).err().expect("refused");
        assert_eq!(find("legal winner"), PhraseError::WordCount { found: 2 });
        assert_eq!(find(""), PhraseError::WordCount { found: 0 });
        let misspelt = VECTORS[1].1.replace("thank", "thankk");
        assert_eq!(find(&misspelt), PhraseError::UnknownWord { position: 3 });
        assert!(!find(&misspelt).to_string().contains("thank"));
        let swapped = VECTORS[1].1.replacen("legal winner", "winner legal", 1);
        assert_eq!(find(&swapped), PhraseError::Checksum);
    }

    #[test]
    fn new_wallets_differ() {
        let one = Entropy::generate().expect("random");
        let other = Entropy::generate().expect("random");
        assert_ne!(one.as_bytes(), other.as_bytes());
        assert_eq!(one.phrase().split(' ').count(), 12);
    }
}
