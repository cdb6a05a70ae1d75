//! Nodes that come back at other addresses, with their data.

use sessile_cluster::admin::RemoveRequest;

use crate::support::*;

#[tokio::test(flavor = "multi_thread")]
async fn all_nodes_come_back_at_other_addresses_at_once_and_serve_without_an_operator() {
    come_back_elsewhere(&["n1", "n2", "n3"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_of_three_come_back_at_other_addresses_and_serve_without_an_operator() {
    come_back_elsewhere(&["n2", "n3"]).await;
}

/// Those stop, move and start; the others run on, and their configuration knows nothing of it.
async fn come_back_elsewhere(moved: &[&str]) {
    let names = ["n1", "n2", "n3"];
    let mut cast = Cast::new(3, 3);
    cast.start_all();
    let first = cast.cluster("n1").await;
    cast.until("n1", "all vote", |status| voters(status) == names).await;
    write(&first, key(1), put(b"from before")).await;
    drop(first);
    for name in moved {
        cast.stop(name).await;
    }
    moved.iter().for_each(|name| cast.moves(name));
    moved.iter().for_each(|name| cast.start(name));
    let addresses = names.map(|name| cast.address(name));
    for name in names {
        cast.until(name, "it is ready, and the log says where all of them are", |status| {
            let said = status.members.iter().map(|member| &member.address);
            status.ready && said.eq(&addresses)
        })
        .await;
        let cluster = cast.cluster(name).await;
        assert_eq!(read(&cluster, &key(1)).await.as_deref(), Some(&b"from before"[..]), "at {name}");
    }
}

/// Where its peers were nobody is, and nobody calls a node that is no member: it asks its seeds, which have moved with them.
#[tokio::test(flavor = "multi_thread")]
async fn who_was_removed_while_all_others_moved_is_told_by_its_seeds() {
    let names = ["n1", "n2", "n3"];
    let mut cast = Cast::new(3, 3);
    cast.start_all();
    for name in names {
        cast.until(name, "it has received who is where", |status| voters(status) == names && status.ready).await;
    }
    cast.stop("n3").await;
    for name in ["n1", "n2"] {
        cast.stop(name).await;
        cast.moves(name);
        cast.start(name);
    }
    cast.until("n1", "the others serve elsewhere", |status| status.ready).await;
    let request = RemoveRequest { member: "n3".into(), ..RemoveRequest::default() };
    eventually("an operator removes it", async || cast.admin("n1").await.remove(request.clone()).await.is_ok()).await;
    cast.start("n3");
    let fault = cast.fault("n3").await;
    assert!(fault.contains("was removed from cluster"), "{fault}");
}
