//! The target `consensus_types`: see the module of that name.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| quarry_fuzz::consensus_types::run(data));
