//! The searching threads.
//!
//! Each has a range of extra nonces of its own, so no two ever hash the same header. A thread that finds a block reports it and
//! waits for new work, which follows at once whatever becomes of the block.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};

use tokio::sync::mpsc;

use super::board::Board;
use super::search::{Kernel, Search, SearchRange};
use super::template::Template;

/// Nonces between two looks at the board: below 2 ms with the slowest kernel on a common processor, a tenth of that with a fast one.
pub(super) const CHUNK: u32 = 4096;
/// Bits of an extra nonce that number the headers of one thread; 2^24 times 2^32 hashes last for years.
const COUNTER_BITS: u32 = 24;
/// Bits that number the thread.
const WORKER_BITS: u32 = 16;
/// The most threads whose ranges are disjoint.
pub(super) const MAX_WORKERS: usize = 1 << WORKER_BITS;

/// What a thread reports.
#[derive(Debug)]
pub(super) enum Report {
    /// A block.
    Solved {
        template: Arc<Template>,
        extra_nonce: u64,
        nonce: u32,
    },
    /// The thread's end, at the end or by a panic.
    Ended,
}

/// The first extra nonce of a thread. The lower 24 bits of `salt` differ from node to node: two that mine to one address must not
/// search the same headers.
pub(super) const fn first_extra_nonce(salt: u32, worker: u16) -> u64 {
    (salt as u64) << (COUNTER_BITS + WORKER_BITS) | (worker as u64) << COUNTER_BITS
}

/// Reports the end of its thread, however it comes.
struct EndReport(mpsc::Sender<Report>);

impl Drop for EndReport {
    fn drop(&mut self) {
        // Without a receiver nobody needs to know.
        let _ = self.0.blocking_send(Report::Ended);
    }
}

/// Starts the searching thread of number `index`.
pub(super) fn start(
    index: u16,
    salt: u32,
    kernel: Option<Kernel>,
    board: Arc<Board>,
    reports: mpsc::Sender<Report>,
) -> std::io::Result<JoinHandle<()>> {
    thread::Builder::new()
        .name(format!("miner-{index}"))
        .spawn(move || {
            let end = EndReport(reports);
            let kernel = kernel.unwrap_or_else(Kernel::fastest);
            run(&board, kernel, first_extra_nonce(salt, index), &end.0);
        })
}

fn run(board: &Board, kernel: Kernel, first_extra_nonce: u64, reports: &mpsc::Sender<Report>) {
    let mut seen = None;
    while let Some(work) = board.wait(seen) {
        seen = Some(work.generation);
        board.searching.fetch_add(1, Ordering::Relaxed);
        let found = search(
            board,
            kernel,
            &work.template,
            work.generation,
            first_extra_nonce,
        );
        board.searching.fetch_sub(1, Ordering::Relaxed);
        if let Some((extra_nonce, nonce)) = found {
            let report = Report::Solved {
                template: work.template,
                extra_nonce,
                nonce,
            };
            if reports.blocking_send(report).is_err() {
                return;
            }
        }
    }
}

/// Searches until something is found or the work is no longer current.
fn search(
    board: &Board,
    kernel: Kernel,
    template: &Template,
    generation: u64,
    first_extra_nonce: u64,
) -> Option<(u64, u32)> {
    // The counter wraps within the thread's own range.
    for extra_nonce in (0_u64..1 << COUNTER_BITS).map(|count| first_extra_nonce | count) {
        let search = Search::with_kernel(&template.header(extra_nonce), template.target(), kernel);
        let mut first = Some(0_u32);
        while let Some(nonce) = first {
            if !board.is_current(generation) {
                return None;
            }
            let range = SearchRange {
                first: nonce,
                count: CHUNK,
            };
            let found = search.run(range);
            let done = found.map_or(CHUNK, |found| found - nonce + 1);
            board.hashes.fetch_add(done.into(), Ordering::Relaxed);
            if let Some(found) = found {
                return Some((extra_nonce, found));
            }
            first = nonce.checked_add(CHUNK);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn ranges_of_extra_nonces_are_disjoint() {
        let last = (1_u64 << COUNTER_BITS) - 1;
        let mut edges = HashSet::new();
        for (salt, worker) in [
            (0, 0),
            (0, 1),
            (0, u16::MAX),
            (1, 0),
            (0x00ff_ffff, u16::MAX),
        ] {
            let first = first_extra_nonce(salt, worker);
            assert_eq!(first & last, 0);
            assert!(edges.insert(first) && edges.insert(first | last));
        }
    }
}
