//! Request ids: 128 random bits in hexadecimal, made without a system call.

use std::cell::RefCell;
use std::fmt;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

thread_local! {
    // An id must be unique, not secret: it names a request in two logs. So a fast generator, seeded from the
    // operating system once a thread, is enough.
    static GENERATOR: RefCell<SmallRng> = RefCell::new(SmallRng::from_os_rng());
}

/// The id of one request.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum RequestId {
    /// Made here.
    Own([u8; 32]),
    /// Sent by a trusted peer.
    Inherited(Box<str>),
}

impl RequestId {
    /// A new id.
    #[must_use]
    pub(crate) fn generate() -> Self {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let bits: u128 = GENERATOR.with_borrow_mut(|generator| generator.random());
        let mut text = [0; 32];
        for (i, digit) in text.iter_mut().enumerate() {
            *digit = HEX[(bits >> (i * 4)) as usize & 15];
        }
        Self::Own(text)
    }

    /// The id as text.
    #[must_use]
    pub(crate) fn as_str(&self) -> &str {
        match self {
            // Only hexadecimal digits are ever written.
            Self::Own(text) => std::str::from_utf8(text).unwrap_or_default(),
            Self::Inherited(text) => text,
        }
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::RequestId;

    #[test]
    fn ids_are_well_formed_and_differ() {
        let ids: std::collections::BTreeSet<String> =
            (0..10_000).map(|_| RequestId::generate().as_str().to_owned()).collect();
        assert_eq!(ids.len(), 10_000);
        assert!(ids.iter().all(|id| id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit())));
    }
}
