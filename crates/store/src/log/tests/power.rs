//! A disk that remembers every change, and what a crash at any of them may leave of it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use rand::Rng;
use rand::rngs::SmallRng;

use crate::log::disk::{Change, Disk, Probe};

/// Disks write whole sectors, in any order, until they are told to sync.
const SECTOR: usize = 512;

/// What stories call the log's directory; syncing another one makes none of its names durable.
pub(super) const LOG_DIRECTORY: &str = "log";

/// What happened, in order: changes to the disk, and what the caller knew.
pub(super) enum Event {
    Create(OsString),
    Write(OsString, usize, Vec<u8>),
    Sync(OsString),
    SyncDirectory(OsString),
    Rename(OsString, OsString),
    Remove(OsString),
    /// So many steps of the story had been asked for.
    Called(usize),
    /// So many were acknowledged.
    Acknowledged(usize),
}

/// Records events while the log runs on the real file system.
#[derive(Default)]
pub(super) struct Recorder {
    pub(super) events: Mutex<Vec<Event>>,
}

impl Recorder {
    pub(super) fn disk(self: &Arc<Self>) -> Disk {
        Disk { probe: Some(Arc::clone(self) as Arc<dyn Probe>) }
    }

    pub(super) fn note(&self, event: Event) {
        self.events.lock().push(event);
    }
}

fn name(path: &Path) -> OsString {
    path.file_name().unwrap().to_owned()
}

impl Probe for Recorder {
    fn before(&self, change: Change<'_>) -> io::Result<()> {
        self.note(match change {
            Change::Write { path, offset, bytes } => {
                Event::Write(name(path), usize::try_from(offset).unwrap(), bytes.to_vec())
            }
            Change::Sync { path } => Event::Sync(name(path)),
            Change::SyncDirectory { path } => Event::SyncDirectory(name(path)),
            Change::Create { path } => Event::Create(name(path)),
            Change::Rename { from, to } => Event::Rename(name(from), name(to)),
            Change::Remove { path } => Event::Remove(name(path)),
            // What it holds is zeros, as it would be without.
            Change::Allocate => return Ok(()),
        });
        Ok(())
    }
}

/// How the machine went down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Crash {
    /// `kill -9`: the kernel keeps what was written; the write under way may be cut short.
    Kill,
    /// The power cord: of what was not synced, each sector and each name is there or not.
    Power,
    /// The power cord, and nothing that was not synced is there.
    PowerAndLuckless,
}

#[derive(Default, Clone)]
struct Inode {
    durable: Vec<u8>,
    pending: Vec<(usize, Vec<u8>)>,
}

impl Inode {
    fn apply(&mut self, offset: usize, bytes: &[u8]) {
        let end = offset + bytes.len();
        if self.durable.len() < end {
            self.durable.resize(end, 0);
        }
        self.durable[offset..end].copy_from_slice(bytes);
    }

    fn sync(&mut self) {
        for (offset, bytes) in std::mem::take(&mut self.pending) {
            self.apply(offset, &bytes);
        }
    }

    /// Each sector of each unsynced write arrives or does not.
    fn scatter(&mut self, random: &mut SmallRng) {
        let chance = [0.1, 0.5, 0.9][random.random_range(0..3)];
        for (offset, bytes) in std::mem::take(&mut self.pending) {
            let mut at = 0;
            while at < bytes.len() {
                let piece = (SECTOR - (offset + at) % SECTOR).min(bytes.len() - at);
                if random.random_bool(chance) {
                    self.apply(offset + at, &bytes[at..at + piece]);
                }
                at += piece;
            }
        }
    }
}

#[derive(Clone)]
enum NameChange {
    Link(OsString, usize),
    Unlink(OsString),
    Move(OsString, OsString, usize),
}

/// The disk after a prefix of events.
#[derive(Default, Clone)]
pub(super) struct Image {
    inodes: Vec<Inode>,
    names: BTreeMap<OsString, usize>,
    durable_names: BTreeMap<OsString, usize>,
    pending_names: Vec<NameChange>,
}

impl NameChange {
    fn apply(self, names: &mut BTreeMap<OsString, usize>) {
        match self {
            NameChange::Link(name, inode) => drop(names.insert(name, inode)),
            NameChange::Unlink(name) => drop(names.remove(&name)),
            NameChange::Move(from, to, inode) => {
                names.remove(&from);
                names.insert(to, inode);
            }
        }
    }
}

impl Image {
    pub(super) fn advance(&mut self, event: &Event) {
        match event {
            Event::Create(name) => {
                self.inodes.push(Inode::default());
                self.names.insert(name.clone(), self.inodes.len() - 1);
                self.pending_names.push(NameChange::Link(name.clone(), self.inodes.len() - 1));
            }
            Event::Write(name, offset, bytes) => {
                let inode = self.names[name];
                self.inodes[inode].pending.push((*offset, bytes.clone()));
            }
            Event::Sync(name) => self.inodes[self.names[name]].sync(),
            Event::SyncDirectory(name) if name != LOG_DIRECTORY => {}
            Event::SyncDirectory(_) => {
                for change in std::mem::take(&mut self.pending_names) {
                    change.apply(&mut self.durable_names);
                }
            }
            Event::Rename(from, to) => {
                let inode = self.names.remove(from).unwrap();
                self.names.insert(to.clone(), inode);
                self.pending_names.push(NameChange::Move(from.clone(), to.clone(), inode));
            }
            Event::Remove(name) => {
                self.names.remove(name);
                self.pending_names.push(NameChange::Unlink(name.clone()));
            }
            Event::Called(_) | Event::Acknowledged(_) => {}
        }
    }

    /// The process is killed just before `next` would have been whole, and the machine goes on: what was written is seen
    /// in `directory`, and what was not synced still is not.
    pub(super) fn kill(&mut self, next: Option<&Event>, random: &mut SmallRng, directory: &Path) {
        if let Some(Event::Write(name, offset, bytes)) = next {
            let torn = random.random_range(0..=bytes.len());
            let inode = self.names[name];
            self.inodes[inode].pending.push((*offset, bytes[..torn].to_vec()));
        }
        self.crash(Crash::Kill, None, random, directory);
    }

    /// Writes to `directory` what is left after a crash, just before `next` would have been whole.
    pub(super) fn crash(&self, how: Crash, next: Option<&Event>, random: &mut SmallRng, directory: &Path) {
        let mut inodes = self.inodes.clone();
        let mut names = self.durable_names.clone();
        if let (Some(Event::Write(name, offset, bytes)), true) = (next, how != Crash::PowerAndLuckless) {
            let torn = random.random_range(0..=bytes.len());
            inodes[self.names[name]].pending.push((*offset, bytes[..torn].to_vec()));
        }
        match how {
            Crash::Kill => {
                inodes.iter_mut().for_each(Inode::sync);
                names = self.names.clone();
            }
            Crash::Power => {
                inodes.iter_mut().for_each(|inode| inode.scatter(random));
                for change in &self.pending_names {
                    if random.random() {
                        change.clone().apply(&mut names);
                    }
                }
            }
            Crash::PowerAndLuckless => {}
        }
        for entry in fs::read_dir(directory).unwrap() {
            fs::remove_file(entry.unwrap().path()).unwrap();
        }
        for (name, inode) in names {
            fs::write(directory.join(name), &inodes[inode].durable).unwrap();
        }
    }
}
