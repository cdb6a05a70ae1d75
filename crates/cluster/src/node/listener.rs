use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use tracing::error;

use super::peer_service::PeerService;
use crate::admin::AdminService;
use crate::admission::AdmissionService;
use crate::fault::Fault;
use crate::health::Readiness;
use crate::late::Late;
use crate::transport::{
    CONNECTION_WINDOW, CountsCalls, Door, Incoming, MAX_MESSAGE_BYTES, PING_INTERVAL, PING_TIMEOUT, STREAM_WINDOW, Tls,
};
use crate::wire::DESCRIPTORS;
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
/// How long calls that are under way may take to end when the node stops.
const LAST_WORDS: Duration = Duration::from_millis(100);
/// How often the health service looks whether this node is ready.
const HEALTH_ROUND: Duration = Duration::from_millis(500);

/// What answers on the gRPC listener.
pub(super) struct Services {
    pub(super) peer: PeerService,
    pub(super) admission: AdmissionService,
    pub(super) admin: AdminService,
    /// Whether this node is ready, once it is a member.
    pub(super) readiness: Late<Readiness>,
    pub(super) fault: Fault,
    pub(super) door: Arc<Door>,
    pub(super) tls: Arc<Tls>,
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
    pub(super) async fn serve(self, incoming: Incoming) {
        let Self { peer, admission, admin, readiness, fault, door, tls, bounds, stop } = self;
        let reflection = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .build_v1();
        let reflection = match reflection {
            Ok(reflection) => reflection,
            Err(error) => return fail(&readiness, &fault, &error),
        };
        let (reporter, health) = tonic_health::server::health_reporter();
        let peer = PeerServer::new(peer)
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES);
        // Half of what a leader's entries may take is on its way into this process, the rest waits for the log.
        let window = u32::try_from(bounds.waiting_entries / 2).unwrap_or(CONNECTION_WINDOW);
        let server = tonic::transport::Server::builder()
            .layer(CountsCalls)
            .max_concurrent_streams(MAX_STREAMS)
            .initial_stream_window_size(STREAM_WINDOW.min(window))
            .initial_connection_window_size(CONNECTION_WINDOW.min(window))
            .max_frame_size(Some(MAX_FRAME_BYTES))
            .http2_keepalive_interval(Some(PING_INTERVAL))
            .http2_keepalive_timeout(Some(PING_TIMEOUT))
            .add_service(peer)
            .add_service(AdmissionServer::new(admission).max_decoding_message_size(MAX_QUESTION_BYTES))
            .add_service(AdminServer::new(admin).max_decoding_message_size(MAX_QUESTION_BYTES))
            .add_service(reflection.max_decoding_message_size(MAX_QUESTION_BYTES))
            .add_service(health.max_decoding_message_size(MAX_QUESTION_BYTES))
            .serve_with_incoming_shutdown(incoming.accepted(door, tls), stop.clone().cancelled_owned());
        let serving = async {
            tokio::select! {
                ended = server => ended,
                () = tell_health(&readiness, &reporter, bounds.proof) => Ok(()),
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

/// A member that nobody reaches must not go on as one.
fn fail(readiness: &Late<Readiness>, fault: &Fault, error: &dyn std::error::Error) {
    error!("the gRPC listener ended: {error}");
    if readiness.get().is_some() {
        fault.stop_for(&format!("its gRPC listener ended: {error}"));
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
