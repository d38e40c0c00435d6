//! Fixed seeds of random chains: the judges agree on all of it.

use quarry_oracle::generator::{Generator, Shape};
use quarry_oracle::record::Step;
use quarry_oracle::tally::Tally;

fn run(seed: u64, numbers: std::ops::Range<u64>) {
    let mut tally = Tally::default();
    for number in numbers {
        let mut chain = Generator::new(seed, number, Shape::DEFAULT);
        match chain.run() {
            Ok(counts) => tally.add(&counts),
            Err(divergence) => panic!("chain {number} of seed {seed}: {divergence}"),
        }
    }
    println!("{}", tally.table());
    assert!(
        tally.reorgs.keys().any(|depth| *depth > 20),
        "no deep reorg was made"
    );
    assert!(
        tally.mutations > 100 && tally.restricted > 0 && tally.headers > 0 && tally.reopened > 0
    );
}

#[test]
fn judges_agree_on_fixed_seeds() {
    run(1, 0..20);
}

// b21 within the oracle's bounds: every chain may go back 30 blocks, often.
#[test]
fn judges_agree_where_forks_are_long() {
    let shape = Shape {
        steps: 60,
        payments: 3,
        depth: 30,
    };
    for number in 0..6 {
        let mut chain = Generator::new(21, number, shape);
        chain
            .run()
            .unwrap_or_else(|divergence| panic!("chain {number}: {divergence}"));
    }
}

#[test]
fn equal_seeds_make_equal_steps() {
    let steps = |number| {
        let shape = Shape {
            steps: 30,
            ..Shape::DEFAULT
        };
        let mut chain = Generator::new(5, number, shape);
        chain.run().expect("the judges agree");
        chain.trial.steps
    };
    assert_eq!(steps(1), steps(1));
    assert_ne!(steps(1), steps(2));
    assert!(steps(1).iter().any(|step| matches!(step, Step::Block(_))));
}
