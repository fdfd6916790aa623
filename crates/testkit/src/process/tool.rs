//! Where installed programs are.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::wait::OrDie;

/// Where Debian puts servers; the search path of an ordinary user leaves it out.
const SERVERS: &str = "/usr/sbin";

/// The path of an installed program.
///
/// # Panics
/// It is not installed. A test never passes for lack of its tool.
#[track_caller]
#[must_use]
pub fn tool(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain([PathBuf::from(SERVERS)]);
    let found = folders.map(|folder| folder.join(name)).find(|file| file.is_file());
    found.or_die(&format!("find `{name}`: run `make setup-test`"))
}

/// Python with the packages that the tests need, to run `script`.
///
/// # Panics
/// They are not installed.
#[track_caller]
#[must_use]
pub fn python(script: &Path) -> Command {
    let test = std::env::current_exe().or_die("find the test itself");
    let mut folders = test.ancestors().skip(1).map(|folder| folder.join("test-venv/bin/python"));
    let interpreter =
        folders.find(|file| file.exists()).or_die("find the tests' Python: run `make setup-test`");
    let mut command = Command::new(interpreter);
    // Neither the user's packages nor PYTHON* of the environment; nothing is written beside the script.
    command.args(["-E", "-s", "-B", "-u"]).arg(script);
    command
}

#[cfg(test)]
mod tests {
    use super::tool;

    #[test]
    fn a_program_is_found() {
        assert!(tool("sh").ends_with("sh"));
    }

    #[test]
    #[should_panic(expected = "cannot find `no-such-tool`: run `make setup-test`")]
    fn a_missing_program_says_what_to_do() {
        let _ = tool("no-such-tool");
    }
}
