//! The suite's two programs: its origin server and its client.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use seawall_testkit::{Child, DEADLINE, eventually, tool};

use crate::report::Report;

/// The suite waits 3 s wherever something has to age, for a hundred tests at once; a minute and a half is usual
/// on two busy cores.
const PATIENCE: Duration = Duration::from_secs(300);

/// What is committed about the suite: how it is run and what is asked of it.
pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("http-cache-tests")
}

/// The suite itself.
fn installed() -> PathBuf {
    let test = std::env::current_exe().expect("the test itself");
    let suites = "http-cache-tests/node_modules/http-cache-tests";
    let found = test.ancestors().skip(1).map(|folder| folder.join(suites)).find(|folder| folder.is_dir());
    found.expect("the suite to be installed: run `make setup-test`")
}

fn node() -> Command {
    let mut command = Command::new(tool("node"));
    command.arg("--no-warnings").current_dir(installed());
    command
}

/// The suite's origin server, on a free port of the loopback.
pub(crate) struct Origin {
    _server: Child,
    address: String,
    _folder: tempfile::TempDir,
}

impl Origin {
    /// Starts it and waits until it listens.
    pub(crate) fn start() -> Self {
        let scratch = tempfile::tempdir().expect("a folder");
        let mut command = node();
        command
            .arg("--import")
            .arg(folder().join("loopback.mjs"))
            .arg("server/server.mjs")
            .env("npm_config_protocol", "http")
            .env("npm_config_port", "0")
            .env("npm_config_pidfile", scratch.path().join("pid"));
        let mut server = Child::spawn(command);
        let address = eventually(DEADLINE, "the suite's origin to listen", || {
            assert!(server.is_running(), "the suite's origin ended:\n{}", server.stderr());
            let lines = server.stdout();
            let line = lines.iter().find_map(|line| line.strip_prefix("Listening on http://"));
            line.map(|address| address.trim_end_matches('/').to_owned())
        });
        Self { _server: server, address, _folder: scratch }
    }

    /// Where it listens.
    pub(crate) fn addr(&self) -> &str {
        &self.address
    }
}

/// Runs every test through the cache at `address`.
pub(crate) fn run_suite(address: &str) -> Report {
    let mut command = node();
    command.arg(folder().join("run.mjs")).arg("--suite").arg(installed());
    command.args(["--base", &format!("http://{address}")]);
    let done = Child::spawn(command).wait(PATIENCE);
    assert_eq!(done.code, Some(0), "the suite's client failed:\n{}", done.stderr);
    Report::parse(&done.stdout)
}
