//! An implementation that was not written here agrees byte for byte: rust-bitcoin on encodings, ids, signature hashes, merkle
//! roots, targets, addresses and scripts.

use bitcoin::consensus::{deserialize, serialize};
use bitcoin::hashes::Hash;
use bitcoin::sighash::SighashCache;
use proptest::prelude::*;
use quarry::consensus::{ChainSpec, height_push};
use quarry::keys::{Address, PublicKey, SecretKey, Signature, sign_input, signature_hash, verify};
use quarry::primitives::{
    Amount, Block, BlockHeader, CompactTarget, Decode, Encode, MerkleRoot, OutPoint, PubkeyHash,
    Script, Target, Transaction, TxIn, TxOut, Txid, UncheckedAmount, merkle_root,
};

fn script() -> impl Strategy<Value = Script> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..300).prop_map(Script::from),
        any::<[u8; 20]>().prop_map(|hash| Script::p2pkh(&PubkeyHash::from_bytes(hash))),
    ]
}

prop_compose! {
    fn input()(txid: [u8; 32], vout: u32, script_sig in script(), sequence: u32) -> TxIn {
        TxIn { previous_output: OutPoint { txid: Txid::from_bytes(txid), vout }, script_sig, sequence }
    }
}

prop_compose! {
    // rust-bitcoin refuses values above 2^63 when it prints them, so values stay in the range of money.
    fn output()(value in 0..=Amount::MAX.units(), script_pubkey in script()) -> TxOut {
        TxOut { value: UncheckedAmount(value), script_pubkey }
    }
}

prop_compose! {
    fn transaction()(
        version: i32,
        inputs in prop::collection::vec(input(), 1..5),
        outputs in prop::collection::vec(output(), 0..5),
        lock_time: u32,
    ) -> Transaction {
        Transaction { version, inputs, outputs, lock_time }
    }
}

prop_compose! {
    fn block()(
        version: i32,
        prev: [u8; 32],
        root: [u8; 32],
        time: u32,
        bits: u32,
        nonce: u32,
        transactions in prop::collection::vec(transaction(), 0..4),
    ) -> Block {
        let header = BlockHeader {
            version,
            prev_block: quarry::primitives::BlockHash::from_bytes(prev),
            merkle_root: MerkleRoot::from_bytes(root),
            time,
            bits: CompactTarget(bits),
            nonce,
        };
        Block { header, transactions }
    }
}

fn theirs(tx: &Transaction) -> bitcoin::Transaction {
    deserialize(&tx.to_bytes()).expect("our encoding is theirs")
}

proptest! {
    #[test]
    fn transactions_and_ids(tx in transaction()) {
        let bytes = tx.to_bytes();
        prop_assert_eq!(bytes.len(), tx.encoded_len());
        let other = theirs(&tx);
        prop_assert_eq!(serialize(&other), bytes.clone());
        prop_assert_eq!(other.compute_txid().to_string(), tx.txid().to_string());
        prop_assert_eq!(other.is_coinbase(), tx.is_coinbase());
        prop_assert_eq!(Transaction::from_bytes(&bytes).unwrap(), tx);
    }

    #[test]
    fn blocks_hashes_and_merkle_roots(block in block()) {
        let bytes = block.to_bytes();
        let other: bitcoin::Block = deserialize(&bytes).unwrap();
        prop_assert_eq!(serialize(&other), bytes.clone());
        prop_assert_eq!(other.block_hash().to_string(), block.hash().to_string());
        prop_assert_eq!(Block::from_bytes(&bytes).unwrap(), block.clone());
        let theirs = other.compute_merkle_root().map_or([0; 32], |root| root.to_byte_array());
        prop_assert_eq!(block.compute_merkle_root().0.to_bytes(), theirs);
    }

    #[test]
    fn merkle_roots_of_long_lists(ids in prop::collection::vec(any::<[u8; 32]>(), 1..70)) {
        let ours = merkle_root(&ids.iter().copied().map(Txid::from_bytes).collect::<Vec<_>>()).0;
        let hashes = ids.iter().map(|id| bitcoin::Txid::from_byte_array(*id));
        let theirs = bitcoin::merkle_tree::calculate_root(hashes).unwrap();
        prop_assert_eq!(ours.to_bytes(), theirs.to_byte_array());
    }

    #[test]
    fn bytes_that_one_refuses_the_other_refuses(mut tx in transaction().prop_map(|tx| tx.to_bytes()), at: usize, byte: u8) {
        let at = at % tx.len();
        tx[at] = byte;
        let ours = Transaction::from_bytes(&tx);
        let theirs = deserialize::<bitcoin::Transaction>(&tx);
        match (&ours, &theirs) {
            // A changed input count of 0 turns the rest into the witness form, which this chain has not.
            (Err(_), Ok(other)) => prop_assert!(other.input.is_empty() || tx[4] == 0),
            _ => prop_assert_eq!(ours.is_ok(), theirs.is_ok()),
        }
    }

    #[test]
    fn signature_hashes(tx in transaction(), hash: [u8; 20], pick: usize) {
        let input = pick % tx.inputs.len();
        let code = Script::p2pkh(&PubkeyHash::from_bytes(hash));
        let other = theirs(&tx);
        let expected = SighashCache::new(&other)
            .legacy_signature_hash(input, bitcoin::Script::from_bytes(code.as_bytes()), 1)
            .unwrap();
        prop_assert_eq!(signature_hash(&tx, input, &code), expected.to_byte_array());
    }

    #[test]
    fn targets(bits: u32, hash: [u8; 32]) {
        let other = bitcoin::Target::from_compact(bitcoin::CompactTarget::from_consensus(bits));
        if let Ok(target) = CompactTarget(bits).to_target() {
            prop_assert_eq!(target.to_be_bytes(), other.to_be_bytes());
            prop_assert_eq!(target.to_compact().0, other.to_compact_lossy().to_consensus());
            prop_assert_eq!(target.work().to_be_bytes(), other.to_work().to_be_bytes());
            let met = other.is_met_by(bitcoin::BlockHash::from_byte_array(hash));
            prop_assert_eq!(target.is_met_by(&quarry::primitives::BlockHash::from_bytes(hash)), met);
        }
        let any = Target::from_be_bytes(hash);
        let other = bitcoin::Target::from_be_bytes(hash);
        prop_assert_eq!(any.to_compact().0, other.to_compact_lossy().to_consensus());
    }

    #[test]
    fn addresses(hash: [u8; 20]) {
        use bitcoin::{Network, NetworkKind};
        for (version, network) in [(0x00, NetworkKind::Main), (0x6f, NetworkKind::Test)] {
            let ours = Address::new(PubkeyHash::from_bytes(hash), version).to_string();
            let theirs = bitcoin::Address::p2pkh(bitcoin::PubkeyHash::from_byte_array(hash), network);
            prop_assert_eq!(&ours, &theirs.to_string());
            let back: bitcoin::Address<_> = ours.parse().unwrap();
            let chain = if version == 0 { Network::Bitcoin } else { Network::Regtest };
            let script = back.require_network(chain).unwrap().script_pubkey();
            let own = Script::p2pkh(&PubkeyHash::from_bytes(hash));
            prop_assert_eq!(script.as_bytes(), own.as_bytes());
        }
    }

    #[test]
    fn heights_in_coinbases(height in 0..u32::MAX / 2) {
        let theirs = bitcoin::script::Builder::new().push_int(i64::from(height)).into_script();
        prop_assert_eq!(height_push(height), theirs.as_bytes());
    }

    #[test]
    fn libsecp256k1_accepts_our_signatures(tx in transaction(), secret in prop::array::uniform32(1_u8..), pick: usize) {
        let mut tx = tx;
        let input = pick % tx.inputs.len();
        let key = SecretKey::from_bytes(&secret).unwrap();
        sign_input(&mut tx, input, &key);
        let script = bitcoin::ScriptBuf::from_bytes(tx.inputs[input].script_sig.as_bytes().to_vec());
        let pushes: Vec<_> = script.instructions().map(|part| part.unwrap().push_bytes().unwrap().as_bytes().to_vec()).collect();
        let signature = bitcoin::ecdsa::Signature::from_slice(&pushes[0]).unwrap();
        let public = bitcoin::secp256k1::PublicKey::from_slice(&pushes[1]).unwrap();
        let code = Script::p2pkh(&key.public_key().pubkey_hash());
        let digest = signature_hash(&tx, input, &code);
        let message = bitcoin::secp256k1::Message::from_digest(digest);
        let secp = bitcoin::secp256k1::Secp256k1::new();
        prop_assert!(secp.verify_ecdsa(&message, &signature.signature, &public).is_ok());

        // And the other way round: what libsecp256k1 signs, we accept, and both derive the nonce by RFC 6979.
        let theirs = bitcoin::secp256k1::SecretKey::from_slice(&secret).unwrap();
        let signed = secp.sign_ecdsa(&message, &theirs).serialize_der().to_vec();
        let ours = Signature::from_der_strict(&signed).unwrap();
        prop_assert_eq!(key.sign(&digest).to_der(), signed);
        prop_assert!(verify(&PublicKey::from_bytes(&public.serialize()).unwrap(), &digest, &ours));
    }
}

#[test]
fn regtest_genesis_is_the_same_block() {
    let theirs = bitcoin::constants::genesis_block(bitcoin::Network::Regtest);
    assert_eq!(
        serialize(&theirs),
        ChainSpec::regtest().genesis_block().to_bytes()
    );
    assert_eq!(
        ChainSpec::regtest().magic(),
        bitcoin::Network::Regtest.magic().to_bytes()
    );
}
