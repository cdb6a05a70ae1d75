use super::ListenAddress;
use super::block::{Block, Located};
use super::fault::{ConfigError, quoted};

/// An address to listen on or to connect to; `None` if the block has no such key.
pub(super) fn address(block: &Block<'_>, key: &str) -> Result<Option<Located<ListenAddress>>, ConfigError> {
    block.text(key)?.map(|found| parse_address(&block.path(key), &found)).transpose()
}

/// The same, of text that was found already.
pub(super) fn parse_address(path: &str, found: &Located<&str>) -> Result<Located<ListenAddress>, ConfigError> {
    let fault = |why| ConfigError::at(found.place, format!("`{path}` {} is no address: {why}", quoted(found.value)));
    Ok(Located { value: ListenAddress::parse(found.value).map_err(fault)?, place: found.place })
}
