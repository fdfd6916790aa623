//! The keys of session tickets: shared by all listeners, changed by time, kept in a file across restarts.
//!
//! A ticket is the client's memory of a session, sealed with a key of ours (RFC 5077 section 4, RFC 8446 section
//! 4.6.1). The newest key seals; older ones still open, for as long as a session may be resumed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use boring::error::ErrorStack;
use boring::hash::MessageDigest;
use boring::hmac::HmacCtxRef;
use boring::ssl::{SslContextBuilder, TicketKeyCallbackResult};
use boring::symm::{Cipher, CipherCtxRef};

/// The first line of the file.
const HEADER: &str = "seawall ticket keys 1";
/// More keys than any sane rotation needs; what is beyond is not read.
const MAX_KEYS: usize = 64;
/// A file of `MAX_KEYS` lines is below this.
const MAX_FILE: u64 = 64 * 1024;

/// Why the keys cannot be kept in their file.
#[derive(Debug, thiserror::Error)]
pub enum TicketError {
    /// Reading or writing failed.
    #[error("cannot use the ticket key file `{path}`: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Others can read it.
    #[error(
        "the ticket key file `{path}` has mode {mode:04o}: whoever can read it can read past traffic; chmod 0600 it"
    )]
    Permissions {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The library has no randomness.
    #[error("cannot make a ticket key: {0}")]
    Random(#[from] ErrorStack),
}

/// The keys in use.
pub struct TicketKeys {
    ring: ArcSwap<Vec<TicketKey>>,
    file: Option<PathBuf>,
    rotation: Duration,
    lifetime: Duration,
}

#[derive(Clone, PartialEq, Eq)]
struct TicketKey {
    /// When it was made, in seconds since 1970.
    born: u64,
    name: [u8; 16],
    seal: [u8; 16],
    sign: [u8; 32],
}

impl std::fmt::Debug for TicketKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TicketKeys").field("keys", &self.ring.load().len()).finish_non_exhaustive()
    }
}

impl TicketKeys {
    /// Keys for this process alone.
    ///
    /// # Errors
    /// When the library has no randomness.
    pub fn in_memory(rotation: Duration, lifetime: Duration) -> Result<Arc<Self>, TicketError> {
        let first = TicketKey::generate(now())?;
        Ok(Arc::new(Self { ring: ArcSwap::from_pointee(vec![first]), file: None, rotation, lifetime }))
    }

    /// Keys from `file`, which is made with mode 0600 when it is missing. A new key is made each `rotation`; one opens
    /// tickets for `lifetime` more, which should be the longest time a session can be resumed.
    ///
    /// # Errors
    /// When the file cannot be read or written, or others may read it.
    pub fn in_file(file: &Path, rotation: Duration, lifetime: Duration) -> Result<Arc<Self>, TicketError> {
        let keys = Self { ring: ArcSwap::default(), file: Some(file.to_owned()), rotation, lifetime };
        keys.refresh()?;
        Ok(Arc::new(keys))
    }

    /// Makes a new key when it is time, and takes in what another process did with the file. To be called now and then.
    ///
    /// # Errors
    /// As [`Self::in_file`]; the keys so far then stay in use.
    pub fn refresh(&self) -> Result<(), TicketError> {
        self.refresh_at(now())
    }

    fn refresh_at(&self, now: u64) -> Result<(), TicketError> {
        let Some(path) = &self.file else {
            if let Some(ring) = self.turned(self.ring.load().to_vec(), now)? {
                self.ring.store(Arc::new(ring));
            }
            return Ok(());
        };
        let io = |source| TicketError::Io { path: path.clone(), source };
        // One process at a time, over reading and writing: two that rotate at once would each lose the other's key.
        let _lock = lock_folder(path).map_err(io)?;
        let ring = read(path)?;
        let ring = match self.turned(ring.clone(), now)? {
            None => ring,
            Some(turned) => {
                write(path, &turned).map_err(io)?;
                turned
            }
        };
        self.ring.store(Arc::new(ring));
        Ok(())
    }

    /// The ring with a new key in front and without what is too old, if there is anything to change.
    fn turned(&self, mut ring: Vec<TicketKey>, now: u64) -> Result<Option<Vec<TicketKey>>, TicketError> {
        let before = ring.clone();
        let oldest = (self.rotation + self.lifetime).as_secs();
        // A key from the future is one from before the clock was set back: it would never age.
        ring.retain(|key| key.born <= now.saturating_add(60) && now.saturating_sub(key.born) <= oldest);
        if ring.first().is_none_or(|key| now.saturating_sub(key.born) >= self.rotation.as_secs()) {
            ring.insert(0, TicketKey::generate(now)?);
        }
        ring.truncate(MAX_KEYS);
        Ok((ring != before).then_some(ring))
    }

    /// The keys as text, for a successor of this process.
    #[must_use]
    pub fn export(&self) -> Vec<String> {
        self.ring.load().iter().map(TicketKey::to_line).collect()
    }

    /// Takes over the keys of the process before. Keys that are kept in a file are there already.
    pub fn adopt(&self, lines: &[String]) {
        let mut ring: Vec<TicketKey> =
            lines.iter().filter_map(|line| TicketKey::from_line(line.trim_end())).take(MAX_KEYS).collect();
        if self.file.is_none() && !ring.is_empty() {
            ring.sort_by_key(|key| std::cmp::Reverse(key.born));
            self.ring.store(Arc::new(ring));
        }
    }

    /// Keys that can open tickets now.
    #[must_use]
    pub fn count(&self) -> usize {
        self.ring.load().len()
    }

    /// Makes a context seal and open its tickets with these keys.
    pub(crate) fn install(self: &Arc<Self>, builder: &mut SslContextBuilder) {
        let keys = Arc::clone(self);
        // SAFETY: the callback sets name, IV, cipher and MAC when it seals, and cipher and MAC by the name when it
        // opens, as SSL_CTX_set_tlsext_ticket_key_cb asks.
        unsafe {
            builder.set_ticket_key_callback(move |_, name, iv, cipher, mac, sealing| {
                let ring = keys.ring.load();
                if sealing { seal(&ring, name, iv, cipher, mac) } else { open(&ring, name, iv, cipher, mac) }
            });
        }
    }
}

/// `EVP_MAX_IV_LENGTH`.
type Iv = [u8; 16];

fn seal(
    ring: &[TicketKey],
    name: &mut [u8; 16],
    iv: &mut Iv,
    cipher: &mut CipherCtxRef,
    mac: &mut HmacCtxRef,
) -> TicketKeyCallbackResult {
    let Some(key) = ring.first() else { return TicketKeyCallbackResult::Noop };
    if boring::rand::rand_bytes(iv).is_err() {
        return TicketKeyCallbackResult::Error;
    }
    *name = key.name;
    let begun = cipher
        .init_encrypt(&Cipher::aes_128_cbc(), &key.seal, iv)
        .and_then(|()| mac.init(&key.sign, &MessageDigest::sha256()));
    if begun.is_ok() { TicketKeyCallbackResult::Success } else { TicketKeyCallbackResult::Error }
}

fn open(
    ring: &[TicketKey],
    name: &[u8; 16],
    iv: &Iv,
    cipher: &mut CipherCtxRef,
    mac: &mut HmacCtxRef,
) -> TicketKeyCallbackResult {
    let Some(at) = ring.iter().position(|key| key.name == *name) else {
        return TicketKeyCallbackResult::Noop;
    };
    let key = &ring[at];
    let begun = cipher
        .init_decrypt(&Cipher::aes_128_cbc(), &key.seal, iv)
        .and_then(|()| mac.init(&key.sign, &MessageDigest::sha256()));
    match (begun, at) {
        (Err(_), _) => TicketKeyCallbackResult::Error,
        (Ok(()), 0) => TicketKeyCallbackResult::Success,
        // Sealed with an older key: the client gets a new ticket.
        (Ok(()), _) => TicketKeyCallbackResult::DecryptSuccessRenew,
    }
}

impl TicketKey {
    fn generate(born: u64) -> Result<Self, TicketError> {
        let mut key = Self { born, name: [0; 16], seal: [0; 16], sign: [0; 32] };
        for bytes in [&mut key.name[..], &mut key.seal[..], &mut key.sign[..]] {
            boring::rand::rand_bytes(bytes)?;
        }
        Ok(key)
    }

    fn to_line(&self) -> String {
        format!("{} {} {} {}\n", self.born, hex(&self.name), hex(&self.seal), hex(&self.sign))
    }

    fn from_line(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let key = Self {
            born: words.next()?.parse().ok()?,
            name: unhex(words.next()?)?,
            seal: unhex(words.next()?)?,
            sign: unhex(words.next()?)?,
        };
        words.next().is_none().then_some(key)
    }
}

/// The keys in the file, newest first; none when there is no file or it is not ours: sessions are then only begun anew.
fn read(path: &Path) -> Result<Vec<TicketKey>, TicketError> {
    let io = |source| TicketError::Io { path: path.to_owned(), source };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(io(error)),
    };
    let mode = file.metadata().map_err(io)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(TicketError::Permissions { path: path.to_owned(), mode });
    }
    let mut text = String::new();
    match file.take(MAX_FILE).read_to_string(&mut text) {
        Err(error) if error.kind() == io::ErrorKind::InvalidData => return Ok(Vec::new()),
        outcome => outcome.map_err(io)?,
    };
    let mut lines = text.lines();
    if lines.next() != Some(HEADER) {
        return Ok(Vec::new());
    }
    let mut keys: Vec<TicketKey> = lines.filter_map(TicketKey::from_line).take(MAX_KEYS).collect();
    keys.sort_by_key(|key| std::cmp::Reverse(key.born));
    Ok(keys)
}

/// Writes beside the file and renames, so that a reader sees all or nothing.
fn write(path: &Path, ring: &[TicketKey]) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    file.write_all(HEADER.as_bytes())?;
    file.write_all(b"\n")?;
    for key in ring {
        file.write_all(key.to_line().as_bytes())?;
    }
    file.sync_all()?;
    fs::rename(&beside, path)
}

/// Held over reading and writing. The folder and not the file, because the file is replaced.
fn lock_folder(path: &Path) -> io::Result<nix::fcntl::Flock<File>> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = File::open(folder)?;
    nix::fcntl::Flock::lock(folder, nix::fcntl::FlockArg::LockExclusive).map_err(|(_, errno)| errno.into())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    if text.len() != 2 * N || !text.is_ascii() {
        return None;
    }
    for (i, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * i..2 * i + 2], 16).ok()?;
    }
    Some(bytes)
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::{TicketError, TicketKeys};
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::time::Duration;

    const HOUR: Duration = Duration::from_secs(3600);

    fn names(keys: &TicketKeys) -> Vec<[u8; 16]> {
        keys.ring.load().iter().map(|key| key.name).collect()
    }

    #[test]
    fn the_newest_seals_and_old_ones_go_when_no_session_needs_them() {
        let keys = TicketKeys::in_memory(HOUR, 2 * HOUR).unwrap();
        let start = super::now();
        let first = names(&keys);
        keys.refresh_at(start + 3599).unwrap();
        assert_eq!(names(&keys), first);
        for hour in 1..10u64 {
            keys.refresh_at(start + hour * 3600).unwrap();
            assert_eq!(names(&keys).len(), 1 + hour.min(3) as usize, "hour {hour}");
        }
        assert!(!names(&keys).contains(&first[0]));
    }

    #[test]
    fn a_successor_takes_over() {
        let (old, new) =
            (TicketKeys::in_memory(HOUR, HOUR).unwrap(), TicketKeys::in_memory(HOUR, HOUR).unwrap());
        old.refresh_at(super::now() + 3600).unwrap();
        new.adopt(&old.export());
        assert_eq!(names(&old), names(&new));
        new.adopt(&["nonsense".into()]);
        assert_eq!(names(&old), names(&new));
    }

    #[test]
    fn a_clock_that_goes_back_does_not_keep_a_key_for_ever() {
        let keys = TicketKeys::in_memory(HOUR, HOUR).unwrap();
        let first = names(&keys);
        keys.refresh_at(super::now() - 1_000_000).unwrap();
        assert_ne!(names(&keys), first);
        assert_eq!(keys.count(), 1);
    }

    #[test]
    fn a_file_is_shared_private_and_survives() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tickets");
        let one = TicketKeys::in_file(&path, HOUR, HOUR).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let other = TicketKeys::in_file(&path, HOUR, HOUR).unwrap();
        assert_eq!(names(&one), names(&other));
        one.refresh_at(super::now() + 3600).unwrap();
        assert_ne!(names(&one), names(&other));
        other.refresh().unwrap();
        assert!(names(&one).iter().any(|name| names(&other).contains(name)), "a key in common");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn a_torn_file_costs_sessions_only_and_an_open_one_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tickets");
        for torn in [&b""[..], b"seawall ticket keys 1\n12 ab", b"\xff\xfe", b"other\n"] {
            fs::write(&path, torn).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            assert_eq!(TicketKeys::in_file(&path, HOUR, HOUR).unwrap().count(), 1);
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let error = TicketKeys::in_file(&path, HOUR, HOUR).unwrap_err();
        assert!(matches!(error, TicketError::Permissions { mode: 0o640, .. }), "{error}");
    }
}
