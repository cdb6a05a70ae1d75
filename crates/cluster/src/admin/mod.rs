//! What an operator asks of a cluster, as the gRPC service and as the client that the command line uses, without
//! knowing the listener or how a node is started.

mod access;
mod backup;
mod caller;
mod client;
mod first_namespaces;
mod guard;
mod keys;
mod managed;
mod move_addresses;
mod namespaces;
mod passing_on;
mod rights;
mod same_machine;
mod service;
mod set_time;
mod status;
mod tokens;
mod watching;

pub use crate::wire::{
    AddLearnerRequest, AddTokenRequest, ChangeResponse, ClockJump, CreateNamespaceRequest, DropNamespaceRequest,
    GroupStatus, HistoryEntry, HistoryResponse, InitResponse, KeyStatus, ListGroupsRequest, ListGroupsResponse,
    ListKeysRequest, ListKeysResponse, ListNamespacesResponse, ListTokensRequest, ListTokensResponse, MemberAddress,
    MemberStatus, NamespaceChoices, NamespaceResponse, NamespaceStatus, PromoteRequest, RemoveRequest,
    RemoveTokenRequest, ReplaceRequest, Role, SetAddressRequest, SetNamespaceRequest, SetTimeRequest, SetTimeResponse,
    StatusResponse, TokenStatus, TransferLeaderResponse, TriggerSnapshotResponse, TruncateNamespaceRequest,
};
pub(crate) use access::AccessService;
pub(crate) use backup::{backup, bytes_of};
pub use client::{AdminClient, AdminError, AdminErrorKind};
pub(crate) use first_namespaces::{OwnNamespaces, are_plain};
pub(crate) use guard::Guarded;
pub(crate) use managed::{Backups, ManagedMember};
pub(crate) use passing_on::AdminService;
pub(crate) use status::StatusSource;
