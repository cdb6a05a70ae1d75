/// How a piece of work ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ended {
    Done,
    /// The store was told to stop. Nothing of it is left.
    Stopped,
}
