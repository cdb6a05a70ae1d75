use openraft::errors::{RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{RPCOption, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse};
use openraft::type_config::alias::SnapshotOf;
use sessile_store::{Member, NodeId, Snapshot, TypeConfig, Vote};

/// The network of a cluster of one: there is nobody to talk to. That a log names other members is refused at the
/// start; should Raft try to reach one all the same, it finds nobody.
pub(crate) struct NoPeers;

/// The way to a peer that there is none of.
pub(crate) struct Nobody(NodeId);

impl Nobody {
    fn unreachable(&self) -> Unreachable<TypeConfig> {
        Unreachable::from_string(format!("this version reaches no other member, and {} is one", self.0))
    }
}

impl RaftNetworkFactory<TypeConfig> for NoPeers {
    type Network = Nobody;

    async fn new_client(&mut self, target: NodeId, _: &Member) -> Nobody {
        Nobody(target)
    }
}

impl RaftNetworkV2<TypeConfig> for Nobody {
    type SnapshotData = Snapshot;

    async fn append_entries(
        &mut self,
        _: AppendEntriesRequest<TypeConfig>,
        _: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig>, RPCError<TypeConfig>> {
        Err(self.unreachable().into())
    }

    async fn vote(
        &mut self,
        _: VoteRequest<TypeConfig>,
        _: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        Err(self.unreachable().into())
    }

    async fn full_snapshot(
        &mut self,
        _: Vote,
        _: SnapshotOf<TypeConfig, Snapshot>,
        _: impl Future<Output = ReplicationClosed> + Send + 'static,
        _: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        Err(self.unreachable().into())
    }
}
