use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

/// What a directory holds: every name below it but those of sockets, and of each file its size and a hash of its content. Two that are equal
/// are of the same content; where they differ, `Debug` shows where.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tree(BTreeMap<PathBuf, Node>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Node {
    Directory,
    File { bytes: u64, hash: u64 },
}

impl Tree {
    /// What is there now. An absent directory is an empty tree. Panics if something cannot be read.
    pub fn of(root: &Path) -> Self {
        let mut tree = Self::default();
        if root.exists() {
            tree.add(root, root);
        }
        tree
    }

    /// What another one has otherwise, a line each; empty if they are the same.
    pub fn difference(&self, other: &Self) -> String {
        let names = self.0.keys().chain(other.0.keys().filter(|name| !self.0.contains_key(*name)));
        let differing = names.filter(|name| self.0.get(*name) != other.0.get(*name));
        let line = |name: &PathBuf| format!("{}: {:?} → {:?}\n", name.display(), self.0.get(name), other.0.get(name));
        differing.map(line).collect()
    }

    fn add(&mut self, root: &Path, dir: &Path) {
        for entry in fs::read_dir(dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display())) {
            let path = entry.unwrap_or_else(|error| panic!("{}: {error}", dir.display())).path();
            let name = path.strip_prefix(root).unwrap_or(&path).to_owned();
            let is_socket = fs::symlink_metadata(&path).is_ok_and(|found| found.file_type().is_socket());
            if is_socket {
                continue;
            }
            if path.is_dir() {
                self.0.insert(name, Node::Directory);
                self.add(root, &path);
            } else {
                let content = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                let mut hasher = DefaultHasher::new();
                content.hash(&mut hasher);
                self.0.insert(name, Node::File { bytes: content.len() as u64, hash: hasher.finish() });
            }
        }
    }
}
