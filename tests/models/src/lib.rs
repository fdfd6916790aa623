//! The parts of the store that threads share without one lock around them, under loom: every order in which threads may
//! run is tried, and every value that an atomic load may see.
//!
//! These are the store's own files, compiled once more: what they take from `crate::sync` is loom's here. What they need
//! beside it, and what makes no difference to the order of events, is made up below. Locks stand for themselves: what one
//! shard's lock guards (queues, families, the way into the store) has no order to get wrong, and neither has a
//! [fill](../seawall_store), whose content is under a lock and whose progress is a channel of Tokio's.

#[allow(dead_code, reason = "the models need a part of each")]
mod parts;

pub mod models;
mod sync;

pub(crate) use parts::{clock, entry, ledger, purged, purges};

mod body {
    /// Stands for a body.
    #[derive(Debug, Default)]
    pub(crate) struct Body;

    impl Body {
        pub(crate) fn bytes(&self) -> u64 {
            0
        }
    }
}

mod head {
    /// Stands for a header.
    #[derive(Debug, Default)]
    pub(crate) struct Head;

    impl Head {
        pub(crate) fn bytes(&self) -> u64 {
            0
        }
    }
}

mod fill {
    /// Stands for a response on its way in.
    #[derive(Debug, Default)]
    pub(crate) struct Fill;
}

mod disk {
    pub(crate) mod record {
        use std::time::{Duration, SystemTime, UNIX_EPOCH};

        pub(crate) fn micros(moment: SystemTime) -> u64 {
            moment.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64)
        }

        pub(crate) fn from_micros(micros: u64) -> SystemTime {
            UNIX_EPOCH + Duration::from_micros(micros)
        }
    }
}
