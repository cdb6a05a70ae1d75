//! Makes the code in `proto/generated` of the files in `proto`. It is kept in the repository, because the compiler that it
//! takes was a tenth of every build from a clone.
//!
//! After a change in `proto`: `cargo run -p sessile-codegen`, and commit what it writes. A test fails when that is missing.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use prost::Message;
use prost_types::FileDescriptorSet;

/// What is generated: the name of a file, and what is in it.
type Generated = (&'static str, Vec<u8>);

fn main() -> Result<(), Box<dyn Error>> {
    for (name, content) in generate()? {
        fs::write(directory().join("generated").join(name), content)?;
    }
    Ok(())
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto")
}

fn generate() -> Result<Vec<Generated>, Box<dyn Error>> {
    let services = compile(&["peer", "admin"])?;
    Ok(vec![
        ("core.rs", messages(compile(&["command", "outcome"])?)?),
        ("store.rs", messages(compile(&["log", "snapshot", "backup"])?)?),
        // What reflection shows.
        ("descriptors.bin", services.encode_to_vec()),
        ("cluster.rs", messages_and_services(services)?),
    ])
}

fn compile(files: &[&str]) -> Result<FileDescriptorSet, Box<dyn Error>> {
    Ok(protox::compile(files.iter().map(|file| format!("sessile/v1/{file}.proto")), [directory()])?)
}

fn messages(files: FileDescriptorSet) -> Result<Vec<u8>, Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    // They carry session keys and values, so none can be printed.
    prost_build::Config::new().out_dir(dir.path()).bytes(["."]).skip_debug(["."]).compile_fds(files)?;
    only_file(dir.path())
}

fn messages_and_services(files: FileDescriptorSet) -> Result<Vec<u8>, Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    tonic_prost_build::configure().out_dir(dir.path()).bytes(".").compile_fds(files)?;
    only_file(dir.path())
}

/// All files are of one protobuf package.
fn only_file(dir: &Path) -> Result<Vec<u8>, Box<dyn Error>> {
    Ok(fs::read(dir.join("sessile.v1.rs"))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generated_code_is_what_the_protobuf_files_say() {
        let is_stale =
            |(name, made): &Generated| fs::read(directory().join("generated").join(name)).ok().as_ref() != Some(made);
        let stale: Vec<_> = generate().unwrap().into_iter().filter(is_stale).map(|(name, _)| name).collect();
        assert!(stale.is_empty(), "{stale:?} are not what proto/ says: `cargo run -p sessile-codegen` makes them anew");
    }
}
