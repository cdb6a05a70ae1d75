use super::*;
use sessile_core::{MAX_TTL, Ttl};

fn parse(yaml: &str) -> Config {
    Config::parse(yaml).unwrap_or_else(|error| panic!("{yaml:?}: {error}"))
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
    assert_eq!((config.storage.engine, config.storage.cache_bytes), (EngineKind::Fjall, 256 << 20));
    assert_eq!((config.http.max_value_bytes, config.http.request_timeout.as_millis()), (1 << 20, 2_000));
    assert_eq!(config.shutdown_grace.as_millis(), 10_000);
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

/// Each key at the edges of what it takes, and just beyond; what is said of what it does not take.
#[test]
fn every_key_takes_what_it_should_and_nothing_else() {
    let year = MAX_TTL.as_secs();
    let text = "must be a text, not a list";
    for (key, good, bad, said) in [
        ("service_name", vec!["a", "'123'", "123", "true"], vec!["''", "\"a\\n\""], "must be 1 to 128 bytes"),
        ("service_name", vec![], vec!["[a]"], text),
        ("base_uri", vec!["/", "''", "v1", "/a/b/"], vec!["//", "/a%20", "'/a b'", "/a?b"], "`base_uri` must"),
        ("base_uri", vec![], vec!["[]"], text),
        ("listen_address", vec!["localhost", "'::1'", "'[::1]'", "0.0.0.0"], vec!["1.2.3", "a b", "h:1"], "is no host"),
        ("listen_port", vec!["0", "1", "65535", "8_081"], vec!["65536", "-1", "'8081'", "080", "1.5", "x"], "65535"),
        ("listen_port", vec![], vec!["99999999999999999999999", "[1]", "{a: 1}", "0x50", "_1"], "a whole number from"),
        (
            "default_ttl",
            vec!["0", "1", &year.to_string()],
            vec!["-1", &(year + 1).to_string(), "1d"],
            "of seconds from",
        ),
        ("max_ttl", vec!["0", "86400", &year.to_string()], vec!["-1", "x"], "of seconds from 0"),
        ("max_ttl", vec![], vec!["86399", "1"], "`max_ttl` is below `default_ttl`, 86400 s"),
        ("log_level", vec!["debug", "INFO", "Warning", "error", "fatal"], vec!["warn", "''"], "one of debug, info"),
        ("openapi_spec", vec!["''", "~"], vec!["/nowhere/at/all.yaml", "/"], "cannot be read"),
        ("tls", vec!["{}", "{cert: '', key: }"], vec!["{cert: /c, key: /k}", "{cert: /c}", "{key: /k}"], "in front"),
        ("tls", vec![], vec!["true", "[]"], "must be a block of"),
        ("storage", vec!["{data_dir: /a}", "{data_dir: a/b}"], vec!["{data_dir: ''}"], "the path of a directory"),
        ("storage", vec!["{engine: fjall}", "{engine: sled}"], vec!["{engine: Sled}"], "one of fjall, sled, not"),
        ("storage", vec!["{cache_mb: 8}"], vec!["{cache_mb: 7}", "{cache_mb: 1048577}"], "MiB from 8 to 1048576"),
        (
            "http",
            vec!["{max_value_bytes: 1}", "{max_value_bytes: 4194304}"],
            vec!["{max_value_bytes: 0}"],
            "1 to 4194304",
        ),
        ("http", vec![], vec!["{max_value_bytes: 4194305}"], "`http.max_value_bytes` must be"),
        ("http", vec!["{request_timeout_ms: 100}"], vec!["{request_timeout_ms: 99}"], "from 100 to 60000"),
        ("http", vec!["{header_timeout_ms: 60000}"], vec!["{header_timeout_ms: 60001}"], "from 100 to 60000"),
        ("http", vec!["{body_timeout_ms: 100}"], vec!["{body_timeout_ms: 5s}"], "of milliseconds"),
        ("http", vec!["{idle_timeout_ms: 1000}"], vec!["{idle_timeout_ms: 999}"], "from 1000 to 86400000"),
        ("http", vec!["{max_connections: 1}"], vec!["{max_connections: 0}"], "number from 1 to 100000"),
        (
            "shutdown",
            vec!["{grace_ms: 0}", "{grace_ms: 600000}"],
            vec!["{grace_ms: 600001}", "{grace_ms: on}"],
            "from 0 to",
        ),
        (
            "cluster",
            vec!["{}", "{name: n1}", "{expect: 1}"],
            vec!["{expect: 3}"],
            "runs a single node; remove `cluster`",
        ),
        ("cluster", vec!["{listen: 'a:1', seeds: ['a:1']}"], vec!["{seeds: ['a:1']}"], "`cluster.seeds` names another"),
        ("cluster", vec!["{autopilot: false}"], vec!["{autopilot: no}"], "must be true or false"),
        ("cluster", vec!["{listen_ms: 5}"], vec!["{listen_ms: x}", "{stabilise_ms: []}"], "of milliseconds"),
        ("cluster", vec!["{join_token_file: /a}"], vec!["{seeds: a}"], "must be a list of texts"),
        ("admin", vec!["{}", "{listen: '127.0.0.1:9081'}"], vec!["{listen: 9081}"], "HOST:PORT"),
    ] {
        for value in good {
            parse(&format!("{key}: {value}\n"));
        }
        for value in bad {
            let sentence = refused(&format!("# first\n{key}: {value}\n"));
            let name = if value.starts_with('{') { key } else { &format!("`{key}`") };
            assert!(sentence.starts_with("line 2: "), "{value}: {sentence}");
            assert!(sentence.contains(said) && sentence.contains(name), "{value}: {sentence}");
        }
    }
}

#[test]
fn values_arrive_where_they_belong() {
    let config = parse(
        "service_name: s\nbase_uri: b\nlisten_address: '::1'\nlisten_port: 1\ndefault_ttl: 2\nmax_ttl: 3\n\
         log_level: debug\nstorage: {data_dir: /d, engine: sled, cache_mb: 9, reserve_mb: 7}\nhttp: {max_value_bytes: 4, \
         request_timeout_ms: 105, header_timeout_ms: 106, body_timeout_ms: 107, idle_timeout_ms: 1008, \
         max_connections: 9}\nshutdown: {grace_ms: 10}\n",
    );
    let http = HttpLimits {
        max_value_bytes: 4,
        request_timeout: Duration::from_millis(105),
        header_timeout: Duration::from_millis(106),
        body_timeout: Duration::from_millis(107),
        idle_timeout: Duration::from_millis(1008),
        max_connections: 9,
    };
    let storage =
        Storage { data_dir: "/d".into(), engine: EngineKind::Sled, cache_bytes: 9 << 20, reserve_bytes: 7 << 20 };
    assert_eq!((config.service_name.as_str(), config.base_uri.as_str()), ("s", "/b/"));
    assert_eq!((config.listen.to_string().as_str(), lifetimes(&config)), ("[::1]:1", (Some(2), Some(3))));
    assert_eq!((&config.http, &config.storage, config.log_level), (&http, &storage, LogLevel::Debug));
    assert_eq!(config.shutdown_grace, Duration::from_millis(10));
    assert!(parse("storage: {data_dir: here}").storage.data_dir.is_absolute());
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
        ("tls:\n  certificate: a", "line 2: unknown key \"certificate\" in `tls`; known there: cert, key"),
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
    let refused = || Config::load(&file).unwrap_err().to_string();
    assert!(refused().starts_with(&format!("{}: cannot be read (", file.display())));
    std::fs::write(&file, "listen_port: 1\n# \u{e9}\n").unwrap();
    assert_eq!(Config::load(&file).unwrap().listen.port(), 1);
    std::fs::write(&file, b"listen_port: 1\n# \xe9\n").unwrap();
    assert_eq!(refused(), format!("{}, line 2: this is not UTF-8; save the file as UTF-8", file.display()));
    std::fs::write(&file, "listen_port: x\n").unwrap();
    assert!(refused().starts_with(&format!("{}, line 1: `listen_port` must be", file.display())));
    std::fs::write(&file, vec![b'#'; 1024 * 1024 + 1]).unwrap();
    assert!(refused().contains("larger than 1048576 bytes"));
    assert!(Config::load(dir.path()).is_err());
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

#[test]
fn what_is_described_is_a_file_that_gives_the_same_node() {
    for yaml in [
        "",
        "service_name: \"a\\\"b: #'\"\ndefault_ttl: 0\nlisten_address: '::1'\nstorage: {data_dir: '/a b', engine: sled}\n",
        include_str!("../../tests/fixtures/kask.yaml"),
        "cassandra:\nlisten_address: ''\nmax_ttl: 0\nhttp: {max_value_bytes: 7}\nshutdown: {grace_ms: 1}\n",
    ] {
        let config = parse(yaml);
        let again = parse(&config.describe());
        assert_eq!(again, Config { flavour: Flavour::Sessile, warnings: Vec::new(), ..config });
    }
    let text = parse("cluster: {expect: 1}\nadmin: {listen: 'localhost:1'}\nbase_uri: /\n").describe();
    assert_eq!(text.lines().filter(|line| line.starts_with("# warning: ")).count(), 3, "{text}");
}
