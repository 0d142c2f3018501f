//! TIFF files written tag by tag, of every kind of sample and in every layout.

#![allow(dead_code, reason = "each test file uses its own part of these")]

/// A value of a tag, of type SHORT, LONG, UNDEFINED or RATIONAL.
#[derive(Clone)]
pub(crate) enum Value {
    Shorts(Vec<u16>),
    Longs(Vec<u32>),
    Bytes(Vec<u8>),
    Rationals(Vec<u32>),
}

/// A directory to be written, and the data before it.
#[derive(Clone)]
pub(crate) struct TiffFile {
    pub(crate) little: bool,
    pub(crate) tags: Vec<(u16, Value)>,
    /// Strips or tiles.
    pub(crate) chunks: Vec<Vec<u8>>,
    /// Tags of their offsets and lengths.
    pub(crate) chunk_tags: (u16, Option<u16>),
}

impl TiffFile {
    pub(crate) fn new(width: u32, height: u32, little: bool) -> Self {
        let tags = vec![(256, Value::Longs(vec![width])), (257, Value::Longs(vec![height]))];
        Self { little, tags, chunks: Vec::new(), chunk_tags: (273, Some(279)) }
    }

    pub(crate) fn short(mut self, tag: u16, values: &[u16]) -> Self {
        self.tags.push((tag, Value::Shorts(values.to_vec())));
        self
    }

    pub(crate) fn with(mut self, tag: u16, value: Value) -> Self {
        self.tags.push((tag, value));
        self
    }

    pub(crate) fn chunk(mut self, bytes: Vec<u8>) -> Self {
        self.chunks.push(bytes);
        self
    }

    fn encoded(&self, value: &Value) -> (u16, usize, Vec<u8>) {
        let shorts = |v: &u16| if self.little { v.to_le_bytes() } else { v.to_be_bytes() };
        let longs = |v: &u32| if self.little { v.to_le_bytes() } else { v.to_be_bytes() };
        match value {
            Value::Shorts(values) => (3, values.len(), values.iter().flat_map(shorts).collect()),
            Value::Longs(values) => (4, values.len(), values.iter().flat_map(longs).collect()),
            Value::Bytes(bytes) => (7, bytes.len(), bytes.clone()),
            Value::Rationals(values) => (5, values.len() / 2, values.iter().flat_map(longs).collect()),
        }
    }

    /// The file of one directory.
    pub(crate) fn file(&self) -> Vec<u8> {
        Self::pages(std::slice::from_ref(self))
    }

    /// A file of several directories.
    pub(crate) fn pages(pages: &[Self]) -> Vec<u8> {
        let little = pages[0].little;
        let long = |v: usize| if little { (v as u32).to_le_bytes() } else { (v as u32).to_be_bytes() };
        let short = |v: usize| if little { (v as u16).to_le_bytes() } else { (v as u16).to_be_bytes() };
        let mut bytes = if little { b"II*\0\0\0\0\0".to_vec() } else { b"MM\0*\0\0\0\0".to_vec() };
        let mut link = 4;
        for page in pages {
            let mut tags = page.tags.clone();
            let mut offsets = Vec::new();
            for chunk in &page.chunks {
                offsets.push(bytes.len() as u32);
                bytes.extend(chunk);
            }
            if !page.chunks.is_empty() {
                tags.push((page.chunk_tags.0, Value::Longs(offsets)));
                if let Some(lengths) = page.chunk_tags.1 {
                    tags.push((
                        lengths,
                        Value::Longs(page.chunks.iter().map(|chunk| chunk.len() as u32).collect()),
                    ));
                }
            }
            tags.sort_by_key(|(tag, _)| *tag);
            let mut entries = Vec::new();
            for (tag, value) in &tags {
                let (kind, count, mut data) = page.encoded(value);
                if data.len() > 4 {
                    let at = bytes.len();
                    bytes.extend(&data);
                    data = long(at).to_vec();
                }
                data.resize(4, 0);
                entries.extend([short((*tag).into()), short(kind.into())].concat());
                entries.extend(long(count));
                entries.extend(data);
            }
            let at = long(bytes.len());
            bytes[link..link + 4].copy_from_slice(&at);
            bytes.extend(short(tags.len()));
            bytes.extend(entries);
            link = bytes.len();
            bytes.extend([0; 4]);
        }
        bytes
    }
}

/// Packs samples of so many bits, rows of `per_row` samples each beginning at a byte.
pub(crate) fn packed(samples: &[u32], per_row: usize, bits: usize, little: bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    for row in samples.chunks(per_row) {
        if bits.is_multiple_of(8) {
            for sample in row {
                let all = sample.to_be_bytes();
                let used = &all[4 - bits / 8..];
                if little { bytes.extend(used.iter().rev()) } else { bytes.extend(used) }
            }
            continue;
        }
        let (mut window, mut count) = (0_u64, 0);
        for sample in row {
            window = window << bits | u64::from(*sample);
            count += bits;
            while count >= 8 {
                count -= 8;
                bytes.push((window >> count) as u8);
            }
        }
        if count > 0 {
            bytes.push((window << (8 - count)) as u8);
        }
    }
    bytes
}

/// A zlib stream of stored blocks.
pub(crate) fn stored_zlib(data: &[u8]) -> Vec<u8> {
    let mut stream = vec![0x78, 1];
    let blocks: Vec<_> = data.chunks(65535).collect();
    for (index, block) in blocks.iter().enumerate() {
        stream.push(u8::from(index + 1 == blocks.len()));
        stream.extend((block.len() as u16).to_le_bytes());
        stream.extend((!(block.len() as u16)).to_le_bytes());
        stream.extend(*block);
    }
    let (mut a, mut b) = (1_u32, 0_u32);
    for &byte in data {
        a = (a + u32::from(byte)) % 65521;
        b = (b + a) % 65521;
    }
    stream.extend((b << 16 | a).to_be_bytes());
    stream
}

/// PackBits of literals only.
pub(crate) fn literal_pack_bits(data: &[u8]) -> Vec<u8> {
    data.chunks(128).flat_map(|part| [&[(part.len() - 1) as u8][..], part].concat()).collect()
}
