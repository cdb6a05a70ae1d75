use sessile_store::StoreError;

/// Why a request got no answer. What a command was refused for is not here: that is an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ClusterError {
    /// No quorum confirmed anything by the deadline, and nothing was changed.
    #[error("no quorum was reached by the deadline")]
    NoQuorum,
    /// Time waits for an operator or for a majority of clocks that agree, so there is nothing to stamp a write with; nothing
    /// was changed.
    #[error("time waits for an operator or for clocks that agree")]
    TimeWaits,
    /// A write was sent and its outcome did not come back by the deadline: it may or may not have happened.
    #[error("the write was sent, but its outcome is unknown")]
    OutcomeUnknown,
    /// More writes are outstanding than one node may have; nothing was changed.
    #[error("too many writes are outstanding")]
    Overloaded,
    /// The disk is nearly full; nothing was changed. Deletes still work.
    #[error("the disk is nearly full")]
    StorageFull,
    /// Disks fill up, and the namespace gives way to those of a higher priority; nothing was changed. Deletes still work.
    #[error("the namespace gives way to others while disks fill up")]
    GivesWay,
    /// The disk is full, and so is what was reserved for deletes; nothing was changed.
    #[error("the disk is full, and the reserve for deletes is used up")]
    StorageExhausted,
    /// The command is larger than a log entry may be; nothing was changed.
    #[error("the value is too large for the log")]
    TooLarge,
    /// Not every member is known to run a program that can follow the request; nothing was changed.
    #[error("the rules in force do not know such a request")]
    OlderRules,
    /// This node is stopping, by order or by a fault; nothing was changed.
    #[error("the node is stopping")]
    Stopping,
}

/// Why a node does not start, or does not stop cleanly.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The storage engine panicked, as it does when the disk fails under it.
    #[error("the storage engine gave up on {}, as it does when the disk fails under it; see to the disk and start again", .0.display())]
    EngineGaveUp(std::path::PathBuf),
    /// Another process has this node's id: two disks must not vote under one.
    #[error(
        "node {node} runs already, at {address}: this data directory is a copy of its own; remove it, or start with \
         --discard-data-and-rejoin to come back as a new node"
    )]
    Copied {
        /// The id of both.
        node: sessile_store::NodeId,
        /// Where the other one answers.
        address: String,
    },
    /// The key by which the others recognise this node is gone: nobody would know it by another one.
    #[error(
        "{} is lost, this node's secret key, by which the others recognise it; put the file back, or remove the node with \
         `sessile cluster remove` and start it with --discard-data-and-rejoin to come back as a new one", .0.display()
    )]
    KeyLost(std::path::PathBuf),
    /// The key cannot be used, or none can be made.
    #[error("the secret key of this node, {}, cannot be used: {what}", .path.display())]
    Key {
        /// Where it is kept.
        path: std::path::PathBuf,
        /// What is wrong.
        what: String,
    },
    /// Raft.
    #[error("Raft: {0}")]
    Raft(String),
}
