//! Defects that are planted on purpose: what looks for broken promises is itself tried on a cluster that breaks one.
//!
//! The program knows nothing of them. Nearly all are made at a seam that the simulation has anyhow: what hands out answers,
//! the engine, the log's files, the disk, the clock, the list of seeds. For a few there is no such seam; these are decisions
//! that a simulation may take in the program's place (`sessile_core::injected`).

mod defect;
mod engine;
mod log;
mod sessions;

pub use defect::Defect;
pub(super) use engine::open_planted;
pub(super) use log::{forget_votes, wipe};
pub(super) use sessions::PlantedSessions;
