//! Image file directories: the tag tables of TIFF 6.0, BigTIFF and Exif, read with bounds checks.

/// A directory: tagged values in either byte order.
pub(crate) struct Ifd<'a> {
    bytes: &'a [u8],
    little: bool,
    big: bool,
    start: usize,
    count: usize,
}

/// One tagged value, possibly an array.
pub(crate) struct Entry<'a> {
    data: &'a [u8],
    little: bool,
    size: usize,
    signed_or_float: bool,
}

impl<'a> Ifd<'a> {
    /// The first directory of a TIFF stream.
    pub(crate) fn first(bytes: &'a [u8]) -> Option<Self> {
        let little = match bytes.get(..2)? {
            b"II" => true,
            b"MM" => false,
            _ => return None,
        };
        let (big, offset) = match uint(bytes, 2, 2, little)? {
            42 => (false, uint(bytes, 4, 4, little)?),
            43 => (true, uint(bytes, 8, 8, little)?),
            _ => return None,
        };
        Self::at(bytes, little, big, offset)
    }

    fn at(bytes: &'a [u8], little: bool, big: bool, offset: u64) -> Option<Self> {
        let offset = usize::try_from(offset).ok()?;
        let width = if big { 8 } else { 2 };
        let count = usize::try_from(uint(bytes, offset, width, little)?).ok()?;
        let start = offset.checked_add(width)?;
        let end = count.checked_mul(if big { 20 } else { 12 })?.checked_add(start)?;
        (end <= bytes.len()).then_some(Self { bytes, little, big, start, count })
    }

    const fn entry_size(&self) -> usize {
        if self.big { 20 } else { 12 }
    }

    /// Whether another directory (a further page) follows.
    pub(crate) fn has_next(&self) -> bool {
        let at = self.start + self.count * self.entry_size();
        uint(self.bytes, at, if self.big { 8 } else { 4 }, self.little).is_some_and(|next| next != 0)
    }

    /// Offset of a tag's entry.
    fn find(&self, tag: u16) -> Option<usize> {
        (0..self.count)
            .map(|index| self.start + index * self.entry_size())
            .find(|&at| uint(self.bytes, at, 2, self.little) == Some(u64::from(tag)))
    }

    /// The tag of each entry and how many values it declares, whether or not they are present.
    pub(crate) fn declared(&self) -> impl Iterator<Item = (u16, u64)> {
        let word = if self.big { 8 } else { 4 };
        (0..self.count).filter_map(move |index| {
            let at = self.start + index * self.entry_size();
            let tag = u16::try_from(uint(self.bytes, at, 2, self.little)?).ok()?;
            Some((tag, uint(self.bytes, at + 4, word, self.little)?))
        })
    }

    /// The value of a tag.
    pub(crate) fn entry(&self, tag: u16) -> Option<Entry<'a>> {
        let at = self.find(tag)?;
        let kind = uint(self.bytes, at + 2, 2, self.little)?;
        let size = match kind {
            1 | 2 | 6 | 7 => 1,
            3 | 8 => 2,
            4 | 9 | 11 | 13 => 4,
            5 | 10 | 12 | 16 | 17 | 18 => 8,
            _ => return None,
        };
        let word = if self.big { 8 } else { 4 };
        let count = usize::try_from(uint(self.bytes, at + 4, word, self.little)?).ok()?;
        let length = count.checked_mul(size)?;
        let inline = at + 4 + word;
        let from = if length <= word {
            inline
        } else {
            usize::try_from(uint(self.bytes, inline, word, self.little)?).ok()?
        };
        let data = self.bytes.get(from..from.checked_add(length)?)?;
        let signed_or_float = matches!(kind, 5 | 6 | 8..=12 | 17);
        Some(Entry { data, little: self.little, size, signed_or_float })
    }

    /// File offset of the low byte of a tag's inline 16-bit value.
    pub(crate) fn low_byte(&self, tag: u16) -> Option<usize> {
        let at = self.find(tag)? + if self.big { 12 } else { 8 };
        Some(if self.little { at } else { at + 1 })
    }

    /// The first value of an unsigned tag.
    pub(crate) fn uint(&self, tag: u16) -> Option<u64> {
        self.entry(tag)?.uint(0)
    }
}

impl Entry<'_> {
    /// The unsigned value at `index`.
    pub(crate) fn uint(&self, index: usize) -> Option<u64> {
        if self.signed_or_float {
            return None;
        }
        uint(self.data, index.checked_mul(self.size)?, self.size, self.little)
    }

    /// How many values there are.
    pub(crate) fn len(&self) -> usize {
        self.data.len() / self.size
    }
}

fn uint(bytes: &[u8], at: usize, size: usize, little: bool) -> Option<u64> {
    let bytes = bytes.get(at..at.checked_add(size)?)?;
    let join = |value: u64, byte: &u8| (value << 8) | u64::from(*byte);
    Some(if little { bytes.iter().rev().fold(0, join) } else { bytes.iter().fold(0, join) })
}
