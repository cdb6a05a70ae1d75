//! Tests that read as scripts: a golden file a story. `crates/cluster` and `crates/store` include this file.
//!
//! A story begins with a sentence that says what it promises. Then come commands, one a line, and below each command,
//! further to the right, what came of it:
//!
//! ```text
//! # Whoever hears of a cluster joins it.
//! a starts
//!     node 1
//! a hears of cluster 7
//! a looks
//!     joins cluster 7
//! ```
//!
//! What the commands are stands in the test that plays them.

use std::fs;
use std::path::Path;

/// Set to anything, the golden files are written anew instead of compared.
const REGENERATE: &str = "SESSILE_REGENERATE_GOLDEN";

/// What stands before each line of what came of a command.
const RESULT: &str = "    ";

/// Plays every story of a folder below the crate's `tests/golden`, each in a world of its own, and panics unless what comes
/// of its commands is what stands there. A world takes a command, and says what came of it.
pub(super) fn play_all<W: FnMut(&str) -> String>(folder: &str, new_world: impl Fn() -> W) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(folder);
    let mut stories: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    stories.sort();
    assert!(!stories.is_empty(), "there is no story in {}", folder.display());
    let mut changed = Vec::new();
    for story in stories {
        let golden = fs::read_to_string(&story).unwrap();
        let name = story.file_name().unwrap().to_string_lossy();
        assert!(golden.starts_with("# "), "{name} does not begin with a sentence");
        let played = played(&golden, new_world());
        if played == golden {
            continue;
        }
        if std::env::var_os(REGENERATE).is_some() {
            fs::write(&story, played).unwrap();
        } else {
            changed.push(format!("{name} goes like this now:\n{played}"));
        }
    }
    let changed = changed.join("\n");
    assert!(changed.is_empty(), "{changed}\nif that is meant, test once with {REGENERATE}=1 and read the diff");
}

/// The story with what comes of its commands now.
fn played(story: &str, mut world: impl FnMut(&str) -> String) -> String {
    let mut played = String::new();
    for line in story.lines().filter(|line| !line.starts_with(RESULT)) {
        let is_command = !line.is_empty() && !line.starts_with('#');
        let result = if is_command { world(line) } else { String::new() };
        let lines = std::iter::once(line.to_owned()).chain(result.lines().map(|line| format!("{RESULT}{line}")));
        lines.for_each(|line| played += &(line + "\n"));
    }
    played
}
