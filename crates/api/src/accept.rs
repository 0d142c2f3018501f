//! `Accept`: which formats a client accepts, with their weights.
//! Source: RFC 9110, section 12.5.1.

use axum::http::{HeaderMap, header};
use tintype_engine::Format;

/// The `Accept` header of a request; without one, everything is accepted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Accept {
    /// Media ranges in lower case, each with its weight in thousandths.
    ranges: Vec<(String, u16)>,
}

impl Accept {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let values = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
        Self { ranges: values.flat_map(|value| value.split(',')).filter_map(range).collect() }
    }

    /// The weight of a media type, in thousandths; the most specific range counts.
    fn weight(&self, media_type: &str) -> u16 {
        if self.ranges.is_empty() {
            return 1000;
        }
        let group = media_type.split('/').next().unwrap_or_default();
        let names = [media_type.to_owned(), format!("{group}/*"), "*/*".to_owned()];
        names
            .iter()
            .find_map(|name| self.ranges.iter().find(|(range, _)| range == name))
            .map_or(0, |(_, weight)| *weight)
    }

    pub(crate) fn accepts(&self, media_type: &str) -> bool {
        self.weight(media_type) > 0
    }

    /// Whether a media type is accepted by its name: clients that write `*/*` alone may know it or not.
    pub(crate) fn names(&self, media_type: &str) -> bool {
        self.ranges.iter().any(|(range, weight)| range == media_type && *weight > 0)
    }

    /// The format with the highest weight; of equals the first. `None` if none is accepted.
    pub(crate) fn choose(&self, formats: &[Format]) -> Option<Format> {
        let mut best = None;
        for format in formats {
            let weight = self.weight(format.media_type());
            if weight > best.map_or(0, |(_, most)| most) {
                best = Some((*format, weight));
            }
        }
        best.map(|(format, _)| format)
    }
}

fn range(text: &str) -> Option<(String, u16)> {
    let mut parts = text.split(';').map(str::trim);
    let name = parts.next().filter(|name| name.contains('/'))?.to_ascii_lowercase();
    let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
    let weight = weight.and_then(|text| text.parse::<f32>().ok()).unwrap_or(1.0);
    Some((name, (weight.clamp(0.0, 1.0) * 1000.0) as u16))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(accept: &str) -> Option<Format> {
        let headers = HeaderMap::from_iter([(header::ACCEPT, accept.parse().unwrap())]);
        Accept::of(&headers).choose(&[Format::Jpeg, Format::WebP, Format::Png])
    }

    #[test]
    fn the_highest_weight_wins_and_of_equals_the_stored_format() {
        for (accept, format) in [
            ("*/*", Some(Format::Jpeg)),
            ("image/avif,image/webp,image/*,*/*;q=0.8", Some(Format::Jpeg)),
            ("image/webp,*/*;q=0.8", Some(Format::WebP)),
            ("image/png;q=0.5, image/webp;q=0.4", Some(Format::Png)),
            ("image/jpeg;q=0, image/*", Some(Format::WebP)),
            ("image/JPEG", Some(Format::Jpeg)),
            ("text/html", None),
            ("image/avif", None),
            ("nonsense", Some(Format::Jpeg)),
        ] {
            assert_eq!(choose(accept), format, "{accept}");
        }
        for (accept, is_named) in [
            ("image/avif,image/webp,image/*,*/*;q=0.8", true),
            ("image/webp;q=0.1", true),
            ("image/webp;q=0", false),
            ("image/*", false),
            ("*/*", false),
        ] {
            let headers = HeaderMap::from_iter([(header::ACCEPT, accept.parse().unwrap())]);
            assert_eq!(Accept::of(&headers).names("image/webp"), is_named, "{accept}");
        }
        assert!(!Accept::default().names("image/webp"));
        assert_eq!(Accept::default().choose(&[Format::Png]), Some(Format::Png));
    }
}
