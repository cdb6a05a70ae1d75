use std::path::PathBuf;

use sessile_http::{Tls, TlsFiles};

use super::block::{Block, Located};
use super::fault::ConfigError;
use super::place::Place;
use crate::logging::wall_clock;

/// The certificate that a block such as `tls` names, and the client authority; `None` where it names none. As in Kask, an empty path is
/// none. The files are read, so that one that cannot be used is found before anything happens; what clients may mind in
/// them goes to the warnings.
pub(super) fn tls(block: &Block<'_>, warnings: &mut Vec<String>) -> Result<Option<TlsFiles>, ConfigError> {
    let path = |key| block.text(key).map(|found| found.filter(|found| !found.value.is_empty()));
    let (cert, key, client_ca) = (path("cert")?, path("key")?, path("client_ca")?);
    let (cert, key) = match (cert, key, client_ca) {
        (Some(cert), Some(key), _) => (cert, key),
        (None, None, None) => return Ok(None),
        (Some(Located { place, .. }), None, _) => return Err(lonely(place, &block.path("cert"), &block.path("key"))),
        (None, Some(Located { place, .. }), _) => return Err(lonely(place, &block.path("key"), &block.path("cert"))),
        (None, None, Some(Located { place, .. })) => {
            let both = format!("{}` and `{}", block.path("cert"), block.path("key"));
            return Err(lonely(place, &block.path("client_ca"), &both));
        }
    };
    let files = TlsFiles {
        cert: PathBuf::from(cert.value),
        key: PathBuf::from(key.value),
        client_ca: client_ca.map(|found| PathBuf::from(found.value)),
    };
    let tls = Tls::load(files.clone(), wall_clock, None)
        .map_err(|error| ConfigError::at(cert.place, format!("`{}`: {error}", block.name())))?;
    warnings.extend(tls.warnings());
    Ok(Some(files))
}

/// To serve in clear what was asked to be encrypted would be wrong.
fn lonely(place: Place, there: &str, missing: &str) -> ConfigError {
    ConfigError::at(place, format!("`{there}` is of no use without `{missing}`; add it, or remove both"))
}
