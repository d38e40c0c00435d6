//! placeholder
pub mod chain;
pub mod consensus;
pub mod keys;
pub mod primitives;
pub mod storage;
