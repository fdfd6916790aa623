//! The moments of a stored response on disk: when it came, until when it is fresh, how long it may serve stale.
//!
//! ```text
//! 0 u8 | flags u8 | fresh_until 12 | created 12 | stale_while_revalidate u32 | stale_if_error u32 | variance 16 | epoch 12
//! ```
//!
//! The last two are there when their flags are set. Times are seconds since 1970 (u64) and nanoseconds (u32), little-endian.

use std::time::{Duration, SystemTime};

use bytes::{Buf, BufMut};
use pingora_cache::CacheMeta;
use pingora_http::ResponseHeader;

const PLAIN: u8 = 0;
const HAS_VARIANCE: u8 = 1;
const HAS_EPOCH: u8 = 2;

/// The form for `meta`; none when [`CacheMeta::new`] cannot say all of it.
pub(super) fn encode(meta: &CacheMeta) -> Option<Vec<u8>> {
    if meta.updated() != meta.created() || meta.provenance() != meta.created() {
        return None;
    }
    let (variance, epoch) = (meta.variance(), meta.epoch_override());
    let flags =
        if variance.is_some() { HAS_VARIANCE } else { 0 } | if epoch.is_some() { HAS_EPOCH } else { 0 };
    let mut out = Vec::with_capacity(64);
    out.extend_from_slice(&[PLAIN, flags]);
    put_time(&mut out, meta.fresh_until())?;
    put_time(&mut out, meta.created())?;
    out.put_u32_le(meta.stale_while_revalidate_sec());
    out.put_u32_le(meta.stale_if_error_sec());
    if let Some(variance) = variance {
        out.extend_from_slice(&variance);
    }
    if let Some(epoch) = epoch {
        put_time(&mut out, epoch)?;
    }
    Some(out)
}

/// Whether `bytes` are in this form. Pingora's begins with the head of an array, which is not 0.
pub(super) fn is_plain(bytes: &[u8]) -> bool {
    bytes.first() == Some(&PLAIN)
}

/// The other way round, with `header`.
pub(super) fn decode(mut bytes: &[u8], header: ResponseHeader) -> Option<CacheMeta> {
    let (_, flags) = (bytes.try_get_u8().ok()?, bytes.try_get_u8().ok()?);
    let (fresh_until, created) = (time(&mut bytes)?, time(&mut bytes)?);
    let (revalidate, error) = (bytes.try_get_u32_le().ok()?, bytes.try_get_u32_le().ok()?);
    let mut meta = CacheMeta::new(fresh_until, created, revalidate, error, header);
    if flags & HAS_VARIANCE != 0 {
        let mut variance = [0; 16];
        bytes.try_copy_to_slice(&mut variance).ok()?;
        meta.set_variance(variance);
    }
    if flags & HAS_EPOCH != 0 {
        meta.set_epoch_override(time(&mut bytes)?);
    }
    bytes.is_empty().then_some(meta)
}

fn put_time(out: &mut Vec<u8>, time: SystemTime) -> Option<()> {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    out.put_u64_le(since.as_secs());
    out.put_u32_le(since.subsec_nanos());
    Some(())
}

fn time(bytes: &mut &[u8]) -> Option<SystemTime> {
    let (seconds, nanos) = (bytes.try_get_u64_le().ok()?, bytes.try_get_u32_le().ok()?);
    let since = Duration::from_secs(seconds).checked_add(Duration::from_nanos(nanos.into()))?;
    SystemTime::UNIX_EPOCH.checked_add(since)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_time() -> impl Strategy<Value = SystemTime> {
        (0..1u64 << 40, 0..1_000_000_000u32)
            .prop_map(|(secs, nanos)| SystemTime::UNIX_EPOCH + Duration::new(secs, nanos))
    }

    fn header() -> ResponseHeader {
        ResponseHeader::build(200, None).unwrap()
    }

    proptest! {
        #[test]
        fn come_back_as_they_went_in_and_pieces_do_not(
            fresh_until in any_time(), created in any_time(), revalidate: u32, error: u32,
            variance: Option<[u8; 16]>, epoch in prop::option::of(any_time()),
        ) {
            let mut meta = CacheMeta::new(fresh_until, created, revalidate, error, header());
            if let Some(variance) = variance {
                meta.set_variance(variance);
            }
            if let Some(epoch) = epoch {
                meta.set_epoch_override(epoch);
            }
            let bytes = encode(&meta).unwrap();
            prop_assert!(is_plain(&bytes) && !is_plain(&meta.serialize().unwrap().0));
            let back = decode(&bytes, header()).unwrap();
            prop_assert_eq!(back.serialize().unwrap().0, meta.serialize().unwrap().0);
            for len in 0..bytes.len() {
                prop_assert!(decode(&bytes[..len], header()).is_none());
            }
        }

        #[test]
        fn any_bytes_are_taken_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = decode(&bytes, header());
        }
    }
}
