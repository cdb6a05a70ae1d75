//! What each key takes, and what it does not.

use sessile_core::MAX_TTL;

use super::{parse, refused, token_in};

/// Each key at the edges of what it takes, and just beyond; what is said of what it does not take.
#[test]
fn every_key_takes_what_it_should_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let named = |length| format!("{{name: {}}}", "n".repeat(length));
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
        ("tls", vec!["{}", "{cert: '', key: }"], vec!["{cert: /c, key: /k}"], "/c cannot be read"),
        ("tls", vec![], vec!["{cert: /c}", "{key: /k}", "{cert: '', key: /k}"], "is of no use without `tls."),
        ("tls", vec!["{client_ca: ''}"], vec!["{client_ca: /c}"], "without `tls.cert` and `tls.key`; add it"),
        ("tls", vec![], vec!["true", "[]"], "must be a block of"),
        ("listen_unix", vec!["/run/s", "''", "s"], vec!["/"], "the path of a file"),
        ("listen_unix_mode", vec![], vec!["0660"], "of no use without `listen_unix`"),
        ("listen_unix", vec!["s\nlisten_unix_mode: 0600", "s\nlisten_unix_group: 0"], vec![], ""),
        ("storage", vec!["{data_dir: /a}", "{data_dir: a/b}"], vec!["{data_dir: ''}"], "the path of a directory"),
        ("storage", vec!["{engine: fjall}", "{engine: sled}"], vec!["{engine: Sled}"], "one of fjall, sled, not"),
        ("storage", vec!["{cache_mb: 8}"], vec!["{cache_mb: 7}", "{cache_mb: 1048577}"], "MiB from 8 to 1048576"),
        ("storage", vec!["{memory_mb: 64}"], vec!["{memory_mb: 63}", "{memory_mb: 1048577}"], "MiB from 64 to 1048576"),
        (
            "storage",
            vec!["{memory_mb: 512, cache_mb: 448}"],
            vec!["{memory_mb: 512, cache_mb: 449}"],
            "must leave 64 of it",
        ),
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
        ("http", vec!["{ready_patience_ms: 0}"], vec!["{ready_patience_ms: 60001}"], "from 0 to 60000"),
        (
            "shutdown",
            vec!["{grace_ms: 0}", "{grace_ms: 600000}"],
            vec!["{grace_ms: 600001}", "{grace_ms: on}"],
            "from 0 to",
        ),
        ("shutdown", vec!["{notice_ms: 0}", "{notice_ms: 600000}"], vec!["{notice_ms: 600001}"], "from 0 to 600000"),
        (
            "read_consistency",
            vec!["linearizable", "local", "~"],
            vec!["Local", "stale", "''"],
            "must be one of linearizable, local, not",
        ),
        ("read_consistency", vec![], vec!["[local]"], text),
        ("cluster", vec!["{name: n1}", "{name: N.1_x-2}"], vec!["{}", "~", "{expect: 3}"], "`cluster.name` is missing"),
        ("cluster", vec![], vec!["[n1]", "true"], "must be a block of"),
        (
            "cluster",
            vec![&named(63)],
            vec!["{name: ''}", "{name: 'n 1'}", "{name: n/1}", "{name: \u{e4}}", &named(64)],
            "`cluster.name` must be 1 to 63 characters of",
        ),
        ("cluster", vec!["{name: n, listen: '127.0.0.1:0'}"], vec!["{name: n, listen: 7081}"], "HOST:PORT"),
        (
            "cluster",
            vec![],
            vec!["{name: n, join_token_file: TOKEN, listen: '127.0.0.1:8081'}"],
            "is taken by `listen_address and listen_port`",
        ),
        (
            "cluster",
            vec!["{name: n, listen: '0.0.0.0:7081', advertise: 'n1.example:7081'}"],
            vec!["{name: n, listen: '0.0.0.0:7081'}", "{name: n, listen: '[::]:0'}"],
            "add `cluster.advertise` with",
        ),
        (
            "cluster",
            vec!["{name: n, advertise: 'n1:7081'}"],
            vec![
                "{name: n, advertise: '0.0.0.0:7081'}",
                "{name: n, advertise: '[::]:1'}",
                "{name: n, advertise: 'a:0'}",
            ],
            "`cluster.advertise`",
        ),
        ("cluster", vec![], vec!["{name: n, seeds: ['0.0.0.0:7081']}", "{name: n, seeds: ['a:0']}"], "to connect to"),
        (
            "cluster",
            vec!["{name: n, seeds: ['a:1', 'b:2']}", "{name: n, seeds: []}"],
            vec!["{name: n, seeds: [a]}"],
            "HOST",
        ),
        ("cluster", vec![], vec!["{name: n, seeds: a}"], "must be a list of texts"),
        (
            "cluster",
            vec!["{name: n, advertise: 'a:1', seeds: ['a:1', 'b:1', 'a:1'], expect: 2}"],
            vec![
                "{name: n, advertise: 'a:1', seeds: ['a:1', 'b:1'], expect: 3}",
                "{name: n, advertise: 'a:1', seeds: ['a:1', 'a:1'], expect: 2}",
                "{name: n, expect: 2}",
            ],
            "different addresses; name every first member",
        ),
        (
            "cluster",
            vec![],
            vec!["{name: n, expect: 1}", "{name: n, expect: 65}", "{name: n, expect: x}"],
            "from 2 to 64",
        ),
        ("cluster", vec![], vec!["{name: n, seeds: ['a:1', 'b:1'], expect: 2}"], "own address, 127.0.0.1:7081; add it"),
        (
            "cluster",
            vec![],
            vec!["{name: n, listen: 'a:0', seeds: ['a:1', 'b:1'], expect: 2}"],
            "give `cluster.listen` a",
        ),
        ("cluster", vec!["{name: n, autopilot: false}"], vec!["{name: n, autopilot: no}"], "must be true or false"),
        (
            "cluster",
            vec!["{name: n, listen_ms: 0, stabilise_ms: 3600000}"],
            vec!["{name: n, listen_ms: x}", "{name: n, stabilise_ms: []}", "{name: n, listen_ms: 3600001}"],
            "of milliseconds from 0 to 3600000",
        ),
        (
            "cluster",
            vec!["{name: n, dead_after_ms: 1000}", "{name: n, dead_after_ms: 604800000}"],
            vec!["{name: n, dead_after_ms: 999}", "{name: n, dead_after_ms: 604800001}"],
            "of milliseconds from 1000 to 604800000",
        ),
        (
            "cluster",
            vec!["{name: n, max_rtt_ms: 1}", "{name: n, max_rtt_ms: 400}"],
            vec!["{name: n, max_rtt_ms: 0}", "{name: n, max_rtt_ms: 401}", "{name: n, max_rtt_ms: 40ms}"],
            "of milliseconds from 1 to 400",
        ),
        ("cluster", vec![], vec!["{name: n, join_token_file: /nowhere/token}"], "cannot be read"),
        ("cluster", vec![], vec!["{name: n, join_token_file: ''}"], "must be the path of a file"),
        ("cluster", vec![], vec!["{name: n}"], "make one with `sessile cluster new-token`"),
        (
            "cluster",
            vec!["{name: n, plaintext: true}", "{name: n, plaintext: false}", "{name: n, plaintext: insecure}"],
            vec!["{name: n, plaintext: yes}", "{name: n, plaintext: []}"],
            "`cluster.plaintext` must be",
        ),
        (
            "cluster",
            vec![
                "{name: n, listen: '[::1]:1', advertise: 'localhost:1', plaintext: true}",
                "{name: n, listen: '10.0.0.1:1', plaintext: insecure}",
            ],
            vec![
                "{name: n, listen: '10.0.0.1:1', plaintext: true}",
                "{name: n, listen: '127.0.0.1:1', advertise: 'n1:1', plaintext: true}",
            ],
            "whoever reaches it would be a member",
        ),
        ("cluster", vec![], vec!["{name: n, port: 1}"], "unknown key \"port\" in `cluster`"),
        ("admin", vec![], vec!["{listen: '127.0.0.1:8081'}"], "is taken by `listen_address and listen_port`"),
        ("admin", vec![], vec!["{token_file: /t, listen: 'a:1'}"], "`admin.token_file` \"/t\" cannot be read"),
        ("admin", vec![], vec!["{tls: {cert: /c, key: /k}}"], "/c cannot be read"),
        (
            "admin",
            vec![],
            vec!["{listen: 'a:1', tls: {cert: /c}}"],
            "`admin.tls.cert` is of no use without `admin.tls.key`",
        ),
        ("admin", vec![], vec!["{tls: {}}"], "are of no use without `admin.listen`"),
        ("admin", vec![], vec!["{listen: 'a:1', tls: {certs: /c}}"], "did you mean `admin.tls.cert`?"),
        ("cluster", vec![], vec!["{name: n, join_token_file: TOKEN, operator_token_file: /t}"], "cannot be read"),
        ("admin", vec!["{}", "~", "{listen: '127.0.0.1:9081'}"], vec!["{listen: 9081}"], "HOST:PORT"),
    ] {
        for value in good {
            parse(&format!("{key}: {value}\n"));
        }
        for value in bad {
            let value = value.replace("TOKEN", &token_in(dir.path()).to_string_lossy());
            let sentence = refused(&format!("# first\n{key}: {value}\n"));
            let name = if value.starts_with('{') { key } else { &format!("`{key}`") };
            assert!(sentence.starts_with("line 2: "), "{value}: {sentence}");
            assert!(sentence.contains(said) && sentence.contains(name), "{value}: {sentence}");
        }
    }
}
