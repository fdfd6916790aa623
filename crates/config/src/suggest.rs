//! "Did you mean …?"

/// The candidate nearest to `word`, if one is near enough to be a likely slip of the keyboard.
#[must_use]
pub fn did_you_mean<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = word.to_ascii_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&lower, &candidate.to_ascii_lowercase()), candidate))
        .filter(|(distance, candidate)| {
            *distance <= (candidate.len().max(word.len()) / 3).max(1)
                || (word.len() >= 3 && (candidate.starts_with(&lower) || lower.starts_with(candidate)))
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::did_you_mean;

    #[test]
    fn finds_slips_and_not_strangers() {
        let keys = ["upstream", "upstreams", "listeners", "cache"];
        assert_eq!(did_you_mean("upstrem", keys), Some("upstream"));
        assert_eq!(did_you_mean("Cache", keys), Some("cache"));
        assert_eq!(did_you_mean("listen", keys), Some("listeners"));
        assert_eq!(did_you_mean("banana", keys), None);
        assert_eq!(did_you_mean("", keys), None);
    }
}
