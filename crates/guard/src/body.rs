//! Counting a request body against its limit.

/// A request body grew beyond the limit: answer 413 and close.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyTooLarge {
    /// The limit in bytes.
    pub limit: u64,
}

/// Counts the bytes of one request body, whether its length was announced or not.
#[derive(Debug, Clone, Copy)]
pub struct BodyMeter {
    seen: u64,
    limit: u64,
}

impl BodyMeter {
    /// A meter that allows `limit` bytes.
    #[must_use]
    pub fn new(limit: u64) -> Self {
        Self { seen: 0, limit }
    }

    /// Checks an announced length, so that a body that is too large is refused before it is sent.
    ///
    /// # Errors
    /// When the announced length is beyond the limit.
    pub fn announce(&self, length: u64) -> Result<(), BodyTooLarge> {
        if length > self.limit { Err(BodyTooLarge { limit: self.limit }) } else { Ok(()) }
    }

    /// Counts `bytes` that arrived.
    ///
    /// # Errors
    /// When the body is beyond the limit with them.
    pub fn add(&mut self, bytes: usize) -> Result<(), BodyTooLarge> {
        self.seen = self.seen.saturating_add(bytes as u64);
        self.announce(self.seen)
    }

    /// The bytes counted so far.
    #[must_use]
    pub fn seen(&self) -> u64 {
        self.seen
    }
}

#[cfg(test)]
mod tests {
    use super::{BodyMeter, BodyTooLarge};

    #[test]
    fn the_limit_itself_passes_and_one_more_does_not() {
        let mut meter = BodyMeter::new(10);
        assert_eq!(meter.announce(10), Ok(()));
        assert_eq!(meter.announce(11), Err(BodyTooLarge { limit: 10 }));
        assert_eq!(meter.add(4), Ok(()));
        assert_eq!(meter.add(6), Ok(()));
        assert_eq!(meter.add(1), Err(BodyTooLarge { limit: 10 }));
        assert_eq!(meter.seen(), 11);
    }

    #[test]
    fn counting_never_overflows() {
        let mut meter = BodyMeter::new(u64::MAX);
        assert!(meter.add(usize::MAX).is_ok());
        assert!(meter.add(usize::MAX).is_ok());
        assert_eq!(meter.seen(), u64::MAX);
    }
}
