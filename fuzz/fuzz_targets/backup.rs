#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sessile_store::fuzzing::backup(bytes));
