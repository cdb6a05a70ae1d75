use rand::{RngCore, SeedableRng};

use super::*;

/// Every file with its path, as it is seen now.
fn files(disk: &Disk) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut further = vec![(String::new(), ROOT)];
    while let Some((path, inode)) = further.pop() {
        match disk.node(inode).unwrap() {
            Node::File(content) => drop(files.insert(path, content.read(0, 1 << 20))),
            Node::Directory(names) => {
                let below = |(name, inode): (&OsString, &Inode)| (format!("{path}/{}", name.display()), *inode);
                further.extend(names.iter().map(below));
            }
        }
    }
    files
}

fn made(disk: &mut Disk, directory: Inode, name: &str, bytes: &[u8]) -> Inode {
    let inode = disk.makes_file(directory, name.as_ref()).unwrap();
    disk.writes(inode, 0, bytes).unwrap();
    inode
}

/// Everything that cuts may leave of a disk, as far as five hundred seeds show it.
fn left(disk: &Disk) -> BTreeSet<BTreeMap<String, Vec<u8>>> {
    let cut = |seed| {
        let mut disk = disk.clone();
        disk.loses_power(&mut SmallRng::seed_from_u64(seed));
        files(&disk)
    };
    (0..500).map(cut).collect()
}

/// A disk on which these files are durable, names and bytes.
fn holding(of: &[(&str, &[u8])]) -> Disk {
    let mut disk = Disk::new(Honesty::Honest);
    for (name, bytes) in of {
        let file = made(&mut disk, ROOT, name, bytes);
        disk.syncs_file(file).unwrap();
    }
    disk.syncs_directory(ROOT).unwrap();
    disk
}

fn pictures(of: &[&[(&str, &[u8])]]) -> BTreeSet<BTreeMap<String, Vec<u8>>> {
    of.iter().map(|files| files.iter().map(|(path, bytes)| ((*path).into(), bytes.to_vec())).collect()).collect()
}

#[test]
fn a_synced_file_in_a_synced_directory_is_always_there() {
    let disk = holding(&[("a", b"one")]);
    assert_eq!(left(&disk), pictures(&[&[("/a", b"one")]]));
}

#[test]
fn of_a_file_that_was_synced_in_a_directory_that_was_not_the_name_may_be_lost() {
    let mut disk = Disk::new(Honesty::Honest);
    let file = made(&mut disk, ROOT, "a", b"one");
    disk.syncs_file(file).unwrap();
    assert_eq!(left(&disk), pictures(&[&[], &[("/a", b"one")]]));
    disk.loses_all_unsynced();
    assert_eq!(files(&disk), BTreeMap::new());
}

#[test]
fn of_a_file_that_was_not_synced_the_bytes_may_be_lost_in_every_way() {
    let mut disk = Disk::new(Honesty::Honest);
    made(&mut disk, ROOT, "a", b"one");
    disk.syncs_directory(ROOT).unwrap();
    assert_eq!(left(&disk), pictures(&[&[("/a", b"")], &[("/a", &[0; 3])], &[("/a", b"one")]]));
}

#[test]
fn a_name_moves_whole_or_not_at_all_and_a_file_that_was_replaced_is_one_of_the_two() {
    let mut disk = holding(&[("a", b"one"), ("b", b"two")]);
    disk.moves((ROOT, "b".as_ref()), (ROOT, "a".as_ref()), false).unwrap();
    assert_eq!(left(&disk), pictures(&[&[("/a", b"one"), ("/b", b"two")], &[("/a", b"two")]]));
    disk.syncs_directory(ROOT).unwrap();
    assert_eq!(left(&disk), pictures(&[&[("/a", b"two")]]));
}

#[test]
fn names_of_one_directory_survive_in_their_order_and_directories_do_not_wait_for_each_other() {
    let mut disk = Disk::new(Honesty::Honest);
    let [left_side, right_side] = ["l", "r"].map(|name| disk.makes_directory(ROOT, name.as_ref()).unwrap());
    disk.syncs_directory(ROOT).unwrap();
    for (directory, name) in [(left_side, "1"), (left_side, "2"), (right_side, "3")] {
        disk.makes_file(directory, name.as_ref()).unwrap();
    }
    let expected = pictures(&[
        &[],
        &[("/l/1", b"")],
        &[("/l/1", b""), ("/l/2", b"")],
        &[("/r/3", b"")],
        &[("/l/1", b""), ("/r/3", b"")],
        &[("/l/1", b""), ("/l/2", b""), ("/r/3", b"")],
    ]);
    assert_eq!(left(&disk), expected);
}

#[test]
fn a_removed_file_may_come_back_until_its_directory_is_synced() {
    let mut disk = holding(&[("a", b"one")]);
    disk.removes_file(ROOT, "a".as_ref()).unwrap();
    assert_eq!(left(&disk), pictures(&[&[], &[("/a", b"one")]]));
    disk.syncs_directory(ROOT).unwrap();
    assert_eq!(left(&disk), pictures(&[&[]]));
}

#[test]
fn a_file_without_a_name_can_be_used_while_it_is_open_and_takes_no_room_after_that() {
    let mut disk = Disk::new(Honesty::Honest);
    let file = made(&mut disk, ROOT, "a", b"one");
    disk.opened(file);
    disk.removes_file(ROOT, "a".as_ref()).unwrap();
    disk.syncs_directory(ROOT).unwrap();
    disk.writes(file, 3, b"!").unwrap();
    assert_eq!(disk.file(file).unwrap().read(0, 9), b"one!");
    disk.closed(file);
    disk.syncs_directory(ROOT).unwrap();
    assert_eq!((disk.node(file), disk.durable.len(), disk.data.len()), (Err(Errno::NOENT), 1, 0));
}

#[test]
fn what_was_synced_survives_whatever_is_done_around_it() {
    let mut rng = SmallRng::seed_from_u64(7);
    let mut disk = Disk::new(Honesty::Honest);
    let mut synced = BTreeMap::new();
    for nth in 0..300 {
        let mut bytes = vec![0; rng.random_range(1..5000)];
        rng.fill_bytes(&mut bytes);
        let file = made(&mut disk, ROOT, "draft", &bytes);
        if rng.random_bool(0.5) {
            disk.syncs_file(file).unwrap();
            disk.moves((ROOT, "draft".as_ref()), (ROOT, format!("{nth}").as_ref()), false).unwrap();
            disk.syncs_directory(ROOT).unwrap();
            synced.insert(format!("/{nth}"), bytes);
        } else {
            disk.resizes(file, rng.random_range(0..9000)).unwrap();
            disk.removes_file(ROOT, "draft".as_ref()).unwrap();
        }
        if rng.random_bool(0.1) {
            disk.loses_power(&mut rng);
            let _ = disk.removes_file(ROOT, "draft".as_ref());
        }
        let here = files(&disk);
        assert!(synced.iter().all(|(path, bytes)| here.get(path) == Some(bytes)), "after {nth}");
    }
}

#[test]
fn a_disk_that_lies_loses_what_it_said_was_durable() {
    let mut disk = Disk::new(Honesty::Lies);
    let file = made(&mut disk, ROOT, "a", b"one");
    disk.syncs_file(file).unwrap();
    disk.syncs_directory(ROOT).unwrap();
    assert!(left(&disk).contains(&BTreeMap::new()));
}

#[test]
fn what_cannot_be_done_is_refused() {
    let mut disk = Disk::new(Honesty::Honest);
    let file = made(&mut disk, ROOT, "file", b"");
    let directory = disk.makes_directory(ROOT, "directory".as_ref()).unwrap();
    made(&mut disk, directory, "inside", b"");
    assert_eq!(disk.makes_file(ROOT, "file".as_ref()), Err(Errno::EXIST));
    assert_eq!(disk.makes_file(file, "below".as_ref()), Err(Errno::NOTDIR));
    assert_eq!(disk.lookup(ROOT, "nothing".as_ref()), Err(Errno::NOENT));
    assert_eq!(disk.removes_directory(ROOT, "directory".as_ref()), Err(Errno::NOTEMPTY));
    assert_eq!(disk.removes_file(ROOT, "directory".as_ref()), Err(Errno::ISDIR));
    assert_eq!(disk.moves((ROOT, "file".as_ref()), (ROOT, "directory".as_ref()), false), Err(Errno::ISDIR));
    assert_eq!(disk.moves((ROOT, "file".as_ref()), (directory, "inside".as_ref()), true), Err(Errno::EXIST));
    assert_eq!(disk.writes(directory, 0, b"?"), Err(Errno::ISDIR));
}
