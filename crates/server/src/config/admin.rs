use sessile_http::TlsFiles;

use super::ListenAddress;
use super::addresses::address;
use super::block::{Block, Located};
use super::fault::{ConfigError, quoted};
use super::tls::tls;
use super::token_file::TokenFile;

/// The `admin:` block: where the second HTTP listener is, and whom it answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminListener {
    /// Where it listens.
    pub listen: ListenAddress,
    /// What whoever asks has to show; `None` for nothing.
    pub token: Option<TokenFile>,
    /// With which certificate it is served; `None` in clear.
    pub tls: Option<TlsFiles>,
}

impl AdminListener {
    /// The block, checked whole, with the place of its address; `None` if it names none.
    pub(super) fn check(block: &Block<'_>, warnings: &mut Vec<String>) -> Result<Option<Located<Self>>, ConfigError> {
        let (token, tls) = (token(block)?, tls(&block.nested("admin.tls", "tls")?, warnings)?);
        let Some(Located { value: listen, place }) = address(block, "listen")? else {
            return match block.place_of("token_file").or(block.place_of("tls")) {
                None => Ok(None),
                Some(place) => {
                    let sentence = "`admin.token_file` and `admin.tls` are of no use without `admin.listen`; add it, or \
                                    remove them";
                    Err(ConfigError::at(place, sentence))
                }
            };
        };
        let admin = Self { listen, token, tls };
        warnings.extend(admin.is_open_to_others());
        Ok(Some(Located { value: admin, place }))
    }

    /// What others than this machine may see that they need not.
    fn is_open_to_others(&self) -> Option<String> {
        if self.listen.is_loopback() {
            return None;
        }
        let what = match (&self.token, &self.tls) {
            (Some(_), Some(_)) => return None,
            (None, _) => {
                "shows metrics and the status page to everybody who reaches it; add `admin.token_file` and `admin.tls`"
            }
            (Some(_), None) => "is asked with a token that others can hear; add `admin.tls`",
        };
        Some(format!("`admin.listen` {} is not on this machine alone, and {what}", self.listen))
    }
}

fn token(block: &Block<'_>) -> Result<Option<TokenFile>, ConfigError> {
    let Some(found) = block.text("token_file")? else { return Ok(None) };
    let fault = |why| ConfigError::at(found.place, format!("`admin.token_file` {} {why}", quoted(found.value)));
    let path = std::path::absolute(found.value).map_err(|_| fault("must be the path of a file".to_owned()))?;
    TokenFile::read_strong(&path).map(Some).map_err(fault)
}
