//! Lines on their way to the writer.
//!
//! Workers append to their stripe's buffer under a lock that is held for one copy of a line. The writer is woken
//! by the first line after a pause and then lets lines gather for the flush time, so that under load a wake-up costs a
//! system call per batch and not per request; a buffer that fills faster than that calls it early.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::stripe;

/// A stripe that reaches this many bytes does not wait for the flush time.
const EAGER: usize = 64 * 1024;
/// A buffer that a burst made larger than this is given back.
const KEEP: usize = 1024 * 1024;

#[derive(Default)]
struct Pending {
    bytes: Vec<u8>,
    lines: u64,
    /// The writer has gone: what comes now is lost.
    closed: bool,
}

/// What the writer is asked to do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Orders {
    /// There are lines, to be written at the end of the flush time.
    lines: bool,
    /// There are many: write at once.
    eager: bool,
    /// Open the file anew.
    pub(super) reopen: bool,
    /// Write what there is, by this time, and end.
    pub(super) stop: Option<Instant>,
}

/// The numbers of an access log.
#[derive(Default)]
pub(super) struct Counters {
    pub(super) written: AtomicU64,
    pub(super) dropped: AtomicU64,
    pub(super) write_errors: AtomicU64,
    pub(super) reopened: AtomicU64,
    pub(super) reopen_failures: AtomicU64,
}

/// The lines between the workers and the writer.
pub(super) struct Buffer {
    stripes: Box<[Mutex<Pending>]>,
    /// The most bytes a stripe may hold.
    share: usize,
    /// Whether the writer knows that there are lines.
    announced: AtomicBool,
    orders: Mutex<Orders>,
    wake: Condvar,
    ended: Mutex<bool>,
    end: Condvar,
    pub(super) counters: Counters,
}

impl Buffer {
    /// A buffer of `bytes` in all.
    pub(super) fn new(bytes: usize) -> Self {
        let count = stripe::count();
        Self {
            stripes: (0..count).map(|_| Mutex::default()).collect(),
            share: bytes / count,
            announced: AtomicBool::new(false),
            orders: Mutex::default(),
            wake: Condvar::new(),
            ended: Mutex::new(false),
            end: Condvar::new(),
            counters: Counters::default(),
        }
    }

    /// Takes a line, or counts it as dropped when there is no room for it.
    pub(super) fn push(&self, line: &[u8]) {
        let (before, after) = {
            let mut pending = self.stripes[stripe::index()].lock();
            let before = pending.bytes.len();
            if pending.closed || line.len() > self.share.saturating_sub(before) {
                drop(pending);
                self.counters.dropped.fetch_add(1, Ordering::Relaxed);
                return;
            }
            pending.bytes.extend_from_slice(line);
            pending.lines += 1;
            (before, pending.bytes.len())
        };
        let eager = before < EAGER && after >= EAGER;
        if eager || (!self.announced.load(Ordering::Relaxed) && !self.announced.swap(true, Ordering::AcqRel))
        {
            self.order(|orders| {
                orders.lines = true;
                orders.eager |= eager;
            });
        }
    }

    /// Changes the orders and wakes the writer.
    pub(super) fn order(&self, change: impl FnOnce(&mut Orders)) {
        change(&mut self.orders.lock());
        self.wake.notify_one();
    }

    /// The writer's wait: until there is something to do, and then while lines gather for `flush`.
    pub(super) fn await_orders(&self, flush: Duration) -> Orders {
        let mut orders = self.orders.lock();
        self.wake.wait_while(&mut orders, |orders| *orders == Orders::default());
        self.wake.wait_while_for(
            &mut orders,
            |orders| !orders.eager && !orders.reopen && orders.stop.is_none(),
            flush,
        );
        let taken = *orders;
        *orders = Orders { stop: taken.stop, ..Orders::default() };
        // Before the stripes are read: a line that comes after that announces itself again.
        self.announced.store(false, Ordering::SeqCst);
        taken
    }

    /// The writer's pause after a failed write. Ends early for an order to reopen, and at the latest at the time to stop.
    pub(super) fn pause(&self, delay: Duration) -> Orders {
        let mut orders = self.orders.lock();
        let until = Instant::now() + delay;
        while !orders.reopen {
            let until = orders.stop.map_or(until, |stop| stop.min(until));
            if self.wake.wait_until(&mut orders, until).timed_out() {
                break;
            }
        }
        let taken = *orders;
        orders.reopen = false;
        taken
    }

    /// Swaps each stripe's lines for the emptied `batch` and hands them to `write`. With `last`, what comes later is dropped.
    pub(super) fn take(&self, batch: &mut Vec<u8>, last: bool, mut write: impl FnMut(&[u8])) {
        for stripe in &self.stripes {
            batch.clear();
            batch.shrink_to(KEEP);
            {
                let mut pending = stripe.lock();
                pending.closed |= last;
                pending.lines = 0;
                std::mem::swap(&mut pending.bytes, batch);
            }
            if !batch.is_empty() {
                write(batch);
            }
        }
    }

    /// The writer's last word.
    pub(super) fn ended(&self) {
        *self.ended.lock() = true;
        self.end.notify_all();
    }

    /// Waits for the writer to end; whether it did.
    pub(super) fn await_end(&self, until: Instant) -> bool {
        let mut ended = self.ended.lock();
        self.end.wait_while_until(&mut ended, |ended| !*ended, until);
        *ended
    }

    /// Bytes and lines that wait in memory.
    pub(super) fn waiting(&self) -> (u64, u64) {
        self.stripes.iter().fold((0, 0), |(bytes, lines), stripe| {
            let pending = stripe.lock();
            (bytes + pending.bytes.len() as u64, lines + pending.lines)
        })
    }
}
