//! What a process that holds sessions allows others to see of it: nothing. What it writes is for its own user, and it leaves
//! no image of its memory behind, where every session is in the clear.

use std::env;
use std::io;

use rustix::fs::Mode;
use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit, umask};

/// Set to 1, a node that crashes may leave a core dump, as the system is set up for that. For whoever looks for a defect.
pub(crate) const CORE_DUMPS: &str = "SESSILE_CORE_DUMPS";

/// From here on new files have no bits for the group and others, whatever library makes them, and there are no core dumps.
///
/// A process that cannot be dumped cannot be looked at with a debugger either, except by root, and its files in `/proc`
/// are root's.
///
/// # Errors
/// If the system refuses that core dumps are switched off.
pub(crate) fn close() -> io::Result<()> {
    umask(Mode::RWXG | Mode::RWXO);
    if env::var_os(CORE_DUMPS).is_some_and(|value| value == "1") {
        return Ok(());
    }
    // The hard limit stays: nothing is gained by lowering it, because nobody raises the soft one again.
    let Rlimit { maximum, .. } = getrlimit(Resource::Core);
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum })?;
    // A program that the kernel hands dumps to (core_pattern) need not ask for the limit. This it has to respect.
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    Ok(())
}
