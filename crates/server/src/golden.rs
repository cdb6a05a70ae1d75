//! Golden files: what is public stands in a file under `tests/golden/`, and a change of it in a diff.

use std::path::Path;

/// Set to anything, the golden files are written anew instead of compared.
const REGENERATE: &str = "SESSILE_REGENERATE_GOLDEN";

/// Panics unless that golden file holds that text.
pub(crate) fn check(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os(REGENERATE).is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        return;
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, golden, "{name} changed; if that is meant, test once with {REGENERATE}=1 and read the diff");
}
