//! How clients reach a node besides plain TCP: over TLS, with certificates that are good or not, and over a Unix socket.

use std::fs;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use sessile_testkit::{Client, PATIENCE, Process, Signal, eventually};

use crate::world::{BASE, Place, listener, sentence, sessile};

/// Whom certificates are for.
const NAME: &str = "sessions.example";

/// A new certificate and its key, written there.
fn certificate(place: &Place) -> CertificateDer<'static> {
    write(place, &CertificateParams::new([NAME.to_owned()]).unwrap())
}

fn write(place: &Place, params: &CertificateParams) -> CertificateDer<'static> {
    let key = KeyPair::generate().unwrap();
    let cert = params.self_signed(&key).unwrap();
    fs::write(cert_file(place), cert.pem()).unwrap();
    fs::write(key_file(place), key.serialize_pem()).unwrap();
    fs::set_permissions(key_file(place), fs::Permissions::from_mode(0o640)).unwrap();
    cert.der().clone()
}

fn cert_file(place: &Place) -> PathBuf {
    place.path().join("cert.pem")
}

fn key_file(place: &Place) -> PathBuf {
    place.path().join("key.pem")
}

/// The lines of a configuration that name them.
fn lines(place: &Place) -> String {
    format!("tls: {{ cert: {}, key: {} }}\n", cert_file(place).display(), key_file(place).display())
}

/// A request by somebody who trusts that certificate alone. Gives the answer's first line.
fn request_over_tls(address: SocketAddr, trusted: &CertificateDer<'static>, head: &str) -> io::Result<String> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let config = config.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
    let name = ServerName::try_from(NAME).unwrap();
    let connection = ClientConnection::new(Arc::new(config.with_no_client_auth()), name).unwrap();
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    asked(StreamOwned::new(connection, stream), head)
}

fn asked(mut stream: impl io::Read + io::Write, head: &str) -> io::Result<String> {
    write!(stream, "{head} HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    // The end may come without a goodbye.
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8(answer).unwrap();
    answer.lines().next().map(str::to_owned).ok_or(io::ErrorKind::UnexpectedEof.into())
}

/// What `check-config` makes of a file: its code, and what it says.
fn checked(file: &Path) -> (i32, String, String) {
    let output = sessile().arg("check-config").arg(file).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn a_kask_file_with_a_certificate_starts_unchanged_and_a_renewed_one_is_served_by_itself() {
    let place = Place::new("fjall");
    let first = certificate(&place);
    let kask = format!(
        "service_name: sessionstore\nbase_uri: /sessions/v1\nlisten_address: 127.0.0.1\nlisten_port: 0\n{}cassandra:\n  \
         hosts: [192.0.2.1]\nstorage: {{ data_dir: {} }}\nadmin: {{ listen: '127.0.0.1:0' }}\n",
        lines(&place),
        place.data_dir().display()
    );
    let mut node = Process::start(place.serve_file(&kask)).unwrap();
    let address = listener(&node, "listening");
    let get = |trusted: &CertificateDer<'static>| request_over_tls(address, trusted, &format!("GET {BASE}k"));
    assert_eq!(get(&first).unwrap(), "HTTP/1.1 404 Not Found");
    assert!(Client::connect(address).unwrap().request("GET", "/livez", "", b"").is_err(), "nothing is told in clear");

    let second = certificate(&place);
    eventually("the new certificate is served", || get(&second).ok());
    assert!(get(&first).is_err());
    node.says("the certificate was read again and is in use");

    let third = certificate(&place);
    node.signal(Signal::HUP);
    node.says("cert.pem is in use, valid for ");
    assert!(get(&third).is_ok() && get(&second).is_err(), "at once when it is told");

    fs::write(cert_file(&place), "rubbish").unwrap();
    let error = node.says("the certificate of before stays in use");
    assert!(error.contains(r#""level":"ERROR""#) && error.contains("cert.pem holds no certificate"), "{error}");
    assert_eq!(get(&third).unwrap(), "HTTP/1.1 404 Not Found");
    let mut operator = Client::connect(listener(&node, "listening for operators")).unwrap();
    let metrics = operator.request("GET", "/metrics", "", b"").unwrap().text();
    for (name, least) in [
        ("sessile_tls_reloads_total{listener=\"api\",result=\"failed\"} ", 1.0),
        ("sessile_tls_certificate_seconds_left{listener=\"api\"} ", 365.0 * 86_400.0),
    ] {
        let value = metrics.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{metrics}"));
        assert!(value.parse::<f64>().unwrap() >= least, "{name}{value}");
    }
}

#[test]
fn what_cannot_be_served_is_refused_at_start_with_file_and_cure_and_by_check_config() {
    let place = Place::new("fjall");
    certificate(&place);
    let other_key = KeyPair::generate().unwrap().serialize_pem();
    for (file, content, said) in [
        (key_file(&place), other_key.as_str(), "put a pair there"),
        (key_file(&place), "rubbish", "key.pem holds no unencrypted private key"),
        (cert_file(&place), "rubbish", "cert.pem holds no certificate in PEM"),
    ] {
        certificate(&place);
        fs::write(&file, content).unwrap();
        let mut node = Process::start(place.serve(&lines(&place))).unwrap();
        assert_eq!(node.ends().code(), Some(64));
        let stderr = node.stderr();
        let stated = sentence(&stderr);
        assert!(stated.contains(said) && stated.contains(file.to_str().unwrap()), "{stated}");
        assert!(stated.contains("config.yaml, line "), "{stated}");
        let (code, _, stderr) = checked(&place.path().join("config.yaml"));
        assert_eq!((code, stderr.contains(said)), (64, true), "{stderr}");
        assert!(!place.data_dir().exists(), "nothing was begun");
    }
}

#[test]
fn a_certificate_that_has_expired_is_served_and_warned_of() {
    let place = Place::new("fjall");
    let mut params = CertificateParams::new([NAME.to_owned()]).unwrap();
    (params.not_before, params.not_after) = (date_time_ymd(2001, 1, 1), date_time_ymd(2002, 1, 1));
    let expired = write(&place, &params);
    let node = Process::start(place.serve(&lines(&place))).unwrap();
    let address = listener(&node, "listening");
    assert!(node.stdout().contains("clients refuse it until it is renewed"), "{}", node.stdout());
    assert!(request_over_tls(address, &expired, "GET /livez").is_err(), "it is the client who judges");
    let (code, stdout, _) = checked(&place.path().join("config.yaml"));
    assert_eq!(code, 0);
    assert!(stdout.contains("# warning: the certificate in ") && stdout.contains("\ntls:\n  cert: "), "{stdout}");
}

#[test]
fn a_unix_socket_serves_whom_its_mode_lets_in_and_survives_a_crash() {
    let place = Place::new("fjall");
    let path = place.path().join("sessile.sock");
    let lines = format!("listen_unix: {}\nlisten_unix_mode: 0600\n", path.display());
    let get = |head: &str| asked(UnixStream::connect(&path).unwrap(), head).unwrap();
    let mut node = Process::start(place.serve(&lines)).unwrap();
    let address = node.ready();
    node.says("listening for clients on this machine");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let stored = Client::connect(address).unwrap().request("PUT", &format!("{BASE}k"), "", b"v").unwrap();
    assert_eq!(stored.status, 201);
    assert_eq!(get(&format!("GET {BASE}k")), "HTTP/1.1 200 OK", "it is the same state");

    // Another node does not take it away.
    let other = Place::new("fjall");
    let mut refused = Process::start(other.serve(&lines)).unwrap();
    assert_eq!(refused.ends().code(), Some(69));
    let stderr = refused.stderr();
    assert!(sentence(&stderr).contains("another process listens there"), "{stderr}");
    assert_eq!(get(&format!("GET {BASE}k")), "HTTP/1.1 200 OK");

    node.kill();
    assert!(path.exists());
    let mut again = Process::start(place.serve(&lines)).unwrap();
    again.ready();
    assert_eq!(get(&format!("DELETE {BASE}k")), "HTTP/1.1 204 No Content", "what was left is replaced");
}

#[test]
fn the_listener_for_operators_asks_for_a_token_over_tls_and_tells_livez_to_all() {
    let place = Place::new("fjall");
    let first = certificate(&place);
    let token = place.secret("admin.token", "a-token-of-the-tests");
    let tls = lines(&place).replace("tls:", "").trim().to_owned();
    let admin = format!("admin: {{ listen: '127.0.0.1:0', token_file: '{}', tls: {tls} }}\n", token.display());
    let mut node = Process::start(place.serve(&admin)).unwrap();
    node.ready();
    let address = listener(&node, "listening for operators");
    let get = |trusted: &CertificateDer<'static>, path: &str, token: &str| {
        // What follows is the version, as the value of a header.
        let head = format!("GET {path} HTTP/1.1\r\nAuthorization: Bearer {token}\r\nX-Version:");
        request_over_tls(address, trusted, &head)
    };
    for path in ["/", "/metrics", "/readyz"] {
        assert_eq!(get(&first, path, "a-token-of-the-tests").unwrap(), "HTTP/1.1 200 OK", "{path}");
        assert_eq!(get(&first, path, "another-of-the-tests").unwrap(), "HTTP/1.1 401 Unauthorized", "{path}");
        assert_eq!(request_over_tls(address, &first, &format!("GET {path}")).unwrap(), "HTTP/1.1 401 Unauthorized");
    }
    assert_eq!(request_over_tls(address, &first, "GET /livez").unwrap(), "HTTP/1.1 200 OK");
    assert!(Client::connect(address).unwrap().request("GET", "/livez", "", b"").is_err(), "nothing is told in clear");

    let second = certificate(&place);
    place.secret("admin.token", "a-new-token-of-the-tests");
    node.signal(Signal::HUP);
    eventually("certificate and token are the new ones", || {
        get(&second, "/metrics", "a-new-token-of-the-tests").ok().filter(|answer| answer == "HTTP/1.1 200 OK")
    });
    assert_eq!(get(&second, "/metrics", "a-token-of-the-tests").unwrap(), "HTTP/1.1 401 Unauthorized");
    place.secret("admin.token", "short");
    node.signal(Signal::HUP);
    node.says("token of admin: as before, because ");
    assert_eq!(get(&second, "/metrics", "a-new-token-of-the-tests").unwrap(), "HTTP/1.1 200 OK");
    node.signal(Signal::TERM);
    assert!(node.ends().success());
}
