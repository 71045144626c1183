//! The program `millrace`. Everything is in the library: see `src/lib.rs`.

fn main() -> std::process::ExitCode {
    millrace::cli::run()
}
