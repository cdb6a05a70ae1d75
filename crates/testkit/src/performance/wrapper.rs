//! A program under limits that a process has to have before it begins: a shell script that sets them and becomes it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// Writes it. `before` are lines of the shell.
pub(super) fn wrap(program: &Path, before: &str, dir: &Path) -> Result<PathBuf, String> {
    let wrapped = dir.join("limited");
    let failed = |error| format!("{}: {error}", wrapped.display());
    let program = program.canonicalize().map_err(|error| format!("{}: {error}", program.display()))?;
    let text = format!("#!/bin/sh\nset -e\n{before}\nexec '{}' \"$@\"\n", program.display());
    fs::write(&wrapped, text).map_err(failed)?;
    fs::set_permissions(&wrapped, fs::Permissions::from_mode(0o755)).map_err(failed)?;
    Ok(wrapped)
}
