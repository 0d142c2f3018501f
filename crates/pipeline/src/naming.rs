//! Names of thumbnails: a template over the source's key.

use std::{fmt, str::FromStr};

use tintype_engine::{Format, Size};

/// The longest key S3 has, in bytes of UTF-8.
pub const MAX_KEY_BYTES: usize = 1024;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    /// The whole source key.
    Key,
    /// Its folders, with the last slash; empty at the top.
    Dir,
    /// Its last segment.
    Name,
    /// Its last segment without the extension.
    Stem,
    /// The extension with its dot; empty if there is none.
    Ext,
    /// The usual extension of the output's format, without a dot.
    Format,
    /// Width of the rendition's box.
    Width,
    /// Height of the rendition's box.
    Height,
}

const FIELDS: [(&str, Part); 8] = [
    ("key", Part::Key),
    ("dir", Part::Dir),
    ("name", Part::Name),
    ("stem", Part::Stem),
    ("ext", Part::Ext),
    ("format", Part::Format),
    ("width", Part::Width),
    ("height", Part::Height),
];

/// A parsed template such as `thumb_{key}` or `{dir}small/{stem}{ext}`. It holds `{key}`, or all of
/// `{dir}`, `{stem}` and `{ext}` (or `{dir}` and `{name}`), so that two sources never share a thumbnail. With `{format}`
/// in place of `{ext}` sources that differ in their extension alone do, and the second is refused as a collision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyTemplate {
    written: String,
    parts: Vec<Part>,
    /// How many times larger than the rendition's box its thumbnails are; above 1, their names say so: `@2x`.
    density: u32,
}

impl Default for KeyTemplate {
    fn default() -> Self {
        let parts = vec![Part::Text("thumb_".into()), Part::Key];
        Self { written: "thumb_{key}".into(), parts, density: 1 }
    }
}

impl fmt::Display for KeyTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)?;
        f.write_str(&self.mark())
    }
}

impl FromStr for KeyTemplate {
    type Err = String;

    fn from_str(written: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = written;
        while let Some(open) = rest.find('{') {
            if open > 0 {
                parts.push(Part::Text(rest[..open].into()));
            }
            let close =
                rest[open..].find('}').ok_or_else(|| format!("\"{written}\" has a {{ without its }}"))?;
            let field = &rest[open + 1..open + close];
            let part = FIELDS.iter().find(|(name, _)| *name == field).map(|(_, part)| part.clone());
            parts.push(part.ok_or_else(|| {
                format!(
                    "\"{written}\" has {{{field}}}; the fields are {{key}} {{dir}} {{name}} {{stem}} {{ext}} {{format}} {{width}} {{height}}"
                )
            })?);
            rest = &rest[open + close + 1..];
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.into()));
        }
        let has = |part| parts.contains(&part);
        // {dir} ends with the last slash, so what follows it is unambiguous; what precedes it is not.
        let after_dir = parts.iter().position(|part| *part == Part::Dir).and_then(|dir| parts.get(dir + 1..));
        let named = |part: &Part| after_dir.is_some_and(|rest| rest.contains(part));
        let whole = named(&Part::Name) || named(&Part::Stem) && (named(&Part::Ext) || named(&Part::Format));
        if !has(Part::Key) && !whole {
            return Err(format!(
                "\"{written}\" would give two images one name: it must hold {{key}}, or {{dir}}{{stem}} and {{ext}} or {{format}} in that order"
            ));
        }
        Ok(Self { written: written.into(), parts, density: 1 })
    }
}

impl KeyTemplate {
    /// The template of the same rendition at a density: `@2x` and the like stand before the extension of its names.
    /// `{width}` and `{height}` stay those of density 1.
    #[must_use]
    pub fn at_density(&self, density: u32) -> Self {
        Self { density: density.max(1), ..self.clone() }
    }

    /// What names of this density have before their extension.
    fn mark(&self) -> String {
        if self.density > 1 { format!("@{}x", self.density) } else { String::new() }
    }

    /// Where the mark stands: before `{ext}`, or before the dot of `.{format}`, or before the extension within a part, by
    /// the index of the part.
    fn marked(&self) -> Option<usize> {
        let last = |wanted: fn(&Part) -> bool| self.parts.iter().rposition(wanted);
        let ext = || last(|part| *part == Part::Ext);
        let name = || last(|part| matches!(part, Part::Key | Part::Name));
        let dot = || {
            let before = last(|part| *part == Part::Format)?.checked_sub(1)?;
            matches!(&self.parts[before], Part::Text(text) if text.ends_with('.')).then_some(before)
        };
        let stem = || last(|part| *part == Part::Stem);
        ext().or_else(name).or_else(dot).or_else(stem).filter(|_| self.density > 1)
    }

    /// A side of the rendition's box, in text.
    fn side(&self, side: Option<u32>) -> String {
        side.map(|side| (side / self.density).to_string()).unwrap_or_default()
    }

    /// Checks that the rendition's box defines `{width}` and `{height}` where the template uses them.
    ///
    /// # Errors
    /// The side that the box leaves open.
    pub fn check_size(&self, size: Size) -> Result<(), String> {
        for (part, side, name) in [(Part::Width, size.width, "width"), (Part::Height, size.height, "height")]
        {
            if self.parts.contains(&part) && side.is_none() {
                return Err(format!(
                    "\"{}\" holds {{{name}}}, but size \"{size}\" leaves the {name} open",
                    self.written
                ));
            }
        }
        Ok(())
    }

    /// The thumbnail's key for a source: the template filled in and, where the output's format is not the
    /// source's and the template does not name it, the output's extension appended (`a.gif` -> `thumb_a.gif.png`).
    ///
    /// # Errors
    /// The key that would be longer than [`MAX_KEY_BYTES`].
    pub fn render(&self, source: &str, size: Size, from: Format, to: Format) -> Result<String, KeyTooLong> {
        let (dir, name) = source.rfind('/').map_or(("", source), |slash| source.split_at(slash + 1));
        // A leading dot starts a hidden name, not an extension.
        let (stem, ext) = name.rfind('.').filter(|dot| *dot > 0).map_or((name, ""), |dot| name.split_at(dot));
        let (mark, marked) = (self.mark(), self.marked());
        let mut key = String::with_capacity(source.len() + 16);
        for (index, part) in self.parts.iter().enumerate() {
            let mark = if marked == Some(index) { mark.as_str() } else { "" };
            match part {
                Part::Text(text) if mark.is_empty() => key.push_str(text),
                Part::Text(text) => {
                    [text.trim_end_matches('.'), mark, "."].iter().for_each(|part| key.push_str(part));
                }
                Part::Key => [dir, stem, mark, ext].iter().for_each(|part| key.push_str(part)),
                Part::Dir => key.push_str(dir),
                Part::Name => [stem, mark, ext].iter().for_each(|part| key.push_str(part)),
                Part::Stem => [stem, mark].iter().for_each(|part| key.push_str(part)),
                Part::Ext => [mark, ext].iter().for_each(|part| key.push_str(part)),
                Part::Format => key.push_str(to.extension()),
                Part::Width => key.push_str(&self.side(size.width)),
                Part::Height => key.push_str(&self.side(size.height)),
            }
        }
        if from != to && !self.parts.contains(&Part::Format) {
            key.push('.');
            key.push_str(to.extension());
        }
        if key.len() > MAX_KEY_BYTES { Err(KeyTooLong { bytes: key.len() }) } else { Ok(key) }
    }

    /// Whether this template may produce a key for some source; errs towards true.
    pub(crate) fn may_produce(&self, key: &str, size: Size) -> bool {
        let has = |part: &Part| match part {
            // A mark may stand before its dot.
            Part::Text(text) if self.density > 1 => key.contains(text.trim_end_matches('.')),
            Part::Text(text) => key.contains(text.as_str()),
            _ => true,
        };
        key.starts_with(&self.start(size, "")) && self.parts.iter().all(has)
    }

    /// Text that every thumbnail's key begins with, for sources whose keys begin with `prefix`; for the
    /// loop check, so rather too short than too long.
    pub(crate) fn start(&self, size: Size, prefix: &str) -> String {
        let mut start = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => start.push_str(text),
                Part::Width => start.push_str(&self.side(size.width)),
                Part::Height => start.push_str(&self.side(size.height)),
                Part::Key => {
                    // A mark may stand before what looks like an extension.
                    let dot =
                        prefix.rfind('.').filter(|dot| self.density > 1 && !prefix[*dot..].contains('/'));
                    start.push_str(&prefix[..dot.unwrap_or(prefix.len())]);
                    break;
                }
                Part::Dir => {
                    start.push_str(prefix.rfind('/').map_or("", |slash| &prefix[..=slash]));
                    break;
                }
                Part::Name | Part::Stem | Part::Ext | Part::Format => break,
            }
        }
        start
    }

    /// Text that every thumbnail's key ends with, for sources whose keys end with `suffix` (unless an
    /// extension is appended); for the loop check, so it errs towards shorter.
    pub(crate) fn end(&self, size: Size, suffix: &str) -> String {
        let mut end = String::new();
        for part in self.parts.iter().rev() {
            // Before the extension of a marked name nothing is as in the source's.
            let suffix = match suffix.rfind('.') {
                Some(dot) if self.density > 1 && !suffix[dot..].contains('/') => &suffix[dot..],
                _ if self.density > 1 => "",
                _ => suffix,
            };
            match part {
                Part::Text(text) => end.insert_str(0, text),
                Part::Width => {
                    end.insert_str(0, &self.side(size.width));
                }
                Part::Height => {
                    end.insert_str(0, &self.side(size.height));
                }
                Part::Key => {
                    end.insert_str(0, suffix);
                    break;
                }
                Part::Name => {
                    end.insert_str(0, suffix.rfind('/').map_or(suffix, |slash| &suffix[slash + 1..]));
                    break;
                }
                Part::Ext => {
                    // A dot that begins the suffix may begin a hidden name instead of an extension.
                    let dot = suffix.rfind('.').filter(|dot| *dot > 0 && !suffix[..*dot].ends_with('/'));
                    end.insert_str(0, dot.map_or("", |dot| &suffix[dot..]));
                    break;
                }
                Part::Dir | Part::Stem | Part::Format => break,
            }
        }
        end
    }
}

/// A thumbnail's key would be longer than S3 allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyTooLong {
    /// Its length in bytes.
    pub bytes: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(template: &str, source: &str) -> String {
        let size = "200x100".parse().unwrap();
        template.parse::<KeyTemplate>().unwrap().render(source, size, Format::Jpeg, Format::Jpeg).unwrap()
    }

    #[test]
    fn templates() {
        assert_eq!(
            render("thumb_{key}", "Medium-input(30)/photo 1+2.jpg"),
            "thumb_Medium-input(30)/photo 1+2.jpg"
        );
        assert_eq!(render("{dir}t/{stem}-{width}x{height}{ext}", "a/b/c.d.jpg"), "a/b/t/c.d-200x100.jpg");
        assert_eq!(render("{dir}t_{name}", ".hidden"), "t_.hidden");
        assert_eq!(render("{dir}{stem}_{ext}", "a/.hidden"), "a/.hidden_");
        assert_eq!(render("x{key}", "photos/"), "xphotos/");
    }

    #[test]
    fn a_changed_format_appends_its_extension() {
        let key =
            KeyTemplate::default().render("a.gif", "1".parse().unwrap(), Format::Gif, Format::Png).unwrap();
        assert_eq!(key, "thumb_a.gif.png");
        let named: KeyTemplate = "{dir}{stem}.{format}".parse().unwrap();
        for (source, to, key) in [("b/a.gif", Format::Png, "b/a.png"), ("a.jpeg", Format::Jpeg, "a.jpg")] {
            assert_eq!(named.render(source, "1".parse().unwrap(), Format::Gif, to).unwrap(), key);
        }
    }

    #[test]
    fn densities_stand_before_the_extension() {
        let render = |template: &str, source: &str, density: u32| {
            let size = Size { width: Some(200 * density), height: Some(100 * density) };
            let template = template.parse::<KeyTemplate>().unwrap().at_density(density);
            template.render(source, size, Format::Jpeg, Format::Jpeg).unwrap()
        };
        for (template, source, one, two) in [
            ("thumb_{key}", "a/photo.jpg", "thumb_a/photo.jpg", "thumb_a/photo@2x.jpg"),
            ("{dir}t_{name}", "a/photo.jpg", "a/t_photo.jpg", "a/t_photo@2x.jpg"),
            ("{dir}{stem}-{width}{ext}", "photo.jpg", "photo-200.jpg", "photo-200@2x.jpg"),
            ("{dir}{stem}.{format}", "a.b/photo.jpeg", "a.b/photo.jpg", "a.b/photo@2x.jpg"),
            ("{dir}{stem}-{width}.{format}", "photo.jpg", "photo-200.jpg", "photo-200@2x.jpg"),
            ("{dir}{stem}{format}", "photo.jpg", "photojpg", "photo@2xjpg"),
            ("{stem}/{key}", "photo.jpg", "photo/photo.jpg", "photo/photo@2x.jpg"),
            ("{key}", "a/.hidden", "a/.hidden", "a/.hidden@2x"),
        ] {
            assert_eq!(render(template, source, 1), one);
            assert_eq!(render(template, source, 2), two);
        }
        let template = KeyTemplate::default().at_density(2);
        assert_eq!(template.to_string(), "thumb_{key}@2x");
        let gif = template.render("a.gif", "1".parse().unwrap(), Format::Gif, Format::Png);
        assert_eq!(gif.unwrap(), "thumb_a@2x.gif.png");
        // For the loop check rather too short than too long.
        let size = "1".parse().unwrap();
        assert_eq!(template.start(size, "raw/photo.j"), "thumb_raw/photo");
        assert_eq!(template.start(size, "raw.old/p"), "thumb_raw.old/p");
        assert_eq!((template.end(size, "_a.jpg"), template.end(size, "_a")), (".jpg".into(), String::new()));
    }

    #[test]
    fn the_longest_key() {
        let size = "1".parse().unwrap();
        let render = |n: usize| KeyTemplate::default().render(&"k".repeat(n), size, Format::Png, Format::Png);
        assert!(render(1018).is_ok());
        assert_eq!(render(1019), Err(KeyTooLong { bytes: 1025 }));
    }

    #[test]
    fn templates_that_would_collide_are_refused() {
        for template in [
            "thumb",
            "{name}",
            "{stem}{ext}",
            "{dir}{stem}",
            "{dir}{ext}",
            "{name}{dir}",
            "{nme}{key}",
            "{key",
        ] {
            assert!(template.parse::<KeyTemplate>().is_err(), "{template}");
        }
    }
}
