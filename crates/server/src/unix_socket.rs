//! A Unix socket to listen on: what is found in its place, and who may connect.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _, chown};
use std::path::Path;

use tokio::net::{UnixListener, UnixSocket, UnixStream};

use crate::config::ListenUnix;
use crate::exit::{Failure, Status};

/// Listens there, with that many connections that the system may accept ahead. What a process before this one left is replaced; a socket in use, or a file that is none, is not.
pub(crate) async fn bind(listen: &ListenUnix, backlog: u32) -> Result<UnixListener, Failure> {
    let path = &listen.path;
    clear(path).await?;
    let failed = |error: io::Error| {
        let what = "see to its directory, mode and group, or choose another path with listen_unix";
        Failure::new(Status::Unavailable, format!("cannot listen on {}: {error}; {what}", path.display()))
    };
    let socket = UnixSocket::new_stream().map_err(failed)?;
    socket.bind(path).map_err(failed)?;
    // Before it listens: nobody gets in by the mode that it was made with.
    if listen.group.is_some() {
        chown(path, None, listen.group).map_err(failed)?;
    }
    fs::set_permissions(path, Permissions::from_mode(listen.mode)).map_err(failed)?;
    socket.listen(backlog).map_err(failed)
}

/// Removes a socket on which nobody listens.
async fn clear(path: &Path) -> Result<(), Failure> {
    let refused = |status, why: &str, cure: &str| {
        Failure::new(status, format!("cannot listen on {}: {why}; {cure}", path.display()))
    };
    let choose = "or choose another path with listen_unix";
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(refused(Status::Unavailable, &error.to_string(), choose)),
        Ok(found) if !found.file_type().is_socket() => {
            let cure = format!("move it away, {choose}");
            return Err(refused(Status::CannotCreate, "there is a file that is no socket", &cure));
        }
        Ok(_) => {}
    }
    match UnixStream::connect(path).await {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path).map_err(|error| {
            let why = format!("what another process left there cannot be removed ({error})");
            refused(Status::Unavailable, &why, &format!("remove it, {choose}"))
        }),
        // One whose queue is full is in use as well.
        Ok(_) => Err(refused(Status::Unavailable, "another process listens there", &format!("stop it, {choose}"))),
        Err(error) => {
            let why = format!("whether another process listens there cannot be told ({error})");
            Err(refused(Status::Unavailable, &why, &format!("remove it if none does, {choose}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(path: &Path) -> ListenUnix {
        ListenUnix { path: path.to_owned(), mode: 0o600, group: None }
    }

    #[tokio::test]
    async fn what_was_left_is_replaced_what_is_in_use_is_refused_and_a_file_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let first = bind(&at(&path), 16).await.unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let in_use = bind(&at(&path), 16).await.unwrap_err();
        assert_eq!(in_use.status(), Status::Unavailable);
        assert!(in_use.to_string().contains("another process listens there; stop it"), "{in_use}");
        drop(first);
        let second = bind(&ListenUnix { mode: 0o666, ..at(&path) }, 16).await.unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o666);
        let (_client, accepted) = tokio::join!(UnixStream::connect(&path), second.accept());
        assert!(accepted.is_ok());

        let file = dir.path().join("file");
        fs::write(&file, "kept").unwrap();
        let no_socket = bind(&at(&file), 16).await.unwrap_err();
        assert_eq!(no_socket.status(), Status::CannotCreate);
        assert!(no_socket.to_string().contains("no socket; move it away"), "{no_socket}");
        assert_eq!(fs::read_to_string(&file).unwrap(), "kept");

        let nowhere = bind(&at(&dir.path().join("no/socket")), 16).await.unwrap_err();
        assert!(nowhere.to_string().contains("see to its directory"), "{nowhere}");
    }
}
