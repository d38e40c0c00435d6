//! The code that `build.rs` generates from `proto/quarry.proto`.
#![allow(missing_docs, clippy::all, clippy::pedantic)]

include!(concat!(env!("OUT_DIR"), "/quarry.wire.v1.rs"));
