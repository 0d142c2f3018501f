//! The root of a drawing: whether it is SVG, and its size.

use crate::error::Error;
use crate::foreign::Layout;

/// The beginning of a file in which its root is looked for: document types of drawing programs may be long.
pub(super) const BEGINNING: usize = 64 << 10;
/// Pixels of a side where nothing sets it (CSS 2, replaced elements).
pub(super) const DEFAULT: (f64, f64) = (300.0, 150.0);

/// Whether the first element is `svg`.
pub(super) fn is_svg(bytes: &[u8]) -> bool {
    root(bytes).is_some()
}

/// The size in pixels, rounded up, at least 1.
pub(super) fn size(bytes: &[u8]) -> Result<(u32, u32), Error> {
    let attributes = root(bytes).ok_or_else(|| Error::Malformed("svg: there is no svg element".into()))?;
    let (width, height) = natural(&attributes);
    let side = |side: f64| {
        let side = (side - 1e-6).ceil().max(1.0);
        if side.is_finite() && side <= f64::from(Layout::MAX_SIDE) {
            Ok(side as u32)
        } else {
            Err(Error::Malformed(format!("svg: a size of {width} x {height} pixels")))
        }
    };
    Ok((side(width)?, side(height)?))
}

/// The attributes of the root that set its size.
#[derive(Debug, Default, PartialEq)]
struct Attributes {
    width: Option<Length>,
    height: Option<Length>,
    /// Width and height of the view box.
    view_box: Option<(f64, f64)>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Length {
    Pixels(f64),
    /// A share of what contains the drawing.
    Share(f64),
}

/// As resvg computes it, so that what is rendered is what was announced.
fn natural(attributes: &Attributes) -> (f64, f64) {
    let base = attributes.view_box.unwrap_or(DEFAULT);
    let pixels = |length: Option<Length>, base: f64| match length {
        None => base,
        Some(Length::Pixels(pixels)) => pixels,
        Some(Length::Share(share)) => base * share,
    };
    let (width, height) = (pixels(attributes.width, base.0), pixels(attributes.height, base.1));
    match (attributes.width, attributes.height, attributes.view_box) {
        (Some(_), None, Some(view)) => (width, view.1 * width / view.0),
        (None, Some(_), Some(view)) => (view.0 * height / view.1, height),
        _ => (width, height),
    }
}

/// The attributes of the first element, if it is `svg`.
fn root(bytes: &[u8]) -> Option<Attributes> {
    let bytes = &bytes[..bytes.len().min(BEGINNING)];
    let mut rest = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    loop {
        rest = rest.trim_ascii_start();
        rest = match rest {
            [b'<', b'?', ..] => after(rest, b"?>")?,
            [b'<', b'!', b'-', b'-', ..] => after(&rest[4..], b"-->")?,
            [b'<', b'!', ..] => after_document_type(rest)?,
            [b'<', element @ ..] => return attributes(element),
            _ => return None,
        };
    }
}

fn after<'a>(bytes: &'a [u8], end: &[u8]) -> Option<&'a [u8]> {
    memchr::memmem::find(bytes, end).map(|at| &bytes[at + end.len()..])
}

/// A document type ends at `>`, but for those within its declarations and strings.
fn after_document_type(bytes: &[u8]) -> Option<&[u8]> {
    let mut brackets = 0_u32;
    let mut quote = None;
    for (at, &byte) in bytes.iter().enumerate() {
        match (quote, byte) {
            (Some(open), _) if byte == open => quote = None,
            (Some(_), _) => {}
            (None, b'"' | b'\'') => quote = Some(byte),
            (None, b'[') => brackets += 1,
            (None, b']') => brackets = brackets.saturating_sub(1),
            (None, b'>') if brackets == 0 => return Some(&bytes[at + 1..]),
            _ => {}
        }
    }
    None
}

/// The attributes of an element that begins with its name; `None` if that is not `svg`.
fn attributes(element: &[u8]) -> Option<Attributes> {
    let is_end = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, b'/' | b'>');
    let (name, mut rest) = element.split_at(element.iter().position(is_end)?);
    let local = name.rsplit(|&byte| byte == b':').next()?;
    if local != b"svg" {
        return None;
    }
    let mut found = Attributes::default();
    loop {
        rest = rest.trim_ascii_start();
        if matches!(rest.first(), None | Some(b'>' | b'/')) {
            return Some(found);
        }
        let Some((name, value, next)) = attribute(rest) else { return Some(found) };
        match name {
            b"width" => found.width = length(value),
            b"height" => found.height = length(value),
            b"viewBox" => found.view_box = view_box(value),
            _ => {}
        }
        rest = next;
    }
}

/// A name, its value, and what follows.
fn attribute(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let equals = memchr::memchr(b'=', bytes)?;
    let name = bytes[..equals].trim_ascii_end();
    let value = bytes[equals + 1..].trim_ascii_start();
    let quote = *value.first().filter(|quote| matches!(quote, b'"' | b'\''))?;
    let end = memchr::memchr(quote, &value[1..])?;
    Some((name, &value[1..=end], &value[end + 2..]))
}

/// A length with a unit (CSS values, at 96 pixels an inch and a font of 12 pixels); `None` if it is none, or not positive.
fn length(value: &[u8]) -> Option<Length> {
    let text = std::str::from_utf8(value.trim_ascii()).ok()?;
    let end = text.find(|c: char| c.is_ascii_alphabetic() && !matches!(c, 'e' | 'E') || c == '%');
    let end = end.or_else(|| text.find("em").or_else(|| text.find("ex")));
    let end = match end {
        // "2em" and "2ex": what looks like an exponent belongs to the unit.
        Some(at) if at > 0 && matches!(&text[at - 1..=at], "em" | "ex") => at - 1,
        Some(at) => at,
        None => text.len(),
    };
    let (number, unit) = text.split_at(end);
    let number: f64 =
        number.trim().parse().ok().filter(|number: &f64| number.is_finite() && *number > 0.0)?;
    let factor = match unit.trim() {
        "" | "px" => 1.0,
        "pt" => 96.0 / 72.0,
        "pc" => 16.0,
        "in" => 96.0,
        "cm" => 96.0 / 2.54,
        "mm" => 96.0 / 25.4,
        "em" => 12.0,
        "ex" => 6.0,
        "%" => return Some(Length::Share(number / 100.0)),
        _ => return None,
    };
    Some(Length::Pixels(number * factor))
}

/// Width and height of a view box; `None` if there are none that are positive.
fn view_box(value: &[u8]) -> Option<(f64, f64)> {
    let text = std::str::from_utf8(value).ok()?;
    let separator = |c: char| c.is_ascii_whitespace() || c == ',';
    let mut numbers = text.split(separator).filter(|part| !part.is_empty()).map(str::parse::<f64>);
    let mut next = || numbers.next()?.ok().filter(|number| number.is_finite());
    let (_, _, width, height) = (next()?, next()?, next()?, next()?);
    (width > 0.0 && height > 0.0).then_some((width, height))
}
