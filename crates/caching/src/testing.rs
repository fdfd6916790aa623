//! Short ways to write headers and times in tests.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;

use crate::Times;

/// 2023-11-14 22:13:20 GMT.
pub(crate) fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000)
}

pub(crate) fn after(seconds: u64) -> SystemTime {
    now() + Duration::from_secs(seconds)
}

pub(crate) fn before(seconds: u64) -> SystemTime {
    now() - Duration::from_secs(seconds)
}

pub(crate) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(crate) fn date(at: SystemTime) -> String {
    httpdate::fmt_http_date(at)
}

/// Request and response in the same instant.
pub(crate) fn at_once() -> Times {
    Times { requested: now(), received: now() }
}

/// Fields from pairs; a repeated name gives two lines.
pub(crate) fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in pairs {
        map.append(name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
    }
    map
}

/// Any bytes that can stand in a field value.
pub(crate) fn any_value() -> impl Strategy<Value = HeaderValue> {
    prop::collection::vec(prop_oneof![Just(b'\t'), 0x20u8..0x7f, 0x80u8..=0xff], 0..80)
        .prop_map(|bytes| HeaderValue::from_bytes(&bytes).unwrap())
}
