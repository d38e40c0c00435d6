//! Amounts of money in base units (1 coin = 10^8 units).

use std::fmt;
use std::iter;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Base units in one coin.
pub const COIN: u64 = 100_000_000;

/// The largest amount that can exist: 21 million coins (Bitcoin Core, `consensus/amount.h`).
pub const MAX_MONEY: u64 = 21_000_000 * COIN;

/// Decimals of a coin.
const DECIMALS: usize = 8;

/// An amount between 0 and [`MAX_MONEY`], in base units.
///
/// # Invariants
/// The value never exceeds [`MAX_MONEY`]; arithmetic is checked and says so by returning `None`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Amount(u64);

/// Why a number or a text is not an amount.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// More base units than can exist.
    #[error("{units} base units are more than can exist (at most {MAX_MONEY})")]
    TooLarge {
        /// What was found, in base units.
        units: u64,
    },
    /// A text above the supply.
    #[error("'{0}' is more than can exist (at most 21000000 coins)")]
    TextTooLarge(String),
    /// A negative text.
    #[error("'{0}' is negative: expected an amount of coins such as 0.5")]
    Negative(String),
    /// More than eight decimals.
    #[error("'{0}' has more than 8 decimals: the smallest amount is 0.00000001")]
    TooManyDecimals(String),
    /// Anything else.
    #[error("'{0}' is not an amount: expected coins as a decimal number such as 12 or 0.5")]
    NotANumber(String),
}

impl Amount {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// All the money that can exist.
    pub const MAX: Self = Self(MAX_MONEY);

    /// An amount of `units` base units.
    ///
    /// # Errors
    /// [`AmountError::TooLarge`] above [`MAX_MONEY`].
    pub const fn from_units(units: u64) -> Result<Self, AmountError> {
        if units > MAX_MONEY {
            return Err(AmountError::TooLarge { units });
        }
        Ok(Self(units))
    }

    /// The amount in base units.
    pub const fn units(self) -> u64 {
        self.0
    }

    /// The sum, unless it exceeds [`MAX_MONEY`].
    pub fn checked_add(self, other: Self) -> Option<Self> {
        Self::from_units(self.0.checked_add(other.0)?).ok()
    }

    /// The difference, unless it would be negative.
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).map(Self)
    }

    /// The sum of many amounts, unless it exceeds [`MAX_MONEY`].
    pub fn checked_sum(amounts: impl IntoIterator<Item = Self>) -> Option<Self> {
        amounts
            .into_iter()
            .try_fold(Self::ZERO, |sum, amount| sum.checked_add(amount))
    }

    /// Coins with all eight decimals (`50.00000000`), the form of JSON answers.
    pub fn to_decimal_string8(self) -> String {
        format!("{}.{:08}", self.0 / COIN, self.0 % COIN)
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.to_decimal_string8();
        f.pad(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

impl FromStr for Amount {
    type Err = AmountError;

    fn from_str(text: &str) -> Result<Self, AmountError> {
        let shown = || text.chars().take(40).collect::<String>();
        if text.starts_with('-') {
            return Err(AmountError::Negative(shown()));
        }
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() && fraction.is_empty() || !digits(whole) || !digits(fraction) {
            return Err(AmountError::NotANumber(shown()));
        }
        let fraction = fraction.trim_end_matches('0');
        if fraction.len() > DECIMALS {
            return Err(AmountError::TooManyDecimals(shown()));
        }
        let padded: String = whole
            .chars()
            .chain(fraction.chars())
            .chain(iter::repeat_n('0', DECIMALS - fraction.len()))
            .collect();
        padded
            .parse::<u64>()
            .ok()
            .and_then(|units| Self::from_units(units).ok())
            .ok_or_else(|| AmountError::TextTooLarge(shown()))
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.0)
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_units(u64::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// The value of an output as it was received: any 64-bit number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct UncheckedAmount(pub u64);

impl UncheckedAmount {
    /// The amount, if there can be so much money.
    ///
    /// # Errors
    /// [`AmountError::TooLarge`] above [`MAX_MONEY`].
    pub const fn check(self) -> Result<Amount, AmountError> {
        Amount::from_units(self.0)
    }
}

impl From<Amount> for UncheckedAmount {
    fn from(amount: Amount) -> Self {
        Self(amount.units())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn refused_texts_say_why() {
        for (text, error) in [
            ("-1", AmountError::Negative("-1".into())),
            (
                "0.123456789",
                AmountError::TooManyDecimals("0.123456789".into()),
            ),
            ("21000001", AmountError::TextTooLarge("21000001".into())),
            (
                "99999999999999999999999",
                AmountError::TextTooLarge("99999999999999999999999".into()),
            ),
            ("", AmountError::NotANumber(String::new())),
            (".", AmountError::NotANumber(".".into())),
            ("1e3", AmountError::NotANumber("1e3".into())),
            ("+1", AmountError::NotANumber("+1".into())),
            ("1.2.3", AmountError::NotANumber("1.2.3".into())),
        ] {
            assert_eq!(text.parse::<Amount>(), Err(error), "{text}");
        }
    }

    #[test]
    fn texts_are_trimmed() {
        assert_eq!(Amount(50 * COIN).to_string(), "50");
        assert_eq!(Amount(COIN / 2).to_string(), "0.5");
        assert_eq!(Amount::ZERO.to_string(), "0");
        assert_eq!(".5".parse::<Amount>().unwrap(), Amount(COIN / 2));
    }

    proptest! {
        #[test]
        fn text_and_back_is_the_same(units in 0..=MAX_MONEY) {
            let amount = Amount(units);
            prop_assert_eq!(amount.to_string().parse::<Amount>().unwrap(), amount);
            prop_assert_eq!(amount.to_decimal_string8().parse::<Amount>().unwrap(), amount);
        }
    }
}
