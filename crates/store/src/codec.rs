//! What the owner of a response keeps with it, in a form that outlives the process.

mod header;
mod moments;

use std::fmt::Debug;

use bytes::Bytes;
use http::Extensions;
use pingora_cache::CacheMeta;
use pingora_error::{Error, ErrorType::InternalError, Result};

use crate::disk::record::u32_at;
use crate::head::{Head, blank_header};

/// Turns the extensions of a [`CacheMeta`] into bytes and back. The store keeps extensions as they are in memory;
/// on disk it keeps what this makes of them.
pub trait ExtensionCodec: Debug + Send + Sync {
    /// The bytes to keep.
    fn encode(&self, extensions: &Extensions) -> Vec<u8>;
    /// Puts what `bytes` say into the extensions of `meta`, which is complete otherwise. None when they are not
    /// understood (another version wrote them): the response then counts as not stored.
    fn decode(&self, bytes: &[u8], meta: &mut CacheMeta) -> Option<()>;
}

/// For responses without extensions.
#[derive(Debug)]
pub struct NoExtensions;

impl ExtensionCodec for NoExtensions {
    fn encode(&self, _: &Extensions) -> Vec<u8> {
        Vec::new()
    }

    fn decode(&self, _: &[u8], _: &mut CacheMeta) -> Option<()> {
        Some(())
    }
}

/// In front of metadata in the form below. The form before it began with a length, which was never as large.
const FORM: [u8; 4] = *b"\xff\xff\xff\x02";

/// The metadata of a record: the moments of the [`CacheMeta`], its header, our extensions; the first two with their lengths
/// in front. The moments are in a form of their own where [`CacheMeta::new`] can say them, and in Pingora's otherwise, of
/// which no first byte is 0.
pub(crate) fn encode_meta(meta: &CacheMeta, codec: &dyn ExtensionCodec) -> Result<Vec<u8>> {
    let moments = match moments::encode(meta) {
        Some(moments) => moments,
        None => meta.serialize()?.0,
    };
    let mut head = Vec::with_capacity(1024);
    header::encode(meta.response_header(), &mut head)?;
    let extensions = codec.encode(meta.extensions());
    let mut out = Vec::with_capacity(moments.len() + head.len() + extensions.len() + 12);
    out.extend_from_slice(&FORM);
    for part in [&moments, &head] {
        let len = u32::try_from(part.len())
            .map_err(|_| Error::explain(InternalError, "a response header of more than 4 GiB"))?;
        out.extend_from_slice(&len.to_le_bytes());
        out.extend_from_slice(part);
    }
    out.extend_from_slice(&extensions);
    Ok(out)
}

/// Metadata that was read.
#[derive(Debug)]
pub(crate) struct Decoded {
    pub(crate) meta: CacheMeta,
    /// The size of the one allocation that all names and values share; none when it is not known.
    text: Option<u64>,
}

impl Decoded {
    /// A copy for memory.
    pub(crate) fn freeze(&self) -> Result<Head> {
        match self.text {
            Some(text) => Head::freeze_read(&self.meta, text),
            None => Head::freeze(&self.meta),
        }
    }
}

/// The other way round. None for bytes that are not understood.
pub(crate) fn decode_meta(bytes: &[u8], codec: &dyn ExtensionCodec) -> Option<Decoded> {
    let Some(parts) = bytes.strip_prefix(&FORM) else {
        return decode_first_form(bytes, codec).map(|meta| Decoded { meta, text: None });
    };
    let (moments, rest) = part(parts)?;
    let (head, extensions) = part(rest)?;
    // Of its own: slices of what was read would pin the body with it.
    let text = Bytes::copy_from_slice(head);
    let head = header::decode(text.clone())?;
    let mut meta = if moments::is_plain(moments) {
        moments::decode(moments, head)?
    } else {
        let mut meta = CacheMeta::deserialize(moments, blank_header().ok()?).ok()?;
        *meta.response_header_mut() = head;
        meta
    };
    codec.decode(extensions, &mut meta)?;
    Some(Decoded { meta, text: Some(text.len() as u64) })
}

/// What was written before there was [`FORM`]: Pingora's internals, Pingora's compressed header, our extensions.
fn decode_first_form(bytes: &[u8], codec: &dyn ExtensionCodec) -> Option<CacheMeta> {
    let (internals, rest) = part(bytes)?;
    let (header, extensions) = part(rest)?;
    let mut meta = CacheMeta::deserialize(internals, header).ok()?;
    codec.decode(extensions, &mut meta)?;
    Some(meta)
}

fn part(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let len = usize::try_from(u32_at(bytes, 0)?).ok()?;
    bytes.get(4..)?.split_at_checked(len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use pingora_http::ResponseHeader;
    use std::time::{Duration, SystemTime};

    #[derive(Debug, Clone, PartialEq)]
    struct Fact(u8);

    #[derive(Debug)]
    struct Facts;

    impl ExtensionCodec for Facts {
        fn encode(&self, extensions: &Extensions) -> Vec<u8> {
            extensions.get::<Fact>().map(|fact| fact.0).into_iter().collect()
        }
        fn decode(&self, bytes: &[u8], meta: &mut CacheMeta) -> Option<()> {
            meta.extensions_mut().insert(Fact(*bytes.first()?));
            Some(())
        }
    }

    #[test]
    fn metadata_comes_back_and_pieces_of_it_do_not() {
        let mut header = ResponseHeader::build(203, None).unwrap();
        header.append_header("X-A", "1").unwrap();
        header.append_header("x-a", "2").unwrap();
        let now = SystemTime::now();
        let mut meta = CacheMeta::new(now + Duration::from_secs(9), now, 1, 2, header);
        meta.set_variance([3; 16]);
        meta.extensions_mut().insert(Fact(7));
        for refreshed in [false, true] {
            if refreshed {
                meta.update_freshness(now + Duration::from_secs(60), 3, 4);
                assert_ne!(meta.updated(), meta.created());
            }
            let bytes = Bytes::from(encode_meta(&meta, &Facts).unwrap());
            let back = decode_meta(&bytes, &Facts).unwrap();
            assert_same(&back.meta, &meta);
            assert!(back.text.is_some());
            assert_same(&back.freeze().unwrap().thaw().unwrap(), &meta);
            for len in 0..bytes.len() {
                assert!(decode_meta(&bytes.slice(..len), &Facts).is_none(), "{len}");
            }
        }
        let first = decode_meta(&first_form(&meta), &Facts).unwrap();
        assert_same(&first.meta, &meta);
        assert_same(&first.freeze().unwrap().thaw().unwrap(), &meta);
    }

    fn assert_same(back: &CacheMeta, meta: &CacheMeta) {
        assert_eq!(back.serialize().unwrap().0, meta.serialize().unwrap().0, "all internals");
        assert_eq!(back.extensions().get(), Some(&Fact(7)));
        assert_eq!(back.response_header().status, 203);
        assert_eq!(back.headers().get_all("x-a").iter().collect::<Vec<_>>(), ["1", "2"]);
    }

    /// As the first version wrote it.
    fn first_form(meta: &CacheMeta) -> Bytes {
        let (internals, header) = meta.serialize().unwrap();
        let mut out = Vec::new();
        for part in [internals, header] {
            out.extend_from_slice(&u32::try_from(part.len()).unwrap().to_le_bytes());
            out.extend_from_slice(&part);
        }
        out.push(7);
        out.into()
    }
}
