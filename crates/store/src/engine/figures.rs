/// What an engine of sorted tables is made of at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EngineFigures {
    /// How many tables there are.
    pub tables: u64,
    /// How many runs lie over the base and wait to be merged, each of which a read may have to ask.
    pub unmerged_runs: u64,
    /// Bytes of their tables.
    pub unmerged_bytes: u64,
    /// Bytes that were written and are in no table yet.
    pub buffered_bytes: u64,
}
