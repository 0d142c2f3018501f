//! URLs of images, to be put into pages.

use tintype_engine::Size;

use crate::{
    settings::{Preset, SigningKey},
    signed_url::{encoded, encoded_path, encoded_query, signed},
};

/// The URL of an image, without scheme and host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageUrl {
    /// Percent-encoded.
    path: String,
    parameters: Vec<(String, String)>,
}

impl ImageUrl {
    /// Of a key by a preset: in the path, unless browsers and proxies would change it there. `resource`: the API's path.
    #[must_use]
    pub fn of_preset(resource: &str, preset: &str, key: &str) -> Self {
        if key.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Self::of_key(resource, key).with("preset", preset);
        }
        let path = format!("{resource}/{}/{}", encoded(preset), encoded_path(key));
        Self { path, parameters: Vec::new() }
    }

    /// Of a key by whatever parameters say.
    #[must_use]
    pub fn of_key(resource: &str, key: &str) -> Self {
        Self { path: resource.to_owned(), parameters: vec![("key".into(), key.into())] }
    }

    /// With another parameter.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.parameters.push((name.to_owned(), value.into()));
        self
    }

    fn parameters(&self) -> Vec<(&str, &str)> {
        self.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }

    /// Path and query as they are.
    #[must_use]
    pub fn unsigned(&self) -> String {
        match self.parameters.is_empty() {
            true => self.path.clone(),
            false => format!("{}?{}", self.path, encoded_query(self.parameters())),
        }
    }

    /// Path and query, signed until `expires_s`, in seconds since 1970.
    #[must_use]
    pub fn signed(&self, key: &SigningKey, expires_s: i64) -> String {
        signed(key, &self.path, &self.parameters(), expires_s)
    }
}

/// The value of `srcset` for these URLs, each with its device pixel ratio.
#[must_use]
pub fn srcset(candidates: impl IntoIterator<Item = (String, u32)>) -> String {
    let candidates = candidates.into_iter().map(|(url, dpr)| format!("{url} {dpr}x"));
    candidates.collect::<Vec<_>>().join(", ")
}

/// The URLs of a preset's image at each device pixel ratio that it offers.
pub fn at_each_density(preset: &Preset, url: &ImageUrl) -> impl Iterator<Item = (ImageUrl, u32)> {
    let at = move |dpr: u32| if dpr == 1 { url.clone() } else { url.clone().with("dpr", dpr.to_string()) };
    (1..=preset.max_dpr).map(move |dpr| (at(dpr), dpr))
}

/// A box at a device pixel ratio; `None` if a side would be longer than `most` pixels.
#[must_use]
pub fn scaled(size: Size, dpr: u32, most: u32) -> Option<Size> {
    let side = |side: Option<u32>| match side {
        None => Some(None),
        Some(side) => side.checked_mul(dpr).filter(|side| *side <= most).map(Some),
    };
    Some(Size { width: side(size.width)?, height: side(size.height)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_in_the_path_unless_they_would_change_there() {
        let url = |key| ImageUrl::of_preset("/dev1/myimage", "card", key).unsigned();
        assert_eq!(url("raw/a b,ü.jpg"), "/dev1/myimage/card/raw/a%20b%2C%C3%BC.jpg");
        assert_eq!(url("a/../b.jpg"), "/dev1/myimage?key=a%2F..%2Fb.jpg&preset=card");
        for key in ["/a", "a//b", "a/", "./a", ".."] {
            assert!(url(key).starts_with("/dev1/myimage?key="), "{key}");
        }
        assert_eq!(url("..."), "/dev1/myimage/card/...");
    }

    #[test]
    fn boxes_grow_up_to_a_bound() {
        let size = |text: &str| text.parse::<Size>().unwrap();
        assert_eq!(scaled(size("400x300"), 2, 800), Some(size("800x600")));
        assert_eq!(scaled(size("x300"), 3, 900), Some(size("x900")));
        assert_eq!(scaled(size("400x300"), 2, 799), None);
        assert_eq!(scaled(size("60000"), 100_000, u32::MAX), None);
    }
}
