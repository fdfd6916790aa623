use super::*;
use proptest::prelude::*;
use std::io::{Read as _, Write as _};

fn options(coding: Coding, level: u8, length: Option<u64>) -> StreamOptions {
    StreamOptions { coding, level, length }
}

fn decode(coding: Coding, coded: &[u8]) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    match coding {
        Coding::Gzip => flate2::read::GzDecoder::new(coded).read_to_end(&mut content)?,
        Coding::Brotli => brotli::Decompressor::new(coded, 4096).read_to_end(&mut content)?,
        Coding::Zstd => zstd::stream::read::Decoder::new(coded)?.read_to_end(&mut content)?,
    };
    Ok(content)
}

/// What a client can decode of a stream that has not ended.
fn decode_so_far(coding: Coding, coded: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    match coding {
        Coding::Gzip => {
            let mut decoder = flate2::write::GzDecoder::new(&mut content);
            decoder.write_all(coded).unwrap();
            decoder.flush().unwrap();
            std::mem::forget(decoder);
        }
        Coding::Brotli => {
            let (mut decoder, mut piece) = (brotli::Decompressor::new(coded, 4096), [0; 4096]);
            while let Ok(count @ 1..) = decoder.read(&mut piece) {
                content.extend_from_slice(&piece[..count]);
            }
        }
        Coding::Zstd => {
            let mut decoder = zstd::stream::write::Decoder::new(&mut content).unwrap();
            decoder.write_all(coded).unwrap();
            decoder.flush().unwrap();
        }
    }
    content
}

fn text(bytes: usize) -> Vec<u8> {
    let line =
        |i: usize| format!("<li class=\"item\"><a href=\"/articles/{i}\">Article {}</a></li>\n", i * 7919);
    (0..).flat_map(|i| line(i).into_bytes()).take(bytes).collect()
}

fn any_coding() -> impl Strategy<Value = (Coding, u8)> {
    prop_oneof![Just(Coding::Zstd), Just(Coding::Brotli), Just(Coding::Gzip)]
        .prop_flat_map(|coding| (Just(coding), coding.levels()))
}

/// Bytes with and without repetitions.
fn any_content() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..5000),
        (0usize..200_000).prop_map(text),
        (any::<u8>(), 0usize..100_000).prop_map(|(byte, count)| vec![byte; count]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Whatever the pieces, a decoder gives back the content; and after each piece it has all of it so far.
    #[test]
    fn content_comes_back(
        (coding, level) in any_coding(),
        content in any_content(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        known in any::<bool>(),
        end_apart in any::<bool>(),
    ) {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(content.len() + 1)).collect();
        cuts.extend([0, content.len()]);
        cuts.sort_unstable();
        let length = known.then_some(content.len() as u64);
        let mut stream = Stream::new(options(coding, level, length)).unwrap();
        let mut coded = Vec::new();
        let pieces = cuts.len() - 1;
        for (i, cut) in cuts.windows(2).enumerate() {
            let last = i + 1 == pieces && !end_apart;
            coded.extend_from_slice(&stream.piece(&content[cut[0]..cut[1]], last).unwrap());
            if !last && (!known || cut[1] < content.len()) {
                prop_assert_eq!(decode_so_far(coding, &coded).len(), cut[1], "flushed");
            }
        }
        if end_apart {
            coded.extend_from_slice(&stream.piece(b"", true).unwrap());
        }
        prop_assert_eq!(stream.content_bytes(), content.len() as u64);
        prop_assert_eq!(stream.coded_bytes(), coded.len() as u64);
        prop_assert!(decode(coding, &coded).unwrap() == content);
    }
}

/// What the end is for: a stream that broke off does not pass for a whole one.
#[test]
fn without_its_end_no_stream_is_whole() {
    for coding in Coding::ALL {
        let content = text(20_000);
        let mut stream = Stream::new(options(coding, 4, None)).unwrap();
        let coded = stream.piece(&content, false).unwrap();
        assert_eq!(decode_so_far(coding, &coded), content, "{coding:?}");
        assert!(decode(coding, &coded).is_err(), "{coding:?}");
        let end = stream.piece(b"", true).unwrap();
        assert_eq!(decode(coding, &[coded, end].concat()).unwrap(), content, "{coding:?}");
    }
}

#[test]
fn nothing_is_a_stream_too() {
    for coding in Coding::ALL {
        let coded = Stream::new(options(coding, 4, None)).unwrap().piece(b"", true).unwrap();
        assert!(!coded.is_empty());
        assert_eq!(decode(coding, &coded).unwrap(), b"", "{coding:?}");
    }
}

#[test]
fn text_gets_small() {
    let content = text(100_000);
    for coding in Coding::ALL {
        for level in coding.levels().skip(1) {
            let mut stream = Stream::new(options(coding, level, Some(content.len() as u64))).unwrap();
            let coded = stream.piece(&content, true).unwrap();
            assert!(coded.len() * 5 < content.len(), "{coding:?} {level}: {}", coded.len());
        }
    }
}

/// Clients of zstd need not take windows above 8 MiB (RFC 9659); ours are smaller, at every level.
#[test]
fn windows_are_bounded() {
    for level in Coding::Zstd.levels() {
        let coded =
            Stream::new(options(Coding::Zstd, level, None)).unwrap().piece(&text(3 << 20), true).unwrap();
        let mut decoder = zstd::stream::read::Decoder::new(&coded[..]).unwrap();
        decoder.window_log_max(19).unwrap();
        let mut content = Vec::new();
        decoder.read_to_end(&mut content).unwrap();
        assert_eq!(content.len(), 3 << 20);
    }
}

#[test]
fn slow_pieces_are_known() {
    let slow = |coding, level, bytes| Stream::new(options(coding, level, None)).unwrap().is_slow(bytes);
    assert!(slow(Coding::Brotli, 11, 1) && slow(Coding::Zstd, 19, 1));
    assert!(!slow(Coding::Zstd, 3, 65_536) && !slow(Coding::Gzip, 6, 8192));
}
