//! The `seawall` binary: its command line, and wiring a checked configuration into a running server.

mod check;
mod cli;
mod commands;
mod control;
mod door;
mod handover;
mod lifecycle;
mod load;
mod notify;
mod observe;
mod plan;
mod program;
mod resources;
mod scrape;
mod server;
mod settings;
mod signals;
mod stop;
mod upkeep;

use std::process::ExitCode;

#[cfg(all(feature = "mimalloc", not(feature = "jemalloc")))]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    commands::run(cli::parse())
}
