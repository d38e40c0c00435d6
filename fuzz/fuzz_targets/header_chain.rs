//! The target `header_chain`: see the module of that name.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| quarry_fuzz::header_chain::run(data));
