//! The target `stratum_line`: see the module of that name.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| quarry_fuzz::stratum_line::run(data));
