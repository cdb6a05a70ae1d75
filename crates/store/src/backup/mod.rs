//! A backup of the session state in a file: written from a snapshot's chunks, verified, looked into, and made a node of.
//!
//! A file holds what one member would send another (proto/sessile/v1/backup.proto), so what verifies a transfer verifies a
//! backup: a checksum over each chunk and over all, the hash of each value, and the records held against the counts.

mod file;
#[cfg(any(fuzzing, test))]
pub(crate) mod fuzzing;
mod head;
mod reading;
mod restore;
mod summary;
mod writing;

pub use head::BackupHead;
pub use reading::verify;
pub use restore::{Restored, restore};
pub use summary::{BackupSummary, NamespaceSummary};
pub use writing::BackupWriter;
