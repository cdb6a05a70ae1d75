//! What holds of whatever text is read as a configuration. Here for the targets in fuzz/, and for the tests that hold
//! the seeds to it.

use crate::config::Config;

/// Text is a configuration that can be described, and read again from its description, or refused in one line that
/// names a line or a key.
pub fn config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    // A configuration names files, and reading some of these never ends.
    if ["/dev", "/proc", "/sys"].iter().any(|place| text.contains(place)) {
        return;
    }
    match Config::parse(text) {
        Ok(config) => {
            let described = Config::parse(&config.describe());
            let again = described.unwrap_or_else(|error| panic!("what it is described as is refused: {error}"));
            // Whose file it was, and what was odd about it, stand in comments.
            assert_eq!(Config { flavour: config.flavour, warnings: config.warnings.clone(), ..again }, config);
        }
        Err(error) => {
            let sentence = error.to_string();
            assert!(!sentence.contains(char::is_control), "more than a line: {sentence:?}");
            assert!(error.line().is_some() || sentence.contains('`'), "neither a line nor a key: {sentence}");
        }
    }
}

#[cfg(test)]
#[path = "../../../fuzz/seeds.rs"]
mod seeds;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_seed_of_a_configuration_is_described_or_refused_by_name() {
        let made = [
            ("kask.yaml", include_bytes!("../tests/fixtures/kask.yaml").to_vec()),
            ("empty.yaml", Vec::new()),
            ("defaults.yaml", Config::parse("").unwrap().describe().into_bytes()),
            ("unknown_key.yaml", b"listen_prot: 1\n".to_vec()),
            ("nested.yaml", b"cassandra: [1, {2: 3}, *a, !!int 5]\nstorage: {data_dir: /d, engine: sled}\n".to_vec()),
            ("alias.yaml", b"a: &x [1]\nb: *x\n---\nc: 'd'\n".to_vec()),
        ];
        seeds::hold("config", &made, config);
    }
}
