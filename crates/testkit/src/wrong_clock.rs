use std::ffi::OsString;
use std::io;
use std::path::PathBuf;

use tempfile::TempDir;

use crate::preload;

const SOURCE: &str = include_str!("wrong_clock.c");

/// A wall clock that shows what a test wants, as a library that is preloaded into a process; it can be moved while the
/// process runs. Needs what [`crate::FailingDisk`] needs.
#[derive(Debug)]
pub struct WrongClock {
    library: PathBuf,
    shift: PathBuf,
    _dir: TempDir,
}

impl WrongClock {
    /// Compiles one that is right so far.
    pub fn build() -> io::Result<Self> {
        let dir = tempfile::Builder::new().prefix("sessile-wrong-clock-").tempdir()?;
        let library = preload::compile(dir.path(), "wrong_clock", SOURCE)?;
        let shift = dir.path().join("shift");
        std::fs::write(&shift, 0_i64.to_ne_bytes())?;
        Ok(Self { library, shift, _dir: dir })
    }

    /// What the process that shall have it must find in its environment.
    pub fn environment(&self) -> Vec<(String, OsString)> {
        vec![
            ("LD_PRELOAD".into(), self.library.clone().into()),
            ("SESSILE_CLOCK_FILE".into(), self.shift.clone().into()),
        ]
    }

    /// From now on it shows so many seconds more than the truth, or less.
    pub fn is_wrong_by(&self, seconds: i64) -> io::Result<()> {
        use std::io::{Seek as _, Write as _};
        // Written over, not made anew: the process looks at this file, whatever its name.
        let mut file = std::fs::File::options().write(true).open(&self.shift)?;
        file.rewind()?;
        file.write_all(&(seconds * 1_000).to_ne_bytes())
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn year_by(clock: &WrongClock) -> u32 {
        let shown = Command::new("date").arg("+%Y").envs(clock.environment()).output().unwrap();
        String::from_utf8(shown.stdout).unwrap().trim().parse().unwrap()
    }

    #[test]
    fn a_clock_goes_wrong_forwards_and_backwards_and_right_again() {
        let clock = WrongClock::build().unwrap();
        let now = year_by(&clock);
        for (years, shown) in [(10, now + 10), (-10, now - 10), (0, now)] {
            clock.is_wrong_by(years * 31_557_600).unwrap();
            assert!(year_by(&clock).abs_diff(shown) <= 1, "at most a day's difference at the turn of the year");
        }
    }
}
