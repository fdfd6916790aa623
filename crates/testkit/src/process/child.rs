//! A program that a test started and that ends with the test.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use parking_lot::Mutex;

use crate::wait::OrDie;

/// Lines a program wrote so far.
type Lines = Arc<Mutex<Vec<String>>>;

/// A running program with its output captured. Dropping it kills its whole process group.
#[derive(Debug)]
pub struct Child {
    name: String,
    process: std::process::Child,
    out: Lines,
    err: Lines,
    readers: Vec<JoinHandle<()>>,
    ended: Option<ExitStatus>,
}

/// How a program ended.
#[derive(Debug, Clone)]
pub struct Finished {
    /// The exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// What it wrote to standard output.
    pub stdout: String,
    /// What it wrote to standard error.
    pub stderr: String,
}

impl Child {
    /// Starts `command` in a process group of its own, with nothing to read.
    ///
    /// # Panics
    /// It cannot be started.
    #[must_use]
    pub fn spawn(mut command: Command) -> Self {
        let name = command.get_program().to_string_lossy().into_owned();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut process = command.spawn().or_die(&format!("start {name}"));
        let (out, err) = (Lines::default(), Lines::default());
        let mut readers = Vec::new();
        if let Some(pipe) = process.stdout.take() {
            readers.push(collect(pipe, Arc::clone(&out)));
        }
        if let Some(pipe) = process.stderr.take() {
            readers.push(collect(pipe, Arc::clone(&err)));
        }
        Self { name, process, out, err, readers, ended: None }
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// The lines of standard output so far.
    #[must_use]
    pub fn stdout(&self) -> Vec<String> {
        self.out.lock().clone()
    }

    /// What it wrote to standard error so far.
    #[must_use]
    pub fn stderr(&self) -> String {
        self.err.lock().join("\n")
    }

    /// Sends a signal to the program itself.
    ///
    /// # Panics
    /// It is gone.
    pub fn signal(&self, signal: Signal) {
        nix::sys::signal::kill(self.group(), signal).or_die(&format!("signal {}", self.name));
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        if self.ended.is_none() {
            self.ended = self.process.try_wait().or_die("look after a program");
        }
        self.ended.is_none()
    }

    /// Waits until it has ended by itself.
    ///
    /// # Panics
    /// It has not within the time.
    pub fn wait(&mut self, within: Duration) -> Finished {
        let started = Instant::now();
        while self.is_running() {
            assert!(
                started.elapsed() < within,
                "{} did not end within {within:?}:\n{}",
                self.name,
                self.stderr()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
        for reader in self.readers.drain(..) {
            // A reader that panicked has lost lines; the test will miss them.
            let _ = reader.join();
        }
        Finished {
            code: self.ended.and_then(|status| status.code()),
            signal: self.ended.and_then(|status| status.signal()),
            stdout: self.stdout().join("\n"),
            stderr: self.stderr(),
        }
    }

    fn group(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.process.id()).unwrap_or(i32::MAX))
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // The group may be gone already, which is all that is wanted.
        let _ = killpg(self.group(), Signal::SIGKILL);
        let _ = self.process.wait();
    }
}

fn collect(pipe: impl Read + Send + 'static, into: Lines) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let mut reader = BufReader::new(pipe);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            into.lock().push(String::from_utf8_lossy(&line).trim_end_matches('\n').to_owned());
            line.clear();
        }
    })
}
