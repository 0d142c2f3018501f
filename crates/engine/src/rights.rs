//! Author, copyright and terms of use of an image: read from Exif, XMP and IPTC, and written as Exif and XMP. Nothing
//! else of the metadata is read, so that no position can get into a thumbnail.

mod blocks;
mod embed;
mod exif;
mod iptc;
mod xmp;

pub(crate) use embed::embedded;

/// Characters of the longest value; the rest is cut.
const LONGEST: usize = 1000;

/// What a file says of its author and of how it may be used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Rights {
    /// Who created it.
    pub(crate) artist: Option<String>,
    /// The copyright notice.
    pub(crate) copyright: Option<String>,
    /// How it may be used.
    pub(crate) terms: Option<String>,
    /// The address of a page about its rights.
    pub(crate) page: Option<String>,
}

impl Rights {
    /// Those of a file, whatever of it can be read. Exif counts before XMP, XMP before IPTC.
    pub(crate) fn of(file: &[u8]) -> Self {
        let blocks = blocks::Blocks::of(file);
        let mut rights = Self::default();
        if let Some(block) = blocks.exif {
            rights.fill(exif::read(block));
        }
        if let Some(packet) = blocks.xmp {
            rights.fill(xmp::read(packet));
        }
        if let Some(records) = blocks.iptc {
            rights.fill(iptc::read(records));
        }
        rights
    }

    /// Whether there is nothing.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// As Exif, from the header of its TIFF stream on; `None` if it would hold nothing.
    pub(crate) fn exif(&self) -> Option<Vec<u8>> {
        exif::written(self)
    }

    /// Takes what is missing from others.
    fn fill(&mut self, other: Self) {
        let Self { artist, copyright, terms, page } = other;
        for (own, other) in [
            (&mut self.artist, artist),
            (&mut self.copyright, copyright),
            (&mut self.terms, terms),
            (&mut self.page, page),
        ] {
            if own.is_none() {
                *own = other;
            }
        }
    }
}

/// Bytes as text: UTF-8, else Latin-1; without control characters and white space around it. `None` if nothing is left.
fn text(bytes: &[u8]) -> Option<String> {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().map(|byte| char::from(*byte)).collect(),
    };
    let legal = |c: char| if c.is_control() { ' ' } else { c };
    let text: String = text.trim_matches(['\0', ' ']).chars().map(legal).take(LONGEST).collect();
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn all() -> Rights {
        let some = |text: &str| Some(text.to_owned());
        Rights {
            artist: some("Ada Müller"),
            copyright: some("© 2026 Müller & \"Söhne\" <all>"),
            terms: some("No derivatives"),
            page: some("https://example.com/?a=1&b=2"),
        }
    }

    fn jpeg(segments: &[(u8, Vec<u8>)]) -> Vec<u8> {
        let mut file = b"\xff\xd8".to_vec();
        for (marker, data) in segments {
            file.extend([0xff, *marker]);
            file.extend((data.len() as u16 + 2).to_be_bytes());
            file.extend(data);
        }
        file.extend(b"\xff\xda\0\x02\xff\xd9");
        file
    }

    #[test]
    fn what_is_written_is_read_again() {
        let rights = all();
        let exif = Rights { terms: None, page: None, ..rights.clone() };
        assert_eq!(exif::read(&rights.exif().unwrap()), exif);
        assert_eq!(xmp::read(xmp::written(&rights).as_bytes()), rights);
        assert!(Rights::default().is_empty() && Rights::default().exif().is_none());
    }

    #[test]
    fn exif_counts_before_xmp_and_xmp_before_iptc() {
        let exif = Rights { artist: Some("Exif".into()), ..Rights::default() };
        let xmp = Rights { artist: Some("XMP".into()), copyright: Some("XMP".into()), ..Rights::default() };
        let mut records = b"Photoshop 3.0\x008BIM\x04\x04\0\0".to_vec();
        let data =
            [&b"\x1c\x02\x74\0\x04IPTC"[..], b"\x1c\x02\x50\0\x04Iptc", b"\x1c\x02\x6e\0\x06Credit"].concat();
        records.extend((data.len() as u32).to_be_bytes());
        records.extend(&data);
        let exif = (0xe1, [&b"Exif\0\0"[..], &exif.exif().unwrap()].concat());
        let xmp = (0xe1, [&b"http://ns.adobe.com/xap/1.0/\0"[..], xmp::written(&xmp).as_bytes()].concat());
        let iptc = (0xed, records);
        let read = |segments: &[(u8, Vec<u8>)]| {
            let rights = Rights::of(&jpeg(segments));
            (rights.artist.unwrap_or_default(), rights.copyright.unwrap_or_default())
        };
        let pair = |one: &str, two: &str| (one.to_owned(), two.to_owned());
        assert_eq!(read(&[iptc.clone(), xmp.clone(), exif.clone()]), pair("Exif", "XMP"));
        assert_eq!(read(&[iptc.clone(), exif]), pair("Exif", "IPTC"));
        assert_eq!(read(&[iptc]), pair("Iptc", "IPTC"));
        assert_eq!(read(&[]), pair("", ""));
    }

    #[test]
    fn values_are_cleaned_and_bounded() {
        assert_eq!(text(b" a\0b \0\0").as_deref(), Some("a b"));
        assert_eq!(text(b"\0 \n"), None);
        assert_eq!(text(b"Andr\xe9").as_deref(), Some("André"));
        assert_eq!(text(&[b'a'; 5000]).unwrap().len(), LONGEST);
    }

    #[test]
    fn any_bytes_are_read_and_cut_anywhere() {
        let whole = {
            let exif = (0xe1, [&b"Exif\0\0"[..], &all().exif().unwrap()].concat());
            let xmp =
                (0xe1, [&b"http://ns.adobe.com/xap/1.0/\0"[..], xmp::written(&all()).as_bytes()].concat());
            jpeg(&[exif, xmp])
        };
        assert_eq!(Rights::of(&whole), all());
        for length in 0..whole.len() {
            let _ = Rights::of(&whole[..length]);
            let mut flipped = whole.clone();
            flipped[length] ^= 0x55;
            let rights = Rights::of(&flipped);
            assert!(rights.artist.is_none_or(|text| text.chars().count() <= LONGEST));
        }
    }
}
