//! The thread that looks through memory after purges: a purge itself takes no time for what it names, so somebody has to
//! give the memory back and to shorten the table of purges.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::memory::MemoryStore;

/// It looks after this time at the latest when there were purges: those of another process come without a word.
const INTERVAL: Duration = if cfg!(test) { Duration::from_millis(50) } else { Duration::from_secs(10) };
/// It looks no more often than this.
const PAUSE: Duration = if cfg!(test) { Duration::from_millis(1) } else { Duration::from_secs(1) };
/// Purges are remembered for so long after their work is done, for requests that are still waiting for their origin:
/// an answer that is older than a purge that was forgotten is not stored.
const GRACE: Duration = if cfg!(test) { Duration::ZERO } else { Duration::from_secs(60) };

/// Wakes and ends the thread.
#[derive(Debug, Default)]
pub(crate) struct Sweeper {
    wanted: Mutex<bool>,
    changed: Condvar,
    stopped: AtomicBool,
}

impl Sweeper {
    /// Starts the thread.
    pub(crate) fn start(&'static self, memory: &'static MemoryStore) -> io::Result<()> {
        std::thread::Builder::new().name("store-sweep".into()).spawn(move || self.run(memory)).map(drop)
    }

    /// There was a purge.
    pub(crate) fn wake(&self) {
        *self.wanted.lock() = true;
        self.changed.notify_one();
    }

    /// Ends the thread.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, SeqCst);
        self.changed.notify_one();
    }

    fn wait(&self) {
        let mut wanted = self.wanted.lock();
        if !*wanted {
            self.changed.wait_for(&mut wanted, INTERVAL);
        }
        *wanted = false;
    }

    fn run(&self, memory: &MemoryStore) {
        // Purges of earlier runs want to be forgotten, too.
        let mut swept = 0;
        // Moments before which memory has nothing, and since when that is known.
        let mut known: Option<(Instant, u64)> = None;
        while !self.stopped.load(SeqCst) {
            self.wait();
            let generation = memory.generation();
            if generation != swept {
                let began = Instant::now();
                let (moment, seen) = memory.sweep();
                swept = generation;
                log::debug!("{seen} objects in memory judged anew in {:?}", began.elapsed());
                known.get_or_insert((began, moment));
            }
            if let Some((_, moment)) = known.take_if(|(since, _)| since.elapsed() >= GRACE) {
                // What came in while the first look was under way.
                memory.sweep();
                if memory.nothing_older(moment) > 0 {
                    // Purges since then have their turn.
                    swept = 0;
                }
            }
            std::thread::sleep(PAUSE);
        }
    }
}
