//! Answers that are of one state of the chain, although blocks come while they are put together.

use std::thread::sleep;
use std::time::Duration;

use crate::chain::{ChainReader, Tip};

use super::error::RpcError;
use super::methods::stored;

/// How often something is read anew when blocks come in between. While a node catches up they come all the time, and what it
/// answers is of the past anyway.
const READS: u32 = 20;

/// Reads between two looks at the state, again while these differ, at most [`READS`] times. With the last state seen.
pub(super) fn at_one_state<S: PartialEq, T>(
    mut state: impl FnMut() -> Result<S, RpcError>,
    mut read: impl FnMut() -> Result<T, RpcError>,
) -> Result<(T, S), RpcError> {
    let mut before = state()?;
    for _ in 1..READS {
        // What fails may fail because half of it is gone.
        let found = read();
        let after = state()?;
        if before == after {
            return Ok((found?, after));
        }
        before = after;
    }
    Ok((read()?, before))
}

/// Pause between two looks at a chain that is just changing.
const PAUSE: Duration = Duration::from_micros(200);

/// Reads while the chain has one tip, which `read` is given.
pub(super) fn at_one_tip<T>(
    reader: &ChainReader,
    mut read: impl FnMut(&Tip) -> Result<T, RpcError>,
) -> Result<T, RpcError> {
    // The disk changes a moment before the tree of headers does; between the two, look again. And the chain may have gone to and
    // fro, so that equal tips are not enough.
    let state = || {
        for _ in 0..READS {
            let (moves, tip) = (reader.moves(), reader.tip());
            if tip.hash == stored(reader.coin_stats())?.tip {
                return Ok((moves, tip));
            }
            sleep(PAUSE);
        }
        Ok((reader.moves(), reader.tip()))
    };
    let (found, _) = at_one_state(state, || read(&reader.tip()))?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Blocks that come while something is read, one a read, until `last`.
    fn reads_until(last: u32) -> (u32, u32) {
        let height = std::cell::Cell::new(0);
        let mut reads = 0;
        let found = at_one_state(
            || Ok(height.get()),
            || {
                reads += 1;
                let seen = height.get();
                height.set(last.min(seen + 1));
                Ok(seen)
            },
        );
        let (seen, state) = found.expect("nothing fails");
        assert_eq!(seen, state);
        (reads, seen)
    }

    #[test]
    fn what_changed_meanwhile_is_read_again_but_not_for_ever() {
        assert_eq!(reads_until(0), (1, 0));
        assert_eq!(reads_until(2), (3, 2));
        assert_eq!(reads_until(u32::MAX).0, READS);
    }
}
