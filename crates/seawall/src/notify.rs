//! Tells systemd how things stand (sd_notify(3)): a datagram to the socket that `NOTIFY_SOCKET` names.

use std::ffi::OsString;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// Says nothing when nobody listens.
#[derive(Debug, Default)]
pub(crate) struct Notifier {
    socket: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Duration>,
}

impl Notifier {
    /// Speaks to whom the environment names.
    pub(crate) fn from_environment() -> Self {
        let var = |name: &str| std::env::var(name).ok();
        let Some(address) = std::env::var_os("NOTIFY_SOCKET") else { return Self::default() };
        let socket = match connect(&address) {
            Ok(socket) => Some(socket),
            Err(error) => {
                log::warn!("cannot speak to the service manager at {}: {error}", address.to_string_lossy());
                None
            }
        };
        // Set for another process, it is not for us (sd_watchdog_enabled(3)).
        let ours = var("WATCHDOG_PID").is_none_or(|pid| pid == std::process::id().to_string());
        let period = var("WATCHDOG_USEC").filter(|_| ours).and_then(|text| text.parse().ok());
        Self { socket, watchdog: period.map(Duration::from_micros).filter(|period| !period.is_zero()) }
    }

    /// How often [`Self::alive`] is to be said: twice as often as the manager asks for.
    pub(crate) fn watchdog(&self) -> Option<Duration> {
        self.watchdog.filter(|_| self.socket.is_some()).map(|period| period / 2)
    }

    pub(crate) fn ready(&self) {
        self.say(&format!("READY=1\nMAINPID={}\nSTATUS=serving\n", std::process::id()));
    }

    pub(crate) fn reloading(&self) {
        self.say(&format!("RELOADING=1\nMONOTONIC_USEC={}\nSTATUS=reading the configuration\n", monotonic()));
    }

    /// The end of a reload, whatever came of it: what serves is ready.
    pub(crate) fn reloaded(&self, status: &str) {
        self.say(&format!("READY=1\nSTATUS={status}\n"));
    }

    /// Another process is the main one from now on.
    pub(crate) fn succeeded(&self, pid: u32) {
        // What the new one has said so far was not heard from it: the dog is fed for it, too.
        self.say(&format!("MAINPID={pid}\nREADY=1\nWATCHDOG=1\nSTATUS=serving\n"));
    }

    pub(crate) fn stopping(&self) {
        self.say("STOPPING=1\nSTATUS=draining\n");
    }

    pub(crate) fn alive(&self) {
        self.say("WATCHDOG=1\n");
    }

    fn say(&self, message: &str) {
        if let Some((socket, address)) = &self.socket
            && let Err(error) = socket.send_to_addr(message.as_bytes(), address)
        {
            log::warn!("the service manager does not hear us: {error}");
        }
    }
}

fn connect(address: &OsString) -> io::Result<(UnixDatagram, SocketAddr)> {
    let address = match address.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(address)?,
    };
    let socket = UnixDatagram::unbound()?;
    // A manager that does not read must not stop us.
    socket.set_nonblocking(true)?;
    Ok((socket, address))
}

/// Microseconds of CLOCK_MONOTONIC, by which the manager tells this reload from one before.
fn monotonic() -> i64 {
    use nix::sys::time::TimeValLike as _;
    nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).map_or(0, |now| now.num_microseconds())
}
