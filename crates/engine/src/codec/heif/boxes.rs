//! Boxes of the ISO base media file format (ISO/IEC 14496-12), and fields within them.

/// A box.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Box<'a> {
    pub(crate) kind: [u8; 4],
    pub(crate) data: &'a [u8],
}

/// The boxes of a file or of another box, in order; a truncated one is the last, and has what there is of it.
#[derive(Debug, Clone)]
pub(crate) struct Boxes<'a>(&'a [u8]);

impl<'a> Boxes<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The first box of a kind.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "literals of bytes are references")]
    pub(crate) fn find(mut self, kind: &[u8; 4]) -> Option<&'a [u8]> {
        self.find_map(|found| (&found.kind == kind).then_some(found.data))
    }
}

impl<'a> Iterator for Boxes<'a> {
    type Item = Box<'a>;

    fn next(&mut self) -> Option<Box<'a>> {
        let mut fields = Fields::new(self.0);
        let (length, kind) = (fields.u32()?, fields.kind()?);
        let length = match length {
            0 => self.0.len() as u64,
            1 => fields.u64()?,
            length => length.into(),
        };
        let header = self.0.len() - fields.0.len();
        let end = usize::try_from(length).unwrap_or(usize::MAX).min(self.0.len());
        let data = self.0.get(header..end)?;
        self.0 = &self.0[end..];
        Some(Box { kind, data })
    }
}

/// Big-endian fields, one after another; `None` past the end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

impl<'a> Fields<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_be_bytes)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    pub(crate) fn kind(&mut self) -> Option<[u8; 4]> {
        self.array()
    }

    /// An integer of so many bytes, 0 to 8.
    pub(crate) fn uint(&mut self, bytes: u8) -> Option<u64> {
        self.take(bytes.into()).map(|bytes| bytes.iter().fold(0, |value, &byte| value << 8 | u64::from(byte)))
    }

    /// An integer of two bytes, or of four if `wide`.
    pub(crate) fn u16_or_u32(&mut self, wide: bool) -> Option<u32> {
        if wide { self.u32() } else { self.u16().map(u32::from) }
    }

    /// The version and the flags of a full box.
    pub(crate) fn version(&mut self) -> Option<(u8, u32)> {
        let word = self.u32()?;
        Some(((word >> 24) as u8, word & 0xff_ffff))
    }

    /// Text up to a zero, or to the end.
    pub(crate) fn text(&mut self) -> &'a [u8] {
        let end = memchr::memchr(0, self.0).unwrap_or(self.0.len());
        let text = &self.0[..end];
        self.0 = self.0.get(end + 1..).unwrap_or_default();
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_of_every_form_are_read() {
        let file = b"\0\0\0\x0aabcdXY\0\0\0\x01efgh\0\0\0\0\0\0\0\x12Zz\0\0\0\0lastrest";
        let boxes: Vec<_> = Boxes::new(file).map(|found| (found.kind, found.data)).collect();
        assert_eq!(boxes, [(*b"abcd", &b"XY"[..]), (*b"efgh", b"Zz"), (*b"last", b"rest")]);
    }

    #[test]
    fn a_truncated_box_has_what_there_is_and_a_short_one_ends_the_list() {
        let boxes: Vec<_> = Boxes::new(b"\0\0\0\x20mdatabc").map(|found| found.data).collect();
        assert_eq!(boxes, [b"abc"]);
        assert_eq!(Boxes::new(b"\0\0\0\x04abcdefgh").count(), 0);
    }
}
