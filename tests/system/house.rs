//! The arrows between the crates, as ARCHITECTURE.md draws them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

/// Of one package, what it depends on to be built and to run, and what only its tests need.
struct Package {
    normal: BTreeSet<String>,
    tests: BTreeSet<String>,
}

fn metadata() -> serde_json::Value {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../Cargo.toml");
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1", "--manifest-path"])
        .arg(manifest)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn packages() -> BTreeMap<String, Package> {
    let metadata = metadata();
    let package = |package: &serde_json::Value| {
        let dependencies = package["dependencies"].as_array().unwrap();
        let of = |tests: bool| {
            let wanted = dependencies.iter().filter(|dependency| (dependency["kind"] == "dev") == tests);
            wanted.map(|dependency| dependency["name"].as_str().unwrap().to_owned()).collect()
        };
        (package["name"].as_str().unwrap().to_owned(), Package { normal: of(false), tests: of(true) })
    };
    metadata["packages"].as_array().unwrap().iter().map(package).collect()
}

fn ours(dependencies: &BTreeSet<String>) -> BTreeSet<&str> {
    dependencies.iter().map(String::as_str).filter(|name| name.starts_with("sessile")).collect()
}

#[test]
fn the_crates_know_of_each_other_what_the_design_says() {
    let packages = packages();
    let arrows = [
        ("sessile-core", &[][..]),
        ("sessile-store", &["sessile-core"]),
        ("sessile-cluster", &["sessile-core", "sessile-store"]),
        ("sessile-http", &["sessile-core"]),
        ("sessile", &["sessile-core", "sessile-store", "sessile-cluster", "sessile-http"]),
        // It starts the program, and in its simulation it has all of it in one thread.
        ("sessile-testkit", &["sessile", "sessile-core", "sessile-store", "sessile-cluster", "sessile-http"]),
    ];
    assert!(packages.keys().map(String::as_str).eq(arrows.map(|(name, _)| name).into_iter().collect::<BTreeSet<_>>()));
    for (name, allowed) in arrows {
        let Package { normal, tests } = &packages[name];
        assert_eq!(ours(normal), allowed.iter().copied().collect(), "{name}");
        let strange: Vec<_> =
            ours(tests).into_iter().filter(|test| *test != "sessile-testkit" && !allowed.contains(test)).collect();
        assert!(strange.is_empty(), "the tests of {name} know of {strange:?}");
    }
}

#[test]
fn a_library_is_named_where_the_design_says_and_nowhere_else() {
    let packages = packages();
    for (name, package) in &packages {
        for dependency in package.normal.iter().chain(&package.tests) {
            let allowed: &[&str] = match dependency.as_str() {
                "fjall" | "sled" | "lsm-tree" | "raft-log" | "raft-engine" | "rocksdb" => &["sessile-store"],
                "openraft" => &["sessile-store", "sessile-cluster"],
                other if other.starts_with("tonic") => &["sessile-cluster"],
                "axum" => &["sessile-http"],
                // The program's own load test is a client of the API.
                "hyper" => &["sessile-http", "sessile"],
                // What tonic wants a connection wrapped in.
                "hyper-util" => &["sessile-http", "sessile-cluster", "sessile"],
                "clap" => &["sessile", "sessile-testkit"],
                "anyhow" => &["sessile"],
                _ => continue,
            };
            assert!(allowed.contains(&name.as_str()), "{name} names {dependency}");
        }
    }
}

/// What breaks a promise on purpose is in no program that ships.
#[test]
fn defects_are_planted_by_the_test_kit_alone() {
    let metadata = metadata();
    let plants = |package: &&serde_json::Value| {
        let mut dependencies = package["dependencies"].as_array().unwrap().iter();
        dependencies.any(|dependency| {
            dependency["features"].as_array().unwrap().iter().any(|feature| feature == "planted-defects")
        })
    };
    let who: Vec<_> =
        metadata["packages"].as_array().unwrap().iter().filter(plants).map(|package| &package["name"]).collect();
    assert_eq!(who, ["sessile-testkit"]);
}

/// Decisions are pure: no runtime, no clock, no I/O library in the manifest, not even for tests.
#[test]
fn core_has_no_runtime() {
    let core = &packages()["sessile-core"];
    for dependency in core.normal.iter().chain(&core.tests) {
        let effects = ["tokio", "futures", "async", "mio", "hyper", "tracing", "rustix", "libc", "parking_lot", "rand"];
        assert!(!effects.iter().any(|effect| dependency.starts_with(effect)), "sessile-core names {dependency}");
    }
}
