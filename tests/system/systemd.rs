//! What a service manager is told, and the sockets that it passes.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use sessile_testkit::{Client, PATIENCE, Process, Signal, eventually};

use crate::world::{BASE, Place, sessile};

/// What a manager hears, a message at a time.
struct Manager(UnixDatagram);

impl Manager {
    fn at(place: &Place) -> (Self, std::path::PathBuf) {
        let path = place.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        (Self(socket), path)
    }

    fn hears(&self) -> String {
        let mut buffer = [0; 4096];
        let bytes = self.0.recv(&mut buffer).expect("the manager is told something");
        String::from_utf8_lossy(&buffer[..bytes]).into_owned()
    }

    /// The next message that is no sign of life.
    fn hears_news(&self) -> String {
        loop {
            let message = self.hears();
            if message != "WATCHDOG=1" {
                return message;
            }
        }
    }
}

#[test]
fn the_manager_hears_of_the_start_of_life_of_a_reload_and_of_the_end() {
    let place = Place::new("fjall");
    let (manager, path) = Manager::at(&place);
    let mut command = place.serve("");
    command.env("NOTIFY_SOCKET", path).env("WATCHDOG_USEC", "1000000");
    let mut node = Process::start(command).unwrap();
    assert_eq!(manager.hears_news(), "READY=1\nSTATUS=waiting for its cluster");
    assert_eq!(manager.hears_news(), "STATUS=a member of its cluster");
    eventually("signs of life go on", || (manager.hears() == "WATCHDOG=1").then_some(()));
    node.ready();
    node.signal(Signal::HUP);
    let reloading = manager.hears_news();
    let since = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap_or_else(|| panic!("{reloading}"));
    assert!(since.parse::<u64>().is_ok_and(|micros| micros > 0), "{since}");
    assert_eq!(manager.hears_news(), "READY=1");
    node.signal(Signal::TERM);
    assert_eq!(manager.hears_news(), "STOPPING=1\nSTATUS=stopping");
    assert_eq!(node.ends().code(), Some(0));
}

/// Three that are started one after the other, each when the one before says that it is ready, wait for each other.
#[test]
fn a_node_that_waits_for_others_has_started() {
    let place = Place::new("fjall");
    let (manager, path) = Manager::at(&place);
    let token = place.join_token();
    let token = token.display();
    let cluster =
        format!("cluster: {{ name: n1, listen: '127.0.0.1:0', join_token_file: '{token}', seeds: ['127.0.0.1:1'] }}\n");
    let mut command = place.serve(&cluster);
    command.env("NOTIFY_SOCKET", path);
    let mut node = Process::start(command).unwrap();
    assert_eq!(manager.hears_news(), "READY=1\nSTATUS=waiting for its cluster", "{}", node.stdout());
    node.signal(Signal::TERM);
    assert_eq!(manager.hears_news(), "STOPPING=1\nSTATUS=stopping");
    assert_eq!(node.ends().code(), Some(0));
}

/// A process that stands still gives no sign of life; one that goes on does.
#[test]
fn signs_of_life_end_with_life() {
    let place = Place::new("fjall");
    let (manager, path) = Manager::at(&place);
    let mut command = place.serve("");
    command.env("NOTIFY_SOCKET", path).env("WATCHDOG_USEC", "1000000");
    let mut node = Process::start(command).unwrap();
    node.ready();
    node.freeze();
    manager.0.set_nonblocking(true).unwrap();
    while manager.0.recv(&mut [0; 4096]).is_ok() {}
    manager.0.set_nonblocking(false).unwrap();
    manager.0.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    manager.0.recv(&mut [0; 4096]).expect_err("nothing is said of a process that stands still");
    manager.0.set_read_timeout(Some(PATIENCE)).unwrap();
    node.signal(Signal::CONT);
    assert_eq!(manager.hears(), "WATCHDOG=1");
}

/// A process that ends with its test.
struct Served(Child);

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts it with those sockets as its descriptors from 3 on, as a manager does.
fn with_sockets(names: &str, sockets: [TcpListener; 3], command: &Command) -> Served {
    let [first, second, third] = sockets.map(|socket| Stdio::from(OwnedFd::from(socket)));
    let count = names.split(':').count();
    let script = format!(
        r#"exec 3<&0 4<&1 5<&2 0</dev/null 1>/dev/null 2>/dev/null; export LISTEN_PID=$$ LISTEN_FDS={count}; exec "$@""#
    );
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(script).arg("sh");
    shell.arg(command.get_program()).args(command.get_args()).env("LISTEN_FDNAMES", names);
    Served(shell.stdin(first).stdout(second).stderr(third).spawn().unwrap())
}

fn sockets() -> ([TcpListener; 3], [SocketAddr; 3]) {
    let sockets = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let addresses = [0, 1, 2].map(|number: usize| sockets[number].local_addr().unwrap());
    (sockets, addresses)
}

#[test]
fn sockets_that_a_manager_opened_are_served_in_the_place_of_the_configured_addresses() {
    let place = Place::new("fjall");
    // Nobody may listen there: what is configured is not used.
    let (sockets, [admin, grpc, http]) = sockets();
    let token = place.join_token();
    let token = token.to_str().unwrap();
    let file = format!(
        "cluster: {{ name: n1, listen: '192.0.2.1:1', advertise: '{grpc}', join_token_file: '{token}', listen_ms: 0 }}\n\
         admin: {{ listen: '192.0.2.1:2' }}\n"
    );
    let _node = with_sockets("admin:grpc:http", sockets, &place.serve(&file));
    let served = |address, path: &str| {
        eventually(format!("{path} is served"), || {
            let answer = Client::connect(address).ok()?.request("GET", path, "", b"").ok()?;
            (answer.status == 200).then_some(answer)
        })
    };
    served(http, "/livez");
    assert!(served(admin, "/").text().contains("sessile") || !served(admin, "/metrics").text().is_empty());
    let known = place.data_dir();
    eventually("its socket is there".to_owned(), || known.join("admin.sock").exists().then_some(()));
    let mut init = sessile();
    init.args(["cluster", "init", "--timeout", "60s"]).arg("--data-dir").arg(known);
    let status = init.output().unwrap();
    assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stderr));
    served(http, "/readyz");
    let mut client = Client::connect(http).unwrap();
    assert_eq!(client.request("PUT", &format!("{BASE}k"), "", b"v").unwrap().status, 201);
}

#[test]
fn a_socket_of_an_unknown_name_is_refused() {
    let place = Place::new("fjall");
    let (sockets, _) = sockets();
    let mut node = with_sockets("http:https:admin", sockets, &place.serve(""));
    let ended = eventually("it is refused", || node.0.try_wait().unwrap());
    assert_eq!(ended.code(), Some(64));
}
