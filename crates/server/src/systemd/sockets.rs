use std::env;
use std::net::TcpListener;

use anyhow::Context;
use listenfd::ListenFd;

use crate::exit::{Failure, Status};

/// The listening sockets that a service manager has opened for this process, by their names (`FileDescriptorName=`). Each
/// is used instead of the address in the configuration, whose port need not even be one that this user may bind.
#[derive(Debug, Default)]
pub struct Sockets {
    /// `http`: the session API.
    pub(crate) http: Option<TcpListener>,
    /// `grpc`: peers and administration.
    pub(crate) grpc: Option<TcpListener>,
    /// `admin`: metrics, probes and the status page.
    pub(crate) admin: Option<TcpListener>,
}

impl Sockets {
    /// Takes what was passed. To be called once, before there are other threads: it changes the environment.
    ///
    /// # Errors
    /// If a socket has another name, a name comes twice, or what was passed is no TCP socket that listens.
    pub fn inherited() -> anyhow::Result<Self> {
        // Read first: what takes the sockets takes it away.
        let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut passed = ListenFd::from_env();
        let mut sockets = Self::default();
        let mut names = names.split(':');
        for number in 0..passed.len() {
            let name = names.next().unwrap_or_default();
            let place = sockets.place_of(name)?;
            let listener = passed.take_tcp_listener(number);
            let listener =
                listener.map_err(|error| wrong(&format!("the socket {name} is no listening TCP socket: {error}")))?;
            let listener = listener.context("a socket that was passed is not there")?;
            if place.replace(listener).is_some() {
                return Err(wrong(&format!("two sockets are called {name}")).into());
            }
        }
        Ok(sockets)
    }

    fn place_of(&mut self, name: &str) -> Result<&mut Option<TcpListener>, Failure> {
        match name {
            "http" => Ok(&mut self.http),
            "grpc" => Ok(&mut self.grpc),
            "admin" => Ok(&mut self.admin),
            other => Err(wrong(&format!("a socket is called {other:?}"))),
        }
    }
}

fn wrong(what: &str) -> Failure {
    let sentence = format!("{what}; pass one TCP socket each, with FileDescriptorName=http, grpc or admin");
    Failure::new(Status::Usage, sentence)
}
