use std::error::Error as _;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use openraft::base::BoxStream;
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};

use super::backup::bytes_of;
use super::same_machine;
use crate::tokens::{Purpose, Secret, Side};
use crate::transport::{Handshake, Reach, connect_over, connect_to_socket, connect_without_a_key, socket_in};
use crate::wire::access_client::AccessClient;
use crate::wire::admin_client::AdminClient as Grpc;
use crate::wire::{
    AddLearnerRequest, AddTokenRequest, BackupPart, BackupRequest, ChangeResponse, CreateNamespaceRequest,
    DropNamespaceRequest, EnterRequest, HistoryRequest, HistoryResponse, InitRequest, InitResponse, ListGroupsRequest,
    ListGroupsResponse, ListKeysRequest, ListKeysResponse, ListNamespacesRequest, ListNamespacesResponse,
    ListTokensRequest, ListTokensResponse, MemberAddress, MoveAddressesRequest, NamespaceResponse, PromoteRequest,
    ProveAccessRequest, ProveAccessResponse, RemoveRequest, RemoveTokenRequest, ReplaceRequest, RotateKeyRequest,
    SetAddressRequest, SetNamespaceRequest, SetTimeRequest, SetTimeResponse, StatusRequest, StatusResponse,
    TransferLeaderRequest, TransferLeaderResponse, TriggerSnapshotRequest, TriggerSnapshotResponse,
    TruncateNamespaceRequest, WatchMembershipRequest,
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
    /// There is no token, or a wrong one, or one that does not allow it; or the file's mode does not.
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
/// Several, one after the other.
type Answers<T> = BoxStream<'static, Result<T, AdminError>>;

/// Talks to the admin service of one node, which passes on what only the leader can do.
#[derive(Clone)]
pub struct AdminClient {
    grpc: Grpc<Channel>,
    server: String,
}

impl AdminClient {
    /// Connects to `host:port`, and waits at most that long for each answer. With a token, first the node proves that it
    /// knows it, so that it is one of the right cluster, and then this side. Without one, a node answers nothing; one on this
    /// machine says where its socket is, and is asked there.
    pub fn connect<'a>(server: &'a str, token: Option<&'a Secret>, timeout: Duration) -> Answer<'a, Self> {
        Box::pin(async move {
            let mut over_tcp = Self::connect_through(&Reach::Tcp, server, token, timeout).await?;
            if token.is_some() {
                return Ok(over_tcp);
            }
            let refused = over_tcp.grpc.status(StatusRequest {}).await.err();
            let data_dir = refused.as_ref().and_then(same_machine::told);
            let Some(data_dir) = data_dir else { return Ok(over_tcp) };
            // Where that is not for this user, the node's own refusal says more.
            let by_socket = Self::connect_in(&data_dir, timeout).await;
            Ok(by_socket.map_or(over_tcp, |client| Self { server: server.to_owned(), ..client }))
        })
    }

    /// Connects to the node on this machine that has that data directory, by the socket in it.
    pub fn connect_in(data_dir: &Path, timeout: Duration) -> Answer<'_, Self> {
        Box::pin(async move {
            let wire = connect_to_socket(data_dir).await.map_err(|error| not_on_this_machine(data_dir, &error))?;
            let channel = connect_over(Box::new(wire), 10 * timeout).await;
            let channel =
                channel.map_err(|error| not_on_this_machine(data_dir, &io::Error::other(root_cause(&error))))?;
            Ok(Self { grpc: Grpc::new(channel), server: format!("the node in {}", data_dir.display()) })
        })
    }

    /// The same, by another way than TCP.
    pub async fn connect_through(
        reach: &Reach,
        server: &str,
        token: Option<&Secret>,
        timeout: Duration,
    ) -> Result<Self, AdminError> {
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
        if let Some(token) = token {
            enter(channel.clone(), server, handshake.unwrap_or(Handshake::PLAIN), token).await?;
        }
        Ok(Self { grpc: Grpc::new(channel), server: server.to_owned() })
    }

    /// What that node knows of its cluster.
    pub fn status(&mut self) -> Answer<'_, StatusResponse> {
        Box::pin(async move {
            let answer = self.grpc.status(StatusRequest {}).await;
            self.answer(answer)
        })
    }

    /// The status now, and whenever the membership, a role or a member's reachability changes.
    pub fn watch(&mut self) -> Answer<'_, Answers<StatusResponse>> {
        Box::pin(async move {
            let answer = self.grpc.watch_membership(WatchMembershipRequest {}).await;
            self.stream(answer)
        })
    }

    /// Makes that node the first member of a new cluster.
    pub fn init(&mut self) -> Answer<'_, InitResponse> {
        Box::pin(async move {
            let answer = self.grpc.init(InitRequest {}).await;
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

    /// Tells that node where members are reached now, without a leader.
    pub fn move_addresses(&mut self, moves: Vec<MemberAddress>) -> Answer<'_, ChangeResponse> {
        Box::pin(async move {
            let answer = self.grpc.move_addresses(MoveAddressesRequest { moves }).await;
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

    /// The live keys of a namespace or group by their hashes, page by page.
    pub fn keys(&mut self, request: ListKeysRequest) -> Answer<'_, Answers<ListKeysResponse>> {
        Box::pin(async move {
            let answer = self.grpc.list_keys(request).await;
            self.stream(answer)
        })
    }

    /// A backup of all sessions: first its head, and then the chunks, as [`sessile_store::BackupWriter`] takes them.
    pub fn backup(&mut self, even_behind: bool) -> Answer<'_, Answers<Bytes>> {
        Box::pin(async move {
            let answer = self.grpc.backup(BackupRequest { even_behind }).await;
            let parts: Answers<BackupPart> = self.stream(answer)?;
            let empty = || AdminError { kind: AdminErrorKind::Other, text: "a part of the backup is empty".to_owned() };
            Ok(parts.map(move |part| part.and_then(|part| bytes_of(part).ok_or_else(empty))).boxed())
        })
    }

    /// The same as they are, which stands in the history.
    pub fn reveal_keys(&mut self, request: ListKeysRequest) -> Answer<'_, Answers<ListKeysResponse>> {
        Box::pin(async move {
            let answer = self.grpc.reveal_keys(request).await;
            self.stream(answer)
        })
    }

    /// The tokens of a namespace.
    pub fn tokens(&mut self, namespace: &str) -> Answer<'_, ListTokensResponse> {
        let request = ListTokensRequest { namespace: namespace.to_owned() };
        Box::pin(async move {
            let answer = self.grpc.list_tokens(request).await;
            self.answer(answer)
        })
    }

    /// Gives a namespace one more token.
    pub fn add_token(&mut self, request: AddTokenRequest) -> Answer<'_, NamespaceResponse> {
        Box::pin(async move {
            let answer = self.grpc.add_token(request).await;
            self.answer(answer)
        })
    }

    /// Takes a token from a namespace.
    pub fn remove_token(&mut self, request: RemoveTokenRequest) -> Answer<'_, NamespaceResponse> {
        Box::pin(async move {
            let answer = self.grpc.remove_token(request).await;
            self.answer(answer)
        })
    }

    /// Answers that come one after the other.
    fn stream<T: Send + 'static>(
        &self,
        answer: Result<tonic::Response<Streaming<T>>, Status>,
    ) -> Result<Answers<T>, AdminError> {
        let server = self.server.clone();
        Ok(self.answer(answer)?.map(move |item| item.map_err(|status| refused(&server, &status))).boxed())
    }

    fn answer<T>(&self, answer: Result<tonic::Response<T>, Status>) -> Result<T, AdminError> {
        answer.map(tonic::Response::into_inner).map_err(|status| refused(&self.server, &status))
    }
}

/// Both sides of a connection prove to each other that they know the token, the node first: nothing is proved to somebody
/// who does not know it.
async fn enter(channel: Channel, server: &str, handshake: Handshake, token: &Secret) -> Result<(), AdminError> {
    let denied = |text: String| AdminError { kind: AdminErrorKind::Denied, text };
    let failed = |status: Status| match status.code() {
        Code::Unimplemented => denied(format!(
            "what answers at {server} is no Sessile node, or one of an older program, which knows no operators' tokens and \
             cannot prove that it is of your cluster"
        )),
        _ => refused(server, &status),
    };
    let mut access = AccessClient::new(channel);
    let answer = access.prove(ProveAccessRequest { is_wrong: false }).await.map_err(failed)?;
    let ProveAccessResponse { proofs } = answer.into_inner();
    if proofs.is_empty() {
        return Err(denied(format!(
            "the node at {server} knows no operators' tokens: name a file with some in its \
             cluster.operator_token_file, or run the command on its machine, without --server"
        )));
    }
    let exporter = &handshake.exporter;
    if !proofs.iter().any(|proof| token.is_proved(Purpose::Operate, Side::Called, exporter, proof)) {
        // It is to know, too: its log says what is wrong. Whether it hears of it changes nothing here.
        let _ = access.prove(ProveAccessRequest { is_wrong: true }).await;
        return Err(denied(format!(
            "what answers at {server} does not know the token: it is none of its cluster.operator_token_file, or somebody \
             stands in between; nothing was asked"
        )));
    }
    let proof = token.prove(Purpose::Operate, Side::Caller, exporter).into();
    access.enter(EnterRequest { proof }).await.map(drop).map_err(failed)
}

fn refused(server: &str, status: &Status) -> AdminError {
    // What a node says of itself has no cause: that is of a connection which broke.
    if matches!(status.code(), Code::Unknown | Code::Internal) && status.source().is_some() {
        let text = format!(
            "{server}: {}: it has stopped or is reached no more, and whether it did what was asked is not known; ask again, \
             or another node",
            root_cause(status)
        );
        return AdminError { kind: AdminErrorKind::Unreachable, text };
    }
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
        Code::Unknown | Code::Internal => format!("{server}: {}", status.message()),
        _ => status.message().to_owned(),
    };
    AdminError { kind, text }
}

/// Why nobody is reached by the socket in that directory, and what to do.
fn not_on_this_machine(data_dir: &Path, error: &io::Error) -> AdminError {
    let socket = socket_in(data_dir);
    let (kind, why) = match error.kind() {
        io::ErrorKind::NotFound => (AdminErrorKind::Unreachable, "no node runs there, or it has just begun to start"),
        io::ErrorKind::ConnectionRefused => (
            AdminErrorKind::Unreachable,
            "the node that made it runs no longer, or another one there is still opening its data: see its log",
        ),
        io::ErrorKind::PermissionDenied => (
            AdminErrorKind::Denied,
            "it is for root and for the user that runs the node: run the command as one of them",
        ),
        _ => (AdminErrorKind::Unreachable, "no node is reached by it"),
    };
    AdminError { kind, text: format!("{}: {error}; {why}", socket.display()) }
}

fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
