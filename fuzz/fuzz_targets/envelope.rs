#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sessile_cluster::fuzzing::envelope(bytes));
