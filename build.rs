//! Generates the servers of the contracts in proto/, keeps their descriptors for gRPC reflection, lists the built-in panels,
//! and embeds the page if it has been built.

use std::error::Error;
use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use prost::Message as _;

const PROTO_ROOT: &str = "proto";
/// OTLP, which has its own root.
const OTLP_ROOT: &str = "third_party/opentelemetry-proto";
const OTLP_LOGS: &str = "opentelemetry/proto/collector/logs/v1/logs_service.proto";
const CODEC: &str = "crate::proto::codec::Codec";
/// The built-in panels.
const PANELS: &str = "queries/panels";
/// The output of `make page`.
const PAGE: &str = "web/dist";
/// src/web_assets.rs replaces it in the HTML if the page is served below a path.
const BASE_TAG: &str = "<base href=\"/\" />";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={PROTO_ROOT}");
    println!("cargo:rerun-if-changed={OTLP_ROOT}");
    let mut files = proto_files(Path::new(PROTO_ROOT).join("millrace/v1").as_path())?;
    files.push(Path::new(OTLP_ROOT).join(OTLP_LOGS));
    // protox is a protobuf compiler in Rust, so the build needs no protoc.
    let mut descriptors = protox::compile(files, [PROTO_ROOT, OTLP_ROOT])?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    // The messages are those of the client crate, except the requests with events, which src/ingest/wire.rs reads.
    let mut services = tonic_prost_build::configure()
        .codec_path(CODEC)
        .build_client(false)
        .extern_path(".millrace.v1", "::millrace_client::proto::v1");
    for call in ["SendEvents", "StreamEvents", "UploadEvents"] {
        services =
            services.extern_path(format!(".millrace.v1.{call}Request"), "crate::ingest::wire::EventsRequest");
    }
    // src/ingest/otlp reads these requests.
    services = services.extern_path(
        ".opentelemetry.proto.collector.logs.v1.ExportLogsServiceRequest",
        "crate::ingest::otlp::wire::LogsRequest",
    );
    // OTLP's comments are not valid for rustdoc.
    for file in descriptors.file.iter_mut().filter(|file| file.package().starts_with("opentelemetry.")) {
        file.source_code_info = None;
    }
    services.compile_fds(descriptors)?;
    list_built_in_panels(&out)?;
    embed_page(&out)
}

/// Writes built_in_panels.rs: the files of queries/panels with their names, in the order of the names.
fn list_built_in_panels(out: &Path) -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={PANELS}");
    let mut files = Vec::new();
    list_files(Path::new(PANELS), &mut files)?;
    files.sort();
    let mut code = String::from("const BUILT_IN: &[BuiltIn] = &[\n");
    for file in files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "sql")) {
        let name = file
            .file_stem()
            .and_then(|stem| stem.to_str())
            .ok_or("a file name in queries/panels is not UTF-8")?;
        writeln!(code, "({name:?}, include_str!({:?})),", file.canonicalize()?)?;
    }
    code.push_str("];\n");
    std::fs::write(out.join("built_in_panels.rs"), code)?;
    Ok(())
}

/// Writes web_assets.rs: the list of the page's gzipped files, empty if the page is not built.
fn embed_page(out: &Path) -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=build.rs"); // `make page` touches it
    let mut files = Vec::new();
    if Path::new(PAGE).join("index.html").exists() {
        println!("cargo:rerun-if-changed={PAGE}");
        list_files(Path::new(PAGE), &mut files)?;
    }
    files.sort();
    let mut code = String::from("const ASSETS: &[Asset] = &[\n");
    for (number, file) in files.iter().enumerate() {
        let content = std::fs::read(file)?;
        if file == &Path::new(PAGE).join("index.html") {
            let tags = std::str::from_utf8(&content)?.matches(BASE_TAG).count();
            if tags != 1 {
                return Err(format!("{PAGE}/index.html: has {tags} tags {BASE_TAG} instead of 1").into());
            }
        }
        let mut hash = DefaultHasher::new();
        content.hash(&mut hash);
        let gzipped = out.join(format!("page-{number}.gz"));
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(&content)?;
        std::fs::write(&gzipped, encoder.finish()?)?;
        let name = file.strip_prefix(PAGE)?.to_str().ok_or("a file name in web/dist is not UTF-8")?;
        let path = if name == "index.html" { "/".to_owned() } else { format!("/{name}") };
        writeln!(
            code,
            "Asset {{ path: {path:?}, media_type: {:?}, gzipped: include_bytes!({gzipped:?}), etag: {:?} }},",
            media_type(name)?,
            format!("\"{:016x}\"", hash.finish()),
        )?;
    }
    code.push_str("];\n");
    std::fs::write(out.join("web_assets.rs"), code)?;
    Ok(())
}

/// Hidden files, such as Vite's manifest, are not part of the page.
fn list_files(dir: &Path, files: &mut Vec<PathBuf>) -> Result<(), Box<dyn Error>> {
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".")) {
            continue;
        }
        if path.is_dir() {
            list_files(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}

fn media_type(name: &str) -> Result<&'static str, Box<dyn Error>> {
    Ok(match name.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "json" | "webmanifest" => "application/json",
        "txt" => "text/plain; charset=utf-8",
        _ => return Err(format!("{PAGE}/{name}: unknown media type; add the extension to build.rs").into()),
    })
}

fn proto_files(dir: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        files.push(entry?.path());
    }
    files.sort();
    Ok(files)
}
