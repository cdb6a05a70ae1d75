#![no_main]

use std::path::Path;
use std::sync::LazyLock;

/// In memory where there is some: opening a log syncs often, and no disk is fuzzed here.
static DIRECTORY: LazyLock<tempfile::TempDir> = LazyLock::new(|| {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.expect("there is a place for files that are not kept")
});

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sessile_store::fuzzing::log_recovery(DIRECTORY.path(), bytes));
