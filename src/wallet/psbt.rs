//! Partially signed transactions (BIP174, version 0), for signers without network: this chain's part of them.
//!
//! The container is rust-bitcoin's, which knows every field and keeps those that it does not know; this is the only file of the
//! product that names that crate, and no key of the wallet ever goes into it. Signatures are made and checked by
//! [`keys`]. An input counts only with the whole transaction that it spends: its id proves the amount.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bitcoin::bip32::{ChildNumber, DerivationPath, Fingerprint};
use bitcoin::secp256k1;

use crate::keys::{self, PublicKey, SIGHASH_ALL, SecretKey};
use crate::primitives::{Amount, Decode, Encode, OutPoint, PubkeyHash, Script, Transaction, TxOut};

use super::descriptor::{DerivedKey, KeyOrigin};

/// Longest text that is read: two blocks of the largest size in Base64. An input holds the transaction it spends.
const MAX_TEXT: usize = 4 << 20;

/// Why a text is no such transaction, or two do not belong together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PsbtError {
    /// Not Base64, or not of the format.
    #[error("TX decode failed: {0}")]
    Malformed(String),
    /// The transaction inside is not one of this chain.
    #[error("the transaction inside is not of this chain's form")]
    Transaction,
    /// Two of different transactions.
    #[error("PSBTs not compatible (different transactions)")]
    Different,
    /// A transaction that is signed already.
    #[error("Inputs must not have scriptSigs and scriptWitnesses")]
    Signed,
}

/// A partially signed transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Psbt {
    inner: bitcoin::Psbt,
    tx: Transaction,
}

/// How far an input is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InputState {
    /// The transaction that it spends is not there, or does not pay this chain's form.
    NoCoin,
    /// It lacks its signature.
    Unsigned,
    /// It has its signature.
    Signed,
    /// Its script is complete.
    Final,
}

/// What an input or output says of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PsbtKey {
    /// The key.
    pub public: Vec<u8>,
    /// Where it comes from.
    pub origin: KeyOrigin,
}

/// What an input holds, to be shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PsbtInput {
    /// The transaction that it spends.
    pub previous: Option<Transaction>,
    /// Public keys and signatures.
    pub signatures: Vec<(Vec<u8>, Vec<u8>)>,
    /// The hash type that a signature must have.
    pub sighash: Option<String>,
    /// Keys that sign it.
    pub keys: Vec<PsbtKey>,
    /// The complete script.
    pub final_script: Option<Script>,
}

impl Psbt {
    /// Of a transaction without input scripts.
    ///
    /// # Errors
    /// [`PsbtError::Signed`], [`PsbtError::Transaction`].
    pub fn of(tx: &Transaction) -> Result<Self, PsbtError> {
        if tx.inputs.iter().any(|input| !input.script_sig.is_empty()) {
            return Err(PsbtError::Signed);
        }
        let inner = bitcoin::Psbt::from_unsigned_tx(theirs(tx)?);
        Ok(Self {
            inner: inner.map_err(|_| PsbtError::Signed)?,
            tx: tx.clone(),
        })
    }

    /// Reads the Base64 form.
    ///
    /// # Errors
    /// [`PsbtError`].
    pub fn parse(text: &str) -> Result<Self, PsbtError> {
        if text.len() > MAX_TEXT {
            return Err(PsbtError::Malformed("it is too long".to_owned()));
        }
        let bytes = STANDARD.decode(text.trim());
        let bytes = bytes.map_err(|_| PsbtError::Malformed("invalid base64".to_owned()))?;
        let inner = bitcoin::Psbt::deserialize(&bytes);
        let inner = inner.map_err(|error| PsbtError::Malformed(error.to_string()))?;
        let tx = ours(&inner.unsigned_tx).ok_or(PsbtError::Transaction)?;
        Ok(Self { inner, tx })
    }

    /// The Base64 form.
    #[must_use]
    pub fn to_text(&self) -> String {
        STANDARD.encode(self.inner.serialize())
    }

    /// The transaction without its signatures.
    #[must_use]
    pub const fn transaction(&self) -> &Transaction {
        &self.tx
    }

    /// Takes over what another one of the same transaction holds.
    ///
    /// # Errors
    /// [`PsbtError::Different`].
    pub fn combine(&mut self, other: &Self) -> Result<(), PsbtError> {
        let combined = self.inner.combine(other.inner.clone());
        combined.map_err(|_| PsbtError::Different)
    }

    /// Adds the transaction that an input spends, if it is the right one.
    pub fn put_previous(&mut self, input: usize, previous: &Transaction) {
        let Some(point) = self.point(input) else {
            return;
        };
        let is_right = previous.txid() == point.txid && output_at(previous, point).is_some();
        let fields = self.inner.inputs.get_mut(input).filter(|_| is_right);
        if let (Some(fields), Ok(previous)) = (fields, theirs(previous)) {
            fields.non_witness_utxo = Some(previous);
        }
    }

    /// Says which key signs an input.
    pub fn put_input_key(&mut self, input: usize, key: &DerivedKey) {
        if let (Some(input), Some((public, source))) =
            (self.inner.inputs.get_mut(input), source(key))
        {
            input.bip32_derivation.insert(public, source);
        }
    }

    /// Says which key of the payer an output pays, so that a signer can tell change from payment.
    pub fn put_output_key(&mut self, output: usize, key: &DerivedKey) {
        if let (Some(output), Some((public, source))) =
            (self.inner.outputs.get_mut(output), source(key))
        {
            output.bip32_derivation.insert(public, source);
        }
    }

    /// The outpoint that an input spends.
    #[must_use]
    pub fn point(&self, input: usize) -> Option<OutPoint> {
        self.tx.inputs.get(input).map(|input| input.previous_output)
    }

    /// Value and owner of the coin that an input spends, as the transaction that it spends proves them.
    #[must_use]
    pub fn coin(&self, input: usize) -> Option<(Amount, PubkeyHash)> {
        let previous = self.inner.inputs.get(input)?.non_witness_utxo.as_ref()?;
        let previous = ours(previous)?;
        let point = self.point(input)?;
        if previous.txid() != point.txid {
            return None;
        }
        let output = output_at(&previous, point)?;
        Some((output.value.check().ok()?, output.script_pubkey.as_p2pkh()?))
    }

    /// How far an input is.
    #[must_use]
    pub fn state(&self, input: usize) -> InputState {
        let Some(fields) = self.inner.inputs.get(input) else {
            return InputState::NoCoin;
        };
        if fields.final_script_sig.is_some() {
            return InputState::Final;
        }
        let Some((_, hash)) = self.coin(input) else {
            return InputState::NoCoin;
        };
        match self.right_signature(input, &hash) {
            Some(_) => InputState::Signed,
            None => InputState::Unsigned,
        }
    }

    /// Signs an input that pays the key's hash; `false` if it is not one, is complete, or asks for another hash type.
    pub fn sign(&mut self, input: usize, key: &SecretKey) -> bool {
        let hash = key.public_key().pubkey_hash();
        let is_ours = self.coin(input).is_some_and(|(_, owner)| owner == hash);
        let state = self.state(input);
        if !is_ours || state == InputState::Final || !self.takes_all(input) {
            return false;
        }
        let digest = keys::signature_hash(&self.tx, input, &Script::p2pkh(&hash));
        let mut signature = key.sign(&digest).to_der();
        signature.push(SIGHASH_ALL);
        let public = bitcoin::PublicKey::from_slice(&key.public_key().to_bytes());
        let signature = bitcoin::ecdsa::Signature::from_slice(&signature);
        match (self.inner.inputs.get_mut(input), public, signature) {
            (Some(fields), Ok(public), Ok(signature)) => {
                fields.partial_sigs.insert(public, signature);
                true
            }
            _ => false,
        }
    }

    /// Whether an input may be signed with the one hash type of this chain.
    fn takes_all(&self, input: usize) -> bool {
        let fields = self.inner.inputs.get(input);
        let asked = fields.and_then(|fields| fields.sighash_type);
        asked.is_none_or(|asked| asked.to_u32() == u32::from(SIGHASH_ALL))
    }

    /// The input script of a signature that is there and right.
    fn right_signature(&self, input: usize, hash: &PubkeyHash) -> Option<Script> {
        let fields = self.inner.inputs.get(input)?;
        let digest = keys::signature_hash(&self.tx, input, &Script::p2pkh(hash));
        fields.partial_sigs.iter().find_map(|(public, signature)| {
            let public = PublicKey::from_bytes(&public.to_bytes()).ok()?;
            let mut script = vec![u8::try_from(signature.to_vec().len()).ok()?];
            script.extend(signature.to_vec());
            script.push(33);
            script.extend(public.to_bytes());
            let script = Script::from(script);
            let (signature, public) = keys::parse_script_sig(&script).ok()?;
            let is_right =
                public.pubkey_hash() == *hash && keys::verify(&public, &digest, &signature);
            is_right.then_some(script)
        })
    }

    /// Completes every input that has its signature, and forgets what only signers needed (BIP174, "Input Finalizer"). `true` if
    /// all are complete.
    pub fn finalize(&mut self) -> bool {
        for input in 0..self.tx.inputs.len() {
            let owner = self.coin(input).map(|(_, hash)| hash);
            let script = owner.and_then(|hash| self.right_signature(input, &hash));
            if let (Some(script), Some(fields)) = (script, self.inner.inputs.get_mut(input)) {
                let bytes = script.as_bytes().to_vec();
                fields.final_script_sig = Some(bitcoin::ScriptBuf::from_bytes(bytes));
                fields.partial_sigs.clear();
                fields.sighash_type = None;
                fields.bip32_derivation.clear();
            }
        }
        self.is_complete()
    }

    /// Whether every input is complete.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        let inputs = &self.inner.inputs;
        inputs.iter().all(|input| input.final_script_sig.is_some())
    }

    /// The signed transaction, once every input is complete.
    #[must_use]
    pub fn extract(&self) -> Option<Transaction> {
        let mut tx = self.tx.clone();
        for (input, fields) in tx.inputs.iter_mut().zip(&self.inner.inputs) {
            let script = fields.final_script_sig.as_ref()?;
            input.script_sig = Script::from(script.to_bytes());
        }
        Some(tx)
    }

    /// What an input holds.
    #[must_use]
    pub fn input(&self, input: usize) -> PsbtInput {
        let Some(fields) = self.inner.inputs.get(input) else {
            return PsbtInput::default();
        };
        let signatures = fields.partial_sigs.iter();
        let script = fields.final_script_sig.as_ref();
        PsbtInput {
            previous: fields.non_witness_utxo.as_ref().and_then(ours),
            signatures: signatures
                .map(|(public, signature)| (public.to_bytes(), signature.to_vec()))
                .collect(),
            sighash: fields.sighash_type.map(|kind| kind.to_string()),
            keys: shown_keys(&fields.bip32_derivation),
            final_script: script.map(|script| Script::from(script.to_bytes())),
        }
    }

    /// The keys that an output names.
    #[must_use]
    pub fn output_keys(&self, output: usize) -> Vec<PsbtKey> {
        let fields = self.inner.outputs.get(output);
        fields.map_or_else(Vec::new, |fields| shown_keys(&fields.bip32_derivation))
    }

    /// What the miner gets, if every coin is known.
    #[must_use]
    pub fn fee(&self) -> Option<Amount> {
        let coins = (0..self.tx.inputs.len()).map(|input| self.coin(input).map(|(value, _)| value));
        let spent = Amount::checked_sum(coins.collect::<Option<Vec<_>>>()?)?;
        let made = self
            .tx
            .outputs
            .iter()
            .map(|output| output.value.check().ok());
        spent.checked_sub(Amount::checked_sum(made.collect::<Option<Vec<_>>>()?)?)
    }
}

type Keys = std::collections::BTreeMap<secp256k1::PublicKey, (Fingerprint, DerivationPath)>;

fn shown_keys(keys: &Keys) -> Vec<PsbtKey> {
    let show =
        |(public, (fingerprint, path)): (&secp256k1::PublicKey, &(Fingerprint, DerivationPath))| {
            PsbtKey {
                public: public.serialize().to_vec(),
                origin: KeyOrigin {
                    fingerprint: fingerprint.to_bytes(),
                    path: path.to_u32_vec(),
                },
            }
        };
    keys.iter().map(show).collect()
}

fn source(key: &DerivedKey) -> Option<(secp256k1::PublicKey, (Fingerprint, DerivationPath))> {
    let public = secp256k1::PublicKey::from_slice(&key.public.to_bytes()).ok()?;
    let steps = key.origin.path.iter().map(|step| ChildNumber::from(*step));
    let fingerprint = Fingerprint::from(key.origin.fingerprint);
    Some((public, (fingerprint, steps.collect())))
}

fn output_at(tx: &Transaction, point: OutPoint) -> Option<&TxOut> {
    tx.outputs.get(usize::try_from(point.vout).ok()?)
}

/// The transaction in rust-bitcoin's type.
fn theirs(tx: &Transaction) -> Result<bitcoin::Transaction, PsbtError> {
    bitcoin::consensus::deserialize(&tx.to_bytes()).map_err(|_| PsbtError::Transaction)
}

/// The transaction in our type; `None` for one with witnesses.
fn ours(tx: &bitcoin::Transaction) -> Option<Transaction> {
    Transaction::from_bytes(&bitcoin::consensus::serialize(tx)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::primitives::{SEQUENCE_FINAL, TxIn, UncheckedAmount};
    use bitcoin::psbt::PsbtSighashType;

    fn key(number: u8) -> SecretKey {
        SecretKey::from_bytes(&[number; 32]).expect("in range")
    }

    fn hash(number: u8) -> PubkeyHash {
        key(number).public_key().pubkey_hash()
    }

    fn tx(from: &[OutPoint], to: &[(u8, u64)]) -> Transaction {
        let input = |point: &OutPoint| TxIn {
            previous_output: *point,
            script_sig: Script::default(),
            sequence: SEQUENCE_FINAL,
        };
        let output = |(to, units): &(u8, u64)| TxOut {
            value: UncheckedAmount(*units),
            script_pubkey: Script::p2pkh(&hash(*to)),
        };
        Transaction {
            version: 2,
            inputs: from.iter().map(input).collect(),
            outputs: to.iter().map(output).collect(),
            lock_time: 0,
        }
    }

    /// A payment of two coins, of keys 1 and 2, with all that signers need.
    fn unsigned() -> (Psbt, Transaction) {
        let nowhere = OutPoint {
            txid: tx(&[], &[]).txid(),
            vout: 7,
        };
        let before = tx(&[nowhere], &[(1, 500), (2, 700)]);
        let txid = before.txid();
        let points = [0, 1].map(|vout| OutPoint { txid, vout });
        let mut psbt = Psbt::of(&tx(&points, &[(9, 1_100)])).expect("unsigned");
        for input in 0..2 {
            psbt.put_previous(input, &before);
        }
        (psbt, before)
    }

    #[test]
    fn two_signers_make_one_transaction_that_rust_bitcoin_takes() {
        let (psbt, _) = unsigned();
        assert_eq!(psbt.fee(), Amount::from_units(100).ok());
        let (mut one, mut two) = (psbt.clone(), psbt.clone());
        assert!(one.sign(0, &key(1)) && !one.sign(1, &key(1)));
        assert!(two.sign(1, &key(2)));
        assert_eq!(
            (one.state(0), one.state(1)),
            (InputState::Signed, InputState::Unsigned)
        );
        assert!(!one.clone().finalize());
        let mut both = Psbt::parse(&one.to_text()).expect("written by us");
        both.combine(&Psbt::parse(&two.to_text()).expect("written by us"))
            .expect("the same");
        assert_eq!(both.extract(), None);
        assert!(both.finalize());
        let signed = both.extract().expect("complete");
        for (input, owner) in [(0, 1), (1, 2)] {
            let script = &signed.inputs[input].script_sig;
            let (signature, public) = keys::parse_script_sig(script).expect("two pushes");
            assert_eq!(public.pubkey_hash(), hash(owner));
            let digest = keys::signature_hash(&signed, input, &Script::p2pkh(&hash(owner)));
            assert!(keys::verify(&public, &digest, &signature));
        }
        let theirs = bitcoin::Psbt::deserialize(&STANDARD.decode(both.to_text()).expect("base64"));
        let extracted = theirs.expect("right").extract_tx_unchecked_fee_rate();
        assert_eq!(bitcoin::consensus::serialize(&extracted), signed.to_bytes());
    }

    #[test]
    fn wrong_coins_keys_and_hash_types_sign_nothing() {
        let (psbt, before) = unsigned();
        let mut bare = Psbt::of(psbt.transaction()).expect("unsigned");
        assert_eq!(bare.state(0), InputState::NoCoin);
        assert!(!bare.sign(0, &key(1)), "the amount is not proven");
        let mut other = before.clone();
        other.lock_time = 1;
        bare.put_previous(0, &other);
        assert_eq!(bare.coin(0), None, "another transaction");
        let mut asked = psbt.clone();
        asked.inner.inputs[0].sighash_type = Some(PsbtSighashType::from_u32(0x82));
        assert!(!asked.sign(0, &key(1)));
        let mut good = psbt.clone();
        assert!(good.sign(0, &key(1)));
        // A signature over another transaction is none.
        let mut changed = psbt.transaction().clone();
        changed.lock_time = 5;
        let mut wrong = Psbt::of(&changed).expect("unsigned");
        wrong.put_previous(0, &before);
        wrong.inner.inputs[0].partial_sigs = good.inner.inputs[0].partial_sigs.clone();
        assert_eq!(wrong.state(0), InputState::Unsigned);
        assert!(good.combine(&wrong).is_err());
        for text in ["", "cHNidP8=", "x", &"A".repeat(MAX_TEXT + 1)] {
            assert!(Psbt::parse(text).is_err());
        }
    }
}
