use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};

use sessile_core::{GroupName, NamespaceId};

use crate::engine::EngineError;
use crate::log::LogError;

/// What to do about a damaged state, as far as one node can know.
pub(crate) const DAMAGED_STATE_REMEDY: &str =
    "nothing in it was changed; start again: it is set aside, and made anew by the log or another member";

/// What an operator had begun with a data directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfinished {
    /// A backup is made its data.
    Restore,
    /// Its node is made the only member of a new cluster.
    Rescue,
}

impl Display for Unfinished {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Restore => "restore",
            Self::Rescue => "rescue",
        })
    }
}

/// Why the store cannot be opened, or must stop. None of these is a client's doing, and none shows a key or a value.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The data directory holds something else.
    #[error("{} is not empty and holds no Sessile data ({found}); name an empty directory with storage.data_dir", .dir.display())]
    Foreign {
        /// The directory.
        dir: PathBuf,
        /// What is in the way.
        found: String,
    },
    /// Another process uses the data directory.
    #[error("{} is in use by another process; stop that one first, or name another storage.data_dir", .dir.display())]
    Locked {
        /// The directory.
        dir: PathBuf,
    },
    /// A newer program wrote the data directory.
    #[error("{} has format {found}, but this program knows only up to {known}; start the newer program", .dir.display())]
    NewerFormat {
        /// The directory.
        dir: PathBuf,
        /// What is there.
        found: u32,
        /// What this program knows.
        known: u32,
    },
    /// The file system refused.
    #[error("cannot {action} {}: {source}", .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The Raft log cannot be used.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The engine failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// Stored bytes are not what was written.
    #[error("the session state in {} is damaged: {what}; {remedy}", .dir.display())]
    Damaged {
        /// The engine's directory.
        dir: PathBuf,
        /// What was found.
        what: String,
        /// What to do.
        remedy: &'static str,
    },
    /// Counting the records anew gives something else than was counted.
    #[error(
        "the session state in {} is damaged: group {group:?} of {namespace} should have {kept_keys} records and has {there_keys}; {remedy}", .dir.display()
    )]
    CountsDiffer {
        /// The engine's directory.
        dir: PathBuf,
        /// The namespace.
        namespace: NamespaceId,
        /// The group.
        group: GroupName,
        /// How many records were counted.
        kept_keys: u64,
        /// How many are there (the same number, with another checksum, if their contents differ).
        there_keys: u64,
        /// What to do.
        remedy: &'static str,
    },
    /// The Raft log, with this node's identity and vote, is damaged or lost.
    #[error("{error}; once there is nothing else to be tried, `serve --discard-data-and-rejoin` does that")]
    LogLost {
        /// What was found.
        error: LogError,
    },
    /// A snapshot that comes from another member is not what was sent, or not what is needed. Nothing in use changed.
    #[error("the snapshot cannot be used: {what}; fetch it again")]
    Transfer {
        /// What is wrong with it.
        what: String,
    },
    /// A backup is not what was written, or not what is needed. Nothing was changed by it.
    #[error("the backup cannot be used: {what}")]
    Backup {
        /// What is wrong with it.
        what: String,
    },
    /// A backup cannot be written.
    #[error("the backup cannot be written: {source}")]
    BackupUnwritable {
        /// Why.
        source: io::Error,
    },
    /// A restore or a rescue was cut short: what is there is neither what it was nor what it was to be.
    #[error("in {} a {act} was cut short; do it again, with the same command", .dir.display())]
    CutShort {
        /// The data directory.
        dir: PathBuf,
        /// What was done.
        act: Unfinished,
    },
    /// Nothing can be restored into a directory that a node has its data in, or rescued from one without.
    #[error("{}: {what}", .dir.display())]
    Unsuited {
        /// The data directory.
        dir: PathBuf,
        /// Why, and what to do.
        what: String,
    },
    /// Log and state are not of the same node, or not of the same history, or one of them is lost.
    #[error(
        "{} cannot be used: {what}; restore a backup, or start with `serve --discard-data-and-rejoin`, which sets the \
         data aside and lets this node join its cluster again as a new one",
        .dir.display()
    )]
    Disagree {
        /// The data directory.
        dir: PathBuf,
        /// What does not fit.
        what: String,
    },
    /// The cluster has removed this node, and never accepts its id again.
    #[error(
        "{} holds a node that was removed from its cluster; to come back as a new node, start with `serve \
         --discard-data-and-rejoin`, which sets its data aside",
        .dir.display()
    )]
    Removed {
        /// The data directory.
        dir: PathBuf,
    },
    /// The cluster has given this node's place to another one while it was away: it comes back as a new node.
    #[error(
        "{} holds a node whose place another one has in its cluster; to come back as a new node, start with `serve \
         --discard-data-and-rejoin`, which sets its data aside",
        .dir.display()
    )]
    Replaced {
        /// The data directory.
        dir: PathBuf,
    },
    /// A newer program wrote the session state.
    #[error("the session state in {} cannot be gone on with: {what}", .dir.display())]
    NewerRules {
        /// The engine's directory.
        dir: PathBuf,
        /// Which rules it goes by, and which this program knows.
        what: String,
    },
    /// Nothing more is applied or made durable: it failed before, or was closed.
    #[error("the session state has ended: {reason}")]
    Ended {
        /// Why.
        reason: String,
    },
    /// An entry cannot be applied.
    #[error(
        "entry {index} of the Raft log cannot be applied: {what}; start the newest version of the program, and if it says the same, restore a backup"
    )]
    Apply {
        /// The entry.
        index: u64,
        /// Why.
        what: String,
    },
}

impl StoreError {
    /// Whether setting the data aside, and coming back as a new node, is the way on.
    pub fn is_ended_by_discard(&self) -> bool {
        matches!(self, Self::Disagree { .. } | Self::LogLost { .. } | Self::Removed { .. } | Self::Replaced { .. })
    }

    /// Whether that is to be done without a word from an operator.
    pub fn discards_by_itself(&self) -> bool {
        matches!(self, Self::Replaced { .. })
    }

    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }

    /// The error that the session state in that directory is damaged.
    pub(crate) fn damaged_state(dir: &Path, what: &dyn Display) -> Self {
        Self::Damaged { dir: dir.into(), what: what.to_string(), remedy: DAMAGED_STATE_REMEDY }
    }

    /// Whether the session state itself, and not the disk under it or its owner, is what is wrong.
    pub(crate) fn is_damaged_state(&self) -> bool {
        matches!(
            self,
            Self::Damaged { .. }
                | Self::CountsDiffer { .. }
                | Self::Engine(EngineError::Backend { .. } | EngineError::Foreign { .. })
        )
    }
}

impl From<StoreError> for io::Error {
    fn from(error: StoreError) -> Self {
        Self::other(error)
    }
}
