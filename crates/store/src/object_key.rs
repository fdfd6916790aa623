//! The name of a stored object as people write it.

use std::fmt;
use std::str::FromStr;

use pingora_cache::key::{CacheHashKey, CompactCacheKey};

/// The hash of a primary key: one object with its variants and parts. In text it has 32 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObjectKey(u128);

/// A text is not the key of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a key has 32 hexadecimal digits")]
pub struct NotObjectKey;

impl ObjectKey {
    const DIGITS: usize = 32;

    /// The object that `key`, its variant or its part belongs to.
    #[must_use]
    pub fn of(key: &impl CacheHashKey) -> Self {
        Self(u128::from_le_bytes(key.primary_bin()))
    }

    /// A listing has it as a number.
    #[must_use]
    pub fn of_family(family: u128) -> Self {
        Self(family)
    }

    /// The key that stands for all of the object.
    #[must_use]
    pub fn compact(self) -> CompactCacheKey {
        CompactCacheKey { primary: self.0.to_le_bytes(), variance: None, user_tag: "".into() }
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:032x}", self.0)
    }
}

impl FromStr for ObjectKey {
    type Err = NotObjectKey;

    fn from_str(text: &str) -> Result<Self, NotObjectKey> {
        // A number alone may have a sign, and fewer digits.
        if text.len() != Self::DIGITS || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(NotObjectKey);
        }
        u128::from_str_radix(text, 16).map(Self).map_err(|_| NotObjectKey)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::Names;
    use pingora_cache::CacheKey;
    use proptest::prelude::*;

    #[test]
    fn stands_for_the_object_of_a_variant() {
        let mut key = CacheKey::new("/a", "");
        let plain = ObjectKey::of(&key);
        key.set_variance_key([7; 16]);
        assert_eq!(ObjectKey::of(&key), plain);
        assert_eq!(plain.compact(), CacheKey::new("/a", "").to_compact());
        let names = Names::of(&key);
        assert_eq!(ObjectKey::of_family(names.family), plain);
        assert_ne!(ObjectKey::of_family(names.key), plain);
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let digits = "0123456789abcdef0123456789abcdef";
        assert_eq!(digits.parse::<ObjectKey>().unwrap().to_string(), digits);
        assert_eq!(digits.to_uppercase().parse::<ObjectKey>().unwrap().to_string(), digits);
        for wrong in
            ["", "0", &digits[1..], &format!("{digits}0"), &format!("+{}", &digits[1..]), &"é".repeat(16)]
        {
            assert_eq!(wrong.parse::<ObjectKey>(), Err(NotObjectKey), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn its_text_leads_back_to_it(number in any::<u128>()) {
            let key = ObjectKey(number);
            prop_assert_eq!(key.to_string().parse(), Ok(key));
        }
    }
}
