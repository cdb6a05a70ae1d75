//! Who reaches the port of a node and is none of its cluster.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream;
use sessile_core::RulesVersion;
use sessile_store::{DataDir, Member, NodeId, Opening, StoreOptions};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tonic::Status;

use super::Node;
use crate::admin::AdminClient;
use crate::config::{NodeConfig, PeersConfig};
use crate::timing::Timing;
use crate::tokens::{OperatorToken, Operators, Right, Secret};
use crate::transport::{
    AmongPeers, Connections, Directory, Door, Incoming, KnownKeys, MAX_MESSAGE_BYTES, NodeKey, Reach, ThisNode, Tls,
    intercepted, refusal_of,
};
use crate::wire::peer_client::PeerClient;
use crate::wire::refusal::Reason;
use crate::wire::{
    ConfirmRequest, FetchSnapshotRequest, Identity, MemberReport, Proposals, ReadIndexRequest, VoteRequest,
};

pub(super) const TOKEN: &str = "a token of the tests";
pub(super) const ADMIN: &str = "a token of operators who may all";
pub(super) const READ: &str = "a token of operators who may look";
/// Far beyond what anything here takes, so that only a hang ends a test this way.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// A cluster of one that listens, and its directory.
pub(super) struct Alone {
    node: Node,
    pub(super) address: String,
    pub(super) operators: Operators,
    _dir: TempDir,
}

/// Somebody with a key, an id and perhaps a token, who is no member.
struct Somebody {
    this: ThisNode,
}

impl Somebody {
    fn new(id: NodeId, token: &str) -> Self {
        let tls = Arc::new(Tls::new(&NodeKey::generate().unwrap()).unwrap());
        let door = Arc::new(Door::new(id, KnownKeys::new(false), Secret::new(token), Connections::new(1)));
        let directory = Directory::new(Reach::Tcp, Timing::default(), door.clone(), tls);
        let among_peers = AmongPeers { address: "127.0.0.1:1".into(), expect: None, rejoins: false };
        Self { this: ThisNode::new(door, directory, "somebody".into(), "0".into(), Some(among_peers)) }
    }

    /// What that node answers to everything that is for members.
    async fn says_all(&self, to: NodeId, address: &str) -> Vec<(&'static str, Option<Status>)> {
        let (channel, _) = self.this.directory().connect_to_anybody(address).await.unwrap();
        let mut peer = PeerClient::new(channel).max_decoding_message_size(MAX_MESSAGE_BYTES);
        let door = self.this.door();
        macro_rules! ask {
            ($call:ident, $message:expr) => {
                (stringify!($call), peer.$call(door.request(Some(to), $message, None)).await.map(drop))
            };
        }
        let answers = [
            ask!(append, stream::pending()),
            ask!(vote, VoteRequest::default()),
            ask!(transfer_leader, crate::wire::LeaderTransfer::default()),
            ask!(snapshot_position, crate::wire::SnapshotPositionRequest::default()),
            ask!(install_snapshot, stream::pending()),
            ask!(fetch_snapshot, FetchSnapshotRequest::default()),
            ask!(propose, stream::pending::<Proposals>()),
            ask!(read_index, stream::pending::<ReadIndexRequest>()),
            ask!(confirm, stream::pending::<ConfirmRequest>()),
            ask!(report, MemberReport::default()),
        ];
        answers.into_iter().map(|(call, answer)| (call, answer.err())).collect()
    }
}

fn opening(dir: &Path) -> Opening {
    Opening::open(DataDir::open(dir).unwrap(), &StoreOptions::default()).unwrap()
}

fn config(dir: &Path, address: &str, seeds: Vec<String>, token: &str) -> NodeConfig {
    let peers = PeersConfig {
        advertise: address.to_owned(),
        seeds,
        expect: None,
        join_token: Secret::new(token),
        plaintext: false,
        listen_for: Duration::ZERO,
        stabilise: Duration::ZERO,
        dead_after: PATIENCE,
        autopilot: true,
    };
    let token = |name: &str, right, secret| OperatorToken { name: name.into(), right, secret: Secret::new(secret) };
    let operators = Operators::new(vec![token("ops", Right::Admin, ADMIN), token("look", Right::Read, READ)]);
    NodeConfig { name: "n1".into(), peers: Some(peers), operators, ..NodeConfig::new(dir.into()) }
}

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

impl Alone {
    pub(super) async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (listener, address) = listen().await;
        let config = config(dir.path(), &address, Vec::new(), TOKEN);
        let operators = config.operators.clone();
        let starting = Node::start(opening(dir.path()), config, Some(Incoming::Tcp(listener)));
        let begin = async {
            let mut admin = AdminClient::connect(&address, Some(&Secret::new(ADMIN)), PATIENCE).await.unwrap();
            admin.init().await.unwrap();
        };
        let (node, ()) = tokio::join!(starting, begin);
        let node = node.unwrap();
        Self { node, address, operators, _dir: dir }
    }

    fn id(&self) -> NodeId {
        self.node.cluster().parts.group.node
    }

    /// How often it refused for that reason.
    fn refused(&self, reason: &str) -> u64 {
        let refusals = self.node.cluster().parts.this.door().counts();
        refusals.into_iter().find(|count| count.reason == reason).unwrap().here
    }
}

fn reason(status: &Status) -> Reason {
    refusal_of(status).unwrap_or_else(|| panic!("no refusal: {status:?}")).0
}

#[tokio::test]
async fn what_is_for_members_is_for_nobody_whose_key_the_membership_does_not_name() {
    let alone = Alone::new().await;
    let cluster = alone.node.cluster().parts.group.cluster;
    // With the right cluster, and the id of the member or another one. Nothing that they say proves it.
    for (id, why) in [(alone.id(), Reason::WrongKey), (NodeId::from(9), Reason::NotAMember)] {
        for token in [TOKEN, "another token of the tests"] {
            let somebody = Somebody::new(id, token);
            somebody.this.door().enter(cluster);
            for (call, refused) in somebody.says_all(alone.id(), &alone.address).await {
                assert_eq!(refused.as_ref().map(reason), Some(why), "{call}: {refused:?}");
            }
        }
    }
    assert_eq!((alone.refused("wrong_key"), alone.refused("not_a_member")), (20, 20), "each is an alert");
}

#[tokio::test]
async fn who_has_proved_to_know_the_token_gets_no_session_before_it_is_a_member() {
    let alone = Alone::new().await;
    let somebody = Somebody::new(NodeId::from(9), TOKEN);
    somebody.this.door().enter(alone.node.cluster().parts.group.cluster);
    somebody.this.probe(&alone.address).await.unwrap();
    for (call, refused) in somebody.says_all(alone.id(), &alone.address).await {
        if ["fetch_snapshot", "propose", "read_index"].contains(&call) {
            assert_eq!(refused.as_ref().map(reason), Some(Reason::NotAMember), "{call}");
        }
    }
}

#[tokio::test]
async fn a_wrong_token_is_said_on_both_sides_and_waited_for() {
    let alone = Alone::new().await;
    let somebody = Somebody::new(NodeId::from(9), "another token of the tests");
    let begin = Instant::now();
    let refused = somebody.this.ask_to_join(&alone.address).await.unwrap_err();
    assert_eq!(reason(&refused), Reason::Token);
    assert!(refused.message().contains("the join token is not the one of node"), "{refused:?}");
    assert!(begin.elapsed() >= Duration::from_millis(500), "it is slowed down");
    assert_eq!(alone.node.cluster().parts.group.membership().membership().nodes().count(), 1);
}

#[tokio::test]
async fn who_does_not_know_the_rules_in_force_is_not_written_into_the_membership() {
    let alone = Alone::new().await;
    let group = alone.node.cluster().parts.group.clone();
    let mut reached = group.state.reached();
    let raised = reached.wait_for(|_| group.state.rules() > RulesVersion::FIRST);
    timeout(PATIENCE, raised).await.expect("the autopilot raises the rules").unwrap();
    let somebody = Somebody::new(NodeId::from(9), TOKEN);
    let of_before = Member { rules_supported: RulesVersion::FIRST, ..somebody.this.as_member() };
    let refused = somebody.this.announce(&of_before, &alone.address).await.unwrap_err();
    assert!(refused.message().contains("knows no newer one than 1: start a newer version"), "{refused:?}");
    assert_eq!(group.membership().membership().nodes().count(), 1);
}

/// A proof is of one connection: on another one it is worth nothing.
#[tokio::test]
async fn a_proof_that_was_heard_is_worth_nothing_on_another_connection() {
    let alone = Alone::new().await;
    let honest = Somebody::new(NodeId::from(8), TOKEN);
    let proof = honest.this.proof_at(&alone.address).await.unwrap();
    let replays = Somebody::new(NodeId::from(9), "another token of the tests");
    let refused = replays.this.probe_with_proof(&alone.address, proof.clone()).await.unwrap_err();
    assert_eq!(reason(&refused), Reason::Token);
    let refused = replays.this.probe_with_proof(&alone.address, Vec::new()).await.unwrap_err();
    assert_eq!(reason(&refused), Reason::Token, "nor is none");
    assert!(alone.refused("token") >= 2);
}

/// Stands between whoever calls and the node at an address, with a key and a certificate of its own. Gives where it is called.
pub(super) async fn man_in_the_middle(real: &str, tasks: &mut JoinSet<()>) -> String {
    let (between, address) = listen().await;
    let real = real.to_owned();
    tasks.spawn(async move {
        let tls = Arc::new(Tls::new(&NodeKey::generate().unwrap()).unwrap());
        let mut relays = JoinSet::new();
        loop {
            let (from, _) = between.accept().await.unwrap();
            let (tls, to) = (tls.clone(), TcpStream::connect(&real).await.unwrap());
            relays.spawn(async move { drop(intercepted(&tls, Box::new(from), Box::new(to)).await) });
        }
    });
    address
}

/// It stands between a node that wants to join and a member, both of which know the token.
#[tokio::test]
async fn a_man_in_the_middle_with_a_certificate_of_his_own_is_believed_by_neither_side() {
    let alone = Alone::new().await;
    let mut tasks = JoinSet::new();
    let address = man_in_the_middle(&alone.address, &mut tasks).await;
    let honest = Somebody::new(NodeId::from(8), TOKEN);
    assert!(honest.this.probe(&alone.address).await.is_ok(), "without him");
    let refused = honest.this.ask_to_join(&address).await.unwrap_err();
    assert_eq!(reason(&refused), Reason::Token, "{refused:?}");
    assert_eq!(alone.node.cluster().parts.group.membership().membership().nodes().count(), 1);
}

/// What a pristine node hears without a proof changes nothing, and what it answers tells nothing.
#[tokio::test]
async fn a_pristine_node_believes_nobody_who_has_not_proved_to_know_its_token() {
    let dir = tempfile::tempdir().unwrap();
    let (listener, address) = listen().await;
    let config = config(dir.path(), &address, Vec::new(), TOKEN);
    let mut starting = JoinSet::new();
    let pristine = opening(dir.path());
    starting.spawn(Node::start(pristine, config, Some(Incoming::Tcp(listener))));
    let somebody = Somebody::new(NodeId::from(9), "another token of the tests");
    somebody.this.door().enter(sessile_store::ClusterId::random());
    let heard = Identity { cluster: vec![7; 16].into(), address: "127.0.0.1:1".into(), ..somebody.this.identity() };
    let refused = somebody.this.probe_as(heard, &address).await.unwrap_err();
    assert_eq!(reason(&refused), Reason::Token);
    let mut admin = AdminClient::connect(&address, Some(&Secret::new(ADMIN)), PATIENCE).await.unwrap();
    let status = admin.status().await.unwrap();
    assert!(status.waiting_for.iter().all(|waits| !waits.contains("07070707")), "{status:?}");
}

/// It says nothing, or not what it should. Its place is free again, and others are answered meanwhile.
#[tokio::test]
async fn who_does_not_end_a_handshake_holds_up_nobody() {
    let alone = Alone::new().await;
    let mut silent = Vec::new();
    for _ in 0..2 * NodeConfig::DEFAULT_MAX_CONNECTIONS {
        silent.push(TcpStream::connect(&alone.address).await.unwrap());
    }
    let somebody = Somebody::new(NodeId::from(9), TOKEN);
    let found = timeout(PATIENCE, somebody.this.probe(&alone.address)).await.unwrap().unwrap();
    assert_eq!(found.node, alone.id());
}

#[tokio::test]
async fn without_a_key_and_without_tls_nothing_is_answered_that_is_for_members() {
    let alone = Alone::new().await;
    let mut stream = TcpStream::connect(&alone.address).await.unwrap();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    let mut heard = Vec::new();
    // It is closed, or reset.
    let _ = timeout(PATIENCE, stream.read_to_end(&mut heard)).await.expect("the connection ends");
    assert!(heard.is_empty(), "{heard:?}");
}
