use std::io::Read;
use std::path::Path;

use sessile_core::RulesVersion;

use super::file::unusable;
use super::reading::{BackupChunks, unusable_because};
use super::summary::BackupSummary;
use crate::alone::{Act, make_alone};
use crate::data_dir::DataDir;
use crate::log::RaftLog;
use crate::log_store::identity_of;
use crate::recovering::LostState;
use crate::state::Owner;
use crate::{ClusterId, Member, NodeId, Opening, RecoveringStore, Snapshot, Store, StoreError, StoreOptions, marks};

/// What a backup was made.
#[derive(Debug, Clone, PartialEq)]
pub struct Restored {
    /// What was in it.
    pub summary: BackupSummary,
    /// Which node has it.
    pub node: NodeId,
    /// Which cluster that is: a new one, unless the backup went under the node's own log.
    pub cluster: ClusterId,
    /// The last entry of the node's own log, which is replayed on top; `None` in a new cluster.
    pub replayed_to: Option<u64>,
}

/// Makes a backup the data of a node.
///
/// - In a directory that is absent or empty it is the first node of a new cluster, which has the backup's sessions, versions
///   and namespaces, and none of its members. Their ids are never accepted there.
/// - In the directory of a node of the same cluster that has lost its state, and whose log reaches back to the backup, its
///   state goes under that log: the node stays what it is, and loses nothing.
///
/// # Errors
/// Any other directory; a backup that is damaged, cut short or of a newer program; the disk. A new directory is empty then, as
/// it was; where it was cut short by a crash no node starts, and the same command begins again.
pub fn restore(
    input: impl Read,
    path: &Path,
    options: &StoreOptions,
    who: &str,
    progress: impl FnMut(u64),
) -> Result<Restored, StoreError> {
    // Before anything is made: a file that is no backup leaves no directory behind.
    let chunks = BackupChunks::open(input)?;
    if chunks.head.applied().is_none() {
        return Err(unusable("it is of a cluster in which nothing was done yet"));
    }
    let dir = DataDir::open(path)?;
    if marks::is_restoring(&dir)? {
        dir.clear()?;
    }
    if dir.is_empty()? {
        into_a_new_cluster(chunks, dir, options, who, progress)
    } else {
        under_its_log(chunks, dir, options, progress)
    }
}

fn into_a_new_cluster(
    chunks: BackupChunks<impl Read>,
    dir: DataDir,
    options: &StoreOptions,
    who: &str,
    progress: impl FnMut(u64),
) -> Result<Restored, StoreError> {
    marks::begin_restoring(&dir)?;
    let path = dir.path().to_owned();
    let made = make_cluster(chunks, dir, options, who, progress);
    if made.is_err() {
        // As it was, as far as the disk lets that be; otherwise the mark stays, and no node starts there.
        let _ = DataDir::open(&path).and_then(|dir| dir.clear());
    }
    made
}

fn make_cluster(
    mut chunks: BackupChunks<impl Read>,
    dir: DataDir,
    options: &StoreOptions,
    who: &str,
    progress: impl FnMut(u64),
) -> Result<Restored, StoreError> {
    let owner = Owner { node: NodeId::random(), cluster: ClusterId::random() };
    let log = RaftLog::create(&dir.log(), &identity_of(owner.node), options.log.clone())?;
    let lost = LostState { reason: "it is being restored".into(), aside: None, members: Vec::new() };
    let recovering = RecoveringStore::new(dir, options, owner, log, lost)?;
    let (snapshot, summary) = receive(&mut chunks, &recovering, progress)?;
    let store = complete(recovering, snapshot, &summary)?;
    let what = format!("restore the backup of cluster {}", summary.head.cluster);
    let result = format!("{} is the only member of the new cluster {}", owner.node, owner.cluster);
    let is_noted = summary.rules >= RulesVersion::HISTORY;
    let act = Act { who, what: &what, result: &result, at: summary.clock, is_noted };
    make_alone(store.dir(), &store.log, (owner.node, Member::default()), &act)?;
    marks::set_cluster(store.dir(), owner.cluster)?;
    marks::end_restoring(store.dir())?;
    store.close()?;
    Ok(Restored { summary, node: owner.node, cluster: owner.cluster, replayed_to: None })
}

fn under_its_log(
    mut chunks: BackupChunks<impl Read>,
    dir: DataDir,
    options: &StoreOptions,
    progress: impl FnMut(u64),
) -> Result<Restored, StoreError> {
    let path = dir.path().to_owned();
    let refused = |what: String| StoreError::Unsuited { dir: path.clone(), what };
    let recovering = match Opening::open(dir, options)? {
        Opening::Recovering(recovering) => recovering,
        Opening::Pristine(_) => {
            let what = "a new node is there, which waits for its cluster; stop it, and name an empty directory";
            return Err(refused(what.into()));
        }
        Opening::Member(store, _) => {
            let (node, cluster) = (store.node(), store.cluster());
            store.close()?;
            return Err(refused(format!(
                "node {node} of cluster {cluster} is there with its data, whole; a restore makes a new cluster: name an \
                 empty directory"
            )));
        }
    };
    let (node, cluster, of) = (recovering.node(), recovering.cluster(), chunks.head.cluster);
    if of != cluster {
        return Err(refused(format!("node {node} is of cluster {cluster}, and the backup is of cluster {of}")));
    }
    let applied = chunks.head.applied();
    if !applied.is_some_and(|applied| recovering.reaches_back_to(&applied)) {
        let at = applied.map_or(0, |applied| applied.index);
        return Err(refused(format!(
            "the log of node {node} does not reach back to entry {at}, where the backup ends: take a newer backup, or \
             name an empty directory and restore it as a new cluster"
        )));
    }
    let (snapshot, summary) = receive(&mut chunks, &recovering, progress)?;
    let store = complete(recovering, snapshot, &summary)?;
    let replayed_to = store.log.last().map(|last| last.index);
    store.close()?;
    Ok(Restored { summary, node, cluster, replayed_to })
}

fn receive(
    chunks: &mut BackupChunks<impl Read>,
    recovering: &RecoveringStore,
    mut progress: impl FnMut(u64),
) -> Result<(Snapshot, BackupSummary), StoreError> {
    let mut receiver = recovering.receive_of(chunks.head.cluster)?;
    while let Some(chunk) = chunks.next()? {
        receiver.write(chunk).map_err(unusable_because)?;
        progress(chunks.read());
    }
    let head = chunks.head.clone();
    let summary = BackupSummary::of(head.clone(), receiver.reader(), chunks.read());
    let snapshot = receiver.finish(head.meta).map_err(unusable_because)?;
    Ok((snapshot, summary))
}

fn complete(recovering: RecoveringStore, snapshot: Snapshot, summary: &BackupSummary) -> Result<Store, StoreError> {
    recovering.complete_with_backup(snapshot, &summary.head.meta).map_err(unusable_because)
}
