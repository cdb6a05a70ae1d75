//! Names and files, with what is durable of them and what is not yet.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};

use rand::Rng;
use rand::rngs::SmallRng;
use rustix::io::Errno;

use super::content::Content;
use super::torn::{self, Change};

/// The number of a file or directory.
pub(super) type Inode = u64;
/// That of the directory at the top.
pub(super) const ROOT: Inode = 1;

/// Whether the disk does what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Honesty {
    /// What was synced is durable.
    #[default]
    Honest,
    /// It says so, and nothing is durable until later: to see whether a test notices.
    Lies,
}

/// A disk. What processes see is `now`; what no power cut can take is `durable`.
#[derive(Debug, Clone)]
pub(super) struct Disk {
    honesty: Honesty,
    now: Tree,
    durable: Tree,
    /// What was done to names since they were synced, in order.
    names: Vec<Renaming>,
    /// What was done to files since each was synced.
    data: BTreeMap<Inode, Vec<Change>>,
    /// How often each is open. What is open may have no name.
    open: BTreeMap<Inode, usize>,
    next: Inode,
}

/// What a name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Node {
    Directory(BTreeMap<OsString, Inode>),
    File(Content),
}

type Tree = BTreeMap<Inode, Node>;

/// Where a name stands.
type Place = (Inode, OsString);

/// A change to names.
#[derive(Debug, Clone)]
enum Renaming {
    Added(Place, Inode),
    Removed(Place),
    Moved(Place, Place),
}

impl Renaming {
    /// The directories that it is part of.
    fn directories(&self) -> Vec<Inode> {
        match self {
            Self::Added((directory, _), _) | Self::Removed((directory, _)) => vec![*directory],
            Self::Moved((from, _), (to, _)) => vec![*from, *to],
        }
    }

    fn applies_to(&self, tree: &mut Tree) {
        match self {
            Self::Added((directory, name), inode) => drop(names(tree, *directory).insert(name.clone(), *inode)),
            Self::Removed((directory, name)) => drop(names(tree, *directory).remove(name)),
            Self::Moved((from, name), (to, new)) => {
                if let Some(inode) = names(tree, *from).remove(name) {
                    names(tree, *to).insert(new.clone(), inode);
                }
            }
        }
    }
}

/// The names in a directory that is one.
fn names(tree: &mut Tree, directory: Inode) -> &mut BTreeMap<OsString, Inode> {
    match tree.entry(directory).or_insert_with(|| Node::Directory(BTreeMap::new())) {
        Node::Directory(names) => names,
        Node::File(_) => unreachable!("a name was made in {directory}, which is a file"),
    }
}

impl Disk {
    /// An empty one.
    pub(super) fn new(honesty: Honesty) -> Self {
        let tree = Tree::from([(ROOT, Node::Directory(BTreeMap::new()))]);
        Self {
            honesty,
            now: tree.clone(),
            durable: tree,
            names: Vec::new(),
            data: BTreeMap::new(),
            open: BTreeMap::new(),
            next: ROOT + 1,
        }
    }

    pub(super) fn node(&self, inode: Inode) -> Result<&Node, Errno> {
        self.now.get(&inode).ok_or(Errno::NOENT)
    }

    pub(super) fn directory(&self, inode: Inode) -> Result<&BTreeMap<OsString, Inode>, Errno> {
        match self.node(inode)? {
            Node::Directory(names) => Ok(names),
            Node::File(_) => Err(Errno::NOTDIR),
        }
    }

    pub(super) fn file(&self, inode: Inode) -> Result<&Content, Errno> {
        match self.node(inode)? {
            Node::File(content) => Ok(content),
            Node::Directory(_) => Err(Errno::ISDIR),
        }
    }

    pub(super) fn lookup(&self, directory: Inode, name: &OsStr) -> Result<Inode, Errno> {
        self.directory(directory)?.get(name).copied().ok_or(Errno::NOENT)
    }

    pub(super) fn opened(&mut self, inode: Inode) {
        *self.open.entry(inode).or_default() += 1;
    }

    pub(super) fn closed(&mut self, inode: Inode) {
        if let Some(times) = self.open.get_mut(&inode) {
            *times -= 1;
            if *times == 0 {
                self.open.remove(&inode);
            }
        }
    }

    pub(super) fn makes_directory(&mut self, directory: Inode, name: &OsStr) -> Result<Inode, Errno> {
        self.makes(directory, name, Node::Directory(BTreeMap::new()))
    }

    pub(super) fn makes_file(&mut self, directory: Inode, name: &OsStr) -> Result<Inode, Errno> {
        self.makes(directory, name, Node::File(Content::default()))
    }

    fn makes(&mut self, directory: Inode, name: &OsStr, node: Node) -> Result<Inode, Errno> {
        if self.directory(directory)?.contains_key(name) {
            return Err(Errno::EXIST);
        }
        let inode = self.next;
        self.next += 1;
        // Empty and without a name it is on the disk at once: its name and its bytes are what matters.
        self.durable.insert(inode, node.clone());
        self.now.insert(inode, node);
        self.renames(Renaming::Added((directory, name.to_owned()), inode));
        Ok(inode)
    }

    /// Removes the name of a file.
    pub(super) fn removes_file(&mut self, directory: Inode, name: &OsStr) -> Result<(), Errno> {
        self.file(self.lookup(directory, name)?)?;
        self.renames(Renaming::Removed((directory, name.to_owned())));
        Ok(())
    }

    /// Removes an empty directory.
    pub(super) fn removes_directory(&mut self, directory: Inode, name: &OsStr) -> Result<(), Errno> {
        if !self.directory(self.lookup(directory, name)?)?.is_empty() {
            return Err(Errno::NOTEMPTY);
        }
        self.renames(Renaming::Removed((directory, name.to_owned())));
        Ok(())
    }

    /// Moves a name. What stood there gives way, unless it is to be kept.
    pub(super) fn moves(
        &mut self,
        from: (Inode, &OsStr),
        to: (Inode, &OsStr),
        keep_what_is_there: bool,
    ) -> Result<(), Errno> {
        let moved = self.lookup(from.0, from.1)?;
        match self.lookup(to.0, to.1) {
            Ok(_) if keep_what_is_there => return Err(Errno::EXIST),
            Ok(there) if there == moved => return Ok(()),
            Ok(there) => match (self.node(moved)?, self.node(there)?) {
                (Node::Directory(_), Node::Directory(names)) if names.is_empty() => {}
                (Node::Directory(_), Node::Directory(_)) => return Err(Errno::NOTEMPTY),
                (Node::Directory(_), Node::File(_)) => return Err(Errno::NOTDIR),
                (Node::File(_), Node::Directory(_)) => return Err(Errno::ISDIR),
                (Node::File(_), Node::File(_)) => {}
            },
            Err(Errno::NOENT) => {}
            Err(error) => return Err(error),
        }
        self.renames(Renaming::Moved((from.0, from.1.to_owned()), (to.0, to.1.to_owned())));
        Ok(())
    }

    fn renames(&mut self, renaming: Renaming) {
        renaming.applies_to(&mut self.now);
        self.names.push(renaming);
    }

    pub(super) fn writes(&mut self, inode: Inode, offset: u64, bytes: &[u8]) -> Result<(), Errno> {
        self.file_mut(inode)?.write(offset, bytes);
        self.data.entry(inode).or_default().push(Change::write(offset, bytes));
        Ok(())
    }

    pub(super) fn resizes(&mut self, inode: Inode, size: u64) -> Result<(), Errno> {
        let file = self.file_mut(inode)?;
        let from = file.size();
        file.resize(size);
        self.data.entry(inode).or_default().push(Change::Resize { from, to: size });
        Ok(())
    }

    fn file_mut(&mut self, inode: Inode) -> Result<&mut Content, Errno> {
        match self.now.get_mut(&inode).ok_or(Errno::NOENT)? {
            Node::File(content) => Ok(content),
            Node::Directory(_) => Err(Errno::ISDIR),
        }
    }

    /// The bytes of a file are durable. Its name is its directory's matter.
    pub(super) fn syncs_file(&mut self, inode: Inode) -> Result<(), Errno> {
        let content = self.file(inode)?.clone();
        if self.honesty == Honesty::Honest {
            self.durable.insert(inode, Node::File(content));
            self.data.remove(&inode);
        }
        Ok(())
    }

    /// The names in a directory are durable, and with them whatever had to happen to other names before.
    pub(super) fn syncs_directory(&mut self, inode: Inode) -> Result<(), Errno> {
        self.directory(inode)?;
        if self.honesty == Honesty::Honest {
            let mut together = BTreeSet::from([inode]);
            let mut wanted = vec![false; self.names.len()];
            for (nth, renaming) in self.names.iter().enumerate().rev() {
                let directories = renaming.directories();
                wanted[nth] = directories.iter().any(|directory| together.contains(directory));
                if wanted[nth] {
                    together.extend(directories);
                }
            }
            let mut wanted = wanted.into_iter();
            let is_wanted = |_: &mut Renaming| wanted.next().unwrap_or(false);
            for renaming in self.names.extract_if(.., is_wanted) {
                renaming.applies_to(&mut self.durable);
            }
        }
        self.forgets_what_nobody_reaches();
        Ok(())
    }

    /// The power goes and comes back: what was synced is there, and an arbitrary part of the rest. Changes to the names
    /// of one directory survive in their order; of what was written to files see `torn`.
    pub(super) fn loses_power(&mut self, rng: &mut SmallRng) {
        let lost_once_in = *[0.0, 0.02, 0.3, 1.0].get(rng.random_range(0..4)).unwrap_or(&1.0);
        let mut stopped = BTreeSet::new();
        for renaming in std::mem::take(&mut self.names) {
            let directories = renaming.directories();
            if directories.iter().any(|directory| stopped.contains(directory)) || rng.random_bool(lost_once_in) {
                stopped.extend(directories);
            } else {
                renaming.applies_to(&mut self.durable);
            }
        }
        for (inode, changes) in std::mem::take(&mut self.data) {
            if let Some(Node::File(content)) = self.durable.get_mut(&inode) {
                *content = torn::after_a_cut(content, &changes, rng);
            }
        }
        self.open.clear();
        self.now = self.durable.clone();
        self.forgets_what_nobody_reaches();
    }

    /// The same, and nothing but what was synced is there.
    pub(super) fn loses_all_unsynced(&mut self) {
        self.names.clear();
        self.data.clear();
        self.open.clear();
        self.now = self.durable.clone();
        self.forgets_what_nobody_reaches();
    }

    /// The machine goes on, or starts again without a loss of power: nothing is lost, and nothing becomes durable.
    pub(super) fn keeps_all(&mut self) {
        self.open.clear();
    }

    fn forgets_what_nobody_reaches(&mut self) {
        let mut further: Vec<Inode> = self.open.keys().copied().collect();
        further.push(ROOT);
        for renaming in &self.names {
            if let Renaming::Added(_, inode) = renaming {
                further.push(*inode);
            }
        }
        let mut reached = BTreeSet::new();
        while let Some(inode) = further.pop() {
            if reached.insert(inode) {
                for tree in [&self.now, &self.durable] {
                    if let Some(Node::Directory(names)) = tree.get(&inode) {
                        further.extend(names.values());
                    }
                }
            }
        }
        self.now.retain(|inode, _| reached.contains(inode));
        self.durable.retain(|inode, _| reached.contains(inode));
        self.data.retain(|inode, _| reached.contains(inode));
    }
}

#[cfg(test)]
mod tests {
    use rand::{RngCore, SeedableRng};

    use super::*;

    /// Every file with its path, as it is seen now.
    fn files(disk: &Disk) -> BTreeMap<String, Vec<u8>> {
        let mut files = BTreeMap::new();
        let mut further = vec![(String::new(), ROOT)];
        while let Some((path, inode)) = further.pop() {
            match disk.node(inode).unwrap() {
                Node::File(content) => drop(files.insert(path, content.read(0, 1 << 20))),
                Node::Directory(names) => {
                    let below = |(name, inode): (&OsString, &Inode)| (format!("{path}/{}", name.display()), *inode);
                    further.extend(names.iter().map(below));
                }
            }
        }
        files
    }

    fn made(disk: &mut Disk, directory: Inode, name: &str, bytes: &[u8]) -> Inode {
        let inode = disk.makes_file(directory, name.as_ref()).unwrap();
        disk.writes(inode, 0, bytes).unwrap();
        inode
    }

    /// Everything that cuts may leave of a disk, as far as five hundred seeds show it.
    fn left(disk: &Disk) -> BTreeSet<BTreeMap<String, Vec<u8>>> {
        let cut = |seed| {
            let mut disk = disk.clone();
            disk.loses_power(&mut SmallRng::seed_from_u64(seed));
            files(&disk)
        };
        (0..500).map(cut).collect()
    }

    fn pictures(of: &[&[(&str, &[u8])]]) -> BTreeSet<BTreeMap<String, Vec<u8>>> {
        of.iter().map(|files| files.iter().map(|(path, bytes)| ((*path).into(), bytes.to_vec())).collect()).collect()
    }

    #[test]
    fn a_synced_file_in_a_synced_directory_is_always_there() {
        let mut disk = Disk::new(Honesty::Honest);
        let file = made(&mut disk, ROOT, "a", b"one");
        disk.syncs_file(file).unwrap();
        disk.syncs_directory(ROOT).unwrap();
        assert_eq!(left(&disk), pictures(&[&[("/a", b"one")]]));
    }

    #[test]
    fn of_a_file_that_was_synced_in_a_directory_that_was_not_the_name_may_be_lost() {
        let mut disk = Disk::new(Honesty::Honest);
        let file = made(&mut disk, ROOT, "a", b"one");
        disk.syncs_file(file).unwrap();
        assert_eq!(left(&disk), pictures(&[&[], &[("/a", b"one")]]));
        disk.loses_all_unsynced();
        assert_eq!(files(&disk), BTreeMap::new());
    }

    #[test]
    fn of_a_file_that_was_not_synced_the_bytes_may_be_lost_in_every_way() {
        let mut disk = Disk::new(Honesty::Honest);
        made(&mut disk, ROOT, "a", b"one");
        disk.syncs_directory(ROOT).unwrap();
        assert_eq!(left(&disk), pictures(&[&[("/a", b"")], &[("/a", &[0; 3])], &[("/a", b"one")]]));
    }

    #[test]
    fn a_name_moves_whole_or_not_at_all_and_a_file_that_was_replaced_is_one_of_the_two() {
        let mut disk = Disk::new(Honesty::Honest);
        for (name, bytes) in [("a", b"one"), ("b", b"two")] {
            let file = made(&mut disk, ROOT, name, bytes);
            disk.syncs_file(file).unwrap();
        }
        disk.syncs_directory(ROOT).unwrap();
        disk.moves((ROOT, "b".as_ref()), (ROOT, "a".as_ref()), false).unwrap();
        assert_eq!(left(&disk), pictures(&[&[("/a", b"one"), ("/b", b"two")], &[("/a", b"two")]]));
        disk.syncs_directory(ROOT).unwrap();
        assert_eq!(left(&disk), pictures(&[&[("/a", b"two")]]));
    }

    #[test]
    fn names_of_one_directory_survive_in_their_order_and_directories_do_not_wait_for_each_other() {
        let mut disk = Disk::new(Honesty::Honest);
        let [left_side, right_side] = ["l", "r"].map(|name| disk.makes_directory(ROOT, name.as_ref()).unwrap());
        disk.syncs_directory(ROOT).unwrap();
        for (directory, name) in [(left_side, "1"), (left_side, "2"), (right_side, "3")] {
            disk.makes_file(directory, name.as_ref()).unwrap();
        }
        let expected = pictures(&[
            &[],
            &[("/l/1", b"")],
            &[("/l/1", b""), ("/l/2", b"")],
            &[("/r/3", b"")],
            &[("/l/1", b""), ("/r/3", b"")],
            &[("/l/1", b""), ("/l/2", b""), ("/r/3", b"")],
        ]);
        assert_eq!(left(&disk), expected);
    }

    #[test]
    fn a_removed_file_may_come_back_until_its_directory_is_synced() {
        let mut disk = Disk::new(Honesty::Honest);
        let file = made(&mut disk, ROOT, "a", b"one");
        disk.syncs_file(file).unwrap();
        disk.syncs_directory(ROOT).unwrap();
        disk.removes_file(ROOT, "a".as_ref()).unwrap();
        assert_eq!(left(&disk), pictures(&[&[], &[("/a", b"one")]]));
        disk.syncs_directory(ROOT).unwrap();
        assert_eq!(left(&disk), pictures(&[&[]]));
    }

    #[test]
    fn a_file_without_a_name_can_be_used_while_it_is_open_and_takes_no_room_after_that() {
        let mut disk = Disk::new(Honesty::Honest);
        let file = made(&mut disk, ROOT, "a", b"one");
        disk.opened(file);
        disk.removes_file(ROOT, "a".as_ref()).unwrap();
        disk.syncs_directory(ROOT).unwrap();
        disk.writes(file, 3, b"!").unwrap();
        assert_eq!(disk.file(file).unwrap().read(0, 9), b"one!");
        disk.closed(file);
        disk.syncs_directory(ROOT).unwrap();
        assert_eq!((disk.node(file), disk.durable.len(), disk.data.len()), (Err(Errno::NOENT), 1, 0));
    }

    #[test]
    fn what_was_synced_survives_whatever_is_done_around_it() {
        let mut rng = SmallRng::seed_from_u64(7);
        let mut disk = Disk::new(Honesty::Honest);
        let mut synced = BTreeMap::new();
        for nth in 0..300 {
            let mut bytes = vec![0; rng.random_range(1..5000)];
            rng.fill_bytes(&mut bytes);
            let file = made(&mut disk, ROOT, "draft", &bytes);
            if rng.random_bool(0.5) {
                disk.syncs_file(file).unwrap();
                disk.moves((ROOT, "draft".as_ref()), (ROOT, format!("{nth}").as_ref()), false).unwrap();
                disk.syncs_directory(ROOT).unwrap();
                synced.insert(format!("/{nth}"), bytes);
            } else {
                disk.resizes(file, rng.random_range(0..9000)).unwrap();
                disk.removes_file(ROOT, "draft".as_ref()).unwrap();
            }
            if rng.random_bool(0.1) {
                disk.loses_power(&mut rng);
                let _ = disk.removes_file(ROOT, "draft".as_ref());
            }
            let here = files(&disk);
            assert!(synced.iter().all(|(path, bytes)| here.get(path) == Some(bytes)), "after {nth}");
        }
    }

    #[test]
    fn a_disk_that_lies_loses_what_it_said_was_durable() {
        let mut disk = Disk::new(Honesty::Lies);
        let file = made(&mut disk, ROOT, "a", b"one");
        disk.syncs_file(file).unwrap();
        disk.syncs_directory(ROOT).unwrap();
        assert!(left(&disk).contains(&BTreeMap::new()));
    }

    #[test]
    fn what_cannot_be_done_is_refused() {
        let mut disk = Disk::new(Honesty::Honest);
        let file = made(&mut disk, ROOT, "file", b"");
        let directory = disk.makes_directory(ROOT, "directory".as_ref()).unwrap();
        made(&mut disk, directory, "inside", b"");
        assert_eq!(disk.makes_file(ROOT, "file".as_ref()), Err(Errno::EXIST));
        assert_eq!(disk.makes_file(file, "below".as_ref()), Err(Errno::NOTDIR));
        assert_eq!(disk.lookup(ROOT, "nothing".as_ref()), Err(Errno::NOENT));
        assert_eq!(disk.removes_directory(ROOT, "directory".as_ref()), Err(Errno::NOTEMPTY));
        assert_eq!(disk.removes_file(ROOT, "directory".as_ref()), Err(Errno::ISDIR));
        assert_eq!(disk.moves((ROOT, "file".as_ref()), (ROOT, "directory".as_ref()), false), Err(Errno::ISDIR));
        assert_eq!(disk.moves((ROOT, "file".as_ref()), (directory, "inside".as_ref()), true), Err(Errno::EXIST));
        assert_eq!(disk.writes(directory, 0, b"?"), Err(Errno::ISDIR));
    }
}
