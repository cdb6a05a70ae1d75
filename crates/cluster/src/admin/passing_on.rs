//! What every call of operators begins with: who is asked, who leads, and how a call is passed on to that node.

use std::sync::Arc;
use std::time::Duration;

use sessile_store::NodeId;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use tonic::{Request, Status};

use super::caller::{self, PASSED_ON};
use super::keys::Lists;
use super::managed::ManagedMember;
use super::status::{self, StatusSource};
use crate::membership::Author;
use crate::transport::ThisNode;
use crate::wire::admin_client::AdminClient;

/// How long a call waits for a leader, through an election, before it says that there is none.
const LEADER_WAIT: Duration = Duration::from_secs(3);
/// How long a call may take that another node was asked to do.
const PASSED_ON_TIMEOUT: Duration = Duration::from_secs(15);

/// What operators ask, at the node that is asked.
pub(crate) struct AdminService {
    pub(super) source: StatusSource,
    pub(super) stop: CancellationToken,
    pub(super) lists: Lists,
}

impl AdminService {
    pub(crate) fn new(source: StatusSource, stop: CancellationToken) -> Self {
        Self { source, stop, lists: Lists::default() }
    }

    pub(super) fn this(&self) -> &ThisNode {
        &self.source.this
    }

    pub(super) fn member(&self) -> Result<Arc<ManagedMember>, Status> {
        self.source.member.get().ok_or_else(|| {
            let waiting = self.source.lobby.waiting_for().join("; ");
            Status::unavailable(format!("node {} belongs to no cluster yet: {waiting}", self.this().name()))
        })
    }

    /// An error at a single node, whose configuration has no `cluster`: nobody could reach it.
    pub(super) fn among_peers(&self) -> Result<(), Status> {
        if !self.this().address().is_empty() {
            return Ok(());
        }
        let text = format!(
            "node {} is a single node, whose configuration has no `cluster`: other nodes cannot reach it; nothing was \
             changed",
            self.this().name()
        );
        Err(Status::failed_precondition(text))
    }

    /// Whoever leads: this node (`None`), or another one that the call is passed on to. Waits through an election, also
    /// when nobody here has noticed yet that the last leader is gone.
    pub(super) async fn leader<T>(&self, request: &Request<T>) -> Result<Option<Other>, Status> {
        let is_passed_on = self.is_passed_on(request)?;
        let member = self.member()?;
        let group = &*member.group;
        let give_up = Instant::now() + LEADER_WAIT;
        loop {
            match group.leader() {
                // One that has lost its quorum takes itself for the leader, and knows what was.
                Some(leader) if leader == group.node => {
                    let confirmed = member.reads.prove(give_up).await.is_ok();
                    if confirmed && group.leads() {
                        return Ok(None);
                    }
                }
                Some(leader) if leader != group.node && !is_passed_on && member.health.is_well(leader) => {
                    if let Some(address) = self.this().directory().address(leader)
                        && let Ok(channel) = self.this().directory().connect_now(leader, &address).await
                    {
                        return Ok(Some(Other { node: leader, client: AdminClient::new(channel) }));
                    }
                }
                _ => {}
            }
            if group.await_leader(give_up, false).await.is_err() {
                return Err(Status::unavailable(status::no_leader(group, &member.health)));
            }
        }
    }

    /// Whether another member has passed this call on; it must be one of the same cluster, and must mean this node: what
    /// is asked of one cluster never reaches another one whose node answers at a member's address.
    pub(super) fn is_passed_on<T>(&self, request: &Request<T>) -> Result<bool, Status> {
        let is_passed_on = request.metadata().contains_key(PASSED_ON);
        if is_passed_on {
            self.this().door().admit(request)?;
        }
        Ok(is_passed_on)
    }

    /// The member that has taken over, which does what this one was asked.
    pub(super) fn other(&self, node: NodeId) -> Result<Other, Status> {
        let address = self.this().directory().address(node).unwrap_or_default();
        Ok(Other { node, client: AdminClient::new(self.this().directory().connect(node, &address)?) })
    }

    pub(super) fn pass_on<T>(&self, to: NodeId, message: T, author: &Author) -> Request<T> {
        let mut request = self.this().door().request(Some(to), message, Some(PASSED_ON_TIMEOUT));
        request.metadata_mut().insert(PASSED_ON, tonic::metadata::MetadataValue::from_static("1"));
        caller::tell(author, request.metadata_mut());
        request
    }
}

/// Another member, which does what this one was asked.
pub(super) struct Other {
    pub(super) node: NodeId,
    pub(super) client: AdminClient<Channel>,
}

/// Who asks for a change. Of a call that was passed on it is believed what it says, once [`AdminService::leader`] has let it in.
pub(super) fn author<T>(request: &Request<T>) -> Author {
    caller::author(request, request.metadata().contains_key(PASSED_ON))
}
