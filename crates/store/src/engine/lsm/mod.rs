//! The session state in sorted tables: a log-structured merge tree of our own, on the table files of lsm-tree, the library
//! under fjall.
//!
//! ```text
//! write ─▶ buffer ─▶ flush ─▶ tables, in runs ─▶ merges (plan, merges)
//!            ▲                  ▲
//!            └────── get ───────┘               list of tables on disk: manifest
//! ```
//!
//! What is written waits in memory (`buffer`), because the Raft log has it already. A flush makes a run of tables of it, and
//! shows them as a whole, before a crash and after it. Merges keep the runs few (`plan` chooses, `merges` does it), and writes
//! become slower while they are behind (`pace`).
//!
//! Of the library only the file format of a table is used: its writer, its reader, its cache of blocks. Its tree, which holds
//! locks over fsyncs, merges by its own choice and leaves behind what a failed merge wrote, is not.
//!
//! It knows nothing of what keys and values mean. What a merge may leave out is told by a [`super::Retention`].
//!
//! The order of its locks stands at `store::Store`.

mod background;
mod ballast;
mod buffer;
mod damage;
mod ended;
mod engine;
mod flush;
mod import;
mod lapses;
mod manifest;
mod merge;
mod merges;
mod pace;
mod plan;
mod runs;
mod shared;
mod stepped;
mod store;
mod table;
#[cfg(test)]
mod tests;
mod throttle;
mod view;
mod writer;

pub(super) use engine::LsmEngine;
pub use stepped::{Step, Stepping, open_stepped};
