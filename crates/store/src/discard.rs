//! Setting a directory's data aside, so that its node can begin again as a new one.

use std::fs;
use std::path::PathBuf;

use crate::data_dir::{DataDir, LOG_DIR, sync_dir};
use crate::engine::{EngineKind, EngineOptions};
use crate::log::{LogOptions, RaftLog};
use crate::marks::{self, Former};
use crate::state::{EngineDir, StateRoot};
use crate::{ClusterId, StoreError, access};

/// What data that was set aside is kept under, with a number.
const ASIDE: &str = "discarded-";

impl DataDir {
    /// Sets everything aside in a directory `discarded-N` inside this one, never deleted, and leaves the mark of the
    /// cluster that was held: the next opening is a new node, which may join a cluster and never begin one. `None`, and
    /// nothing done, where a node has no data yet.
    ///
    /// A crash in between leaves what the next opening refuses or knows for what it is; then this is done again.
    ///
    /// # Errors
    /// The disk.
    pub fn discard(&self) -> Result<Option<PathBuf>, StoreError> {
        let names = self.data()?;
        // Only its mark may be left of one that was replaced, because what was begun was cut short.
        if names.is_empty() || !marks::is_replaced(self)? && self.is_pristine() {
            return Ok(None);
        }
        // First of all: from here on the directory begins no cluster, whatever happens next.
        marks::set_former(self, self.what_was_held()?)?;
        marks::keep_when_replaced(self)?;
        let number = (1..u32::MAX).find(|number| !self.path().join(format!("{ASIDE}{number}")).exists());
        let aside = self.path().join(format!("{ASIDE}{}", number.unwrap_or(u32::MAX)));
        access::create_dir(&aside).map_err(StoreError::io("create", &aside))?;
        for name in in_order(names) {
            let from = self.path().join(&name);
            fs::rename(&from, aside.join(&name)).map_err(StoreError::io("set aside", &from))?;
            sync_dir(&aside)?;
            sync_dir(self.path())?;
        }
        Ok(Some(aside))
    }

    /// What is in the directory besides what makes it one of ours.
    fn data(&self) -> Result<Vec<String>, StoreError> {
        let mut names = self.names()?;
        names.retain(|name| ![marks::FORMER, marks::REJOINED].contains(&&**name) && !name.starts_with(ASIDE));
        Ok(names)
    }

    /// The same, with what was set aside and the marks of that.
    fn names(&self) -> Result<Vec<String>, StoreError> {
        let entries = fs::read_dir(self.path()).map_err(StoreError::io("list", self.path()))?;
        let mut names = Vec::new();
        for entry in entries {
            let name = entry.map_err(StoreError::io("list", self.path()))?.file_name().to_string_lossy().into_owned();
            if !Self::is_frame(&name) {
                names.push(name);
            }
        }
        Ok(names)
    }

    /// Whether nothing is in it but what makes it one of ours.
    pub(crate) fn is_empty(&self) -> Result<bool, StoreError> {
        Ok(self.names()?.is_empty())
    }

    /// Removes what a restore that was cut short has made: all that is in it, and its mark last.
    pub(crate) fn clear(&self) -> Result<(), StoreError> {
        let mut names = self.names()?;
        names.sort_by_key(|name| name == marks::RESTORING);
        for name in names {
            let path = self.path().join(name);
            let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            removed.map_err(StoreError::io("remove", &path))?;
            sync_dir(self.path())?;
        }
        Ok(())
    }

    /// Whether its node never belonged to a cluster, by all that can be read.
    fn is_pristine(&self) -> bool {
        let unmarked = matches!(marks::cluster(self), Ok(None)) && marks::reservation(self).is_ok();
        let path = self.log();
        let has_log = RaftLog::exists(&path).unwrap_or(true);
        unmarked
            && !StateRoot::has_state(&self.state())
            && (!has_log
                || RaftLog::open(&path, LogOptions::default())
                    .is_ok_and(|log| log.last().is_none() && log.vote().is_none()))
    }

    fn what_was_held(&self) -> Result<Former, StoreError> {
        let known = match (marks::cluster(self), marks::former(self)?) {
            (Ok(Some(cluster)), _) => Some(cluster),
            (_, Some(Former::Cluster(cluster))) => Some(cluster),
            (_, None | Some(Former::Unknown)) => self.cluster_of_the_state(),
        };
        Ok(known.map_or(Former::Unknown, Former::Cluster))
    }

    /// As far as the state can still say.
    fn cluster_of_the_state(&self) -> Option<ClusterId> {
        let root = self.state();
        let owner = |kind| {
            let current = EngineDir::open(&root, kind, EngineOptions::default()).ok()??;
            let owner = current.owner().ok();
            // Shut down or not, its files are about to be moved.
            drop(current.engine.shutdown());
            owner
        };
        EngineKind::ALL.into_iter().find_map(owner).map(|owner| owner.cluster)
    }
}

/// The cluster's mark goes first and the log last: half of it is nothing that an opening would go on with. Behind the log goes
/// the mark that has an opening do this without a word from an operator: until all is done it is done again.
pub(crate) fn in_order(mut names: Vec<String>) -> Vec<String> {
    names.sort_by_key(|name| (name != marks::CLUSTER, name == marks::REPLACED, name == LOG_DIR));
    names
}
