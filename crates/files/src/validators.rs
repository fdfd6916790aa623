//! What tells one version of a file from another: `ETag` and `Last-Modified`.

use std::fs::Metadata;
use std::hash::{DefaultHasher, Hasher};
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long after a change a file counts as still changing: the coarsest file times in use (FAT) tick every two
/// seconds.
const SETTLE: Duration = Duration::from_secs(2);

/// An entity tag (RFC 9110 §8.8.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EntityTag {
    /// `W/`: fit for weak comparison only.
    pub(crate) weak: bool,
    /// What stands between the quotes.
    pub(crate) opaque: Vec<u8>,
}

impl EntityTag {
    /// As it is sent.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut text = Vec::with_capacity(self.opaque.len() + 4);
        text.extend_from_slice(if self.weak { b"W/\"" } else { b"\"" });
        text.extend_from_slice(&self.opaque);
        text.push(b'"');
        text
    }

    /// Strong comparison (RFC 9110 §8.8.3.2).
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        !self.weak && !other.weak && self.opaque == other.opaque
    }

    /// Weak comparison.
    pub(crate) fn is_equivalent(&self, other: &Self) -> bool {
        self.opaque == other.opaque
    }
}

/// The validators of one version of a file.
///
/// A strong validator must change with every change of the content (RFC 9110 §8.8.1). File times come from a clock
/// that ticks, so two changes within a tick look alike, and a tag made of them right after a change would promise too
/// much. Within [`SETTLE`] of a change the tag is therefore weak, and it is *another* tag than the strong one that
/// follows: what a client or a cache got in those seconds is validated once more instead of being kept for good.
/// `Last-Modified` is one second early for as long, for the same reason (§8.8.2.2); afterwards it is a strong validator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Validators {
    /// The entity tag.
    pub(crate) tag: EntityTag,
    /// `Last-Modified` in whole seconds, never in the future.
    pub(crate) modified: SystemTime,
    /// Whether `modified` may be compared strongly.
    pub(crate) modified_is_strong: bool,
}

impl Validators {
    /// The validators of a file at the moment `now`.
    pub(crate) fn new(file: &Metadata, now: SystemTime) -> Self {
        let changed = timestamp(file.ctime(), file.ctime_nsec());
        let written = timestamp(file.mtime(), file.mtime_nsec());
        // The change time, which no one can set back, decides about the tag.
        let weak = !is_settled(changed, now);
        let modified_is_strong = is_settled(whole_second(written), now);
        let known = whole_second(written.min(now));
        let modified = if modified_is_strong {
            known
        } else {
            known.checked_sub(Duration::from_secs(1)).unwrap_or(UNIX_EPOCH)
        };
        Self { tag: EntityTag { weak, opaque: opaque(file, weak) }, modified, modified_is_strong }
    }
}

fn is_settled(time: SystemTime, now: SystemTime) -> bool {
    now.duration_since(time).is_ok_and(|age| age >= SETTLE)
}

/// Size in clear, the rest hashed: inode numbers are nobody's business. The hash is the same in every process of one
/// build; a new build may cost one revalidation with a full answer.
fn opaque(file: &Metadata, weak: bool) -> Vec<u8> {
    let mut hasher = DefaultHasher::new();
    for part in [file.mtime(), file.mtime_nsec(), file.ctime(), file.ctime_nsec()] {
        hasher.write_i64(part);
    }
    for part in [file.size(), file.ino(), file.dev()] {
        hasher.write_u64(part);
    }
    let suffix = if weak { "-new" } else { "" };
    format!("{:x}-{:016x}{suffix}", file.size(), hasher.finish()).into_bytes()
}

/// HTTP dates cannot tell a time before 1970; such files count as from then.
fn timestamp(seconds: i64, nanos: i64) -> SystemTime {
    let since = Duration::new(u64::try_from(seconds).unwrap_or(0), u32::try_from(nanos).unwrap_or(0));
    UNIX_EPOCH.checked_add(since).unwrap_or(UNIX_EPOCH)
}

fn whole_second(time: SystemTime) -> SystemTime {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    UNIX_EPOCH + Duration::from_secs(since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::{EntityTag, Validators, whole_second};
    use std::io::Write as _;
    use std::time::{Duration, SystemTime};

    const LATER: Duration = Duration::from_secs(10);

    #[test]
    fn a_fresh_file_has_a_weak_tag_that_does_not_live_on() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let meta = file.as_file().metadata().unwrap();
        let now = SystemTime::now();
        let fresh = Validators::new(&meta, now);
        let settled = Validators::new(&meta, now + LATER);
        assert!(fresh.tag.weak && !fresh.modified_is_strong);
        assert!(!settled.tag.weak && settled.modified_is_strong);
        assert!(
            !fresh.tag.is_equivalent(&settled.tag),
            "else a version that was read half-way is kept for good"
        );
        assert_eq!(fresh.modified + Duration::from_secs(1), settled.modified);
        assert_eq!(settled, Validators::new(&meta, now + LATER * 2));
    }

    #[test]
    fn every_change_changes_the_tag() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        file.write_all(b"one").unwrap();
        file.as_file().set_modified(at).unwrap();
        let tag = |file: &tempfile::NamedTempFile| {
            Validators::new(&file.as_file().metadata().unwrap(), SystemTime::now() + LATER).tag
        };
        let first = tag(&file);
        // Same size, same inode, the modification time set back: only the change time tells.
        let wait = std::time::Instant::now();
        let second = loop {
            file.as_file().set_len(0).unwrap();
            std::fs::write(file.path(), b"two").unwrap();
            file.as_file().set_modified(at).unwrap();
            let now = tag(&file);
            if now != first || wait.elapsed() > Duration::from_secs(5) {
                break now;
            }
        };
        assert_ne!(first, second);
        let copy = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(copy.path(), b"two").unwrap();
        copy.as_file().set_modified(at).unwrap();
        assert_ne!(second, tag(&copy), "another inode is another version");
    }

    #[test]
    fn last_modified_is_never_in_the_future() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let now = SystemTime::now();
        file.as_file().set_modified(now + Duration::from_secs(86_400)).unwrap();
        let validators = Validators::new(&file.as_file().metadata().unwrap(), now);
        assert!(validators.modified <= now && !validators.modified_is_strong);

        let old = SystemTime::UNIX_EPOCH + Duration::from_millis(1_000_000_000_700);
        file.as_file().set_modified(old).unwrap();
        let validators = Validators::new(&file.as_file().metadata().unwrap(), now);
        assert_eq!(
            validators.modified,
            whole_second(old),
            "an old date is exact even when it was set just now"
        );
    }

    #[test]
    fn tags_compare_as_the_rfc_has_it() {
        let tag = |weak, text: &str| EntityTag { weak, opaque: text.as_bytes().to_vec() };
        // RFC 9110 §8.8.3.2, table 3.
        for (one, other, strong, weak) in [
            (tag(true, "1"), tag(true, "1"), false, true),
            (tag(true, "1"), tag(true, "2"), false, false),
            (tag(true, "1"), tag(false, "1"), false, true),
            (tag(false, "1"), tag(false, "1"), true, true),
        ] {
            assert_eq!((one.is_same(&other), one.is_equivalent(&other)), (strong, weak));
        }
        assert_eq!(tag(true, "a").to_bytes(), b"W/\"a\"");
    }
}
