use sessile_store::{KeyFile, KeyHash, Opening, off_the_runtime};

use crate::error::StartError;
use crate::transport::NodeKey;

/// The key of this node, from its disk; a new one, if it has none and nobody knows it by one.
pub(super) async fn own_key(opening: &Opening) -> Result<(NodeKey, KeyFile), StartError> {
    let (file, named) = (opening.key_file(), opening.named_keys());
    let path = file.path();
    let found = off_the_runtime(move || Ok((find(&file, &named)?, file))).await;
    found.map_err(|_| StartError::Key { path, what: "a panic; this is a defect".into() })?
}

pub(super) fn find(file: &KeyFile, named: &[KeyHash]) -> Result<NodeKey, StartError> {
    let unusable = |what: &dyn std::fmt::Display| StartError::Key { path: file.path(), what: what.to_string() };
    if let Some(secret) = file.read()? {
        return NodeKey::read(&secret).map_err(|error| unusable(&error));
    }
    if !named.is_empty() {
        return Err(StartError::KeyLost(file.path()));
    }
    let key = NodeKey::generate().map_err(|error| unusable(&error))?;
    // On the disk before anybody hears of it: a crash must not leave a member that lost the key it is known by.
    file.write(key.secret())?;
    Ok(key)
}
