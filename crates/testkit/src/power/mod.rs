//! A disk whose power can be cut: a file system in memory that keeps apart what was synced and what was not.
//!
//! ```text
//!   process ── write, rename … ──▶ now ── fsync ──▶ durable
//!                                   │                  │
//!   power cut: what is there next = │  a part of it  + │ all of it
//! ```
//!
//! It promises what POSIX does, and no more: a file's bytes are durable when that file was synced, and a name when its
//! directory was. Of the rest a cut leaves what a page cache and a disk may leave, drawn by a seed (`torn`, `disk`).
//! One rule is not POSIX's but every disk's: a sector that is written again keeps what it had where it gets the same.
//!
//! `simulation::disk` is another one, with a rule of its own: this one sees every change in its order and may leave what was
//! there at any moment since the sync, while that one sees only fsyncs and mixes what was synced with what is there now.

mod content;
mod disk;
mod mount;
mod switch;
mod torn;

pub use disk::Honesty;
pub use mount::PowerDisk;
