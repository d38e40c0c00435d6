//! Every rule is broken by a fault that breaks nothing else, and every judge says so.

use std::collections::BTreeSet;

use quarry::consensus::RuleError;
use quarry_oracle::generator::Generator;
use quarry_oracle::mutations::{self, Core};

#[test]
fn every_rule_is_reached_by_a_fault() {
    let mut chain = Generator::ready(3);
    let mut reached = BTreeSet::new();
    for fault in mutations::all() {
        fault
            .try_on(&mut chain)
            .unwrap_or_else(|divergence| panic!("{divergence}"));
        reached.insert(fault.rule);
        if fault.core == Core::Takes {
            chain.grow(2).expect("two blocks lead the kernel back");
        }
    }
    chain
        .trial
        .compare_all()
        .expect("a refused block changes nothing");
    let all: BTreeSet<&str> = RuleError::NAMES.iter().copied().collect();
    assert_eq!(
        reached, all,
        "rules that no fault reaches, or faults of no rule"
    );
}

// A fault that shows late is found on a side branch too, and the old chain comes back.
#[test]
fn late_faults_are_found_when_their_branch_wins() {
    for fault in mutations::all() {
        let mutations::How::Block(mutations::Stage::Connected, _) = fault.how else {
            continue;
        };
        let mut chain = Generator::ready(4);
        chain
            .late_fault_on_a_branch(&fault)
            .unwrap_or_else(|divergence| panic!("{}: {divergence}", fault.name));
        if fault.core == Core::Takes {
            continue;
        }
        chain
            .trial
            .compare_all()
            .expect("the old chain is back whole");
    }
}
