use super::*;
use proptest::prelude::*;

fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i % 247) as u8).collect()
}

fn all(body: &Body) -> Vec<u8> {
    let mut all = Vec::new();
    while let Some(part) = body.read(all.len() as u64, u64::MAX) {
        all.extend_from_slice(&part);
    }
    all
}

proptest! {
    #[test]
    fn what_is_charged_covers_what_is_held(
        writes in prop::collection::vec(0..90_000usize, 0..12), known in any::<bool>()
    ) {
        let whole = bytes(writes.iter().sum());
        let expected = known.then_some(whole.len() as u64);
        let mut builder = Builder::new(expected);
        let (mut charged, mut at) = (0u64, 0);
        for len in writes {
            charged += builder.growth(len);
            builder.append(&whole[at..at + len]);
            at += len;
        }
        if known {
            prop_assert_eq!(charged, Builder::cost_of(whole.len() as u64), "paid in advance");
        }
        let body = builder.finish();
        prop_assert!(body.bytes() <= charged, "{} held, {} charged", body.bytes(), charged);
        prop_assert!(all(&body) == whole);
    }

    #[test]
    fn any_part_reads_right_at_any_time(len in 1..200_000usize, split in 0..200_000usize, at in 0..200_000usize, n in 0..70_000usize) {
        let whole = bytes(len);
        let split = split % len;
        let mut builder = Builder::new(None);
        builder.append(&whole[..split]);
        let (at, limit) = (at % len, (at % len + n).min(len));
        let mut got = Vec::new();
        while let Some(part) = builder.read((at + got.len()) as u64, limit.min(split) as u64, 1000) {
            got.extend_from_slice(&part);
        }
        prop_assert!(got == whole[at.min(limit.min(split))..limit.min(split)]);
        builder.append(&whole[split..]);
        let body = builder.finish();
        let mut got = Vec::new();
        while let Some(part) = body.read((at + got.len()) as u64, limit as u64) {
            got.extend_from_slice(&part);
        }
        prop_assert!(got == whole[at..limit]);
    }
}

#[test]
fn a_small_body_is_one_piece() {
    let mut builder = Builder::new(None);
    for _ in 0..60 {
        builder.append(&[1; 1000]);
    }
    assert_eq!(builder.finish().read(0, u64::MAX).unwrap().len(), 60_000);
}

#[test]
fn a_tiny_body_takes_no_page() {
    let mut builder = Builder::new(None);
    builder.append(b"x");
    assert_eq!(builder.finish().bytes(), 1 + PIECE_OVERHEAD);
}
