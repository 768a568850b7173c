//! `replay`, the same program as `squall replay`.

use std::process::ExitCode;

/// Many small buffers that live as long as a request: the allocator shows.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match replayer::cli::parse() {
        Ok(args) => replayer::cli::main(args),
        Err(code) => code,
    }
}
