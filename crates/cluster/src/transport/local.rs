//! The Unix socket in a node's data directory, by which operators on the same machine reach it.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::stream::{self, BoxStream, StreamExt};
use sessile_store::ADMIN_SOCKET;
use tokio::net::{UnixListener, UnixSocket, UnixStream};

use super::connections::{Connections, Operator, Origin};
use super::reach::{Accepted, accept};
use super::stream::Wire;
use super::tls::Allowed;
use crate::tokens::Right;

/// The node's own user, and root.
const MODE: u32 = 0o600;
/// What the system takes for the path of a socket, with a zero at its end (unix(7)).
const MAX_PATH_BYTES: usize = 107;
/// How many commands may wait to be accepted. Nobody gives more at a time.
const BACKLOG: u32 = 64;

/// Where operators on this machine come in. Dropped, it takes its file away.
pub(crate) struct LocalSocket {
    listener: UnixListener,
    path: PathBuf,
    /// By which the file is known for its own: a later process may have put another one in its place.
    inode: u64,
}

impl LocalSocket {
    /// Listens in the data directory, of which this process has the lock: a socket that is there was left by one that has
    /// ended, and is replaced. Blocks for as long as the disk does.
    pub(crate) fn bind(dir: &Path) -> io::Result<Self> {
        let path = path_in(dir);
        match fs::symlink_metadata(&path) {
            Ok(found) if found.file_type().is_socket() => fs::remove_file(&path)?,
            Ok(_) => return Err(io::Error::new(io::ErrorKind::AlreadyExists, "a file is there that is no socket")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let socket = UnixSocket::new_stream()?;
        socket.bind(Address::in_directory(dir)?.path())?;
        // Before it listens: nobody gets in by the mode that it was made with.
        fs::set_permissions(&path, Permissions::from_mode(MODE))?;
        let inode = fs::symlink_metadata(&path)?.ino();
        Ok(Self { listener: socket.listen(BACKLOG)?, path, inode })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The directory that it is in, from the root on.
    pub(crate) fn data_dir(&self) -> Option<Arc<Path>> {
        std::path::absolute(self.path.parent()?).ok().map(Arc::from)
    }

    /// Every connection for which there is a place. `node` is the node's name, for the history.
    pub(crate) fn accepted(
        self,
        connections: Arc<Connections>,
        node: String,
    ) -> BoxStream<'static, io::Result<Accepted>> {
        let accepted = stream::unfold((self, connections, node), |(socket, connections, node)| async move {
            let next = || async {
                let (stream, _) = socket.listener.accept().await?;
                // Of one that has ended nobody knows who it was.
                let operator = stream.peer_cred().ok().map(|peer| operator(&node, peer.uid(), peer.pid()));
                Ok(operator.map(|operator| (Box::new(stream) as Box<dyn Wire>, Origin::Local(Box::new(operator)))))
            };
            let (wire, place) = accept(next, &connections).await;
            Some((Ok(Accepted::new(wire, place, Allowed::Plain)), (socket, connections, node)))
        });
        accepted.boxed()
    }
}

impl Drop for LocalSocket {
    fn drop(&mut self) {
        let is_own = fs::symlink_metadata(&self.path).is_ok_and(|found| found.ino() == self.inode);
        if is_own {
            // What stays is replaced at the next start.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Whom the system says that a connection comes from.
fn operator(node: &str, user: u32, process: Option<i32>) -> Operator {
    let process = process.map(|process| format!(", pid {process}")).unwrap_or_default();
    let from = format!("the machine of {node}{process}");
    Operator { who: format!("uid {user}"), from, right: Right::Admin, token: None }
}

/// Connects to the node that has that data directory.
pub(crate) async fn connect(dir: &Path) -> io::Result<UnixStream> {
    UnixStream::connect(Address::in_directory(dir)?.path()).await
}

/// The socket's path in that directory.
pub(crate) fn path_in(dir: &Path) -> PathBuf {
    dir.join(ADMIN_SOCKET)
}

/// A path that the system takes for the socket of a directory, however long the directory's own is.
struct Address {
    path: PathBuf,
    /// What the path goes by, where it is another one.
    _dir: Option<File>,
}

impl Address {
    fn in_directory(dir: &Path) -> io::Result<Self> {
        let path = path_in(dir);
        if path.as_os_str().len() <= MAX_PATH_BYTES {
            return Ok(Self { path, _dir: None });
        }
        let open = File::open(dir)?;
        let path = PathBuf::from(format!("/proc/self/fd/{}/{ADMIN_SOCKET}", open.as_raw_fd()));
        Ok(Self { path, _dir: Some(open) })
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[tokio::test]
    async fn a_socket_that_a_killed_node_left_is_replaced_and_a_file_that_is_none_stays() {
        let dir = tempfile::tempdir().unwrap();
        // As it is left: nobody listens, and the file is there.
        drop(std::os::unix::net::UnixListener::bind(dir.path().join(ADMIN_SOCKET)).unwrap());
        assert_eq!(connect(dir.path()).await.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        let socket = LocalSocket::bind(dir.path()).unwrap();
        assert_eq!(mode(socket.path()), 0o600);
        assert!(connect(dir.path()).await.is_ok());
        drop(socket);
        assert_eq!(connect(dir.path()).await.unwrap_err().kind(), io::ErrorKind::NotFound, "it goes with the node");

        fs::write(dir.path().join(ADMIN_SOCKET), "kept").unwrap();
        assert_eq!(LocalSocket::bind(dir.path()).err().unwrap().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(dir.path().join(ADMIN_SOCKET)).unwrap(), "kept");
    }

    #[tokio::test]
    async fn a_data_directory_may_have_a_longer_path_than_a_socket() {
        let dir = tempfile::tempdir().unwrap();
        let long = dir.path().join("d".repeat(200)).join("data");
        fs::create_dir_all(&long).unwrap();
        let socket = LocalSocket::bind(&long).unwrap();
        let (stream, accepted) = tokio::join!(connect(&long), socket.listener.accept());
        assert!(stream.is_ok() && accepted.is_ok() && mode(&long.join(ADMIN_SOCKET)) == 0o600);
    }

    #[tokio::test]
    async fn what_another_process_has_put_in_its_place_is_left_there() {
        let dir = tempfile::tempdir().unwrap();
        let first = LocalSocket::bind(dir.path()).unwrap();
        let second = LocalSocket::bind(dir.path()).unwrap();
        drop(first);
        assert!(connect(dir.path()).await.is_ok());
        drop(second);
    }

    #[tokio::test]
    async fn the_system_says_who_connects() {
        let dir = tempfile::tempdir().unwrap();
        let socket = LocalSocket::bind(dir.path()).unwrap();
        let mut accepted = socket.accepted(Connections::new(1), "n1".to_owned());
        let (stream, accepted) = tokio::join!(connect(dir.path()), accepted.next());
        let accepted = accepted.unwrap().unwrap();
        let connection = tonic::transport::server::Connected::connect_info(&accepted);
        let operator = connection.operator().unwrap();
        let user = fs::metadata(dir.path()).unwrap().uid();
        assert_eq!((operator.who.as_str(), operator.right), (format!("uid {user}").as_str(), Right::Admin));
        assert_eq!(operator.from, format!("the machine of n1, pid {}", std::process::id()));
        drop(stream);
    }
}
