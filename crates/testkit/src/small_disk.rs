use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{FallocateFlags, fallocate};
use tempfile::TempDir;

/// What a node needs for its log, its state and their successors, and half as much again.
const BYTES: u64 = 256 << 20;
/// The first piece that a ballast takes; when it does not fit, half of it.
const PIECE_BYTES: u64 = 64 << 20;
const SMALLEST_PIECE_BYTES: u64 = 1 << 10;
/// A file of nothing.
const BALLAST: &str = "ballast";

/// An ext4 of its own on a directory, small enough to be filled up. Needs root, loop devices and `mkfs.ext4`. Dropped, it
/// is gone with all that it held; nothing may have a file of it open then.
#[derive(Debug)]
pub struct SmallDisk {
    at: PathBuf,
    _image: TempDir,
}

/// What fills a [`SmallDisk`] up, and goes again.
#[derive(Debug, Clone)]
pub struct Ballast(PathBuf);

impl SmallDisk {
    /// A new, empty one.
    pub fn mount(at: &Path) -> io::Result<Self> {
        Self::mount_with(at, BYTES, None)
    }

    /// The same of another size in bytes, and with room for so many files and directories only, if that is given.
    pub fn mount_with(at: &Path, bytes: u64, inodes: Option<u64>) -> io::Result<Self> {
        let dir = tempfile::Builder::new().prefix("sessile-small-disk-").tempdir()?;
        let image = dir.path().join("image");
        File::create(&image)?.set_len(bytes)?;
        let mut mkfs = Command::new("mkfs.ext4");
        // Nothing is kept for root, who runs the tests.
        mkfs.args(["-q", "-F", "-m", "0"]);
        if let Some(inodes) = inodes {
            mkfs.args(["-N", &inodes.to_string()]);
        }
        run(mkfs.arg(&image))?;
        run(Command::new("mount").args(["-o", "loop"]).args([&*image, at]))?;
        Ok(Self { at: at.to_owned(), _image: dir })
    }

    /// To fill it up with.
    pub fn ballast(&self) -> Ballast {
        Ballast(self.at.join(BALLAST))
    }
}

impl Ballast {
    /// Takes all the room that there is.
    pub fn fills(&self) -> io::Result<()> {
        let file = File::create(&self.0)?;
        let (mut end, mut piece) = (0, PIECE_BYTES);
        while piece >= SMALLEST_PIECE_BYTES {
            match fallocate(&file, FallocateFlags::empty(), end, piece) {
                Ok(()) => end += piece,
                Err(rustix::io::Errno::NOSPC) => piece /= 2,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Takes so much that so many bytes are left.
    pub fn leaves(&self, bytes: u64) -> io::Result<()> {
        let file = File::create(&self.0)?;
        let space = rustix::fs::fstatvfs(&file)?;
        let takes = (space.f_bavail * space.f_frsize).saturating_sub(bytes);
        if takes > 0 {
            fallocate(&file, FallocateFlags::empty(), 0, takes)?;
        }
        Ok(())
    }

    /// Gives it back.
    pub fn goes(&self) -> io::Result<()> {
        fs::remove_file(&self.0)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = run(Command::new("umount").arg(&self.at));
    }
}

fn run(command: &mut Command) -> io::Result<()> {
    let ended = command.output()?;
    if ended.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&ended.stderr);
    Err(io::Error::other(format!("{command:?}: {}", said.trim())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_filled_up_and_freed_again() {
        let dir = tempfile::tempdir().unwrap();
        let disk = match SmallDisk::mount(dir.path()) {
            Ok(disk) => disk,
            Err(error) => return println!("skipped, it needs root, loop devices and mkfs.ext4: {error}"),
        };
        let (path, ballast) = (dir.path().join("file"), disk.ballast());
        fs::write(&path, [1; 4096]).unwrap();
        ballast.fills().unwrap();
        let full = fs::write(dir.path().join("another"), [1; 4096]).unwrap_err();
        assert_eq!(full.kind(), io::ErrorKind::StorageFull);
        ballast.goes().unwrap();
        ballast.leaves(8 << 20).unwrap();
        let too_much = fs::write(dir.path().join("another"), vec![1; 9 << 20]).unwrap_err();
        assert_eq!(too_much.kind(), io::ErrorKind::StorageFull);
        fs::write(dir.path().join("another"), vec![1; 1 << 20]).unwrap();
        drop(disk);
        assert!(!path.exists());
    }
}
