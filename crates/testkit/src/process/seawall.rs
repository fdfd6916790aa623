//! A running seawall.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::Signal;
use serde_json::Value;
use tempfile::TempDir;

use super::child::{Child, Finished};
use super::metrics::Metrics;
use super::port::Port;
use crate::client::simple::get;
use crate::wait::{DEADLINE, OrDie, eventually};

/// A configuration with `%{name}` where a test puts its own values.
///
/// `%{port}`, `%{port2}`, `%{port3}` are free ports; `%{dir}` is a folder of the test. A metrics listener (at
/// `%{metrics}`) and a JSON access log to standard output are added.
#[derive(Debug)]
pub struct SeawallBuilder {
    yaml: String,
    values: BTreeMap<String, String>,
    ports: Vec<Port>,
    metrics: Port,
    folder: TempDir,
    through: Vec<String>,
    environment: Vec<(String, String)>,
    program: PathBuf,
}

impl SeawallBuilder {
    /// Starts another program than the one of [`binary`].
    #[must_use]
    pub fn program(mut self, program: &Path) -> Self {
        self.program = program.to_owned();
        self
    }

    /// Sets a variable of its environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl Display) -> Self {
        self.environment.push((name.to_owned(), value.to_string()));
        self
    }

    /// Puts `value` wherever `%{name}` stands.
    #[must_use]
    pub fn set(mut self, name: &str, value: impl Display) -> Self {
        self.values.insert(name.to_owned(), value.to_string());
        self
    }

    /// The folder of the test, to put files into before the start.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts it through a program that ends in `exec`, such as `prlimit` or `setpriv`.
    #[must_use]
    pub fn through(mut self, program: &[&str]) -> Self {
        self.through = program.iter().map(|word| (*word).to_owned()).collect();
        self
    }

    fn write(&self) -> PathBuf {
        let yaml = filled(&self.yaml, &self.values);
        let file = self.folder.path().join("seawall.yaml");
        std::fs::write(&file, yaml).or_die("write the configuration");
        file
    }

    fn command(&self) -> Command {
        let mut command = through(&self.through, &self.program);
        command.arg("run").arg(self.write()).env_remove("SEAWALL_CONFIG").env_remove("NOTIFY_SOCKET");
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Starts it and waits until all its listeners and its health answer.
    ///
    /// # Panics
    /// It does not get ready; the message has what it wrote.
    #[must_use]
    pub fn start(self) -> Seawall {
        let child = Child::spawn(self.command());
        let used: Vec<String> = {
            let yaml = self.yaml.as_str();
            let names = ["%{port}", "%{port2}", "%{port3}"];
            names
                .iter()
                .zip(&self.ports)
                .filter(|(name, _)| yaml.contains(*name))
                .map(|(_, port)| port.addr())
                .collect()
        };
        let mut seawall = Seawall {
            child,
            addresses: used,
            metrics: self.metrics,
            ports: self.ports,
            folder: self.folder,
            values: self.values,
            through: self.through,
        };
        seawall.wait_until_ready();
        seawall
    }

    /// Starts what must not start, and waits for its end.
    ///
    /// # Panics
    /// It runs.
    #[must_use]
    pub fn fail(self) -> Finished {
        Child::spawn(self.command()).wait(DEADLINE)
    }
}

/// `program`, started by the words before it.
fn through(before: &[String], program: &Path) -> Command {
    let mut words = before.iter().map(Into::into).chain([program.to_owned()]);
    let mut command = Command::new(words.next().unwrap_or_default());
    command.args(words);
    command
}

/// `yaml` with the values in their places and a metrics listener in front.
fn filled(yaml: &str, values: &BTreeMap<String, String>) -> String {
    let mut yaml = format!("metrics: {{ listen: '%{{metrics}}' }}\n{yaml}");
    for (name, value) in values {
        yaml = yaml.replace(&format!("%{{{name}}}"), value);
    }
    assert!(!yaml.contains("%{"), "a placeholder is left in:\n{yaml}");
    yaml
}

/// A running seawall; it ends with the test.
#[derive(Debug)]
pub struct Seawall {
    child: Child,
    addresses: Vec<String>,
    metrics: Port,
    ports: Vec<Port>,
    folder: TempDir,
    values: BTreeMap<String, String>,
    through: Vec<String>,
}

impl Seawall {
    /// A configuration for a seawall to come.
    #[must_use]
    pub fn with(yaml: &str) -> SeawallBuilder {
        let ports: Vec<Port> = (0..3).map(|_| Port::reserve()).collect();
        let folder = crate::folder();
        let mut values = BTreeMap::new();
        for (name, port) in ["port", "port2", "port3"].iter().zip(&ports) {
            values.insert((*name).to_owned(), port.to_string());
        }
        values.insert("dir".to_owned(), folder.path().display().to_string());
        let (yaml, metrics) = (yaml.to_owned(), Port::reserve());
        values.insert("metrics".to_owned(), metrics.addr());
        SeawallBuilder {
            yaml,
            values,
            ports,
            metrics,
            folder,
            through: Vec::new(),
            environment: Vec::new(),
            program: binary(),
        }
    }

    /// The address of a listener, in the order of `%{port}`, `%{port2}`, `%{port3}`.
    #[must_use]
    pub fn addr(&self, listener: usize) -> &str {
        &self.addresses[listener]
    }

    /// The folder of the test.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The file of its configuration.
    #[must_use]
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("seawall.yaml")
    }

    /// Puts another configuration into its file, with the same values for the placeholders. Nobody reads it until
    /// told to.
    ///
    /// # Panics
    /// It cannot be written.
    pub fn rewrite(&self, yaml: &str) {
        let beside = self.folder.path().join("seawall.yaml.new");
        std::fs::write(&beside, filled(yaml, &self.values)).or_die("write a configuration");
        std::fs::rename(&beside, self.file()).or_die("put a configuration into its place");
    }

    /// Runs `seawall COMMAND …` against the control API at `%{dir}/admin.sock`.
    ///
    /// # Panics
    /// It does not end.
    #[must_use]
    pub fn control(&self, arguments: &[&str]) -> Finished {
        let mut command = Command::new(binary());
        command.args(arguments).env_remove("SEAWALL_CONFIG");
        command.env("SEAWALL_ADMIN", format!("unix:{}", self.folder.path().join("admin.sock").display()));
        Child::spawn(command).wait(DEADLINE * 4)
    }

    /// The address of the metrics listener, which also has `/livez` and `/readyz`.
    #[must_use]
    pub fn metrics_addr(&self) -> String {
        self.metrics.addr()
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.child.is_running()
    }

    /// All metrics now.
    ///
    /// # Panics
    /// They cannot be read or are no valid exposition.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        let response = get(self.metrics.addr(), "metrics", "/metrics", &[]);
        Metrics::parse(&response.text()).or_die("read the metrics")
    }

    /// Waits until a metric has a value.
    ///
    /// # Panics
    /// It does not get it.
    pub fn wait_metric(&self, name: &str, labels: &[(&str, &str)], wanted: f64) {
        eventually(DEADLINE, &format!("{name} to be {wanted}"), || {
            let metrics = self.metrics();
            let value = metrics.get(name, labels);
            if (value - wanted).abs() < f64::EPSILON { Ok(()) } else { Err(metrics.show(name)) }
        });
    }

    /// Waits for a line of the access log and returns it.
    ///
    /// # Panics
    /// It does not come; the message has the lines that did.
    pub fn wait_log(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        eventually(DEADLINE, "a line of the access log", || {
            let lines = self.child.stdout();
            let found =
                lines.iter().filter_map(|line| serde_json::from_str(line).ok()).find(|line| wanted(line));
            found.ok_or_else(|| lines.join("\n"))
        })
    }

    /// What it said on standard error.
    #[must_use]
    pub fn stderr(&self) -> String {
        self.child.stderr()
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        self.child.signal(signal);
    }

    fn wait_until_ready(&mut self) {
        let Self { child, addresses, metrics, .. } = self;
        eventually(DEADLINE, "seawall to listen", || {
            assert!(child.is_running(), "seawall ended:\n{}", child.stderr());
            let metrics = metrics.addr();
            let all = addresses.iter().chain([&metrics]).all(|address| TcpStream::connect(address).is_ok());
            if all { Ok(()) } else { Err(child.stderr()) }
        });
    }

    /// Ends it with `signal` and starts it again, with the same configuration, folder and ports, and through the same
    /// program.
    ///
    /// # Panics
    /// It does not end, or does not get ready again.
    #[must_use]
    pub fn restart(mut self, signal: Signal) -> Self {
        self.child.signal(signal);
        let _ = self.wait();
        let mut command = through(&self.through, &binary());
        command.arg("run").arg(self.folder.path().join("seawall.yaml")).env_remove("SEAWALL_CONFIG");
        self.child = Child::spawn(command);
        self.wait_until_ready();
        self
    }

    /// Sends SIGTERM and waits for the end.
    ///
    /// # Panics
    /// It does not end.
    #[must_use]
    pub fn stop(mut self) -> Finished {
        self.child.signal(Signal::SIGTERM);
        self.wait()
    }

    /// Waits for the end.
    ///
    /// # Panics
    /// It does not end.
    #[must_use]
    pub fn wait(&mut self) -> Finished {
        self.child.wait(DEADLINE * 3)
    }

    /// A port that is reserved for this test beyond those of the listeners.
    #[must_use]
    pub fn spare_port(&self) -> &Port {
        &self.ports[2]
    }
}

/// The binary under test: beside the test in the target folder, or where `SEAWALL_BIN` says.
///
/// # Panics
/// It has not been built.
#[must_use]
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("SEAWALL_BIN") {
        return path.into();
    }
    let test = std::env::current_exe().or_die("find the test itself");
    let found = test.ancestors().skip(1).map(|folder| folder.join("seawall")).find(|path| path.is_file());
    found.or_die(
        "find the seawall binary: run `cargo build --workspace --bin seawall` first, as `make test` does",
    )
}
