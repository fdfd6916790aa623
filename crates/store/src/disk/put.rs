//! The way to the disk: what is to be written is queued, and never waited for unless somebody wants to know.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use tokio::sync::oneshot;

use super::Disk;
use super::stats::count;
use super::writer::Job;
use crate::body::Body;
use crate::head::Head;
use crate::storage::Names;

/// A complete object on its way to the disk.
#[derive(Debug)]
pub(crate) struct Put {
    pub(crate) names: Names,
    /// The number of its fill.
    pub(crate) seq: u64,
    /// When its request began in the history of purges.
    pub(crate) epoch: u64,
    pub(crate) head: Arc<Head>,
    pub(crate) body: Arc<Body>,
}

impl Put {
    fn bytes(&self) -> u64 {
        self.head.bytes().saturating_add(self.body.bytes())
    }
}

/// Dropped when an object can be found, or it is certain that it never will be.
pub(crate) type Until = Box<dyn std::fmt::Debug + Send + Sync>;

/// The metadata of a body that is in a file of its own already.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) names: Names,
    pub(crate) seq: u64,
    pub(crate) epoch: u64,
    pub(crate) head: Arc<Head>,
    pub(crate) body_len: u64,
}

impl Disk {
    /// Queues an object. When too much is queued already it is not kept here, nor is what it replaces.
    pub(crate) fn put(&self, put: Put) {
        let key = put.names.key;
        let bytes = put.bytes();
        let limit = self.config.write_buffer;
        let counter = if !self.health.may_write() || put.body.len() > self.config.max_record() / 2 {
            &self.counters.dropped_space
        } else if self
            .queued
            .fetch_update(Relaxed, Relaxed, |now| now.checked_add(bytes).filter(|sum| *sum <= limit))
            .is_err()
        {
            &self.counters.dropped_queue
        } else {
            if self.jobs.send(Job::Put(put, bytes)).is_ok() {
                return;
            }
            self.unqueue(bytes);
            &self.counters.dropped_queue
        };
        count(counter);
        self.index.remove(key);
    }

    /// An object left the queue.
    pub(super) fn unqueue(&self, bytes: u64) {
        self.queued.fetch_sub(bytes, Relaxed);
    }

    /// Queues the metadata of a body in a file, and keeps `until` so long. It is handed back when the writer has gone.
    pub(crate) fn link(&self, link: Link, until: Until) -> Result<(), Until> {
        match self.jobs.send(Job::Link(link, until)) {
            Err(crossbeam_channel::SendError(Job::Link(_, until))) => Err(until),
            _ => Ok(()),
        }
    }

    /// Queues a new header for the object that has `created` as its time of admission. The answer says whether it
    /// is in place.
    pub(crate) fn refresh(&self, names: Names, epoch: u64, head: Arc<Head>) -> oneshot::Receiver<bool> {
        let (done, answer) = oneshot::channel();
        if self.health.may_write() {
            let _ = self.jobs.send(Job::Refresh { names, epoch, head, done });
        }
        answer
    }
}
