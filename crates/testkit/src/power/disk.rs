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
mod tests;
