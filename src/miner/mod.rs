//! The search for blocks.
//!
//! [`spawn`] starts the OS thread `miner`, which builds work, and the OS threads `miner-0`, `miner-1`, …, which search it. They end
//! with [`MinerHandle::stop`]; whoever called [`spawn`] joins them by [`MinerTask::join`]. [`generate_blocking`] and
//! [`generate_block_blocking`] find blocks on the caller's own thread.
//!
//! | where | what |
//! |---|---|
//! | `template`, `coinbase` | a block without its proof of work, cheap to vary |
//! | `search` | the hash function over ranges of nonces, in kernels for several processors |
//! | `config` | what can be chosen, as checked values |
//! | `board` | what the searching threads share: the work, and whether to go on |
//! | `workers` | the searching threads |
//! | `pace` | where a thread is in its range, how far it goes at once, how long it rests |
//! | `task`, `handle` | the thread that gives them work, and how to ask it |
//! | `rate` | the hash rate as a moving average |
//! | `generate` | a number of blocks, at once |
//! | `measure`, `latency` | how fast the kernels are here, and how soon the threads follow |
//! | `stratum` | external miners, which take a [`Template`] as the workers do |

mod board;
mod coinbase;
mod config;
mod generate;
mod handle;
mod latency;
mod measure;
mod pace;
mod rate;
mod search;
mod stratum;
mod task;
mod template;
#[cfg(test)]
mod tests;
mod workers;

pub use config::{CpuShare, MAX_THREADS, MinerConfig, MinerConfigError, Niceness, ThreadCount};
pub use generate::{GenerateError, generate_block_blocking, generate_blocking};
pub use handle::{MinerHandle, MinerStatus};
pub use latency::{Latency, Spread, measure_latency};
pub use measure::{KernelSpeed, TimeBase, measure_kernels};
pub use search::{Kernel, KernelError, Search, SearchRange};
pub use stratum::{
    Payouts, StratumConfig, StratumHandle, StratumInfo, WorkerInfo, check_line,
    serve as serve_stratum,
};
pub use task::{MinerError, MinerTask, spawn};
pub use template::{
    CoinbaseRoom, Template, TemplateError, build_roomy_template_blocking, build_template,
    build_template_blocking,
};
