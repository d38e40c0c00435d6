//! `docs/consensus.md` and the rules in the code name each other, both ways; `docs/faults.md` lists the rows of
//! blocks and headers that have a test, and no others.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use quarry::consensus::RuleError;
use quarry::keys::ScriptSigError;
use quarry::primitives::{
    Amount, AmountError, CompactTarget, MerkleRoot, OutPoint, PubkeyHash, TargetError,
};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// One broken rule of each kind.
fn one_of_each() -> Vec<RuleError> {
    let (bits, root) = (CompactTarget(1), MerkleRoot::ZERO);
    let (outpoint, zero) = (OutPoint::NULL, Amount::ZERO);
    let hash = PubkeyHash::ZERO;
    vec![
        RuleError::TargetInvalid {
            bits,
            reason: TargetError::Zero,
        },
        RuleError::TargetAboveLimit {
            found: bits,
            limit: bits,
        },
        RuleError::HighHash { bits },
        RuleError::WrongBits {
            expected: bits,
            found: bits,
        },
        RuleError::TimeTooOld { time: 0, median: 0 },
        RuleError::TimeTooNew { time: 0, limit: 0 },
        RuleError::VersionTooOld(0),
        RuleError::MerkleRootMismatch {
            expected: root,
            found: root,
        },
        RuleError::MerkleTreeMutated,
        RuleError::SixtyFourByteTransaction { index: 0 },
        RuleError::BlockTooLarge { found: 0, limit: 0 },
        RuleError::TooManySigops { found: 0, limit: 0 },
        RuleError::CoinbaseMissing,
        RuleError::CoinbaseNotFirst { index: 0 },
        RuleError::CoinbaseHeight { height: 0 },
        RuleError::CoinbaseAmount {
            paid: zero,
            allowed: zero,
        },
        RuleError::TransactionVersion(0),
        RuleError::NoInputs,
        RuleError::NoOutputs,
        RuleError::TransactionTooLarge { found: 0, limit: 0 },
        RuleError::OutputValue {
            index: 0,
            reason: AmountError::TooLarge { units: 0 },
        },
        RuleError::OutputSum,
        RuleError::OutputScript { index: 0 },
        RuleError::DuplicateInput { outpoint },
        RuleError::CoinbaseScriptLength { found: 0 },
        RuleError::NullInput { index: 0 },
        RuleError::NotFinal { lock_time: 0 },
        RuleError::SequenceLock { index: 0 },
        RuleError::MissingCoin { outpoint },
        RuleError::ImmatureCoinbase {
            outpoint,
            depth: 0,
            maturity: 0,
        },
        RuleError::InputSum,
        RuleError::InputsBelowOutputs {
            inputs: zero,
            outputs: zero,
        },
        RuleError::FeeSum,
        RuleError::InputScript {
            index: 0,
            reason: ScriptSigError::NotTwoPushes,
        },
        RuleError::WrongKey {
            index: 0,
            expected: hash,
            found: hash,
        },
        RuleError::BadSignature { index: 0 },
    ]
}

/// The rows of the table in the section `heading` of a document, as cells.
fn table(document: &str, heading: &str) -> Vec<Vec<String>> {
    let section = document
        .split("\n## ")
        .find(|section| section.starts_with(heading))
        .unwrap_or_else(|| panic!("no section '{heading}'"));
    let rows = section.lines().filter(|line| line.starts_with("| "));
    let cells = |line: &str| -> Vec<String> {
        let inner = line.trim().trim_matches('|');
        inner
            .split(" | ")
            .map(|cell| cell.trim().to_owned())
            .collect()
    };
    // The first row names the columns.
    rows.skip(1).map(cells).collect()
}

/// The texts between back quotes.
fn quoted(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

#[test]
fn every_rule_has_a_name() {
    let named: Vec<&str> = one_of_each().iter().map(RuleError::name).collect();
    assert_eq!(named, RuleError::NAMES, "one_of_each() is not complete");
}

#[test]
fn the_table_of_rules_is_the_code() {
    let document = read("docs/consensus.md");
    let rows = table(&document, "Rules\n");
    let reasons: BTreeMap<&str, &str> = one_of_each()
        .iter()
        .map(|rule| (rule.name(), rule.reject_reason()))
        .collect();
    let mut listed = BTreeSet::new();
    for row in &rows {
        let [rule, variant, reason, source, place] = &row[..] else {
            panic!("five columns expected: {row:?}")
        };
        assert!(!rule.is_empty() && !source.is_empty(), "{row:?}");
        let [variant] = quoted(variant)[..] else {
            panic!("one rule a row: {row:?}")
        };
        let expected = reasons.get(variant);
        let expected = expected.unwrap_or_else(|| panic!("there is no rule '{variant}'"));
        assert_eq!(quoted(reason), [*expected], "{variant}");
        let [file, function] = quoted(place)[..] else {
            panic!("a file and a function: {row:?}")
        };
        let code = read(&format!("src/consensus/{file}"));
        let start = code.find(&format!("fn {function}("));
        let body = &code[start.unwrap_or_else(|| panic!("no {function} in {file}"))..];
        let body = body.split("\n}\n").next().unwrap_or(body);
        let names_it = body.contains(&format!("RuleError::{variant}"));
        assert!(names_it, "{function} in {file} does not check {variant}");
        assert!(listed.insert(variant), "{variant} has two rows");
    }
    let all: BTreeSet<&str> = RuleError::NAMES.iter().copied().collect();
    assert_eq!(listed, all);
}

#[test]
fn restrictions_are_rules() {
    let document = read("docs/consensus.md");
    let rows = table(&document, "Deliberate restrictions\n");
    assert!(rows.len() >= 8);
    for row in rows {
        let variant = quoted(&row[1])[0];
        assert!(RuleError::NAMES.contains(&variant), "{row:?}");
    }
}

/// The ids at the heads of test names (`b01_…`), as documents write them (`B1`).
fn tested_ids(dir: &Path, ids: &mut BTreeSet<String>) {
    for entry in fs::read_dir(dir).expect("a source folder can be listed") {
        let path = entry.expect("a source folder can be listed").path();
        if path.is_dir() {
            tested_ids(&path, ids);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let code = fs::read_to_string(&path).expect("a source is readable");
            for name in code.split("fn ").skip(1) {
                let head = name.split('_').next().unwrap_or_default();
                let id = head.split_at_checked(1).and_then(|(letter, digits)| {
                    let digits: u8 = digits.parse().ok()?;
                    "bthprwds"
                        .contains(letter)
                        .then(|| format!("{}{digits}", letter.to_uppercase()))
                });
                ids.extend(id);
            }
        }
    }
}

#[test]
fn faults_of_blocks_and_headers_are_listed_and_tested() {
    let mut tested = BTreeSet::new();
    for dir in ["src", "tests"] {
        tested_ids(&root().join(dir), &mut tested);
    }
    let document = read("docs/faults.md");
    let rows = document
        .lines()
        .filter(|line| line.starts_with("| "))
        .skip(1);
    let listed: BTreeSet<String> = rows
        .filter_map(|line| line.trim_matches('|').split('|').next())
        .flat_map(|cell| {
            cell.split(',')
                .map(|id| id.trim().to_owned())
                .collect::<Vec<_>>()
        })
        .collect();
    // Of the rows of blocks and headers nothing is left out on either side.
    let of_the_rules = |id: &&String| id.starts_with(['B', 'H']);
    let tested_rules: Vec<_> = tested.iter().filter(of_the_rules).collect();
    let listed_rules: Vec<_> = listed.iter().filter(of_the_rules).collect();
    assert_eq!(tested_rules, listed_rules);
    let unlisted: Vec<_> = tested
        .difference(&listed)
        .filter(|id| id.starts_with('T'))
        .collect();
    assert!(unlisted.is_empty(), "docs/faults.md lacks {unlisted:?}");
}

/// `QUARRY_WRITE_RPC=1` writes the file anew.
#[test]
fn the_reference_of_the_rpc_is_its_table() {
    let made = quarry::rpc::reference();
    if std::env::var_os("QUARRY_WRITE_RPC").is_some() {
        fs::write(root().join("docs/rpc.md"), &made).expect("docs is writable");
    }
    let hint = "QUARRY_WRITE_RPC=1 cargo test --release --test documents writes it anew";
    assert!(
        read("docs/rpc.md") == made,
        "docs/rpc.md is not in step: {hint}"
    );
}

/// Each method says what it answers in the notation that the schemas are made from.
#[test]
fn the_rpc_describes_every_result() {
    let document = quarry::rpc::openrpc();
    let methods = document["methods"].as_array().expect("a list of methods");
    assert!(methods.len() > 30);
    for method in methods {
        let schema = method["result"]["schema"].as_object().expect("a schema");
        assert!(
            !schema.is_empty(),
            "src/rpc/shape.rs cannot read the result of {}",
            method["name"]
        );
    }
}
