//! The binary this process runs, and the one that is in its place now.

use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::io::{self, BufReader, Read};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;

/// The running binary, even when its name is gone.
const RUNNING: &str = "/proc/self/exe";

/// A path, and whether there is another binary by now.
#[derive(Debug)]
pub(crate) struct Program {
    path: PathBuf,
    /// The file that was compared last, and the outcome: the contents are read once for each file.
    compared: Mutex<Option<(Look, bool)>>,
}

/// A file and its state.
type Look = (u64, u64, u64, i64, i64);

impl Program {
    /// The binary by the name it was called, as long as that leads to it: a link that is set to another version later is
    /// then followed. To be asked for at the start; once the binary is replaced, the system tells another name.
    ///
    /// # Errors
    /// When the system does not tell.
    pub(crate) fn running() -> io::Result<Self> {
        let found = std::env::current_exe()?;
        let called = std::env::args_os().next().and_then(|name| by_name(&name));
        Ok(Self::at(called.unwrap_or(found)))
    }

    fn at(path: PathBuf) -> Self {
        Self { path, compared: Mutex::new(None) }
    }

    /// Where an upgrade finds its binary.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether another binary is there now. The same one written anew is no other.
    ///
    /// # Errors
    /// When there is none, or it cannot be read.
    pub(crate) fn is_replaced(&self) -> io::Result<bool> {
        self.differs_from(Path::new(RUNNING))
    }

    fn differs_from(&self, running: &Path) -> io::Result<bool> {
        let (now, then) = (fs::metadata(&self.path)?, fs::metadata(running)?);
        if (now.dev(), now.ino()) == (then.dev(), then.ino()) {
            return Ok(false);
        }
        if now.len() != then.len() {
            return Ok(true);
        }
        let look = look(&now);
        if let Some((known, differs)) = *self.compared.lock()
            && known == look
        {
            return Ok(differs);
        }
        let differs = !same_contents(File::open(&self.path)?, File::open(running)?)?;
        *self.compared.lock() = Some((look, differs));
        Ok(differs)
    }
}

fn look(meta: &Metadata) -> Look {
    (meta.dev(), meta.ino(), meta.len(), meta.mtime(), meta.mtime_nsec())
}

/// A name as a shell would look for it, when it leads to the running binary.
fn by_name(name: &OsString) -> Option<PathBuf> {
    let name = Path::new(name);
    let candidates: Vec<PathBuf> = if name.components().count() > 1 || name.is_absolute() {
        vec![name.to_owned()]
    } else {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path).map(|folder| folder.join(name)).collect()
    };
    let running = fs::metadata(RUNNING).ok()?;
    let is_it = |path: &PathBuf| {
        fs::metadata(path).is_ok_and(|meta| (meta.dev(), meta.ino()) == (running.dev(), running.ino()))
    };
    candidates.into_iter().find(is_it).and_then(|path| std::path::absolute(path).ok())
}

fn same_contents(one: File, other: File) -> io::Result<bool> {
    let (mut one, mut other) = (BufReader::new(one), BufReader::new(other));
    let (mut a, mut b) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
    loop {
        let count = one.read(&mut a)?;
        if count == 0 {
            return Ok(other.read(&mut b)? == 0);
        }
        match other.read_exact(&mut b[..count]) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            outcome => outcome?,
        }
        if a[..count] != b[..count] {
            return Ok(false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Program;
    use std::fs;

    #[test]
    fn only_another_content_is_another_program() {
        let folder = tempfile::tempdir().unwrap();
        let (running, path) = (folder.path().join("running"), folder.path().join("program"));
        fs::write(&running, vec![7; 200_000]).unwrap();
        fs::hard_link(&running, &path).unwrap();
        let program = Program::at(path.clone());
        assert!(!program.differs_from(&running).unwrap(), "the same file");
        let put = |bytes: &[u8]| {
            fs::write(folder.path().join("new"), bytes).unwrap();
            fs::rename(folder.path().join("new"), &path).unwrap();
        };
        put(&[7; 200_000]);
        assert!(!program.differs_from(&running).unwrap(), "the same content");
        assert!(!program.differs_from(&running).unwrap(), "looked at again");
        put(&[7; 199_999]);
        assert!(program.differs_from(&running).unwrap(), "another length");
        let mut other = vec![7; 200_000];
        other[150_000] = 8;
        put(&other);
        assert!(program.differs_from(&running).unwrap(), "another byte");
        fs::remove_file(&path).unwrap();
        program.differs_from(&running).unwrap_err();
    }

    #[test]
    fn a_name_that_leads_elsewhere_is_not_followed() {
        assert!(super::by_name(&"/bin/true".into()).is_none());
        assert!(super::by_name(&"true".into()).is_none());
        let own = std::env::current_exe().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&own, &link).unwrap();
        assert_eq!(super::by_name(&link.clone().into_os_string()), Some(link));
    }
}
