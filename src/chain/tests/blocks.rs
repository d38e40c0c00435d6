//! Rows B of the faults: single blocks, each with one fault or just without it.

use super::*;
use crate::consensus::{ChainSpec, RuleError, height_push};
use crate::keys::{ScriptSigError, SignatureError, sign_input};
use crate::primitives::{OutPoint, SEQUENCE_FINAL, Script, Transaction, TxIn, TxOut};

/// The first output of a transaction.
pub(super) fn first_output(tx: &Transaction) -> OutPoint {
    OutPoint {
        txid: tx.txid(),
        vout: 0,
    }
}

/// The reason why the chain refuses a block, as a proposal as well; the block must have changed nothing.
pub(super) fn refusal(chain: &TestChain, block: &Block) -> &'static str {
    let before = active_state(chain);
    let now = chain.clock.load(Ordering::Relaxed);
    let proposed = chain.reader().check_proposal(block.clone(), now);
    assert_eq!(active_state(chain), before, "{proposed:?}");
    let error = chain.submit(block).expect_err("the block breaks a rule");
    assert_eq!(active_state(chain), before, "{error}");
    let reason = error.reject_reason();
    match proposed {
        Ok(()) => assert_eq!(reason, "high-hash", "{error}"),
        // Nothing else was looked at: it is aside, or was handed in before.
        Err(
            ProposalError::NotOnTip
            | ProposalError::Duplicate
            | ProposalError::DuplicateInvalid
            | ProposalError::DuplicateInconclusive,
        ) => {}
        // Work and hash, which come first with a block, are nothing that a proposal has.
        Err(proposed) => assert!(
            reason == "high-hash" || reason == proposed.reject_reason(),
            "{error}, {proposed}"
        ),
    }
    reason
}

pub(super) fn is_new_tip(result: Result<BlockAccepted, SubmitError>) -> bool {
    matches!(result, Ok(BlockAccepted::NewTip { .. }))
}

pub(super) fn output(units: u64) -> TxOut {
    TxOut {
        value: UncheckedAmount(units),
        script_pubkey: Script::p2pkh(&key_hash(1)),
    }
}

/// B1: not only one transaction, a whole subtree may repeat without changing the root.
#[test]
fn b01_a_repeated_subtree_never_marks_the_hash() {
    let chain = TestChain::new();
    let base = chain.extend(6);
    let payments = base[..5]
        .iter()
        .map(|block| pay(1, &[coinbase_coin(block)], &[(2, 50 * COIN)]));
    let honest = chain.block_on(tip(&chain), payments.collect(), 0);
    let mut repeated = honest.clone();
    repeated
        .transactions
        .extend_from_within(honest.transactions.len() - 2..);
    assert_eq!(repeated.compute_merkle_root().0, honest.header.merkle_root);
    for _ in 0..2 {
        assert_eq!(refusal(&chain, &repeated), "bad-txns-duplicate");
    }
    assert!(is_new_tip(chain.submit(&honest)));
    assert_sound(&chain);
}

/// B2: Bitcoin Core 0.14 let the first case crash and 0.15 let the second make money.
#[test]
fn b02_a_coin_is_spent_once_in_a_transaction() {
    let chain = TestChain::new();
    let base = chain.extend(2);
    let parent = pay(1, &[coinbase_coin(&base[0])], &[(2, 50 * COIN)]);
    let fresh = first_output(&parent);
    let of_this_block = pay(2, &[fresh, fresh], &[(3, 100 * COIN)]);
    let older = coinbase_coin(&base[1]);
    let of_an_older_one = pay(1, &[older, older], &[(3, 100 * COIN)]);
    for transactions in [vec![parent, of_this_block], vec![of_an_older_one]] {
        let block = chain.block_on(tip(&chain), transactions, 0);
        assert_eq!(refusal(&chain, &block), "bad-txns-inputs-duplicate");
    }
}

/// B3: above the supply, negative where read as a signed number, and sums that wrap around 64 bits.
#[test]
fn b03_values_and_their_sum_stay_in_the_range_of_money() {
    let chain = TestChain::new();
    let base = chain.extend(1);
    let max = Amount::MAX.units();
    for (values, reason) in [
        (vec![max + 1], "bad-txns-vout-toolarge"),
        (vec![1 << 63], "bad-txns-vout-toolarge"),
        (vec![u64::MAX], "bad-txns-vout-toolarge"),
        (vec![1 << 63, 1 << 63], "bad-txns-vout-toolarge"),
        (vec![max, 1], "bad-txns-txouttotal-toolarge"),
        (vec![max; 8_785], "bad-txns-txouttotal-toolarge"),
        (vec![max], "bad-txns-in-belowout"),
    ] {
        let mut tx = pay(1, &[coinbase_coin(&base[0])], &[]);
        tx.outputs = values.iter().map(|units| output(*units)).collect();
        sign_input(&mut tx, 0, &testing::key(1));
        let block = chain.block_on(tip(&chain), vec![tx], 0);
        assert_eq!(refusal(&chain, &block), reason);
        let block = chain.block_with(tip(&chain), Vec::new(), 0, |block| {
            block.transactions[0].outputs = values.iter().map(|units| output(*units)).collect();
        });
        let reason = reason.replace("bad-txns-in-belowout", "bad-cb-amount");
        assert_eq!(refusal(&chain, &block), reason);
    }
}

/// B4: the coinbase and the fees.
#[test]
fn b04_a_coinbase_takes_at_most_subsidy_and_fees() {
    let chain = TestChain::new();
    let base = chain.extend(3);
    let with_fee = |coin, taken: u64| {
        let tx = pay(1, &[coin], &[(2, 50 * COIN - 7)]);
        chain.block_with(tip(&chain), vec![tx], 0, |block| {
            block.transactions[0].outputs[0].value = UncheckedAmount(taken);
        })
    };
    let coin = |index: usize| coinbase_coin(&base[index]);
    let refused = with_fee(coin(0), 50 * COIN + 8);
    assert_eq!(refusal(&chain, &refused), "bad-cb-amount");
    assert!(is_new_tip(chain.submit(&with_fee(coin(0), 50 * COIN + 7))));
    assert!(is_new_tip(chain.submit(&with_fee(coin(1), 1))));
    assert!(is_new_tip(chain.submit(&with_fee(coin(2), 0))));
    assert_sound(&chain);
}

/// B5: the first halving of regtest, in blocks.
#[test]
fn b05_the_first_block_after_the_halving_takes_half() {
    let chain = TestChain::with_spec(ChainSpec::regtest());
    chain.extend(149);
    let takes = |units: u64| {
        chain.block_with(tip(&chain), Vec::new(), 0, |block| {
            block.transactions[0].outputs[0].value = UncheckedAmount(units);
        })
    };
    assert_eq!(refusal(&chain, &takes(50 * COIN)), "bad-cb-amount");
    assert_eq!(refusal(&chain, &takes(25 * COIN + 1)), "bad-cb-amount");
    assert!(is_new_tip(chain.submit(&takes(25 * COIN))));
}

/// B6: exactly one coinbase, and it comes first.
#[test]
fn b06_the_coinbase_is_first_and_alone() {
    let chain = TestChain::new();
    let base = chain.extend(1);
    let payment = pay(1, &[coinbase_coin(&base[0])], &[(2, 50 * COIN)]);
    let block = |change: &dyn Fn(&mut Block)| {
        chain.block_with(tip(&chain), vec![payment.clone()], 0, |block| change(block))
    };
    let none = block(&|block| block.transactions.clear());
    assert_eq!(refusal(&chain, &none), "bad-cb-missing");
    let payment_only = block(&|block| drop(block.transactions.remove(0)));
    assert_eq!(refusal(&chain, &payment_only), "bad-cb-missing");
    let swapped = block(&|block| block.transactions.swap(0, 1));
    assert_eq!(refusal(&chain, &swapped), "bad-cb-missing");
    let two = block(&|block| {
        let mut second = block.transactions[0].clone();
        second.outputs[0].value = UncheckedAmount(1);
        block.transactions.push(second);
    });
    assert_eq!(refusal(&chain, &two), "bad-cb-multiple");
}

/// B7: 2 to 100 bytes of coinbase script.
#[test]
fn b07_the_length_of_a_coinbase_script() {
    let chain = TestChain::new();
    let sized = |len: usize| {
        let height = chain.reader().tip().height + 1;
        chain.block_with(tip(&chain), Vec::new(), 0, |block| {
            let mut script = height_push(height);
            script.resize(len, 0);
            block.transactions[0].inputs[0].script_sig = script.into();
        })
    };
    for refused in [0, 1, 101, 300] {
        assert_eq!(refusal(&chain, &sized(refused)), "bad-cb-length");
    }
    for taken in [2, 100] {
        assert!(is_new_tip(chain.submit(&sized(taken))), "{taken}");
    }
}

/// B8: BIP34's height, in the one form that Bitcoin Core takes.
#[test]
fn b08_the_coinbase_begins_with_its_height() {
    let chain = TestChain::new();
    chain.extend(16);
    let begins = |bytes: &[u8]| {
        chain.block_with(tip(&chain), Vec::new(), 0, |block| {
            block.transactions[0].inputs[0].script_sig = [bytes, &[0; 4]].concat().into();
        })
    };
    // The block is at 17: one less, one more, two bytes for one, a push that says its length apart, nothing.
    for wrong in [
        &[0x60][..],
        &[1, 18],
        &[2, 17, 0],
        &[76, 1, 17],
        &[0x61],
        &[17],
        &[],
    ] {
        let block = begins(wrong);
        assert_eq!(refusal(&chain, &block), "bad-cb-height", "{wrong:?}");
    }
    assert!(is_new_tip(chain.submit(&begins(&[1, 17]))));
    // Small heights have an opcode of their own, and the push of a byte is another form.
    let young = TestChain::new();
    let block = young.block_with(tip(&young), Vec::new(), 0, |block| {
        block.transactions[0].inputs[0].script_sig = vec![1, 1, 0].into();
    });
    assert_eq!(refusal(&young, &block), "bad-cb-height");
}

/// B13: exactly a million bytes, and one more.
#[test]
fn b13_the_largest_block_and_one_byte_more() {
    let chain = TestChain::new();
    let mint = chain.block_with(tip(&chain), Vec::new(), 0, |block| {
        block.transactions[0].outputs = vec![output(COIN / 100); 2_400];
    });
    chain.submit(&mint).unwrap();
    let txid = mint.transactions[0].txid();
    let coins: Vec<OutPoint> = (0..2_400).map(|vout| OutPoint { txid, vout }).collect();
    let spends: Vec<Transaction> = coins
        .chunks(100)
        .map(|coins| pay(1, coins, &[(2, COIN)]))
        .collect();
    let sized = |target: usize| {
        chain.block_with(tip(&chain), spends.clone(), 0, |block| {
            block.transactions[0].inputs[0].script_sig = vec![0x52, 0].into();
            // More than 252 outputs take two more bytes to count.
            let room = target - block.encoded_len() - 2;
            let coinbase = &mut block.transactions[0];
            coinbase.outputs.extend(vec![output(0); room / 34]);
            let mut script = vec![0x52, 0];
            script.resize(2 + room % 34, 0);
            coinbase.inputs[0].script_sig = script.into();
            assert_eq!(block.encoded_len(), target);
        })
    };
    assert_eq!(refusal(&chain, &sized(1_000_001)), "bad-blk-length");
    assert!(is_new_tip(chain.submit(&sized(1_000_000))));
    assert_sound(&chain);
}

/// B14: P2PKH outputs and the operations in the coinbase's script count.
#[test]
fn b14_twenty_thousand_signature_operations_and_one_more() {
    let chain = TestChain::new();
    let counted = |outputs: usize, script: &[u8]| {
        let height = chain.reader().tip().height + 1;
        chain.block_with(tip(&chain), Vec::new(), 0, |block| {
            let coinbase = &mut block.transactions[0];
            coinbase.outputs = vec![output(0); outputs];
            coinbase.inputs[0].script_sig = [&height_push(height)[..], script].concat().into();
        })
    };
    let refused = [
        counted(20_001, &[0; 4]),
        counted(20_000, &[0, 0xac]),
        counted(19_981, &[0, 0xae]),
    ];
    for block in &refused {
        assert_eq!(refusal(&chain, block), "bad-blk-sigops");
    }
    assert!(is_new_tip(chain.submit(&counted(20_000, &[0; 4]))));
    assert!(is_new_tip(chain.submit(&counted(19_980, &[0, 0xae]))));
    assert!(is_new_tip(chain.submit(&counted(19_999, &[0, 0xac]))));
}

/// B18: Bitcoin Core takes a high S in a block; here it is refused by name (a listed restriction).
#[test]
fn b18_a_high_s_is_refused() {
    let chain = TestChain::new();
    let base = chain.extend(1);
    let mut tx = pay(1, &[coinbase_coin(&base[0])], &[(2, 50 * COIN)]);
    let script = with_high_s(tx.inputs[0].script_sig.as_bytes());
    tx.inputs[0].script_sig = script.into();
    let block = chain.block_on(tip(&chain), vec![tx], 0);
    assert_eq!(
        chain.submit(&block),
        Err(SubmitError::Invalid(RuleError::InputScript {
            index: 0,
            reason: ScriptSigError::Signature(SignatureError::HighS),
        }))
    );
}

/// The same signature with the order of the curve minus S, which verifies as well.
fn with_high_s(script: &[u8]) -> Vec<u8> {
    let order = hex::decode("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141");
    let order = ruint::aliases::U256::from_be_slice(&order.unwrap());
    let der_len = usize::from(script[2]) + 2;
    let (der, rest) = script[1..].split_at(der_len);
    let s_at = 4 + usize::from(der[3]) + 2;
    let high = order - ruint::aliases::U256::from_be_slice(&der[s_at..]);
    let s = [&[0][..], &high.to_be_bytes::<32>()].concat();
    let r = &der[2..s_at - 2];
    let body = [r, &[2, 33], &s].concat();
    let len = |bytes: &[u8]| u8::try_from(bytes.len()).unwrap();
    let der = [&[0x30, len(&body)], &body[..]].concat();
    [&[len(&der) + 1], &der[..], rest].concat()
}

/// T1, T6 in blocks: transactions that are malformed or not P2PKH, and inputs that refer to nothing.
#[test]
fn t01_malformed_transactions_in_blocks() {
    let chain = TestChain::new();
    let base = chain.extend(1);
    let coin = coinbase_coin(&base[0]);
    let with = |change: &dyn Fn(&mut Transaction)| {
        let mut tx = pay(1, &[coin], &[(2, COIN), (3, COIN)]);
        change(&mut tx);
        tx
    };
    let null = TxIn {
        previous_output: OutPoint::NULL,
        script_sig: Script::default(),
        sequence: SEQUENCE_FINAL,
    };
    for (tx, reason) in [
        (with(&|tx| tx.inputs.clear()), "bad-txns-vin-empty"),
        (with(&|tx| tx.outputs.clear()), "bad-txns-vout-empty"),
        (
            with(&|tx| tx.inputs.push(null.clone())),
            "bad-txns-prevout-null",
        ),
        (
            with(&|tx| tx.outputs[1].value = UncheckedAmount(1 << 63)),
            "bad-txns-vout-toolarge",
        ),
        (with(&|tx| tx.version = 0), "bad-txns-version"),
        (with(&|tx| tx.version = 3), "bad-txns-version"),
        (with(&|tx| tx.version = i32::MIN), "bad-txns-version"),
    ] {
        let block = chain.block_on(tip(&chain), vec![tx], 0);
        assert_eq!(refusal(&chain, &block), reason);
    }
}

/// T6: one kind of output, in payments and coinbases alike.
#[test]
fn t06_other_output_scripts_are_refused_in_blocks() {
    let chain = TestChain::new();
    let base = chain.extend(1);
    let hash = key_hash(2);
    let p2pkh = Script::p2pkh(&hash).as_bytes().to_vec();
    let others: Vec<Vec<u8>> = vec![
        Vec::new(),
        vec![0x51],
        [&[0xa9, 20][..], hash.as_bytes(), &[0x87]].concat(),
        [&[0, 20][..], hash.as_bytes()].concat(),
        [&[0x6a, 20][..], hash.as_bytes()].concat(),
        [&[33, 2][..], &[7; 32], &[0xac]].concat(),
        [&p2pkh[..], &[0x61]].concat(),
        [&[0x61][..], &p2pkh].concat(),
        p2pkh[..24].to_vec(),
    ];
    for script in others {
        let mut tx = pay(1, &[coinbase_coin(&base[0])], &[(2, COIN)]);
        tx.outputs[0].script_pubkey = script.clone().into();
        sign_input(&mut tx, 0, &testing::key(1));
        let block = chain.block_on(tip(&chain), vec![tx], 0);
        assert_eq!(refusal(&chain, &block), "bad-txns-vout-not-p2pkh");
        let coinbase = chain.block_with(tip(&chain), Vec::new(), 0, |block| {
            block.transactions[0].outputs[0].script_pubkey = script.clone().into();
        });
        assert_eq!(refusal(&chain, &coinbase), "bad-txns-vout-not-p2pkh");
    }
}
