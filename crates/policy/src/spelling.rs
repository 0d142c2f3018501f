//! Spelling suggestions.

/// Longer input is cut here: no name is as long.
const LONGEST: usize = 64;

/// `; did you mean …?` for the known name that is fewest edits away, in any case; empty if none is near.
pub(crate) fn suggestion<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let written: String = written.chars().take(LONGEST).map(|c| c.to_ascii_lowercase()).collect();
    let edits = |name: &str| strsim::levenshtein(&written, &name.to_ascii_lowercase());
    let nearest = known.into_iter().map(|name| (edits(name), name)).min();
    match nearest {
        Some((edits, name)) if edits <= name.len().div_ceil(3) => format!("; did you mean `{name}`?"),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misspellings_find_the_intended_name() {
        let known = ["s3:GetObject", "s3:PutObject", "s3:ListBucket"];
        assert_eq!(suggestion("s3:getobjects", known), "; did you mean `s3:GetObject`?");
        assert_eq!(suggestion("s3:LsitBucket", known), "; did you mean `s3:ListBucket`?");
        assert_eq!(suggestion("ec2:RunInstances", known), "");
        assert_eq!(suggestion(&"é".repeat(100_000), known), "");
        assert_eq!(suggestion("", []), "");
    }
}
