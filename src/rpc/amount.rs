//! Amounts in JSON: exact decimals both ways, never a floating-point number.

use serde_json::{Number, Value};

use crate::primitives::{Amount, AmountError};

/// An exponent beyond this is no amount: 21000000 has 8 digits, a base unit is at 1e-8, and nobody writes more zeros.
const MAX_EXPONENT: i32 = 40;

/// Coins with eight decimals, as a JSON number.
pub(super) fn amount(amount: Amount) -> Value {
    let text = amount.to_decimal_string8();
    let number: Number = text
        .parse()
        .expect("digits around a point are a JSON number");
    Value::Number(number)
}

/// Coins with eight decimals, of base units that may be less than nothing.
pub(super) fn signed_amount(units: i128) -> Value {
    let whole = u64::try_from(units.unsigned_abs()).unwrap_or(u64::MAX);
    let value = Amount::from_units(whole).unwrap_or(Amount::MAX);
    let sign = if units < 0 { "-" } else { "" };
    let number: Number = format!("{sign}{}", value.to_decimal_string8())
        .parse()
        .expect("a sign before digits around a point is a JSON number");
    Value::Number(number)
}

/// Reads coins: a plain decimal, or JSON's scientific notation (`1e-8`), which some clients write.
///
/// # Errors
/// As [`Amount`]'s `FromStr`.
pub(super) fn parse_amount(text: &str) -> Result<Amount, AmountError> {
    let Some((mantissa, exponent)) = text.split_once(['e', 'E']) else {
        return text.parse();
    };
    let not_a_number = || AmountError::NotANumber(text.chars().take(40).collect());
    let exponent: i32 = exponent.parse().map_err(|_| not_a_number())?;
    if exponent.abs() > MAX_EXPONENT || mantissa.len() > 64 {
        return Err(not_a_number());
    }
    shift(mantissa, exponent).ok_or_else(not_a_number)?.parse()
}

/// Moves the decimal point by `places`, to the right if positive.
fn shift(mantissa: &str, places: i32) -> Option<String> {
    let (sign, digits) = match mantissa.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", mantissa),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let is_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !is_digits(whole) || !is_digits(fraction) {
        return None;
    }
    let count = usize::try_from(places.unsigned_abs()).ok()?;
    let zeros = "0".repeat(count);
    let shifted = if places >= 0 {
        let all = format!("{fraction}{zeros}");
        let (left, right) = all.split_at(count);
        format!("{sign}{whole}{left}.{right}")
    } else {
        let all = format!("{zeros}{whole}");
        let (left, right) = all.split_at(all.len() - count);
        format!("{sign}{left}.{right}{fraction}")
    };
    Some(shifted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::primitives::MAX_MONEY;
    use proptest::prelude::*;

    #[test]
    fn scientific_notation_is_exact() {
        for (text, units) in [
            ("1e-8", 1),
            ("1E0", 100_000_000),
            ("1.5e+1", 1_500_000_000),
            ("0.5e1", 500_000_000),
            ("21e6", MAX_MONEY),
            ("100000000e-8", 100_000_000),
            ("0e40", 0),
            ("12", 1_200_000_000),
            ("0.00000001", 1),
        ] {
            assert_eq!(parse_amount(text).map(Amount::units), Ok(units), "{text}");
        }
        for text in [
            "1e-9",
            "1e",
            "e1",
            "1e99999999999",
            "-1e0",
            "1e1e1",
            "0x1",
            "NaN",
            "1e400",
            ".e1",
            "2.1e7x",
            "22e6",
        ] {
            assert!(parse_amount(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_amount_survives_json(units in 0..=MAX_MONEY) {
            let before = Amount::from_units(units).expect("in range");
            let text = serde_json::to_string(&amount(before)).expect("a number is JSON");
            let read: Value = serde_json::from_str(&text).expect("it was just written");
            prop_assert_eq!(parse_amount(&read.to_string()), Ok(before));
            prop_assert_eq!(text.split_once('.').map(|(_, decimals)| decimals.len()), Some(8));
        }
    }
}
