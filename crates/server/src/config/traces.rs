use super::block::Block;
use super::fault::ConfigError;
use crate::plain_http::PlainUrl;

/// The port of a collector that names none (OpenTelemetry Protocol, OTLP/HTTP).
const OTLP_PORT: u16 = 4_318;

/// The `traces:` block: which requests are traced, and where their spans go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceExport {
    /// The collector.
    pub endpoint: PlainUrl,
    /// Besides those whose callers want it, one in so many of the others; 0 for none.
    pub one_of: u64,
}

impl TraceExport {
    /// The block, checked whole; `None` if it is not there.
    pub(super) fn check(block: &Block<'_>) -> Result<Option<Self>, ConfigError> {
        let one_of = block.number_or_default("one_of")?;
        let Some(found) = block.text("endpoint")? else {
            return match block.place_of("one_of") {
                None => Ok(None),
                Some(place) => {
                    let sentence = "`traces` wants an `endpoint`, to which spans are sent; add it, or remove `traces`";
                    Err(ConfigError::at(place, sentence))
                }
            };
        };
        let endpoint = PlainUrl::parse(found.value, OTLP_PORT).ok_or_else(|| block.must("endpoint", &found))?;
        Ok(Some(Self { endpoint, one_of }))
    }
}
