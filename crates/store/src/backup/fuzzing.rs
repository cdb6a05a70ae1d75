//! What holds of whatever bytes are read as a backup.

use bytes::Bytes;

use super::file::{write_frame, write_magic};
use super::head::BackupHead;
use super::verify;

/// A backup, or the content of its first or second frame: it is refused, or is one; never a panic. A head comes back as it
/// went.
pub fn backup(bytes: &[u8]) {
    let _ = verify(bytes, |_| ());
    let head = BackupHead::decode(Bytes::copy_from_slice(bytes));
    if let Ok(head) = &head {
        assert_eq!(BackupHead::decode(head.encode()).as_ref().ok(), Some(head));
    }
    // Checksums keep made-up frames out; past them, any content has to be refused or taken.
    let empty = BackupHead::decode(EMPTY_HEAD.into()).map(|head| head.encode()).unwrap_or_default();
    for frames in [vec![bytes], vec![&empty, bytes]] {
        let mut file = Vec::new();
        let written = write_magic(&mut file)
            .and_then(|_| frames.iter().try_for_each(|frame| write_frame(&mut file, frame).map(drop)));
        assert!(written.is_ok(), "memory takes everything");
        let _ = verify(file.as_slice(), |_| ());
    }
}

/// Of the cluster 0, without an entry and without a member.
const EMPTY_HEAD: &[u8] = b"\x0a\x10\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x1a\x02\x12\0";
