//! Every kind of PNG against the png crate, and corrupt files.

use std::io::Cursor;

use super::*;
use crate::codec::png::encode::deflate::{self, Search};
use crate::header::Header;
use crate::limits::Limits;
use crate::pixels::{Model, PassRow};
use crate::plan::Reduction;
use crate::simd::SimdLevel;
use crate::stop::Stop;

/// Collects the rows.
#[derive(Default)]
struct Frame {
    width: usize,
    model: Option<Model>,
    order: Option<Order>,
    wide: bool,
    rows: u32,
    samples: Vec<Option<u16>>,
}

impl Frame {
    fn put(&mut self, place: PassRow, row: Row<'_>) {
        let channels = self.model.unwrap().channels();
        let samples: Vec<u16> = match row {
            Row::U8(samples) => samples.iter().map(|&sample| sample.into()).collect(),
            Row::U16(samples) => samples.to_vec(),
            Row::Components(_) => unreachable!(),
        };
        self.wide |= matches!(row, Row::U16(_));
        let columns = (place.from as usize..self.width).step_by(place.step as usize);
        assert_eq!(samples.len(), columns.len() * channels);
        for (x, pixel) in columns.zip(samples.chunks(channels)) {
            let at = (place.y as usize * self.width + x) * channels;
            for (to, &sample) in self.samples[at..].iter_mut().zip(pixel) {
                assert_eq!(to.replace(sample), None, "passed twice");
            }
        }
    }

    /// All pixels in four channels.
    fn rgba(&self) -> Vec<[u16; 4]> {
        let samples: Vec<u16> = self.samples.iter().map(|sample| sample.expect("passed")).collect();
        let most = if self.wide { 65535 } else { 255 };
        samples.chunks(self.model.unwrap().channels()).map(|pixel| rgba(pixel, most)).collect()
    }
}

fn rgba(pixel: &[u16], most: u16) -> [u16; 4] {
    match *pixel {
        [v] => [v, v, v, most],
        [v, a] => [v, v, v, a],
        [r, g, b] => [r, g, b, most],
        [r, g, b, a] => [r, g, b, a],
        _ => unreachable!(),
    }
}

impl RowSink for Frame {
    fn begin(&mut self, grid: Grid) -> Result<(), Error> {
        (self.model, self.order) = (Some(grid.model), Some(grid.order));
        let pixels = self.samples.len();
        self.samples = vec![None; pixels * grid.model.channels()];
        Ok(())
    }

    fn row(&mut self, row: Row<'_>) -> Result<(), Error> {
        assert_eq!(self.order, Some(Order::TopDown));
        self.rows += 1;
        self.put(PassRow { y: self.rows - 1, from: 0, step: 1 }, row);
        Ok(())
    }

    fn pass_row(&mut self, place: PassRow, row: Row<'_>) -> Result<(), Error> {
        assert_eq!(self.order, Some(Order::Passes));
        self.put(place, row);
        Ok(())
    }
}

fn decoded(file: &[u8], limits: &Limits) -> Result<(Frame, Decoded), Error> {
    let header: Header = super::super::header::read(file)?.header;
    // Changed bytes can make it any size.
    if header.pixels() > 6_000_000 {
        return Err(Error::TooLarge(String::new()));
    }
    let pixels = vec![None; header.pixels() as usize];
    let mut frame = Frame { width: header.width as usize, samples: pixels, ..Frame::default() };
    // Without the handler that catches panics.
    let context = Context {
        limits,
        reduction: Reduction::NONE,
        level: SimdLevel::detect(),
        stop: Stop(&|| false),
        foreign: &crate::foreign::InProcess::default(),
    };
    let decoded = decode(file, &header, &context, &mut frame, &mut Scratch::default())?;
    Ok((frame, decoded))
}

#[track_caller]
fn malformed(file: &[u8]) -> String {
    match decoded(file, &Limits::default()) {
        Err(Error::Malformed(why)) => why,
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("accepted"),
    }
}

/// The same by the png crate.
fn reference(file: &[u8]) -> Vec<[u16; 4]> {
    let mut decoder = png::Decoder::new(Cursor::new(file));
    decoder.set_transformations(png::Transformations::EXPAND);
    let mut reader = decoder.read_info().unwrap();
    let mut bytes = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut bytes).unwrap();
    let channels = info.color_type.samples();
    if info.bit_depth == png::BitDepth::Sixteen {
        let samples: Vec<u16> = bytes.chunks(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
        return samples.chunks(channels).map(|pixel| rgba(pixel, 65535)).collect();
    }
    let samples: Vec<u16> = bytes.iter().map(|&sample| sample.into()).collect();
    samples.chunks(channels).map(|pixel| rgba(pixel, 255)).collect()
}

#[track_caller]
fn check(file: &[u8], what: &str) -> Model {
    let (frame, _) = decoded(file, &Limits::default()).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(frame.rgba() == reference(file), "{what}: other pixels");
    frame.model.unwrap()
}

/// Description of a PNG file.
#[derive(Clone)]
struct TestImage {
    size: (u32, u32),
    colour: u8,
    bits: u8,
    interlaced: bool,
    /// The filter of each row by its number.
    filter: fn(u32) -> u8,
    /// Chunks before the data.
    chunks: Vec<([u8; 4], Vec<u8>)>,
    /// Bytes of data in a chunk.
    piece: usize,
}

const KINDS: [(u8, u8); 15] = [
    (0, 1),
    (0, 2),
    (0, 4),
    (0, 8),
    (0, 16),
    (2, 8),
    (2, 16),
    (3, 1),
    (3, 2),
    (3, 4),
    (3, 8),
    (4, 8),
    (4, 16),
    (6, 8),
    (6, 16),
];

impl TestImage {
    fn new(size: (u32, u32), (colour, bits): (u8, u8)) -> Self {
        let palette = (0..3 << bits.min(8)).map(|i: u32| (i * 89 % 251) as u8).collect();
        let chunks = if colour == 3 { vec![(*b"PLTE", palette)] } else { Vec::new() };
        Self { size, colour, bits, interlaced: false, filter: |y| (y % 5) as u8, chunks, piece: usize::MAX }
    }

    fn with(mut self, name: [u8; 4], data: &[u8]) -> Self {
        self.chunks.push((name, data.to_vec()));
        self
    }

    /// Filtered rows of pseudorandom bytes; any bytes are valid rows.
    fn rows(&self) -> Vec<u8> {
        let channels = [1, 0, 3, 1, 2, 0, 4][usize::from(self.colour)];
        let (width, height) = self.size;
        let whole = [(width, height)];
        let passes: Vec<_> = adam7::passes(width, height).map(|pass| (pass.width, pass.height)).collect();
        let mut rows = Vec::new();
        let mut state = 1_u32;
        for &(width, height) in if self.interlaced { &passes[..] } else { &whole } {
            for y in 0..height {
                rows.push((self.filter)(y));
                for _ in 0..(width as usize * channels * usize::from(self.bits)).div_ceil(8) {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    rows.push(if state >> 31 == 0 { (state >> 24) as u8 } else { 0 });
                }
            }
        }
        rows
    }

    fn file(&self) -> Vec<u8> {
        self.file_with(&zlib(self.rows(), Search::Fast))
    }

    fn file_with(&self, data: &[u8]) -> Vec<u8> {
        let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
        let mut header = [self.size.0.to_be_bytes(), self.size.1.to_be_bytes()].concat();
        header.extend([self.bits, self.colour, 0, 0, u8::from(self.interlaced)]);
        chunk(&mut file, *b"IHDR", &header);
        for (name, data) in &self.chunks {
            chunk(&mut file, *name, data);
        }
        data.chunks(self.piece).for_each(|data| chunk(&mut file, *b"IDAT", data));
        chunk(&mut file, *b"IEND", &[]);
        file
    }
}

fn chunk(file: &mut Vec<u8>, name: [u8; 4], data: &[u8]) {
    file.extend((data.len() as u32).to_be_bytes());
    let start = file.len();
    file.extend(name);
    file.extend(data);
    let sum = crc32fast::hash(&file[start..]);
    file.extend(sum.to_be_bytes());
}

const FILTERS: [fn(u32) -> u8; 7] =
    [|_| 0, |_| 1, |_| 2, |_| 3, |_| 4, |y| (y % 5) as u8, |y| 4 - (y / 3 % 5) as u8];

fn zlib(bytes: Vec<u8>, effort: Search) -> Vec<u8> {
    deflate::zlib(bytes, effort, Stop(&|| false)).unwrap()
}

#[test]
fn every_kind_size_and_filter_matches_the_png_crate() {
    let sizes = [(1, 1), (1, 7), (7, 1), (2, 3), (3, 2), (5, 5), (8, 8), (9, 9), (17, 4), (33, 35), (70, 40)];
    for kind in KINDS {
        for size in sizes {
            for interlaced in [false, true] {
                for (number, filter) in FILTERS.into_iter().enumerate() {
                    let image = TestImage { interlaced, filter, ..TestImage::new(size, kind) };
                    check(
                        &image.file(),
                        &format!("{kind:?} {size:?} interlaced {interlaced}, filter {number}"),
                    );
                }
            }
        }
    }
}

#[test]
fn rows_wider_than_a_piece() {
    for (kind, width) in [((0, 1), 600_000), ((2, 8), 30_000), ((6, 16), 9_000)] {
        check(&TestImage::new((width, 9), kind).file(), &format!("{kind:?}"));
    }
}

#[test]
fn transparency_by_key_and_palette() {
    for kind in KINDS {
        // Zero is frequent in the images, so the key occurs; bits beyond the depth are ignored.
        let key: &[u8] = match kind.0 {
            0 => &[0, 0],
            2 => &[0; 6],
            3 => &[0, 128],
            _ => continue,
        };
        for interlaced in [false, true] {
            let image = TestImage { interlaced, ..TestImage::new((33, 20), kind) };
            let model = check(&image.with(*b"tRNS", key).file(), &format!("{kind:?}"));
            assert!(model.has_alpha());
        }
    }
}

#[test]
fn transparency_of_a_wrong_length_counts_as_none() {
    for (kind, chunk) in [((0, 8), &[0; 4][..]), ((2, 8), &[0; 8]), ((3, 1), &[0; 3]), ((3, 8), &[])] {
        let model = check(&TestImage::new((33, 20), kind).file(), "without");
        let file = TestImage::new((33, 20), kind).with(*b"tRNS", chunk).file();
        let (frame, _) = decoded(&file, &Limits::default()).unwrap();
        assert_eq!(frame.model, Some(model), "{kind:?}");
    }
}

#[test]
fn palettes_take_the_fewest_channels() {
    let model = |palette: &[u8], alphas: &[u8]| {
        let mut image = TestImage::new((20, 20), (3, 2));
        image.chunks = vec![(*b"PLTE", palette.to_vec())];
        let image = if alphas.is_empty() { image } else { image.with(*b"tRNS", alphas) };
        check(&image.file(), "a palette")
    };
    let gray: Vec<u8> = [0, 9, 100, 255].iter().flat_map(|&v| [v, v, v]).collect();
    let colours: Vec<u8> = (0..12).map(|v| v * 20).collect();
    assert_eq!(model(&gray, &[]), Model::Gray);
    assert_eq!(model(&gray, &[255, 255]), Model::Gray);
    assert_eq!(model(&gray, &[255, 3]), Model::GrayAlpha);
    assert_eq!(model(&colours, &[]), Model::Rgb);
    assert_eq!(model(&colours, &[255; 4]), Model::Rgb);
    assert_eq!(model(&colours, &[7]), Model::Rgba);
    // Indices beyond the end are black.
    assert_eq!(model(&colours[..6], &[]), Model::Rgb);
}

#[test]
fn data_in_many_chunks() {
    for piece in [1, 2, 7, 100] {
        let image = TestImage { piece, ..TestImage::new((40, 40), (2, 8)) };
        check(&image.file(), &format!("{piece} bytes a chunk"));
    }
}

/// Where the first chunk of this name begins, at its length.
fn find(file: &[u8], name: [u8; 4]) -> usize {
    file.windows(4).position(|four| *four == name).unwrap() - 4
}

#[test]
fn corrupt_files_are_refused_with_the_reason() {
    let image = TestImage::new((40, 40), (2, 8));
    let file = image.file();
    let data = find(&file, *b"IDAT");
    let end = find(&file, *b"IEND");

    let mut changed = file.clone();
    changed[23] ^= 1;
    assert!(malformed(&changed).contains("IHDR"));
    let mut changed = file.clone();
    changed[end - 1] ^= 1;
    assert!(malformed(&changed).contains("checksum"));
    assert!(malformed(&[&file[..data], &file[end..]].concat()).contains("IDAT"));
    assert!(malformed(&file[..data]).contains("IDAT"));
    assert!(malformed(&file[..data + 200]).contains("ends too early"));

    let rows = image.rows();
    let short = image.file_with(&zlib(rows[..rows.len() / 2].to_vec(), Search::Fast));
    let why = malformed(&short);
    assert!(why.contains("ends too early, at row 20 of 40"), "{why}");
    let mut wrong = rows;
    wrong[3 * 121] = 5;
    let why = malformed(&image.file_with(&zlib(wrong, Search::Fast)));
    assert!(why.contains("filter 5 does not exist, at row 3"), "{why}");

    assert!(malformed(&image.clone().with(*b"CgBI", &[0; 4]).file()).contains("CgBI"));
    let no_palette = TestImage { chunks: Vec::new(), ..TestImage::new((9, 9), (3, 4)) };
    assert!(malformed(&no_palette.file()).contains("PLTE"));
}

#[test]
fn faults_outside_the_image_data_are_accepted() {
    let image = TestImage::new((40, 40), (2, 8));
    let file = image.file();
    let expected = reference(&file);
    let same = |file: &[u8], what: &str| {
        let (frame, _) = decoded(file, &Limits::default()).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(frame.rgba() == expected, "{what}");
    };
    let end = find(&file, *b"IEND");
    same(&file[..end], "no IEND");
    same(&file[..end - 4], "no CRC");
    same(&file[..end - 8], "no Adler-32");
    same(&[&file[..], b"more bytes"].concat(), "bytes after the end");
    let mut stream = zlib(image.rows(), Search::Fast);
    let adler = stream.len() - 1;
    stream[adler] ^= 1;
    same(&image.file_with(&stream), "wrong Adler-32");
    let longer = [image.rows(), vec![9; 500]].concat();
    same(&image.file_with(&zlib(longer, Search::Fast)), "more data than rows");
    let mut corrupt = image.clone().with(*b"tRNS", &[0; 6]).file();
    let crc = find(&corrupt, *b"tRNS") + 8 + 6;
    corrupt[crc] ^= 1;
    same(&corrupt, "a corrupt ancillary chunk");
}

#[test]
fn tolerant_decoding_fills_missing_rows() {
    let image = TestImage::new((40, 40), (6, 8));
    let file = image.file();
    let expected = reference(&file);
    let truncated = &file[..file.len() * 3 / 4];
    let tolerant = Limits { tolerant: true, ..Limits::default() };
    let (frame, _) = decoded(truncated, &tolerant).unwrap();
    let rows: Vec<_> = frame.rgba();
    let whole = rows.chunks(40).zip(expected.chunks(40)).take_while(|(a, b)| a == b).count();
    assert!((20..40).contains(&whole), "{whole}");
    assert!(rows[whole * 40..].iter().all(|pixel| *pixel == [0; 4]));
    assert!(decoded(&file[..file.len() / 4], &tolerant).is_err(), "too little");
}

#[test]
fn every_truncation_and_flipped_bit_returns() {
    for (kind, interlaced) in [((2, 8), false), ((3, 4), true), ((0, 16), false)] {
        let image = TestImage { interlaced, piece: 60, ..TestImage::new((9, 11), kind) };
        let file = image.with(*b"tRNS", &[0; 6]).file();
        for limits in [Limits::default(), Limits { tolerant: true, tolerant_share: 0.0, ..Limits::default() }]
        {
            for length in 0..file.len() {
                drop(decoded(&file[..length], &limits));
            }
            for at in 0..file.len() {
                for bit in 0..8 {
                    let mut changed = file.clone();
                    changed[at] ^= 1 << bit;
                    drop(decoded(&changed, &limits));
                }
            }
        }
    }
}

/// Whether an image with these chunks has a profile to convert from.
fn has_profile(chunks: &[([u8; 4], &[u8])]) -> bool {
    let image =
        chunks.iter().fold(TestImage::new((3, 3), (2, 8)), |image, (name, data)| image.with(*name, data));
    decoded(&image.file(), &Limits::default()).unwrap().1.profile.is_some()
}

#[test]
fn cicp_takes_precedence_over_a_profile() {
    let profile = [b"name\0\0".to_vec(), zlib(vec![7; 300], Search::Fast)].concat();
    let profile = (*b"iCCP", &profile[..]);
    assert!(!has_profile(&[]));
    assert!(has_profile(&[profile]));
    assert!(!has_profile(&[profile, (*b"cICP", &[1, 13, 0, 1])]));
    assert!(!has_profile(&[(*b"iCCP", b"name\0\0not zlib")]));
}
