//! Files in memory that keep no zeros: bodies of zeros of any size cost their checksums.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use super::{FileId, Files, Handle, Mode};

const BLOCK: usize = 256;
static ZEROS: [u8; BLOCK] = [0; BLOCK];

/// A file system in memory. What is written to it costs memory only where it is not zero.
#[derive(Debug, Default)]
pub(crate) struct SparseFiles {
    files: Mutex<BTreeMap<PathBuf, Arc<SparseFile>>>,
}

#[derive(Debug, Default)]
struct SparseFile(RwLock<Content>);

#[derive(Debug, Default)]
struct Content {
    len: u64,
    blocks: HashMap<u64, Box<[u8; BLOCK]>, ahash::RandomState>,
}

/// Parts of a range that lie in one block each: the block's number, where in the block, where in the range.
fn pieces(offset: u64, len: usize) -> impl Iterator<Item = (u64, usize, std::ops::Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let at = offset.saturating_add(done as u64);
        let begin = usize::try_from(at % BLOCK as u64).unwrap_or(0);
        let more = (BLOCK - begin).min(len - done);
        let range = done..done + more;
        done += more;
        (more > 0).then_some((at / BLOCK as u64, begin, range))
    })
}

impl Handle for SparseFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let content = self.0.read();
        let there = usize::try_from(content.len.saturating_sub(offset)).unwrap_or(usize::MAX);
        let end = there.min(buffer.len());
        let buffer = &mut buffer[..end];
        buffer.fill(0);
        for (number, begin, range) in pieces(offset, buffer.len()) {
            if let Some(block) = content.blocks.get(&number) {
                let end = begin + range.len();
                buffer[range].copy_from_slice(&block[begin..end]);
            }
        }
        Ok(buffer.len())
    }

    fn read_cached_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.read_at(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let mut content = self.0.write();
        for (number, begin, range) in pieces(offset, bytes.len()) {
            let (piece, end) = (&bytes[range.clone()], begin + range.len());
            match content.blocks.get_mut(&number) {
                Some(block) => block[begin..end].copy_from_slice(piece),
                None if piece == &ZEROS[..piece.len()] => {}
                None => {
                    let mut block = Box::new(ZEROS);
                    block[begin..end].copy_from_slice(piece);
                    content.blocks.insert(number, block);
                }
            }
        }
        content.len = content.len.max(offset.saturating_add(bytes.len() as u64));
        Ok(bytes.len())
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        let mut content = self.0.write();
        content.len = content.len.max(len);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut content = self.0.write();
        content.blocks.retain(|number, _| *number < len.div_ceil(BLOCK as u64));
        content.len = len;
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.read().len)
    }

    fn id(&self) -> io::Result<FileId> {
        Ok(FileId(0, std::ptr::from_ref(self).addr() as u64))
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn try_lock(&self) -> io::Result<bool> {
        Ok(true)
    }
}

impl Files for SparseFiles {
    fn open(&self, path: &Path, mode: Mode) -> io::Result<Arc<dyn Handle>> {
        let mut files = self.files.lock();
        let file = match (files.get(path), mode) {
            (Some(_), Mode::Create) => return Err(io::ErrorKind::AlreadyExists.into()),
            (Some(file), _) => Arc::clone(file),
            (None, Mode::Read) => return Err(io::ErrorKind::NotFound.into()),
            (None, Mode::Create | Mode::Write) => Arc::clone(files.entry(path.to_owned()).or_default()),
        };
        Ok(file)
    }

    fn open_cached(&self, path: &Path) -> io::Result<Arc<dyn Handle>> {
        self.open(path, Mode::Read)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.files.lock().remove(path).map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut files = self.files.lock();
        let file = files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        files.insert(to.to_owned(), file);
        Ok(())
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let files = self.files.lock();
        let names: BTreeSet<String> = files
            .keys()
            .filter_map(|path| path.strip_prefix(folder).ok()?.components().next())
            .map(|name| name.as_os_str().to_string_lossy().into_owned())
            .collect();
        Ok(names.into_iter().collect())
    }

    fn make_folder(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn free(&self, _: &Path) -> io::Result<u64> {
        Ok(u64::MAX)
    }

    fn sync_folder(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::io::{read_full, write_all};

    #[test]
    fn reads_what_was_written_and_keeps_no_zeros() {
        let files = SparseFiles::default();
        let path = Path::new("/a/b");
        assert!(files.open(path, Mode::Read).is_err());
        let file = SparseFile::default();
        let mut expected = vec![0u8; 5000];
        for (at, len) in [(0usize, 3usize), (250, 20), (1024, 256), (4990, 10)] {
            expected[at..at + len].fill(at as u8 | 1);
            write_all(&file, &expected[at..at + len], at as u64).unwrap();
        }
        write_all(&file, &[0; 600], 3000).unwrap();
        let mut got = vec![9; 6000];
        assert_eq!(read_full(&file, &mut got, 0).unwrap(), 5000);
        assert_eq!(got[..5000], expected);
        assert_eq!(file.0.read().blocks.len(), 4, "the first, the second, the fifth and the last");
        write_all(&file, &[0; 256], 1024).unwrap();
        assert_eq!(read_full(&file, &mut got[..256], 1024).unwrap(), 256);
        assert!(got[..256].iter().all(|byte| *byte == 0));
        files.open(path, Mode::Create).unwrap();
        assert!(files.open(path, Mode::Create).is_err());
        assert_eq!(files.list(Path::new("/a")).unwrap(), ["b"]);
        files.remove(path).unwrap();
        assert!(files.list(Path::new("/a")).unwrap().is_empty());
    }
}
