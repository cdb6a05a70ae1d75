//! Libraries that are preloaded into a process to stand between it and libc.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Compiles one into that directory. A warning is an error.
pub(crate) fn compile(dir: &Path, name: &str, source: &str) -> io::Result<PathBuf> {
    let (file, library) = (dir.join(format!("{name}.c")), dir.join(format!("{name}.so")));
    std::fs::write(&file, source)?;
    let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
    let compiled = Command::new(compiler)
        .args(["-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-o"])
        .args([&library, &file])
        .arg("-ldl")
        .output()?;
    if !compiled.status.success() || !compiled.stderr.is_empty() {
        return Err(io::Error::other(String::from_utf8_lossy(&compiled.stderr).into_owned()));
    }
    Ok(library)
}
