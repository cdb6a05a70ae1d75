//! What tests need of the world: the program as a process, a client that shows every byte, a disk that fails on purpose.
//!
//! It deliberately knows nothing of how Sessile works inside: it starts a binary and looks at what comes out of it. The one
//! exception is [`simulation`], which has all of the program in one thread. Nothing that ships depends on either.

pub mod chaos;
mod client;
mod delay_line;
mod failing_disk;
mod farm;
mod fleet;
mod history;
pub mod linearizability;
mod load;
mod network;
pub mod outages;
pub mod performance;
mod ports;
mod power;
pub mod power_cuts;
mod preload;
mod process;
mod proxy;
mod relay;
mod report;
mod requests;
pub mod simulation;
mod small_disk;
mod status;
mod story;
mod tree;
mod wrong_clock;

pub use client::{Answer, Client};
pub use delay_line::{DelayLine, Distance};
pub use failing_disk::{FailingDisk, Fault, FaultReport, Watched};
pub use farm::{Farm, FarmCounts, FarmSeen};
pub use fleet::{Fleet, Said, Settings};
pub use history::{Action, History, Operation, Outcome, Value};
pub use load::{Load, LoadOptions, Sample, Seen, Verdict};
pub use network::{Host, Network};
pub use ports::Port;
pub use power::{Honesty, PowerDisk};
pub use process::{Process, Signal};
pub use proxy::{Proxy, Weather};
pub use report::{Phase, Report};
pub use small_disk::{Ballast, SmallDisk};
pub use status::{Member, Role, Status};
pub use tree::Tree;
pub use wrong_clock::WrongClock;

use std::fmt::Debug;
use std::time::{Duration, Instant};

/// How long a test waits for what must come. It bounds a test that has failed, on a machine that is busy with others;
/// one that passes never waits for it.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// How often a condition that nothing announces is looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// Looks until there is something, and gives it. Panics after [`PATIENCE`] with the reason why it should have come.
pub fn eventually<T>(because: impl Debug, look: impl FnMut() -> Option<T>) -> T {
    let found = looks_for(PATIENCE, LOOK_AGAIN, look);
    found.unwrap_or_else(|| panic!("did not happen within {PATIENCE:?}: {because:?}"))
}

/// Looks until there is something, and gives it; `None` if there was nothing in that time. All that is waited for by
/// looking is waited for here.
fn looks_for<T>(time: Duration, pause: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let begin = Instant::now();
    loop {
        if let Some(found) = look() {
            return Some(found);
        }
        if begin.elapsed() >= time {
            return None;
        }
        std::thread::sleep(pause);
    }
}
