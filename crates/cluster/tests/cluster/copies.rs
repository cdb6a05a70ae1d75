//! Data directories that were copied: one node id, two disks.

use std::fs;
use std::path::Path;

use crate::support::*;

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_disks_with_one_id_the_second_is_refused_and_a_disk_that_has_moved_is_not() {
    let mut cast = Cast::new(4, 3);
    ["n1", "n2", "n3"].into_iter().for_each(|name| cast.start(name));
    cast.until("n1", "three voters", |status| voters(status).len() == 3 && status.ready).await;
    cast.stop("n3").await;
    copy(&cast.data_dir("n3"), &cast.data_dir("n4"));
    cast.start("n3");
    cast.until("n3", "it is back", |status| voters(status).len() == 3 && status.ready).await;
    let (old, new) = (cast.address("n3"), cast.address("n4"));
    let refusal = cast.start_refused("n4", |config| config.name = "n3".into()).await;
    assert!(refusal.contains(&format!("runs already, at {old}: this data directory is a copy")), "{refusal}");
    let status = cast.status("n1").await;
    assert!(status.members.iter().all(|member| member.address != new), "nobody is sent to the copy");

    cast.stop("n3").await;
    // Whole, and not one of before its last start: a log that goes back is another story.
    fs::remove_dir_all(cast.data_dir("n4")).unwrap();
    copy(&cast.data_dir("n3"), &cast.data_dir("n4"));
    cast.start_with("n4", |config| config.name = "n3".into());
    let is_there = |status: &sessile_cluster::admin::StatusResponse| {
        status.members.iter().any(|member| member.name == "n3" && member.address == new)
    };
    cast.until("n1", "the disk that has moved is found where it is", is_there).await;
    cast.until("n4", "and serves", |status| status.ready).await;
    for name in ["n1", "n2", "n4"] {
        cast.stop(name).await;
    }
}

/// What the two disks know leads to where nobody is any more; the members know more than they do.
#[tokio::test(flavor = "multi_thread")]
async fn a_disk_of_before_its_node_moved_is_refused_at_its_old_address_and_at_a_new_one() {
    let mut cast = Cast::new(5, 3);
    ["n1", "n2", "n3"].into_iter().for_each(|name| cast.start(name));
    for name in ["n1", "n3"] {
        cast.until(name, "three voters", |status| voters(status).len() == 3 && status.ready).await;
    }
    cast.stop("n3").await;
    copy(&cast.data_dir("n3"), &cast.data_dir("n4"));
    copy(&cast.data_dir("n3"), &cast.data_dir("n5"));
    let new = cast.address("n4");
    cast.start_with("n4", |config| config.name = "n3".into());
    let is_there = |status: &sessile_cluster::admin::StatusResponse| {
        status.ready && status.members.iter().any(|member| member.name == "n3" && member.address == new)
    };
    for name in ["n1", "n2", "n4"] {
        cast.until(name, "the disk that has moved serves where it is", is_there).await;
    }
    for copied in ["n3", "n5"] {
        let refusal = cast.start_refused(copied, |config| config.name = "n3".into()).await;
        assert!(refusal.contains(&format!("runs already, at {new}: this data directory is a copy")), "{refusal}");
    }
    cast.until("n4", "the original has noticed nothing", |status| status.ready).await;
    for name in ["n1", "n2", "n4"] {
        cast.stop(name).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn seeds_that_were_copied_from_one_directory_say_so() {
    let mut cast = Cast::new(2, 2);
    drop(cast.pristine("n1"));
    copy(&cast.data_dir("n1"), &cast.data_dir("n2"));
    cast.start_all();
    let (first, second) = (cast.address("n1"), cast.address("n2"));
    let says = |other: String| {
        move |status: &sessile_cluster::admin::StatusResponse| {
            status.waiting_for.iter().any(|why| why.contains(&format!("seed {other} has the id of this node")))
        }
    };
    cast.until("n1", "the first names the second", says(second)).await;
    cast.until("n2", "the second names the first", says(first)).await;
}
