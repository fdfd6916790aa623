//! Names of labels that were made lately, kept by each thread: most responses share host and folders with others, and a hash of
//! Pingora's costs more than to look for it.

use std::cell::RefCell;

use pingora_cache::key::hash_key;

/// Names that a thread keeps.
const KEPT: usize = 128;
/// The longest text whose name is kept, in bytes.
const LONGEST: usize = 256;

#[derive(Debug, Default)]
struct Known {
    slots: Vec<Option<(Box<[u8]>, u128)>>,
    hash: ahash::RandomState,
}

thread_local! {
    static KNOWN: RefCell<Known> = RefCell::default();
}

/// The name of a label with this text.
pub(super) fn hash(text: &[u8]) -> u128 {
    u128::from_le_bytes(hash_key(text))
}

/// The same, from what is known.
pub(super) fn look_up(text: Vec<u8>) -> u128 {
    if text.len() > LONGEST {
        return hash(&text);
    }
    KNOWN.with_borrow_mut(|known| known.look_up(text))
}

impl Known {
    fn look_up(&mut self, text: Vec<u8>) -> u128 {
        let at = usize::try_from(self.hash.hash_one(&*text) % KEPT as u64).unwrap_or(0);
        self.slots.resize_with(KEPT, || None);
        match &mut self.slots[at] {
            Some((known, name)) if **known == *text => *name,
            slot => {
                let name = hash(&text);
                *slot = Some((text.into(), name));
                name
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_has_its_own_name_however_many_there_are() {
        for round in 0..2 {
            for number in 0..10 * KEPT {
                let text = format!("h/{}", number / 2).into_bytes();
                assert_eq!(look_up(text.clone()), hash(&text), "{round}, {number}");
            }
        }
        KNOWN.with_borrow(|known| assert_eq!(known.slots.len(), KEPT));
    }

    #[test]
    fn what_is_known_is_not_hashed_again_and_long_texts_are_not_kept() {
        look_up(b"known".to_vec());
        KNOWN.with_borrow_mut(|known| known.slots.iter_mut().flatten().for_each(|(_, name)| *name = 7));
        assert_eq!(look_up(b"known".to_vec()), 7);
        let long = vec![b'x'; LONGEST + 1];
        assert_eq!(look_up(long.clone()), hash(&long));
        KNOWN.with_borrow(|known| assert_eq!(known.slots.iter().flatten().count(), 1));
    }
}
