//! Finds out when, where and by what the program is built. `SOURCE_DATE_EPOCH` (seconds) makes the date repeatable, and
//! then the host is left out.

use std::process::Command;

fn main() {
    println!("cargo:rerun-if-env-changed=SOURCE_DATE_EPOCH");
    println!("cargo:rerun-if-changed=build.rs");
    let epoch = std::env::var("SOURCE_DATE_EPOCH").ok();
    let when = epoch.as_deref().map_or_else(|| "now".to_owned(), |seconds| format!("@{seconds}"));
    let date = output("date", &["-u", "-d", &when, "+%Y-%m-%dT%H:%M:%SZ"]);
    let host = if epoch.is_some() { None } else { output("uname", &["-n"]) };
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    for (name, value) in [
        ("SESSILE_BUILD_DATE", date),
        ("SESSILE_BUILD_HOST", host),
        ("SESSILE_RUST_VERSION", output(&rustc, &["--version"])),
    ] {
        println!("cargo:rustc-env={name}={}", value.as_deref().unwrap_or("unknown"));
    }
}

fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok().filter(|output| output.status.success())?;
    String::from_utf8(output.stdout).ok().map(|text| text.trim().to_owned())
}
