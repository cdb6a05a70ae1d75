use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use tonic_reflection::server::v1::{ServerReflection, ServerReflectionServer};
use tower::layer::util::{Identity, Stack};
use tracing::{error, warn};

use super::peer_service::PeerService;
use crate::admin::{AccessService, AdminService, Guarded};
use crate::admission::AdmissionService;
use crate::fault::Fault;
use crate::health::Readiness;
use crate::late::Late;
use crate::tokens::Operators;
use crate::transport::{
    CONNECTION_WINDOW, Connections, CountsCalls, Incoming, LocalSocket, MAX_MESSAGE_BYTES, PING_INTERVAL, PING_TIMEOUT,
    STREAM_WINDOW, ThisNode,
};
use crate::wire::DESCRIPTORS;
use crate::wire::access_server::AccessServer;
use crate::wire::admin_server::AdminServer;
use crate::wire::admission_server::AdmissionServer;
use crate::wire::peer_server::PeerServer;

/// The largest frame of HTTP/2 that this node takes: a round of appends is one, and not one for every 16 KiB.
const MAX_FRAME_BYTES: u32 = 1 << 20;
/// The largest question of an operator or of a node that wants to join, in bytes: names, addresses, a token. Strangers may
/// ask too.
const MAX_QUESTION_BYTES: usize = 64 << 10;
/// The most calls at a time on one connection. A member has a connection for each purpose, and on it a stream or two.
const MAX_STREAMS: u32 = 64;
/// The most connections on the socket in the data directory: operators and their scripts, one each.
const MAX_LOCAL: usize = 16;
/// How long calls that are under way may take to end when the node stops.
const LAST_WORDS: Duration = Duration::from_millis(100);
/// How often the health service looks whether this node is ready.
const HEALTH_ROUND: Duration = Duration::from_millis(500);

/// What answers on the gRPC listener.
pub(super) struct Services {
    pub(super) peer: PeerService,
    pub(super) admission: AdmissionService,
    pub(super) access: AccessService,
    pub(super) admin: AdminService,
    pub(super) operators: Operators,
    /// Whether this node is ready, once it is a member.
    pub(super) readiness: Late<Readiness>,
    pub(super) fault: Fault,
    pub(super) this: Arc<ThisNode>,
    pub(super) bounds: Bounds,
    pub(super) stop: CancellationToken,
}

/// How much may be open or wait on the listener.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Bytes of a leader's entries that are not in the log yet.
    pub(super) waiting_entries: usize,
    /// How long a node may take to prove that it is ready.
    pub(super) proof: Duration,
}

impl Services {
    /// Answers other nodes and operators, from the first moment until the node stops.
    pub(super) async fn serve(self, incoming: Option<Incoming>, local: Option<LocalSocket>) {
        let Self { peer, admission, access, admin, operators, readiness, fault, this, bounds, stop } = self;
        let (reporter, health) = tonic_health::server::health_reporter();
        let (reflection, for_local) = match (reflection(), reflection()) {
            (Ok(reflection), Ok(for_local)) => (reflection, for_local),
            (Err(error), _) | (_, Err(error)) => return fail(&readiness, &fault, &error),
        };
        let admin = AdminServer::from_arc(Arc::new(admin)).max_decoding_message_size(MAX_QUESTION_BYTES);
        let data_dir = local.as_ref().and_then(LocalSocket::data_dir);
        let admin = Guarded::new(admin, &this, data_dir.as_ref());
        let health = Guarded::new(health.max_decoding_message_size(MAX_QUESTION_BYTES), &this, None);
        let (reflection, for_local) = (Guarded::new(reflection, &this, None), Guarded::new(for_local, &this, None));
        let local = async {
            let Some(local) = local else { return };
            let served = bounds
                .server()
                .add_service(admin.clone())
                .add_service(for_local)
                .add_service(health.clone())
                .serve_with_incoming_shutdown(
                    local.accepted(Connections::new(MAX_LOCAL), this.name().to_owned()),
                    stop.clone().cancelled_owned(),
                );
            if let Err(error) = served.await {
                warn!(%error, "operators on this machine are not answered any more");
            }
        };
        let door = this.door();
        let peer = PeerServer::new(peer)
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES);
        let others = async {
            let Some(incoming) = incoming else { return Ok(()) };
            bounds
                .server()
                .add_service(peer)
                .add_service(AdmissionServer::new(admission).max_decoding_message_size(MAX_QUESTION_BYTES))
                .add_service(AccessServer::new(access).max_decoding_message_size(MAX_QUESTION_BYTES))
                .add_service(admin.clone())
                .add_service(reflection)
                .add_service(health.clone())
                .serve_with_incoming_shutdown(
                    incoming.accepted(door.clone(), this.directory().tls().clone()),
                    stop.clone().cancelled_owned(),
                )
                .await
        };
        let serving = async {
            tokio::select! {
                (ended, ()) = async { tokio::join!(others, local) } => ended,
                () = tell_health(&readiness, &reporter, bounds.proof) => Ok(()),
                () = send_away(&operators, door.connections()) => Ok(()),
            }
        };
        // When the node stops, connections end as their streams do, and Raft's streams end with Raft, later than this.
        let stopped = async {
            stop.cancelled().await;
            tokio::time::sleep(LAST_WORDS).await;
        };
        let ended = tokio::select! {
            ended = serving => ended,
            () = stopped => Ok(()),
        };
        if let Err(error) = ended {
            fail(&readiness, &fault, &error);
        }
    }
}

impl Bounds {
    /// A server that keeps them.
    fn server(&self) -> Server<Stack<CountsCalls, Identity>> {
        // Half of what a leader's entries may take is on its way into this process, the rest waits for the log.
        let window = u32::try_from(self.waiting_entries / 2).unwrap_or(CONNECTION_WINDOW);
        Server::builder()
            .layer(CountsCalls)
            .max_concurrent_streams(MAX_STREAMS)
            .initial_stream_window_size(STREAM_WINDOW.min(window))
            .initial_connection_window_size(CONNECTION_WINDOW.min(window))
            .max_frame_size(Some(MAX_FRAME_BYTES))
            .http2_keepalive_interval(Some(PING_INTERVAL))
            .http2_keepalive_timeout(Some(PING_TIMEOUT))
    }
}

/// Says what may be asked, to tools that do not know it.
fn reflection() -> Result<ServerReflectionServer<impl ServerReflection>, tonic_reflection::server::Error> {
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1();
    reflection.map(|reflection| reflection.max_decoding_message_size(MAX_QUESTION_BYTES))
}

/// A member that nobody reaches must not go on as one.
fn fail(readiness: &Late<Readiness>, fault: &Fault, error: &dyn std::error::Error) {
    error!("the gRPC listener ended: {error}");
    if readiness.get().is_some() {
        fault.stop_for(&format!("its gRPC listener ended: {error}"));
    }
}

/// Ends the connections on which a token was proved that counts no longer, for ever.
async fn send_away(operators: &Operators, connections: &Connections) {
    let mut changes = operators.changes();
    while changes.changed().await.is_ok() {
        connections.end_operators_unless(|token| operators.has(token));
    }
}

/// Tells the health service whether this node is ready, for ever.
async fn tell_health(readiness: &Late<Readiness>, reporter: &HealthReporter, proof: Duration) {
    loop {
        let ready = match readiness.get() {
            Some(readiness) => readiness.prove_again(Instant::now() + proof).await.is_ok(),
            None => false,
        };
        let status = if ready { ServingStatus::Serving } else { ServingStatus::NotServing };
        // The empty name is the whole server, as the gRPC health protocol has it.
        reporter.set_service_status("", status).await;
        tokio::time::sleep(HEALTH_ROUND).await;
    }
}
