//! A disk as a file system of the kernel's, for processes that know nothing of it.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use fuser::{
    BackgroundSession, BsdFileFlags, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation,
    INodeNo, KernelConfig, LockOwner, MountOption, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData,
    ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, Request, TimeOrNow, WriteFlags,
};
use rand::rngs::SmallRng;

use super::disk::{Disk, Honesty, Inode, Node};
use super::switch::Switch;

/// Nothing changes but through the kernel, so it may keep what it was told.
const FOREVER: Duration = Duration::from_secs(1 << 20);
/// What the disk says it has and has free, in blocks: far more than any test writes.
const BLOCKS: u64 = 1 << 26;
const BLOCK_BYTES: u32 = 4096;
/// The longest write that the kernel hands on at once.
const WRITE_BYTES: u32 = 1 << 20;

/// A file system in memory whose power can be cut, mounted on a directory. Needs root and `/dev/fuse`. Dropped, it is
/// gone with all that it held; nothing may have a file of it open then.
#[derive(Debug)]
pub struct PowerDisk {
    at: PathBuf,
    switch: Arc<Switch>,
    honesty: Honesty,
    session: Option<BackgroundSession>,
}

impl PowerDisk {
    /// A new, empty one on a directory that is there.
    pub fn mount(at: &Path, honesty: Honesty) -> io::Result<Self> {
        let switch = Arc::new(Switch::new(Disk::new(honesty)));
        let mut disk = Self { at: at.to_owned(), switch, honesty, session: None };
        disk.mounts()?;
        Ok(disk)
    }

    /// The power will go after so many more changes to the disk, syncs included: before the next one has an effect.
    pub fn cut_after(&self, changes: u64) {
        self.switch.cut_after(changes);
    }

    /// The power goes now.
    pub fn cut(&self) {
        self.switch.cut();
    }

    /// Waits for the cut; `false` if it does not come within that time.
    pub fn waits_for_cut(&self, time: Duration) -> bool {
        self.switch.waits_for_cut(time)
    }

    /// Whoever still waits for the disk is told that it fails. To be said once all who use it have got their SIGKILL.
    pub fn turn_off(&self) {
        self.switch.turn_off();
    }

    /// How many changes there were, syncs included.
    pub fn changes(&self) -> u64 {
        self.switch.changes()
    }

    /// The power comes back: what was synced is there, and an arbitrary part of the rest. Nobody may have a file of it
    /// open.
    pub fn loses_power(&mut self, rng: &mut SmallRng) -> io::Result<()> {
        self.happens(|disk| disk.loses_power(rng))
    }

    /// The same, with nothing of the rest.
    pub fn loses_all_unsynced(&mut self) -> io::Result<()> {
        self.happens(Disk::loses_all_unsynced)
    }

    /// Goes on with all that was written, synced or not, as after the death of a process.
    pub fn keeps_all(&mut self) -> io::Result<()> {
        self.happens(Disk::keeps_all)
    }

    /// A new one takes its place.
    pub fn is_replaced(&mut self) -> io::Result<()> {
        let honesty = self.honesty;
        self.happens(|disk| *disk = Disk::new(honesty))
    }

    fn happens(&mut self, what: impl FnOnce(&mut Disk)) -> io::Result<()> {
        self.turn_off();
        self.unmounts()?;
        self.switch.turn_on(what);
        self.mounts()
    }

    fn mounts(&mut self) -> io::Result<()> {
        let mut config = Config::default();
        config.mount_options = vec![MountOption::FSName("sessile-power".into()), MountOption::NoAtime];
        self.session = Some(fuser::spawn_mount(Mounted(self.switch.clone()), &self.at, &config)?);
        Ok(())
    }

    fn unmounts(&mut self) -> io::Result<()> {
        match self.session.take().map_or(Ok(()), BackgroundSession::umount_and_join) {
            // So the kernel may say to the session that it has ended.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => Ok(()),
            ended => ended,
        }
    }
}

impl Drop for PowerDisk {
    fn drop(&mut self) {
        self.turn_off();
        let _ = self.unmounts();
    }
}

/// What the kernel asks.
#[derive(Debug)]
struct Mounted(Arc<Switch>);

impl Mounted {
    fn attributes(&self, inode: Inode) -> Result<FileAttr, rustix::io::Errno> {
        self.0.looks(|disk| {
            Ok(match disk.node(inode)? {
                Node::Directory(_) => attributes(inode, FileType::Directory, 0),
                Node::File(content) => attributes(inode, FileType::RegularFile, content.size()),
            })
        })
    }
}

fn attributes(inode: Inode, kind: FileType, size: u64) -> FileAttr {
    // No test looks at times, and whose a file is and what may be done with it is not kept.
    let then = SystemTime::UNIX_EPOCH;
    FileAttr {
        ino: INodeNo(inode),
        size,
        blocks: size.div_ceil(512),
        atime: then,
        mtime: then,
        ctime: then,
        crtime: then,
        kind,
        perm: if kind == FileType::Directory { 0o755 } else { 0o644 },
        nlink: 1,
        uid: rustix::process::getuid().as_raw(),
        gid: rustix::process::getgid().as_raw(),
        rdev: 0,
        blksize: BLOCK_BYTES,
        flags: 0,
    }
}

fn told(error: rustix::io::Errno) -> Errno {
    Errno::from_i32(error.raw_os_error())
}

/// Answers with nothing, or with the error.
fn done(result: Result<(), rustix::io::Errno>, reply: ReplyEmpty) {
    match result {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(told(error)),
    }
}

fn entry(result: Result<FileAttr, rustix::io::Errno>, reply: ReplyEntry) {
    match result {
        Ok(attributes) => reply.entry(&FOREVER, &attributes, Generation(0)),
        Err(error) => reply.error(told(error)),
    }
}

impl Filesystem for Mounted {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        // It is less only if the kernel cannot do more.
        let _ = config.set_max_write(WRITE_BYTES);
        let _ = config.set_max_readahead(WRITE_BYTES);
        Ok(())
    }

    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let found = self.0.looks(|disk| disk.lookup(parent.0, name));
        entry(found.and_then(|inode| self.attributes(inode)), reply);
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.attributes(ino.0) {
            Ok(attributes) => reply.attr(&FOREVER, &attributes),
            Err(error) => reply.error(told(error)),
        }
    }

    fn setattr(
        &self,
        request: &Request,
        ino: INodeNo,
        _mode: Option<u32>,
        _uid: Option<u32>,
        _gid: Option<u32>,
        size: Option<u64>,
        _atime: Option<TimeOrNow>,
        _mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        fh: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let resized = size.map_or(Ok(()), |size| self.0.changes_it(|disk| disk.resizes(ino.0, size)));
        match resized {
            Ok(()) => self.getattr(request, ino, fh, reply),
            Err(error) => reply.error(told(error)),
        }
    }

    fn mkdir(&self, _: &Request, parent: INodeNo, name: &OsStr, _mode: u32, _umask: u32, reply: ReplyEntry) {
        let made = self.0.changes_it(|disk| disk.makes_directory(parent.0, name));
        entry(made.and_then(|inode| self.attributes(inode)), reply);
    }

    fn create(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        _mode: u32,
        _umask: u32,
        _flags: i32,
        reply: ReplyCreate,
    ) {
        let made = self.0.changes_it(|disk| {
            let inode = disk.makes_file(parent.0, name)?;
            disk.opened(inode);
            Ok(attributes(inode, FileType::RegularFile, 0))
        });
        match made {
            Ok(made) => reply.created(&FOREVER, &made, Generation(0), FileHandle(0), FopenFlags::empty()),
            Err(error) => reply.error(told(error)),
        }
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        done(self.0.changes_it(|disk| disk.removes_file(parent.0, name)), reply);
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        done(self.0.changes_it(|disk| disk.removes_directory(parent.0, name)), reply);
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        newparent: INodeNo,
        newname: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        if !(flags - RenameFlags::RENAME_NOREPLACE).is_empty() {
            return reply.error(Errno::EINVAL);
        }
        let keep = flags.contains(RenameFlags::RENAME_NOREPLACE);
        let moved = self.0.changes_it(|disk| disk.moves((parent.0, name), (newparent.0, newname), keep));
        done(moved, reply);
    }

    fn open(&self, _: &Request, ino: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        match self.0.opens(ino.0) {
            Ok(()) => reply.opened(FileHandle(0), FopenFlags::empty()),
            Err(error) => reply.error(told(error)),
        }
    }

    fn release(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        self.0.closes(ino.0);
        reply.ok();
    }

    fn read(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        match self.0.looks(|disk| Ok(disk.file(ino.0)?.read(offset, size as usize))) {
            Ok(bytes) => reply.data(&bytes),
            Err(error) => reply.error(told(error)),
        }
    }

    fn write(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        match self.0.changes_it(|disk| disk.writes(ino.0, offset, data)) {
            Ok(()) => reply.written(u32::try_from(data.len()).unwrap_or(WRITE_BYTES)),
            Err(error) => reply.error(told(error)),
        }
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        // Closing a file makes nothing durable.
        reply.ok();
    }

    fn fsync(&self, _: &Request, ino: INodeNo, _: FileHandle, _datasync: bool, reply: ReplyEmpty) {
        done(self.0.changes_it(|disk| disk.syncs_file(ino.0)), reply);
    }

    fn fsyncdir(&self, _: &Request, ino: INodeNo, _: FileHandle, _datasync: bool, reply: ReplyEmpty) {
        done(self.0.changes_it(|disk| disk.syncs_directory(ino.0)), reply);
    }

    fn readdir(&self, _: &Request, ino: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let listed = self.0.looks(|disk| {
            let kind = |inode: Inode| match disk.node(inode) {
                Ok(Node::File(_)) => FileType::RegularFile,
                _ => FileType::Directory,
            };
            let names = disk.directory(ino.0)?.iter();
            Ok(names.map(|(name, inode)| (*inode, kind(*inode), name.clone())).collect::<Vec<_>>())
        });
        match listed {
            Ok(listed) => {
                // By number and not by place, so that names that are removed meanwhile make nobody miss another one.
                let mut listed = listed;
                listed.sort_unstable_by_key(|(inode, ..)| *inode);
                for (inode, kind, name) in listed.into_iter().filter(|(inode, ..)| *inode > offset) {
                    if reply.add(INodeNo(inode), inode, kind, &name) {
                        break;
                    }
                }
                reply.ok();
            }
            Err(error) => reply.error(told(error)),
        }
    }

    fn fallocate(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        if mode != 0 {
            return reply.error(Errno::EOPNOTSUPP);
        }
        let grown = self.0.changes_it(|disk| {
            let size = disk.file(ino.0)?.size();
            if offset + length > size { disk.resizes(ino.0, offset + length) } else { Ok(()) }
        });
        done(grown, reply);
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        reply.statfs(BLOCKS, BLOCKS, BLOCKS, BLOCKS, BLOCKS, BLOCK_BYTES, 255, BLOCK_BYTES);
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::io::Write as _;
    use std::os::unix::fs::FileExt as _;

    use rand::SeedableRng;

    use super::*;

    /// One to test, if this machine lets a test mount something.
    fn mounted() -> Option<(PowerDisk, tempfile::TempDir)> {
        let dir = tempfile::tempdir().unwrap();
        match PowerDisk::mount(dir.path(), Honesty::Honest) {
            Ok(disk) => Some((disk, dir)),
            Err(error) => {
                assert_ne!(rustix::process::getuid().as_raw(), 0, "root can mount: {error}");
                println!("skipped, it needs root and /dev/fuse: {error}");
                None
            }
        }
    }

    #[test]
    fn it_is_a_file_system() {
        let Some((_disk, dir)) = mounted() else { return };
        let at = |name: &str| dir.path().join(name);
        fs::create_dir_all(at("a/b")).unwrap();
        let written: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
        fs::write(at("a/b/file"), &written).unwrap();
        assert_eq!(fs::read(at("a/b/file")).unwrap(), written);
        let file = File::options().read(true).write(true).open(at("a/b/file")).unwrap();
        file.write_all_at(b"here", 4094).unwrap();
        file.set_len(4098).unwrap();
        file.sync_all().unwrap();
        assert_eq!(file.metadata().unwrap().len(), 4098);
        fs::rename(at("a/b/file"), at("moved")).unwrap();
        File::open(dir.path()).unwrap().sync_all().unwrap();
        assert_eq!(&fs::read(at("moved")).unwrap()[4090..], [&written[4090..4094], b"here"].concat());
        (0..500).for_each(|nth| fs::write(at(&format!("a/{nth}")), [1]).unwrap());
        assert_eq!(fs::read_dir(at("a")).unwrap().count(), 501);
        fs::remove_dir_all(at("a")).unwrap();
        let left: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["moved"]);
        let mut appended = File::options().append(true).open(at("moved")).unwrap();
        appended.write_all(b"!").unwrap();
        assert_eq!(fs::metadata(at("moved")).unwrap().len(), 4099);
        file.try_lock().unwrap();
        assert!(appended.try_lock().is_err(), "a lock is one");
    }

    #[test]
    fn a_cut_leaves_what_was_synced_and_not_what_came_after_it() {
        let Some((mut disk, dir)) = mounted() else { return };
        let path = dir.path().join("file");
        let mut rng = SmallRng::seed_from_u64(5);
        let mut file = File::create(&path).unwrap();
        file.write_all(b"synced").unwrap();
        file.sync_data().unwrap();
        File::open(dir.path()).unwrap().sync_all().unwrap();
        // Two changes more, and the next one waits for the end.
        disk.cut_after(2);
        let writer = std::thread::spawn(move || (0..3).map(|_| file.write_all(b", not synced")).collect::<Vec<_>>());
        assert!(disk.waits_for_cut(crate::PATIENCE));
        disk.turn_off();
        let told: Vec<bool> = writer.join().unwrap().iter().map(Result::is_ok).collect();
        assert_eq!(told, [true, true, false]);
        disk.loses_power(&mut rng).unwrap();
        let left = fs::read(&path).unwrap();
        assert!(left.starts_with(b"synced") && left.len() <= 30, "{}", String::from_utf8_lossy(&left));
        // And again, until there is nothing of what was not synced: the seeds of a run are the same in every run.
        let lost = (0..20).any(|_| {
            let mut file = File::create(&path).unwrap();
            file.sync_all().unwrap();
            file.write_all(b"not synced").unwrap();
            drop(file);
            disk.loses_power(&mut rng).unwrap();
            fs::read(&path).unwrap().is_empty()
        });
        assert!(lost);
        disk.is_replaced().unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn the_death_of_a_process_loses_nothing() {
        let Some((mut disk, dir)) = mounted() else { return };
        let path = dir.path().join("file");
        fs::write(&path, b"not synced").unwrap();
        disk.keeps_all().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"not synced");
    }
}
