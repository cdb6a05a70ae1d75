use std::io;
use std::path::PathBuf;

use sessile_cluster::StartError;
use sessile_store::StoreError;

/// Why a node does not start, had to stop, or did not stop cleanly. Each says what happened, to what, and what to do; none
/// holds a key or a value.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration asks for what cannot be. Nothing was touched; to start again without a change is futile.
    #[error("{0}")]
    Config(String),
    /// The port for other members is not to be had. Nothing was touched.
    #[error(
        "cannot listen for other members on {address}: {source}; stop what uses the address, or choose another one"
    )]
    Listen {
        /// Where.
        address: String,
        /// Why not.
        source: io::Error,
    },
    /// No directory could be made for a node that keeps nothing.
    #[error("no directory for the sessions: {0}; see to the disk of {dir}, or give the node a directory of its own", dir = std::env::temp_dir().display())]
    Directory(io::Error),
    /// There is no thread for the watchdog.
    #[error("no thread for the watchdog: {0}; this process, or its user, has as many threads as it may have")]
    Watchdog(io::Error),
    /// The file system refused the data directory.
    #[error("{0}; name a directory that this process may write to, and if it is one, see to its disk")]
    Disk(StoreError),
    /// The data directory cannot be used, or not gone on with.
    #[error(transparent)]
    Store(StoreError),
    /// The storage engine panicked while the directory was opened. What it said may hold what was stored, and stays unsaid.
    #[error(
        "the storage engine gave up while {} was opened, as it does when the disk fails under it or its files are damaged; \
         see to the disk and start again, or restore a backup", .0.display()
    )]
    EngineGaveUp(PathBuf),
    /// The node does not become a member.
    #[error(transparent)]
    Start(StartError),
    /// The node had to stop because of a fault of its own, and does not touch its disk any more.
    #[error(
        "the node stopped, so as not to answer wrongly: {0}; unless that says otherwise, mend the cause and start it again: \
         it finds what it acknowledged, or says what it does not find"
    )]
    Fault(String),
    /// Something of the node does not come back: its disk, or its storage engine.
    #[error("{0}")]
    Hung(String),
    /// Everything acknowledged is there, but the end was not clean.
    #[error("the node did not stop cleanly, and will check its state at the next start: {0}")]
    Stop(StartError),
    /// A panic ended what runs the node.
    #[error("the node ended in a panic; this is a defect")]
    Panic,
}
