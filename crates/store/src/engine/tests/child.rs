//! Parts of tests that need a process of their own: to be killed, to hold a lock, to die of damage.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use super::{EngineKind, atomicity, damage, ownership};

const PART: &str = "SESSILE_ENGINE_TEST_PART";
const DIR: &str = "SESSILE_ENGINE_TEST_DIR";
const KIND: &str = "SESSILE_ENGINE_TEST_KIND";
/// Marks a line as the child's answer among what the test harness prints.
const ANSWER: &str = "answer: ";
/// Address space of a child, in KiB: damage must not make an engine ask for more memory than a node has.
const CHILD_MEMORY_KIB: u64 = 6 * 1024 * 1024;

/// This test binary again, running only [`a_part_of_another_test`].
pub(super) fn spawn(part: &str, kind: EngineKind, dir: &Path) -> (Child, impl Iterator<Item = String> + use<>) {
    let mut child = Command::new("sh")
        .arg("-c")
        .arg(format!("ulimit -v {CHILD_MEMORY_KIB}; exec \"$0\" \"$@\""))
        .arg(std::env::current_exe().unwrap())
        .args([concat!("engine::tests::child::", "a_part_of_another_test"), "--exact", "--nocapture"])
        .env(PART, part)
        .env(DIR, dir)
        .env(KIND, kind.name())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let answers = answers(child.stdout.take().unwrap());
    (child, answers)
}

/// To the parent, one line.
pub(super) fn answer(words: &str) {
    println!("\n{ANSWER}{words}");
}

fn answers(stdout: ChildStdout) -> impl Iterator<Item = String> {
    let lines = BufReader::new(stdout).lines().map_while(Result::ok);
    lines.filter_map(|line| line.strip_prefix(ANSWER).map(str::to_owned))
}

/// Nothing by itself; with the variables above, what another test asked for.
#[test]
fn a_part_of_another_test() {
    let Ok(part) = std::env::var(PART) else { return };
    let kind: EngineKind = std::env::var(KIND).unwrap().parse().unwrap();
    let dir = std::env::var_os(DIR).unwrap();
    match part.as_str() {
        "write until killed" => atomicity::write_until_killed(kind, Path::new(&dir)),
        "open" => ownership::open_and_tell(kind, Path::new(&dir)),
        "read" => damage::read_and_tell(kind, Path::new(&dir)),
        other => panic!("no part named {other}"),
    }
}
