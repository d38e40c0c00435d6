//! The searching threads.
//!
//! Each has a range of extra nonces of its own, so no two ever hash the same header. A thread that finds a block reports it and
//! waits for new work, which follows at once whatever becomes of the block.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::Instant;

use tokio::sync::mpsc;

use super::board::{Board, Work};
use super::config::{MinerConfig, Niceness};
use super::pace::{Chunk, Cursor, Rest};
use super::search::{Kernel, Search};
use super::template::Template;

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
    config: &MinerConfig,
    board: Arc<Board>,
    reports: mpsc::Sender<Report>,
) -> std::io::Result<JoinHandle<()>> {
    let (kernel, niceness) = (config.kernel, config.niceness);
    let rest = Rest::new(config.share);
    thread::Builder::new()
        .name(format!("miner-{index}"))
        .spawn(move || {
            let end = EndReport(reports);
            yield_to_others(niceness);
            let kernel = kernel.unwrap_or_else(Kernel::fastest);
            run(
                &board,
                Searcher::new(kernel, rest, Cursor::new(salt, index)),
                &end.0,
            );
        })
}

/// Sets the niceness of this thread alone: to Linux a thread is a process of its own, which can always be made nicer.
#[cfg(target_os = "linux")]
pub(super) fn yield_to_others(niceness: Niceness) {
    let set = rustix::process::setpriority_process(None, niceness.get().into());
    if let Err(error) = set {
        tracing::debug!(%error, "a mining thread keeps the priority of the node");
    }
}

/// Elsewhere only whole processes have a niceness.
#[cfg(not(target_os = "linux"))]
pub(super) const fn yield_to_others(_: Niceness) {}

fn run(board: &Board, mut searcher: Searcher, reports: &mpsc::Sender<Report>) {
    let mut seen = None;
    while let Some(work) = board.wait(seen) {
        seen = Some(work.generation);
        board.searching.fetch_add(1, Ordering::Relaxed);
        let found = searcher.search(board, &work);
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

/// What a thread keeps from one piece of work to the next.
pub(super) struct Searcher {
    kernel: Kernel,
    chunk: Chunk,
    rest: Rest,
    cursor: Cursor,
}

impl Searcher {
    pub(super) const fn new(kernel: Kernel, rest: Rest, cursor: Cursor) -> Self {
        Self {
            kernel,
            chunk: Chunk::new(),
            rest,
            cursor,
        }
    }

    /// Searches until something is found or the work is no longer current. Returns the extra nonce and the nonce.
    pub(super) fn search(&mut self, board: &Board, work: &Work) -> Option<(u64, u32)> {
        let template = &work.template;
        loop {
            let extra_nonce = self.cursor.next_header();
            let header = template.header(extra_nonce);
            let search = Search::with_kernel(&header, template.target(), self.kernel);
            while let Some(range) = self.cursor.take(self.chunk.count()) {
                if !board.is_current(work.generation) {
                    return None;
                }
                let begin = Instant::now();
                let found = search.run(range);
                let took = begin.elapsed();
                let done = found.map_or(range.count, |nonce| nonce - range.first + 1);
                board.hashes.fetch_add(done.into(), Ordering::Relaxed);
                if let Some(nonce) = found {
                    return Some((extra_nonce, nonce));
                }
                if range.count == self.chunk.count() {
                    self.chunk.learn(took);
                }
                if let Some(rest) = self.rest.after(took) {
                    let begin = Instant::now();
                    board.rest(work.generation, rest);
                    self.rest.rested(begin.elapsed());
                }
            }
        }
    }
}
