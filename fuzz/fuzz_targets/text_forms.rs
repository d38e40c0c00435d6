//! The target `text_forms`: see the module of that name.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| quarry_fuzz::text_forms::run(data));
