//! The session API over TLS: what is spoken, whose certificate it is, and what becomes of handshakes that do not end.

use std::fs;
use std::time::Duration;

use rcgen::{BasicConstraints, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::version::{TLS12, TLS13};
use sessile_http::{HttpMetrics, Limits, Tls, TlsFiles};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_util::sync::CancellationToken;

use crate::certificates::{NAME, Pair, Place, client_config, clock, connect, get, pair, pair_of, params, world};
use crate::client::PATIENCE;
use crate::frames::{PREFACE, SETTINGS, frame};
use crate::world::World;

const SHORT: Duration = Duration::from_millis(50);

#[tokio::test]
async fn both_versions_of_tls_carry_both_versions_of_http() {
    let pair = pair();
    let tls = Place::with(&pair).load();
    let world = world(&tls, Limits::default()).await;
    for version in [&TLS12, &TLS13] {
        for offered in [&[][..], &[&b"http/1.1"[..]], &[b"h2", b"http/1.1"], &[b"h2"]] {
            let mut config = client_config(&pair.der, version, None);
            config.alpn_protocols = offered.iter().map(|protocol| protocol.to_vec()).collect();
            let mut stream = connect(world.address, config, NAME).await.unwrap();
            assert_eq!(stream.get_ref().1.alpn_protocol(), offered.first().copied());
            assert_eq!(stream.get_ref().1.protocol_version(), Some(version.version));
            if offered.first() == Some(&&b"h2"[..]) {
                stream.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()).await.unwrap();
                let mut head = [0; 9];
                stream.read_exact(&mut head).await.unwrap();
                assert_eq!(head[3], SETTINGS);
            } else {
                assert_eq!(get(&mut stream).await.unwrap(), "HTTP/1.1 200 OK");
            }
        }
    }
}

#[tokio::test]
async fn who_speaks_in_clear_or_another_protocol_gets_no_answer() {
    let pair = pair();
    let world = world(&Place::with(&pair).load(), Limits::default()).await;
    let mut client = world.client().await;
    client.send("GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(client.answer_is_none().await);
    let mut config = client_config(&pair.der, &TLS13, None);
    config.alpn_protocols = vec![b"spdy/1".to_vec()];
    assert!(connect(world.address, config, NAME).await.is_err());
    world.eventually("sessile_http_connections_closed_total", &["reason=\"handshake_failed\""], 2.0).await;
}

#[tokio::test]
async fn a_handshake_has_the_time_of_a_header() {
    let pair = pair();
    let world = world(&Place::with(&pair).load(), Limits { header_timeout: SHORT, ..Limits::default() }).await;
    for hello in [&b""[..], b"\x16\x03\x01\x02\x00\x01"] {
        let mut client = world.client().await;
        client.send(hello).await;
        assert!(client.answer_is_none().await);
    }
    world.eventually("sessile_http_connections_closed_total", &["reason=\"handshake_timeout\""], 2.0).await;
}

#[tokio::test]
async fn a_handshake_does_not_hold_up_the_end_of_a_server() {
    let pair = pair();
    let mut world = world(&Place::with(&pair).load(), Limits { drain_idle: SHORT, ..Limits::default() }).await;
    let mut client = world.client().await;
    client.send(b"\x16\x03\x01").await;
    world.eventually("sessile_http_connections", &[], 1.0).await;
    world.shutdown.cancel();
    assert_eq!(world.drained().await, sessile_http::Drained { cut_off: 0 });
}

/// Waits until new connections get that certificate.
async fn eventually_served(world: &World, pair: &Pair) {
    let served = async {
        while connect(world.address, client_config(&pair.der, &TLS13, None), NAME).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, served).await.expect("the new certificate is never served");
}

#[tokio::test]
async fn a_renewed_certificate_is_served_by_itself_and_when_told() {
    let (first, second, third) = (pair(), pair(), pair());
    let place = Place::with(&first);
    let tls = place.load();
    let (world, stop) = (world(&tls, Limits::default()).await, CancellationToken::new());
    let mut of_before = connect(world.address, client_config(&first.der, &TLS13, None), NAME).await.unwrap();
    let mut watch = tokio::task::JoinSet::new();
    watch.spawn(tls.clone().watch(Duration::from_millis(1), stop.clone()));
    place.write(&second.cert, &second.key.serialize_pem());
    eventually_served(&world, &second).await;
    stop.cancel();
    watch.join_next().await;
    place.write(&third.cert, &third.key.serialize_pem());
    assert!(tls.reload().unwrap().contains("cert.pem is in use"));
    eventually_served(&world, &third).await;
    assert_eq!(get(&mut of_before).await.unwrap(), "HTTP/1.1 200 OK", "who is connected stays so");
}

fn counted(registry: &prometheus::Registry) -> HttpMetrics {
    HttpMetrics::register(registry).unwrap()
}

#[tokio::test]
async fn what_cannot_be_used_is_refused_with_file_and_cure_and_the_one_of_before_stays() {
    let (first, other) = (pair(), pair());
    let registry = prometheus::Registry::new();
    let place = Place::with(&first);
    let tls = Tls::load(place.files(), clock, Some((&counted(&registry), "api"))).unwrap();
    let world = world(&tls, Limits::default()).await;
    let (cert, key) = (&first.cert, first.key.serialize_pem());
    let encrypted = key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    let rubbish = "-----BEGIN CERTIFICATE-----\ncnViYmlzaA==\n-----END CERTIFICATE-----\n";
    let rubbish_key = rubbish.replace("CERTIFICATE", "PRIVATE KEY");
    let table = [
        ("", &*key, "cert.pem holds no certificate in PEM", "BEGIN CERTIFICATE"),
        ("rubbish", &key, "cert.pem holds no certificate in PEM", "BEGIN CERTIFICATE"),
        (&key, &key, "cert.pem holds no certificate in PEM", "BEGIN CERTIFICATE"),
        ("-----BEGIN CERTIFICATE-----\n", &key, "cert.pem holds no certificate in PEM", "BEGIN CERTIFICATE"),
        (rubbish, &key, "the certificate in ", "replace it"),
        (cert, "", "key.pem holds no unencrypted private key in PEM", "BEGIN PRIVATE KEY"),
        (cert, cert, "key.pem holds no unencrypted private key in PEM", "BEGIN PRIVATE KEY"),
        (cert, &encrypted, "key.pem holds no unencrypted private key in PEM", "BEGIN PRIVATE KEY"),
        (cert, &rubbish_key, "the private key in ", "replace it"),
        (&other.cert, &key, "is not that of the certificate", "put a pair there"),
    ];
    for (cert, key, what, cure) in table {
        place.write(cert, key);
        for error in [Tls::load(place.files(), clock, None).err().unwrap(), tls.reload().unwrap_err()] {
            let error = error.to_string();
            assert!(error.contains(what) && error.contains(cure), "{error}");
            assert!(error.contains(place.path("").to_str().unwrap()) && !error.contains("cnVi"), "{error}");
        }
    }
    fs::remove_file(place.path("key.pem")).unwrap();
    let gone = tls.reload().unwrap_err().to_string();
    assert!(gone.contains("key.pem cannot be read") && gone.contains("correct the path"), "{gone}");
    eventually_served(&world, &first).await;
    let text = sessile_http::render(&registry);
    assert!(text.contains("sessile_tls_reloads_total{listener=\"api\",result=\"failed\"} 11"), "{text}");
    place.write(&other.cert, &other.key.serialize_pem());
    tls.reload().unwrap();
    eventually_served(&world, &other).await;
    let text = sessile_http::render(&registry);
    assert!(text.contains("sessile_tls_reloads_total{listener=\"api\",result=\"used\"} 1"), "{text}");
}

#[tokio::test]
async fn what_fails_is_tried_again_when_it_changes_and_not_before() {
    let first = pair();
    let registry = prometheus::Registry::new();
    let place = Place::with(&first);
    let tls = Tls::load(place.files(), clock, Some((&counted(&registry), "api"))).unwrap();
    let (world, stop) = (world(&tls, Limits::default()).await, CancellationToken::new());
    let mut watch = tokio::task::JoinSet::new();
    watch.spawn(tls.clone().watch(Duration::from_millis(1), stop.clone()));
    let failed = |count: u64| {
        let registry = registry.clone();
        async move {
            let line = format!("sessile_tls_reloads_total{{listener=\"api\",result=\"failed\"}} {count}");
            while !sessile_http::render(&registry).contains(&line) {
                tokio::task::yield_now().await;
            }
        }
    };
    place.write("rubbish", "rubbish");
    tokio::time::timeout(PATIENCE, failed(1)).await.expect("it is tried");
    let second = pair();
    place.write(&second.cert, &second.key.serialize_pem());
    eventually_served(&world, &second).await;
    failed(1).await;
    stop.cancel();
}

#[tokio::test]
async fn a_certificate_that_clients_will_refuse_is_served_with_a_warning() {
    let mut expired = params(NAME);
    (expired.not_before, expired.not_after) = (date_time_ymd(2001, 1, 1), date_time_ymd(2026, 11, 20));
    let mut early = params(NAME);
    (early.not_before, early.not_after) = (date_time_ymd(2026, 12, 5), date_time_ymd(2099, 1, 1));
    for (params, word, days) in [(expired, "expired 10 days ago", -10.0), (early, "valid in 5 days only", 26_330.0)] {
        let pair = pair_of(&params);
        let registry = prometheus::Registry::new();
        let place = Place::with(&pair);
        let tls = Tls::load(place.files(), clock, Some((&counted(&registry), "api"))).unwrap();
        let warnings = tls.warnings().join("\n");
        assert!(warnings.contains(word), "{warnings}");
        let text = sessile_http::render(&registry);
        assert!(
            text.contains(&format!("sessile_tls_certificate_seconds_left{{listener=\"api\"}} {}\n", days * 86_400.0)),
            "{text}"
        );
        let world = world(&tls, Limits::default()).await;
        let refused = connect(world.address, client_config(&pair.der, &TLS13, None), NAME).await;
        assert!(refused.is_err(), "it is the client who judges");
    }
    // One for another name.
    let other = pair_of(&params("other.example"));
    let world = world(&Place::with(&other).load(), Limits::default()).await;
    assert!(connect(world.address, client_config(&other.der, &TLS13, None), NAME).await.is_err());
    let mut stream = connect(world.address, client_config(&other.der, &TLS13, None), "other.example").await.unwrap();
    assert_eq!(get(&mut stream).await.unwrap(), "HTTP/1.1 200 OK");
}

#[tokio::test]
async fn a_key_that_everybody_can_read_is_worth_a_warning() {
    use std::os::unix::fs::PermissionsExt as _;
    let place = Place::with(&pair());
    for (mode, warnings) in [(0o600, 0), (0o640, 0), (0o644, 1)] {
        fs::set_permissions(place.path("key.pem"), fs::Permissions::from_mode(mode)).unwrap();
        let said = place.load().warnings();
        assert_eq!(said.len(), warnings, "{said:?}");
        assert!(said.iter().all(|said| said.contains("key.pem can be read by every user") && said.contains("chmod")));
    }
}

#[tokio::test]
async fn with_client_ca_only_those_whom_it_vouches_for_are_served() {
    let server = pair();
    let place = Place::with(&server);
    let mut authority = params("authority.example");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_key = KeyPair::generate().unwrap();
    let authority_cert = authority.self_signed(&authority_key).unwrap();
    let issuer = Issuer::new(authority, authority_key);
    let key = KeyPair::generate().unwrap();
    let cert = params("client.example").signed_by(&key, &issuer).unwrap();
    let known = Pair { cert: cert.pem(), der: cert.der().clone(), key };
    fs::write(place.path("ca.pem"), authority_cert.pem()).unwrap();
    let files = TlsFiles { client_ca: Some(place.path("ca.pem")), ..place.files() };
    let tls = Tls::load(files.clone(), clock, None).unwrap();
    let world = world(&tls, Limits::default()).await;
    for version in [&TLS12, &TLS13] {
        for (identity, is_served) in [(None, false), (Some(&pair()), false), (Some(&known), true)] {
            let config = client_config(&server.der, version, identity);
            let answer = match connect(world.address, config, NAME).await {
                Ok(mut stream) => get(&mut stream).await,
                Err(error) => Err(error),
            };
            assert_eq!(answer.is_ok(), is_served, "{answer:?}");
        }
    }
    fs::write(place.path("ca.pem"), "rubbish").unwrap();
    let error = Tls::load(files, clock, None).err().unwrap().to_string();
    assert!(error.contains("ca.pem holds no certificate in PEM"), "{error}");
}
