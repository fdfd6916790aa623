//! Real clients: curl, h2load and whatever else is installed.

use std::process::Command;
use std::time::Duration;

use super::child::{Child, Finished};
use super::tool::tool;

/// How long a client may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs a program to its end.
///
/// # Panics
/// It is not installed, or takes longer than a minute.
#[track_caller]
#[must_use]
pub fn run(program: &str, args: &[&str]) -> Finished {
    let mut command = Command::new(tool(program));
    command.args(args);
    Child::spawn(command).wait(PATIENCE)
}

/// Runs curl, quietly, without its configuration file and without a proxy from the environment.
///
/// # Panics
/// It is not installed, or takes longer than a minute.
#[track_caller]
#[must_use]
pub fn curl(args: &[&str]) -> Finished {
    let mut all = vec!["-q", "-sS", "--noproxy", "*", "--max-time", "20"];
    all.extend_from_slice(args);
    run("curl", &all)
}

#[cfg(test)]
mod tests {
    use super::run;

    #[test]
    fn output_and_code_come_back() {
        let done = run("sh", &["-c", "echo out; echo err >&2; exit 3"]);
        assert_eq!((done.code, done.stdout.as_str(), done.stderr.as_str()), (Some(3), "out", "err"));
    }
}
