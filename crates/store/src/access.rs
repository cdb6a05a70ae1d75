//! Who may read what a node keeps on its disk: the user that it runs as, and nobody else. What lies there are credentials.
//!
//! Whatever this crate makes itself it makes with these modes, whatever the process's umask is. What a library makes has the
//! umask's, inside directories that nobody else may enter.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tracing::warn;

/// Of a file: its owner reads and writes it.
const FILE_MODE: u32 = 0o600;
/// Of a directory: its owner enters it.
const DIRECTORY_MODE: u32 = 0o700;
/// What the group and others may do.
const OTHERS: u32 = 0o077;

/// How a file is made here.
pub(crate) fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(FILE_MODE);
    options
}

/// As [`File::create`].
pub(crate) fn create(path: impl AsRef<Path>) -> io::Result<File> {
    options().write(true).create(true).truncate(true).open(path)
}

/// As [`fs::create_dir`].
pub(crate) fn create_dir(path: impl AsRef<Path>) -> io::Result<()> {
    DirBuilder::new().mode(DIRECTORY_MODE).create(path)
}

/// As [`fs::create_dir_all`].
pub(crate) fn create_dir_all(path: impl AsRef<Path>) -> io::Result<()> {
    DirBuilder::new().mode(DIRECTORY_MODE).recursive(true).create(path)
}

/// Takes a directory, and all that is in it, away from everybody but its owner: programs of before made it readable for
/// all. What belongs to another user stays as it is, and the log says so.
pub(crate) fn close_to_others(directory: &Path) {
    let mut open = Vec::new();
    close(directory, true, &mut open);
    if let Some(first) = open.first() {
        warn!(
            path = %first.display(), count = open.len(),
            "other users may read what is stored, and this one may not change that; have its owner run `chmod -R go= {}`",
            directory.display()
        );
    }
}

/// `follow`: the data directory itself may be a link, and what it leads to is meant. A link inside is not followed.
fn close(path: &Path, follow: bool, open: &mut Vec<PathBuf>) {
    let metadata = if follow { fs::metadata(path) } else { fs::symlink_metadata(path) };
    let Ok(metadata) = metadata else { return };
    if metadata.is_symlink() {
        return;
    }
    let mode = metadata.permissions().mode();
    if mode & OTHERS != 0 && fs::set_permissions(path, PermissionsExt::from_mode(mode & !OTHERS)).is_err() {
        open.push(path.to_owned());
    }
    // One that cannot be listed is closed to this user, too.
    if metadata.is_dir()
        && let Ok(entries) = fs::read_dir(path)
    {
        entries.flatten().for_each(|entry| close(&entry.path(), false, open));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn what_was_open_to_others_is_closed_and_what_a_link_leads_to_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let (data, elsewhere) = (dir.path().join("data"), dir.path().join("elsewhere"));
        fs::create_dir_all(data.join("log")).unwrap();
        fs::write(data.join("log/1.seg"), "a session").unwrap();
        fs::write(&elsewhere, "somebody else's").unwrap();
        std::os::unix::fs::symlink(&elsewhere, data.join("link")).unwrap();
        for (path, before) in [(data.clone(), 0o2775), (data.join("log"), 0o755), (data.join("log/1.seg"), 0o664)] {
            fs::set_permissions(path, PermissionsExt::from_mode(before)).unwrap();
        }
        fs::set_permissions(&elsewhere, PermissionsExt::from_mode(0o644)).unwrap();
        close_to_others(&data);
        assert_eq!((mode(&data), mode(&data.join("log")), mode(&data.join("log/1.seg"))), (0o2700, 0o700, 0o600));
        assert_eq!(mode(&elsewhere), 0o644);
    }

    #[test]
    fn what_is_made_here_is_the_owners_alone() {
        let dir = tempfile::tempdir().unwrap();
        create_dir_all(dir.path().join("a/b")).unwrap();
        create_dir(dir.path().join("c")).unwrap();
        create(dir.path().join("f")).unwrap();
        for (name, expected) in [("a", 0o700), ("a/b", 0o700), ("c", 0o700), ("f", 0o600)] {
            assert_eq!(mode(&dir.path().join(name)), expected, "{name}");
        }
    }
}
