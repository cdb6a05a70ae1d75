//! What an operator asks of a cluster: the gRPC service, and the client that the command line uses.

mod client;
mod service;
mod watching;

pub use crate::wire::{
    AddLearnerRequest, ChangeResponse, InitResponse, MemberStatus, PromoteRequest, RemoveRequest, ReplaceRequest, Role,
    SetAddressRequest, StatusResponse, TransferLeaderResponse, TriggerSnapshotResponse,
};
pub use client::{AdminClient, AdminError, AdminErrorKind};
pub(crate) use service::{AdminService, status};
