//! The arrows between the crates, and between the folders of `crates/cluster`, as ARCHITECTURE.md draws them; and where the
//! links of the pages for people lead.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
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
        ("sessile-codegen", &[][..]),
        ("sessile-core", &[]),
        ("sessile-trace", &[]),
        ("sessile-store", &["sessile-core"]),
        ("sessile-cluster", &["sessile-core", "sessile-store", "sessile-trace"]),
        ("sessile-http", &["sessile-core", "sessile-trace"]),
        ("sessile-embed", &["sessile-core", "sessile-store", "sessile-cluster", "sessile-trace"]),
        (
            "sessile",
            &["sessile-core", "sessile-store", "sessile-cluster", "sessile-embed", "sessile-http", "sessile-trace"],
        ),
        // It starts the program, and in its simulation it has all of it in one thread.
        ("sessile-testkit", &["sessile", "sessile-core", "sessile-store", "sessile-cluster", "sessile-http"]),
    ];
    assert!(packages.keys().map(String::as_str).eq(arrows.map(|(name, _)| name).into_iter().collect::<BTreeSet<_>>()));
    for (name, allowed) in arrows {
        let Package { normal, tests } = &packages[name];
        assert_eq!(ours(normal), allowed.iter().copied().collect(), "{name}");
        let known = |test: &&str| *test == "sessile-testkit" || *test == name || allowed.contains(test);
        let strange: Vec<_> = ours(tests).into_iter().filter(|test| !known(test)).collect();
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
                "tonic-prost-build" => &["sessile-codegen"],
                other if other.starts_with("tonic") => &["sessile-cluster"],
                // The example of the one is an application.
                "axum" => &["sessile-http", "sessile-embed"],
                other if other.starts_with("tower-sessions") => &["sessile-embed"],
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

/// The folders and files of `crates/cluster/src`, from the top floor down. What stands on one floor knows nothing of its
/// neighbours there.
const FLOORS: &[&[&str]] = &[
    &["lib", "fuzzing"],
    &["node"],
    &["admin"],
    &["admission"],
    &["config"],
    &["membership"],
    &["health"],
    &["upkeep"],
    &["reads", "writes"],
    &["group"],
    &["transport"],
    &["disk"],
    &["batches", "byte_room", "fault", "late", "raft", "timing", "tokens", "wall_clock"],
    &["error", "wire"],
];

#[test]
fn in_the_cluster_crate_arrows_go_down_only() {
    let modules = Modules::of_cluster();
    let floors: BTreeMap<&str, usize> =
        FLOORS.iter().enumerate().flat_map(|(floor, names)| names.iter().map(move |name| (*name, floor))).collect();
    let there: BTreeSet<&str> = modules.by_path.keys().map(|path| part(path)).collect();
    let floorless: Vec<_> = there.symmetric_difference(&floors.keys().copied().collect()).copied().collect();
    assert!(floorless.is_empty(), "in crates/cluster/src, and on no floor, or the other way round: {floorless:?}");
    let mut wrong = Vec::new();
    for (path, module) in &modules.by_path {
        for (import, to) in modules.imports(path) {
            let (from, onto) = (part(path), part(&to));
            let rule = match floors[from].cmp(&floors[onto]) {
                Ordering::Less => continue,
                Ordering::Equal if from == onto => continue,
                Ordering::Equal => format!("`{from}` and `{onto}` stand on one floor and know nothing of each other"),
                Ordering::Greater => format!("`{from}` stands below `{onto}`, and arrows go down only"),
            };
            wrong.push(format!("{} imports {import}: {rule}", module.file.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn in_the_cluster_crate_no_file_knows_itself_by_way_of_others() {
    let modules = Modules::of_cluster();
    let mut arrows: BTreeMap<Vec<String>, BTreeSet<Vec<String>>> =
        modules.by_path.keys().map(|path| (path.clone(), modules.imports(path).map(|(_, to)| to).collect())).collect();
    // Who knows none of those that are left, or is known by none of them, is in no circle.
    while let Some(path) =
        arrows.keys().find(|path| arrows[*path].is_empty() || !arrows.values().any(|to| to.contains(*path)))
    {
        let path = path.clone();
        arrows.remove(&path);
        for to in arrows.values_mut() {
            to.remove(&path);
        }
    }
    let circle = arrows.iter().map(|(path, to)| {
        let to: Vec<_> = to.iter().map(|to| to.join("::")).collect();
        format!("{} imports {}", modules.by_path[path].file.display(), to.join(", "))
    });
    assert!(
        arrows.is_empty(),
        "these files know themselves by way of each other:\n{}",
        circle.collect::<Vec<_>>().join("\n")
    );
}

/// The folder or file right below `src` that a module is in.
fn part(path: &[String]) -> &str {
    path.first().map_or("lib", String::as_str)
}

/// The modules of a crate, by their paths; the root's is empty.
struct Modules {
    by_path: BTreeMap<Vec<String>, Module>,
}

struct Module {
    file: PathBuf,
    /// What its `use` declarations and the paths in its code name, as it is written.
    names: Vec<String>,
    /// The same of what it only hands on (`pub use`).
    hands_on: Vec<String>,
}

impl Modules {
    fn of_cluster() -> Self {
        let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("../cluster/src");
        let (mut by_path, mut folders) = (BTreeMap::new(), vec![src.clone()]);
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let file = entry.unwrap().path();
                if file.is_dir() {
                    folders.push(file);
                    continue;
                }
                let below = file.strip_prefix(&src).unwrap();
                let parts = below.with_extension("");
                let mut path: Vec<String> = parts.iter().map(|part| part.to_str().unwrap().to_owned()).collect();
                path.pop_if(|last| ["mod", "lib"].contains(&last.as_str()));
                let (names, hands_on) = names(&fs::read_to_string(&file).unwrap());
                let module = Module { file: Path::new("crates/cluster/src").join(below), names, hands_on };
                by_path.insert(path, module);
            }
        }
        Self { by_path }
    }

    /// What a module names of this crate, as it is written, and in which other module that is.
    fn imports<'a>(&'a self, path: &'a [String]) -> impl Iterator<Item = (&'a String, Vec<String>)> {
        let names = self.by_path[path].names.iter();
        names.filter_map(|name| Some((name, self.resolve(path, name)?))).filter(move |(_, to)| to != path)
    }

    /// The module in which a name is; `None` for one of another crate.
    fn resolve(&self, at: &[String], name: &str) -> Option<Vec<String>> {
        let mut rest = name.split("::").map(str::trim).peekable();
        let mut module = match *rest.peek()? {
            "crate" => Vec::new(),
            "self" | "super" => at.to_vec(),
            child => self.child(at, child).map(|_| at.to_vec())?,
        };
        rest.next_if(|part| ["crate", "self"].contains(part));
        while rest.next_if_eq(&"super").is_some() {
            module.pop();
        }
        while let Some(child) = rest.peek().and_then(|part| self.child(&module, part)) {
            module = child;
            rest.next();
        }
        let handed_on = rest.next().and_then(|item| {
            let mut known = self.by_path.get(&module)?.hands_on.iter();
            let known = known.find(|known| known.rsplit("::").next() == Some(item))?;
            self.resolve(&module, known)
        });
        Some(handed_on.unwrap_or(module))
    }

    fn child(&self, module: &[String], name: &str) -> Option<Vec<String>> {
        let child = [module, &[name.to_owned()]].concat();
        self.by_path.contains_key(&child).then_some(child)
    }
}

/// What the text of a module names: by `use` and by paths in its code, and by `pub use`. Its tests may know everything.
fn names(text: &str) -> (Vec<String>, Vec<String>) {
    let code = without_comments_and_strings(text.split("#[cfg(test)]\nmod ").next().unwrap());
    let (mut names, mut hands_on) = (Vec::new(), Vec::new());
    let mut rest = &*code;
    while let Some((line, _)) = rest.split_once('\n') {
        let statement = line.trim_start();
        let handed_on = statement.strip_prefix("pub").and_then(|statement| statement.split_once(" use "));
        let is_use =
            statement.starts_with("use ") || handed_on.is_some_and(|(visibility, _)| !visibility.contains(' '));
        if is_use {
            let (declaration, after) = rest.split_once(';').unwrap();
            let (_, tree) = declaration.split_once("use ").unwrap();
            if handed_on.is_some() { &mut hands_on } else { &mut names }.extend(expanded(tree));
            rest = after;
        } else {
            names.extend(paths(line));
            rest = &rest[line.len() + 1..];
        }
    }
    (names, hands_on)
}

/// The names that a tree of a `use` declaration stands for: `a::{b, c::{d, e}}` for three.
fn expanded(tree: &str) -> Vec<String> {
    let Some((before, inside)) = tree.split_once('{') else {
        let (name, _) = tree.split_once(" as ").unwrap_or((tree, ""));
        return vec![name.trim().to_owned()];
    };
    let (mut depth, inside) = (0_i32, &inside[..inside.rfind('}').unwrap()]);
    let branches = inside.split(|next: char| {
        depth += i32::from(next == '{') - i32::from(next == '}');
        depth == 0 && next == ','
    });
    let branches = branches.filter(|branch| !branch.trim().is_empty()).flat_map(expanded);
    branches.map(|branch| format!("{}{branch}", before.trim())).collect()
}

/// The paths in a line of code that begin with `crate` or `super`.
fn paths(line: &str) -> impl Iterator<Item = String> {
    let words = line.split(|next: char| !next.is_alphanumeric() && !['_', ':'].contains(&next));
    words.filter(|word| word.starts_with("crate::") || word.starts_with("super::")).map(str::to_owned)
}

fn without_comments_and_strings(text: &str) -> String {
    let (mut code, mut rest) = (String::new(), text.chars().peekable());
    while let Some(next) = rest.next() {
        match next {
            '/' if rest.peek() == Some(&'/') => while rest.next_if(|next| *next != '\n').is_some() {},
            '"' => {
                while let Some(next) = rest.next().filter(|next| *next != '"') {
                    if next == '\\' {
                        rest.next();
                    }
                }
            }
            _ => code.push(next),
        }
    }
    code
}

/// A link of a page for people: `[text](target)`.
struct PageLink {
    page: String,
    text: String,
    /// What it leads to, from the root of the repository; a page's own heading leads to the page.
    target: PathBuf,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The links to files of this repository, of every page for people.
fn links() -> Vec<PageLink> {
    let docs = fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().file_name());
    let docs = docs.map(|name| format!("docs/{}", name.to_str().unwrap())).filter(|page| page.ends_with(".md"));
    let pages = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"].map(str::to_owned).into_iter().chain(docs);
    pages.flat_map(|page| links_of(&fs::read_to_string(root().join(&page)).unwrap(), &page)).collect()
}

fn links_of(text: &str, page: &str) -> Vec<PageLink> {
    // Each piece but the last ends with a link's text, and each but the first begins with a link's target.
    let pieces: Vec<&str> = text.split("](").collect();
    let link = |pair: &[&str]| {
        let text = pair[0].rsplit('[').next()?.to_owned();
        let (target, _) = pair[1].split_once(')')?;
        let (target, _) = target.split_once('#').unwrap_or((target, ""));
        let target = if target.is_empty() { page.into() } else { Path::new(page).parent()?.join(target) };
        Some(PageLink { page: page.to_owned(), text, target }).filter(|_| !pair[1].starts_with("http"))
    };
    pieces.windows(2).filter_map(link).collect()
}

#[test]
fn every_link_of_a_page_leads_to_a_file() {
    let links = links();
    assert!(links.len() > 50, "there were more once: {}", links.len());
    let dead = links.iter().filter(|link| !root().join(&link.target).exists());
    let dead: Vec<_> = dead.map(|link| format!("{}: [{}] leads nowhere", link.page, link.text)).collect();
    assert!(dead.is_empty(), "{}", dead.join("\n"));
}

/// A newcomer who follows the tour, and does not find a function where it should be, does not believe the rest either.
#[test]
fn every_item_that_a_page_names_is_in_the_file_that_it_links_to() {
    let is_code = |file: &Path| file.extension().is_some_and(|kind| kind == "rs" || kind == "proto");
    let named = links().into_iter().filter(|link| link.text.starts_with('`') && is_code(&link.target));
    let named: Vec<_> = named.collect();
    assert!(named.len() > 50, "there were more once: {}", named.len());
    let missing = named.iter().flat_map(|PageLink { page, text, target }| {
        let code = fs::read_to_string(root().join(target)).unwrap_or_default();
        let names = text.trim_matches('`').split("::").filter(move |name| !is_defined(&code, name));
        names.map(move |name| format!("{page}: {text} is named, and there is no {name} in {}", target.display()))
    });
    let missing: Vec<_> = missing.collect();
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

/// Whether some code defines an item, a method, a variant or a message of that name, or implements something for it.
fn is_defined(code: &str, name: &str) -> bool {
    const BEFORE: [&str; 8] = ["fn", "struct", "enum", "trait", "const", "type", "message", "for"];
    code.lines().any(|line| {
        let is_word = |next: char| next.is_alphanumeric() || next == '_';
        let words: Vec<&str> = line.split(|next| !is_word(next)).filter(|word| !word.is_empty()).collect();
        let defined = words.windows(2).any(|pair| pair[1] == name && BEFORE.contains(&pair[0]));
        let inherent = words.first() == Some(&"impl") && words.get(1) == Some(&name);
        let variant = line.trim_start().strip_prefix(name).is_some_and(|rest| rest.starts_with(['(', ',', ' ']));
        defined || inherent || variant && line.starts_with("    ") && !line.starts_with("     ")
    })
}

#[test]
fn a_definition_is_told_from_a_mention() {
    let code = "pub enum Step {\n    Join(ClusterId),\n}\nimpl Step {\n    pub(super) async fn take(&self) {\n        Other::new(gone)\n    }\n}\n";
    for name in ["Step", "Join", "take"] {
        assert!(is_defined(code, name), "{name}");
    }
    for name in ["Other", "new", "gone", "ClusterId", "Joi"] {
        assert!(!is_defined(code, name), "{name}");
    }
}
