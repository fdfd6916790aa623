//! Bodies that a test can make again and compare without keeping them.

use crate::wait::OrDie;
use pingora_boringssl::hash::{MessageDigest, hash};

/// `len` bytes that depend on `seed` only: no two seeds agree, nothing compresses, and every offset shows
/// (a body that lost or repeated a block differs from there on).
#[must_use]
pub fn body(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed;
    let mut out = Vec::with_capacity(len + 8);
    while out.len() < len {
        out.extend_from_slice(&split_mix(&mut state).to_le_bytes());
    }
    out.truncate(len);
    out
}

/// One step of SplitMix64 (Steele, Lea, Flood 2014).
fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Whether `received` is `body(seed, len)`, and if not, where it first differs.
///
/// # Errors
/// The lengths differ, or a byte does; the message gives both lengths and the offset.
pub fn check_body(seed: u64, len: usize, received: &[u8]) -> Result<(), String> {
    let expected = body(seed, len);
    let differs = expected.iter().zip(received).position(|(left, right)| left != right);
    match differs {
        None if expected.len() == received.len() => Ok(()),
        None => Err(format!("{} bytes instead of {len}, equal as far as they go", received.len())),
        Some(at) => Err(format!("byte {at} differs ({} bytes received, {len} expected)", received.len())),
    }
}

/// The SHA-256 of some bytes as 64 hex digits.
#[must_use]
pub fn digest(bytes: &[u8]) -> String {
    let sum = hash(MessageDigest::sha256(), bytes).or_die("hash a body");
    sum.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_repeats_by_seed_and_differs_between_seeds() {
        assert_eq!(body(7, 1000), body(7, 1000));
        assert_ne!(body(7, 64), body(8, 64));
        assert_eq!(&body(7, 1000)[..10], &body(7, 10)[..]);
    }

    #[test]
    fn a_damaged_body_is_located() {
        let mut received = body(1, 100);
        assert_eq!(check_body(1, 100, &received), Ok(()));
        received[40] ^= 1;
        assert!(check_body(1, 100, &received).unwrap_err().starts_with("byte 40 differs"));
        assert!(check_body(1, 100, &body(1, 99)).unwrap_err().starts_with("99 bytes instead of 100"));
        assert!(check_body(1, 100, &body(1, 101)).is_err());
    }

    #[test]
    fn the_digest_is_sha_256() {
        assert!(digest(b"abc").starts_with("ba7816bf8f01cfea414140de5dae2223"));
    }
}
