//! Image file directories: the tag tables of TIFF 6.0, BigTIFF and Exif, read with bounds checks.

/// A directory: tagged values in either byte order.
#[derive(Clone)]
pub(crate) struct Ifd<'a> {
    bytes: &'a [u8],
    little: bool,
    big: bool,
    start: usize,
    count: usize,
}

/// One tagged value, possibly an array.
#[derive(Clone)]
pub(crate) struct Entry<'a> {
    data: &'a [u8],
    little: bool,
    size: usize,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Unsigned,
    Signed,
    /// Two integers of 32 bits.
    Rational,
    Float,
}

impl<'a> Ifd<'a> {
    /// The first directory of a TIFF stream, all of whose entries must be present.
    pub(crate) fn first(bytes: &'a [u8]) -> Option<Self> {
        Self::lenient(bytes).filter(Self::is_complete)
    }

    /// The first directory of a TIFF stream; entries beyond the end of the bytes are left out, however many it
    /// declares.
    pub(crate) fn lenient(bytes: &'a [u8]) -> Option<Self> {
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
        Some(Self { bytes, little, big, start, count })
    }

    /// Whether all declared entries are present.
    fn is_complete(&self) -> bool {
        let length = self.count.checked_mul(self.entry_size());
        length.and_then(|length| length.checked_add(self.start)).is_some_and(|end| end <= self.bytes.len())
    }

    /// Whether the bytes are little-endian.
    pub(crate) const fn is_little(&self) -> bool {
        self.little
    }

    /// The directory at an offset of the same stream.
    pub(crate) fn sibling(&self, offset: u64) -> Option<Self> {
        Self::at(self.bytes, self.little, self.big, offset).filter(Self::is_complete)
    }

    /// Offset of the next directory (a further page).
    pub(crate) fn next(&self) -> Option<u64> {
        let at = self.count.checked_mul(self.entry_size())?.checked_add(self.start)?;
        uint(self.bytes, at, if self.big { 8 } else { 4 }, self.little).filter(|&next| next != 0)
    }

    const fn entry_size(&self) -> usize {
        if self.big { 20 } else { 12 }
    }

    /// Offset of a tag's entry.
    fn find(&self, tag: u16) -> Option<usize> {
        let present = self.bytes.len().checked_sub(self.start)? / self.entry_size();
        (0..self.count.min(present))
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
        let kind = match kind {
            6 | 8 | 9 | 17 => Kind::Signed,
            5 | 10 => Kind::Rational,
            11 | 12 => Kind::Float,
            _ => Kind::Unsigned,
        };
        Some(Entry { data, little: self.little, size, kind })
    }

    /// The first value of an integer tag.
    pub(crate) fn uint(&self, tag: u16) -> Option<u64> {
        self.entry(tag)?.uint(0)
    }
}

impl<'a> Entry<'a> {
    /// The integer at `index`, unless it is negative.
    pub(crate) fn uint(&self, index: usize) -> Option<u64> {
        let value = uint(self.data, index.checked_mul(self.size)?, self.size, self.little)?;
        match self.kind {
            Kind::Unsigned => Some(value),
            Kind::Signed => (value >> (8 * self.size - 1) == 0).then_some(value),
            Kind::Rational | Kind::Float => None,
        }
    }

    /// The integer or fraction at `index`.
    pub(crate) fn number(&self, index: usize) -> Option<f64> {
        let at = index.checked_mul(self.size)?;
        let word = |at| uint(self.data, at, 4, self.little).map(|word| word as u32);
        match self.kind {
            Kind::Rational => Some(f64::from(word(at)?) / f64::from(word(at + 4)?)),
            Kind::Float if self.size == 4 => Some(f32::from_bits(word(at)?).into()),
            Kind::Float => uint(self.data, at, 8, self.little).map(f64::from_bits),
            Kind::Unsigned | Kind::Signed => self.uint(index).map(|value| value as f64),
        }
    }

    /// How many values there are.
    pub(crate) fn len(&self) -> usize {
        self.data.len() / self.size
    }

    /// The values as stored.
    pub(crate) const fn data(&self) -> &'a [u8] {
        self.data
    }
}

fn uint(bytes: &[u8], at: usize, size: usize, little: bool) -> Option<u64> {
    let bytes = bytes.get(at..at.checked_add(size)?)?;
    let join = |value: u64, byte: &u8| (value << 8) | u64::from(*byte);
    Some(if little { bytes.iter().rev().fold(0, join) } else { bytes.iter().fold(0, join) })
}
