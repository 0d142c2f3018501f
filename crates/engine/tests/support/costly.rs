//! Small files that take long to decode.

/// A JPEG segment.
fn segment(marker: u8, body: &[u8]) -> Vec<u8> {
    [&[0xff, marker][..], &(body.len() as u16 + 2).to_be_bytes(), body].concat()
}

/// A gray progressive JPEG with the first and refining scans of one coefficient after the other, up to `scans` of
/// them, none with a nonzero value: one code ends the band in 32,767 blocks.
pub(crate) fn jpeg_of_empty_scans(side: u16, scans: usize) -> Vec<u8> {
    let [high, low] = side.to_be_bytes();
    let frame = [8, high, low, high, low, 1, 1, 0x11, 0];
    // One code of one bit for both tables: DC difference 0, and EOB14, which 14 bits follow.
    let codes = |kind: u8, symbol: u8| {
        let mut body = [0; 18];
        (body[0], body[1], body[17]) = (kind, 1, symbol);
        segment(0xc4, &body)
    };
    let blocks = usize::from(side).div_ceil(8).pow(2);
    let mut bytes = [&b"\xff\xd8"[..], &segment(0xdb, &[1; 65][..]), &segment(0xc2, &frame)].concat();
    bytes[6] = 0;
    bytes.extend([codes(0, 0), codes(0x10, 0xe0)].concat());
    let scan = |from: u8, bits: u8| segment(0xda, &[1, 1, 0, from, from, bits]);
    bytes.extend(scan(0, 0));
    bytes.resize(bytes.len() + blocks.div_ceil(8), 0);
    let runs = bits((0..blocks.div_ceil(32767)).flat_map(|_| [(0, 1), ((1 << 14) - 1, 14)]));
    for scan_index in 0..scans {
        let (coefficient, bit) = (1 + scan_index / 14, 13 - scan_index % 14);
        let before = if bit == 13 { 0 } else { bit + 1 };
        bytes.extend(scan(coefficient as u8, (before << 4 | bit) as u8));
        bytes.extend(&runs);
    }
    bytes.extend(b"\xff\xd9");
    bytes
}

/// Packs values of some bits each, the first at the top, as JPEG does.
fn bits(values: impl Iterator<Item = (u32, u32)>) -> Vec<u8> {
    let (mut bytes, mut window, mut count) = (Vec::new(), 0_u64, 0);
    for (value, width) in values.chain([(0x7f, 7)]) {
        window = window << width | u64::from(value);
        count += width;
        while count >= 8 {
            count -= 8;
            let byte = (window >> count) as u8;
            bytes.push(byte);
            if byte == 0xff {
                bytes.push(0);
            }
        }
    }
    bytes
}

/// An uncompressed gray TIFF in tiles of 16 by 16 pixels, all of them the same bytes.
pub(crate) fn tiff_of_tiles(side: u32) -> Vec<u8> {
    let count = side.div_ceil(16).pow(2);
    let (offsets, lengths) = (8 + 256, 8 + 256 + 4 * count);
    let directory = lengths + 4 * count;
    let tags = [
        (256, 1, side),
        (257, 1, side),
        (258, 1, 8),
        (259, 1, 1),
        (262, 1, 1),
        (277, 1, 1),
        (322, 1, 16),
        (323, 1, 16),
        (324, count, offsets),
        (325, count, lengths),
    ];
    let mut bytes = [&b"II*\0"[..], &directory.to_le_bytes(), &[90; 256]].concat();
    bytes.extend((0..count).flat_map(|_| 8_u32.to_le_bytes()));
    bytes.extend((0..count).flat_map(|_| 256_u32.to_le_bytes()));
    bytes.extend((tags.len() as u16).to_le_bytes());
    for (tag, count, value) in tags {
        bytes.extend([tag, 4_u16].map(u16::to_le_bytes).as_flattened());
        bytes.extend([count, value].map(u32::to_le_bytes).as_flattened());
    }
    bytes.extend([0; 4]);
    bytes
}

/// A run-length encoded BMP that ends before its first pixel.
pub(crate) fn bmp_of_rows(width: i32, height: i32) -> Vec<u8> {
    let mut bytes = b"BM\0\0\0\0\0\0\0\0\x36\x04\0\0\x28\0\0\0".to_vec();
    bytes.extend([width, height].map(i32::to_le_bytes).as_flattened());
    bytes.extend([1, 0, 8, 0, 1, 0, 0, 0]);
    bytes.resize(0x436, 0);
    bytes.extend([0, 1]);
    bytes
}

/// A GIF whose only frame is larger than its canvas.
pub(crate) fn gif_of_large_frame(canvas: [u16; 2], frame: [u16; 2]) -> Vec<u8> {
    let mut bytes = b"GIF89a".to_vec();
    bytes.extend(canvas.map(u16::to_le_bytes).as_flattened());
    bytes.extend([0x80, 0, 0, 0, 0, 0, 255, 255, 255, b',', 0, 0, 0, 0]);
    bytes.extend(frame.map(u16::to_le_bytes).as_flattened());
    // A clear code, two pixels and the end.
    bytes.extend([0, 2, 2, 0x04, 0x0a, 0, b';']);
    bytes
}

/// A PNG of gray pixels that declares a size and holds no rows.
pub(crate) fn png_header([width, height]: [u32; 2], bits: u8, colour: u8, interlaced: bool) -> Vec<u8> {
    let chunk = |name: &[u8], data: &[u8]| {
        let body = [name, data].concat();
        let crc = crc32fast::hash(&body).to_be_bytes();
        [&(data.len() as u32).to_be_bytes()[..], &body, &crc].concat()
    };
    let mut header = [width, height].map(u32::to_be_bytes).as_flattened().to_vec();
    header.extend([bits, colour, 0, 0, u8::from(interlaced)]);
    let empty = b"\x78\x01\x03\0\0\0\0\x01";
    [&b"\x89PNG\r\n\x1a\n"[..], &chunk(b"IHDR", &header), &chunk(b"IDAT", empty), &chunk(b"IEND", b"")]
        .concat()
}
