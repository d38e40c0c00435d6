//! The target `block_acceptance`: see the module of that name.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| quarry_fuzz::block_acceptance::run(data));
