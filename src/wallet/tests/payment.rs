//! Payments from a real wallet: signed so that the rules of `keys` accept every input.

use proptest::prelude::*;

use super::*;
use crate::consensus::ChainSpec;
use crate::keys::{parse_script_sig, signature_hash, verify};
use crate::primitives::{
    Amount, COIN, Coin, Decode, Encode, OutPoint, PubkeyHash, Script, Transaction, Txid,
};
use crate::wallet::{
    DUST_LIMIT, FeeRate, Payment, PaymentError, SignedPayment, WalletCoin, WalletError,
    build_and_sign,
};

fn amount(units: u64) -> Amount {
    Amount::from_units(units).expect("amount")
}

fn coin_of(hash: PubkeyHash, tag: u8, units: u64) -> WalletCoin {
    let coin = Coin {
        value: amount(units),
        pubkey_hash: hash,
        height: 1,
        is_coinbase: false,
    };
    WalletCoin {
        outpoint: OutPoint {
            txid: Txid::from_bytes([tag; 32]),
            vout: tag.into(),
        },
        coin,
        confirmations: 3,
    }
}

fn payee(tag: u8) -> PubkeyHash {
    PubkeyHash::from_bytes([tag; 20])
}

fn payment(from: Vec<WalletCoin>, units: u64) -> Payment {
    let recipients = vec![(payee(0xaa), amount(units))];
    Payment::new(recipients, FeeRate::ZERO, payee(0xcc), from)
}

/// Every input carries a signature of the right key over the right hash, and the sums agree.
fn assert_valid(signed: &SignedPayment, from: &[WalletCoin]) {
    let tx = &signed.tx;
    let mut total = 0;
    for (index, input) in tx.inputs.iter().enumerate() {
        let coin = from
            .iter()
            .find(|c| c.outpoint == input.previous_output)
            .expect("offered");
        let (signature, key) = parse_script_sig(&input.script_sig).expect("two pushes");
        assert_eq!(key.pubkey_hash(), coin.coin.pubkey_hash);
        let digest = signature_hash(tx, index, &Script::p2pkh(&coin.coin.pubkey_hash));
        assert!(verify(&key, &digest, &signature), "input {index}");
        total += coin.coin.value.units();
    }
    let paid: u64 = tx
        .outputs
        .iter()
        .map(|o| o.value.check().expect("amount").units())
        .sum();
    assert_eq!(total, paid + signed.fee.units());
    assert_eq!(signed.txid, tx.txid());
    assert_eq!(Transaction::from_bytes(&tx.to_bytes()).as_ref(), Ok(tx));
}

#[test]
fn signs_every_input_with_its_own_key() {
    for (_folder, mut wallet) in [plain(), encrypted()] {
        let one = wallet.new_address(COIN_TYPE).expect("new");
        let two = wallet.new_change_address(COIN_TYPE).expect("new");
        let three = wallet.new_address(0).expect("new");
        let from = vec![
            coin_of(one, 1, 10 * COIN),
            coin_of(two, 2, 20 * COIN),
            coin_of(one, 3, 30 * COIN),
            coin_of(three, 4, COIN),
        ];
        let mut wish = payment(from.clone(), 60 * COIN);
        wish.fee_rate = FeeRate::per_byte(7);
        let signed = wallet.pay(&ChainSpec::regtest(), &wish).expect("pay");
        assert_eq!(signed.tx.inputs.len(), 4);
        assert_valid(&signed, &from);
        let size = u64::try_from(signed.tx.encoded_len()).expect("small");
        assert!(signed.fee.units() >= 7 * size && signed.fee.units() <= 7 * (size + 8));
        assert_eq!(
            signed.tx.outputs[0].script_pubkey.as_p2pkh(),
            Some(payee(0xaa))
        );
        assert_eq!(
            signed.tx.outputs[1].script_pubkey.as_p2pkh(),
            Some(payee(0xcc))
        );
        assert_eq!(
            wallet
                .pay(&ChainSpec::regtest(), &wish)
                .expect("again")
                .txid,
            signed.txid,
            "deterministic"
        );
    }
}

/// The walk-through: `send 50` of 50 needs no change and no fee; `send 51` is refused.
#[test]
fn the_walk_through() {
    let (_folder, mut wallet) = plain();
    let hash = wallet.new_address(COIN_TYPE).expect("new");
    let from = vec![coin_of(hash, 1, 50 * COIN)];
    let error = wallet
        .pay(&ChainSpec::regtest(), &payment(from.clone(), 51 * COIN))
        .expect_err("too much");
    assert_eq!(
        error.to_string(),
        "not enough funds: 50 available, 51 needed with the fee"
    );
    let signed = wallet
        .pay(&ChainSpec::regtest(), &payment(from.clone(), 50 * COIN))
        .expect("pay");
    assert_eq!(
        (signed.fee, signed.change, signed.tx.outputs.len()),
        (Amount::ZERO, None, 1)
    );
    assert_valid(&signed, &from);
}

#[test]
fn wrong_wishes_are_named() {
    let (_folder, mut wallet) = plain();
    let hash = wallet.new_address(COIN_TYPE).expect("new");
    let from = vec![coin_of(hash, 1, 50 * COIN)];
    let refused = |wish: &Payment| {
        wallet
            .pay(&ChainSpec::regtest(), wish)
            .expect_err("refused")
    };

    let mut wish = payment(from.clone(), COIN);
    wish.recipients.clear();
    assert!(matches!(refused(&wish), PaymentError::NoRecipients));

    wish.recipients = vec![(payee(1), amount(1)), (payee(2), Amount::ZERO)];
    assert!(matches!(
        refused(&wish),
        PaymentError::AmountZero { position: 2 }
    ));

    wish.recipients = vec![(payee(1), Amount::MAX), (payee(2), amount(1))];
    assert!(matches!(refused(&wish), PaymentError::SumOverflow));

    let foreign = vec![coin_of(payee(9), 1, 50 * COIN)];
    assert!(matches!(refused(&payment(foreign, COIN)), PaymentError::NotOurs(h) if h == payee(9)));
}

/// Row W5. The bounds: 0.1 coin, and a tenth of the amount.
#[test]
fn an_absurd_fee_needs_a_second_word() {
    let (_folder, mut wallet) = plain();
    let hash = wallet.new_address(COIN_TYPE).expect("new");
    let from = vec![coin_of(hash, 1, 50 * COIN)];
    let with_rate = |units, fee_rate| Payment {
        fee_rate: FeeRate::per_byte(fee_rate),
        ..payment(from.clone(), units)
    };

    // 226 bytes at 100,000 units: 0.226 coins.
    let mut wish = with_rate(COIN, 100_000);
    assert!(matches!(
        wallet.pay(&ChainSpec::regtest(), &wish),
        Err(PaymentError::AbsurdFee { .. })
    ));
    wish.allow_absurd_fee = true;
    assert_valid(
        &wallet.pay(&ChainSpec::regtest(), &wish).expect("meant"),
        &from,
    );
    assert!(
        wallet
            .pay(&ChainSpec::regtest(), &with_rate(40 * COIN, 100_000))
            .is_ok(),
        "small beside the amount"
    );
    assert!(
        wallet
            .pay(&ChainSpec::regtest(), &with_rate(DUST_LIMIT, 40_000))
            .is_ok(),
        "small beside 0.1 coins"
    );
    let error = wallet
        .pay(&ChainSpec::regtest(), &with_rate(COIN, u64::MAX))
        .expect_err("refused");
    assert!(matches!(
        error,
        PaymentError::FeeRateTooHigh { rate: u64::MAX }
    ));
}

#[test]
fn a_locked_wallet_pays_nothing() {
    let (_folder, mut wallet) = encrypted();
    let hash = wallet.new_address(COIN_TYPE).expect("new");
    let wish = payment(vec![coin_of(hash, 1, COIN)], COIN);
    wallet.lock().expect("lock");
    let error = wallet
        .pay(&ChainSpec::regtest(), &wish)
        .expect_err("locked");
    assert!(matches!(error, PaymentError::Wallet(WalletError::Locked)));
    wallet.unlock(PASSPHRASE).expect("unlock");
    assert!(wallet.pay(&ChainSpec::regtest(), &wish).is_ok());
}

/// A wrong key from the caller's function must not make an invalid transaction.
#[test]
fn a_key_of_another_address_is_not_used() {
    let (_folder, mut wallet) = plain();
    let one = wallet.new_address(COIN_TYPE).expect("new");
    let two = wallet.new_address(COIN_TYPE).expect("new");
    let wish = payment(vec![coin_of(one, 1, COIN)], COIN);
    let result = build_and_sign(&ChainSpec::regtest(), &wish, |_| {
        wallet.secret_key_for(&two)
    });
    assert!(matches!(result, Err(PaymentError::NotOurs(hash)) if hash == one));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// Whatever can be paid is paid by a valid transaction whose change is no dust.
    #[test]
    fn payments_are_valid(
        values in proptest::collection::vec(1_000..COIN, 1..6),
        share in 1..120_u64, fee_rate in 0..50_u64,
    ) {
        let (_folder, path) = place();
        let mut wallet = Wallet::restore(&path, PHRASE, None).expect("restore");
        let hash = wallet.new_address(COIN_TYPE).expect("new");
        let from: Vec<_> =
            (1_u8..).zip(&values).map(|(tag, units)| coin_of(hash, tag, *units)).collect();
        let units = (values.iter().sum::<u64>() / 100 * share).max(1);
        let wish = Payment { fee_rate: FeeRate::per_byte(fee_rate), allow_absurd_fee: true, ..payment(from.clone(), units) };
        match wallet.pay(&ChainSpec::regtest(), &wish) {
            Ok(signed) => {
                assert_valid(&signed, &from);
                prop_assert!(signed.change.is_none_or(|change| change.units() >= DUST_LIMIT));
                let size = u64::try_from(signed.tx.encoded_len()).expect("small");
                prop_assert!(signed.fee.units() >= size * fee_rate);
            }
            Err(PaymentError::NotEnoughFunds { .. }) => {}
            Err(other) => prop_assert!(false, "{other}"),
        }
    }
}
