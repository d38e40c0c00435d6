//! Descriptors from text.

use bip32::{ChildNumber, ExtendedKey, XPrv, XPub};

use super::{Descriptor, Extended, Key, KeyOrigin, Single, Versions, checksum};
use crate::consensus::ChainSpec;
use crate::keys::{Address, PublicKey, SecretKey};
use crate::primitives::Script;

/// The longest text that is looked at: an origin, an extended key and a path are below 400 characters.
const MAX_TEXT: usize = 2_000;
/// Steps that a path may have: BIP32's depth is one byte.
const MAX_STEPS: usize = 255;

/// Why a text is no descriptor that this chain's wallet can use. It never quotes the text, which may hold a private key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DescriptorError {
    /// No checksum where one is needed.
    #[error("Missing checksum")]
    MissingChecksum,
    /// A checksum that does not fit, or a character that stands in no descriptor.
    #[error("the checksum does not fit the descriptor (mistyped?)")]
    Checksum,
    /// Another function than those of this chain.
    #[error(
        "only pkh(KEY), addr(ADDRESS) and raw(HEX) of a P2PKH script can be used: this chain has no other outputs"
    )]
    Function,
    /// The address or script is none of this network.
    #[error("the address or script is not one of this network")]
    Address,
    /// The key is none of this network.
    #[error(
        "the key is neither a compressed public key, nor a private key or extended key of this network"
    )]
    Key,
    /// The origin is not `[fingerprint/path]`.
    #[error("the origin of the key is not of the form [d34db33f/44h/0h/0h]")]
    Origin,
    /// A step is no number below 2^31, or there are too many.
    #[error("a step of the path is not a number below 2147483648, with or without h")]
    Path,
    /// A hardened step below a public key, or a range of hardened keys.
    #[error("hardened steps below a public key, and ranges of hardened keys, cannot be derived")]
    Hardened,
    /// `<a;b>` is not a list of at least two different numbers, or is there twice.
    #[error("<…> must be two or more different steps, once in a descriptor")]
    Multipath,
}

impl Descriptor {
    /// Reads a descriptor of a network. A checksum is checked where there is one.
    ///
    /// # Errors
    /// [`DescriptorError`].
    pub fn parse(text: &str, spec: &ChainSpec) -> Result<Self, DescriptorError> {
        body(unchecked(text)?.0, Versions::of(spec), spec.address_version)
    }

    /// The same, refusing a text without checksum, and taking one with a list of steps (`<0;1>`, BIP389) for as many
    /// descriptors.
    ///
    /// # Errors
    /// [`DescriptorError`].
    pub fn parse_checked(text: &str, spec: &ChainSpec) -> Result<Vec<Self>, DescriptorError> {
        let (text, had_checksum) = unchecked(text)?;
        if !had_checksum {
            return Err(DescriptorError::MissingChecksum);
        }
        let single = |text: &String| body(text, Versions::of(spec), spec.address_version);
        expand(text)?.iter().map(single).collect()
    }

    /// The checksum that belongs to a text, which may have one already.
    ///
    /// # Errors
    /// [`DescriptorError`].
    pub fn checksum_of(text: &str) -> Result<String, DescriptorError> {
        let (text, _) = unchecked(text)?;
        checksum::of(text).ok_or(DescriptorError::Checksum)
    }
}

/// The text without its checksum, which is checked, and whether it had one.
fn unchecked(text: &str) -> Result<(&str, bool), DescriptorError> {
    if text.len() > MAX_TEXT {
        return Err(DescriptorError::Path);
    }
    match text.split_once('#') {
        None => Ok((text, false)),
        Some((body, sum)) => match checksum::of(body) {
            Some(right) if right == sum => Ok((body, true)),
            Some(_) | None => Err(DescriptorError::Checksum),
        },
    }
}

/// A text for each of the steps in `<…>`.
fn expand(text: &str) -> Result<Vec<String>, DescriptorError> {
    let Some((before, rest)) = text.split_once('<') else {
        return Ok(vec![text.to_owned()]);
    };
    let (list, after) = rest.split_once('>').ok_or(DescriptorError::Multipath)?;
    let steps: Vec<&str> = list.split(';').collect();
    let distinct: std::collections::HashSet<&str> = steps.iter().copied().collect();
    if after.contains('<') || steps.len() < 2 || distinct.len() != steps.len() {
        return Err(DescriptorError::Multipath);
    }
    Ok(steps
        .iter()
        .map(|step| format!("{before}{step}{after}"))
        .collect())
}

/// A descriptor without checksum.
pub(super) fn body(
    text: &str,
    versions: Versions,
    address_version: u8,
) -> Result<Descriptor, DescriptorError> {
    let inside = |name: &str| text.strip_prefix(name)?.strip_suffix(')');
    let key = if let Some(key) = inside("pkh(") {
        key_expression(key, versions)?
    } else if let Some(address) = inside("addr(") {
        let address = Address::parse(address, address_version);
        Key::Hash(address.map_err(|_| DescriptorError::Address)?.pubkey_hash())
    } else if let Some(script) = inside("raw(") {
        let bytes = hex::decode(script).map_err(|_| DescriptorError::Address)?;
        let hash = Script::from(bytes).as_p2pkh();
        Key::Hash(hash.ok_or(DescriptorError::Address)?)
    } else {
        return Err(DescriptorError::Function);
    };
    Ok(Descriptor { key })
}

fn key_expression(text: &str, versions: Versions) -> Result<Key, DescriptorError> {
    let (origin, text) = match text.strip_prefix('[') {
        None => (None, text),
        Some(rest) => {
            let (origin, key) = rest.split_once(']').ok_or(DescriptorError::Origin)?;
            (Some(parse_origin(origin)?), key)
        }
    };
    let mut parts = text.split('/');
    let key = parts.next().unwrap_or_default();
    let steps: Vec<&str> = parts.collect();
    if let Ok(extended) = key.parse::<ExtendedKey>() {
        return extended_key(&extended, origin, &steps, versions);
    }
    if !steps.is_empty() {
        return Err(DescriptorError::Key);
    }
    if let Ok(bytes) = hex::decode(key) {
        let public = PublicKey::from_bytes(&bytes).map_err(|_| DescriptorError::Key)?;
        return Ok(Key::Single(Box::new(Single {
            origin,
            public,
            secret: None,
        })));
    }
    let secret = SecretKey::from_wif(key, versions.wif).map_err(|_| DescriptorError::Key)?;
    Ok(Key::Single(Box::new(Single {
        origin,
        public: secret.public_key(),
        secret: Some(secret),
    })))
}

fn parse_origin(text: &str) -> Result<KeyOrigin, DescriptorError> {
    let mut parts = text.split('/');
    let mut fingerprint = [0; 4];
    hex::decode_to_slice(parts.next().unwrap_or_default(), &mut fingerprint)
        .map_err(|_| DescriptorError::Origin)?;
    let path = parts.map(parse_step).collect::<Result<Vec<_>, _>>()?;
    if path.len() > MAX_STEPS {
        return Err(DescriptorError::Path);
    }
    Ok(KeyOrigin { fingerprint, path })
}

fn parse_step(text: &str) -> Result<u32, DescriptorError> {
    let (digits, hardened) = match text.strip_suffix(|mark| matches!(mark, 'h' | 'H' | '\'')) {
        Some(digits) => (digits, true),
        None => (text, false),
    };
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let index = digits.parse().ok().filter(|_| is_number);
    let number = index.and_then(|index| ChildNumber::new(index, hardened).ok());
    number.map(|number| number.0).ok_or(DescriptorError::Path)
}

fn extended_key(
    key: &ExtendedKey,
    origin: Option<KeyOrigin>,
    steps: &[&str],
    versions: Versions,
) -> Result<Key, DescriptorError> {
    let (is_ranged, steps) = match steps.split_last() {
        Some((&"*", rest)) => (true, rest),
        Some((&("*h" | "*'" | "*H"), _)) => return Err(DescriptorError::Hardened),
        _ => (false, steps),
    };
    let path = steps
        .iter()
        .map(|step| parse_step(step))
        .collect::<Result<Vec<_>, _>>()?;
    if path.len() > MAX_STEPS {
        return Err(DescriptorError::Path);
    }
    let is_hardened = |step: &u32| ChildNumber(*step).is_hardened();
    let wrong = |_| DescriptorError::Key;
    if key.prefix == versions.public {
        if path.iter().any(is_hardened) {
            return Err(DescriptorError::Hardened);
        }
        return Ok(Key::Extended(Box::new(Extended {
            origin,
            public: XPub::try_from(key.clone()).map_err(wrong)?,
            secret: None,
            path,
            is_ranged,
        })));
    }
    if key.prefix != versions.private {
        return Err(DescriptorError::Key);
    }
    let mut secret = XPrv::try_from(key.clone()).map_err(wrong)?;
    let after_hardened = path.iter().rposition(is_hardened).map_or(0, |at| at + 1);
    let (hardened, path) = path.split_at(after_hardened);
    let mut origin = origin;
    if !hardened.is_empty() {
        let own = KeyOrigin {
            fingerprint: secret.public_key().fingerprint(),
            path: Vec::new(),
        };
        origin.get_or_insert(own).path.extend(hardened);
    }
    for step in hardened {
        secret = secret.derive_child(ChildNumber(*step)).map_err(wrong)?;
    }
    Ok(Key::Extended(Box::new(Extended {
        origin,
        public: secret.public_key(),
        secret: Some(secret),
        path: path.to_vec(),
        is_ranged,
    })))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TPRV: &str = "tprv8ZgxMBicQKsPd7Uf69XL1XwhmjHopUGep8GuEiJDZmbQz6o58LninorQAfcKZWARbtRtfnLcJ5MQ2AtHcQJCCRUcMRvmDUjyEmNUWwx8UbK";
    const WIF: &str = "cTGhosGriPpuGA586jemcuH9pE9spwUmneMBmYYzrQEbY92DJrbo";

    fn parse(text: &str) -> Result<Descriptor, DescriptorError> {
        Descriptor::parse(text, &ChainSpec::regtest())
    }

    fn fails(text: &str) -> DescriptorError {
        parse(text).map(|_| ()).expect_err(text)
    }

    /// Derived with rust-bitcoin as BIP32 says, hardened steps and all.
    #[test]
    fn a_private_key_and_its_public_form_name_the_same_keys() {
        let text = format!("pkh({TPRV}/44h/1'/0h/0/*)");
        let private = parse(&text).expect("right");
        let public_text = private.to_text(&ChainSpec::regtest());
        let public = parse(&public_text).expect("written by us");
        assert!(private.has_secret() && !public.has_secret() && public.is_ranged());
        assert_eq!(public.to_text(&ChainSpec::regtest()), public_text);
        assert!(!format!("{private:?}").contains("prv"));

        let secp = bitcoin::secp256k1::Secp256k1::new();
        let master: bitcoin::bip32::Xpriv = TPRV.parse().expect("right");
        let fingerprint = master.fingerprint(&secp).to_bytes();
        let hashes = public.hashes(0, 20);
        assert_eq!(hashes.len(), 20);
        for (index, hash) in (0_u32..).zip(&hashes) {
            let path: bitcoin::bip32::DerivationPath =
                format!("m/44h/1h/0h/0/{index}").parse().expect("a path");
            let theirs = master.derive_priv(&secp, &path).expect("a key");
            let key = private.secret_key(index).expect("held");
            assert_eq!(*key.to_bytes(), theirs.private_key.secret_bytes());
            assert_eq!(key.public_key().pubkey_hash(), *hash);
            assert_eq!(public.secret_key(index).map(|_| ()), None);
            let derived = public.public_key(index).expect("known");
            assert_eq!(derived.public, key.public_key());
            assert_eq!(derived.origin.fingerprint, fingerprint);
            assert_eq!(derived.origin.path_text(), format!("44h/1h/0h/0/{index}"));
        }
        let back = private
            .to_private_text(&ChainSpec::regtest())
            .expect("held");
        let back = parse(&back).expect("written by us");
        assert_eq!(back.hashes(5, 6), hashes[5..6]);
        assert!(back.secret_key(3).is_some());
        let file = private.secret_to_file().expect("held");
        let file = Descriptor::from_file(&file).expect("written by us");
        assert_eq!(file.hashes(0, 20), hashes);
    }

    #[test]
    fn single_keys_addresses_and_scripts_are_one_hash() {
        let secret = parse(&format!("pkh({WIF})")).expect("right");
        let public = secret.to_text(&ChainSpec::regtest());
        let hash = secret.hashes(0, 0)[0];
        let address = Address::new(hash, 0x6f);
        let script = hex::encode(Script::p2pkh(&hash).as_bytes());
        for text in [public, format!("addr({address})"), format!("raw({script})")] {
            assert_eq!(parse(&text).expect("right").hashes(7, 9), [hash], "{text}");
        }
        assert_eq!(
            secret
                .secret_to_file()
                .as_deref()
                .map(|text| text.starts_with("pkh(")),
            Some(true)
        );
    }

    #[test]
    fn lists_of_steps_are_as_many_descriptors() {
        let body = format!("pkh({TPRV}/44h/1h/0h/<0;1>/*)");
        let sum = Descriptor::checksum_of(&body).expect("right");
        let both = Descriptor::parse_checked(&format!("{body}#{sum}"), &ChainSpec::regtest());
        let both = both.expect("right");
        assert_eq!(both.len(), 2);
        assert_ne!(both[0].hashes(0, 1), both[1].hashes(0, 1));
        let missing = Descriptor::parse_checked(&body, &ChainSpec::regtest()).map(|_| ());
        assert_eq!(missing, Err(DescriptorError::MissingChecksum));
    }

    #[test]
    fn what_is_wrong_is_named_and_no_key_is() {
        let xpub = "xpub661MyMwAqRbcFtXgS5sYJABqqG9YLmC4Q1Rdap9gSE8NqtwybGhePY2gZ29ESFjqJoCu1Rupje8YtGqsefD265TMg7usUDFdp6W1EGMcet8";
        for (text, error) in [
            (format!("wpkh({WIF})"), DescriptorError::Function),
            (format!("pkh({WIF}"), DescriptorError::Function),
            (format!("pkh({xpub}/*)"), DescriptorError::Key),
            ("pkh(02)".to_owned(), DescriptorError::Key),
            (format!("pkh({WIF}/0)"), DescriptorError::Key),
            (format!("pkh([d34d]{WIF})"), DescriptorError::Origin),
            (format!("pkh({TPRV}/*h)"), DescriptorError::Hardened),
            (format!("pkh({TPRV}/x/*)"), DescriptorError::Path),
            (format!("pkh({TPRV}/2147483648/*)"), DescriptorError::Path),
            (format!("pkh({WIF})#aaaaaaaa"), DescriptorError::Checksum),
            (
                "addr(1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2)".to_owned(),
                DescriptorError::Address,
            ),
            ("raw(00)".to_owned(), DescriptorError::Address),
            ("x".repeat(5000), DescriptorError::Path),
        ] {
            assert_eq!(fails(&text), error, "{text}");
            assert!(!error.to_string().contains(WIF));
        }
    }
}
