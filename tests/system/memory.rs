//! A node with little memory, and clients that bring more than fits.

use std::io::Write;
use std::net::TcpStream;

use sessile_testkit::{Client, Process, eventually};

use crate::world::{BASE, PATIENT, Place};

const MIB: usize = 1 << 20;
/// The least that a node may be given. Four bodies of a MiB have room at a time.
const MEMORY_MB: usize = 64;
/// So many clients, each with so many values of a MiB.
const CLIENTS: usize = 64;
const VALUES: usize = 4;

fn metric(client: &mut Client, name: &str, label: &str) -> usize {
    let metrics = client.request("GET", "/metrics", "", b"").unwrap().text();
    let mut samples = metrics.lines().filter(|line| line.split('{').next() == Some(name) && line.contains(label));
    samples.next().unwrap_or_else(|| panic!("{name} is not told")).rsplit(' ').next().unwrap().parse().unwrap()
}

#[test]
fn many_large_bodies_at_once_never_pass_the_budget_and_who_finds_no_room_is_told_when_to_come_again() {
    let place = Place::new("fjall");
    let data_dir = place.data_dir();
    let storage = format!("storage: {{ data_dir: {}, memory_mb: {MEMORY_MB}, reserve_mb: 0 }}", data_dir.display());
    let mut node = Process::start(place.serve_file(&format!("listen_port: 0\n{storage}\n{PATIENT}"))).unwrap();
    let address = node.ready();
    let mut watcher = Client::connect(address).unwrap();
    let most = metric(&mut watcher, "sessile_http_held_bytes_max", "large_bodies");
    assert!(most > MIB && most < MEMORY_MB / 4 * MIB, "{most}");

    // Clients that say how much they will send, and then send nothing, take the room that it needs.
    let places = most / MIB;
    let silent: Vec<_> = (0..places)
        .map(|number| {
            let mut stream = TcpStream::connect(address).unwrap();
            write!(stream, "POST {BASE}silent-{number} HTTP/1.1\r\nHost: x\r\nContent-Length: {MIB}\r\n\r\n").unwrap();
            stream
        })
        .collect();
    eventually("whoever announces a body has room for it", || {
        (metric(&mut watcher, "sessile_http_held_bytes", "large_bodies") >= places * MIB).then_some(())
    });
    let value = vec![b'v'; MIB];
    let refused = Client::connect(address).unwrap().request("POST", &format!("{BASE}late"), "", &value).unwrap();
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")), "{}", refused.text());
    assert!(refused.text().contains("Kask/errors/overloaded"), "{}", refused.text());
    assert!(metric(&mut watcher, "sessile_http_overloaded_total", "large_bodies") >= 1);
    let session =
        Client::connect(address).unwrap().request("POST", &format!("{BASE}session"), "", &[b'v'; 2_000]).unwrap();
    assert_eq!(session.status, 201, "sessions are stored all the same");
    drop(silent);
    eventually("whoever leaves gives its room back", || {
        (metric(&mut watcher, "sessile_http_held_bytes", "large_bodies") == 0).then_some(())
    });

    let stored: usize = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let value = &value;
                scope.spawn(move || {
                    (0..VALUES).filter(|number| post(address, &format!("{client}-{number}"), value)).count()
                })
            })
            .collect();
        clients.into_iter().map(|client| client.join().unwrap()).sum()
    });
    assert!(stored > 0, "what fits is taken");
    let peak = metric(&mut watcher, "sessile_http_held_bytes_peak", "large_bodies");
    assert!(peak > MIB && peak <= most, "{peak} of {most}");
    assert!(!node.has_ended(), "{}", node.stderr());
}

/// Whether that value was stored; if not, the answer said that there was no room. What a client had not sent yet when it
/// was refused may cost it the answer.
fn post(address: std::net::SocketAddr, key: &str, value: &[u8]) -> bool {
    let answer = Client::connect(address).unwrap().request("POST", &format!("{BASE}{key}"), "", value);
    let Ok(answer) = answer else { return false };
    assert!(answer.status == 201 || answer.status == 503, "{}: {}", answer.status, answer.text());
    answer.status == 201
}
