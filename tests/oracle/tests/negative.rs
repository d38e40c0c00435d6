//! The oracle can fail: with any one rule switched off, each fault that breaks it is noticed.
//!
//! The switch holds for the whole process, so this is the only test of its program.

use quarry::consensus::{RuleError, rule_switch};
use quarry_oracle::generator::Generator;
use quarry_oracle::mutations;

#[test]
fn every_rule_that_is_switched_off_is_missed() {
    let mut unnoticed = Vec::new();
    for name in RuleError::NAMES {
        for fault in mutations::all().iter().filter(|fault| fault.rule == *name) {
            let mut chain = Generator::ready(9);
            rule_switch::switch_off(Some(name));
            let outcome = fault.try_on(&mut chain);
            rule_switch::switch_off(None);
            match outcome {
                Err(divergence) => println!("{name}: {}: {divergence}", fault.name),
                Ok(()) => unnoticed.push((name, fault.name)),
            }
        }
    }
    assert!(unnoticed.is_empty(), "not noticed: {unnoticed:?}");
    // And with all rules on again, nothing is noticed.
    Generator::ready(9).grow(1).expect("the judges agree");
}
