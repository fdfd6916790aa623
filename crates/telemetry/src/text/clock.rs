//! The time of a line, with the part above a second kept from line to line.

use std::time::{SystemTime, UNIX_EPOCH};

use super::{push_padded, push_u64};

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Formats times in UTC. Almost every line falls in the same second as the one before.
#[derive(Default)]
pub(crate) struct Clock {
    /// Unix second the texts below stand for; `None` at first.
    second: Option<u64>,
    /// `2026-01-02T03:04:05`
    rfc3339: Vec<u8>,
    /// `02/Jan/2026:03:04:05 +0000`
    apache: Vec<u8>,
}

impl Clock {
    /// Appends `2026-01-02T03:04:05.678Z`. Times before 1970 show as 1970.
    pub(crate) fn push_rfc3339(&mut self, out: &mut Vec<u8>, time: SystemTime) {
        let millis = self.advance(time);
        out.extend_from_slice(&self.rfc3339);
        out.push(b'.');
        push_padded(out, millis, 3);
        out.push(b'Z');
    }

    /// Appends `02/Jan/2026:03:04:05 +0000`.
    pub(crate) fn push_apache(&mut self, out: &mut Vec<u8>, time: SystemTime) {
        self.advance(time);
        out.extend_from_slice(&self.apache);
    }

    /// Makes the texts stand for the second of `time`; returns its milliseconds.
    fn advance(&mut self, time: SystemTime) -> u32 {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        if self.second != Some(since.as_secs()) {
            self.format(since.as_secs());
            self.second = Some(since.as_secs());
        }
        since.subsec_millis()
    }

    fn format(&mut self, second: u64) {
        // The last second of the year 9999, which is as far as the crate counts.
        const LAST: i64 = 253_402_300_799;
        let second = i64::try_from(second).unwrap_or(LAST).min(LAST);
        let t = time::OffsetDateTime::from_unix_timestamp(second).unwrap_or(time::OffsetDateTime::UNIX_EPOCH);
        let (year, month, day) = (t.year().unsigned_abs(), u8::from(t.month()), t.day());
        let hms = |out: &mut Vec<u8>| {
            for (i, part) in [t.hour(), t.minute(), t.second()].into_iter().enumerate() {
                if i > 0 {
                    out.push(b':');
                }
                push_padded(out, part.into(), 2);
            }
        };

        let out = &mut self.rfc3339;
        out.clear();
        push_padded(out, year, 4);
        out.push(b'-');
        push_padded(out, month.into(), 2);
        out.push(b'-');
        push_padded(out, day.into(), 2);
        out.push(b'T');
        hms(out);

        let out = &mut self.apache;
        out.clear();
        push_padded(out, day.into(), 2);
        out.push(b'/');
        out.extend_from_slice(MONTHS[usize::from(month - 1)].as_bytes());
        out.push(b'/');
        push_u64(out, year.into());
        out.push(b':');
        hms(out);
        out.extend_from_slice(b" +0000");
    }
}

#[cfg(test)]
mod tests {
    use super::Clock;
    use std::time::{Duration, SystemTime, UNIX_EPOCH};

    fn both(clock: &mut Clock, time: SystemTime) -> (String, String) {
        let (mut rfc, mut apache) = (Vec::new(), Vec::new());
        clock.push_rfc3339(&mut rfc, time);
        clock.push_apache(&mut apache, time);
        (String::from_utf8(rfc).unwrap(), String::from_utf8(apache).unwrap())
    }

    #[test]
    fn known_times() {
        let mut clock = Clock::default();
        let at = |millis| UNIX_EPOCH + Duration::from_millis(millis);
        for (time, rfc, apache) in [
            (at(0), "1970-01-01T00:00:00.000Z", "01/Jan/1970:00:00:00 +0000"),
            (at(971_186_136_007), "2000-10-10T13:55:36.007Z", "10/Oct/2000:13:55:36 +0000"),
            (at(971_186_136_999), "2000-10-10T13:55:36.999Z", "10/Oct/2000:13:55:36 +0000"),
            (at(1_709_251_199_000), "2024-02-29T23:59:59.000Z", "29/Feb/2024:23:59:59 +0000"),
            (UNIX_EPOCH - Duration::from_secs(9), "1970-01-01T00:00:00.000Z", "01/Jan/1970:00:00:00 +0000"),
        ] {
            assert_eq!(both(&mut clock, time), (rfc.to_owned(), apache.to_owned()));
        }
    }

    #[test]
    fn a_time_past_all_calendars_still_prints() {
        let far = UNIX_EPOCH + Duration::from_secs(1 << 60);
        assert_eq!(both(&mut Clock::default(), far).0, "9999-12-31T23:59:59.000Z");
    }
}
