//! Generates the messages and clients of proto/, and the server of IngestService for the tests.

use std::error::Error;
use std::path::{Path, PathBuf};

const PROTO_ROOT: &str = "../../proto";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={PROTO_ROOT}");
    let mut files = Vec::new();
    for entry in std::fs::read_dir(Path::new(PROTO_ROOT).join("millrace/v1"))? {
        files.push(entry?.path());
    }
    files.sort();
    // protox compiles in this process, so a build needs no protoc.
    let descriptors = protox::compile(files, [PROTO_ROOT])?;

    let server_dir = PathBuf::from(std::env::var("OUT_DIR")?).join("server");
    std::fs::create_dir_all(&server_dir)?;
    let mut ingest = descriptors.clone();
    ingest.file.retain(|file| file.name().ends_with("/ingest.proto"));
    tonic_prost_build::configure()
        .build_client(false)
        .out_dir(server_dir)
        .extern_path(".millrace.v1", "crate::proto::v1")
        .compile_fds(ingest)?;
    tonic_prost_build::configure().build_server(false).compile_fds(descriptors)?;
    Ok(())
}
