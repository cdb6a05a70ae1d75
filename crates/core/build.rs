//! Compiles the protobuf of commands and outcomes with protox, so that building needs no protoc.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = "../../proto";
    let files = ["sessile/v1/command.proto", "sessile/v1/outcome.proto"];
    files.iter().for_each(|file| println!("cargo:rerun-if-changed={root}/{file}"));
    let files = protox::compile(files, [root])?;
    prost_build::Config::new().bytes(["."]).skip_debug(["."]).compile_fds(files)?;
    Ok(())
}
