//! BMP: every header, depth and compression.

mod support;

use support::*;
use tintype_engine::{Error, OutputFormat, Spec, probe};

const SIDE: usize = 21;

fn as_png() -> Spec {
    Spec { format: OutputFormat::Png, ..Spec::default() }
}

/// A bitmap header of `size` bytes, and what follows it.
#[derive(Clone)]
struct Bmp {
    size: usize,
    bits: u16,
    compression: u32,
    top_down: bool,
    masks: Vec<u32>,
    palette: Vec<[u8; 3]>,
    data: Vec<u8>,
}

impl Bmp {
    fn new(size: usize, bits: u16, data: Vec<u8>) -> Self {
        Self { size, bits, compression: 0, top_down: false, masks: vec![], palette: vec![], data }
    }

    fn file(&self) -> Vec<u8> {
        let mut header = (self.size as u32).to_le_bytes().to_vec();
        let side = SIDE as i32;
        if self.size == 12 {
            header.extend([SIDE as u16, SIDE as u16, 1, self.bits].map(u16::to_le_bytes).as_flattened());
        } else {
            let height = if self.top_down { -side } else { side };
            header.extend([side, height].map(i32::to_le_bytes).as_flattened());
            header.extend([1, self.bits].map(u16::to_le_bytes).as_flattened());
            let colours = self.palette.len() as u32;
            let fields = [self.compression, self.data.len() as u32, 2835, 2835, colours, 0];
            header.extend(fields.map(u32::to_le_bytes).as_flattened());
        }
        header.truncate(self.size);
        let masks: Vec<u8> = self.masks.iter().flat_map(|mask| mask.to_le_bytes()).collect();
        if self.size > 40 {
            header.extend(&masks);
        }
        header.resize(self.size, 0);
        if self.size == 40 {
            header.extend(&masks);
        }
        for [r, g, b] in &self.palette {
            header.extend([*b, *g, *r]);
            if self.size > 12 {
                header.push(0);
            }
        }
        let at = 14 + header.len() as u32;
        let mut file = b"BM".to_vec();
        file.extend((at + self.data.len() as u32).to_le_bytes());
        file.extend([0; 4]);
        file.extend(at.to_le_bytes());
        file.extend(header);
        file.extend(&self.data);
        file
    }
}

/// Which quarter a pixel is in.
fn quarter(x: usize, y: usize) -> usize {
    usize::from(y >= SIDE / 2) * 2 + usize::from(x >= SIDE / 2)
}

/// Rows from the bottom, of `bits` a pixel, each padded to four bytes.
fn rows(bits: usize, top_down: bool, pixel: impl Fn(usize) -> u32) -> Vec<u8> {
    let mut data = Vec::new();
    for row in 0..SIDE {
        let y = if top_down { row } else { SIDE - 1 - row };
        let samples: Vec<u32> = (0..SIDE).map(|x| pixel(quarter(x, y))).collect();
        let mut row = tags::packed(&samples, SIDE, bits, true);
        row.resize(row.len().next_multiple_of(4), 0);
        data.extend(row);
    }
    data
}

#[track_caller]
fn assert_quarters(file: &[u8], expected: [[u8; 3]; 4], tolerance: u8, what: &str) {
    let header = probe(file).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(
        (header.width, header.height, header.format.name()),
        (SIDE as u32, SIDE as u32, "bmp"),
        "{what}"
    );
    let image = Pixels::of(&thumbnail(file, &as_png()).unwrap_or_else(|error| panic!("{what}: {error}")));
    for (index, colour) in expected.iter().enumerate() {
        assert_close(&image.quarter(index), colour, tolerance, &format!("{what}, quarter {index}"));
        let centre = image.at([4, 16][index % 2], [4, 16][index / 2]);
        assert_eq!(centre[3], 255, "{what}");
    }
}

const HEADERS: [usize; 9] = [12, 16, 24, 40, 52, 56, 64, 108, 124];

#[test]
fn palettes_under_every_header() {
    for size in HEADERS {
        for (bits, colours) in [(1, 2), (2, 4), (4, 16), (4, 4), (8, 256), (8, 4)] {
            for top_down in [false, true] {
                // Only the later headers have a height with a sign and a number of colours.
                if size < 40 && (top_down || colours != 1 << bits) {
                    continue;
                }
                let index = |quarter: usize| if bits == 1 { quarter as u32 % 2 } else { quarter as u32 };
                let mut bmp = Bmp::new(size, bits, rows(bits.into(), top_down, index));
                bmp.top_down = top_down;
                bmp.palette = QUARTERS.to_vec();
                bmp.palette.resize(colours, [1, 2, 3]);
                let expected = [0, 1, 2, 3].map(|quarter| QUARTERS[index(quarter) as usize]);
                assert_quarters(
                    &bmp.file(),
                    expected,
                    0,
                    &format!("header of {size}, {bits} bits, {colours} colours"),
                );
            }
        }
    }
}

fn masked(colour: [u8; 3], widths: [u32; 3], shifts: [u32; 3]) -> u32 {
    let channel = |at: usize| ((u32::from(colour[at]) * ((1 << widths[at]) - 1) + 127) / 255) << shifts[at];
    channel(0) | channel(1) | channel(2)
}

#[test]
fn true_colour_under_every_header() {
    for size in HEADERS {
        for top_down in [false, true] {
            if top_down && size < 40 {
                continue;
            }
            let bgr = |quarter: usize| masked(QUARTERS[quarter], [8; 3], [16, 8, 0]);
            for bits in [24, 32] {
                let bmp = Bmp { top_down, ..Bmp::new(size, bits, rows(bits.into(), top_down, bgr)) };
                assert_quarters(&bmp.file(), QUARTERS, 0, &format!("header of {size}, {bits} bits"));
            }
            let narrow = |quarter: usize| masked(QUARTERS[quarter], [5; 3], [10, 5, 0]);
            let bmp = Bmp { top_down, ..Bmp::new(size, 16, rows(16, top_down, narrow)) };
            assert_quarters(&bmp.file(), QUARTERS, 4, &format!("header of {size}, 16 bits"));
        }
    }
}

#[test]
fn masks_of_every_width() {
    for (bits, widths, shifts) in [
        (16, [5, 6, 5], [11, 5, 0]),
        (16, [4, 4, 4], [8, 4, 0]),
        (16, [5, 5, 5], [0, 5, 10]),
        (32, [8, 8, 8], [24, 16, 8]),
        (32, [10, 10, 10], [20, 10, 0]),
        (32, [8, 8, 8], [0, 8, 16]),
    ] {
        let mask = |at: usize| ((1_u32 << widths[at]) - 1) << shifts[at];
        let pixel = |quarter: usize| masked(QUARTERS[quarter], widths, shifts);
        for (size, compression, alpha) in [
            (40, 3, None),
            (40, 6, Some(0)),
            (52, 3, None),
            (56, 3, Some(0)),
            (108, 3, Some(0)),
            (124, 3, Some(0)),
        ] {
            let masks = [mask(0), mask(1), mask(2)].into_iter().chain(alpha).collect();
            let bmp = Bmp { compression, masks, ..Bmp::new(size, bits, rows(bits.into(), false, pixel)) };
            assert_quarters(&bmp.file(), QUARTERS, 9, &format!("{widths:?} {shifts:?}, header of {size}"));
        }
    }
}

#[test]
fn alpha_counts_unless_it_is_nowhere() {
    let with = |alpha: [u32; 4]| {
        let pixel =
            move |quarter: usize| alpha[quarter] << 24 | masked(QUARTERS[quarter], [8; 3], [16, 8, 0]);
        let masks = vec![0xff_0000, 0xff00, 0xff, 0xff00_0000];
        Bmp { compression: 3, masks, ..Bmp::new(124, 32, rows(32, false, pixel)) }.file()
    };
    assert_quarters(&with([255; 4]), QUARTERS, 0, "opaque");
    assert_quarters(&with([0; 4]), QUARTERS, 0, "alpha of 0 everywhere");
    let image = Pixels::of(&thumbnail(&with([255, 0, 128, 255]), &as_png()).unwrap());
    assert_eq!([image.at(4, 4)[3], image.at(16, 4)[3], image.at(4, 16)[3]], [255, 0, 128]);
}

#[test]
fn runs() {
    for (bits, compression) in [(8, 1), (4, 2)] {
        let mut data = Vec::new();
        for row in 0..SIDE {
            let y = SIDE - 1 - row;
            let [left, right] = [0, SIDE - 1].map(|x| quarter(x, y) as u8);
            let value = |index: u8| if bits == 4 { index << 4 | index } else { index };
            // A run, and literals.
            data.extend([(SIDE / 2) as u8, value(left), 0, (SIDE - SIDE / 2) as u8]);
            let count = SIDE - SIDE / 2;
            let length = if bits == 4 { count.div_ceil(2) } else { count };
            data.extend(vec![value(right); length]);
            data.resize(data.len() + length % 2, 0);
            data.extend([0, 0]);
        }
        data.extend([0, 1]);
        for size in [40, 64, 124] {
            let bmp = Bmp { compression, palette: QUARTERS.to_vec(), ..Bmp::new(size, bits, data.clone()) };
            assert_quarters(&bmp.file(), QUARTERS, 0, &format!("runs of {bits} bits, header of {size}"));
            let mut cut = bmp.file();
            cut.truncate(cut.len() - 40);
            assert!(matches!(thumbnail(&cut, &as_png()), Err(Error::Malformed(_))));
        }
    }
    // OS/2's runs of 24 bits, which number 4 means JPEG on Windows.
    let mut data = Vec::new();
    for row in 0..SIDE {
        for (count, x) in [(SIDE / 2, 0), (SIDE - SIDE / 2, SIDE - 1)] {
            let [r, g, b] = QUARTERS[quarter(x, SIDE - 1 - row)];
            data.extend([count as u8, b, g, r]);
        }
        data.extend([0, 0]);
    }
    let bmp = Bmp { compression: 4, ..Bmp::new(64, 24, data) };
    assert_quarters(&bmp.file(), QUARTERS, 0, "runs of 24 bits");
    let wrapped = Bmp { compression: 4, ..Bmp::new(40, 24, vec![0; 9]) };
    assert!(matches!(thumbnail(&wrapped.file(), &as_png()), Err(Error::Unsupported(_))));
}

#[test]
fn a_profile_of_version_5_is_applied() {
    let profile = moxcms::ColorProfile::new_display_p3().encode().unwrap();
    let colour = |_: usize| masked([200, 120, 80], [8; 3], [16, 8, 0]);
    let mut file = Bmp::new(124, 24, rows(24, false, colour)).file();
    file[14 + 56..14 + 60].copy_from_slice(b"DEBM");
    let at = file.len() as u32 - 14;
    file[14 + 112..14 + 116].copy_from_slice(&at.to_le_bytes());
    file[14 + 116..14 + 120].copy_from_slice(&(profile.len() as u32).to_le_bytes());
    file.extend(&profile);
    assert!(probe(&file).unwrap().profile);
    assert_quarters(&file, [[210, 118, 70]; 4], 3, "display P3");
}

#[test]
fn cut_files_are_malformed_and_tolerated() {
    let bgr = |quarter: usize| masked(QUARTERS[quarter], [8; 3], [16, 8, 0]);
    let file = Bmp::new(40, 24, rows(24, true, bgr)).file();
    for length in 2..file.len() {
        let cut = thumbnail(&file[..length], &as_png());
        // The padding of the last row may be missing.
        if length + 1 < file.len() {
            assert!(matches!(cut, Err(Error::Malformed(_) | Error::Unsupported(_))), "{length}: {cut:?}");
        }
    }
    // A flipped byte of the header is no panic.
    for at in 0..60 {
        for bit in 0..8 {
            let mut changed = file.clone();
            changed[at] ^= 1 << bit;
            let rendered = thumbnail(&changed, &as_png());
            assert!(!matches!(rendered, Err(Error::Internal(_))), "byte {at}, bit {bit}: {rendered:?}");
        }
    }
}
