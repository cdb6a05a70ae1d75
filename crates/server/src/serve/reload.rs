use std::path::Path;

use parking_lot::Mutex;

use crate::config::{Config, Environment};
use crate::logging::LevelSwitch;

/// How the configuration file is read anew, with the environment of the start: of what it says, the log level counts at once.
/// `running` is what the process was started with.
pub(super) fn of(
    file: &Path,
    environment: Environment,
    running: Config,
    level: LevelSwitch,
) -> impl Fn() -> Result<String, String> + Send + 'static {
    let (file, running) = (file.to_owned(), Mutex::new(running));
    move || {
        let read = Config::load(&file, &environment).map_err(|error| error.to_string())?;
        let mut running = running.lock();
        running.log_level = read.log_level;
        let before = level.get();
        level.set(read.log_level);
        let now = match before == read.log_level {
            true => format!("log_level is {before}, as before"),
            false => format!("log_level is {}, and was {before}", read.log_level),
        };
        let rest = if read == *running { "" } else { "; what else has changed waits for a restart" };
        Ok(format!("{now}{rest}"))
    }
}
