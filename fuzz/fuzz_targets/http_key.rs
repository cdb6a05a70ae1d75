#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sessile_http::fuzzing::key(bytes));
