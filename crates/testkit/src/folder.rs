//! Folders of tests.

use std::path::Path;
use std::sync::Once;
use std::time::{Duration, SystemTime};

use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::wait::OrDie;

const PREFIX: &str = "seawall-test-";

/// What a test may still need, though no process here has its number: it may run in another container.
const YOUNG: Duration = Duration::from_secs(3600);

/// A folder that goes with the test. One of a test that was killed goes with a later test.
///
/// # Panics
/// It cannot be made.
#[must_use]
pub fn folder() -> TempDir {
    static SWEPT: Once = Once::new();
    SWEPT.call_once(|| sweep(&std::env::temp_dir(), SystemTime::now() - YOUNG));
    make(&std::env::temp_dir(), std::process::id())
}

fn make(within: &Path, process: u32) -> TempDir {
    tempfile::Builder::new().prefix(&format!("{PREFIX}{process}-")).tempdir_in(within).or_die("make a folder")
}

/// Removes the folders of processes that have ended, from before `until`. What cannot be removed is somebody else's.
fn sweep(within: &Path, until: SystemTime) {
    for entry in std::fs::read_dir(within).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let process =
            name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.split('-').next()?.parse().ok());
        let old = entry.metadata().and_then(|found| found.modified()).is_ok_and(|changed| changed < until);
        if process.is_some_and(has_ended) && old {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

fn has_ended(process: i32) -> bool {
    kill(Pid::from_raw(process), None) == Err(Errno::ESRCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_test_left_goes_when_it_is_old() {
        let root = folder();
        // No process has this number: it is above the most that Linux gives.
        let (left, mine) = (make(root.path(), 1 << 23), make(root.path(), std::process::id()));
        std::fs::write(left.path().join("file"), "").or_die("write a file");
        let another = root.path().join("seawall-other");
        std::fs::create_dir(&another).or_die("make a folder");
        let there = || [left.path(), mine.path(), &another].map(Path::exists);
        sweep(root.path(), SystemTime::now() - YOUNG);
        assert_eq!(there(), [true; 3], "it is young");
        sweep(root.path(), SystemTime::now() + YOUNG);
        assert_eq!(there(), [false, true, true]);
    }
}
