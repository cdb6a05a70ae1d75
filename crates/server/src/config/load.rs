use std::path::{Path, PathBuf};

use sessile_store::engine::EngineKind;

use super::check::check;
use super::document::Node;
use super::read::read_at_most;
use super::{Config, ConfigError, Environment, ListenAddress, MAX_FILE_BYTES, Origins, Storage};

impl Config {
    /// What that file says, and the environment in its place. Reads the files that are named there, and nothing else. The error
    /// names file and line, or the variable.
    pub fn load(file: &Path, environment: &Environment) -> Result<Self, ConfigError> {
        Self::trace(file, environment).map(|(config, _)| config)
    }

    /// The same, with where each value comes from.
    pub fn trace(file: &Path, environment: &Environment) -> Result<(Self, Origins), ConfigError> {
        let bytes = read_at_most(MAX_FILE_BYTES, file).map_err(|error| {
            let sentence = format!("cannot be read ({error}); create it or name another one");
            ConfigError::new(sentence).in_file(file)
        })?;
        let text = String::from_utf8(bytes).map_err(|error| {
            let line = error.as_bytes()[..error.utf8_error().valid_up_to()].split(|byte| *byte == b'\n').count();
            ConfigError::at(line, "this is not UTF-8; save the file as UTF-8").in_file(file)
        })?;
        Self::read(&text, environment).map_err(|error| error.in_file(file))
    }

    /// What that YAML says. Reads the file that `openapi_spec` names.
    pub fn parse(yaml: &str) -> Result<Self, ConfigError> {
        if yaml.len() as u64 > MAX_FILE_BYTES {
            return Err(ConfigError::new(format!("longer than {MAX_FILE_BYTES} bytes; shorten it")));
        }
        Self::read(yaml, &Environment::default()).map(|(config, _)| config)
    }

    fn read(yaml: &str, environment: &Environment) -> Result<(Self, Origins), ConfigError> {
        let document = environment.lay_over(Node::parse(yaml)?)?;
        let mut config = check(document.as_ref())?;
        config.warnings.extend(environment.warnings());
        Ok((config, Origins::of(document.as_ref())))
    }

    /// What `sessile dev` runs: the defaults of an empty file, and what the command line says. `data_dir` is absolute.
    pub fn dev(listen: ListenAddress, engine: EngineKind, data_dir: PathBuf) -> Result<Self, ConfigError> {
        let defaults = check(None)?;
        let storage = Storage { data_dir, engine, ..defaults.storage };
        Ok(Self { listen, storage, ..defaults })
    }
}
