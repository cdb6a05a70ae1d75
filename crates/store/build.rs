//! Compiles the log's protobuf with protox, so that building needs no protoc.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = "../../proto";
    println!("cargo:rerun-if-changed={root}/sessile/v1/log.proto");
    let files = protox::compile(["sessile/v1/log.proto"], [root])?;
    prost_build::Config::new().bytes(["."]).skip_debug(["."]).compile_fds(files)?;
    Ok(())
}
