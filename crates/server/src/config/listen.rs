use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};

/// Where to listen: a host and a port. The host is an address or a syntactically valid name; port 0 lets the system
/// choose a free one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenAddress {
    host: Host,
    port: u16,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Host {
    Ip(IpAddr),
    Name(String),
}

/// The longest host name (RFC 1035, 2.3.4).
const MAX_NAME_BYTES: usize = 253;

impl ListenAddress {
    /// Host (`127.0.0.1`, `::1`, `[::1]`, `localhost`) and port. The error says what a host must be.
    pub fn new(host: &str, port: u16) -> Result<Self, String> {
        let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let host = match (bare, host.parse::<IpAddr>()) {
            (Some(inside), _) => Host::Ip(IpAddr::V6(inside.parse::<Ipv6Addr>().map_err(|_| expected())?)),
            (None, Ok(ip)) => Host::Ip(ip),
            (None, Err(_)) if is_host_name(host) => Host::Name(host.to_owned()),
            (None, Err(_)) => return Err(expected()),
        };
        Ok(Self { host, port })
    }

    /// Every interface, IPv6 and IPv4.
    pub(super) fn every(port: u16) -> Self {
        Self { host: Host::Ip(IpAddr::V6(Ipv6Addr::UNSPECIFIED)), port }
    }

    /// `HOST:PORT`, an IPv6 address in brackets.
    pub fn parse(text: &str) -> Result<Self, String> {
        let expected = || "HOST:PORT was expected, such as 127.0.0.1:8081 or [::1]:8081".to_owned();
        let (host, port) = text.rsplit_once(':').ok_or_else(expected)?;
        if host.contains(':') && !host.starts_with('[') {
            return Err(expected());
        }
        let port = port.parse().ok().filter(|_| port.bytes().all(|byte| byte.is_ascii_digit()));
        Self::new(host, port.ok_or_else(expected)?)
    }

    /// The port; 0 lets the system choose.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether it is of this machine and nobody reaches it from another one.
    pub(super) fn is_loopback(&self) -> bool {
        let host = self.host_text();
        let host = host.trim_matches(['[', ']']);
        host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }

    /// Whether it means every interface of the machine, which is nothing that another machine could connect to.
    pub(super) fn is_every_interface(&self) -> bool {
        matches!(&self.host, Host::Ip(ip) if ip.is_unspecified())
    }

    /// The addresses to try, in order, until one can be bound; a name is looked up, which blocks. IPv4 comes first, as
    /// in Kask: Go binds a name's first IPv4 address. `::` takes IPv4 in as well; where IPv6 is switched off, IPv4 alone.
    pub fn resolve(&self) -> io::Result<Vec<SocketAddr>> {
        match &self.host {
            Host::Ip(IpAddr::V6(Ipv6Addr::UNSPECIFIED)) => {
                let both = [IpAddr::V6(Ipv6Addr::UNSPECIFIED), IpAddr::V4(Ipv4Addr::UNSPECIFIED)];
                Ok(both.map(|ip| SocketAddr::new(ip, self.port)).to_vec())
            }
            Host::Ip(ip) => Ok(vec![SocketAddr::new(*ip, self.port)]),
            Host::Name(name) => {
                let mut found: Vec<_> = (name.as_str(), self.port).to_socket_addrs()?.collect();
                found.sort_by_key(|address| !address.is_ipv4());
                Ok(found)
            }
        }
    }

    pub(super) fn host_text(&self) -> String {
        match &self.host {
            Host::Ip(ip) => ip.to_string(),
            Host::Name(name) => name.clone(),
        }
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Ip(ip) => write!(f, "{}", SocketAddr::new(*ip, self.port)),
            Host::Name(name) => write!(f, "{name}:{}", self.port),
        }
    }
}

fn expected() -> String {
    "an IP address or a host name was expected, such as 127.0.0.1, ::1 or localhost".to_owned()
}

/// RFC 1123, 2.1. A last label of digits only is a mistyped IPv4 address.
fn is_host_name(text: &str) -> bool {
    let label = |label: &str| {
        let inside = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        (1..=63).contains(&label.len()) && inside && !label.starts_with('-') && !label.ends_with('-')
    };
    let last_is_a_word = text.rsplit('.').next().is_some_and(|last| !last.bytes().all(|byte| byte.is_ascii_digit()));
    text.len() <= MAX_NAME_BYTES && last_is_a_word && text.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_an_address_or_a_name() {
        for (text, shown) in [
            ("127.0.0.1:8081", "127.0.0.1:8081"),
            ("[::1]:0", "[::1]:0"),
            ("localhost:65535", "localhost:65535"),
            ("n-1.example.org:1", "n-1.example.org:1"),
        ] {
            assert_eq!(ListenAddress::parse(text).unwrap().to_string(), shown);
        }
        for text in
            ["", "8081", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:+1", "::1:80", "[::1", "[::1]", ":80"]
        {
            assert!(ListenAddress::parse(text).is_err(), "{text:?}");
        }
        for host in ["", "256.0.0.1", "1.2.3", "a b", "-a", "a..b", "[127.0.0.1]", "http://a", &"a".repeat(64)] {
            assert!(ListenAddress::new(host, 1).is_err(), "{host:?}");
        }
        assert_eq!(ListenAddress::new("::1", 1), ListenAddress::new("[::1]", 1));
    }

    #[test]
    fn ipv4_is_tried_first_and_every_interface_means_both_families() {
        let localhost = ListenAddress::new("localhost", 5).unwrap().resolve().unwrap();
        assert_eq!(localhost[0], "127.0.0.1:5".parse().unwrap());
        let every: Vec<_> = ListenAddress::every(5).resolve().unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(every, ["[::]:5", "0.0.0.0:5"]);
    }
}
