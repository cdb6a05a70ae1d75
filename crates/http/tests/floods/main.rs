//! Clients that send a hundred thousand frames of which each costs the server a little. In a process of its own, because
//! what that takes is what is looked at.

#![allow(clippy::unwrap_used, reason = "what a test cannot do without, it unwraps")]
#![allow(dead_code, reason = "what the other tests of this crate need besides")]

#[path = "../http/certificates.rs"]
mod certificates;
#[path = "../http/client.rs"]
mod client;
#[path = "../http/fake.rs"]
mod fake;
#[path = "../http/frames.rs"]
mod frames;
mod handshakes;
#[path = "../http/world.rs"]
mod world;

use frames::{
    ACK, DATA, END_HEADERS, END_STREAM, Frames, HEADERS, RST_STREAM, SETTINGS, WINDOW_UPDATE, frame, get, head,
};
use world::World;

const PRIORITY: u8 = 2;
const PING: u8 = 6;
const CONTINUATION: u8 = 9;
const UNKNOWN: u8 = 200;

/// What one test takes of the process is not another's.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Frames, or pairs of them.
const FLOOD: u32 = 100_000;
/// How many are sent at once.
const PORTION: u32 = 100;
/// What this process may grow by, both ends of the connection together. One byte kept for each frame would be less; the
/// smallest thing that is kept for a stream is a few hundred.
const FLAT: u64 = 8 << 20;

/// What this process has of memory, in bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

/// A kind of frames: what comes before them, and the one with that number.
struct Flood {
    name: &'static str,
    before: Vec<u8>,
    one: fn(u32) -> Vec<u8>,
}

fn floods() -> Vec<Flood> {
    let open_post = frame(HEADERS, END_HEADERS, 1, &head(true, "/sessions/v1/k"));
    vec![
        Flood {
            name: "requests that are taken back at once",
            before: Vec::new(),
            one: |n| {
                let stream = 2 * n + 1;
                [get(stream, "/sessions/v1/k"), frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())].concat()
            },
        },
        Flood {
            name: "requests whose window breaks the rules",
            before: Vec::new(),
            one: |n| {
                let stream = 2 * n + 1;
                [get(stream, "/sessions/v1/k"), frame(WINDOW_UPDATE, 0, stream, &0_u32.to_be_bytes())].concat()
            },
        },
        Flood { name: "empty data", before: open_post.clone(), one: |_| frame(DATA, 0, 1, &[]) },
        Flood { name: "padding", before: open_post.clone(), one: |_| frame(DATA, 8, 1, &[3, 0, 0, 0]) },
        Flood { name: "one byte of data", before: open_post, one: |_| frame(DATA, 0, 1, b"v") },
        Flood {
            name: "a header that goes on",
            before: frame(HEADERS, END_STREAM, 1, &head(false, "/sessions/v1/k")),
            one: |_| frame(CONTINUATION, 0, 1, &[0x10, 1, b'a', 1, b'b']),
        },
        Flood {
            name: "empty ends of a header",
            before: frame(HEADERS, END_STREAM, 1, &head(false, "/sessions/v1/k")),
            one: |_| frame(CONTINUATION, 0, 1, &[]),
        },
        Flood { name: "settings", before: Vec::new(), one: |_| frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 255, 0]) },
        Flood { name: "empty settings", before: Vec::new(), one: |_| frame(SETTINGS, 0, 0, &[]) },
        Flood { name: "answers to no settings", before: Vec::new(), one: |_| frame(SETTINGS, ACK, 0, &[]) },
        Flood { name: "pings", before: Vec::new(), one: |n| frame(PING, 0, 0, &u64::from(n).to_be_bytes()) },
        Flood { name: "windows", before: Vec::new(), one: |_| frame(WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes()) },
        Flood { name: "priorities", before: Vec::new(), one: |n| frame(PRIORITY, 0, 2 * n + 1, &[0, 0, 0, 0, 16]) },
        Flood { name: "frames of no known kind", before: Vec::new(), one: |n| frame(UNKNOWN, 0, n, b"something") },
    ]
}

/// Sends them and takes nothing of what comes back, as a client that wants to do harm. Whether the server took them all.
async fn send(client: &mut Frames, flood: &Flood) -> bool {
    if !client.send_until_refused(&flood.before).await {
        return false;
    }
    for first in (0..FLOOD).step_by(PORTION as usize) {
        let portion: Vec<u8> = (first..first + PORTION).flat_map(flood.one).collect();
        // A server that waits until its answers are taken waits for good.
        let sent = tokio::time::timeout(PATIENCE_OF_A_FLOOD, client.send_until_refused(&portion)).await;
        if !sent.unwrap_or(false) {
            return false;
        }
    }
    true
}

/// After which a server that takes no more is left.
const PATIENCE_OF_A_FLOOD: std::time::Duration = std::time::Duration::from_millis(500);

#[tokio::test]
async fn floods_of_frames_take_no_memory_and_keep_nobody_out() {
    let _alone = ALONE.lock().await;
    let world = World::new().await;
    world.fake.shut_gate();
    // What the first connections and requests take for good.
    for flood in floods() {
        let mut client = Frames::connect(world.address, &[]).await;
        let portion: Vec<u8> = (0..PORTION).flat_map(flood.one).collect();
        client.send_until_refused(&[flood.before, portion].concat()).await;
    }
    for flood in floods() {
        let before = resident();
        let mut client = Frames::connect(world.address, &[]).await;
        let all = send(&mut client, &flood).await;
        let grown = resident().saturating_sub(before);
        println!("{}: {} KiB, {}", flood.name, grown >> 10, if all { "all taken" } else { "refused" });
        assert!(grown < FLAT, "{}: {} KiB", flood.name, grown >> 10);
        assert_eq!(world.request("GET", "/livez", "", b"").await.status, 200, "{}", flood.name);
    }
}
