use std::sync::Arc;

use sessile_store::{KeyFile, NodeId};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::cluster::Parts;
use super::listener::{Bounds, Services};
use super::peer_service::{PeerMember, PeerService};
use crate::admin::{AccessService, AdminService, ManagedMember, StatusSource};
use crate::admission::{AdmissionService, Lobby, Newcomer};
use crate::config::NodeConfig;
use crate::error::StartError;
use crate::fault::Fault;
use crate::health::Readiness;
use crate::late::Late;
use crate::membership::MembershipChanges;
use crate::tokens::Secret;
use crate::transport::{AmongPeers, Connections, Directory, Door, KnownKeys, NodeKey, ThisNode, Tls};

/// A node from its first moment on, before it is a member.
pub(super) struct Starting {
    pub(super) newcomer: Newcomer,
    pub(super) fault: Fault,
    pub(super) key_file: KeyFile,
    pub(super) tasks: TaskTracker,
    pub(super) stop: CancellationToken,
    /// What answers others once this node is a member.
    peers: Late<PeerMember>,
    managed: Late<ManagedMember>,
    changes: Late<MembershipChanges>,
    readiness: Late<Readiness>,
}

impl Starting {
    pub(super) fn new(
        node: NodeId,
        key: (NodeKey, KeyFile),
        lobby: Lobby,
        config: NodeConfig,
    ) -> Result<Self, StartError> {
        let (key, file) = key;
        let among_peers = config.peers.as_ref().map(|peers| AmongPeers {
            address: peers.advertise.clone(),
            expect: peers.expect,
            rejoins: peers.autopilot,
        });
        let tls = Tls::new(&key).map_err(|error| StartError::Key { path: file.path(), what: error.to_string() })?;
        let (token, plaintext) = match &config.peers {
            Some(peers) => (peers.join_token.clone(), peers.plaintext),
            None => (Secret::default(), false),
        };
        let connections = Connections::new(config.max_connections);
        let door = Arc::new(Door::new(node, KnownKeys::new(plaintext), token, connections));
        let directory = Directory::new(config.reach.clone(), config.timing, door.clone(), Arc::new(tls));
        let this = ThisNode::new(door, directory, config.name.clone(), config.version.clone(), among_peers);
        Ok(Self {
            newcomer: Newcomer { this: Arc::new(this), lobby: Arc::new(lobby), config: Arc::new(config) },
            fault: Fault::new(),
            key_file: file,
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            peers: Late::new(),
            managed: Late::new(),
            changes: Late::new(),
            readiness: Late::new(),
        })
    }

    pub(super) fn status(&self) -> StatusSource {
        let Newcomer { this, lobby, .. } = &self.newcomer;
        StatusSource::new(this.clone(), lobby.clone(), self.managed.clone())
    }

    /// What answers other nodes and operators, from now on.
    pub(super) fn services(&self) -> Services {
        let Newcomer { this, lobby, config } = &self.newcomer;
        let listens_for = config.peers.as_ref().map(|peers| peers.listen_for).unwrap_or_default();
        let (tasks, stop) = (self.tasks.clone(), self.stop.clone());
        Services {
            peer: PeerService::new(
                this.door().clone(),
                lobby.clone(),
                self.peers.clone(),
                config.queues.forwarded,
                (tasks, stop.clone()),
            ),
            admission: AdmissionService::new(this.clone(), lobby.clone(), listens_for, self.changes.clone()),
            access: AccessService::new(this.clone(), config.operators.clone()),
            admin: AdminService::new(self.status(), stop.clone()),
            operators: config.operators.clone(),
            readiness: self.readiness.clone(),
            fault: self.fault.clone(),
            this: this.clone(),
            bounds: Bounds { waiting_entries: config.queues.replicated, proof: config.timing.read_round() },
            stop,
        }
    }

    /// From now on this node is that member, to everybody who asks.
    pub(super) fn becomes(&self, parts: &Parts) {
        self.readiness.set(&parts.readiness);
        self.changes.set(&parts.managed.changes);
        self.managed.set(&parts.managed);
        self.peers.set(&parts.peers);
    }
}
