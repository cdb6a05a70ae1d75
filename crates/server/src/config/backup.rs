use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::block::Block;
use super::fault::{ConfigError, quoted};

/// The `backup:` block: the backups that a node makes by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupSchedule {
    /// Where they are kept, an absolute path. Made if it is not there.
    pub directory: PathBuf,
    /// How often one is made.
    pub every: Duration,
    /// How many of the newest are kept.
    pub keep: usize,
}

impl BackupSchedule {
    /// Hourly.
    pub(super) const DEFAULT_EVERY_S: u64 = 3_600;
    /// A minute, because each reads all of the state, to a week.
    pub(super) const EVERY_S: RangeInclusive<u64> = 60..=7 * 86_400;
    /// A day of hourly ones.
    pub(super) const DEFAULT_KEEP: u64 = 24;
    /// One, to what a directory shows at a glance.
    pub(super) const KEEP: RangeInclusive<u64> = 1..=1_000;

    /// The block, checked whole; `None` if it is not there.
    pub(super) fn check(block: &Block<'_>) -> Result<Option<Self>, ConfigError> {
        let every = block.number("every", "seconds", &Self::EVERY_S)?;
        let keep = block.number("keep", "", &Self::KEEP)?;
        let Some(found) = block.text("directory")? else {
            return match block.line_of("every").or(block.line_of("keep")) {
                None => Ok(None),
                Some(line) => {
                    let sentence =
                        "`backup` wants a `directory`, in which the backups are kept; add it, or remove `backup`";
                    Err(ConfigError::at(line, sentence))
                }
            };
        };
        let fault = || format!("`backup.directory` {} must be the path of a directory", quoted(found.value));
        let directory = std::path::absolute(found.value).map_err(|_| ConfigError::at(found.line, fault()))?;
        let every = Duration::from_secs(every.map_or(Self::DEFAULT_EVERY_S, |every| every.value));
        let keep = keep.map_or(Self::DEFAULT_KEEP, |keep| keep.value);
        Ok(Some(Self { directory, every, keep: usize::try_from(keep).unwrap_or(usize::MAX) }))
    }
}
