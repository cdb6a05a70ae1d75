//! Whoever calls over TCP from the node's own machine, without a token, is told where the socket is that asks for none. What
//! stands there is for root and the node's user, so that tells a caller nothing that lets him in.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use tonic::Status;
use tonic::metadata::BinaryMetadataValue;

/// The data directory of the node, in the metadata of a refusal.
const DATA_DIR: &str = "sessile-data-dir-bin";

/// Whether somebody at that address is on this machine.
pub(super) fn is_here(address: &str) -> bool {
    address.parse::<SocketAddr>().is_ok_and(|address| address.ip().to_canonical().is_loopback())
}

/// Says with a refusal in which directory the socket is.
pub(super) fn tell(status: &mut Status, data_dir: &Path) {
    let path = BinaryMetadataValue::from_bytes(data_dir.as_os_str().as_bytes());
    status.metadata_mut().insert_bin(DATA_DIR, path);
}

/// In which directory the socket is, if the refusal says so.
pub(super) fn told(status: &Status) -> Option<PathBuf> {
    let path = status.metadata().get_bin(DATA_DIR)?.to_bytes().ok()?;
    Some(PathBuf::from(OsStr::from_bytes(&path))).filter(|path| path.is_absolute())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_calls_from_the_same_machine_is_there() {
        for (address, here) in [
            ("127.0.0.1:7081", true),
            ("[::1]:7081", true),
            ("[::ffff:127.0.0.1]:7081", true),
            ("10.0.0.1:7081", false),
            ("[::ffff:10.0.0.1]:7081", false),
            ("an unknown address", false),
        ] {
            assert_eq!(is_here(address), here, "{address}");
        }
    }

    #[test]
    fn a_directory_is_told_as_it_is_and_a_relative_one_is_not_believed() {
        let mut status = Status::unauthenticated("no");
        assert_eq!(told(&status), None);
        tell(&mut status, Path::new("/var/lib/sessile"));
        assert_eq!(told(&status).as_deref(), Some(Path::new("/var/lib/sessile")));
        tell(&mut status, Path::new("here"));
        assert_eq!(told(&status), None);
    }
}
