/// Who runs this process, for the history of changes: as an operator on a node's own machine is known there.
pub(crate) fn this_user() -> String {
    format!("uid {}", rustix::process::geteuid().as_raw())
}
