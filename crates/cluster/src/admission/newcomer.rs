use std::sync::Arc;

use tonic::Status;

use super::identity::identity;
use super::lobby::Lobby;
use crate::config::NodeConfig;
use crate::transport::{Found, ThisNode};

/// A node on its way to be a member.
#[derive(Clone)]
pub(crate) struct Newcomer {
    pub(crate) this: Arc<ThisNode>,
    pub(crate) lobby: Arc<Lobby>,
    pub(crate) config: Arc<NodeConfig>,
}

impl Newcomer {
    /// Asks who answers at an address.
    pub(super) async fn probe(&self, address: &str) -> Result<Found, Status> {
        self.this.probe_as(identity(&self.this, &self.lobby), address).await
    }
}
