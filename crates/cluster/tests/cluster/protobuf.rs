//! The code in `proto/generated` is what the files in `proto` say. It is kept in the repository because making it takes a
//! compiler of its own, which took every build from a clone a tenth of its time.
//!
//! After a change in `proto`: `SESSILE_REGENERATE_GOLDEN=1 cargo test -p sessile-cluster --test cluster protobuf`.

use std::fs;
use std::path::{Path, PathBuf};

use prost::Message;
use prost_types::FileDescriptorSet;

/// Set to anything, the generated files are written anew instead of compared.
const REGENERATE: &str = "SESSILE_REGENERATE_GOLDEN";

fn proto() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto")
}

fn compiled(files: &[&str]) -> FileDescriptorSet {
    protox::compile(files.iter().map(|file| format!("sessile/v1/{file}.proto")), [proto()]).unwrap()
}

/// The one file that a generator writes.
fn generated(write: impl FnOnce(&Path)) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path());
    fs::read(dir.path().join("sessile.v1.rs")).unwrap()
}

fn messages(files: &[&str]) -> Vec<u8> {
    generated(|dir| {
        let mut config = prost_build::Config::new();
        // Messages carry session keys and values, so none can be printed.
        config.out_dir(dir).bytes(["."]).skip_debug(["."]).compile_fds(compiled(files)).unwrap();
    })
}

fn services(files: FileDescriptorSet) -> Vec<u8> {
    generated(|dir| tonic_prost_build::configure().out_dir(dir).bytes(".").compile_fds(files).unwrap())
}

#[test]
fn the_generated_code_is_what_the_protobuf_files_say() {
    let cluster = compiled(&["peer", "admin"]);
    let files = [
        ("core.rs", messages(&["command", "outcome"])),
        ("store.rs", messages(&["log", "snapshot"])),
        ("descriptors.bin", cluster.encode_to_vec()),
        ("cluster.rs", services(cluster)),
    ];
    let mut stale = Vec::new();
    for (name, made) in files {
        let path = proto().join("generated").join(name);
        if fs::read(&path).is_ok_and(|kept| kept == made) {
            continue;
        }
        if std::env::var_os(REGENERATE).is_some() {
            fs::write(&path, made).unwrap();
        } else {
            stale.push(name);
        }
    }
    assert!(
        stale.is_empty(),
        "not what proto/ says: {stale:?}; test once with {REGENERATE}=1, and commit what it writes"
    );
}
