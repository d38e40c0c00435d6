//! The target `chain_operations`: see the module of that name.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| quarry_fuzz::chain_operations::run(data));
