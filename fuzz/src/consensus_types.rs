//! Every type with a consensus encoding: the first byte of the input chooses the type, the rest is decoded.

use std::fmt::Debug;

use bitcoin::consensus::{Decodable, deserialize};
use quarry::consensus::ChainSpec;
use quarry::keys::{SIGHASH_ALL, SighashCache};
use quarry::primitives::{
    Block, BlockHash, BlockHeader, CompactTarget, Decode, DecodeError, Encode, MerkleRoot,
    OutPoint, PubkeyHash, Reader, Script, Target, Transaction, TxIn, TxOut, Txid, compact_size_len,
    write_compact_size,
};

use crate::memory::bounded;

/// Bytes of memory for each byte of input. A list reserves room for as many items as the rest of the input could hold: 64 bytes
/// for a transaction, which takes 10 in the input, and within it 32 for an output, which takes 9.
const FACTOR: u64 = 16;

/// Runs one input.
pub fn run(data: &[u8]) {
    let Some((choice, bytes)) = data.split_first() else {
        return;
    };
    match choice % 16 {
        0 => transaction(bytes),
        1 => block(bytes),
        2 => header(bytes),
        3 => drop(same::<TxIn, bitcoin::TxIn>(bytes)),
        4 => drop(same::<TxOut, bitcoin::TxOut>(bytes)),
        5 => drop(same::<OutPoint, bitcoin::OutPoint>(bytes)),
        6 => drop(same::<Script, bitcoin::ScriptBuf>(bytes)),
        7 => drop(same::<BlockHash, bitcoin::BlockHash>(bytes)),
        8 => drop(same::<Txid, bitcoin::Txid>(bytes)),
        9 => drop(same::<MerkleRoot, bitcoin::TxMerkleNode>(bytes)),
        10 => drop(same::<u32, u32>(bytes)),
        11 => drop(same::<u64, u64>(bytes)),
        12 => drop(same::<i32, i32>(bytes)),
        13 => compact_size(bytes),
        14 => target(bytes),
        _ => lists(bytes),
    }
}

/// Decodes with both; what decodes must encode to the same bytes.
fn same<Ours: Decode + Encode + Debug, Theirs: Decodable>(bytes: &[u8]) -> Option<(Ours, Theirs)> {
    let ours = bounded("decode", bytes.len(), FACTOR, 256, || {
        Ours::from_bytes(bytes)
    });
    let theirs = deserialize::<Theirs>(bytes);
    match (ours, theirs) {
        (Ok(ours), Ok(theirs)) => {
            assert_eq!(ours.to_bytes(), bytes, "{ours:?}");
            assert_eq!(ours.encoded_len(), bytes.len(), "{ours:?}");
            assert!(bytes.len() >= Ours::MIN_LEN, "{ours:?}");
            Some((ours, theirs))
        }
        (Err(_), Err(_)) => None,
        (Ok(ours), Err(theirs)) => panic!("we decode {ours:?}, rust-bitcoin says {theirs}"),
        // Witnesses and empty input lists are not part of this chain, and rust-bitcoin reads the second as the first.
        (Err(DecodeError::WitnessMarker), Ok(_)) => None,
        (Err(ours), Ok(_)) => panic!("rust-bitcoin decodes what we refuse: {ours}"),
    }
}

fn transaction(bytes: &[u8]) {
    let Some((ours, theirs)) = same::<Transaction, bitcoin::Transaction>(bytes) else {
        return;
    };
    assert_eq!(ours.txid().to_string(), theirs.compute_txid().to_string());
    assert_eq!(ours.is_coinbase(), theirs.is_coinbase());
    // A signature hash takes the whole transaction: some inputs are enough.
    let cache = SighashCache::new(&ours);
    let reference = bitcoin::sighash::SighashCache::new(&theirs);
    for index in 0..ours.inputs.len().min(3) {
        let code = Script::p2pkh(&PubkeyHash::from_bytes([7; 20]));
        let expected = reference
            .legacy_signature_hash(
                index,
                bitcoin::Script::from_bytes(code.as_bytes()),
                u32::from(SIGHASH_ALL),
            )
            .expect("the input is there");
        let expected: &[u8] = expected.as_ref();
        assert_eq!(&cache.signature_hash(index, &code)[..], expected);
    }
}

fn block(bytes: &[u8]) {
    let Some((ours, theirs)) = same::<Block, bitcoin::Block>(bytes) else {
        return;
    };
    assert_eq!(ours.hash().to_string(), theirs.block_hash().to_string());
    let (again, txids) = Block::from_bytes_hashed(bytes).expect("the same bytes");
    assert_eq!(again, ours, "hashing on the way changes the block");
    let expected: Vec<Txid> = ours.transactions.iter().map(Transaction::txid).collect();
    assert_eq!(txids, expected, "the ids hashed on the way");
    let (root, _) = ours.compute_merkle_root();
    match theirs.compute_merkle_root() {
        Some(expected) => assert_eq!(root.to_string(), expected.to_string()),
        None => assert_eq!(root, MerkleRoot::ZERO),
    }
}

fn header(bytes: &[u8]) {
    if let Some((ours, theirs)) = same::<BlockHeader, bitcoin::block::Header>(bytes) {
        assert_eq!(ours.hash().to_string(), theirs.block_hash().to_string());
        assert_eq!(&ours.to_array()[..], bytes);
    }
}

fn compact_size(bytes: &[u8]) {
    let ours = Reader::new(bytes).compact_size();
    let theirs = bitcoin::consensus::deserialize_partial::<bitcoin::VarInt>(bytes);
    assert_eq!(ours.is_ok(), theirs.is_ok(), "{ours:?}, {theirs:?}");
    if let (Ok(ours), Ok((theirs, taken))) = (ours, theirs) {
        assert_eq!(ours, theirs.0);
        let ours = usize::try_from(ours).expect("64-bit machines are the only ones supported");
        let mut again = Vec::new();
        write_compact_size(ours, &mut again);
        assert_eq!(again, &bytes[..taken]);
        assert_eq!(compact_size_len(ours), taken);
    }
}

/// rust-bitcoin gives a target of 1 all the work there is; 2^256 / (1 + 1), as Bitcoin Core computes it (`GetBlockProof`), is 2^255.
fn same_work(ours: Target, theirs: bitcoin::Target) {
    let mut expected = theirs.to_work().to_be_bytes();
    if theirs == bitcoin::Target::from_be_bytes(ONE) {
        expected = [0; 32];
        expected[0] = 0x80;
    }
    assert_eq!(ours.work().to_be_bytes(), expected);
}

/// 1 as a target.
const ONE: [u8; 32] = {
    let mut bytes = [0; 32];
    bytes[31] = 1;
    bytes
};

/// Targets: compact form, work, scaling.
fn target(bytes: &[u8]) {
    let Some((first, rest)) = bytes.split_first_chunk::<4>() else {
        return;
    };
    let bits = u32::from_le_bytes(*first);
    if let Ok(ours) = CompactTarget(bits).to_target() {
        let theirs = bitcoin::Target::from_compact(bitcoin::CompactTarget::from_consensus(bits));
        assert_eq!(ours.to_be_bytes(), theirs.to_be_bytes(), "{bits:08x}");
        same_work(ours, theirs);
        assert_eq!(
            ours.to_compact().0,
            theirs.to_compact_lossy().to_consensus()
        );
    }
    let Some((number, rest)) = rest.split_first_chunk::<32>() else {
        return;
    };
    let ours = Target::from_be_bytes(*number);
    let theirs = bitcoin::Target::from_be_bytes(*number);
    assert_eq!(
        ours.to_compact().0,
        theirs.to_compact_lossy().to_consensus()
    );
    assert_eq!(ours.to_be_bytes(), *number);
    if *number != [0; 32] {
        same_work(ours, theirs);
        let limit = ChainSpec::dev().pow_limit_target();
        let shift = u32::from(rest.first().copied().unwrap_or_default());
        for scaled in [
            ours.scale(u64::from(bits), shift, limit),
            ours.double(shift, limit),
        ] {
            assert!(scaled <= limit, "{scaled} is above the limit");
            assert_ne!(scaled.to_be_bytes(), [0; 32], "{ours} became zero");
        }
    }
}

/// Lists without a frame: what a claimed length may cost, and that all that is left is told.
fn lists(bytes: &[u8]) {
    bounded("list of transactions", bytes.len(), FACTOR, 256, || {
        let mut reader = Reader::new(bytes);
        if reader.list::<Transaction>().is_ok() {
            assert!(reader.remaining() < bytes.len());
        }
    });
    bounded("list of outputs", bytes.len(), FACTOR, 256, || {
        drop(Reader::new(bytes).list::<TxOut>());
    });
    bounded("bytes", bytes.len(), 1, 256, || {
        drop(Reader::new(bytes).var_bytes().map(<[u8]>::to_vec));
    });
}

/// One of each type, the built-in first blocks among them.
pub fn seeds() -> Vec<(String, Vec<u8>)> {
    let mut seeds = Vec::new();
    let mut add = |name: &str, choice: u8, bytes: Vec<u8>| {
        seeds.push((name.to_owned(), [&[choice][..], &bytes].concat()));
    };
    for (name, spec) in [("dev", ChainSpec::dev()), ("regtest", ChainSpec::regtest())] {
        let block = spec.genesis_block();
        add(&format!("block-{name}"), 1, block.to_bytes());
        add(&format!("header-{name}"), 2, block.header.to_bytes());
        add(
            &format!("coinbase-{name}"),
            0,
            block.transactions[0].to_bytes(),
        );
    }
    let blocks = crate::node::sample_blocks();
    for (index, block) in blocks.iter().enumerate() {
        add(&format!("block-{index}"), 1, block.to_bytes());
        if let Some(payment) = block.transactions.get(1) {
            add(&format!("payment-{index}"), 0, payment.to_bytes());
            add(&format!("input-{index}"), 3, payment.inputs[0].to_bytes());
            add(&format!("output-{index}"), 4, payment.outputs[0].to_bytes());
            let outpoint = payment.inputs[0].previous_output;
            add(&format!("outpoint-{index}"), 5, outpoint.to_bytes());
            add(
                &format!("script-{index}"),
                6,
                payment.inputs[0].script_sig.to_bytes(),
            );
        }
    }
    let mut twice = blocks[0].clone();
    let last = twice.transactions[0].clone();
    twice.transactions.push(last);
    add("block-repeated-tail", 1, twice.to_bytes());
    let mut no_inputs = blocks[0].transactions[0].clone();
    no_inputs.inputs.clear();
    add("transaction-no-inputs", 0, no_inputs.to_bytes());
    add("hash", 7, vec![0xab; 32]);
    add("txid", 8, vec![0xcd; 32]);
    add("root", 9, vec![0xef; 32]);
    add("u32", 10, vec![1, 2, 3, 4]);
    add("u64", 11, vec![1, 2, 3, 4, 5, 6, 7, 8]);
    add("i32", 12, vec![0xff; 4]);
    for (name, bytes) in [
        ("1", &[0xfc][..]),
        ("3", &[0xfd, 0xfd, 0]),
        ("3-long", &[0xfd, 0xfc, 0]),
        ("5", &[0xfe, 0, 0, 1, 0]),
        ("9", &[0xff, 0, 0, 0, 0, 1, 0, 0, 0]),
    ] {
        add(&format!("size-{name}"), 13, bytes.to_vec());
    }
    for bits in [
        0x1d00_ffff_u32,
        0x207f_ffff,
        0x2200_0001,
        0x0180_0000,
        0x1e07_ffff,
    ] {
        let number = [&bits.to_le_bytes()[..], &[0x55; 32], &[9]].concat();
        add(&format!("target-{bits:08x}"), 14, number);
    }
    let list = [&[1][..], &blocks[0].transactions[0].to_bytes()].concat();
    add("list", 15, list);
    add(
        "list-lying",
        15,
        [&[0xfe, 0xff, 0xff, 0xff, 0x7f][..], &[0; 60]].concat(),
    );
    seeds
}
