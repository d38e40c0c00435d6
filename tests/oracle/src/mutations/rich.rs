//! Sums of inputs and fees above the supply. No regtest chain has so much money, so these chains make all of it in every block;
//! the kernel, which has no such chain, stays out.

use quarry::consensus::ChainSpec;
use quarry::primitives::{Amount, BlockHash, Encode, MAX_MONEY, OutPoint, Transaction};

use super::{Core, How, Mutation};
use crate::forge::{FINAL, Forge, Payment, finish};
use crate::trial::{Divergence, Trial, Verdict};
use crate::view::{Owned, View};

/// Both.
pub const ALL: &[Mutation] = &[
    Mutation {
        name: "inputs that add up to more than the supply",
        rule: "InputSum",
        core: Core::Same,
        how: How::Rich(|| {
            run(|forge, coins| {
                let inputs = coins.iter().map(|coin| (*coin, FINAL)).collect();
                let payment = Payment {
                    inputs,
                    outputs: vec![(0, 1)],
                    version: 2,
                    lock_time: 0,
                };
                vec![forge.pay(&payment).0]
            })
        }),
    },
    Mutation {
        name: "fees that add up to more than the supply",
        rule: "FeeSum",
        core: Core::Same,
        how: How::Rich(|| {
            run(|forge, coins| {
                coins
                    .iter()
                    .map(|coin| forge.pay(&Payment::plain(&[*coin], 0, MAX_MONEY)).0)
                    .collect()
            })
        }),
    },
];

/// Two blocks that make all the money there can be, and a third with the transactions that spend both.
fn run(spend: fn(&mut Forge, &[Owned]) -> Vec<Transaction>) -> Result<Vec<Verdict>, Divergence> {
    let spec = ChainSpec {
        name: "rich".into(),
        subsidy: Amount::MAX,
        coinbase_maturity: 1,
        ..ChainSpec::regtest()
    };
    let genesis = spec.genesis_block();
    let mut forge = Forge::new();
    let mut view = View {
        tip: genesis.hash(),
        height: 0,
        times: vec![genesis.header.time],
        coins: Vec::new(),
    };
    let mut trial = Trial::without_kernel(spec);
    let mut verdicts = Vec::new();
    for height in 1..=3 {
        let claimed = if height < 3 { MAX_MONEY } else { 0 };
        let mut transactions = vec![forge.coinbase(height, &[(0, claimed)])];
        if height == 3 {
            transactions.extend(spend(&mut forge, &view.coins));
        }
        let time = view.times[view.times.len() - 1] + 600;
        let mut block = forge.block(&view, time, transactions);
        finish(&mut block);
        verdicts.push(trial.block(block.to_bytes(), &forge.signed)?);
        let outpoint = OutPoint {
            txid: block.transactions[0].txid(),
            vout: 0,
        };
        view.coins.push(Owned {
            outpoint,
            value: claimed,
            key: 0,
            height,
            coinbase: true,
            median_before: view.median(),
        });
        view.tip = BlockHash::from_bytes(block.hash().to_bytes());
        (view.height, view.times) = (height, [view.times, vec![time]].concat());
    }
    trial.compare_all()?;
    Ok(verdicts)
}
