use bytes::Bytes;
use prost::Message;

use super::file::unusable;
use crate::types::position;
use crate::{ClusterId, LogId, SnapshotMeta, StoreError, decode_membership, encode_membership, log_id, wire};

/// What a backup is of: the first that stands in it.
#[derive(Debug, Clone, PartialEq)]
pub struct BackupHead {
    /// The cluster.
    pub cluster: ClusterId,
    /// The place in the log that it stands for, and who was a member there.
    pub meta: SnapshotMeta,
    /// When it was made, in milliseconds since the Unix epoch, by the clock of the node that made it.
    pub taken_at_ms: u64,
    /// The name of that node, or its id.
    pub node: String,
    /// The version of its program.
    pub version: String,
    /// Bytes of the keys and values that are counted in it.
    pub live_bytes: u64,
}

impl BackupHead {
    /// As it stands in the file, and travels before the chunks.
    pub fn encode(&self) -> Bytes {
        let Self { cluster, meta, taken_at_ms, node, version, live_bytes } = self;
        let membership = wire::StoredMembership::decode(encode_membership(&meta.last_membership));
        wire::BackupHead {
            cluster: Bytes::copy_from_slice(&cluster.to_bytes()),
            applied: meta.last_log_id.as_ref().map(|id| wire::LogId { term: position(id).term, index: id.index }),
            membership: membership.ok(),
            taken_at_ms: *taken_at_ms,
            node: node.clone(),
            version: version.clone(),
            live_bytes: *live_bytes,
        }
        .encode_to_vec()
        .into()
    }

    /// Reads what `encode` wrote.
    ///
    /// # Errors
    /// [`StoreError::Backup`].
    pub fn decode(bytes: Bytes) -> Result<Self, StoreError> {
        let damaged = || unusable("what it says of itself is damaged");
        let sent = wire::BackupHead::decode(bytes).map_err(|_| damaged())?;
        let membership = sent.membership.ok_or_else(damaged)?.encode_to_vec();
        let meta = SnapshotMeta {
            last_log_id: sent.applied.map(|id| log_id(id.term, id.index)),
            last_membership: decode_membership(membership.into()).map_err(|_| damaged())?,
        };
        let cluster = ClusterId::from_bytes(&sent.cluster).ok_or_else(damaged)?;
        let wire::BackupHead { taken_at_ms, node, version, live_bytes, .. } = sent;
        Ok(Self { cluster, meta, taken_at_ms, node, version, live_bytes })
    }

    /// The place in the log that it stands for; `None` of a state to which nothing was ever applied.
    pub fn applied(&self) -> Option<LogId> {
        self.meta.last_log_id
    }
}
