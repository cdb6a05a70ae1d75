//! Three nodes that agree on who they are.

use std::time::Duration;

use sessile_cluster::admin::{AdminErrorKind, RemoveRequest, ReplaceRequest, SetAddressRequest, StatusResponse};
use sessile_cluster::{Cluster, ClusterError};
use sessile_core::Action;
use sessile_store::{ClusterId, Reservation};
use tokio::time::{Instant, timeout};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use crate::support::*;

const ALL: [&str; 3] = ["n1", "n2", "n3"];

#[tokio::test(flavor = "multi_thread")]
async fn three_pristine_nodes_make_one_cluster_and_any_of_them_answers() {
    let mut cast = Cast::new(3, 3);
    cast.start_all();
    let mut clusters = Vec::new();
    for name in ALL {
        clusters.push(cast.cluster(name).await);
    }
    let id = clusters[0].status().cluster;
    assert!(clusters.iter().all(|cluster| cluster.status().cluster == id));
    for (number, cluster) in clusters.iter().enumerate() {
        write(cluster, key(number), put(b"here")).await;
        for other in &clusters {
            assert_eq!(read(other, &key(number)).await.as_deref(), Some(&b"here"[..]), "read on another node");
        }
    }
    for name in ALL {
        let status = cast.until(name, "it knows three voters", |status| voters(status) == ALL && status.ready).await;
        assert_eq!(status.cluster_id, id.to_string());
    }
}

/// Three that run, and their handles.
async fn three() -> (Cast, Vec<Cluster>) {
    let mut cast = Cast::new(3, 3);
    cast.start_all();
    let mut clusters = Vec::new();
    for name in ALL {
        clusters.push(cast.cluster(name).await);
    }
    for name in ALL {
        cast.until(name, "three voters, ready", |status| voters(status) == ALL && status.ready).await;
    }
    (cast, clusters)
}

fn id_of(status: &StatusResponse, name: &str) -> String {
    status.members.iter().find(|member| member.name == name).map(|member| member.id.clone()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reimaged_node_takes_its_own_place_without_a_command() {
    let (mut cast, _) = three().await;
    for reimaged in ["n1", "n2", "n3"] {
        let witness = if reimaged == "n1" { "n2" } else { "n1" };
        let before = cast.status(witness).await;
        cast.wipe(reimaged).await;
        cast.start(reimaged);
        let cluster = cast.cluster(reimaged).await;
        let after = cast
            .until(witness, "the new node is a voter in the old one's place", |status| {
                voters(status) == ALL
                    && status.members.len() == 3
                    && id_of(status, reimaged) != id_of(&before, reimaged)
                    && !status.joint
            })
            .await;
        assert_eq!(after.cluster_id, before.cluster_id);
        write(&cluster, key(1), put(b"through the new one")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_stops_hands_over_first_and_nobody_waits_for_an_election() {
    let (mut cast, clusters) = three().await;
    let before = cast.status("n1").await;
    let leader = before.leader.clone();
    let (other, its) = ALL.into_iter().zip(&clusters).find(|(name, _)| *name != leader).unwrap();
    let changes = its.status().leader_changes;
    cast.leave(&leader).await;
    let after =
        cast.until(other, "another one leads", |status| !status.leader.is_empty() && status.leader != leader).await;
    assert!(after.term <= before.term + 1, "one transfer, no contest: {} then {}", before.term, after.term);
    eventually("the change is counted", async || its.status().leader_changes == changes + 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_starts_counts_no_change_of_the_leader() {
    let (mut cast, clusters) = three().await;
    let leader = cast.status("n1").await.leader;
    let (_, witness) = ALL.into_iter().zip(&clusters).find(|(name, _)| *name == leader).unwrap();
    for name in ALL.into_iter().filter(|name| *name != leader) {
        let before = witness.status().leader_changes;
        cast.stop(name).await;
        cast.start(name);
        let started = cast.cluster(name).await;
        cast.until(name, "it knows who leads", |status| status.ready).await;
        let counted = started.status().leader_changes;
        let seen = witness.status().leader_changes - before;
        assert!(counted <= seen, "{name} counts {counted} changes, and who was there all the time {seen}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_quorum_nobody_answers_and_with_it_again_everybody_does() {
    let (mut cast, clusters) = three().await;
    write(&clusters[0], key(1), put(b"kept")).await;
    cast.stop("n2").await;
    cast.stop("n3").await;
    let soon = || Instant::now() + Duration::from_millis(300);
    assert_eq!(clusters[0].read(SESSIONS, &key(1), soon()).await.unwrap_err(), ClusterError::NoQuorum);
    let written = clusters[0].write(SESSIONS, key(1), Action::Put(put(b"no")), soon()).await.unwrap_err();
    assert!(matches!(written, ClusterError::NoQuorum | ClusterError::OutcomeUnknown), "{written:?}");
    assert!(clusters[0].ready(soon()).await.is_err());
    let mut admin = cast.admin("n1").await;
    let refused = admin.transfer_leader(None).await.unwrap_err();
    assert!(matches!(refused.kind, AdminErrorKind::NoQuorum | AdminErrorKind::Refused), "{refused:?}");
    cast.start("n2");
    let second = cast.cluster("n2").await;
    assert!(read(&second, &key(1)).await.is_some(), "two of three are a quorum");
    write(&clusters[0], key(2), put(b"again")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_was_removed_stays_away_and_says_how_to_come_back() {
    let (mut cast, _) = three().await;
    let leader = cast.status("n1").await.leader;
    let gone = ALL.into_iter().find(|name| *name != leader).unwrap();
    let request = |member: &str| RemoveRequest { member: member.into(), if_membership: None, force: false };
    let removed = cast.admin(gone).await.remove(request(gone)).await.unwrap();
    assert!(removed.changed, "{removed:?}");
    assert!(cast.fault(gone).await.contains("--discard-data-and-rejoin"));
    cast.crash(gone).await;
    assert!(cast.refusal(gone).contains("was removed from its cluster"), "also when it starts again");
    let status = cast.status(&leader).await;
    assert_eq!((voters(&status).len(), status.removed), (2, 1));

    let refused = cast.admin(&leader).await.remove(request("n9")).await.unwrap_err();
    assert_eq!(refused.kind, AdminErrorKind::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_is_removed_by_its_successor() {
    let (mut cast, _) = three().await;
    let leader = cast.status("n1").await.leader;
    let other = ALL.into_iter().find(|name| *name != leader).unwrap();
    let request =
        RemoveRequest { member: id_of(&cast.status(other).await, &leader), if_membership: None, force: false };
    // On a busy machine an election may come between: then it is asked again, as an operator would.
    loop {
        match cast.admin(&leader).await.remove(request.clone()).await {
            Ok(removed) => break assert!(!removed.what.is_empty()),
            Err(error) => {
                assert!(matches!(error.kind, AdminErrorKind::NoQuorum | AdminErrorKind::TimedOut), "{error:?}");
            }
        }
    }
    let left = cast
        .until(other, "two voters are left, and one leads", |status| voters(status).len() == 2 && status.ready)
        .await;
    assert!(left.members.iter().all(|member| member.name != leader));
    assert!(cast.fault(&leader).await.contains("was removed"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_is_refused_moves_not_even_leadership() {
    let (cast, _) = three().await;
    // On a busy machine an election may come between: then it is asked again, as an operator would.
    loop {
        let before = cast.status("n1").await;
        let (leader, another) = (before.leader.clone(), Some(before.membership_index + 1));
        let mut admin = cast.admin(&leader).await;
        let remove = RemoveRequest { member: leader.clone(), if_membership: another, force: false };
        let moved = SetAddressRequest { member: leader.clone(), address: "127.0.0.1:1".into(), if_membership: another };
        let replace = ReplaceRequest { old: leader.clone(), new: "n9".into(), if_membership: None, force: false };
        let refused = [
            admin.remove(remove).await.unwrap_err().kind,
            admin.set_address(moved).await.unwrap_err().kind,
            admin.replace(replace).await.unwrap_err().kind,
        ];
        if refused.iter().any(|kind| matches!(kind, AdminErrorKind::NoQuorum | AdminErrorKind::TimedOut)) {
            continue;
        }
        assert_eq!(refused, [AdminErrorKind::Refused, AdminErrorKind::Refused, AdminErrorKind::NotFound]);
        let after = cast.status(&leader).await;
        assert_eq!((after.leader, after.term, after.membership_index), (leader, before.term, before.membership_index));
        break;
    }
}

/// It would ask for its last leader again and again, without a pause.
#[tokio::test(flavor = "multi_thread")]
async fn who_asks_a_follower_that_has_stopped_is_told_so_at_once() {
    let (mut cast, _) = three().await;
    let leader = cast.status("n1").await.leader;
    let follower = ALL.into_iter().find(|name| *name != leader).unwrap();
    let cluster = cast.cluster(follower).await;
    cast.stop(follower).await;
    let far = Instant::now() + 10 * PATIENCE;
    let asked = async {
        let read = cluster.read(SESSIONS, &key(1), far).await.map(drop);
        let written = cluster.write(SESSIONS, key(1), Action::Put(put(b"late")), far).await.map(drop);
        (read, written)
    };
    let (read, written) = timeout(PATIENCE, asked).await.unwrap();
    assert_eq!(read, Err(ClusterError::Stopping));
    // It may have been on its way to the leader when the node stopped.
    assert!(matches!(written, Err(ClusterError::Stopping | ClusterError::OutcomeUnknown)), "{written:?}");
}

/// Between the adoption of the cluster and its first entry, nobody but the initiator knows what was to come.
#[tokio::test(flavor = "multi_thread")]
async fn an_initiator_that_was_cut_short_ends_what_it_began() {
    let mut cast = Cast::new(3, 3);
    let pristine = ALL.map(|name| cast.pristine(name));
    let reservation = Reservation { cluster: ClusterId::random(), initiator: pristine[0].node() };
    for store in &pristine {
        assert_eq!(store.reserve(reservation).unwrap(), reservation);
    }
    let [initiator, others @ ..] = pristine;
    drop(initiator.adopt(reservation.cluster).unwrap());
    drop(others);
    cast.start_all();
    for name in ALL {
        cast.cluster(name).await;
        let status = cast.until(name, "three voters, ready", |status| voters(status) == ALL && status.ready).await;
        assert_eq!(status.cluster_id, reservation.cluster.to_string());
    }
}

/// What was made without peers never becomes a second cluster of the same id.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_joining_makes_no_cluster_of_its_own() {
    let mut cast = Cast::new(1, 1);
    drop(cast.pristine("n1").adopt(ClusterId::random()).unwrap());
    let refused = cast.start_alone("n1").await;
    assert!(refused.contains("it was joining a cluster"), "{refused}");
}

/// What any gRPC tool finds on the node's machine, without a file of ours.
#[tokio::test(flavor = "multi_thread")]
async fn the_standard_health_service_and_reflection_answer() {
    let mut cast = Cast::new(1, 1);
    cast.start_with("n1", |config| config.admin_socket = true);
    cast.cluster("n1").await;
    let socket = cast.data_dir("n1").join(sessile_store::ADMIN_SOCKET);
    let endpoint = tonic::transport::Endpoint::from_shared(format!("unix:{}", socket.display())).unwrap();
    let channel = endpoint.connect().await.unwrap();
    let mut health = HealthClient::new(channel.clone());
    let whole_server = HealthCheckRequest { service: String::new() };
    let mut told = health.watch(whole_server.clone()).await.unwrap().into_inner();
    let serving = async { while told.message().await.unwrap().unwrap().status() != ServingStatus::Serving {} };
    timeout(PATIENCE, serving).await.expect("a ready node is serving");
    let answer = health.check(whole_server).await.unwrap().into_inner();
    assert_eq!(answer.status(), ServingStatus::Serving, "who asks once hears what a watcher is told");
    let question = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut reflection = ServerReflectionClient::new(channel);
    let questions = futures_util::stream::iter([question]);
    let answer = reflection.server_reflection_info(questions).await.unwrap().into_inner().message().await.unwrap();
    let Some(MessageResponse::ListServicesResponse(services)) = answer.unwrap().message_response else {
        panic!("a list")
    };
    let names: Vec<String> = services.service.into_iter().map(|service| service.name).collect();
    for wanted in ["sessile.v1.Admin", "sessile.v1.Peer", "grpc.health.v1.Health"] {
        assert!(names.iter().any(|name| name == wanted), "{wanted} in {names:?}");
    }
}
