//! The folder as Pingora sees it.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::HeaderValue;
use pingora_core::upstreams::peer::{HttpPeer, PeerOptions, Scheme};

use crate::connect::Connector;
use crate::disk::Disk;
use crate::folder::{Containment, Folder};
use crate::respond::Responder;
use crate::{FilesError, FilesSettings};

/// How long Pingora keeps an unused connection. A new one costs microseconds, an idle one holds a slot.
const IDLE: Duration = Duration::from_secs(10);

/// A folder that Pingora can connect to.
#[derive(Debug)]
pub struct FilesOrigin {
    peer: HttpPeer,
    connector: Arc<Connector>,
    connections: u32,
}

/// What a folder is doing, for telemetry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FilesStats {
    /// Connections open now, idle ones included.
    pub open: u32,
    /// Requests waiting for a connection now.
    pub waiting: u32,
    /// Reads at the disk now.
    pub reading: u32,
    /// Connections opened since the start.
    pub opened: u64,
    /// Connections refused since the start: too many open, or no file descriptors left.
    pub refused: u64,
    /// Answers given up half-way since the start, because the file was cut, rewritten or unreadable.
    pub aborted: u64,
}

impl FilesOrigin {
    /// An origin for the folder. A relative root starts from the working directory of this moment.
    ///
    /// # Errors
    /// When the settings are wrong; [`FilesSettings::check`] reports the same and more. The first problem is returned.
    pub fn new(settings: &FilesSettings) -> Result<Self, FilesError> {
        let here = if settings.root.is_absolute() {
            PathBuf::new()
        } else {
            std::env::current_dir()
                .map_err(|source| FilesError::NoWorkingDirectory { root: settings.root.clone(), source })?
        };
        if let Some(problem) = settings.problems(&here).into_iter().next() {
            return Err(problem);
        }
        let root = here.join(&settings.root);
        let folder = Folder::new(root.clone()).map_err(|source| FilesError::Unreadable { root, source })?;
        if folder.containment() == Containment::Walk {
            log::info!(
                "files: this system has no openat2; symbolic links below {:?} are not followed",
                folder.path()
            );
        }
        let responder = Responder {
            folder,
            index: settings.index.to_vec(),
            cache_control: settings
                .cache_control
                .as_deref()
                .and_then(|text| HeaderValue::from_str(text).ok()),
            dot_files: settings.dot_files,
            disk: Disk::new(settings.max_reads),
            aborted: Arc::default(),
        };
        let connector = Arc::new(Connector::new(
            responder,
            settings.max_connections,
            settings.max_waiting,
            settings.wait.duration(),
        ));
        Ok(Self { peer: peer(Arc::clone(&connector)), connector, connections: settings.max_connections })
    }

    /// What `upstream_peer` returns. Only the idle timeout is set; the caller adds the timeouts of its upstream. It must
    /// leave the address and the group key alone: by them Pingora tells this folder's connections from others'.
    #[must_use]
    pub fn peer(&self) -> Box<HttpPeer> {
        Box::new(self.peer.clone())
    }

    /// What the folder is doing now.
    #[must_use]
    pub fn stats(&self) -> FilesStats {
        let free = u32::try_from(self.connector.free()).unwrap_or(u32::MAX);
        FilesStats {
            open: self.connections.saturating_sub(free),
            waiting: self.connector.waiting.load(Ordering::Relaxed),
            reading: self.connector.reading(),
            opened: self.connector.opened.load(Ordering::Relaxed),
            refused: self.connector.refused.load(Ordering::Relaxed),
            aborted: self.connector.aborted(),
        }
    }
}

/// The address has to be `0.0.0.0`. Before Pingora reuses a connection it compares the address with `getpeername`
/// (`pingora-core/src/protocols/mod.rs`, `check_fd_match`): an end of a socket pair has no name, a unix address without a
/// path panics there, and `0.0.0.0` is the one address for which the comparison is left out. No server can have it, so
/// these peers never share a pool with others; the group key, unique in the process, keeps folders apart.
fn peer(connector: Arc<Connector>) -> HttpPeer {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let mut options = PeerOptions::new();
    options.custom_l4 = Some(connector);
    options.idle_timeout = Some(IDLE);
    HttpPeer {
        _address: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)).into(),
        scheme: Scheme::HTTP,
        sni: String::new(),
        proxy: None,
        client_cert_key: None,
        group_key: NEXT.fetch_add(1, Ordering::Relaxed),
        options,
    }
}
