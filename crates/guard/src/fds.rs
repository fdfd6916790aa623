//! File descriptors: how many this process may have, and how many connections that carries.

use std::io;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Descriptors kept for files, logs, listeners and the cache.
const RESERVED: u64 = 256;
/// More connections than this must be asked for.
const MOST: u64 = 65_536;
/// A cap below this would be a slip of the environment, not a wish.
const FEWEST: u64 = 64;

/// Raises the soft limit of open files to the hard one and returns it.
///
/// # Errors
/// When the system refuses; the limit is then unchanged.
pub fn raise_file_limit() -> io::Result<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft < hard {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    }
    Ok(soft.max(hard))
}

/// How many client connections `file_limit` descriptors carry: half of what is not reserved, because a
/// connection may need one to an origin.
#[must_use]
pub fn derive_max_connections(file_limit: u64) -> u32 {
    let connections = (file_limit.saturating_sub(RESERVED) / 2).clamp(FEWEST, MOST);
    u32::try_from(connections).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::{derive_max_connections, raise_file_limit};

    #[test]
    fn connections_follow_descriptors_within_bounds() {
        assert_eq!(derive_max_connections(1024), 384);
        assert_eq!(derive_max_connections(1 << 20), 65_536);
        assert_eq!(derive_max_connections(u64::MAX), 65_536);
        assert_eq!(derive_max_connections(0), 64);
    }

    #[test]
    fn the_limit_can_be_raised_to_the_hard_one() {
        let limit = raise_file_limit().unwrap();
        assert!(limit >= 64);
        assert_eq!(raise_file_limit().unwrap(), limit);
    }
}
