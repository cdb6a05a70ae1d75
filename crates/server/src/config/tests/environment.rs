//! What the environment says in the place of the file.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::Path;

use super::super::environment::known;
use super::super::keys::Takes;
use super::super::{Config, Environment};
use super::{token_in, with_token};

fn environment(variables: &[(&str, &str)]) -> Environment {
    Environment::of(variables.iter().map(|(name, value)| ((*name).into(), (*value).into())))
}

/// What comes of a file of that text, with those variables.
fn load(yaml: &str, variables: &[(&str, &str)]) -> Result<(Config, String), String> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("config.yaml");
    let token = token_in(dir.path());
    std::fs::write(&file, with_token(yaml, &token)).unwrap();
    let named = [variables, &[("SESSILE_CLUSTER_JOIN_TOKEN_FILE", token.to_str().unwrap())]].concat();
    let makes_a_cluster = !yaml.contains("cluster") && variables.iter().any(|(name, _)| name.contains("_CLUSTER_"));
    let environment = environment(if makes_a_cluster { &named } else { variables });
    let (config, origins) = Config::trace(&file, &environment)
        .map_err(|error| error.to_string().replace(file.to_str().unwrap(), "FILE"))?;
    let shown = config.describe_with(&origins);
    let again = Config::parse(&shown).unwrap();
    assert_eq!(again, Config { warnings: Vec::new(), ..config.clone() }, "what is shown is another node's file");
    Ok((config, shown))
}

#[test]
fn what_differs_from_machine_to_machine_may_stand_in_the_environment() {
    let file = "listen_port: 1\ncluster:\n  name: all\n  seeds: ['n1:7081', 'n2:7081']\n";
    let (config, _) = load(
        file,
        &[
            ("SESSILE_CLUSTER_NAME", "n2"),
            ("SESSILE_CLUSTER_LISTEN", "0.0.0.0:7081"),
            ("SESSILE_CLUSTER_ADVERTISE", "n2:7081"),
            ("SESSILE_CLUSTER_EXPECT", "2"),
            ("SESSILE_LISTEN_ADDRESS", "10.0.0.2"),
            ("SESSILE_STORAGE_DATA_DIR", "/data"),
            ("SESSILE_ADMIN_LISTEN", "127.0.0.1:9081"),
            ("SESSILE_LISTEN_PORT", ""),
        ],
    )
    .unwrap();
    let cluster = config.cluster.unwrap();
    assert_eq!((cluster.name.as_str(), cluster.expect), ("n2", Some(2)));
    assert_eq!(cluster.advertise.unwrap().to_string(), "n2:7081");
    assert_eq!(config.listen.to_string(), "10.0.0.2:1", "an empty variable is none");
    assert_eq!(config.storage.data_dir, Path::new("/data"));
    assert_eq!(config.admin.unwrap().listen.to_string(), "127.0.0.1:9081");
    assert_eq!(config.warnings, [""; 0]);
}

#[test]
fn a_block_that_the_file_does_not_have_is_made_by_a_variable() {
    for file in ["", "cluster:\n", "# nothing\n", "storage: {data_dir: /a}\n"] {
        let (config, _) = load(
            file,
            &[
                ("SESSILE_CLUSTER_NAME", "n1"),
                ("SESSILE_CLUSTER_SEEDS", "n1:1, n2:1,"),
                ("SESSILE_CLUSTER_AUTOPILOT", "false"),
            ],
        )
        .unwrap();
        let cluster = config.cluster.unwrap();
        let seeds: Vec<_> = cluster.seeds.iter().map(ToString::to_string).collect();
        assert_eq!((seeds, cluster.autopilot), (vec!["n1:1".to_owned(), "n2:1".to_owned()], false));
    }
}

#[test]
fn a_bad_value_of_a_variable_is_refused_as_in_the_file_and_by_its_name() {
    for (file, name, value, said) in [
        (
            "",
            "SESSILE_HTTP_MAX_CONNECTIONS",
            "x",
            "`http.max_connections` must be a whole number from 1 to 100000, not \"x\"",
        ),
        ("http: {max_connections: 5}\n", "SESSILE_HTTP_MAX_CONNECTIONS", "0", "`http.max_connections` must be a whole"),
        ("", "SESSILE_CLUSTER_AUTOPILOT", "yes", "`cluster.name` is missing"),
        ("cluster: {name: n1}\n", "SESSILE_CLUSTER_AUTOPILOT", "yes", "`cluster.autopilot` must be true or false"),
        ("cluster: {name: n1}\n", "SESSILE_CLUSTER_NAME", "n 1", "`cluster.name` must be 1 to 63 characters"),
        ("cluster: {name: n1}\n", "SESSILE_CLUSTER_SEEDS", "n1:1,n2", "`cluster.seeds` \"n2\" is no address"),
        (
            "cluster: {name: n1}\n",
            "SESSILE_CLUSTER_LISTEN",
            "127.0.0.1:8081",
            "`cluster.listen` 127.0.0.1:8081 is taken by",
        ),
        (
            "",
            "SESSILE_LOG_LEVEL",
            "loud",
            "`log_level` must be one of debug, info, warning, error, fatal, not \"loud\"",
        ),
        ("", "SESSILE_STORAGE_ENGINE", "null", "`storage.engine` must be one of fjall, sled, not \"null\""),
        ("", "SESSILE_ADMIN_TLS_CERT", "/c", "`admin.tls.cert` is of no use without `admin.tls.key`"),
    ] {
        let refused = load(file, &[(name, value)]).unwrap_err();
        assert!(refused.starts_with(&format!("{name} in the environment: {said}")), "{refused}");
    }
    let refused = load("cluster: 5\n", &[("SESSILE_CLUSTER_NAME", "n1")]).unwrap_err();
    assert!(refused.starts_with("FILE, line 1: `cluster` must be a block of"), "{refused}");
    let odd = Environment::of([(OsString::from("SESSILE_LOG_LEVEL"), OsString::from_vec(vec![0xff]))]);
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("c"), "").unwrap();
    let refused = Config::load(&dir.path().join("c"), &odd).unwrap_err().to_string();
    assert_eq!(refused, "SESSILE_LOG_LEVEL in the environment: the value is not UTF-8; correct it");
}

#[test]
fn a_variable_that_looks_like_a_key_is_warned_of_and_one_that_is_in_other_use_is_not() {
    let meant = |name: &str| {
        let (config, _) = load("", &[(name, "1"), ("SESSILE_CLUSTER_NAME", "n1")]).unwrap();
        let warning = config.warnings.first().cloned();
        warning.map(|warning| warning.split('`').nth(3).unwrap().to_owned())
    };
    for (name, known) in [
        ("SESSILE_CLUSTER_NAM", "SESSILE_CLUSTER_NAME"),
        ("SESSILE_CLUSTER_LISTENS", "SESSILE_CLUSTER_LISTEN"),
        ("SESSILE_LISTEN_ADRESS", "SESSILE_LISTEN_ADDRESS"),
        ("SESSILE_SEEDS", "SESSILE_CLUSTER_SEEDS"),
        ("SESSILE_MEMORY_MB", "SESSILE_STORAGE_MEMORY_MB"),
    ] {
        assert_eq!(meant(name).as_deref(), Some(known), "{name}");
    }
    for name in [
        "SESSILE_SERVER",
        "SESSILE_DATA_DIR",
        "SESSILE_TOKEN_FILE",
        "SESSILE_CORE_DUMPS",
        "SESSILE_PROGRAM",
        "SESSILE_SEED",
        "SESSILE_PORT",
        "SESSILE_SERVICE_HOST",
        "SESSILE_SERVICE_PORT_HTTP",
        "SESSILE_PORT_8081_TCP_ADDR",
        "PATH",
    ] {
        assert_eq!(meant(name), None, "{name}");
    }
    assert_eq!(meant(&format!("SESSILE_{}", "CLUSTER_NAME".repeat(9))), None);
}

#[test]
fn it_is_told_where_each_value_comes_from() {
    let file = "# mine\nlisten_port: 9\nhttp: { max_connections: 5 }\nnamespaces:\n  - name: sessions\n    base_uri: /s\n\
                admin: {listen: '127.0.0.1:1', tls: ~}\n";
    let (_, shown) = load(file, &[("SESSILE_CLUSTER_NAME", "n1"), ("SESSILE_LOG_LEVEL", "debug")]).unwrap();
    for line in [
        "listen_port: 9  # line 2",
        "  max_connections: 5  # line 3",
        "base_uri: \"/s/\"  # line 6",
        "default_ttl: 86400  # default",
        "log_level: debug  # SESSILE_LOG_LEVEL in the environment",
        "  name: \"n1\"  # SESSILE_CLUSTER_NAME in the environment",
        "  seeds: []  # default",
        "admin:",
        "  listen: \"127.0.0.1:1\"  # line 7",
        "service_name: \"sessile\"  # default",
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line:?} is not in\n{shown}");
    }
}

/// A key that is declared and not read, or read with other bounds than the page says, would take any of these.
#[test]
fn every_key_is_held_to_what_is_declared_of_it() {
    let mut tried = 0;
    for (variable, key) in known() {
        let name = variable.to_string();
        let (bad, said) = match &key.takes {
            Takes::Number(number) => {
                let below = number.range.start().checked_sub(1).map(|number| number.to_string());
                let above = (number.range.end() + 1).to_string();
                (below.into_iter().chain([above]).collect(), format!("must be {}, not", number.expected()))
            }
            Takes::Word(words) => (vec!["nonsense".to_owned()], format!("must be one of {}, not", words().join(", "))),
            Takes::Flag => (vec!["maybe".to_owned()], "must be true or false, not".to_owned()),
            _ => continue,
        };
        for value in bad {
            let refused = load("", &[(&name, &value), ("SESSILE_CLUSTER_NAME", "n1")]).map(|_| ()).unwrap_err();
            assert!(
                refused.starts_with(&format!("{name} in the environment: ")) && refused.contains(&said),
                "{refused}"
            );
            tried += 1;
        }
    }
    assert!(tried > 40, "there were more once: {tried}");
}
