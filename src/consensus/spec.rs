//! The parameters of a network, and the two that are built in.

use crate::primitives::{Amount, Block, COIN, ChainId, CompactTarget, PubkeyHash, Target, sha256};

use super::genesis;

/// The version that new blocks carry: BIP9's form with no signals.
pub const BLOCK_VERSION: i32 = 0x2000_0000;

/// Magic bytes of Bitcoin Core's regtest (`kernel/chainparams.cpp`).
const REGTEST_MAGIC: [u8; 4] = [0xfa, 0xbf, 0xb5, 0xda];

/// The key that Bitcoin's genesis blocks pay to; its output is not P2PKH, so it never becomes a coin.
const BITCOIN_GENESIS_KEY: &str = "04678afdb0fe5548271967f1a67130b7105cd6a828e03909a67962e0ea1f61deb649f6bc3f4cef38c4f35504e51ec112de5c384df7ba0b8d578a4c702b6bf11d5f";

/// Everything that the nodes of one network must agree on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainSpec {
    /// The network's name, also of its data folder: 1 to 32 of `a-z`, `0-9`, `-`.
    pub name: String,
    /// The first block.
    pub genesis: GenesisSpec,
    /// The easiest target that is ever allowed.
    pub pow_limit: CompactTarget,
    /// The intended time between blocks, in seconds.
    pub target_spacing: u32,
    /// How the target follows the hash rate.
    pub retarget: Retarget,
    /// What the first blocks may create.
    pub subsidy: Amount,
    /// After how many blocks the subsidy halves.
    pub halving_interval: u32,
    /// How many blocks later a coinbase may be spent (1: in the next block).
    pub coinbase_maturity: u32,
    /// The largest block, in bytes.
    pub max_block_size: u32,
    /// The most signature operations in a block (one for each P2PKH output).
    pub max_block_sigops: u32,
    /// How far ahead of the local clock a block's time may be, in seconds.
    pub max_future_drift: u32,
    /// The version byte of addresses.
    pub address_version: u8,
    /// The version byte of exported secret keys.
    pub wif_version: u8,
    /// The coin type of BIP44 key paths (SLIP44).
    pub coin_type: u32,
}

/// What the first block is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GenesisSpec {
    /// Its time, in seconds since 1970.
    pub time: u32,
    /// Its target.
    pub bits: CompactTarget,
    /// The nonce that meets the target.
    pub nonce: u32,
    /// The text in its coinbase, at most 75 bytes.
    pub message: String,
    /// Whom it pays.
    pub payout: GenesisPayout,
}

/// Whom the first block pays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GenesisPayout {
    /// A key hash: the output is a coin like any other.
    KeyHash(PubkeyHash),
    /// A bare uncompressed public key, as in Bitcoin's first block: not P2PKH, so nobody can ever spend it.
    PublicKey([u8; 65]),
}

/// How the target follows the hash rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retarget {
    /// Every block has the limit as its target, as on Bitcoin Core's regtest.
    Fixed,
    /// Exponential in the parent's solve time (the relative form of aserti3-2d), eased when a block is overdue.
    Exponential {
        /// Seconds ahead of (behind) schedule that double (halve) the difficulty.
        half_life: u32,
        /// Seconds after its parent from which a block's target is eased.
        stall_after: u32,
        /// Further seconds that double an eased target once more.
        stall_doubling: u32,
    },
}

impl ChainSpec {
    /// The default network: any two nodes that use it are one network.
    pub fn dev() -> Self {
        Self {
            name: "dev".into(),
            genesis: GenesisSpec {
                time: 1_767_225_600,
                bits: CompactTarget(0x1e07_ffff),
                nonce: 1_261_685,
                message: "Quarry dev network: coins of no value, blocks every 10 s".into(),
                payout: GenesisPayout::KeyHash(PubkeyHash::ZERO),
            },
            pow_limit: CompactTarget(0x1e07_ffff),
            target_spacing: 10,
            retarget: Retarget::Exponential {
                half_life: 120,
                stall_after: 120,
                stall_doubling: 10,
            },
            subsidy: Amount::from_units(50 * COIN).expect("50 coins are below the supply"),
            halving_interval: 210_000,
            coinbase_maturity: 1,
            max_block_size: 1_000_000,
            max_block_sigops: 20_000,
            max_future_drift: 60,
            address_version: 0,
            wif_version: 0x80,
            coin_type: 1,
        }
    }

    /// Bitcoin Core's regtest (`kernel/chainparams.cpp`, `CRegTestParams`).
    pub fn regtest() -> Self {
        let mut key = [0; 65];
        hex::decode_to_slice(BITCOIN_GENESIS_KEY, &mut key)
            .expect("the constant is 65 bytes of hex");
        Self {
            name: "regtest".into(),
            genesis: GenesisSpec {
                time: 1_296_688_602,
                bits: CompactTarget(0x207f_ffff),
                nonce: 2,
                message: "The Times 03/Jan/2009 Chancellor on brink of second bailout for banks"
                    .into(),
                payout: GenesisPayout::PublicKey(key),
            },
            pow_limit: CompactTarget(0x207f_ffff),
            target_spacing: 600,
            retarget: Retarget::Fixed,
            halving_interval: 150,
            coinbase_maturity: 100,
            max_future_drift: 7200,
            address_version: 0x6f,
            wif_version: 0xef,
            ..Self::dev()
        }
    }

    /// A new network with the parameters of [`ChainSpec::dev`] whose first block, found here, pays `payout`.
    ///
    /// `time` is in seconds since 1970. Takes about two million hashes.
    pub fn new_network(name: &str, payout: PubkeyHash, time: u32) -> Self {
        let mut spec = Self {
            name: name.into(),
            ..Self::dev()
        };
        spec.genesis.time = time;
        spec.genesis.message = format!("Quarry network {name}");
        spec.genesis.payout = GenesisPayout::KeyHash(payout);
        genesis::solve(&mut spec);
        spec
    }

    /// The identity of the network: SHA-256 of the canonical form, which names every field.
    pub fn chain_id(&self) -> ChainId {
        ChainId::from_bytes(sha256(self.canonical_form().as_bytes()))
    }

    /// The first block.
    pub fn genesis_block(&self) -> Block {
        genesis::block(self)
    }

    /// The bytes that mark a record in a block file: Core's on regtest, else the first four of the chain id.
    pub fn magic(&self) -> [u8; 4] {
        if *self == Self::regtest() {
            return REGTEST_MAGIC;
        }
        let id = self.chain_id().to_bytes();
        [id[0], id[1], id[2], id[3]]
    }

    /// What a block at `height` may create (Bitcoin Core, `GetBlockSubsidy`; BIP42: nothing after 64 halvings).
    pub fn subsidy_at(&self, height: u32) -> Amount {
        let halvings = height / self.halving_interval;
        let units = self.subsidy.units().checked_shr(halvings).unwrap_or(0);
        Amount::from_units(units).expect("a halved amount is below the amount")
    }

    /// The easiest target that is ever allowed.
    ///
    /// # Panics
    /// Where the spec was not checked: [`ChainSpec::from_toml`] and the built-in specs give only targets.
    pub fn pow_limit_target(&self) -> Target {
        self.pow_limit
            .to_target()
            .expect("a spec's limit is checked when it is read")
    }

    /// The fields in which two specs differ, one `field: this / other` each.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let (own, others) = (self.canonical_form(), other.canonical_form());
        let value = |line: &str| line.split_once('=').map(|(_, value)| value.to_owned());
        own.lines()
            .zip(others.lines())
            .filter(|(a, b)| a != b)
            .map(|(a, b)| {
                let field = a.split_once('=').map_or(a, |(field, _)| field);
                format!(
                    "{field}: {} / {}",
                    value(a).unwrap_or_default(),
                    value(b).unwrap_or_default()
                )
            })
            .collect()
    }

    /// Every field as one `name=value` line in a fixed order: what the chain id commits to.
    fn canonical_form(&self) -> String {
        let payout = match &self.genesis.payout {
            GenesisPayout::KeyHash(hash) => hash.to_string(),
            GenesisPayout::PublicKey(key) => hex::encode(key),
        };
        let (rule, half_life, stall_after, stall_doubling) = match self.retarget {
            Retarget::Fixed => ("fixed", 0, 0, 0),
            Retarget::Exponential {
                half_life,
                stall_after,
                stall_doubling,
            } => ("exponential", half_life, stall_after, stall_doubling),
        };
        [
            ("name", self.name.clone()),
            ("genesis.time", self.genesis.time.to_string()),
            ("genesis.bits", self.genesis.bits.to_string()),
            ("genesis.nonce", self.genesis.nonce.to_string()),
            ("genesis.message", hex::encode(&self.genesis.message)),
            ("genesis.payout", payout),
            ("pow_limit", self.pow_limit.to_string()),
            ("target_spacing", self.target_spacing.to_string()),
            ("retarget.rule", rule.to_owned()),
            ("retarget.half_life", half_life.to_string()),
            ("retarget.stall_after", stall_after.to_string()),
            ("retarget.stall_doubling", stall_doubling.to_string()),
            ("subsidy", self.subsidy.units().to_string()),
            ("halving_interval", self.halving_interval.to_string()),
            ("coinbase_maturity", self.coinbase_maturity.to_string()),
            ("max_block_size", self.max_block_size.to_string()),
            ("max_block_sigops", self.max_block_sigops.to_string()),
            ("max_future_drift", self.max_future_drift.to_string()),
            ("address_version", self.address_version.to_string()),
            ("wif_version", self.wif_version.to_string()),
            ("coin_type", self.coin_type.to_string()),
        ]
        .map(|(field, value)| format!("{field}={value}\n"))
        .concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::primitives::Decode;

    #[test]
    fn regtest_is_bitcoin_cores() {
        let genesis = ChainSpec::regtest().genesis_block();
        assert_eq!(
            genesis.hash().to_string(),
            "0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206"
        );
        assert_eq!(
            genesis.header.merkle_root.to_string(),
            "4a5e1e4baab89f3a32518a88c31bc87f618f76673e2cc77ab2127b7afdeda33b"
        );
        assert_eq!(
            genesis.compute_merkle_root(),
            (genesis.header.merkle_root, false)
        );
        assert_eq!(ChainSpec::regtest().magic(), [0xfa, 0xbf, 0xb5, 0xda]);
    }

    #[test]
    fn built_in_genesis_blocks_meet_their_targets() {
        for spec in [ChainSpec::dev(), ChainSpec::regtest()] {
            let hash = spec.genesis_block().hash();
            assert!(
                spec.genesis.bits.to_target().unwrap().is_met_by(&hash),
                "{} {hash}",
                spec.name
            );
            let bytes = crate::primitives::Encode::to_bytes(&spec.genesis_block());
            assert_eq!(Block::from_bytes(&bytes).unwrap(), spec.genesis_block());
        }
    }

    // B5: the halving boundaries of regtest, and BIP42's end of the subsidy.
    #[test]
    fn b05_subsidy_halves_and_ends() {
        let spec = ChainSpec::regtest();
        for (height, units) in [
            (149, 50 * COIN),
            (150, 25 * COIN),
            (299, 25 * COIN),
            (300, 25 * COIN / 2),
            (150 * 33 - 1, 1),
            (150 * 33, 0),
            (150 * 64, 0),
            (u32::MAX, 0),
        ] {
            assert_eq!(spec.subsidy_at(height).units(), units, "height {height}");
        }
    }

    #[test]
    fn every_difference_is_told_by_field() {
        let mut other = ChainSpec::dev();
        other.target_spacing = 60;
        other.genesis.time += 1;
        assert_eq!(
            ChainSpec::dev().differences(&other),
            [
                "genesis.time: 1767225600 / 1767225601",
                "target_spacing: 10 / 60"
            ]
        );
        assert_ne!(ChainSpec::dev().chain_id(), other.chain_id());
    }
}
