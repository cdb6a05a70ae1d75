use std::sync::Arc;

use sessile_store::NodeId;
use tonic::Status;

use super::identity::identity;
use super::lobby::Lobby;
use crate::config::NodeConfig;
use crate::transport::ThisNode;
use crate::wire::Identity;

/// A node on its way to be a member.
#[derive(Clone)]
pub(crate) struct Newcomer {
    pub(crate) this: Arc<ThisNode>,
    pub(crate) lobby: Arc<Lobby>,
    pub(crate) config: Arc<NodeConfig>,
}

impl Newcomer {
    /// Asks who answers at an address.
    pub(super) async fn probe(&self, address: &str) -> Result<(NodeId, Identity), Status> {
        self.this.probe_as(identity(&self.this, &self.lobby), address).await
    }
}
