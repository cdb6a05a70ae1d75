use std::fmt;

use hyper::Uri;

use super::block::Block;
use super::fault::ConfigError;

/// The `traces:` block: which requests are traced, and where their spans go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceExport {
    /// The collector.
    pub endpoint: TraceEndpoint,
    /// Besides those whose callers want it, one in so many of the others; 0 for none.
    pub one_of: u64,
}

/// Where a collector takes OTLP over HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceEndpoint {
    /// Host and port.
    pub authority: String,
    /// With a slash before it.
    pub path: String,
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
        let endpoint = TraceEndpoint::parse(found.value).ok_or_else(|| block.must("endpoint", &found))?;
        Ok(Some(Self { endpoint, one_of }))
    }
}

impl TraceEndpoint {
    fn parse(text: &str) -> Option<Self> {
        let url = text.parse::<Uri>().ok()?;
        let authority = url.authority().filter(|authority| !authority.as_str().contains('@'))?;
        if url.scheme_str() != Some("http") || url.query().is_some() {
            return None;
        }
        let port = if authority.port().is_some() { "" } else { ":4318" };
        Some(Self { authority: format!("{authority}{port}"), path: url.path().to_owned() })
    }
}

impl fmt::Display for TraceEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.authority, self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collector_is_a_plain_url() {
        for (text, shown) in [
            ("http://127.0.0.1:4318/v1/traces", "http://127.0.0.1:4318/v1/traces"),
            ("http://collector/v1/traces", "http://collector:4318/v1/traces"),
            ("http://[::1]:4318", "http://[::1]:4318/"),
        ] {
            assert_eq!(TraceEndpoint::parse(text).unwrap().to_string(), shown);
        }
        for wrong in ["", "127.0.0.1:4318", "https://c:4318/", "http://u:p@c/", "http://c/?a=b", "/v1/traces"] {
            assert_eq!(TraceEndpoint::parse(wrong), None, "{wrong}");
        }
    }
}
