//! The session state: records and their counts on an engine, as the log makes them.

mod check;
mod current;
mod machine;
mod overlay;
mod reap;
mod session_state;
mod snapshot;
mod stored;

pub use check::CheckReport;
pub(crate) use current::CurrentState;
pub use machine::StateMachine;
pub(crate) use machine::off_the_runtime;
pub use reap::Reaped;
pub use session_state::{Found, SessionState};
pub use snapshot::Snapshot;
pub(crate) use stored::Owner;
