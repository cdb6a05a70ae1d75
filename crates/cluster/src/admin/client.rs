use std::pin::Pin;
use std::time::Duration;

use futures_util::StreamExt;
use openraft::base::BoxStream;
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::join_token::JoinToken;
use crate::transport::{Handshake, Reach, connect_without_a_key, prove};
use crate::wire::admin_client::AdminClient as Grpc;
use crate::wire::{
    AddLearnerRequest, ChangeResponse, CreateNamespaceRequest, DropNamespaceRequest, HistoryRequest, HistoryResponse,
    InitRequest, InitResponse, ListGroupsRequest, ListGroupsResponse, ListNamespacesRequest, ListNamespacesResponse,
    NamespaceResponse, PromoteRequest, RemoveRequest, ReplaceRequest, RotateKeyRequest, SetAddressRequest,
    SetNamespaceRequest, SetTimeRequest, SetTimeResponse, StatusRequest, StatusResponse, TransferLeaderRequest,
    TransferLeaderResponse, TriggerSnapshotRequest, TriggerSnapshotResponse, TruncateNamespaceRequest,
    WatchMembershipRequest,
};

/// Why an admin call did not do what was asked. A script tells the kinds apart; a person reads the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct AdminError {
    /// What went wrong.
    pub kind: AdminErrorKind,
    /// What happened, to what, and what to do.
    pub text: String,
}

/// What went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdminErrorKind {
    /// Nobody answers at that address, or no Sessile node does.
    Unreachable,
    /// There is no leader or no quorum now; nothing was changed, as far as is known.
    NoQuorum,
    /// The call was understood and refused: it would lose quorum, or was decided on another membership.
    Refused,
    /// No member has that name or id.
    NotFound,
    /// The join token is wrong.
    Denied,
    /// An argument makes no sense.
    Invalid,
    /// No answer came in time: it may or may not have happened.
    TimedOut,
    /// Anything else.
    Other,
}

/// An answer on its way. Boxed, as all that the program awaits of this crate but reads and writes: the body of an `async fn`
/// is compiled by the crate that awaits it, and the program would compile most of this crate a second time.
type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, AdminError>> + Send + 'a>>;

/// Talks to the admin service of one node, which passes on what only the leader can do.
#[derive(Clone)]
pub struct AdminClient {
    grpc: Grpc<Channel>,
    channel: Channel,
    /// What TLS proved of the node. Nobody knows yet whose key that is.
    handshake: Handshake,
    server: String,
}

impl AdminClient {
    /// Connects to `host:port`, and waits at most that long for each answer.
    pub fn connect(server: &str, timeout: Duration) -> Answer<'_, Self> {
        Box::pin(Self::connect_through(&Reach::Tcp, server, timeout))
    }

    /// The same, by another way than TCP.
    pub async fn connect_through(reach: &Reach, server: &str, timeout: Duration) -> Result<Self, AdminError> {
        let invalid = |_| AdminError {
            kind: AdminErrorKind::Invalid,
            text: format!("{server:?} is no address: give host:port of a node's cluster.listen"),
        };
        server.parse::<http::uri::Authority>().map_err(invalid)?;
        // Whoever asks has that deadline, and tells more about its end than a connection can: so it is far from the other.
        let connected = connect_without_a_key(reach, server, 10 * timeout).await;
        let (channel, handshake) = connected.map_err(|error| AdminError {
            kind: AdminErrorKind::Unreachable,
            text: format!("no node answers at {server}: {}", root_cause(&error)),
        })?;
        let handshake = handshake.unwrap_or(Handshake::PLAIN);
        Ok(Self { grpc: Grpc::new(channel.clone()), channel, handshake, server: server.to_owned() })
    }

    /// What that node knows of its cluster.
    pub fn status(&mut self) -> Answer<'_, StatusResponse> {
        Box::pin(async move {
            let answer = self.grpc.status(StatusRequest {}).await;
            self.answer(answer)
        })
    }

    /// The status now, and whenever the membership, a role or a member's reachability changes.
    pub fn watch(&mut self) -> Answer<'_, BoxStream<'static, Result<StatusResponse, AdminError>>> {
        Box::pin(async move {
            let answer = self.grpc.watch_membership(WatchMembershipRequest {}).await;
            let server = self.server.clone();
            Ok(self.answer(answer)?.map(move |item| item.map_err(|status| refused(&server, &status))).boxed())
        })
    }

    /// Makes that node the first member of a new cluster. First the node proves that it knows the join token, then this side.
    pub fn init(&mut self, join_token: &JoinToken) -> Answer<'_, InitResponse> {
        let proved = prove(self.channel.clone(), self.handshake, join_token.clone());
        Box::pin(async move {
            let proof = proved.await.map_err(|status| refused(&self.server, &status))?.into();
            let answer = self.grpc.init(InitRequest { proof }).await;
            self.answer(answer)
        })
    }

    /// Admits the node at an address as a learner.
    pub fn add_learner(&mut self, request: AddLearnerRequest) -> Answer<'_, ChangeResponse> {
        Box::pin(async move {
            let answer = self.grpc.add_learner(request).await;
            self.answer(answer)
        })
    }

    /// Makes a learner a voter.
    pub fn promote(&mut self, request: PromoteRequest) -> Answer<'_, ChangeResponse> {
        Box::pin(async move {
            let answer = self.grpc.promote(request).await;
            self.answer(answer)
        })
    }

    /// Puts a learner in a member's place.
    pub fn replace(&mut self, request: ReplaceRequest) -> Answer<'_, ChangeResponse> {
        Box::pin(async move {
            let answer = self.grpc.replace(request).await;
            self.answer(answer)
        })
    }

    /// Removes a member for good.
    pub fn remove(&mut self, request: RemoveRequest) -> Answer<'_, ChangeResponse> {
        Box::pin(async move {
            let answer = self.grpc.remove(request).await;
            self.answer(answer)
        })
    }

    /// Hands leadership to that member, or to the best one.
    pub fn transfer_leader(&mut self, to: Option<&str>) -> Answer<'_, TransferLeaderResponse> {
        let request = TransferLeaderRequest { to: to.unwrap_or_default().to_owned() };
        Box::pin(async move {
            let answer = self.grpc.transfer_leader(request).await;
            self.answer(answer)
        })
    }

    /// Makes a member's state durable; the node that is asked if none is named.
    pub fn trigger_snapshot(&mut self, member: Option<&str>) -> Answer<'_, TriggerSnapshotResponse> {
        let request = TriggerSnapshotRequest { member: member.unwrap_or_default().to_owned() };
        Box::pin(async move {
            let answer = self.grpc.trigger_snapshot(request).await;
            self.answer(answer)
        })
    }

    /// Changes where a member is reached.
    pub fn set_address(&mut self, request: SetAddressRequest) -> Answer<'_, ChangeResponse> {
        Box::pin(async move {
            let answer = self.grpc.set_address(request).await;
            self.answer(answer)
        })
    }

    /// The changes that operators and the autopilot made.
    pub fn history(&mut self) -> Answer<'_, HistoryResponse> {
        Box::pin(async move {
            let answer = self.grpc.history(HistoryRequest {}).await;
            self.answer(answer)
        })
    }

    /// Moves the replicated clock forward.
    pub fn set_time(&mut self, request: SetTimeRequest) -> Answer<'_, SetTimeResponse> {
        Box::pin(async move {
            let answer = self.grpc.set_time(request).await;
            self.answer(answer)
        })
    }

    /// Changes the key by which a member is recognised; the node that is asked if none is named.
    pub fn rotate_key(&mut self, member: Option<&str>) -> Answer<'_, ChangeResponse> {
        let request = RotateKeyRequest { member: member.unwrap_or_default().to_owned() };
        Box::pin(async move {
            let answer = self.grpc.rotate_key(request).await;
            self.answer(answer)
        })
    }

    /// The namespaces, with what each counts.
    pub fn namespaces(&mut self) -> Answer<'_, ListNamespacesResponse> {
        Box::pin(async move {
            let answer = self.grpc.list_namespaces(ListNamespacesRequest {}).await;
            self.answer(answer)
        })
    }

    /// The groups of a namespace, with what each counts.
    pub fn groups(&mut self, namespace: &str) -> Answer<'_, ListGroupsResponse> {
        let request = ListGroupsRequest { namespace: namespace.to_owned() };
        Box::pin(async move {
            let answer = self.grpc.list_groups(request).await;
            self.answer(answer)
        })
    }

    /// Makes one more namespace.
    pub fn create_namespace(&mut self, request: CreateNamespaceRequest) -> Answer<'_, NamespaceResponse> {
        Box::pin(async move {
            let answer = self.grpc.create_namespace(request).await;
            self.answer(answer)
        })
    }

    /// Changes what a namespace may hold, or where it is.
    pub fn set_namespace(&mut self, request: SetNamespaceRequest) -> Answer<'_, NamespaceResponse> {
        Box::pin(async move {
            let answer = self.grpc.set_namespace(request).await;
            self.answer(answer)
        })
    }

    /// Ends all sessions of a namespace, or of one group of it.
    pub fn truncate_namespace(&mut self, request: TruncateNamespaceRequest) -> Answer<'_, NamespaceResponse> {
        Box::pin(async move {
            let answer = self.grpc.truncate_namespace(request).await;
            self.answer(answer)
        })
    }

    /// Removes a namespace.
    pub fn drop_namespace(&mut self, request: DropNamespaceRequest) -> Answer<'_, NamespaceResponse> {
        Box::pin(async move {
            let answer = self.grpc.drop_namespace(request).await;
            self.answer(answer)
        })
    }

    fn answer<T>(&self, answer: Result<tonic::Response<T>, Status>) -> Result<T, AdminError> {
        answer.map(tonic::Response::into_inner).map_err(|status| refused(&self.server, &status))
    }
}

fn refused(server: &str, status: &Status) -> AdminError {
    let kind = match status.code() {
        Code::Unavailable => AdminErrorKind::NoQuorum,
        Code::FailedPrecondition | Code::Aborted | Code::AlreadyExists => AdminErrorKind::Refused,
        Code::NotFound => AdminErrorKind::NotFound,
        Code::PermissionDenied | Code::Unauthenticated => AdminErrorKind::Denied,
        Code::InvalidArgument => AdminErrorKind::Invalid,
        Code::DeadlineExceeded | Code::Cancelled => AdminErrorKind::TimedOut,
        Code::Unimplemented => AdminErrorKind::Unreachable,
        _ => AdminErrorKind::Other,
    };
    let text = match status.code() {
        Code::Unimplemented => format!("what answers at {server} is no Sessile node, or an older one"),
        // A connection that broke carries its cause, not a sentence.
        Code::Unknown | Code::Internal => format!("{server}: {}", root_cause(status)),
        _ => status.message().to_owned(),
    };
    AdminError { kind, text }
}

fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
