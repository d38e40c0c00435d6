//! placeholder
pub mod consensus;
pub mod keys;
pub mod primitives;
