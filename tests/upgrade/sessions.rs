use std::thread;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use sessile_testkit::{Client, Fleet};

use crate::NODES;

/// More than the 5,000 entries that a log keeps behind a durable state.
const SESSIONS: usize = 5_400;
/// So many write or read at once, in batches that are worth an fsync.
const CLIENTS: usize = 32;
/// Every so many of them is read again. What the others are is part of the states' checksum.
const READ_EVERY: usize = 6;
const BYTES: std::ops::RangeInclusive<usize> = 50..=600;

/// Sessions of a wiki of their own that are stored once, before anything happens, and that nobody changes.
pub(crate) struct Sessions {
    seed: u64,
}

impl Sessions {
    /// Stores them, at all nodes.
    pub(crate) fn store(fleet: &Fleet, seed: u64) -> Self {
        let sessions = Self { seed };
        sessions.each(fleet, 0, |client, nth| {
            let answer = client.request("POST", &target(nth), "", &sessions.value(nth)).unwrap();
            assert_eq!(answer.status, 201, "session {nth} is stored: {}", answer.text());
        });
        sessions
    }

    /// Reads some at another node than the one that stored them. Panics if one is not what was stored.
    pub(crate) fn are_there(&self, fleet: &Fleet) {
        self.each(fleet, 1, |client, nth| {
            if nth % READ_EVERY != 0 {
                return;
            }
            let answer = client.request("GET", &target(nth), "", b"").unwrap();
            assert_eq!(answer.status, 200, "session {nth} is there");
            assert!(answer.body == self.value(nth), "session {nth} is what was stored");
        });
    }

    fn each(&self, fleet: &Fleet, shift: usize, act: impl Fn(&mut Client, usize) + Sync) {
        thread::scope(|scope| {
            for nth in 0..CLIENTS {
                let mut client = fleet.client(NODES[(nth + shift) % NODES.len()]);
                let act = &act;
                scope.spawn(move || (nth..SESSIONS).step_by(CLIENTS).for_each(|session| act(&mut client, session)));
            }
        });
    }

    fn value(&self, nth: usize) -> Vec<u8> {
        let mut rng = SmallRng::seed_from_u64(self.seed ^ nth as u64);
        let bytes = rng.random_range(BYTES);
        (0..bytes).map(|_| rng.random()).collect()
    }
}

fn target(nth: usize) -> String {
    format!("/sessions/v1/frwiki:MWSession:{nth:032x}")
}
