use crate::BaseUri;

/// The document, with [`BASE_URI`] where the base URI goes.
const TEMPLATE: &str = include_str!("openapi.yaml");
const BASE_URI: &str = "@BASE_URI@";

/// The document that `/openapi` serves: that one or, without it, this crate's own, with the base URI filled in.
pub(crate) fn document(instead: Option<&str>, base: &BaseUri) -> String {
    instead.unwrap_or(TEMPLATE).replace(BASE_URI, base.as_str())
}
