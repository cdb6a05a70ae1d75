//! Disks that forget what was not synced.
//!
//! A node's files are real files in memory: what they hold is what the kernel's page cache would. Beside them stands what
//! each fsync made durable: a file's bytes with an fsync of the file, a name with one of its directory. When the power
//! goes, each directory is as it was synced or as it is, and of a file's bytes that were not synced any sectors may have
//! reached the disk.
//!
//! `power` is another one, with a rule of its own: it stands under real processes as a file system, sees every change in its
//! order and may leave what was there in between, while this one, in the simulation's own process, is told of fsyncs alone
//! and so knows two moments of a file, the synced one and the last.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::fd::RawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rand::Rng;
use rand::rngs::SmallRng;

/// What a disk writes as a whole or not at all.
const SECTOR: usize = 512;

/// A file's or a directory's number, for as long as it is there.
type Inode = u64;

/// The disk of one node.
#[derive(Debug)]
pub(super) struct Disk {
    root: PathBuf,
    /// What was synced of each file.
    files: BTreeMap<Inode, Vec<u8>>,
    /// What was synced of each directory.
    directories: BTreeMap<Inode, BTreeMap<OsString, Inode>>,
    /// How many syncs go well until one fails, if one is to.
    pub(super) fails_after: Option<u32>,
    /// Whether an fsync of the Raft log answers at once, and is done at the next fsync of anything: a cache that lies.
    log_lags: bool,
    /// What the last fsync of the log saw, until it is done.
    lagging: Option<(Inode, Vec<u8>)>,
}

/// Files and directories, as they are at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Tree {
    File(Vec<u8>),
    Directory(BTreeMap<OsString, Tree>),
}

impl Tree {
    /// Empties every file below one directory.
    fn empty_files_of(&mut self, directory: &str) {
        fn empty(tree: &mut Tree) {
            match tree {
                Tree::File(bytes) => bytes.clear(),
                Tree::Directory(entries) => entries.values_mut().for_each(empty),
            }
        }
        if let Self::Directory(entries) = self
            && let Some(below) = entries.get_mut(&OsString::from(directory))
        {
            empty(below);
        }
    }
}

/// The same, with their numbers.
enum Numbered {
    File(Inode, Vec<u8>),
    Directory(Inode, BTreeMap<OsString, Numbered>),
}

impl Disk {
    /// An empty one. `root` must not be there.
    pub(super) fn new(root: PathBuf, log_lags: bool) -> io::Result<Self> {
        fs::create_dir(&root)?;
        let (files, directories) = (BTreeMap::new(), BTreeMap::new());
        let mut disk = Self { root, files, directories, fails_after: None, log_lags, lagging: None };
        disk.everything_is_durable()?;
        Ok(disk)
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// An fsync of one of its files or directories.
    pub(super) fn sync(&mut self, file: RawFd) -> io::Result<()> {
        match &mut self.fails_after {
            Some(0) => return Err(io::ErrorKind::StorageFull.into()),
            Some(left) => *left -= 1,
            None => {}
        }
        if let Some((inode, bytes)) = self.lagging.take() {
            self.files.insert(inode, bytes);
        }
        let path = PathBuf::from(format!("/proc/self/fd/{file}"));
        let metadata = fs::metadata(&path)?;
        let inode = metadata.ino();
        if metadata.is_dir() {
            self.directories.insert(inode, list(&path)?);
        } else if self.log_lags && fs::read_link(&path)?.extension().is_some_and(|kind| kind == "seg") {
            self.lagging = Some((inode, fs::read(&path)?));
        } else {
            self.files.insert(inode, fs::read(&path)?);
        }
        Ok(())
    }

    /// What the page cache holds.
    pub(super) fn cached(&self) -> io::Result<Tree> {
        Ok(read(&self.root)?.into())
    }

    /// What the page cache holds, and of the state's files only the names: somebody's mistake, or a disk's.
    pub(super) fn without_state(&self) -> io::Result<Tree> {
        let mut left = self.cached()?;
        left.empty_files_of("state");
        Ok(left)
    }

    /// What the disk holds for sure.
    pub(super) fn durable(&self) -> io::Result<Tree> {
        let root = fs::metadata(&self.root)?.ino();
        let cached = read(&self.root)?;
        Ok(self.survives(root, Some(&cached), &mut Numbers::default_of(&cached), &mut |_, _| Chance::Synced))
    }

    /// What a power cut leaves: what is durable, and by chance some of what is not.
    pub(super) fn after_power_cut(&self, rng: &mut SmallRng) -> io::Result<Tree> {
        let root = fs::metadata(&self.root)?.ino();
        let cached = read(&self.root)?;
        let mut numbers = Numbers::default_of(&cached);
        let lags = |inode| self.lagging.as_ref().is_some_and(|(lagging, _)| *lagging == inode);
        let mut chance = |inode: Inode, sectors: usize| match rng.random_range(0..5) {
            // The cache has them all, or none.
            _ if lags(inode) => Chance::Synced,
            0 | 1 => Chance::Synced,
            2 => Chance::Cached,
            _ => Chance::Sectors((0..sectors).map(|_| rng.random()).collect()),
        };
        Ok(self.survives(root, Some(&cached), &mut numbers, &mut chance))
    }

    /// Puts that in the place of all files. It is durable.
    pub(super) fn becomes(&mut self, tree: &Tree) -> io::Result<()> {
        fs::remove_dir_all(&self.root)?;
        write(&self.root, tree)?;
        self.everything_is_durable()
    }

    fn everything_is_durable(&mut self) -> io::Result<()> {
        self.lagging = None;
        self.files.clear();
        self.directories.clear();
        let tree = read(&self.root)?;
        self.remember(tree);
        Ok(())
    }

    fn remember(&mut self, tree: Numbered) {
        match tree {
            Numbered::File(inode, bytes) => drop(self.files.insert(inode, bytes)),
            Numbered::Directory(inode, entries) => {
                let names = entries.iter().map(|(name, entry)| (name.clone(), entry.inode())).collect();
                self.directories.insert(inode, names);
                entries.into_values().for_each(|entry| self.remember(entry));
            }
        }
    }

    /// What is left of a file or directory.
    fn survives(
        &self,
        inode: Inode,
        cached: Option<&Numbered>,
        numbers: &mut Numbers<'_>,
        chance: &mut impl FnMut(Inode, usize) -> Chance,
    ) -> Tree {
        if let Some(Numbered::File(_, cached)) = cached {
            return Tree::File(mix(self.files.get(&inode), Some(cached), chance, inode));
        }
        let synced = self.directories.get(&inode);
        let entries = match cached {
            Some(Numbered::Directory(_, entries)) => Some(entries),
            _ => None,
        };
        if synced.is_none() && entries.is_none() {
            // Removed, and found again by a name that was synced: a file.
            return Tree::File(mix(self.files.get(&inode), None, chance, inode));
        }
        let as_it_is = entries.is_some() && matches!(chance(inode, 1), Chance::Cached);
        let names: BTreeMap<OsString, Inode> = match (as_it_is, synced, entries) {
            (true, _, Some(entries)) => entries.iter().map(|(name, entry)| (name.clone(), entry.inode())).collect(),
            (_, Some(synced), _) => synced.clone(),
            (..) => BTreeMap::new(),
        };
        let survives = |(name, inode): (OsString, Inode)| {
            let cached = numbers.0.get(&inode).copied();
            let tree = self.survives(inode, cached, numbers, chance);
            (name, tree)
        };
        Tree::Directory(names.into_iter().map(survives).collect())
    }
}

/// What chance makes of what was not synced.
enum Chance {
    Synced,
    Cached,
    /// For each sector, whether it is the cached one.
    Sectors(Vec<bool>),
}

/// Everything cached, by its number: what was renamed is found where it was synced.
struct Numbers<'a>(BTreeMap<Inode, &'a Numbered>);

impl<'a> Numbers<'a> {
    fn default_of(tree: &'a Numbered) -> Self {
        let mut numbers = Self(BTreeMap::new());
        numbers.add(tree);
        numbers
    }

    fn add(&mut self, tree: &'a Numbered) {
        self.0.insert(tree.inode(), tree);
        if let Numbered::Directory(_, entries) = tree {
            entries.values().for_each(|entry| self.add(entry));
        }
    }
}

fn mix(
    synced: Option<&Vec<u8>>,
    cached: Option<&Vec<u8>>,
    chance: &mut impl FnMut(Inode, usize) -> Chance,
    inode: Inode,
) -> Vec<u8> {
    let synced = synced.cloned().unwrap_or_default();
    let Some(cached) = cached.filter(|cached| **cached != synced) else { return synced };
    match chance(inode, cached.len().div_ceil(SECTOR)) {
        Chance::Synced => synced,
        Chance::Cached => cached.clone(),
        Chance::Sectors(from_cache) => {
            let mut mixed = synced;
            // The size is metadata, and comes before the bytes; what was never written reads as zeros.
            mixed.resize(cached.len(), 0);
            for (nth, from_cache) in from_cache.into_iter().enumerate() {
                let sector = nth * SECTOR..cached.len().min((nth + 1) * SECTOR);
                if from_cache {
                    mixed[sector.clone()].copy_from_slice(&cached[sector]);
                }
            }
            mixed
        }
    }
}

impl Numbered {
    fn inode(&self) -> Inode {
        match self {
            Self::File(inode, _) | Self::Directory(inode, _) => *inode,
        }
    }
}

impl From<Numbered> for Tree {
    fn from(tree: Numbered) -> Self {
        match tree {
            Numbered::File(_, bytes) => Self::File(bytes),
            Numbered::Directory(_, entries) => {
                Self::Directory(entries.into_iter().map(|(name, entry)| (name, entry.into())).collect())
            }
        }
    }
}

fn list(directory: &Path) -> io::Result<BTreeMap<OsString, Inode>> {
    fs::read_dir(directory)?
        .map(|entry| entry.and_then(|entry| Ok((entry.file_name(), entry.metadata()?.ino()))))
        .collect()
}

fn read(path: &Path) -> io::Result<Numbered> {
    let metadata = fs::metadata(path)?;
    if metadata.is_file() {
        return Ok(Numbered::File(metadata.ino(), fs::read(path)?));
    }
    let entries = fs::read_dir(path)?.map(|entry| {
        let entry = entry?;
        Ok((entry.file_name(), read(&entry.path())?))
    });
    Ok(Numbered::Directory(metadata.ino(), entries.collect::<io::Result<_>>()?))
}

fn write(path: &Path, tree: &Tree) -> io::Result<()> {
    match tree {
        Tree::File(bytes) => fs::write(path, bytes),
        Tree::Directory(entries) => {
            fs::create_dir(path)?;
            entries.iter().try_for_each(|(name, entry)| write(&path.join(name), entry))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write;
    use std::os::fd::AsRawFd;

    use rand::SeedableRng;

    use super::*;

    #[test]
    fn a_power_cut_keeps_what_was_synced_and_nothing_else_for_sure() {
        let scratch = tempfile::tempdir().unwrap();
        let mut disk = Disk::new(scratch.path().join("n1"), false).unwrap();
        let root = File::open(disk.root()).unwrap();
        let mut kept = File::create(disk.root().join("kept")).unwrap();
        kept.write_all(&[1; 2000]).unwrap();
        disk.sync(kept.as_raw_fd()).unwrap();
        disk.sync(root.as_raw_fd()).unwrap();
        kept.write_all(&[2; 2000]).unwrap();
        fs::write(disk.root().join("lost"), [3; 10]).unwrap();
        let synced = Tree::File(vec![1; 2000]);
        assert_eq!(disk.durable().unwrap(), Tree::Directory([("kept".into(), synced)].into()));
        let mut lost = 0;
        for seed in 0..100 {
            let Tree::Directory(left) = disk.after_power_cut(&mut SmallRng::seed_from_u64(seed)).unwrap() else {
                panic!("a directory became a file");
            };
            let Some(Tree::File(bytes)) = left.get(&OsString::from("kept")) else { panic!("its name was synced") };
            assert_eq!(bytes[..2000], [1; 2000], "synced bytes stay");
            lost += usize::from(!left.contains_key(&OsString::from("lost")));
        }
        assert!((1..100).contains(&lost), "a name that was not synced stays or goes: {lost}");
    }
}
