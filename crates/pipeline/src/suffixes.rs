//! What keys must end with for a trigger: S3's suffixes, which are case-sensitive, or every extension of images.

use std::fmt;

/// What the keys of a trigger end with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Suffixes {
    /// The extensions of every format that the engine reads, in any case.
    Images,
    /// One of these, as they are written; none: every key matches.
    Listed(Vec<String>),
}

impl Suffixes {
    /// [`Self::Images`] in settings.
    pub const IMAGES: &str = "images";

    /// Those that match every key.
    pub const EVERY_KEY: Self = Self::Listed(Vec::new());

    /// Whether a key ends so.
    #[must_use]
    pub fn matches(&self, key: &str) -> bool {
        match self {
            Self::Images => image_extensions().any(|extension| has_extension(key, extension)),
            Self::Listed(list) => list.is_empty() || list.iter().any(|suffix| key.ends_with(suffix.as_str())),
        }
    }

    /// Each of them; one that is empty where every key matches.
    pub(crate) fn ends(&self) -> Vec<End> {
        match self {
            Self::Images => image_extensions()
                .map(|extension| End { text: format!(".{extension}"), in_any_case: true })
                .collect(),
            Self::Listed(list) if list.is_empty() => vec![End::written(String::new())],
            Self::Listed(list) => list.iter().cloned().map(End::written).collect(),
        }
    }

    /// Each of them in S3's terms, where suffixes are case-sensitive: `None` if that takes a filter without a suffix, as of
    /// extensions in any case.
    #[must_use]
    pub fn in_s3(&self) -> Option<&[String]> {
        match self {
            Self::Images => None,
            Self::Listed(list) => Some(list).filter(|list| !list.is_empty()).map(Vec::as_slice),
        }
    }
}

/// As in the list of a trigger.
impl From<Vec<String>> for Suffixes {
    fn from(list: Vec<String>) -> Self {
        Self::Listed(list)
    }
}

impl FromIterator<String> for Suffixes {
    fn from_iter<T: IntoIterator<Item = String>>(list: T) -> Self {
        Self::Listed(list.into_iter().collect())
    }
}

/// For people: `.jpg .png`.
impl fmt::Display for Suffixes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Images => {
                image_extensions().try_for_each(|extension| write!(f, ".{extension} "))?;
                f.write_str("in any case")
            }
            Self::Listed(list) if list.is_empty() => f.write_str("every key"),
            Self::Listed(list) => f.write_str(&list.join(" ")),
        }
    }
}

/// The extensions of every format that is read, in lower case, without the dot.
pub fn image_extensions() -> impl Iterator<Item = &'static str> {
    tintype_engine::formats().flat_map(|(_, coverage)| coverage.extensions.iter().copied())
}

fn has_extension(key: &str, extension: &str) -> bool {
    let (key, extension) = (key.as_bytes(), extension.as_bytes());
    let Some(dot) = key.len().checked_sub(extension.len() + 1) else { return false };
    key[dot] == b'.' && key[dot + 1..].eq_ignore_ascii_case(extension)
}

/// What a key may end with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) text: String,
    pub(crate) in_any_case: bool,
}

impl End {
    pub(crate) const fn written(text: String) -> Self {
        Self { text, in_any_case: false }
    }

    /// Whether a key can end with both.
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        let end = |longer: &str, shorter: &str| longer.ends_with(shorter);
        if self.in_any_case || other.in_any_case {
            let (one, two) = (self.text.to_ascii_lowercase(), other.text.to_ascii_lowercase());
            return end(&one, &two) || end(&two, &one);
        }
        end(&self.text, &other.text) || end(&other.text, &self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_matched_in_any_case() {
        for extension in image_extensions() {
            let upper = extension.to_ascii_uppercase();
            let mixed = format!("{}{}", &upper[..1], &extension[1..]);
            for written in [extension, &upper, &mixed] {
                assert!(Suffixes::Images.matches(&format!("a/b.{written}")), "{written}");
            }
        }
        for other in ["a.txt", "jpg", "a.jpgx", "ajpg", "a.jpg/", "", "ä", "a.jpg.zip"] {
            assert!(!Suffixes::Images.matches(other), "{other}");
        }
    }

    #[test]
    fn a_list_is_taken_as_it_is() {
        let list = Suffixes::from(vec![".jpg".to_owned()]);
        assert!(list.matches("a.jpg") && !list.matches("a.JPG"));
        assert!(Suffixes::EVERY_KEY.matches("") && Suffixes::EVERY_KEY.matches("a.txt"));
    }

    #[test]
    fn extensions_in_any_case_overlap_suffixes_in_one() {
        let overlap = |suffix: &str| {
            Suffixes::Images.ends().iter().any(|end| end.overlaps(&End::written(suffix.to_owned())))
        };
        for suffix in [".jpg", ".JPG", "PG", "_a.Png", ""] {
            assert!(overlap(suffix), "{suffix}");
        }
        assert!(!overlap(".txt") && !overlap(".jpg2"));
    }
}
