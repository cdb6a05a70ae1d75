use std::path::PathBuf;

use crate::StoreError;
use crate::codec::{seal, unseal};
use crate::data_dir::{DataDir, remove_durably, write_durably};

/// The key in use.
const KEY: &str = "KEY";
/// The key that is to be in use once every member knows it.
const NEXT_KEY: &str = "NEXT_KEY";

/// A node's secret key, in its data directory and for its user only. What a key is, whoever makes it knows: here it is bytes
/// behind a checksum.
#[derive(Debug, Clone)]
pub struct KeyFile {
    dir: PathBuf,
}

impl KeyFile {
    pub(crate) fn new(dir: &DataDir) -> Self {
        Self { dir: dir.path().into() }
    }

    /// Where it is.
    pub fn path(&self) -> PathBuf {
        self.dir.join(KEY)
    }

    /// The key in use; `None` if there is none.
    ///
    /// # Errors
    /// The disk, or the file is damaged.
    pub fn read(&self) -> Result<Option<Vec<u8>>, StoreError> {
        self.read_file(KEY)
    }

    /// Keeps a key as the one in use, durably: it outlives a crash before anybody hears of it.
    ///
    /// # Errors
    /// The disk.
    pub fn write(&self, secret: &[u8]) -> Result<(), StoreError> {
        self.write_file(KEY, secret)
    }

    /// The key that is to be in use next; `None` if none is.
    ///
    /// # Errors
    /// The disk, or the file is damaged.
    pub fn read_next(&self) -> Result<Option<Vec<u8>>, StoreError> {
        self.read_file(NEXT_KEY)
    }

    /// Keeps a key as the next one, durably.
    ///
    /// # Errors
    /// The disk.
    pub fn write_next(&self, secret: &[u8]) -> Result<(), StoreError> {
        self.write_file(NEXT_KEY, secret)
    }

    /// The next key is the one in use from now on, durably. A crash in between leaves both files with that key.
    ///
    /// # Errors
    /// The disk, or the file is damaged.
    pub fn use_next(&self) -> Result<(), StoreError> {
        let Some(secret) = self.read_next()? else { return Ok(()) };
        self.write(&secret)?;
        remove_durably(&self.dir, NEXT_KEY)
    }

    fn read_file(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let path = self.dir.join(name);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(StoreError::Io { action: "read", path, source }),
        };
        let what = |error| format!("{name}, this node's secret key, cannot be read: {error}");
        unseal(&bytes).map(Some).map_err(|error| StoreError::Disagree { dir: self.dir.clone(), what: what(error) })
    }

    fn write_file(&self, name: &str, secret: &[u8]) -> Result<(), StoreError> {
        write_durably(&self.dir.join(name), &seal(&secret))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_is_for_its_node_alone_and_damage_to_it_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let keys = KeyFile::new(&DataDir::open(dir.path()).unwrap());
        assert_eq!(keys.read().unwrap(), None);
        keys.write(b"secret").unwrap();
        assert_eq!(keys.read().unwrap().as_deref(), Some(&b"secret"[..]));
        assert_eq!(std::fs::metadata(keys.path()).unwrap().permissions().mode() & 0o777, 0o600);

        keys.write_next(b"another").unwrap();
        assert_eq!(keys.read().unwrap().as_deref(), Some(&b"secret"[..]), "not before it is said");
        keys.use_next().unwrap();
        assert_eq!((keys.read().unwrap().as_deref(), keys.read_next().unwrap()), (Some(&b"another"[..]), None));
        keys.use_next().unwrap();
        assert_eq!(keys.read().unwrap().as_deref(), Some(&b"another"[..]), "there is no next one any more");

        let mut flipped = std::fs::read(keys.path()).unwrap();
        *flipped.last_mut().unwrap() ^= 1;
        std::fs::write(keys.path(), flipped).unwrap();
        let refused = keys.read().unwrap_err().to_string();
        assert!(refused.contains("KEY") && !refused.contains("another"), "{refused}");
    }
}
