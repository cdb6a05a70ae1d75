use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use sessile_http::BaseUri;

/// What becomes of the state of `sessile dev` when it stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeping<'a> {
    /// It is there at the next start.
    Kept(&'a Path),
    /// It is removed.
    Temporary(&'a Path),
}

/// What `sessile dev` says once it listens on `address`: how to store and read, what to paste into MediaWiki's
/// LocalSettings.php, how to look at it, and where the state is.
pub fn banner(address: SocketAddr, base_uri: &BaseUri, keeping: Keeping<'_>) -> String {
    let url = format!("http://{}{base_uri}", reachable(address));
    let state = match keeping {
        Keeping::Kept(directory) => format!("The sessions are in {} and stay there.", directory.display()),
        Keeping::Temporary(directory) => format!(
            "The sessions are in {} and are removed when this stops;\nwith --data-dir DIR they stay.",
            directory.display()
        ),
    };
    let (Keeping::Kept(directory) | Keeping::Temporary(directory)) = keeping;
    let directory = directory.display();
    let mut text = String::new();
    // A String takes all that is written to it.
    let _ = write!(
        text,
        "\
sessile listens on {url}

Store and read:

    curl --data-binary 'hello' '{url}greeting'
    curl '{url}greeting'

MediaWiki (LocalSettings.php):

    $wgObjectCaches['sessile'] = [
        'class' => 'RESTBagOStuff',
        'url' => '{url}',
        'httpParams' => [
            'readHeaders' => [], 'deleteHeaders' => [],
            'writeHeaders' => [ 'content-type' => 'application/octet-stream' ],
            'writeMethod' => 'POST',
        ],
        'serialization_type' => 'JSON',
    ];
    $wgSessionCacheType = 'sessile';

Look at it:

    sessile status --data-dir '{directory}'

{state}
Ctrl-C stops it.

"
    );
    text
}

/// The address as somebody on this machine can use it: nothing connects to 0.0.0.0 everywhere.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden;

    fn said(address: &str, keeping: Keeping<'_>) -> String {
        banner(address.parse().unwrap(), &BaseUri::new("/sessions/v1/").unwrap(), keeping)
    }

    #[test]
    fn the_banner_is_what_stands_in_the_golden_files() {
        let directory = Path::new("/tmp/sessile-dev");
        golden::check("banner/temporary.txt", &said("127.0.0.1:8081", Keeping::Temporary(directory)));
        golden::check("banner/kept.txt", &said("[::1]:4711", Keeping::Kept(directory)));
    }

    #[test]
    fn it_names_an_address_that_can_be_connected_to() {
        let keeping = Keeping::Kept(Path::new("/d"));
        assert_eq!(said("0.0.0.0:1", keeping), said("127.0.0.1:1", keeping));
        assert_eq!(said("[::]:1", keeping), said("[::1]:1", keeping));
    }
}
