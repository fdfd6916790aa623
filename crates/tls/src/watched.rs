//! The files of a listener's certificates, looked at now and then.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::certificate::{Certificate, CertificateInfo};
use crate::{CertificateSettings, LoadError, TlsSettings};

/// The clock of a file system is coarse: a file that was written this long ago may have been written again since,
/// within the same tick.
const SETTLED: Duration = Duration::from_secs(2);

/// Something new about a certificate's files.
#[derive(Debug)]
pub enum CertificateChange {
    /// They hold another valid pair, which is used from now on.
    Renewed(CertificateInfo),
    /// They hold something that cannot be used; the one before stays.
    Refused {
        /// The certificate file.
        path: PathBuf,
        /// Why.
        error: LoadError,
    },
}

/// What a file looked like; `None` when it was not there.
type Look = Option<(u64, u64, i64, i64, u64)>;

/// The files of one listener.
pub(crate) struct Watched {
    pub(crate) settings: TlsSettings,
    seen: Vec<Seen>,
}

/// The files of one certificate.
#[derive(Default)]
struct Seen {
    looks: [Look; 3],
    /// Whether `looks` says for sure that nothing changed.
    settled: bool,
    /// Why they cannot be used, as it was told.
    refused: Option<String>,
}

impl Watched {
    pub(crate) fn new(settings: &TlsSettings) -> Self {
        let now = SystemTime::now();
        let seen = settings.certificates.iter().map(|one| Seen::of(one, now)).collect();
        Self { settings: settings.clone(), seen }
    }

    /// Which certificates have files that cannot be used.
    pub(crate) fn stale(&self) -> Vec<bool> {
        self.seen.iter().map(|seen| seen.refused.is_some()).collect()
    }

    /// The certificates there should be now, if that is others than `current`, and what is new to tell.
    pub(crate) fn look(
        &mut self,
        current: &[Arc<Certificate>],
        now: SystemTime,
    ) -> Option<(Vec<Arc<Certificate>>, Vec<CertificateChange>)> {
        let mut changes = Vec::new();
        let mut certificates = Vec::with_capacity(current.len());
        for ((settings, seen), old) in self.settings.certificates.iter().zip(&mut self.seen).zip(current) {
            certificates.push(match seen.look(settings, old, now) {
                None => Arc::clone(old),
                Some(Ok(new)) => {
                    changes.push(CertificateChange::Renewed(new.info.clone()));
                    Arc::new(new)
                }
                Some(Err(error)) => {
                    changes.push(CertificateChange::Refused { path: settings.cert.clone(), error });
                    Arc::clone(old)
                }
            });
        }
        (!changes.is_empty()).then_some((certificates, changes))
    }
}

impl Seen {
    fn of(settings: &CertificateSettings, now: SystemTime) -> Self {
        let files = [Some(&settings.cert), Some(&settings.key), settings.ocsp.as_ref()];
        let looks = files.map(|file| file.and_then(|path| look(path)));
        let latest = looks.iter().flatten().map(|look| look.2).max().unwrap_or(0);
        let age = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let settled = i64::try_from(age.saturating_sub(SETTLED).as_secs()).is_ok_and(|then| latest < then);
        Self { looks, settled, refused: None }
    }

    /// A new certificate, or a new reason why there is none.
    fn look(
        &mut self,
        settings: &CertificateSettings,
        old: &Certificate,
        now: SystemTime,
    ) -> Option<Result<Certificate, LoadError>> {
        let mut latest = Self::of(settings, now);
        if self.settled && latest.looks == self.looks {
            return None;
        }
        latest.refused = self.refused.take();
        *self = latest;
        match load(settings, old, now) {
            Ok(new) => {
                self.refused = None;
                (!new.is_same(old)).then_some(Ok(new))
            }
            Err(error) => {
                // A pair is exchanged in two steps: whatever is half-way is looked at again.
                self.settled = false;
                let text = error.to_string();
                if self.refused.as_ref() == Some(&text) {
                    return None;
                }
                self.refused = Some(text);
                Some(Err(error))
            }
        }
    }
}

/// Loads what the files hold; its dates must hold, unless those of the old one do not either.
fn load(
    settings: &CertificateSettings,
    old: &Certificate,
    now: SystemTime,
) -> Result<Certificate, LoadError> {
    let new = Certificate::load(settings)?;
    if old.info.is_valid_at(now) && !new.info.is_valid_at(now) {
        return Err(LoadError::Dates { path: settings.cert.clone(), expired: new.info.not_after < now });
    }
    Ok(new)
}

fn look(path: &Path) -> Look {
    let meta = std::fs::metadata(path).ok()?;
    Some((meta.dev(), meta.ino(), meta.mtime().max(meta.ctime()), meta.mtime_nsec(), meta.size()))
}
