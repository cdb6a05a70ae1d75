/// Tells one write of a key from every other: the log index of the entry that wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct Version(u64);

impl Version {
    /// The write at that log index.
    pub const fn new(log_index: u64) -> Self {
        Self(log_index)
    }

    /// The log index of the write.
    pub const fn log_index(self) -> u64 {
        self.0
    }
}
