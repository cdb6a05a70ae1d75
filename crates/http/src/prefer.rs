use http::HeaderMap;

/// `Prefer` (RFC 7240); the `http` crate has no name for it.
const PREFER: &str = "prefer";

/// Whether the client prefers `return=representation`. Of a preference that is there twice the first counts
/// (RFC 7240, 2).
pub(crate) fn wants_representation(headers: &HeaderMap) -> bool {
    let values = headers.get_all(PREFER).iter().filter_map(|value| value.to_str().ok());
    let preferences = values.flat_map(|value| value.split(','));
    for preference in preferences {
        let preference = preference.split(';').next().unwrap_or("");
        let Some((name, value)) = preference.split_once('=') else { continue };
        if name.trim().eq_ignore_ascii_case("return") {
            return value.trim().trim_matches('"').eq_ignore_ascii_case("representation");
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_return_representation_is_a_wish_for_the_value() {
        for (values, wanted) in [
            (&["return=representation"][..], true),
            (&["Return=\"representation\""], true),
            (&["respond-async, return = representation; x=y"], true),
            (&["respond-async", "return=representation"], true),
            (&["return=minimal"], false),
            (&["return=minimal, return=representation"], false),
            (&["return"], false),
            (&["x=return=representation"], false),
            (&[""], false),
            (&[], false),
        ] {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(PREFER, value.parse().unwrap());
            }
            assert_eq!(wants_representation(&headers), wanted, "{values:?}");
        }
    }
}
