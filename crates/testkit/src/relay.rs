//! What stands between a client and a TCP server, whatever it does to what passes.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// What passes a connection on.
type PassOn = Arc<dyn Fn(&Accepted) -> Option<()> + Send + Sync>;

/// Accepts connections, and has each of them passed on. Dropped, it closes every connection and its port.
#[derive(Debug)]
pub(crate) struct Relay {
    address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    to: SocketAddr,
    ends: AtomicBool,
    /// Both ends of every connection.
    open: Mutex<BTreeMap<u64, [TcpStream; 2]>>,
}

/// A client that has connected. Dropped, its connection ends on both sides.
pub(crate) struct Accepted {
    pub(crate) near: TcpStream,
    pub(crate) from: IpAddr,
    /// Connections are counted.
    pub(crate) number: u64,
    shared: Arc<Shared>,
}

impl Relay {
    /// One that leads to `to`. It binds on a thread of its own, which may be on another network; `pass_on` is called on
    /// another thread for each connection, and returns at its end.
    pub(crate) fn start(
        bind: impl FnOnce() -> io::Result<TcpListener> + Send + 'static,
        to: SocketAddr,
        pass_on: impl Fn(&Accepted) -> Option<()> + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared { to, ends: AtomicBool::new(false), open: Mutex::default() });
        let (listens, listening) = sync_channel(1);
        let accepting = shared.clone();
        let pass_on: PassOn = Arc::new(pass_on);
        let acceptor = std::thread::spawn(move || accepting.accepts(bind, &listens, &pass_on));
        let listening = listening.recv().unwrap_or_else(|_| Err(io::Error::other("the relay ended early")));
        Ok(Self { address: listening?, shared, acceptor: Some(acceptor) })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.ends.store(true, Ordering::SeqCst);
        // It looks up when somebody connects.
        let woken = TcpStream::connect(self.address).is_ok();
        if let Some(acceptor) = self.acceptor.take().filter(|_| woken) {
            let _ = acceptor.join();
        }
        lock(&self.shared.open).values().flatten().for_each(close);
    }
}

impl Shared {
    fn accepts(
        self: Arc<Self>,
        bind: impl FnOnce() -> io::Result<TcpListener>,
        listens: &SyncSender<io::Result<SocketAddr>>,
        pass_on: &PassOn,
    ) {
        let listener = match bind() {
            Ok(listener) => listener,
            Err(error) => return drop(listens.send(Err(error))),
        };
        let _ = listens.send(listener.local_addr());
        for number in 0.. {
            let Ok((near, from)) = listener.accept() else { continue };
            if self.ends.load(Ordering::SeqCst) {
                return;
            }
            let (accepted, pass_on) =
                (Accepted { near, from: from.ip(), number, shared: self.clone() }, pass_on.clone());
            // Whoever connects learns from the end of the connection that nobody is there.
            std::thread::spawn(move || pass_on(&accepted));
        }
    }
}

impl Accepted {
    /// Connects to the server.
    pub(crate) fn connect(&self) -> Option<TcpStream> {
        let far = TcpStream::connect(self.shared.to).ok()?;
        for stream in [&self.near, &far] {
            stream.set_nodelay(true).ok()?;
        }
        let copies = [self.near.try_clone().ok()?, far.try_clone().ok()?];
        lock(&self.shared.open).insert(self.number, copies);
        Some(far)
    }
}

impl Drop for Accepted {
    fn drop(&mut self) {
        if let Some(ends) = lock(&self.shared.open).remove(&self.number) {
            ends.iter().for_each(close);
        }
    }
}

/// Ends a connection in both directions.
pub(crate) fn close(stream: &TcpStream) {
    // It may be closed already.
    let _ = stream.shutdown(Shutdown::Both);
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A server that sends back what it gets.
#[cfg(test)]
pub(crate) fn echo() -> SocketAddr {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in server.incoming() {
            let stream = stream.unwrap();
            std::thread::spawn(move || io::copy(&mut &stream, &mut &stream));
        }
    });
    address
}
