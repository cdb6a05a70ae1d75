/// One thing that an operator should look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// What it is about.
    pub kind: AlertKind,
    /// What it is, as a sentence.
    pub text: String,
}

/// What an operator should look at, so far as it has a name of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlertKind {
    /// A disk is nearly full, and writes are refused.
    DiskFull,
    /// A disk has little room left, or will within a day.
    DiskLow,
    /// The state or the disk of a member is not what others know of it.
    StateDiffers,
    /// The replicated clock waits, and writes with it.
    TimeWaits,
    /// The replicated clock went forward at once.
    TimeJumped,
    /// Anything else: the sentence says what to do.
    Other,
}

impl Alert {
    pub(super) fn new(kind: AlertKind, text: String) -> Self {
        Self { kind, text }
    }

    /// About a disk.
    pub(super) fn of_disk(is_full: bool, text: String) -> Self {
        Self::new(if is_full { AlertKind::DiskFull } else { AlertKind::DiskLow }, text)
    }

    /// What has no name of its own.
    pub(super) fn other(text: String) -> Self {
        Self::new(AlertKind::Other, text)
    }
}
