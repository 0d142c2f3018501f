//! The container of AVIF and HEIC: grids, alpha, crops and turns, and whatever is corrupt, with made-up pixels for what is
//! coded in it.
#![cfg(feature = "avif")]

use std::sync::Arc;

use tintype_engine::foreign::{Job, Layout, Output, Samples};
use tintype_engine::{
    Background, Error, ForeignDecoder, Format, Limits, OutputFormat, Pixels, Spec, Thumbnailer, probe,
};

/// An image is two bytes: its luma, and whether it has chroma. Chroma is neutral.
#[derive(Debug)]
struct MadeUp;

impl ForeignDecoder for MadeUp {
    fn decode(&self, job: &Job<'_>, _: &dyn Fn() -> bool, output: &mut dyn Output) -> Result<(), Error> {
        let &[luma, chroma] = job.data else { return Err(Error::Malformed("two bytes are coded".into())) };
        let samples = if chroma == 1 { Samples::Planes420 } else { Samples::Gray };
        let layout = Layout {
            width: job.width,
            height: job.height,
            samples,
            bits: 8,
            code_points: Some([1, 13, 6, 1]),
            profile: Vec::new(),
        };
        output.begin(&layout)?;
        let rows = (job.width * layout.stripe_rows()) as usize;
        let mut stripe = vec![luma; layout.stripe_bytes()];
        stripe[rows..].fill(128);
        (0..layout.stripes()).try_for_each(|_| output.stripe(&stripe))
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "literals of bytes are references")]
fn boxed(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    [&(8 + data.len() as u32).to_be_bytes(), kind, data].concat()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "literals of bytes are references")]
fn full(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    boxed(kind, &[&[0; 4], data].concat())
}

struct Item {
    kind: &'static [u8; 4],
    data: Vec<u8>,
    /// From 1 on.
    properties: Vec<u8>,
}

/// A file whose items are numbered from 1 on, the first of them the primary one.
fn file(items: &[Item], properties: &[Vec<u8>], references: &[(&[u8; 4], u16, &[u16])]) -> Vec<u8> {
    let head = boxed(b"ftyp", b"avif\0\0\0\0avifmif1");
    let meta = |start: usize| {
        let mut entries = (items.len() as u16).to_be_bytes().to_vec();
        let mut locations = b"\x44\x00".to_vec();
        locations.extend((items.len() as u16).to_be_bytes());
        let mut associations = (items.len() as u32).to_be_bytes().to_vec();
        let mut offset = start;
        for (item, number) in items.iter().zip(1_u16..) {
            let entry = [&[2, 0, 0, 0], &number.to_be_bytes()[..], &[0, 0], item.kind, b"\0"].concat();
            entries.extend(boxed(b"infe", &entry));
            locations.extend(number.to_be_bytes());
            locations.extend([0, 0, 0, 1]);
            locations.extend((offset as u32).to_be_bytes());
            locations.extend((item.data.len() as u32).to_be_bytes());
            offset += item.data.len();
            associations.extend(number.to_be_bytes());
            associations.push(item.properties.len() as u8);
            associations.extend(item.properties.iter().map(|property| property | 0x80));
        }
        let referring: Vec<u8> = references
            .iter()
            .flat_map(|(kind, from, to)| {
                let mut data = from.to_be_bytes().to_vec();
                data.extend((to.len() as u16).to_be_bytes());
                data.extend(to.iter().flat_map(|number| number.to_be_bytes()));
                boxed(kind, &data)
            })
            .collect();
        let properties =
            boxed(b"iprp", &[boxed(b"ipco", &properties.concat()), full(b"ipma", &associations)].concat());
        let parts = [
            full(b"pitm", &[0, 1]),
            full(b"iinf", &entries),
            full(b"iloc", &locations),
            properties,
            full(b"iref", &referring),
        ];
        full(b"meta", &parts.concat())
    };
    // The sizes do not depend on the offsets.
    let start = head.len() + meta(0).len() + 8;
    let data: Vec<u8> = items.iter().flat_map(|item| item.data.clone()).collect();
    [head, meta(start), boxed(b"mdat", &data)].concat()
}

fn size(width: u32, height: u32) -> Vec<u8> {
    full(b"ispe", &[width.to_be_bytes(), height.to_be_bytes()].concat())
}

fn configuration(gray: bool) -> Vec<u8> {
    boxed(b"av1C", &[0x81, 0, if gray { 0x1c } else { 0x0c }, 0])
}

fn coded(luma: u8, properties: &[u8]) -> Item {
    Item { kind: b"av01", data: vec![luma, 1], properties: properties.to_vec() }
}

fn rendered(bytes: &[u8]) -> Result<Pixels, Error> {
    let spec = Spec {
        size: "1000x1000".parse().unwrap(),
        format: OutputFormat::Png,
        background: Background([0; 4]),
        ..Spec::default()
    };
    let limits = Limits { pixels: 1 << 16, ..Limits::default() };
    Thumbnailer::new().limits(limits).foreign_decoder(Arc::new(MadeUp)).pixels(bytes, &spec)
}

fn at(pixels: &Pixels, x: u32, y: u32) -> u8 {
    pixels.samples[(y * pixels.width + x) as usize * pixels.channels]
}

/// Four tiles of 64 x 64, of which 100 x 90 pixels are shown, turned by these properties.
fn grid(turns: &[Vec<u8>]) -> Vec<u8> {
    let mut properties = vec![size(100, 90), size(64, 64), configuration(false)];
    let turned = (0..turns.len()).map(|at| at as u8 + 4);
    let mut items = vec![Item {
        kind: b"grid",
        data: vec![0, 0, 1, 1, 0, 100, 0, 90],
        properties: std::iter::once(1).chain(turned).collect(),
    }];
    items.extend([40, 90, 140, 190].map(|luma| coded(luma, &[2, 3])));
    properties.extend_from_slice(turns);
    file(&items, &properties, &[(b"dimg", 1, &[2, 3, 4, 5])])
}

#[test]
fn tiles_are_put_side_by_side_and_cut_to_the_image() {
    let bytes = grid(&[]);
    let header = probe(&bytes).unwrap();
    assert_eq!((header.format, header.width, header.height, header.bits), (Format::Avif, 100, 90, 8));
    let pixels = rendered(&bytes).unwrap();
    assert_eq!((pixels.width, pixels.height), (100, 90));
    for (x, y, luma) in [(5, 5, 40), (60, 60, 40), (66, 5, 90), (99, 5, 90), (5, 66, 140), (99, 89, 190)] {
        assert!(at(&pixels, x, y).abs_diff(luma) <= 1, "{x} {y}: {}", at(&pixels, x, y));
    }
}

#[test]
fn crops_and_turns_are_applied_in_their_order() {
    let quarter = boxed(b"irot", &[1]);
    let sides = boxed(b"imir", &[1]);
    // 60 x 80 pixels around the middle.
    let crop: Vec<u8> = [60_u32, 1, 80, 1, 0, 1, 0, 1].iter().flat_map(|value| value.to_be_bytes()).collect();
    let crop = boxed(b"clap", &crop);
    // The corners of what is shown: top left, top right, bottom left, bottom right.
    for (turns, sides, corners) in [
        (vec![quarter.clone()], (90, 100), [90, 190, 40, 140]),
        (vec![sides.clone()], (100, 90), [90, 40, 190, 140]),
        (vec![quarter.clone(), sides], (90, 100), [190, 90, 140, 40]),
        (vec![crop.clone()], (60, 80), [40, 90, 140, 190]),
        (vec![crop, quarter], (80, 60), [90, 190, 40, 140]),
    ] {
        let pixels = rendered(&grid(&turns)).unwrap();
        assert_eq!((pixels.width, pixels.height), sides);
        let (right, bottom) = (pixels.width - 1, pixels.height - 1);
        let found = [(0, 0), (right, 0), (0, bottom), (right, bottom)].map(|(x, y)| at(&pixels, x, y));
        assert!(
            found.iter().zip(corners).all(|(one, other)| one.abs_diff(other) <= 1),
            "{found:?} {corners:?}"
        );
    }
}

#[test]
fn alpha_is_another_image_and_may_have_been_multiplied() {
    let with_alpha = |premultiplied: bool| {
        let kind = full(b"auxC", b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha\0");
        let properties = [size(8, 6), configuration(false), configuration(true), kind];
        let alpha = Item { kind: b"av01", data: vec![128, 0], properties: vec![1, 3, 4] };
        let mut references: Vec<(&[u8; 4], u16, &[u16])> = vec![(b"auxl", 2, &[1])];
        if premultiplied {
            references.push((b"prem", 1, &[2]));
        }
        file(&[coded(100, &[1, 2]), alpha], &properties, &references)
    };
    for (premultiplied, colour) in [(false, 100), (true, 199)] {
        let bytes = with_alpha(premultiplied);
        assert!(probe(&bytes).unwrap().alpha);
        let pixels = rendered(&bytes).unwrap();
        assert_eq!(pixels.channels, 2);
        for pixel in pixels.samples.chunks(2) {
            let near = |one: u8, other: u8| one.abs_diff(other) <= 1;
            assert!(near(pixel[0], colour) && near(pixel[1], 128), "{pixel:?}");
        }
    }
}

#[test]
fn what_cannot_be_is_refused_with_the_reason() {
    let one = |properties: &[Vec<u8>], used: &[u8]| file(&[coded(9, used)], properties, &[]);
    let error = |bytes: &[u8]| rendered(bytes).unwrap_err().to_string();
    assert!(error(&one(&[configuration(false)], &[1])).contains("without a size"));
    assert!(error(&one(&[size(8, 8)], &[1])).contains("without its configuration"));
    assert!(error(&one(&[size(0, 8), configuration(false)], &[1, 2])).contains("size of 0 x 8"));
    let unknown = boxed(b"what", &[]);
    let unknown = one(&[size(8, 8), configuration(false), unknown], &[1, 2, 3]);
    assert_eq!(error(&unknown), "unsupported: heif: the property what");
    let other = Item { kind: b"iovl", data: vec![0; 8], properties: vec![1] };
    assert!(error(&file(&[other], &[size(8, 8)], &[])).contains("kind iovl"));
    // Gray, where the file declares chroma.
    let gray = Item { kind: b"av01", data: vec![9, 0], properties: vec![1, 2] };
    let gray = file(&[gray], &[size(8, 8), configuration(false)], &[]);
    assert!(error(&gray).contains("not those that the file declares"));
    let mut huge = one(&[size(1 << 20, 1 << 20), configuration(false)], &[1, 2]);
    assert!(matches!(rendered(&huge), Err(Error::TooLarge(_))));
    huge.truncate(200);
    assert!(matches!(rendered(&huge), Err(Error::Malformed(_))));
}

#[test]
fn grids_of_alpha_for_each_of_many_tiles_are_refused() {
    let kind = full(b"auxC", b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha\0");
    let properties = [size(64, 64), size(1, 1), configuration(false), configuration(true), kind];
    let grid = |properties: &[u8]| Item {
        kind: b"grid",
        data: vec![0, 0, 63, 63, 0, 64, 0, 64],
        properties: properties.to_vec(),
    };
    let alpha = Item { kind: b"av01", data: vec![128, 0], properties: vec![2, 4, 5] };
    let items = [grid(&[1]), coded(9, &[2, 3]), grid(&[1, 5]), alpha];
    let (tiles, alphas) = ([2; 4096], [4; 4096]);
    let bytes = file(&items, &properties, &[(b"dimg", 1, &tiles), (b"dimg", 3, &alphas), (b"auxl", 3, &[2])]);
    assert_eq!(
        probe(&bytes).unwrap_err(),
        Error::Malformed("heif: the alpha of a tile is a grid; send it again".into())
    );
    // One for all of the image is none of that, nor is one for each tile.
    for references in [
        &[(b"dimg", 1, &tiles[..]), (b"dimg", 3, &alphas), (b"auxl", 3, &[1])][..],
        &[(b"dimg", 1, &tiles), (b"auxl", 4, &[2])],
    ] {
        assert!(probe(&file(&items, &properties, references)).unwrap().alpha);
    }
}

#[test]
fn images_without_bytes_and_endless_lists_of_properties_are_refused() {
    let empty = Item { kind: b"av01", data: Vec::new(), properties: vec![1, 2] };
    let empty = probe(&file(&[empty], &[size(8, 8), configuration(false)], &[])).unwrap_err();
    assert!(empty.to_string().contains("without bytes"), "{empty}");
    let with = |count: usize| {
        let mut properties = vec![size(8, 8), configuration(false)];
        properties.resize(count, boxed(b"free", &[]));
        probe(&file(&[coded(9, &[1, 2])], &properties, &[]))
    };
    assert!(with(10_000).is_ok());
    assert!(matches!(with(10_001), Err(Error::Malformed(_))));
}

#[test]
fn every_truncation_and_every_flipped_byte_gives_a_result() {
    let bytes = grid(&[boxed(b"irot", &[1])]);
    for length in 0..bytes.len() {
        assert!(rendered(&bytes[..length]).is_err(), "truncated to {length}");
    }
    for index in 0..bytes.len() {
        for flip in [0x01, 0xff] {
            let mut bytes = bytes.clone();
            bytes[index] ^= flip;
            let _ = rendered(&bytes);
        }
    }
}
