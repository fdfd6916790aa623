//! The journal of another run, followed while it grows.
//!
//! Its process may put a shorter file in its place at any time, or a later process may have taken its purges over and removed
//! it. How long a file is does not tell that: the new one may have grown past what was read of the old one. So the file that
//! was read last stays open, and as long as it does no other file has its [id](FileId). What was added to it before it was
//! replaced is still there to be read.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::{Purge, read};
use crate::disk::io::{FileId, Files, Handle, Mode};

/// The journal of another run that may still grow.
#[derive(Debug)]
pub(crate) struct Tail {
    pub(crate) run: u32,
    path: PathBuf,
    file: Option<Followed>,
}

/// What comes next in a journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next<'a> {
    /// A purge.
    Purge(&'a Purge),
    /// Purges are missing here.
    Gap,
}

#[derive(Debug)]
struct Followed {
    file: Arc<dyn Handle>,
    id: FileId,
    read: u64,
    /// What was read last looked as if something was missing.
    gap: bool,
}

impl Followed {
    fn new(file: Arc<dyn Handle>, read: u64) -> io::Result<Self> {
        Ok(Self { id: file.id()?, file, read, gap: false })
    }

    /// Reads on.
    fn more(&mut self, next: &mut impl FnMut(Next<'_>)) -> io::Result<()> {
        let told = read(&*self.file, self.read)?;
        told.purges.iter().for_each(|purge| next(Next::Purge(purge)));
        let gap_before = std::mem::take(&mut self.gap) && told.len == self.read;
        self.read = told.len;
        match told.damaged {
            None => Ok(()),
            // What was written while it was read may be there in part. It is whole the next time.
            Some(_) if !gap_before => {
                self.gap = true;
                Ok(())
            }
            Some(behind) => {
                next(Next::Gap);
                self.read = behind;
                self.more(next)
            }
        }
    }
}

impl Tail {
    /// Follows what may not be there yet, from its beginning on.
    pub(crate) fn new(run: u32, path: PathBuf) -> Self {
        Self { run, path, file: None }
    }

    /// Goes on after the first `read` bytes of `file`, which was found at `path`.
    pub(crate) fn after(run: u32, path: PathBuf, file: Arc<dyn Handle>, read: u64) -> io::Result<Self> {
        Ok(Self { run, path, file: Some(Followed::new(file, read)?) })
    }

    /// Whether something may be missing that the next look will tell.
    pub(crate) fn is_unsure(&self) -> bool {
        self.file.as_ref().is_some_and(|followed| followed.gap)
    }

    /// Hands what was added since the last time to `next`. After an error it goes on where it stopped.
    pub(crate) fn more(&mut self, files: &dyn Files, next: &mut impl FnMut(Next<'_>)) -> io::Result<()> {
        // Before the old one is read: nothing is added to that once another one is there.
        let now = match files.open(&self.path, Mode::Read) {
            // Not begun yet, or taken over by a later run.
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            file => Some(Followed::new(file?, 0)?),
        };
        if let Some(followed) = &mut self.file {
            followed.more(next)?;
        }
        match now {
            Some(mut now) if self.file.as_ref().is_none_or(|followed| followed.id != now.id) => {
                if let Some(last) = self.file.as_mut().filter(|last| last.gap) {
                    last.more(next)?;
                }
                let told = now.more(next);
                self.file = Some(now);
                told
            }
            _ => Ok(()),
        }
    }
}
