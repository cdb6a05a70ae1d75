//! A state on its way from one member to another, without knowing when Raft sends one and what becomes of it.
//!
//! ```text
//! sender                                             receiver
//!   │ SnapshotPosition (which snapshot, how large)  ──▶ room for it? what is here of it?
//!   │ ◀── the next chunk's number, or a refusal
//!   │ InstallSnapshot: head, chunks ──▶                 builds a state beside the one in use
//!   ✗ it breaks: both keep what they have for 30 s
//!   │ SnapshotPosition ──▶ … and on from there
//! ```
//! A member that lost its state asks for one itself (FetchSnapshot), and says in the question what it has.

mod pace;
mod receiving;
mod sending;
mod transfer;

pub(crate) use pace::Pace;
pub(crate) use receiving::Receiving;
pub(crate) use sending::Sending;
pub(super) use sending::{parts, send};
pub(crate) use transfer::{Fetching, fetch};
pub(super) use transfer::{head, receive};
