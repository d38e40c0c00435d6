//! The file form of a chain spec: TOML, every field named, unknown fields refused.

use serde::{Deserialize, Serialize};

use super::genesis::MAX_MESSAGE_LEN;
use super::spec::{ChainSpec, GenesisPayout, GenesisSpec, Retarget};
use crate::keys::{Address, AddressError};
use crate::primitives::{Amount, CompactTarget, MAX_MONEY};

/// Why a text is not a chain spec.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// Not TOML, an unknown or missing field, or a value of another type.
    #[error("{0}")]
    Syntax(String),
    /// A value out of its range.
    #[error("field '{field}' is {found}: expected {expected}")]
    Value {
        /// The field, with its table.
        field: &'static str,
        /// What was given.
        found: String,
        /// What would be right.
        expected: String,
    },
    /// The payout is not an address of the network.
    #[error("field 'genesis.payout': {0}")]
    Payout(AddressError),
    /// The first block's hash does not meet its target.
    #[error(
        "the genesis block does not meet its target: 'genesis.nonce' does not fit the other fields (was one of them edited?)"
    )]
    GenesisWork,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SpecFile {
    name: String,
    target_spacing: u32,
    pow_limit: String,
    subsidy: String,
    halving_interval: u32,
    coinbase_maturity: u32,
    max_block_size: u32,
    max_block_sigops: u32,
    max_future_drift: u32,
    address_version: u8,
    wif_version: u8,
    coin_type: u32,
    retarget: RetargetTable,
    genesis: GenesisTable,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "rule", deny_unknown_fields)]
enum RetargetTable {
    Fixed,
    Exponential {
        half_life: u32,
        stall_after: u32,
        stall_doubling: u32,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct GenesisTable {
    time: u32,
    bits: String,
    nonce: u32,
    message: String,
    payout: String,
}

impl ChainSpec {
    /// Reads a spec and checks every field.
    ///
    /// # Errors
    /// [`SpecError`], which names the field and what would be right.
    pub fn from_toml(text: &str) -> Result<Self, SpecError> {
        let file: SpecFile = toml::from_str(text)
            .map_err(|error| SpecError::Syntax(error.to_string().trim_end().to_owned()))?;
        let spec = Self {
            genesis: GenesisSpec {
                time: file.genesis.time,
                bits: compact("genesis.bits", &file.genesis.bits)?,
                nonce: file.genesis.nonce,
                message: file.genesis.message,
                payout: payout(&file.genesis.payout, file.address_version)?,
            },
            pow_limit: compact("pow_limit", &file.pow_limit)?,
            subsidy: file
                .subsidy
                .parse::<Amount>()
                .map_err(|error| value("subsidy", &file.subsidy, &error.to_string()))?,
            retarget: match file.retarget {
                RetargetTable::Fixed => Retarget::Fixed,
                RetargetTable::Exponential {
                    half_life,
                    stall_after,
                    stall_doubling,
                } => Retarget::Exponential {
                    half_life,
                    stall_after,
                    stall_doubling,
                },
            },
            name: file.name,
            target_spacing: file.target_spacing,
            halving_interval: file.halving_interval,
            coinbase_maturity: file.coinbase_maturity,
            max_block_size: file.max_block_size,
            max_block_sigops: file.max_block_sigops,
            max_future_drift: file.max_future_drift,
            address_version: file.address_version,
            wif_version: file.wif_version,
            coin_type: file.coin_type,
        };
        spec.check()?;
        Ok(spec)
    }

    /// The file form.
    ///
    /// # Panics
    /// Never: the form has only texts, numbers and tables.
    pub fn to_toml(&self) -> String {
        let file = SpecFile {
            name: self.name.clone(),
            target_spacing: self.target_spacing,
            pow_limit: self.pow_limit.to_string(),
            subsidy: self.subsidy.to_string(),
            halving_interval: self.halving_interval,
            coinbase_maturity: self.coinbase_maturity,
            max_block_size: self.max_block_size,
            max_block_sigops: self.max_block_sigops,
            max_future_drift: self.max_future_drift,
            address_version: self.address_version,
            wif_version: self.wif_version,
            coin_type: self.coin_type,
            retarget: match self.retarget {
                Retarget::Fixed => RetargetTable::Fixed,
                Retarget::Exponential {
                    half_life,
                    stall_after,
                    stall_doubling,
                } => RetargetTable::Exponential {
                    half_life,
                    stall_after,
                    stall_doubling,
                },
            },
            genesis: GenesisTable {
                time: self.genesis.time,
                bits: self.genesis.bits.to_string(),
                nonce: self.genesis.nonce,
                message: self.genesis.message.clone(),
                payout: match &self.genesis.payout {
                    GenesisPayout::KeyHash(hash) => {
                        Address::new(*hash, self.address_version).to_string()
                    }
                    GenesisPayout::PublicKey(key) => hex::encode(key),
                },
            },
        };
        toml::to_string_pretty(&file).expect("the form has only texts, numbers and tables")
    }

    fn check(&self) -> Result<(), SpecError> {
        let name_char = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
        if !(1..=32).contains(&self.name.len()) || !self.name.bytes().all(name_char) {
            let expected = "1 to 32 of the characters a-z, 0-9 and -";
            return Err(value("name", &self.name, expected));
        }
        if self.genesis.message.len() > MAX_MESSAGE_LEN {
            let found = format!("{} bytes long", self.genesis.message.len());
            return Err(value("genesis.message", &found, "at most 75 bytes"));
        }
        range("target_spacing", self.target_spacing, 1, 86_400)?;
        range("halving_interval", self.halving_interval, 1, u32::MAX)?;
        range("coinbase_maturity", self.coinbase_maturity, 1, 100_000)?;
        range("max_block_size", self.max_block_size, 1_000, 4_000_000)?;
        range("max_block_sigops", self.max_block_sigops, 1, 200_000)?;
        range("max_future_drift", self.max_future_drift, 1, 86_400)?;
        range("coin_type", self.coin_type, 0, 0x7fff_ffff)?;
        if let Retarget::Exponential {
            half_life,
            stall_after,
            stall_doubling,
        } = self.retarget
        {
            range(
                "retarget.half_life",
                half_life,
                self.target_spacing,
                31_536_000,
            )?;
            range("retarget.stall_doubling", stall_doubling, 1, 86_400)?;
            // A miner may date a block ahead by the drift; were that enough for an eased target, it would take one at will.
            // With less room between the two, a miner gains by dating blocks so late that the stall rule eases the next
            // (docs/difficulty.md): six spacings are what one waits once in four hundred blocks.
            let waits = self.target_spacing.saturating_mul(6);
            range(
                "retarget.stall_after",
                stall_after,
                self.max_future_drift.saturating_add(waits),
                31_536_000,
            )?;
        }
        // The halvings add up to less than twice the first interval.
        let supply = u128::from(self.subsidy.units()) * u128::from(self.halving_interval) * 2;
        if supply > u128::from(MAX_MONEY) {
            let expected = "subsidy × halving_interval × 2 to be at most 21000000 coins";
            return Err(value("subsidy", &self.subsidy.to_string(), expected));
        }
        let limit = target("pow_limit", self.pow_limit)?;
        let genesis = target("genesis.bits", self.genesis.bits)?;
        if genesis > limit {
            let expected = format!("not easier than pow_limit ({})", self.pow_limit);
            return Err(value(
                "genesis.bits",
                &self.genesis.bits.to_string(),
                &expected,
            ));
        }
        if !genesis.is_met_by(&self.genesis_block().hash()) {
            return Err(SpecError::GenesisWork);
        }
        Ok(())
    }
}

fn value(field: &'static str, found: &str, expected: &str) -> SpecError {
    SpecError::Value {
        field,
        found: format!("'{}'", found.chars().take(80).collect::<String>()),
        expected: expected.to_owned(),
    }
}

fn range(field: &'static str, found: u32, least: u32, most: u32) -> Result<(), SpecError> {
    if (least..=most).contains(&found) {
        return Ok(());
    }
    Err(value(
        field,
        &found.to_string(),
        &format!("{least} to {most}"),
    ))
}

fn compact(field: &'static str, text: &str) -> Result<CompactTarget, SpecError> {
    let digits = text.len() == 8 && text.bytes().all(|b| b.is_ascii_hexdigit());
    u32::from_str_radix(text, 16)
        .ok()
        .filter(|_| digits)
        .map(CompactTarget)
        .ok_or_else(|| {
            value(
                field,
                text,
                "a compact target of 8 hexadecimal digits such as 1e07ffff",
            )
        })
}

fn target(
    field: &'static str,
    bits: CompactTarget,
) -> Result<crate::primitives::Target, SpecError> {
    bits.to_target().map_err(|error| {
        value(
            field,
            &bits.to_string(),
            &format!("a valid target ({error})"),
        )
    })
}

fn payout(text: &str, version: u8) -> Result<GenesisPayout, SpecError> {
    let mut key = [0; 65];
    if hex::decode_to_slice(text, &mut key).is_ok() {
        return Ok(GenesisPayout::PublicKey(key));
    }
    Address::parse(text, version)
        .map(|address| GenesisPayout::KeyHash(address.pubkey_hash()))
        .map_err(SpecError::Payout)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::primitives::PubkeyHash;

    #[test]
    fn file_and_back_is_the_same() {
        let own = ChainSpec::new_network("mine", PubkeyHash::from_bytes([1; 20]), 1_800_000_000);
        for spec in [ChainSpec::dev(), ChainSpec::regtest(), own] {
            assert_eq!(ChainSpec::from_toml(&spec.to_toml()).as_ref(), Ok(&spec));
        }
    }

    #[test]
    fn damage_is_named() {
        let good = ChainSpec::dev().to_toml();
        for (from, to, field) in [
            ("name = \"dev\"", "name = \"De v\"", "'name'"),
            (
                "target_spacing = 10",
                "target_spacing = 0",
                "'target_spacing'",
            ),
            (
                "target_spacing = 10",
                "target_spacing = \"ten\"",
                "target_spacing",
            ),
            (
                "target_spacing = 10",
                "target_spaceing = 10",
                "target_spaceing",
            ),
            (
                "pow_limit = \"1e07ffff\"",
                "pow_limit = \"1e07fff\"",
                "'pow_limit'",
            ),
            (
                "pow_limit = \"1e07ffff\"",
                "pow_limit = \"1d07ffff\"",
                "'genesis.bits'",
            ),
            ("subsidy = \"50\"", "subsidy = \"51\"", "'subsidy'"),
            ("subsidy = \"50\"", "subsidy = \"-1\"", "negative"),
            (
                "stall_after = 120",
                "stall_after = 60",
                "'retarget.stall_after'",
            ),
            ("time = 1767225600", "time = 1767225601", "genesis.nonce"),
            ("coin_type = 1", "", "coin_type"),
        ] {
            assert!(good.contains(from), "{from}");
            let error = ChainSpec::from_toml(&good.replacen(from, to, 1))
                .unwrap_err()
                .to_string();
            assert!(error.contains(field), "{to}: {error}");
        }
        assert!(ChainSpec::from_toml("").is_err());
        assert!(ChainSpec::from_toml("\u{0}\u{1}").is_err());
    }
}
