//! A backup of all sessions: one view of this node's state, as chunks, at a pace that requests do not notice.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use openraft::base::BoxStream;
use sessile_store::{BackupHead, SnapshotChunks, off_the_runtime};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::managed::ManagedMember;
use crate::membership::Author;
use crate::transport::{Pace, ThisNode};
use crate::wire::BackupPart;
use crate::wire::backup_part::Part;

/// How long the proof may take that what is backed up is of now.
const PROOF_TIMEOUT: Duration = Duration::from_secs(3);

/// Who makes it, as it stands in the backup.
pub(crate) struct MadeBy {
    pub(crate) node: String,
    pub(crate) version: String,
}

impl From<&ThisNode> for MadeBy {
    fn from(this: &ThisNode) -> Self {
        let node = if this.name().is_empty() { this.node().to_string() } else { this.name().to_owned() };
        Self { node, version: this.version().to_owned() }
    }
}

/// The sessions as they are now, with everything that was acknowledged before; or, `even_behind`, as far as this node knows
/// them. It ends early when the node stops, or has hardly any disk left.
pub(crate) async fn backup(
    member: &ManagedMember,
    author: &Author,
    made_by: MadeBy,
    even_behind: bool,
    stop: CancellationToken,
) -> Result<BoxStream<'static, Result<BackupPart, Status>>, Status> {
    let one_of = member.backups.take().map_err(|_| {
        Status::resource_exhausted("this node makes a backup already; try again when that has ended, or at another")
    })?;
    if member.disk.is_nearly_full() {
        let text = "this node's disk is nearly full, and it keeps no view of its sessions: ask another one";
        return Err(Status::resource_exhausted(text));
    }
    let begin = begin(member, made_by);
    let (head, chunks) = if even_behind {
        // Without a quorum nothing comes into the history either.
        begin.await?
    } else {
        prove(member).await?;
        let begun = |(head, _): &(BackupHead, _)| {
            format!("begun, as of log index {}", head.applied().map_or(0, |applied| applied.index))
        };
        member.changes.history().record(author, "back up all sessions", begin, begun).await?
    };
    let disk = member.disk.clone();
    let begin = Some((chunks, Pace::new(Instant::now()), one_of));
    let chunks = stream::unfold(begin, move |making| {
        let is_nearly_full = disk.is_nearly_full();
        async move {
            let (mut chunks, mut pace, one_of) = making?;
            if is_nearly_full {
                let text = "this node's disk is nearly full: it keeps no view of its sessions, and the backup ends";
                return Some((Err(Status::resource_exhausted(text)), None));
            }
            pace.wait().await;
            let made = off_the_runtime(move || (chunks.next(), chunks)).await;
            match made {
                Ok((Some(Ok(chunk)), chunks)) => {
                    pace.went(chunk.len(), Instant::now());
                    Some((Ok(BackupPart { part: Some(Part::Chunk(chunk)) }), Some((chunks, pace, one_of))))
                }
                Ok((None, _)) => None,
                Ok((Some(Err(error)), _)) => Some((Err(Status::internal(error.to_string())), None)),
                Err(_) => Some((Err(gave_up()), None)),
            }
        }
    });
    let head = BackupPart { part: Some(Part::Head(head.encode())) };
    let parts = stream::once(std::future::ready(Ok(head))).chain(chunks);
    Ok(parts.take_until(stop.cancelled_owned()).boxed())
}

/// Returns when what is applied here holds everything that was acknowledged before.
async fn prove(member: &ManagedMember) -> Result<(), Status> {
    member.reads.prove(Instant::now() + PROOF_TIMEOUT).await.map_err(|_| {
        Status::unavailable(
            "no quorum confirms that this node knows every session; with --even-behind the backup is of what it knows",
        )
    })
}

async fn begin(
    member: &ManagedMember,
    MadeBy { node, version }: MadeBy,
) -> Result<(BackupHead, SnapshotChunks), Status> {
    let group = &member.group;
    let (state, reach) = (group.state.clone(), group.state.applied().0.map_or(0, |applied| applied.index));
    let snapshot = off_the_runtime(move || state.snapshot_to_send(reach)).await.map_err(|_| gave_up())?;
    let snapshot = snapshot.map_err(|error| Status::internal(error.to_string()))?;
    let head = BackupHead {
        cluster: group.cluster,
        meta: snapshot.meta,
        taken_at_ms: group.clock.wall().as_millis(),
        node,
        version,
        live_bytes: snapshot.snapshot.live_bytes(),
    };
    Ok((head, snapshot.snapshot.chunks()))
}

fn gave_up() -> Status {
    Status::internal("reading the sessions panicked; this is a defect")
}

/// What a part holds: the head, or a chunk.
pub(crate) fn bytes_of(part: BackupPart) -> Option<Bytes> {
    match part.part? {
        Part::Head(bytes) | Part::Chunk(bytes) => Some(bytes),
    }
}
