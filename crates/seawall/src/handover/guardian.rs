//! A process between the old one and the new one, for as long as the old one may want to end the new one.
//!
//! A service manager waits for the end of processes that are its own children, and systemd kills a main process that is another's
//! child the moment it stops a service, without the time to drain (`service_set_main_pid`: "not our child"). So the new
//! process must not be the old one's child when it is named the main one. It is started by a guardian, which passes
//! on how it ended if it does; once it takes connections the guardian is ended, and whoever adopts orphans, which is the
//! service manager, has it from then on.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, raise};
use nix::unistd::Pid;
use tokio::signal::unix::{SignalKind, signal};

use super::ENVIRONMENT;

/// Set for a guardian: the program it is to start.
const GUARDED: &str = "SEAWALL_GUARDED";
/// Tells a guardian to end the new process. None that a service manager or a terminal sends to all processes.
const END: SignalKind = SignalKind::user_defined1();
/// The running binary, also when its file is gone.
const SELF: &str = "/proc/self/exe";
/// How long a process that said it failed may take to end by itself, and a guardian to do as it is told.
const PARTING: Duration = Duration::from_secs(1);

/// The old process's side of a guardian.
pub(super) struct Guarded(Child);

impl Guarded {
    /// Starts `program run file` through a guardian, with this end of the channel as its standard input.
    ///
    /// # Errors
    /// When the guardian cannot be started. That the program cannot is said over the channel.
    pub(super) fn start(program: &Path, file: &Path, end: OwnedFd) -> io::Result<Self> {
        let mut command = Command::new(SELF);
        command
            .arg0("seawall-guardian")
            .arg("run")
            .arg(file)
            .env(GUARDED, program)
            .env_remove("WATCHDOG_PID");
        // The logs stay where they are.
        command.stdin(Stdio::from(end));
        command.spawn().map(Self)
    }

    /// The guardian's process id.
    pub(super) fn id(&self) -> u32 {
        self.0.id()
    }

    /// Lets the new process go.
    pub(super) fn release(mut self) {
        if let Err(error) = self.0.kill().and_then(|()| self.0.wait().map(drop)) {
            log::warn!("the guardian of the new process stays: {error}");
        }
    }

    /// Ends the new process, unless it does so by itself, and returns how it ended in that case.
    pub(super) fn end(mut self) -> Option<ExitStatus> {
        if let Some(status) = self.wait() {
            return Some(status);
        }
        end(self.id());
        if self.wait().is_none() {
            log::warn!("the guardian of the new process does not end");
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
        None
    }

    fn wait(&mut self) -> Option<ExitStatus> {
        let until = Instant::now() + PARTING;
        while Instant::now() < until {
            match self.0.try_wait() {
                Ok(Some(status)) => return Some(status),
                Ok(None) => std::thread::sleep(Duration::from_millis(10)),
                Err(_) => break,
            }
        }
        None
    }
}

/// Tells a guardian to end its process and itself.
pub(super) fn end(guardian: u32) {
    if let Ok(pid) = i32::try_from(guardian)
        && let Err(error) = kill(Pid::from_raw(pid), Signal::SIGUSR1)
    {
        log::warn!("process {pid} cannot be told to end the one that was to take over: {error}");
    }
}

/// Does a guardian's work when this process is to be one, and returns how to end.
pub(crate) fn guard(file: &Path) -> Option<ExitCode> {
    let program = std::env::var_os(GUARDED)?;
    let program = Path::new(&program);
    Some(match start_and_watch(program, file) {
        Ok(status) => as_it_ended(status),
        Err(error) => {
            // Whoever waits for the new process is told on its channel.
            if let Ok(channel) = super::new::inherited_channel() {
                super::fail(&channel, &format!("cannot start {}: {error}", program.display()));
            }
            ExitCode::FAILURE
        }
    })
}

fn start_and_watch(program: &Path, file: &Path) -> io::Result<ExitStatus> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        // What is meant for the service is for its processes, not for this one. To catch it is not inherited, while to block
        // or to ignore it would be.
        let _deaf =
            [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup(), SignalKind::quit()]
                .map(signal);
        let mut end = signal(END)?;
        let mut children = signal(SignalKind::child())?;
        let mut command = Command::new(program);
        command.arg("run").arg(file).env(ENVIRONMENT, "1").env_remove(GUARDED);
        let mut child = command.spawn()?;
        // Its end of the channel is the only one from now on: when it ends, that shows.
        nix::unistd::dup2_stdin(std::fs::File::open("/dev/null")?)?;
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok(status);
            }
            tokio::select! {
                _ = end.recv() => child.kill()?,
                _ = children.recv() => {}
            }
        }
    })
}

fn as_it_ended(status: ExitStatus) -> ExitCode {
    if let Some(signal) = status.signal().and_then(|number| Signal::try_from(number).ok()) {
        // Those that were caught above end nothing; the code then says as much.
        let _ = raise(signal);
    }
    ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}

/// Whether this process is the guardian's child.
pub(super) fn is_parent_of(guardian: u32, pid: u32) -> bool {
    // The fields after the name, which may hold anything: state, parent.
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let parent = stat.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(1)?.parse().ok());
    parent == Some(guardian)
}

#[cfg(test)]
mod tests {
    use super::is_parent_of;

    #[test]
    fn a_child_is_known_by_its_parent() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let own = std::process::id();
        assert!(is_parent_of(own, child.id()));
        assert!(!is_parent_of(own, own) && !is_parent_of(child.id(), own) && !is_parent_of(own, u32::MAX));
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
