//! Who reaches the port of a node and asks what operators ask.

use std::time::Duration;

use http::uri::PathAndQuery;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tonic::client::Grpc;
use tonic::transport::Channel;
use tonic::{Code, Request};
use tonic_prost::ProstCodec;

use super::strangers::{ADMIN, Alone, PATIENCE, READ, TOKEN, man_in_the_middle};
use crate::admin::{AdminClient, AdminErrorKind, RemoveRequest};
use crate::tokens::{Purpose, Secret, Side};
use crate::transport::{Handshake, Reach, connect_without_a_key};
use crate::wire::access_client::AccessClient;
use crate::wire::{EnterRequest, ProveAccessRequest, StatusRequest};

/// What is said to somebody who has proved to be an operator, with the right that it needs; and what nobody knows.
const CALLS: [(&str, bool); 8] = [
    ("/sessile.v1.Admin/Status", true),
    ("/sessile.v1.Admin/WatchMembership", true),
    ("/sessile.v1.Admin/History", true),
    ("/grpc.health.v1.Health/Check", true),
    ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", true),
    ("/sessile.v1.Admin/Remove", false),
    ("/sessile.v1.Admin/RotateKey", false),
    ("/sessile.v1.Admin/NobodyKnows", false),
];

async fn connected(address: &str) -> (Channel, Handshake) {
    let (channel, handshake) = connect_without_a_key(&Reach::Tcp, address, PATIENCE).await.unwrap();
    (channel, handshake.unwrap())
}

/// What comes of an empty question there.
async fn asks(channel: &Channel, path: &'static str) -> Result<(), Code> {
    let mut grpc = Grpc::new(channel.clone());
    grpc.ready().await.unwrap();
    let codec = ProstCodec::<StatusRequest, StatusRequest>::default();
    let mut request = Request::new(StatusRequest {});
    request.set_timeout(PATIENCE);
    let asked = grpc.server_streaming(request, PathAndQuery::from_static(path), codec).await;
    asked.map(drop).map_err(|status| status.code())
}

fn caller(secret: &str, handshake: Handshake) -> Vec<u8> {
    Secret::new(secret).prove(Purpose::Operate, Side::Caller, &handshake.exporter)
}

#[tokio::test]
async fn without_a_proof_a_node_answers_no_operator_no_health_and_no_reflection() {
    let alone = Alone::new().await;
    let (channel, handshake) = connected(&alone.address).await;
    for (path, _) in CALLS {
        assert_eq!(asks(&channel, path).await, Err(Code::Unauthenticated), "{path}");
    }
    let mut access = AccessClient::new(channel.clone());
    access.enter(EnterRequest { proof: caller(READ, handshake).into() }).await.unwrap();
    for (path, looks) in CALLS {
        let asked = asks(&channel, path).await;
        assert_eq!(asked == Err(Code::PermissionDenied), !looks, "{path}: {asked:?}");
        assert_ne!(asked, Err(Code::Unauthenticated), "{path}");
    }
    let (channel, handshake) = connected(&alone.address).await;
    let mut access = AccessClient::new(channel.clone());
    access.enter(EnterRequest { proof: caller(ADMIN, handshake).into() }).await.unwrap();
    assert_eq!(asks(&channel, "/sessile.v1.Admin/NobodyKnows").await, Err(Code::Unimplemented));
    let (other, _) = connected(&alone.address).await;
    assert_eq!(asks(&other, CALLS[0].0).await, Err(Code::Unauthenticated), "it was proved on another connection");
}

#[tokio::test]
async fn a_proof_that_was_heard_is_worth_nothing_elsewhere_and_a_wrong_one_is_waited_for() {
    let alone = Alone::new().await;
    let (_one, heard) = connected(&alone.address).await;
    let (channel, own) = connected(&alone.address).await;
    let mut access = AccessClient::new(channel.clone());
    let given_back = access.prove(ProveAccessRequest { is_wrong: false }).await.unwrap().into_inner().proofs;
    assert_eq!(given_back.len(), 2);
    let to_join = Secret::new(TOKEN).prove(Purpose::Join, Side::Caller, &own.exporter);
    let as_joined = Secret::new(ADMIN).prove(Purpose::Join, Side::Caller, &own.exporter);
    let wrong = [caller(ADMIN, heard), given_back[0].to_vec(), to_join, as_joined, caller(TOKEN, own), Vec::new()];
    for proof in wrong {
        let begin = Instant::now();
        let refused = access.enter(EnterRequest { proof: proof.into() }).await.unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied, "{refused:?}");
        assert!(begin.elapsed() >= Duration::from_millis(500), "it is slowed down");
    }
    assert_eq!(asks(&channel, CALLS[0].0).await, Err(Code::Unauthenticated));
}

/// It stands between an operator and a node, both of which know the token.
#[tokio::test]
async fn a_man_in_the_middle_is_believed_by_no_operator_and_hears_no_proof() {
    let alone = Alone::new().await;
    let mut tasks = JoinSet::new();
    let address = man_in_the_middle(&alone.address, &mut tasks).await;
    let token = Secret::new(ADMIN);
    assert!(AdminClient::connect(&alone.address, Some(&token), PATIENCE).await.is_ok(), "without him");
    let refused = AdminClient::connect(&address, Some(&token), PATIENCE).await.err().unwrap();
    assert_eq!(refused.kind, AdminErrorKind::Denied);
    assert!(refused.text.contains("or somebody stands in between; nothing was asked"), "{refused}");
    let mut without = AdminClient::connect(&address, None, PATIENCE).await.unwrap();
    assert_eq!(without.status().await.unwrap_err().kind, AdminErrorKind::Denied);
}

#[tokio::test]
async fn who_may_only_look_changes_nothing_and_one_whose_token_is_gone_is_sent_away() {
    let alone = Alone::new().await;
    let mut looks = AdminClient::connect(&alone.address, Some(&Secret::new(READ)), PATIENCE).await.unwrap();
    assert_eq!(looks.status().await.unwrap().node_name, "n1");
    let refused = looks.remove(RemoveRequest { member: "n1".into(), ..RemoveRequest::default() }).await.unwrap_err();
    assert_eq!(refused.kind, AdminErrorKind::Denied);
    assert!(refused.text.contains("token look has the right `read`, and Remove needs `admin`"), "{refused}");
    alone.operators.replace(Vec::new());
    let gone = async {
        while looks.status().await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.expect("its connection ends");
    let refused = AdminClient::connect(&alone.address, Some(&Secret::new(READ)), PATIENCE).await.err().unwrap();
    assert!(refused.text.contains("knows no operators' tokens"), "{refused}");
}
