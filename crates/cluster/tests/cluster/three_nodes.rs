//! Three nodes that agree on who they are.

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
