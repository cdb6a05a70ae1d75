use std::fs;
use std::io::Write;
use std::path::Path;

use crate::access;

/// The mark of a store in which damage was found, with what it was.
const DAMAGED: &str = "DAMAGED";

/// Leaves a mark by which the next opening knows that the store is damaged. It is best effort: without the mark whoever reads
/// the same again finds the same.
pub(super) fn condemn(dir: &Path, why: &str) {
    let _ = access::create(dir.join(DAMAGED)).and_then(|mut mark| mark.write_all(why.as_bytes()));
}

/// What was found to be damaged before, if anything.
pub(super) fn found_before(dir: &Path) -> Option<String> {
    fs::read_to_string(dir.join(DAMAGED)).ok()
}
