//! The node: settings, folders, ports and logs, and the composition of all parts into something that runs.
//!
//! | where | what |
//! |---|---|
//! | `folder`, `settings`, `config`, `ports` | what a node is told: places, settings, ports |
//! | `start` | the composition root: every part started, in order |
//! | `running`, `tasks` | named tasks; stopping in order; a failure of one stops all |
//! | `mining` | when the miner works |
//! | `notices`, `telemetry` | what happens, as log lines and for a screen |
//! | `signals` | SIGINT and SIGTERM |
//! | `open_files` | the limit of open files, and who may have how many |
//! | `opening`, `offline` | the chain of a folder without a node |
//! | `doctor`, `mending`, `lock_holder` | what is wrong with a folder; its database built anew |
//! | `block_file` | Bitcoin's block files |

mod block_file;
mod config;
mod doctor;
mod folder;
mod lock_holder;
mod mending;
mod mining;
mod notices;
mod offline;
mod open_files;
mod opening;
mod ports;
mod running;
mod settings;
mod signals;
mod small_file;
mod start;
mod tasks;
mod telemetry;

pub use crate::chain::PreparedBlock;
pub use crate::miner::{
    CpuShare, Kernel, KernelSpeed, MinerConfigError, Niceness, StratumInfo, ThreadCount, TimeBase,
    measure_kernels,
};
pub use crate::network::create_network_key;
pub use block_file::{BlockFileError, BlockFileReader, write_record};
pub use config::{Endpoints, NodeConfig, StratumSettings};
pub use doctor::{Diagnosis, Finding, Level, diagnose, shell_word};
pub use folder::{ChainChoiceError, DataFolder, NetworkFolder};
pub use mending::{MendError, Mended, reindex};
pub use notices::Notice;
pub use offline::{MineError, OfflineChain, RevalidateError, Submitted, UnderWay};
pub use open_files::TooFewFiles;
pub use opening::OpenError;
pub use ports::{Bound, ListenAt, ListenAtError, PortError, Service, bind};
pub use running::{NodeError, NodeStatus, NodeView, RunningNode};
pub use settings::{Settings, SettingsError};
pub use signals::stop_on_signals;
pub use small_file::read_small_file;
pub use start::{Node, StartError};
pub use telemetry::{LogFormat, TelemetryError, init as init_telemetry};
