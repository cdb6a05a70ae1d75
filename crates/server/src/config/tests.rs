mod environment;
mod values;

use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use sessile_cluster::Timing;
use sessile_core::{Renewal, Ttl};
use sessile_store::engine::EngineKind;

use super::*;

/// Accepts a file. A cluster that names no join token gets one, which every cluster needs.
fn parse(yaml: &str) -> Config {
    let dir = tempfile::tempdir().unwrap();
    let yaml = with_token(yaml, &token_in(dir.path()));
    Config::parse(&yaml).unwrap_or_else(|error| panic!("{yaml:?}: {error}"))
}

fn token_in(dir: &Path) -> PathBuf {
    let path = dir.join("join.token");
    write_secret(&path, "open sesame open sesame\n");
    path
}

fn write_secret(path: &Path, secret: &str) {
    let file = std::fs::File::options().create(true).truncate(true).write(true).mode(0o600).open(path);
    file.unwrap().write_all(secret.as_bytes()).unwrap();
}

fn with_token(yaml: &str, token: &Path) -> String {
    if yaml.contains("join_token_file") {
        return yaml.to_owned();
    }
    let token = token.display();
    let yaml = yaml.replacen("cluster: {", &format!("cluster: {{join_token_file: '{token}', "), 1);
    yaml.replacen("cluster:\n", &format!("cluster:\n  join_token_file: {token}\n"), 1)
}

fn refused(yaml: &str) -> String {
    match Config::parse(yaml) {
        Ok(_) => panic!("accepted: {yaml:?}"),
        Err(error) => error.to_string(),
    }
}

fn lifetimes(config: &Config) -> (Option<u64>, Option<u64>) {
    (config.ttl.grant(None).as_secs(), config.ttl.grant(Some(Ttl::FOREVER)).as_secs())
}

#[test]
fn an_empty_file_is_all_defaults() {
    let config = parse("");
    assert_eq!(config.flavour, Flavour::Sessile);
    assert_eq!(config.service_name, "sessile");
    assert_eq!(config.base_uri.as_str(), "/sessions/v1/");
    assert_eq!(config.listen.to_string(), "127.0.0.1:8081");
    assert_eq!(lifetimes(&config), (Some(86_400), Some(366 * 86_400)));
    assert_eq!(config.log_level, LogLevel::Info);
    assert_eq!(config.openapi, OpenApi::BuiltIn);
    assert_eq!(config.storage.data_dir, Path::new("/var/lib/sessile"));
    assert_eq!(config.storage.engine, EngineKind::Fjall);
    assert_eq!((config.storage.memory_bytes, config.storage.cache_bytes), (None, None));
    assert_eq!((config.http.max_value_bytes, config.http.request_timeout.as_millis()), (1 << 20, 2_000));
    assert_eq!((config.shutdown_grace.as_millis(), config.shutdown_notice.as_millis()), (10_000, 0));
    assert_eq!(config.read_consistency, ReadConsistency::Linearizable);
    assert_eq!((&config.cluster, &config.admin), (&None, &None));
    assert_eq!(config.warnings, [""; 0]);
    for same in ["# nothing\n", "---\n", "~", "\u{feff}", "storage:\nhttp: ~\ntls: {}\ndefault_ttl: null\n"] {
        assert_eq!(parse(same), config, "{same:?}");
    }
}

#[test]
fn a_kask_file_starts_unchanged_and_what_it_leaves_out_is_kasks() {
    let bare = parse("cassandra:\n");
    assert_eq!(bare.flavour, Flavour::Kask);
    assert_eq!((bare.service_name.as_str(), bare.base_uri.as_str()), ("kask", "/v1/"));
    assert_eq!(bare.listen.to_string(), "localhost:8080");
    assert_eq!(lifetimes(&bare).0, Some(86_400));
    assert_eq!(bare.log_level, LogLevel::Info);
    assert_eq!(bare.warnings.len(), 1);
    assert!(bare.warnings[0].contains("`cassandra` has no effect"), "{}", bare.warnings[0]);

    let full = parse(include_str!("../../tests/fixtures/kask.yaml"));
    assert_eq!((full.service_name.as_str(), full.base_uri.as_str()), ("sessionstore", "/sessions/v1/"));
    assert_eq!(full.listen.to_string(), "0.0.0.0:8081");
    assert_eq!((full.log_level, &full.openapi), (LogLevel::Warning, &OpenApi::BuiltIn));
    assert_eq!(full.warnings.len(), 2);
    assert!(full.warnings[1].starts_with("line 8: `openapi_spec`"), "{}", full.warnings[1]);
    assert!(!format!("{full:?}").contains("in the clear"), "a password is kept nowhere");

    assert_eq!(parse("cassandra: [1, {2: 3}]\nlisten_address: ''\nlisten_port: 1\n").listen.to_string(), "[::]:1");
    assert!(refused("listen_address: ''\n").contains("an IP address or a host name"));
}

#[test]
fn who_may_connect_to_a_unix_socket_is_a_mode_and_a_group() {
    let unix = |lines: &str| parse(&format!("listen_unix: /run/s\n{lines}")).listen_unix.unwrap();
    assert_eq!(unix(""), ListenUnix { path: "/run/s".into(), mode: 0o660, group: None });
    let chosen = unix("listen_unix_mode: 0600\nlisten_unix_group: root\n");
    assert_eq!(chosen, ListenUnix { path: "/run/s".into(), mode: 0o600, group: Some(0) });
    for (line, said) in [
        ("listen_unix_mode: 0888", "line 2: `listen_unix_mode` must be an octal mode such as 0660, not \"0888\""),
        ("listen_unix_group: no such group", "line 2: `listen_unix_group` \"no such group\" is no group of /etc/group"),
    ] {
        let sentence = refused(&format!("listen_unix: /run/s\n{line}\n"));
        assert!(sentence.starts_with(said), "{sentence}");
    }
    assert!(refused(&format!("listen_unix: /{}\n", "s".repeat(107))).contains("of 107 bytes at most"));
    let described = parse("listen_unix: /run/s\nlisten_unix_group: 5\n");
    assert_eq!(parse(&described.describe()), described);
}

#[test]
fn a_listener_for_operators_that_others_reach_is_warned_of_unless_it_asks_for_a_token_over_tls() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let token = dir.path().join("admin.token");
    std::fs::write(&token, "a-token-of-the-tests\n").unwrap();
    std::fs::set_permissions(&token, PermissionsExt::from_mode(0o600)).unwrap();
    let token = token.display();
    for (admin, warns) in [
        ("{listen: '127.0.0.1:1'}".to_owned(), None),
        ("{listen: '10.0.0.1:1'}".to_owned(), Some("shows metrics and the status page to everybody")),
        (format!("{{listen: '0.0.0.0:1', token_file: '{token}'}}"), Some("a token that others can hear")),
        (format!("{{listen: 'localhost:1', token_file: '{token}'}}"), None),
    ] {
        let config = parse(&format!("admin: {admin}\n"));
        assert_eq!(config.warnings.len(), usize::from(warns.is_some()), "{:?}", config.warnings);
        assert!(warns.is_none_or(|warns| config.warnings[0].contains(warns)), "{:?}", config.warnings);
        assert_eq!(parse(&config.describe()), config);
    }
}

#[test]
fn values_arrive_where_they_belong() {
    let config = parse(
        "service_name: s\nbase_uri: b\nlisten_address: '::1'\nlisten_port: 1\ndefault_ttl: 2\nmax_ttl: 3\n\
         log_level: debug\nstorage: {data_dir: /d, engine: sled, memory_mb: 99, cache_mb: 9, reserve_mb: 7, log_keep_minutes: 5, log_keep_mb: 100}\nhttp: {max_value_bytes: 4, \
         request_timeout_ms: 105, header_timeout_ms: 106, body_timeout_ms: 107, idle_timeout_ms: 1008, \
         max_connections: 9, ready_patience_ms: 108}\nshutdown: {grace_ms: 10, notice_ms: 11}\nread_consistency: local\nadmin: {listen: 'a:12'}\n\
         cluster: {name: n2, listen: '[::]:13', advertise: 'n2:14', seeds: ['n1:14', 'n2:14'], expect: 2, listen_ms: 15, \
         stabilise_ms: 16, dead_after_ms: 1017, max_rtt_ms: 120, autopilot: false}\n",
    );
    let http = HttpLimits {
        max_value_bytes: 4,
        request_timeout: Duration::from_millis(105),
        header_timeout: Duration::from_millis(106),
        body_timeout: Duration::from_millis(107),
        idle_timeout: Duration::from_millis(1008),
        max_connections: 9,
        ready_patience: Duration::from_millis(108),
    };
    let storage = Storage {
        data_dir: "/d".into(),
        engine: EngineKind::Sled,
        memory_bytes: Some(99 << 20),
        cache_bytes: Some(9 << 20),
        reserve_bytes: 7 << 20,
        log_keep: Duration::from_secs(300),
        log_keep_bytes: 100 << 20,
    };
    assert_eq!((config.service_name.as_str(), config.base_uri.as_str()), ("s", "/b/"));
    assert_eq!((config.listen.to_string().as_str(), lifetimes(&config)), ("[::1]:1", (Some(2), Some(3))));
    assert_eq!((&config.http, &config.storage, config.log_level), (&http, &storage, LogLevel::Debug));
    assert_eq!(config.shutdown_grace, Duration::from_millis(10));
    assert_eq!(config.shutdown_notice, Duration::from_millis(11));
    assert_eq!(config.read_consistency, ReadConsistency::Local);
    let address = |text: &str| ListenAddress::parse(text).unwrap();
    assert_eq!(config.admin.as_ref().map(|admin| &admin.listen), Some(&address("a:12")));
    let cluster = ClusterConfig {
        name: "n2".to_owned(),
        listen: address("[::]:13"),
        advertise: Some(address("n2:14")),
        seeds: vec![address("n1:14"), address("n2:14")],
        expect: Some(2),
        join_token: config.cluster.as_ref().unwrap().join_token.clone(),
        operators: None,
        plaintext: Plaintext::No,
        listen_for: Duration::from_millis(15),
        stabilise: Duration::from_millis(16),
        dead_after: Duration::from_millis(1017),
        timing: Timing::of(Duration::from_millis(120)),
        autopilot: false,
    };
    assert_eq!(config.cluster.as_ref(), Some(&cluster));
    let member = cluster.member(1);
    assert_eq!((member.advertise.as_deref(), member.expect, member.seeds.len()), (Some("n2:14"), Some(2), 2));
    assert!(parse("storage: {data_dir: here}").storage.data_dir.is_absolute());
}

/// One of three members, as the README has it.
const THREE: &str = "cluster:\n  name: n1\n  listen: 127.0.0.1:7081\n  seeds: [127.0.0.1:7081, 127.0.0.1:7082, \
                     127.0.0.1:7083]\n  expect: 3\nadmin: { listen: 127.0.0.1:9081 }\n";

#[test]
fn a_member_advertises_where_it_listens_unless_it_says_where() {
    let member = |yaml: &str| parse(yaml).cluster.unwrap();
    let three = member(THREE);
    let defaults = (Duration::from_secs(3), Duration::from_secs(10), true);
    assert_eq!((three.listen_for, three.stabilise, three.autopilot), defaults);
    let advertised = |cluster: &ClusterConfig| cluster.member(1).advertise;
    assert_eq!(advertised(&three).as_deref(), Some("127.0.0.1:7081"));
    // Which port that is, is not known yet.
    assert_eq!(advertised(&member("cluster: {name: n1, listen: '127.0.0.1:0'}\n")), None);
    assert_eq!(member("cluster: {name: n1}\n").listen.to_string(), "127.0.0.1:7081");
    assert_eq!(parse("").cluster, None);
}

#[test]
fn it_is_told_what_follows_from_the_longest_round_trip_and_what_deadline_it_wants() {
    let near = parse(THREE);
    assert_eq!((near.warnings.len(), near.cluster.as_ref().unwrap().timing), (0, Timing::default()));
    let text = near.describe();
    assert!(
        text.contains("  max_rtt_ms: 40\n  # from max_rtt_ms follow: a heartbeat every 50 ms, answered within 190, no"),
        "{text}"
    );
    let far = "cluster: {name: n1, max_rtt_ms: 300}\n";
    let (told, enough) = (parse(far), parse(&format!("{far}http: {{request_timeout_ms: 4250}}\n")));
    assert!(told.describe().contains("a request outlasts the death of a leader within 4250 ms"), "{}", told.describe());
    assert!(told.warnings[0].starts_with("`http.request_timeout_ms` is 2000, and with `cluster.max_rtt_ms` 300 a "));
    assert_eq!(enough.warnings, [""; 0]);
    assert_eq!(parse("cluster: {name: n1, max_rtt_ms: 120}\n").warnings, [""; 0], "two seconds are enough");
}

#[test]
fn it_is_told_what_a_file_would_run_as() {
    for (yaml, said) in [
        ("", "\n# runs as a single node, which listens for no peers\n"),
        ("cassandra:\n", "\n# runs as a single node, which listens for no peers\n"),
        (THREE, "\n# runs as member n1 of a cluster of 3, or joins the one that is there\n"),
        (
            "cluster: {name: n4, seeds: ['a:1']}\n",
            "\n# runs as n4, which joins the cluster of its seeds, or waits for `",
        ),
        ("cluster: {name: n4}\n", "\n# runs as n4, which waits for `sessile cluster init` or `add-learner`\n"),
    ] {
        let text = parse(yaml).describe();
        assert!(text.contains(said), "{text}");
    }
}

#[test]
fn a_fault_of_the_cluster_names_its_own_line() {
    let dir = tempfile::tempdir().unwrap();
    for (yaml, sentence) in [
        (
            "cluster:\n  name: n1\n  seeds:\n    - a:1\n    - b\n",
            "line 5: `cluster.seeds` \"b\" is no address: HOST:PORT",
        ),
        (
            "cluster:\n  name: n1\n  listen: 0.0.0.0:1\n",
            "line 3: `cluster.listen` is 0.0.0.0:1, which no other machine",
        ),
        (
            "cluster:\n  name: n1\n  seeds: ['a:1', 'b:1']\n  expect: 2\n",
            "line 3: `cluster.seeds` lacks this node's own",
        ),
        ("cluster:\n  name: n1\n  expect: 3\n", "line 3: `cluster.expect` is 3, but `cluster.seeds` names 0 different"),
        (
            "cluster:\n  name: n1\n  sedes: []\n",
            "line 3: unknown key \"sedes\" in `cluster`; did you mean `cluster.seeds`?",
        ),
        (
            &with_token("cluster: {name: n1, listen: 'a:1'}\nadmin:\n  listen: a:1\n", &token_in(dir.path())),
            "line 3: `admin.listen` a:1 is taken by `cluster.listen` of this file; choose another port",
        ),
    ] {
        let said = refused(yaml);
        assert!(said.starts_with(sentence), "{said}");
    }
}

#[test]
fn the_join_token_is_read_with_the_configuration_and_never_shown() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("join.token");
    let yaml = format!("cluster:\n  name: n1\n  join_token_file: {}\n", path.display());
    assert!(refused(&yaml).starts_with("line 3: `cluster.join_token_file` "));
    write_secret(&path, "\n");
    assert!(refused(&yaml).contains("is empty; put a secret into it"));
    write_secret(&path, "open sesame open sesame\n");
    let config = parse(&yaml);
    assert!(!config.cluster.as_ref().unwrap().member(1).join_token.is_empty());
    assert!(!format!("{config:?}{}", config.describe()).contains("sesame"));
}

#[test]
fn the_files_in_the_readme_run_what_it_says() {
    let dir = tempfile::tempdir().unwrap();
    let token = token_in(dir.path());
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(["x".to_owned()]).unwrap().self_signed(&key).unwrap();
    for (file, text) in
        [("cert.pem", certificate.pem()), ("ca.pem", certificate.pem()), ("key.pem", key.serialize_pem())]
    {
        std::fs::write(dir.path().join(file), text).unwrap();
        std::fs::set_permissions(dir.path().join(file), std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    // Not every machine that tests run on has that group.
    let readme = include_str!("../../../../README.md").replace("www-data", "0");
    let readme = readme.replace("/etc/sessile/join.token", &token.to_string_lossy());
    let readme = readme.replace("/etc/sessile/", &format!("{}/", dir.path().display()));
    let files: Vec<_> = readme.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    let runs_as: Vec<_> = files.iter().map(|yaml| parse(yaml).describe().lines().nth(1).unwrap().to_owned()).collect();
    let alone = "# runs as a single node, which listens for no peers";
    let expected = [alone, alone, alone, "# runs as member n1 of a cluster of 3, or joins the one that is there"];
    assert_eq!(runs_as, expected);
    assert!(files.iter().all(|yaml| parse(yaml).warnings.is_empty()));
}

#[test]
fn the_maximum_lifetime_follows_a_longer_default() {
    for (yaml, expected) in [
        ("default_ttl: 60", (Some(60), Some(31_622_400))),
        ("default_ttl: 31622401", (Some(31_622_401), Some(31_622_401))),
        ("default_ttl: 0", (None, None)),
        ("default_ttl: 60\nmax_ttl: 60", (Some(60), Some(60))),
        ("default_ttl: 60\nmax_ttl: 0", (Some(60), None)),
        ("default_ttl: 0\nmax_ttl: 0", (None, None)),
    ] {
        assert_eq!(lifetimes(&parse(yaml)), expected, "{yaml}");
    }
    assert!(refused("default_ttl: 0\nmax_ttl: 5").contains("which never expires"));
}

#[test]
fn an_unknown_key_is_named_with_its_line_and_the_nearest_known_one() {
    for (yaml, sentence) in [
        ("listen_prot: 1", "line 1: unknown key \"listen_prot\"; did you mean `listen_port`?"),
        ("\nLog_Level: info", "line 2: unknown key \"Log_Level\"; did you mean `log_level`?"),
        ("storage:\n  engin: sled", "line 2: unknown key \"engin\" in `storage`; did you mean `storage.engine`?"),
        ("data_dir: /a", "line 1: unknown key \"data_dir\"; did you mean `storage.data_dir`?"),
        ("http: {grace_ms: 1}", "line 1: unknown key \"grace_ms\" in `http`; did you mean `shutdown.grace_ms`?"),
        ("tls:\n  certificate: a", "line 2: unknown key \"certificate\" in `tls`; known there: cert, key, client_ca"),
        ("a: 1\ntls:\n  cassandra: a", "line 1: unknown key \"a\"; known there: service_name, base_uri,"),
        ("\"a\\nb\": 1", "line 1: unknown key \"a\\nb\"; known"),
        ("service_name: a\nservice_name: b", "line 2: `service_name` stands here a second time; keep one of them"),
        ("http:\n  max_connections: 1\n  max_connections: 1", "line 3: `http.max_connections` stands here a second"),
        ("[a]: 1", "line 1: a key must be a name, not a list"),
    ] {
        let said = refused(yaml);
        assert!(said.starts_with(sentence), "{yaml:?}: {said}");
    }
    assert!(refused(&format!("{}: 1", "x".repeat(500))).contains("xxx…\""), "a long key is cut");
}

#[test]
fn what_is_no_configuration_is_refused_with_its_line() {
    for (yaml, sentence) in [
        ("a: 1\n b: 2", "line 2: this is not YAML: "),
        ("tls:\n\tcert: a", "line 2: this is not YAML: tabs"),
        ("- a", "line 1: this file must be a block of `key: value` lines, not a list"),
        ("just words", "line 1: this file must be a block of"),
        ("---\n---\nlog_level: info\n", "line 3: a second document begins here"),
        ("service_name: !!str 1", "line 1: `service_name` must be a text, not a tag"),
        ("service_name: &a b\nbase_uri: *a", "line 2: `base_uri` must be a text, not an alias"),
        (&format!("cassandra:\n  {}{}", "[".repeat(40), "]".repeat(40)), "line 2: this nests deeper than 32"),
        (&format!("cassandra: {}", "[".repeat(100_000)), "line 1: this is not YAML"),
        (&format!("cassandra:\n  {}", "- ".repeat(100_000)), "line 2: this nests deeper than 32"),
        (&" ".repeat(1024 * 1024 + 1), "longer than 1048576 bytes"),
    ] {
        let said = refused(yaml);
        assert!(said.starts_with(sentence), "{said}");
    }
    assert_eq!(parse(&" ".repeat(1024 * 1024)), parse(""));
}

#[test]
fn a_file_that_cannot_be_read_whole_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("config.yaml");
    let refused = || Config::load(&file, &Environment::default()).unwrap_err().to_string();
    assert!(refused().starts_with(&format!("{}: cannot be read (", file.display())));
    std::fs::write(&file, "listen_port: 1\n# \u{e9}\n").unwrap();
    assert_eq!(Config::load(&file, &Environment::default()).unwrap().listen.port(), 1);
    std::fs::write(&file, b"listen_port: 1\n# \xe9\n").unwrap();
    assert_eq!(refused(), format!("{}, line 2: this is not UTF-8; save the file as UTF-8", file.display()));
    std::fs::write(&file, "listen_port: x\n").unwrap();
    assert!(refused().starts_with(&format!("{}, line 1: `listen_port` must be", file.display())));
    std::fs::write(&file, vec![b'#'; 1024 * 1024 + 1]).unwrap();
    assert!(refused().contains("larger than 1048576 bytes"));
    assert!(Config::load(dir.path(), &Environment::default()).is_err());
}

#[test]
fn the_openapi_file_is_read_with_the_configuration() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("openapi.yaml");
    let yaml = format!("openapi_spec: {}\n", path.display());
    assert!(refused(&yaml).contains("leave it out for the built-in one"));
    std::fs::write(&path, "openapi: 3.0.0\n").unwrap();
    assert_eq!(parse(&yaml).openapi, OpenApi::File { path: path.clone(), content: "openapi: 3.0.0\n".to_owned() });
    std::fs::write(&path, vec![b'#'; 1024 * 1024 + 1]).unwrap();
    assert!(refused(&yaml).contains("larger than 1048576 bytes"));
}

const TWO_NAMESPACES: &str = "base_uri: /s\nnamespaces:\n  - {name: echo, base_uri: /echoseen/v1, default_ttl: 31536000, \
                              max_keys: 7, read_consistency: local, priority: 10, renew: half}\n";

#[test]
fn a_file_names_namespaces_beside_sessions_or_with_it() {
    let config = parse(TWO_NAMESPACES);
    let [sessions, echo] = &config.namespaces[..] else { panic!("{:?}", config.namespaces) };
    assert_eq!((sessions.name.as_str(), sessions.base_uri.as_str()), ("sessions", "/s/"));
    assert_eq!((echo.name.as_str(), echo.base_uri.as_str(), echo.max_keys), ("echo", "/echoseen/v1/", 7));
    assert_eq!(echo.ttl.default_ttl().as_secs(), Some(31_536_000));
    assert_eq!(echo.ttl.max_ttl().as_secs(), Some(366 * 86_400), "a year at the least");
    assert_eq!((sessions.renewal, echo.renewal), (Renewal::Never, Renewal::Half));
    assert_eq!(parse("").namespaces.len(), 1);
    let listed = parse("namespaces: [{name: sessions, base_uri: /s, default_ttl: 5, max_ttl: 5}]\n");
    assert_eq!((listed.base_uri.as_str(), listed.ttl.max_ttl().as_secs()), ("/s/", Some(5)));
}

#[test]
fn a_fault_of_a_namespace_names_its_own_line() {
    for (yaml, sentence) in [
        ("namespaces:\n  - {base_uri: /a}\n", "line 2: a namespace needs `name`"),
        ("namespaces:\n  - {name: a}\n", "line 2: a namespace needs `base_uri`"),
        ("namespaces:\n  - {name: a, base_uri: /a,\n     renew: often}\n", "line 3: `namespaces.renew`"),
        ("namespaces:\n  - {name: A, base_uri: /a}\n", "line 2: `namespaces.name` \"A\" is none"),
        (
            "namespaces:\n  - {name: a, base_uri: /a//b}\n",
            "line 2: `namespaces.base_uri` must not have an empty segment",
        ),
        ("namespaces:\n  - {name: a, base_uri: /a, default_ttl: 9, max_ttl: 8}\n", "`namespaces.max_ttl` is below"),
        ("namespaces:\n  - {name: a, base_uri: /a, max_keys: -1}\n", "`namespaces.max_keys` must be a whole number"),
        ("namespaces:\n  - {name: a, base_url: /a}\n", "did you mean `namespaces.base_uri`?"),
        (
            "namespaces:\n  - {name: a, base_uri: /a}\n  - {name: a, base_uri: /b}\n",
            "line 3: `namespaces` has a a second time",
        ),
        ("namespaces:\n  - {name: a, base_uri: /sessions}\n", "overlaps with that of `sessions`, /sessions/v1/"),
        ("base_uri: /s\nnamespaces:\n  - {name: sessions, base_uri: /t}\n", "`base_uri` at the top has no effect"),
        ("namespaces: {name: a}\n", "`namespaces` must be a list of blocks"),
    ] {
        let told = refused(yaml);
        assert!(told.contains(sentence), "{told}");
    }
    let many: String = (0..300).map(|number| format!("  - {{name: n{number}, base_uri: /n{number}}}\n")).collect();
    assert!(refused(&format!("namespaces:\n{many}")).contains("`namespaces` has 300 of them; at most 256"));
}

#[test]
fn what_is_described_is_a_file_that_gives_the_same_node() {
    let dir = tempfile::tempdir().unwrap();
    let token = token_in(dir.path());
    for yaml in [
        "",
        "service_name: \"a\\\"b: #'\"\ndefault_ttl: 0\nlisten_address: '::1'\nstorage: {data_dir: '/a b', engine: sled}\n",
        include_str!("../../tests/fixtures/kask.yaml"),
        "cluster: {name: n1}\nread_consistency: local\n",
        TWO_NAMESPACES,
        "namespaces: [{name: sessions, base_uri: /s, max_keys: 9, max_value: 5}]\n",
        "cluster: {name: n1, plaintext: true}\n",
        "cluster: {name: n1, plaintext: insecure, listen: '10.0.0.1:7081'}\n",
        "cluster: {name: '1', listen: 'localhost:0', autopilot: false}\nadmin: {listen: '[::1]:0'}\n",
        THREE,
        "cassandra:\nlisten_address: ''\nmax_ttl: 0\nhttp: {max_value_bytes: 7}\nshutdown: {grace_ms: 1}\n",
    ] {
        let config = parse(&with_token(yaml, &token));
        let again = parse(&config.describe());
        assert_eq!(again, Config { flavour: Flavour::Sessile, warnings: Vec::new(), ..config });
    }
    let text = parse("cassandra:\nbase_uri: /\n").describe();
    assert_eq!(text.lines().filter(|line| line.starts_with("# warning: ")).count(), 2, "{text}");
}
