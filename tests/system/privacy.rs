//! What another user of the machine can see of a node: nothing.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use sessile_testkit::{Client, Process, Signal};

use crate::world::{BASE, ENGINES, Place};

/// Every file and directory there, itself too, with the bits that the group and others have.
fn open_to_others(path: &Path) -> Vec<String> {
    let metadata = fs::symlink_metadata(path).unwrap();
    let mode = metadata.permissions().mode();
    let mut open = Vec::new();
    if mode & 0o077 != 0 {
        open.push(format!("{} {:o}", path.display(), mode & 0o7777));
    }
    if metadata.is_dir() {
        open.extend(fs::read_dir(path).unwrap().flat_map(|entry| open_to_others(&entry.unwrap().path())));
    }
    open
}

/// Under a umask that would let everybody read and write everything.
fn with_open_umask(command: &Command) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", r#"umask 0 && exec "$0" "$@""#]).arg(command.get_program()).args(command.get_args());
    shell
}

fn used(place: &Place) -> Process {
    let mut node = Process::start(with_open_umask(&place.serve(""))).unwrap();
    let mut client = Client::connect(node.ready()).unwrap();
    for key in 0..20 {
        let stored = client.request("PUT", &format!("{BASE}{key}"), "", &[b'v'; 1000]).unwrap();
        assert!([201, 204].contains(&stored.status), "{}", stored.status);
    }
    node
}

#[test]
fn nobody_else_can_read_a_used_data_directory_whatever_the_umask() {
    for engine in ENGINES {
        let place = Place::new(engine);
        let mut node = used(&place);
        node.signal(Signal::TERM);
        assert!(node.ends().success());
        assert_eq!(open_to_others(&place.data_dir()), <[String; 0]>::default(), "{engine}: after a clean stop");

        // A state that is damaged is set aside, and another one is made.
        used(&place).kill();
        let data = fs::read_dir(place.data_dir().join("state/1/data")).unwrap().map(|entry| entry.unwrap().path());
        let files = data.filter(|path| path.is_file() && !path.ends_with("lock"));
        fs::write(files.max_by_key(|path| path.metadata().unwrap().len()).unwrap(), "rubbish").unwrap();
        let mut node = used(&place);
        assert!(place.data_dir().join("state.damaged-1").exists(), "{engine}\n{}", node.stdout());
        assert_eq!(open_to_others(&place.data_dir()), <[String; 0]>::default(), "{engine}: while it runs");
        node.kill();
        assert_eq!(open_to_others(&place.data_dir()), <[String; 0]>::default(), "{engine}: after a crash");
    }
}

#[test]
fn a_directory_of_before_is_closed_to_others_at_the_next_start() {
    let place = Place::new("fjall");
    used(&place).kill();
    let opened = Command::new("chmod").arg("-R").arg("go+rX").arg(place.data_dir()).status().unwrap();
    assert!(opened.success() && open_to_others(&place.data_dir()).len() > 10);
    let _node = used(&place);
    assert_eq!(open_to_others(&place.data_dir()), <[String; 0]>::default());
}

/// The soft limit of the size of a core dump that a process has.
fn core_limit(process: &Process) -> String {
    let limits = fs::read_to_string(format!("/proc/{}/limits", process.id())).unwrap();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max core file size")).unwrap();
    line.split_whitespace().next().unwrap().to_owned()
}

#[test]
fn a_crash_leaves_no_image_of_memory_unless_that_was_asked_for() {
    // Whoever starts it would have one.
    let Rlimit { maximum, .. } = getrlimit(Resource::Core);
    setrlimit(Resource::Core, Rlimit { current: maximum, maximum }).unwrap();
    let wanted = maximum.map_or("unlimited".to_owned(), |bytes| bytes.to_string());
    let place = Place::new("fjall");
    let mut node = used(&place);
    assert_eq!(core_limit(&node), "0");
    node.signal(Signal::ABORT);
    let ended = node.ends();
    assert_eq!((ended.signal(), ended.core_dumped()), (Some(Signal::ABORT.as_raw()), false));

    let mut command = place.serve("");
    command.env("SESSILE_CORE_DUMPS", "1");
    let mut node = Process::start(command).unwrap();
    node.ready();
    assert_eq!(core_limit(&node), wanted);
}
