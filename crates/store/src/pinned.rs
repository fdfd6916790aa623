//! Bodies that are stored no more and still read.
//!
//! Whoever reads an object from memory has it for as long as the client takes, also when it is evicted meanwhile: a client
//! that stalls keeps the memory. So what is evicted while it is read stays charged until nobody reads it any more. That
//! costs a hit nothing: only who removes an object looks whether it is read, and who needs room looks whether it still is.

use std::collections::VecDeque;
use std::sync::Weak;

use parking_lot::Mutex;

use crate::body::Body;
use crate::ledger::Ledger;

/// How many are looked at for each that is added: more than one, so that those that are read no more do not gather.
const LOOKS: usize = 2;

/// The bodies, and what is charged for each.
#[derive(Debug, Default)]
pub(crate) struct Pinned(Mutex<VecDeque<(Weak<Body>, u64)>>);

impl Pinned {
    /// Gives the `bytes` back that are charged for `body`, of which the caller has had the stored object: at once if nobody reads it,
    /// later otherwise.
    pub(crate) fn let_go(&self, ledger: &Ledger, body: Weak<Body>, bytes: u64) {
        if body.strong_count() == 0 {
            return ledger.give_back(bytes);
        }
        ledger.pin(bytes);
        self.0.lock().push_back((body, bytes));
        self.reap(ledger, LOOKS);
    }

    /// Gives back what is read no more among the next `most`. Whether there was any.
    pub(crate) fn reap(&self, ledger: &Ledger, most: usize) -> bool {
        if ledger.pinned() == 0 {
            return false;
        }
        let mut list = self.0.lock();
        let mut free = 0u64;
        for _ in 0..most.min(list.len()) {
            match list.pop_front() {
                Some((body, bytes)) if body.strong_count() == 0 => free = free.saturating_add(bytes),
                Some(read) => list.push_back(read),
                None => break,
            }
        }
        if list.capacity() > list.len().saturating_mul(4).max(64) {
            list.shrink_to_fit();
        }
        drop(list);
        ledger.unpin(free);
        free > 0
    }
}
