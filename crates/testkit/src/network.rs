use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// A hardware address that nobody has.
const NOBODY: &str = "02:00:00:00:00:01";
/// The interface of a host, within its namespace.
const INTERFACE: &str = "eth0";

/// How many were made by this process.
static MADE: AtomicU32 = AtomicU32::new(0);

/// Hosts with an address of their own each, on one switch, and this machine as one more host that is never cut off. Each is
/// a network namespace; dropped, all are gone. Needs root and `ip`.
///
/// What is cut is lost without a word, as by a cable that was pulled: nobody gets an error from it.
#[derive(Debug)]
pub struct Network {
    switch: String,
    own: IpAddr,
    hosts: BTreeMap<String, Host>,
}

/// One of them.
#[derive(Debug, Clone)]
pub struct Host {
    /// Its namespace, for `ip netns exec`.
    pub namespace: String,
    /// Where it is reached.
    pub address: IpAddr,
}

impl Network {
    /// One host for each name.
    pub fn of(names: &[&str]) -> io::Result<Self> {
        let (process, nth) = (std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        // A name of an interface has 15 bytes at the most.
        let switch = format!("s{process}x{}", nth % 1000);
        let [.., b, c] = process.wrapping_mul(1000).wrapping_add(nth).to_be_bytes();
        let address = |host: u8| IpAddr::V4(Ipv4Addr::new(10, 128 | (b & 127), c, host));
        let own = address(254);
        let mut network = Self { switch: switch.clone(), own, hosts: BTreeMap::new() };
        ip(&["link", "add", &switch, "type", "bridge"])?;
        ip(&["addr", "add", &format!("{own}/24"), "dev", &switch])?;
        ip(&["link", "set", &switch, "up"])?;
        for (nth, name) in (1..).zip(names) {
            let host = Host { namespace: format!("{switch}-{name}"), address: address(nth) };
            // Known from here on, so that whatever was made of it goes.
            network.hosts.insert((*name).to_owned(), host.clone());
            let port = format!("{switch}p{nth}");
            ip(&["netns", "add", &host.namespace])?;
            ip(&["link", "add", &port, "type", "veth", "peer", "name", INTERFACE, "netns", &host.namespace])?;
            ip(&["link", "set", &port, "master", &switch, "up"])?;
            ip(&["-n", &host.namespace, "link", "set", "lo", "up"])?;
            let own = format!("{}/24", host.address);
            ip(&["-n", &host.namespace, "addr", "add", &own, "dev", INTERFACE])?;
            ip(&["-n", &host.namespace, "link", "set", INTERFACE, "up"])?;
        }
        Ok(network)
    }

    /// Where its hosts reach this machine.
    pub fn own_address(&self) -> IpAddr {
        self.own
    }

    /// One of its hosts.
    pub fn host(&self, name: &str) -> &Host {
        self.hosts.get(name).unwrap_or_else(|| panic!("there is no host {name}"))
    }

    /// What one sends to the other is lost; what comes back is not.
    pub fn cut(&self, from: &str, to: &str) -> io::Result<()> {
        let (namespace, to) = (&self.host(from).namespace, self.host(to).address.to_string());
        ip(&["-n", namespace, "neigh", "replace", &to, "lladdr", NOBODY, "dev", INTERFACE, "nud", "permanent"])
    }

    /// It arrives again.
    pub fn mend(&self, from: &str, to: &str) -> io::Result<()> {
        let (namespace, to) = (&self.host(from).namespace, self.host(to).address.to_string());
        ip(&["-n", namespace, "neigh", "del", &to, "dev", INTERFACE])
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for host in self.hosts.values() {
            // With its namespace goes its interface, and the other end with it.
            let _ = ip(&["netns", "del", &host.namespace]);
        }
        let _ = ip(&["link", "del", &self.switch]);
    }
}

fn ip(words: &[&str]) -> io::Result<()> {
    let ended = Command::new("ip").args(words).output()?;
    if ended.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&ended.stderr);
    Err(io::Error::other(format!("ip {}: {}", words.join(" "), said.trim())))
}
