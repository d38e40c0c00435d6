//! How a check ends that finds its rule broken; with the feature `rule-switches`, one rule at a time can be switched off.
//!
//! A test that compares this chain with another implementation must be able to fail: `tests/oracle` switches each rule off in
//! turn and demands that the comparison notices. Without the feature, which no release has, [`broken`] is `Err` and nothing more.
//!
//! A switched-off rule is skipped wherever the rules are applied, and everything else goes on. Where the rest needs what the rule
//! would have secured, something harmless stands in for it. A chain that took a block so is to be thrown away: it may not be able
//! to disconnect that block.

#[cfg(feature = "rule-switches")]
use std::sync::{PoisonError, RwLock};

use super::error::RuleError;
use crate::keys::parse_script_sig;
use crate::primitives::{Amount, Coin, PubkeyHash, TxIn};

/// The name of the rule that is off.
#[cfg(feature = "rule-switches")]
static OFF: RwLock<Option<&'static str>> = RwLock::new(None);

/// Switches one rule off for the whole process, by the name of its [`RuleError`] variant, and the one before on again.
///
/// # Panics
/// Where no rule has that name.
#[cfg(feature = "rule-switches")]
pub fn switch_off(rule: Option<&'static str>) {
    if let Some(name) = rule {
        assert!(
            RuleError::NAMES.contains(&name),
            "there is no rule '{name}'"
        );
    }
    *OFF.write().unwrap_or_else(PoisonError::into_inner) = rule;
}

/// The verdict of a check that found its rule broken.
pub(super) fn broken(error: RuleError) -> Result<(), RuleError> {
    #[cfg(feature = "rule-switches")]
    if *OFF.read().unwrap_or_else(PoisonError::into_inner) == Some(error.name()) {
        return Ok(());
    }
    Err(error)
}

/// The same for a check whose result is needed afterwards: `stand_in` makes one where the rule is switched off.
pub(super) fn required<T>(
    result: Result<T, RuleError>,
    stand_in: impl FnOnce() -> T,
) -> Result<T, RuleError> {
    result.or_else(|error| broken(error).map(|()| stand_in()))
}

/// A coin that whoever signed `input` may spend at any time.
pub(super) fn stand_in_coin(input: &TxIn, value: Option<Amount>) -> Coin {
    let key = parse_script_sig(&input.script_sig);
    Coin {
        value: value.unwrap_or_default(),
        pubkey_hash: key.map_or(PubkeyHash::ZERO, |(_, key)| key.pubkey_hash()),
        height: 0,
        is_coinbase: false,
    }
}
