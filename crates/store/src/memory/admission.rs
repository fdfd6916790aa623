//! What a disk that waits for the second request gets, and when.

use std::sync::Arc;

use super::{MemoryStore, Refusal};
use crate::disk::{Disk, Put};
use crate::entry::{Entry, Object};
use crate::fill::Fill;
use crate::storage::Names;

impl MemoryStore {
    /// Whether the disk takes what is about to be fetched. The request is remembered. Without a disk it makes no difference.
    pub(super) fn admits(&self, names: Names) -> bool {
        self.disk_of(names.family).is_none_or(|disk| disk.admits(names.key))
    }

    /// Why what is too large for memory would not be stored: there is no other place for it than a disk.
    pub(super) fn judge_large(&self, names: Names, length: Option<u64>) -> Option<Refusal> {
        let large = length.is_some_and(|length| length > self.memory_object);
        (large && !self.admits(names)).then_some(Refusal::FirstRequest)
    }

    /// Whether the disk takes `fill` now. Asked again when it is to be written, because much may have happened meanwhile.
    pub(crate) fn disk_takes(disk: &Disk, fill: &Fill) -> bool {
        fill.to_disk || disk.may_turn_up(fill.key)
    }

    /// The disk gets the new object of `entry`, or waits for the next request for it. `replaced`: there was another in memory,
    /// so this is no first request. The caller holds the shard, so that the disk gets objects in the order in which they count.
    pub(super) fn offer(&self, entry: &Entry, object: &Object, fill: &Fill, replaced: bool) {
        let Some(disk) = self.disk_of(entry.family) else { return entry.set_trial(false) };
        let taken = replaced || Self::disk_takes(disk, fill);
        entry.set_trial(!taken);
        if taken {
            put(disk, entry, object);
        } else {
            disk.count_first_request();
        }
    }

    /// Notes a hit on `entry`.
    pub(crate) fn touch(&self, entry: &Entry) {
        if entry.touch() {
            self.prove(entry);
        }
    }

    /// The object of `entry` was asked for a second time: the disk gets it.
    #[cold]
    fn prove(&self, entry: &Entry) {
        let _state = self.shard(entry.family).lock();
        if !entry.is_on_trial() {
            return;
        }
        entry.set_trial(false);
        if let (Some(object), Some(disk)) = (entry.object(), self.disk_of(entry.family)) {
            put(disk, entry, &object);
        }
    }
}

fn put(disk: &Disk, entry: &Entry, object: &Object) {
    let names = Names { key: entry.key, family: entry.family };
    // The disk accounts for what waits to be written, and is no reader.
    let (head, body) = (Arc::clone(&object.head), Arc::new(object.body.share()));
    disk.put(Put { names, seq: object.fill, epoch: object.epoch, head, body });
}
