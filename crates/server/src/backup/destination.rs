//! Where a backup is written: into a file that has its name only once all of it is there, or to standard output.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::STANDARD;
use crate::exit::{Failure, Status};

/// How much is gathered before it is written.
const BUFFER_BYTES: usize = 1 << 20;
/// Sessions are credentials: whoever made the backup reads it, and nobody else.
const MODE: u32 = 0o600;
/// What a backup that is not whole yet is called, behind its name.
pub(super) const PARTIAL: &str = ".partial";

/// What a backup is written to.
pub(super) struct Destination {
    out: BufWriter<Box<dyn Write + Send>>,
    file: Option<PartialFile>,
}

/// A file under another name. Dropped before it has its own, it is removed.
struct PartialFile {
    file: File,
    path: PathBuf,
    partial: PathBuf,
    is_whole: bool,
}

impl Destination {
    /// Begins. Nothing that is there is written over.
    pub(super) fn new(path: &Path) -> Result<Self, Failure> {
        if path == Path::new(STANDARD) {
            return Ok(Self { out: BufWriter::with_capacity(BUFFER_BYTES, Box::new(io::stdout())), file: None });
        }
        let failed = |what: String| Failure::new(Status::CannotCreate, what);
        if path.exists() {
            let sentence = format!("{} is there already, and was left as it is; name another file", path.display());
            return Err(failed(sentence));
        }
        let mut partial = path.as_os_str().to_owned();
        partial.push(PARTIAL);
        let partial = PathBuf::from(partial);
        let opened = OpenOptions::new().write(true).create(true).truncate(true).mode(MODE).open(&partial);
        let opened = opened.and_then(|file| Ok((file.try_clone()?, file)));
        let (file, out) = opened.map_err(|error| failed(format!("{} cannot be made: {error}", partial.display())))?;
        let file = PartialFile { file, path: path.to_owned(), partial, is_whole: false };
        Ok(Self { out: BufWriter::with_capacity(BUFFER_BYTES, Box::new(out)), file: Some(file) })
    }

    /// All of it is written: it becomes durable, and has its name from now on.
    pub(super) fn settle(mut self) -> io::Result<()> {
        self.out.flush()?;
        let Some(mut file) = self.file.take() else { return Ok(()) };
        file.file.sync_all()?;
        // Nobody else made one of that name meanwhile: a link fails where a rename would write over it.
        fs::hard_link(&file.partial, &file.path)?;
        file.is_whole = true;
        fs::remove_file(&file.partial)?;
        let parent = file.path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(parent)?.sync_all()
    }
}

impl Drop for PartialFile {
    fn drop(&mut self) {
        if !self.is_whole {
            // What cannot be removed has a name that says what it is.
            let _ = fs::remove_file(&self.partial);
        }
    }
}

impl Write for Destination {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_has_its_name_once_it_is_whole_and_only_its_user_reads_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sessions.backup");
        let mut cut_short = Destination::new(&path).unwrap();
        cut_short.write_all(b"half").unwrap();
        assert_eq!(names(dir.path()), ["sessions.backup.partial"]);
        drop(cut_short);
        assert!(names(dir.path()).is_empty(), "what is not whole does not stay");

        let mut whole = Destination::new(&path).unwrap();
        whole.write_all(b"all").unwrap();
        whole.settle().unwrap();
        assert_eq!(
            (names(dir.path()), fs::read(&path).unwrap()),
            (vec!["sessions.backup".to_owned()], b"all".to_vec())
        );
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);

        let refused = Destination::new(&path).err().unwrap();
        assert_eq!((refused.status(), fs::read(&path).unwrap()), (Status::CannotCreate, b"all".to_vec()));
        assert!(refused.to_string().contains("there already"), "{refused}");
        let refused = Destination::new(&dir.path().join("none/x")).err().unwrap().to_string();
        assert!(refused.contains("none/x.partial cannot be made"), "{refused}");
    }

    #[test]
    fn what_somebody_else_has_made_meanwhile_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("b");
        let mut destination = Destination::new(&path).unwrap();
        destination.write_all(b"mine").unwrap();
        fs::write(&path, "another's").unwrap();
        destination.settle().unwrap_err();
        assert_eq!((names(dir.path()), fs::read(&path).unwrap()), (vec!["b".to_owned()], b"another's".to_vec()));
    }
}
