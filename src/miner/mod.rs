//! The search for blocks.
//!
//! [`spawn`] starts the OS thread `miner`, which builds work, and the OS threads `miner-0`, `miner-1`, …, which search it. They end
//! with [`MinerHandle::stop`]; whoever called [`spawn`] joins them by [`MinerTask::join`]. [`generate_blocking`] finds blocks on the
//! caller's own thread.
//!
//! | where | what |
//! |---|---|
//! | `template`, `coinbase` | a block without its proof of work, cheap to vary |
//! | `search` | the hash function over ranges of nonces, in kernels for several processors |
//! | `board` | what the searching threads share: the work, and whether to go on |
//! | `workers` | the searching threads |
//! | `task`, `handle` | the thread that gives them work, and how to ask it |
//! | `rate` | the hash rate as a moving average |
//! | `generate` | a number of blocks, at once |
//! | `measure` | how fast the kernels are here |
//! | `stratum` | external miners, which take a [`Template`] as the workers do |

mod board;
mod coinbase;
mod generate;
mod handle;
mod measure;
mod rate;
mod search;
mod stratum;
mod task;
mod template;
#[cfg(test)]
mod tests;
mod workers;

pub use generate::{GenerateError, generate_blocking};
pub use handle::{MinerConfig, MinerHandle, MinerStatus, default_threads};
pub use measure::{KernelSpeed, measure_kernels};
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
