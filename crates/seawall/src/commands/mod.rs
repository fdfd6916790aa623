//! What each subcommand does.

mod check;
mod explain;
mod reference;
mod remote;
mod run;
mod store;

use std::process::ExitCode;

use crate::cli::{Cli, Command};

/// Runs a subcommand. Failures end with one clear sentence on standard error and exit code 1.
pub(crate) fn run(cli: Cli) -> ExitCode {
    let done = match cli.command {
        Command::Run(file) => match crate::handover::guard(&file.config) {
            Some(code) => return code,
            None => run::run(&file.config),
        },
        Command::Check(args) => check::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Status(args) => remote::status(&args),
        Command::Pools(args) => remote::pools(&args),
        Command::Purge(args) => remote::purge(&args),
        Command::Reload(args) => remote::reload(&args),
        Command::Upgrade(args) => remote::upgrade(&args),
        Command::Stop(args) => remote::stop(&args),
        Command::Store(args) => store::run(&args),
        Command::Reference(args) => reference::markdown(args.of),
        Command::Schema => reference::schema(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprint!("{failure}");
            ExitCode::FAILURE
        }
    }
}

/// Why a command failed: text that is ready to be shown, with its line ends.
pub(crate) struct Failure(String);

impl Failure {
    /// One sentence.
    pub(crate) fn sentence(text: impl std::fmt::Display) -> Self {
        Self(format!("seawall: {text}\n"))
    }

    /// Text that brings its own line ends.
    pub(crate) fn text(text: String) -> Self {
        Self(text)
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Prints to standard output. A reader that has gone (`| head`) is no failure.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    use std::io::Write as _;
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(Failure::sentence(error)),
        _ => Ok(()),
    }
}
