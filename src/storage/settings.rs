//! How RocksDB is set up.

use rocksdb::{BlockBasedOptions, Cache, DBRecoveryMode, Options};

use super::keys::column;

/// Memory for blocks of the database that were read, all columns together; filled as they are read. It holds the filters and
/// indexes of ten million coins, without which every look-up of a coin would read them again.
const BLOCK_CACHE_BYTES: usize = 64 << 20;
/// Memory for writes of one column that are not in a sorted file yet; larger ones delay, smaller ones make many files.
const WRITE_BUFFER_BYTES: usize = 8 << 20;
/// Memory for such writes, all columns together.
const ALL_WRITE_BUFFERS_BYTES: usize = 32 << 20;
/// The write-ahead log is cut at this size, which bounds the time of a recovery.
const MAX_WAL_BYTES: u64 = 64 << 20;
/// Open files at most, and never more than half of what the process may open: connections and logs need some too.
const MAX_OPEN_FILES: i32 = 256;
/// Log files of RocksDB itself that are kept.
const KEEP_LOG_FILES: usize = 2;

/// Of the whole database.
pub(super) fn database_options() -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    options.set_paranoid_checks(true);
    options.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
    // All columns reach the sorted files together: a lost log takes back whole batches, never those of one column alone.
    options.set_atomic_flush(true);
    options.set_max_open_files(max_open_files());
    options.set_keep_log_file_num(KEEP_LOG_FILES);
    options.set_max_total_wal_size(MAX_WAL_BYTES);
    options.set_db_write_buffer_size(ALL_WRITE_BUFFERS_BYTES);
    options
}

fn max_open_files() -> i32 {
    #[cfg(unix)]
    let allowed = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    #[cfg(not(unix))]
    let allowed: Option<u64> = None;
    let half = allowed.and_then(|allowed| i32::try_from(allowed / 2).ok());
    half.map_or(MAX_OPEN_FILES, |half| half.min(MAX_OPEN_FILES))
}

/// Of one column.
pub(super) fn column_options(name: &str) -> Options {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(&shared_cache());
    table.set_cache_index_and_filter_blocks(true);
    // Most look-ups of coins and transactions in these columns are by whole key, and many find nothing.
    if matches!(name, column::COINS | column::TRANSACTIONS) {
        table.set_bloom_filter(10.0, false);
    }
    let mut options = Options::default();
    options.set_block_based_table_factory(&table);
    options.set_write_buffer_size(WRITE_BUFFER_BYTES);
    options
}

/// One cache for all columns of all open databases of the process.
fn shared_cache() -> Cache {
    static CACHE: std::sync::OnceLock<Cache> = std::sync::OnceLock::new();
    CACHE
        .get_or_init(|| Cache::new_lru_cache(BLOCK_CACHE_BYTES))
        .clone()
}
