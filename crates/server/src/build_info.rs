use sessile_http::BuildInfo;

/// Which program this is: what its build script found out.
pub(crate) fn build_info() -> BuildInfo {
    BuildInfo {
        version: env!("CARGO_PKG_VERSION").into(),
        build_date: env!("SESSILE_BUILD_DATE").into(),
        build_host: env!("SESSILE_BUILD_HOST").into(),
        rust_version: env!("SESSILE_RUST_VERSION").into(),
    }
}
