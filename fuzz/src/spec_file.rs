//! Chain spec files: the input is the text.

use quarry::consensus::{ChainSpec, Retarget, SpecError};
use quarry::primitives::{Block, Decode, Encode, MAX_MONEY, PubkeyHash};

use crate::memory::bounded;

/// Bytes of memory for each byte of text: the parser's tree of it, and an error that shows the place.
const FACTOR: u64 = 1000;
const FIXED: u64 = 256 << 10;
/// On a network with Bitcoin Core's easiest target a nonce fits with odds of one half.
const NONCES: u32 = 8;

/// Runs one input. A text that is right but for the work of its first block gets a nonce that fits, where one is soon found.
pub fn run(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    match read(text) {
        Ok(spec) => check(&spec),
        Err(SpecError::GenesisWork) => {
            if let Some(spec) = (0..NONCES).find_map(|nonce| with_nonce(text, nonce)) {
                check(&spec);
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

fn read(text: &str) -> Result<ChainSpec, SpecError> {
    bounded("spec", text.len(), FACTOR, FIXED, || {
        ChainSpec::from_toml(text)
    })
}

fn with_nonce(text: &str, nonce: u32) -> Option<ChainSpec> {
    let mut table: toml::Table = text.parse().ok()?;
    let genesis = table.get_mut("genesis")?.as_table_mut()?;
    genesis.insert("nonce".to_owned(), i64::from(nonce).into());
    ChainSpec::from_toml(&table.to_string()).ok()
}

/// What every part of the program relies on in a spec that was taken.
fn check(spec: &ChainSpec) {
    let again = ChainSpec::from_toml(&spec.to_toml()).expect("what is written is read");
    assert_eq!(again, *spec);
    assert_eq!(again.chain_id(), spec.chain_id());
    assert_eq!(again.differences(spec), [""; 0]);
    let genesis = spec.genesis_block();
    assert_eq!(
        Block::from_bytes(&genesis.to_bytes()).as_ref(),
        Ok(&genesis)
    );
    assert_eq!(
        genesis.compute_merkle_root(),
        (genesis.header.merkle_root, false)
    );
    let target = spec
        .genesis
        .bits
        .to_target()
        .expect("a spec's target is one");
    assert!(target.is_met_by(&genesis.hash()) && target <= spec.pow_limit_target());
    assert!((1..=32).contains(&spec.name.len()) && !spec.name.contains(['/', '.', '\\']));
    assert!(spec.target_spacing > 0 && spec.halving_interval > 0 && spec.coinbase_maturity > 0);
    assert!((1_000..=4_000_000).contains(&spec.max_block_size));
    let supply: u128 = (0..64)
        .map(|halving: u32| {
            let height = halving.saturating_mul(spec.halving_interval);
            u128::from(spec.subsidy_at(height).units()) * u128::from(spec.halving_interval)
        })
        .sum();
    assert!(supply <= u128::from(MAX_MONEY), "{supply} units in all");
    if let Retarget::Exponential {
        half_life,
        stall_after,
        stall_doubling,
    } = spec.retarget
    {
        assert!(half_life > 0 && stall_doubling > 0 && stall_after > spec.max_future_drift);
    }
}

/// The built-in specs, one with a public key, and texts that break one rule each.
pub fn seeds() -> Vec<(String, Vec<u8>)> {
    let easy = ChainSpec {
        name: "easy-1".to_owned(),
        retarget: Retarget::Exponential {
            half_life: 600,
            stall_after: 7_201,
            stall_doubling: 60,
        },
        ..ChainSpec::regtest()
    };
    let mut paid = easy.clone();
    paid.genesis.payout =
        quarry::consensus::GenesisPayout::KeyHash(PubkeyHash::from_bytes([3; 20]));
    let dev = ChainSpec::dev().to_toml();
    let mut seeds = vec![
        ("dev", dev.clone()),
        ("regtest", ChainSpec::regtest().to_toml()),
        ("easy", easy.to_toml()),
        ("easy-paid", paid.to_toml()),
        ("empty", String::new()),
        ("comments", format!("# a comment\n{dev}\n# another")),
    ];
    for (name, from, to) in [
        ("unknown-field", "name = ", "colour = 1\nname = "),
        ("name", "\"dev\"", "\"../x\""),
        ("subsidy", "\"50\"", "\"50.000000001\""),
        ("maturity", "coinbase_maturity = 1", "coinbase_maturity = 0"),
        ("rule", "\"exponential\"", "\"fixed\""),
        ("bits", "1e07ffff", "1e80ffff"),
    ] {
        assert!(dev.contains(from), "the form of a spec has changed: {from}");
        seeds.push((name, dev.replacen(from, to, 1)));
    }
    seeds
        .into_iter()
        .map(|(name, text)| (name.to_owned(), text.into_bytes()))
        .collect()
}
