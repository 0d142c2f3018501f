//! The headers with which images are delivered: how long and by whom they may be cached, to which pages they may be
//! shown, and under which name they are saved.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use tintype_engine::Format;
use tintype_pipeline::clock::now_ms;

use crate::{Config, public::Pass, query::Delivery, signed_url::encoded};

const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// Seconds that caches take for ever.
const YEAR_S: u32 = 31_536_000;

/// How long an image may be cached.
/// Sources: RFC 9111, section 5.2.2; RFC 5861, section 3; RFC 8246.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Freshness {
    max_age_s: u32,
    /// After that, while the cache asks again.
    stale_while_revalidate_s: u32,
    /// Whether it never changes.
    is_immutable: bool,
}

impl Freshness {
    /// Fresh for so long, and then not.
    pub(crate) const fn of_seconds(max_age_s: u32) -> Self {
        Self { max_age_s, stale_while_revalidate_s: 0, is_immutable: false }
    }

    /// Of an image of this version of its source.
    pub(crate) fn new(config: &Config, pass: Pass, delivery: &Delivery, source_etag: &str) -> Self {
        let is_for_pages = delivery.preset.is_some() || delivery.is_signed || pass.is_public;
        let freshness = if delivery.version.as_deref() == Some(source_etag) {
            Self { is_immutable: true, ..Self::of_seconds(YEAR_S) }
        } else if is_for_pages {
            let stale_while_revalidate_s = config.stale_while_revalidate_s;
            Self { stale_while_revalidate_s, ..Self::of_seconds(config.max_age_s) }
        } else {
            Self::of_seconds(config.cache_ttl_s)
        };
        freshness.until_the_end_of(pass)
    }

    /// No cache answers a signed URL for longer than it is valid.
    pub(crate) fn until_the_end_of(self, pass: Pass) -> Self {
        match pass.expires_s {
            Some(expires_s) => self.within(expires_s.saturating_sub(now_ms().div_euclid(1000))),
            None => self,
        }
    }

    fn within(self, left_s: i64) -> Self {
        let left_s = u32::try_from(left_s.max(0)).unwrap_or(u32::MAX);
        let max_age_s = self.max_age_s.min(left_s);
        let stale_while_revalidate_s = self.stale_while_revalidate_s.min(left_s - max_age_s);
        Self { max_age_s, stale_while_revalidate_s, ..self }
    }

    fn cache_control(self, config: &Config, pass: Pass) -> String {
        let scope = match (pass.is_public, config.has_keys || pass.is_of_key) {
            (true, _) => "public, ",
            (false, true) => "private, ",
            (false, false) => "",
        };
        let mut text = format!("{scope}max-age={}", self.max_age_s);
        if self.stale_while_revalidate_s > 0 {
            text += &format!(", stale-while-revalidate={}", self.stale_while_revalidate_s);
        }
        if self.is_immutable {
            text += ", immutable";
        }
        text
    }
}

/// Adds how long and by whom an image may be cached, and that pages of every origin may show it if it is public.
pub(crate) fn mark(headers: &mut HeaderMap, config: &Config, pass: Pass, freshness: Freshness) {
    if let Ok(value) = HeaderValue::from_str(&freshness.cache_control(config, pass)) {
        headers.insert(header::CACHE_CONTROL, value);
    }
    if pass.is_public {
        headers.insert(RESOURCE_POLICY, HeaderValue::from_static("cross-origin"));
    }
}

/// `Content-Disposition` of an image that is to be saved under a name; without one, under that of its key. The name always
/// ends as the format's names do, so that no URL can have a page's visitors save anything but an image.
/// Sources: RFC 6266; RFC 8187.
pub(crate) fn attachment(name: &str, key: &str, format: Format) -> HeaderValue {
    let name = match name {
        "" => key.rsplit('/').find(|part| !part.is_empty()).unwrap_or("image"),
        name => name,
    };
    let (stem, extension) = name.rsplit_once('.').unwrap_or((name, ""));
    let is_jpeg = format == Format::Jpeg && extension.eq_ignore_ascii_case("jpeg");
    let name = if is_jpeg || extension.eq_ignore_ascii_case(format.extension()) {
        name.to_owned()
    } else {
        let is_of_an_image = IMAGE_EXTENSIONS.iter().any(|known| known.eq_ignore_ascii_case(extension));
        format!("{}.{}", if is_of_an_image { stem } else { name }, format.extension())
    };
    let is_plain = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '\\' | '%') || c == ' ';
    let plain: String = name.chars().map(|c| if is_plain(c) { c } else { '_' }).collect();
    let mut text = format!("attachment; filename=\"{plain}\"");
    if plain != name {
        text += &format!("; filename*=UTF-8''{}", encoded(&name));
    }
    HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static("attachment"))
}

/// Extensions that another format's replaces.
const IMAGE_EXTENSIONS: [&str; 12] =
    ["avif", "bmp", "gif", "heic", "jpeg", "jpg", "jxl", "png", "svg", "tif", "tiff", "webp"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_name_is_an_images() {
        for (name, key, format, expected) in [
            ("", "raw/a.jpg", Format::Jpeg, "attachment; filename=\"a.jpg\""),
            ("", "raw/a.JPEG", Format::Jpeg, "attachment; filename=\"a.JPEG\""),
            ("", "raw/a.jpg", Format::WebP, "attachment; filename=\"a.webp\""),
            ("", "raw/a.tiff", Format::Png, "attachment; filename=\"a.png\""),
            ("", "raw/", Format::Png, "attachment; filename=\"raw.png\""),
            ("", "/", Format::Png, "attachment; filename=\"image.png\""),
            ("card", "a.jpg", Format::WebP, "attachment; filename=\"card.webp\""),
            ("run.exe", "a.jpg", Format::Png, "attachment; filename=\"run.exe.png\""),
            (
                "a\"b\\c.png",
                "a",
                Format::Png,
                "attachment; filename=\"a_b_c.png\"; filename*=UTF-8''a%22b%5Cc.png",
            ),
            (
                "grün 1.png",
                "a",
                Format::Png,
                "attachment; filename=\"gr_n 1.png\"; filename*=UTF-8''gr%C3%BCn%201.png",
            ),
            (
                "",
                "a\r\nb.png",
                Format::Png,
                "attachment; filename=\"a__b.png\"; filename*=UTF-8''a%0D%0Ab.png",
            ),
        ] {
            assert_eq!(attachment(name, key, format), expected, "{name} {key}");
        }
    }

    #[test]
    fn no_cache_outlives_a_signature() {
        let freshness = Freshness { stale_while_revalidate_s: 500, ..Freshness::of_seconds(300) };
        let seconds = |left| {
            let Freshness { max_age_s, stale_while_revalidate_s, .. } = freshness.within(left);
            (max_age_s, stale_while_revalidate_s)
        };
        assert_eq!(seconds(10_000), (300, 500));
        assert_eq!(seconds(400), (300, 100));
        assert_eq!(seconds(100), (100, 0));
        assert_eq!(seconds(0), (0, 0));
        assert_eq!(seconds(-5), (0, 0));
        assert_eq!(seconds(i64::MAX), (300, 500));
    }
}
