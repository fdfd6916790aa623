//! Both tiers without the content, for measuring hit ratios: memory above a disk, or the disk alone.

use std::sync::Arc;

use crate::clock::Clock;
use crate::codec::NoExtensions;
use crate::disk::record::{Header, Place, stored_len};
use crate::disk::simulation::Simulated;
use crate::disk::stats::DiskStats;
use crate::disk::toc::ENTRY;
use crate::disk::{Config, Shared};
use crate::head::Head;
use crate::memory::simulation::{Simulation, head, key_of};
use crate::memory::{MemoryStore, StoreError};
use crate::purges::Purges;
use crate::settings::StoreSettings;

/// Where a simulated request found its object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tier {
    /// In memory.
    Memory,
    /// On disk.
    Disk,
}

/// How a simulated disk differs from a real one.
#[derive(Debug, Clone, Copy)]
pub struct Choices {
    /// First requests that are remembered, for each that a real disk remembers.
    pub window: f64,
    /// What is remembered of what was pushed out, for each that a real disk remembers.
    pub ghosts: f64,
}

impl Default for Choices {
    fn default() -> Self {
        Self { window: 1.0, ghosts: 1.0 }
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of keys is enough")]
fn scaled(keys: usize, factor: f64) -> usize {
    (keys as f64 * factor) as usize
}

/// A store with a disk that is asked for numbers instead of URLs.
pub struct TierSimulation {
    memory: Option<Arc<Simulation>>,
    disk: Simulated,
    head: Arc<Head>,
    meta: u32,
    memory_object: u64,
    max_object: u64,
    next: u64,
}

impl TierSimulation {
    /// An empty store of the first disk of `settings`, below its memory or, without `memory`, alone.
    ///
    /// # Errors
    /// When the settings cannot be meant, or name no disk.
    pub fn new(settings: &StoreSettings, memory: bool, choices: Choices) -> Result<Self, StoreError> {
        let wrong = |error: &dyn std::fmt::Display| StoreError::Settings(error.to_string());
        MemoryStore::check(settings)?;
        let disk = settings.disk.iter().next().ok_or_else(|| wrong(&"no disk"))?;
        let head = head().map_err(|error| wrong(&error))?;
        let meta = head.thaw().and_then(|meta| crate::codec::encode_meta(&meta, &NoExtensions));
        let meta = meta.map_err(|error| wrong(&error))?.len();
        let shared = Shared {
            purges: Arc::new(Purges::new(settings.max_purges as usize, 1)),
            clock: Arc::new(Clock::new()),
            codec: Arc::new(NoExtensions),
        };
        let memory = if memory {
            Some(Arc::new(Simulation::new(MemoryStore::new(settings)?).map_err(|error| wrong(&error))?))
        } else {
            None
        };
        let above = memory.clone();
        let hot = Box::new(move |key| above.as_ref().is_some_and(|memory| memory.holds_dear(key)));
        let real = disk.config(settings);
        let remembered = real.remembered.map(|keys| scaled(keys, choices.window));
        let config = Config { ghosts: scaled(real.ghosts, choices.ghosts), remembered, ..real };
        let disk = Simulated::new(config, &shared, hot).map_err(StoreError::Disk)?;
        Ok(Self {
            memory,
            disk,
            head,
            meta: u32::try_from(meta).unwrap_or(u32::MAX),
            memory_object: settings.memory_object().bytes(),
            max_object: settings.max_object.bytes(),
            next: 1,
        })
    }

    /// Bytes that an object of `length` bytes takes of the disk.
    #[must_use]
    pub fn weight(&self, length: u64) -> u64 {
        let file = length > self.memory_object;
        let header = Header {
            seq: 0,
            epoch: 0,
            key: 0,
            family: 0,
            meta_len: self.meta,
            tags: 0,
            body_len: length,
            place: if file { Place::File } else { Place::Here },
            meta_crc: 0,
        };
        let beside = if file { stored_len(length) } else { 0 };
        header.record_len().saturating_add(ENTRY as u64).saturating_add(beside)
    }

    /// One request for `object`, which is `length` bytes long: where it was found. After a miss it is stored, if the
    /// store would.
    pub fn request(&mut self, object: u64, length: u64) -> Option<Tier> {
        let key = key_of(object);
        let small = length <= self.memory_object;
        if let Some(waited) = self.memory.as_ref().and_then(|memory| memory.find(key)) {
            if waited {
                self.next = self.next.saturating_add(1);
                self.disk.put(key, self.next, &self.head, length);
            }
            return Some(Tier::Memory);
        }
        if let Some(found) = self.disk.find(key) {
            if let Some(memory) = self.memory.as_ref().filter(|_| found.reads > 0 && small) {
                memory.fill(key, length, false);
            }
            return Some(Tier::Disk);
        }
        if length > self.max_object {
            return None;
        }
        self.next = self.next.saturating_add(1);
        let admitted = self.disk.admits(key);
        if let Some(memory) = self.memory.as_ref().filter(|_| small) {
            memory.fill(key, length, !admitted);
        }
        if !admitted {
            // In memory alone, or nowhere.
        } else if small {
            self.disk.put(key, self.next, &self.head, length);
        } else {
            self.disk.put_file(key, self.next, &self.head, length);
        }
        None
    }

    /// The numbers of the disk.
    #[must_use]
    pub fn stats(&self) -> DiskStats {
        self.disk.stats()
    }
}

#[cfg(test)]
mod tests {
    use seawall_config::units::ByteSize;

    use super::{Choices, Tier, TierSimulation};
    use crate::settings::{DiskAdmission, DiskSettings, StoreSettings};

    /// What was asked for twice outlives a crawler that asks for three times the disk: all files, and of the records that
    /// lie side by side in a segment or two as many as may be copied.
    #[test]
    fn what_was_read_outlives_a_crawler() {
        let settings = StoreSettings {
            memory: ByteSize::mib(16),
            disk: vec![DiskSettings::new("/simulated", ByteSize::mib(256))].into(),
            ..StoreSettings::default()
        };
        let mut store = TierSimulation::new(&settings, false, Choices::default()).unwrap();
        let length = |number: u64| if number.is_multiple_of(8) { 2 << 20 } else { 64 << 10 };
        for round in 0..2 {
            for number in 0..100 {
                let found = store.request(number, length(number));
                assert_eq!(found, (round > 0).then_some(Tier::Disk), "{number}");
            }
        }
        for number in 1000..3500 {
            assert_eq!(store.request(number, length(number)), None);
        }
        let found = |store: &mut TierSimulation, from: u64| {
            (from..from + 100).filter(|number| store.request(*number, length(*number)).is_some()).count()
        };
        assert!(found(&mut store, 0) > 60);
        assert!((0..100).step_by(8).all(|number| store.request(number, length(number)).is_some()));
        assert_eq!(found(&mut store, 1000), 0, "the crawler's first");
        let stats = store.stats();
        assert!(stats.bytes <= stats.capacity_bytes);
        assert!(stats.counts.evicted_small > 500 && stats.counts.evicted_files > 100);
    }

    #[test]
    fn a_disk_that_waits_for_the_second_request_writes_nothing_for_a_crawler() {
        let tried = |admission, memory| {
            let disk = DiskSettings::new("/simulated", ByteSize::mib(256));
            let settings = StoreSettings {
                memory: ByteSize::mib(16),
                disk: vec![DiskSettings { admission, ..disk }].into(),
                ..StoreSettings::default()
            };
            let mut store = TierSimulation::new(&settings, memory, Choices::default()).unwrap();
            let mut tiers = Vec::new();
            for number in 0..500 {
                store.request(number, 1000);
            }
            let after_once = store.stats().counts.written_bytes;
            for _ in 0..2 {
                tiers.push(store.request(7, 1000));
            }
            (after_once, tiers, store.stats().objects)
        };
        let (written, found, _) = tried(DiskAdmission::All, false);
        assert!(written > 500_000 && found == [Some(Tier::Disk); 2]);
        let (written, found, objects) = tried(DiskAdmission::SecondRequest, false);
        assert_eq!((written, &found[..], objects), (0, &[None, Some(Tier::Disk)][..], 1));
        // What memory has is not fetched again; asked for again it is written.
        assert_eq!(tried(DiskAdmission::SecondRequest, true), (0, vec![Some(Tier::Memory); 2], 1));
    }
}
