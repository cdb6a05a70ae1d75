//! The seeds of the fuzz targets. Each crate's tests include this file: they hold every seed to the property that the
//! target of that name fuzzes, and can write anew those that are made from real encodings.

use std::fs;
use std::path::Path;

/// Set to anything, seeds that are made are written anew.
const REGENERATE: &str = "SESSILE_REGENERATE_GOLDEN";

/// Holds every seed of `target` to `property`. Those named in `made` have to be among them.
pub(crate) fn hold(target: &str, made: &[(&str, Vec<u8>)], property: impl Fn(&[u8])) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    if std::env::var_os(REGENERATE).is_some() {
        fs::create_dir_all(&directory).unwrap();
        for (name, bytes) in made {
            fs::write(directory.join(name), bytes).unwrap();
        }
    }
    for (name, _) in made {
        assert!(directory.join(name).is_file(), "{target}/{name} is not there; test once with {REGENERATE}=1");
    }
    for entry in fs::read_dir(&directory).unwrap() {
        let path = entry.unwrap().path();
        println!("{}", path.display());
        property(&fs::read(path).unwrap());
    }
}
