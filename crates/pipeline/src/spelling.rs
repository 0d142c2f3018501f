//! Spelling suggestions.

/// More characters than any name has; longer input is cut here.
const LONGEST: usize = 64;

/// The name among `known` that is most like `written`; none if none is known.
pub fn nearest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let end = written.char_indices().nth(LONGEST).map_or(written.len(), |(at, _)| at);
    let written = &written[..end];
    // Jaro-Winkler favours common prefixes, so edit distance balances it.
    let likeness = |known: &str| {
        strsim::jaro_winkler(known, written) + strsim::normalized_damerau_levenshtein(known, written)
    };
    known.into_iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misspellings_find_the_intended_name() {
        let known = ["malformed", "unsupported", "too_large", "key_too_long", "internal"];
        for (written, meant) in [
            ("malfromed", "malformed"),
            ("toolarge", "too_large"),
            ("key_long", "key_too_long"),
            ("supported", "unsupported"),
        ] {
            assert_eq!(nearest(written, known), Some(meant));
        }
        assert_eq!(nearest("x", []), None);
        assert_eq!(nearest(&"ünsupported".repeat(1_000_000), known), Some("unsupported"));
    }
}
