//! The `seawall` binary: its command line, and wiring a checked configuration into a running server.

mod check;
mod cli;
mod commands;
mod load;
mod observe;
mod plan;
mod scrape;
mod server;
mod settings;

use std::process::ExitCode;

fn main() -> ExitCode {
    commands::run(cli::parse())
}
