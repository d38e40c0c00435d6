//! `docs/mempool.md` says what the code does.

use std::collections::BTreeMap;

use crate::consensus::RuleError;
use crate::mempool::{Policy, RejectError};
use crate::primitives::{Amount, OutPoint, Txid};

const DOCUMENT: &str = include_str!("../../../docs/mempool.md");

/// The rows of the table whose head begins with `first`, as cells.
fn table(first: &str) -> Vec<Vec<&'static str>> {
    let lines = DOCUMENT
        .lines()
        .skip_while(|line| !line.starts_with(&format!("| {first} |")));
    let rows = lines.take_while(|line| line.starts_with('|')).skip(2);
    rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect())
        .collect()
}

#[test]
fn the_table_of_limits_has_the_defaults() {
    let policy = Policy::default();
    let found: BTreeMap<&str, &str> = table("limit")
        .iter()
        .map(|row| (row[0], row[1].split(' ').next().unwrap()))
        .collect();
    let limits = [
        ("minimum relay fee", policy.min_relay_fee),
        ("step of fees", policy.incremental_fee),
        ("largest transaction", policy.max_tx_size),
        (
            "signature operations of a transaction",
            policy.max_tx_sigops,
        ),
        ("smallest output", policy.dust_limit.units()),
        ("ancestors", policy.max_ancestors),
        ("descendants", policy.max_descendants),
        (
            "bytes of ancestors, of descendants",
            policy.max_package_size,
        ),
        (
            "ancestors after a reorganisation",
            policy.max_returning_ancestors,
        ),
        ("memory", policy.max_usage),
        ("expiry", policy.expiry),
        (
            "replaced transactions",
            crate::mempool::replace::MAX_REPLACED,
        ),
    ];
    assert_eq!(found.len(), limits.len());
    for (name, value) in limits {
        assert_eq!(found.get(name), Some(&value.to_string().as_str()), "{name}");
    }
}

/// One refusal of each kind but the rules of the chain. A new kind does not compile here until it is listed.
fn one_of_each() -> Vec<RejectError> {
    let (outpoint, txid, zero) = (OutPoint::NULL, Txid::ZERO, Amount::ZERO);
    let all = vec![
        RejectError::Coinbase,
        RejectError::NotFinal { lock_time: 0 },
        RejectError::MissingInputs { outpoint },
        RejectError::AlreadyInMempool,
        RejectError::AlreadyKnown,
        RejectError::Conflict {
            outpoint,
            other: txid,
        },
        RejectError::SpendsReplaced { parent: txid },
        RejectError::NewUnconfirmed { parent: txid },
        RejectError::ReplacementRate {
            found: 0,
            other: txid,
            rate: 0,
        },
        RejectError::ReplacementFee {
            fee: zero,
            required: zero,
        },
        RejectError::TooManyReplaced { found: 0, limit: 0 },
        RejectError::ReplacementInPackage { other: txid },
        RejectError::TooLarge { found: 0, limit: 0 },
        RejectError::TooManySigops { found: 0, limit: 0 },
        RejectError::Dust {
            index: 0,
            value: zero,
            limit: zero,
        },
        RejectError::FeeTooLow {
            fee: zero,
            required: zero,
        },
        RejectError::FeeAboveLimit {
            fee: zero,
            size: 0,
            allowed: zero,
        },
        RejectError::BelowFloor {
            fee: zero,
            required: zero,
        },
        RejectError::Full,
        RejectError::TooLongChain { found: 0, limit: 0 },
        RejectError::TooManyDescendants {
            ancestor: txid,
            found: 0,
            limit: 0,
        },
        RejectError::PackageTooLarge { found: 0, limit: 0 },
        RejectError::Stopped,
        RejectError::Storage(String::new()),
    ];
    for error in &all {
        match error {
            RejectError::Rule(_)
            | RejectError::Coinbase
            | RejectError::NotFinal { .. }
            | RejectError::MissingInputs { .. }
            | RejectError::AlreadyInMempool
            | RejectError::AlreadyKnown
            | RejectError::Conflict { .. }
            | RejectError::SpendsReplaced { .. }
            | RejectError::NewUnconfirmed { .. }
            | RejectError::ReplacementRate { .. }
            | RejectError::ReplacementFee { .. }
            | RejectError::TooManyReplaced { .. }
            | RejectError::ReplacementInPackage { .. }
            | RejectError::TooLarge { .. }
            | RejectError::TooManySigops { .. }
            | RejectError::Dust { .. }
            | RejectError::FeeTooLow { .. }
            | RejectError::FeeAboveLimit { .. }
            | RejectError::BelowFloor { .. }
            | RejectError::Full
            | RejectError::TooLongChain { .. }
            | RejectError::TooManyDescendants { .. }
            | RejectError::PackageTooLarge { .. }
            | RejectError::Stopped
            | RejectError::Storage(_) => {}
        }
    }
    all
}

#[test]
fn the_table_of_reasons_has_every_reason_once() {
    let mut listed: Vec<&str> = table("reason")
        .iter()
        .map(|row| row[0].trim_matches('`'))
        .collect();
    let mut reasons: Vec<&str> = one_of_each()
        .iter()
        .map(RejectError::reject_reason)
        .collect();
    listed.sort_unstable();
    reasons.sort_unstable();
    // Several kinds may have one reason.
    reasons.dedup();
    assert_eq!(listed, reasons);
    let rule = RejectError::from(RuleError::NoInputs);
    assert_eq!(rule.reject_reason(), RuleError::NoInputs.reject_reason());
}
