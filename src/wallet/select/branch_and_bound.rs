//! Coins that pay without change: a search by branch and bound.
//!
//! Change costs its own bytes now and those of an input later, and shows which output went back. A choice of coins whose sum
//! lies between what is needed and that much more pays the difference to the miner and is no worse. The idea is Bitcoin Core's
//! (`SelectCoinsBnB`, after M. Erhardt, "An Evaluation of Coin Selection Strategies").

/// Nodes that are looked at. Few coins are searched through; of many, the search ends without an answer after some milliseconds.
const MAX_NODES: u32 = 100_000;

/// Finds numbers that add up to at least `least` and at most `most`, as near to `least` as the search gets, and none of which could be left
/// out. `values` fall; the answer are positions in it, rising.
pub(super) fn search(values: &[u64], least: u64, most: u64) -> Option<Vec<usize>> {
    let mut left: u64 = values.iter().sum();
    if left < least || least == 0 {
        return None;
    }
    let mut chosen: Vec<usize> = Vec::new();
    let mut sum = 0_u64;
    let mut next = 0;
    let mut best: Option<(u64, Vec<usize>)> = None;
    for _ in 0..MAX_NODES {
        let cannot_win = best.as_ref().is_some_and(|(found, _)| sum >= *found);
        let is_found = sum >= least && sum <= most && !cannot_win;
        if is_found {
            best = Some((sum, chosen.clone()));
            if sum == least {
                break;
            }
        }
        if sum < least && sum + left >= least && next < values.len() {
            // Take the next one.
            left -= values[next];
            sum += values[next];
            chosen.push(next);
            next += 1;
            continue;
        }
        // Nothing better below: go on with the last one taken left out.
        let Some(last) = chosen.pop() else {
            break;
        };
        while next > last + 1 {
            next -= 1;
            left += values[next];
        }
        sum -= values[last];
        // Leaving out the first of equals and taking the second is the same choice again.
        while next < values.len() && values[next] == values[last] {
            left -= values[next];
            next += 1;
        }
    }
    let (sum, chosen) = best?;
    Some(without_idle(values, chosen, sum, least))
}

/// Leaves out what is not needed, the smallest first.
fn without_idle(values: &[u64], mut chosen: Vec<usize>, mut sum: u64, least: u64) -> Vec<usize> {
    let mut at = chosen.len();
    while at > 0 {
        at -= 1;
        let value = values[chosen[at]];
        if sum - value >= least {
            sum -= value;
            chosen.remove(at);
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn exact_sums_are_found() {
        assert_eq!(search(&[50, 30, 20, 10], 60, 60), Some(vec![0, 3]));
        assert_eq!(search(&[50, 30, 20, 10], 110, 110), Some(vec![0, 1, 2, 3]));
        assert_eq!(search(&[50, 30, 20, 10], 45, 49), None);
        assert_eq!(search(&[50, 30, 20, 10], 111, 200), None);
        assert_eq!(search(&[], 1, 1), None);
    }

    /// Many equal coins are one choice, not 2^n.
    #[test]
    fn equals_do_not_exhaust_the_search() {
        let mut values = vec![7; 5_000];
        values.extend([4, 3]);
        assert_eq!(
            search(&values, 7 * 3_000 + 4, 7 * 3_000 + 4).map(|c| c.len()),
            Some(3_001)
        );
        assert_eq!(search(&vec![2; 100_000], 3, 3), None);
    }

    proptest! {
        /// Where all subsets can be tried, the best is found, and nothing in it is idle.
        #[test]
        fn finds_the_best_of_all_subsets(
            values in proptest::collection::vec(1_u64..60, 0..11), least in 1_u64..300, more in 0_u64..20,
        ) {
            let mut values = values;
            values.sort_unstable();
            values.reverse();
            let sum = |mask: u32| -> u64 {
                values.iter().enumerate().filter(|(at, _)| (mask >> at) & 1 == 1).map(|(_, value)| value).sum()
            };
            let best = (0_u32..1 << values.len()).map(sum).filter(|sum| (least..=least + more).contains(sum)).min();
            let found = search(&values, least, least + more);
            let found_sum = found.as_ref().map(|chosen| chosen.iter().map(|at| values[*at]).sum::<u64>());
            prop_assert_eq!(found_sum, best);
            for at in found.iter().flatten() {
                prop_assert!(found_sum.unwrap_or(0) - values[*at] < least);
            }
        }
    }
}
