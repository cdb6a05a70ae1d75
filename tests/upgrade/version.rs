use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;
use std::{env, fmt, fs};

/// Names the binary of an earlier version.
const PREVIOUS: &str = "SESSILE_PREVIOUS_PROGRAM";
/// Names a binary to take instead of the one that was built with the test.
const CURRENT: &str = "SESSILE_PROGRAM";

/// A version of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    /// What runs before the upgrade.
    Previous,
    /// What runs after it.
    Current,
}

impl Version {
    /// Its binary.
    pub(crate) fn program(self) -> PathBuf {
        let given = |variable| env::var_os(variable);
        let current = || given(CURRENT).unwrap_or_else(|| env!("CARGO_BIN_EXE_sessile").into());
        let program: OsString = match self {
            Self::Previous => given(PREVIOUS).unwrap_or_else(current),
            Self::Current => current(),
        };
        program.into()
    }

    /// `storage.log_keep_minutes` for its nodes: their logs begin late. The earliest programs have no such setting, and keep
    /// little.
    pub(crate) fn log_keep_minutes(self) -> Option<u64> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("config.yaml");
        fs::write(&file, "storage: { data_dir: /absent, log_keep_minutes: 0 }\n").unwrap();
        let checked = Command::new(self.program()).arg("check-config").arg(&file).output().unwrap();
        checked.status.success().then_some(0)
    }

    /// Whether a node of that version answers the commands of this one: an earlier one proves nothing and knows no socket.
    pub(crate) fn is_answered_by(self, node: Self) -> bool {
        self == Self::Current || node == Self::Previous || env::var_os(PREVIOUS).is_none()
    }

    /// What its nodes say that they run.
    pub(crate) fn number(self) -> String {
        let said = Command::new(self.program()).arg("--version").output().unwrap();
        let said = String::from_utf8(said.stdout).unwrap();
        said.trim().strip_prefix("sessile ").unwrap_or_else(|| panic!("{self} says {said:?}")).to_owned()
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Previous => "the previous version",
            Self::Current => "the current version",
        })
    }
}

/// Says what is compared with what. Two versions with the same bytes are one, and nothing would be shown of another.
pub(crate) fn tell() {
    let [previous, current] = [Version::Previous, Version::Current].map(Version::program);
    if env::var_os(PREVIOUS).is_none() {
        eprintln!("{PREVIOUS} is not set: this program is both versions, {}", current.display());
        return;
    }
    eprintln!("from {} to {}", previous.display(), current.display());
    assert!(fs::read(previous).unwrap() != fs::read(current).unwrap(), "{PREVIOUS} is the current program");
}
