//! The Python programs in `python/`.
//!
//! Each of them prints what it has to say as JSON, one object a line. An origin binds a free port and prints
//! `{"port": 1234}` first; a client prints its findings and ends.

use std::path::Path;

use seawall_testkit::{Child, DEADLINE, OrDie, eventually, python};
use serde_json::Value;

fn spawn(name: &str, args: &[&str]) -> Child {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("python").join(name);
    let mut command = python(&file);
    command.args(args);
    Child::spawn(command)
}

/// A running program; it ends with the test.
#[derive(Debug)]
pub struct Script {
    child: Child,
    port: u16,
}

impl Script {
    /// Starts the origin `python/{name}` and waits until it listens.
    ///
    /// # Panics
    /// It does not get that far; the message has what it wrote.
    #[track_caller]
    #[must_use]
    pub fn start(name: &str, args: &[&str]) -> Self {
        let mut child = spawn(name, args);
        let port = eventually(DEADLINE, &format!("{name} to listen"), || {
            assert!(child.is_running(), "{name} ended:\n{}", child.stderr());
            let port = objects(&child).into_iter().find_map(|object| object["port"].as_u64());
            port.ok_or_else(|| child.stderr())
        });
        Self { child, port: u16::try_from(port).or_die("read a port") }
    }

    /// Starts the client `python/{name}` and leaves it running.
    #[must_use]
    pub fn start_client(name: &str, args: &[&str]) -> Self {
        Self { child: spawn(name, args), port: 0 }
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// What it has said so far, its port included.
    #[must_use]
    pub fn said(&self) -> Vec<Value> {
        objects(&self.child)
    }

    /// Waits until it has said something of which `wanted` makes a value.
    ///
    /// # Panics
    /// It does not; the message has what it said.
    #[track_caller]
    pub fn wait<T>(&self, what: &str, wanted: impl Fn(&Value) -> Option<T>) -> T {
        eventually(DEADLINE, what, || {
            let said = self.said();
            said.iter().find_map(&wanted).ok_or_else(|| format!("{said:?}\n{}", self.child.stderr()))
        })
    }
}

fn objects(child: &Child) -> Vec<Value> {
    child.stdout().iter().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// Runs the client `python/{name}` to its end and returns what it said last.
///
/// # Panics
/// It fails, or says nothing; the message has its traceback.
#[track_caller]
#[must_use]
pub fn ask(name: &str, args: &[&str]) -> Value {
    let mut child = spawn(name, args);
    let done = child.wait(DEADLINE * 2);
    assert_eq!(done.code, Some(0), "{name} {args:?} failed:\n{}\n{}", done.stdout, done.stderr);
    objects(&child).pop().or_die(&format!("hear of {name}: it said nothing"))
}
