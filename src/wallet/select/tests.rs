//! Which coins are chosen, and that nothing is lost on the way.

use super::*;
use crate::primitives::{COIN, PubkeyHash, Txid};
use proptest::prelude::*;

fn coin(tag: u8, units: u64) -> WalletCoin {
    WalletCoin {
        outpoint: OutPoint {
            txid: Txid::from_bytes([tag; 32]),
            vout: 0,
        },
        coin: Coin {
            value: Amount::from_units(units).expect("amount"),
            pubkey_hash: PubkeyHash::from_bytes([tag; 20]),
            height: 1,
            is_coinbase: false,
        },
        confirmations: 1,
    }
}

fn target(units: u64, fee_rate: u64) -> Target {
    Target {
        amount: Amount::from_units(units).expect("amount"),
        outputs: 1,
        fee_rate: FeeRate::per_byte(fee_rate),
        recipients_pay: false,
    }
}

fn values(selection: &Selection) -> Vec<u64> {
    selection
        .coins
        .iter()
        .map(|c| c.coin.value.units())
        .collect()
}

#[test]
fn no_change_wins_then_the_smallest_that_covers_then_the_largest_ones() {
    let coins = [
        coin(1, 10 * COIN),
        coin(2, 50 * COIN),
        coin(3, 20 * COIN),
        coin(4, 30 * COIN),
    ];
    let pick = |units| select_coins(&coins, &target(units, 0)).expect("enough");
    assert_eq!(values(&pick(20 * COIN)), [20 * COIN]);
    assert_eq!(pick(20 * COIN).change, None);
    assert_eq!(values(&pick(21 * COIN)), [30 * COIN]);
    assert_eq!(pick(21 * COIN).change, Amount::from_units(9 * COIN).ok());
    assert_eq!(values(&pick(60 * COIN)), [50 * COIN, 10 * COIN]);
    assert_eq!(pick(60 * COIN).change, None);
    assert_eq!(values(&pick(61 * COIN)), [50 * COIN, 30 * COIN]);
    assert_eq!(
        values(&pick(110 * COIN)),
        [50 * COIN, 30 * COIN, 20 * COIN, 10 * COIN]
    );
}

/// The recipients get what is asked for less the fee, and change is what the coins are over.
#[test]
fn recipients_can_pay_the_fee() {
    let coins = [coin(1, 50_000), coin(2, 20_000)];
    let subtracted = |units| Target {
        recipients_pay: true,
        ..target(units, 10)
    };
    let exact = select_coins(&coins, &subtracted(70_000)).expect("enough");
    assert_eq!(exact.fee.units(), 10 * tx_bytes(2, 1).expect("small"));
    assert_eq!(exact.change, None);
    let less = select_coins(&coins, &subtracted(45_000)).expect("enough");
    assert_eq!(less.fee.units(), 10 * tx_bytes(1, 2).expect("small"));
    assert_eq!(less.change.map(Amount::units), Some(5_000));
    // Change would be dust: the recipients have it, as part of the fee that they need not pay.
    let dust = select_coins(&coins, &subtracted(49_900)).expect("enough");
    assert_eq!(dust.change, None);
    assert_eq!(dust.fee.units(), 10 * tx_bytes(1, 1).expect("small") - 100);
}

#[test]
fn fixed_coins_are_used_first_and_others_only_if_needed() {
    let fixed = [coin(1, 30_000), coin(2, 1_000)];
    let others = [coin(3, 50_000), coin(4, 8_000)];
    let pick = |units| select_with(&fixed, &others, &target(units, 0)).expect("enough");
    assert_eq!(values(&pick(10_000)), [30_000, 1_000]);
    assert_eq!(values(&pick(39_000)), [30_000, 1_000, 8_000]);
    assert_eq!(values(&pick(40_000)), [30_000, 1_000, 50_000]);
    let twice = select_with(&fixed, &fixed, &target(1, 0));
    assert!(matches!(twice, Err(PaymentError::DuplicateCoin(_))));
}

/// The walk-through: 50 of 50 can be sent at rate 0, 51 cannot.
#[test]
fn all_can_be_sent_and_no_more() {
    let coins = [coin(1, 50 * COIN)];
    let all = select_coins(&coins, &target(50 * COIN, 0)).expect("enough");
    assert_eq!((all.fee, all.change), (Amount::ZERO, None));
    let error = select_coins(&coins, &target(51 * COIN, 0)).expect_err("too much");
    let (available, needed) = (
        coins[0].coin.value,
        Amount::from_units(51 * COIN).expect("amount"),
    );
    assert_eq!(
        error.to_string(),
        PaymentError::NotEnoughFunds { available, needed }.to_string()
    );
    assert!(matches!(
        select_coins(&[], &target(1, 0)),
        Err(PaymentError::NotEnoughFunds { .. })
    ));
}

#[test]
fn change_at_the_dust_limit_is_made_and_below_it_is_not() {
    let with_rest = |rest| select_coins(&[coin(1, COIN + rest)], &target(COIN, 0)).expect("enough");
    assert_eq!(
        with_rest(DUST_LIMIT).change,
        Amount::from_units(DUST_LIMIT).ok()
    );
    assert_eq!(with_rest(DUST_LIMIT - 1).change, None);
    assert_eq!(with_rest(DUST_LIMIT - 1).fee.units(), DUST_LIMIT - 1);
}

#[test]
fn absurd_input_is_named() {
    let coins = [coin(1, 50 * COIN)];
    let refused = |target| select_coins(&coins, &target).expect_err("refused");
    assert!(matches!(
        refused(target(1, u64::MAX)),
        PaymentError::FeeRateTooHigh { .. }
    ));
    assert!(matches!(
        refused(target(Amount::MAX.units(), 1)),
        PaymentError::SumOverflow
    ));
    let many = Target {
        outputs: u64::MAX - 1,
        ..target(1, 0)
    };
    assert!(matches!(refused(many), PaymentError::TooLarge { .. }));
    let twice = select_coins(&[coins[0], coins[0]], &target(1, 0));
    assert!(matches!(twice, Err(PaymentError::DuplicateCoin(point)) if point == coins[0].outpoint));
}

#[test]
fn more_inputs_than_fit_a_transaction_are_refused() {
    let coins: Vec<_> = (0..800_u32)
        .map(|vout| {
            let mut coin = coin(1, COIN);
            coin.outpoint.vout = vout;
            coin
        })
        .collect();
    assert!(select_coins(&coins, &target(600 * COIN, 1)).is_ok());
    let error = select_coins(&coins, &target(790 * COIN, 1)).expect_err("refused");
    assert!(matches!(error, PaymentError::TooLarge { .. }), "{error}");
    let error = select_coins(&coins, &target(801 * COIN, 1)).expect_err("refused");
    assert!(
        matches!(error, PaymentError::NotEnoughFunds { .. }),
        "{error}"
    );
}

#[test]
fn coins_that_cost_more_than_they_bring_stay() {
    let coins = [coin(1, 100_000), coin(2, 1_000), coin(3, 90_000)];
    let chosen = select_coins(&coins, &target(150_000, 10)).expect("enough");
    assert_eq!(values(&chosen), [100_000, 90_000]);
    let error = select_coins(&coins, &target(187_000, 10)).expect_err("too much");
    assert!(matches!(error, PaymentError::NotEnoughFunds { .. }));
}

fn coins_strategy() -> impl Strategy<Value = Vec<WalletCoin>> {
    let value = prop_oneof![1..2_000_u64, 1..COIN, 1..50 * COIN];
    proptest::collection::vec((value, 0..5_u32), 0..30).prop_map(|values| {
        let tags = 0_u8..;
        tags.zip(values)
            .map(|(tag, (units, confirmations))| WalletCoin {
                confirmations,
                ..coin(tag, units)
            })
            .collect()
    })
}

proptest! {
    /// The laws of every choice: the sums agree, the fee pays for the size, change is no dust, no coin is used
    /// twice or invented, no chosen coin could be left out, and the order of the input does not matter.
    #[test]
    fn laws(
        coins in coins_strategy(), amount in 1..100 * COIN, fee_rate in 0..200_u64,
        outputs in 1..5_u64, rotate in 0..30_usize,
    ) {
        let target = Target { outputs, ..target(amount, fee_rate) };
        let result = select_coins(&coins, &target);

        let mut other_order = coins.clone();
        if !other_order.is_empty() {
            let by = rotate % other_order.len();
            other_order.rotate_left(by);
        }
        let again = select_coins(&other_order, &target);
        prop_assert_eq!(result.as_ref().ok(), again.as_ref().ok());

        match result {
            Ok(chosen) => {
                let sum: u64 = values(&chosen).iter().sum();
                let change = chosen.change.map_or(0, Amount::units);
                prop_assert_eq!(sum, amount + chosen.fee.units() + change);
                let inputs = count(&chosen.coins);
                let made = outputs + u64::from(chosen.change.is_some());
                prop_assert!(chosen.fee.units() >= tx_bytes(inputs, made).expect("small") * fee_rate);
                prop_assert!(chosen.change.is_none_or(|change| change.units() >= DUST_LIMIT));
                // Without change, no more is lost than a dust output and its bytes.
                let bare = tx_bytes(inputs, outputs).expect("small") * fee_rate;
                let change_costs = (OUTPUT_BYTES + INPUT_BYTES + 2) * fee_rate;
                prop_assert!(chosen.fee.units() < bare + DUST_LIMIT.max(change_costs) + 36 * fee_rate + 1);
                let points: HashSet<_> = chosen.coins.iter().map(|c| c.outpoint).collect();
                prop_assert_eq!(points.len(), chosen.coins.len());
                prop_assert!(chosen.coins.iter().all(|c| coins.contains(c)));
                let least = values(&chosen).iter().min().copied().unwrap_or(0);
                if chosen.coins.len() > 1 {
                    let bare_less = tx_bytes(inputs - 1, outputs).expect("small") * fee_rate;
                    prop_assert!(sum - least < amount + bare_less);
                }
            }
            Err(PaymentError::NotEnoughFunds { available, needed }) => {
                let sum: u64 = coins.iter().map(|c| c.coin.value.units()).sum();
                prop_assert_eq!(available.units(), sum);
                // Even the coins worth their bytes do not cover it.
                let worth: Vec<u64> = coins.iter().map(|c| c.coin.value.units())
                    .filter(|units| *units > INPUT_BYTES * fee_rate).collect();
                let inputs = u64::try_from(worth.len()).expect("few").max(1);
                let cost = amount + tx_bytes(inputs, outputs).expect("small") * fee_rate;
                prop_assert!(worth.iter().sum::<u64>() < cost);
                prop_assert!(needed.units() >= amount);
            }
            Err(other) => prop_assert!(false, "{other}"),
        }
    }
}
