use super::*;
use crate::{Fit, OutputFormat, Size, Spec, Thumbnailer};

fn size(svg: &str) -> (u32, u32) {
    header::size(svg.as_bytes()).unwrap()
}

/// The pixels of a drawing in a box.
fn pixels(svg: &[u8], side: u32, spec: Spec) -> crate::Pixels {
    let size = Size { width: Some(side), height: Some(side) };
    Thumbnailer::new().pixels(svg, &Spec { size, ..spec }).unwrap()
}

/// Red, green, blue and alpha at a position.
fn at(pixels: &crate::Pixels, x: u32, y: u32) -> [u8; 4] {
    let channels = pixels.samples.len() / (pixels.width * pixels.height) as usize;
    let at = (y * pixels.width + x) as usize * channels;
    match pixels.samples[at..at + channels] {
        [gray] => [gray, gray, gray, 255],
        [gray, alpha] => [gray, gray, gray, alpha],
        [red, green, blue] => [red, green, blue, 255],
        [red, green, blue, alpha] => [red, green, blue, alpha],
        _ => panic!("{channels} channels"),
    }
}

fn keeping_alpha() -> Spec {
    Spec { format: OutputFormat::Png, background: crate::Background([0; 4]), ..Spec::default() }
}

/// A gzip file of stored blocks.
fn gzip(text: &[u8]) -> Vec<u8> {
    let mut file = b"\x1f\x8b\x08\x08\0\0\0\0\0\x03name\0".to_vec();
    let length = text.len() as u16;
    file.push(1);
    file.extend(length.to_le_bytes());
    file.extend((!length).to_le_bytes());
    file.extend(text);
    file.extend(crc32fast::hash(text).to_le_bytes());
    file.extend((text.len() as u32).to_le_bytes());
    file
}

#[test]
fn the_size_is_that_of_the_root() {
    for (root, expected) in [
        ("width='40' height='30'", (40, 30)),
        ("width=\"40px\" height = \"30.2\"", (40, 31)),
        ("width='1in' height='72pt'", (96, 96)),
        ("width='10mm' height='1cm'", (38, 38)),
        ("width='2em' height='1e2'", (24, 100)),
        ("viewBox='0 0 640,480'", (640, 480)),
        ("viewBox='-5 -5 640 480' width='320'", (320, 240)),
        ("viewBox='0 0 640 480' height='120'", (160, 120)),
        ("viewBox='0 0 640 480' width='50%' height='100%'", (320, 480)),
        ("width='100%' height='100%'", (300, 150)),
        ("", (300, 150)),
        ("width='-1' height='zero' viewBox='0 0 5 0'", (300, 150)),
        ("width='0.1' height='0.1'", (1, 1)),
    ] {
        assert_eq!(size(&format!("<svg xmlns='http://www.w3.org/2000/svg' {root}/>")), expected, "{root}");
    }
    assert!(header::size(b"<svg width='1e30' height='1'/>").is_err());
}

#[test]
fn the_root_is_found_behind_what_may_precede_it() {
    let preceded = "\u{feff}<?xml version='1.0'?>\n<!-- <svg width='1'/> -->\n<!DOCTYPE svg PUBLIC \"-//W3C//DTD SVG 1.1//EN\" \
                    'x>' [ <!ENTITY ns \"http://www.w3.org/>\"> ]>\n<svg:svg width='7' height='9'>";
    assert_eq!(size(preceded), (7, 9));
    for other in ["", "<html><svg/></html>", "text <svg/>", "<svgx/>", "<!-- <svg/>", "<svg"] {
        assert!(!header::is_svg(other.as_bytes()), "{other}");
    }
}

#[test]
fn a_drawing_is_rendered_at_the_size_of_its_thumbnail() {
    let svg = b"<svg xmlns='http://www.w3.org/2000/svg' width='20' height='10'><rect width='10' height='10' fill='#f00'/></svg>";
    let natural = pixels(svg, 100, keeping_alpha());
    assert_eq!((natural.width, natural.height), (20, 10), "it is not enlarged unless that is wanted");
    let large = pixels(svg, 100, Spec { enlarge: true, ..keeping_alpha() });
    assert_eq!((large.width, large.height), (100, 50));
    // The edge is sharp: nothing was enlarged.
    assert_eq!((at(&large, 49, 25), at(&large, 50, 25)), ([255, 0, 0, 255], [0, 0, 0, 0]));
    let small = pixels(svg, 10, keeping_alpha());
    assert_eq!((small.width, small.height), (10, 5));
    assert_eq!((at(&small, 4, 2), at(&small, 5, 2)), ([255, 0, 0, 255], [0, 0, 0, 0]));
    let cover = pixels(svg, 8, Spec { fit: Fit::Cover, ..keeping_alpha() });
    assert_eq!((cover.width, cover.height), (8, 8));
    assert_eq!((at(&cover, 3, 4), at(&cover, 4, 4)), ([255, 0, 0, 255], [0, 0, 0, 0]));
}

#[test]
fn a_huge_drawing_is_a_small_thumbnail_within_the_limits() {
    let svg = b"<svg xmlns='http://www.w3.org/2000/svg' width='1000000' height='1000000'><rect width='100%' height='100%'/></svg>";
    let small = pixels(svg, 16, keeping_alpha());
    assert_eq!((small.width, small.height, at(&small, 8, 8)), (16, 16, [0, 0, 0, 255]));
    let error = Thumbnailer::new().render(svg, &[Spec { size: "60000".parse().unwrap(), ..Spec::default() }]);
    assert!(matches!(error, Err(Error::TooLarge(_))), "{error:?}");
}

#[test]
fn a_compressed_drawing_is_the_same() {
    let svg =
        b"<svg xmlns='http://www.w3.org/2000/svg' width='20' height='10'><circle r='5' cx='5' cy='5'/></svg>";
    let (plain, compressed) = (pixels(svg, 9, keeping_alpha()), pixels(&gzip(svg), 9, keeping_alpha()));
    assert_eq!(plain, compressed);
    let mut file = gzip(svg);
    let at = file.len() - 4;
    file[at] += 1;
    assert!(matches!(Thumbnailer::new().render(&file, &[Spec::default()]), Err(Error::Malformed(_))));
    assert!(!Svg.recognises(&gzip(b"a text")).unwrap());
}

#[test]
fn nothing_outside_the_drawing_is_read() {
    let png = crate::codec::encode(
        &crate::pixels::Image8 {
            width: 1,
            height: 1,
            model: crate::pixels::Model::Rgb,
            samples: vec![0, 255, 0],
        },
        Format::Png,
        &crate::codec::EncodeOptions {
            level: crate::SimdLevel::detect(),
            quality: 80,
            effort: crate::Effort::Fast,
            stop: crate::stop::Stop(&|| false),
            rights: &crate::rights::Rights::default(),
        },
    )
    .unwrap();
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/images/console.png");
    let hex: String = png.iter().map(|byte| format!("%{byte:02x}")).collect();
    let image = |href: &str| {
        format!(
            "<svg xmlns='http://www.w3.org/2000/svg' xmlns:xlink='http://www.w3.org/1999/xlink' width='4' height='4'>\
             <image width='4' height='4' xlink:href='{href}'/></svg>"
        )
    };
    let shown = |svg: &str| at(&pixels(svg.as_bytes(), 4, keeping_alpha()), 2, 2);
    assert_eq!(shown(&image(&format!("data:image/png,{hex}"))), [0, 255, 0, 255]);
    // Whatever its name is: the content decides.
    assert_eq!(shown(&image(&format!("data:image/jpeg,{hex}"))), [0, 255, 0, 255]);
    for href in [file.to_owned(), format!("file://{file}")] {
        assert_eq!(shown(&image(&href)), [0; 4], "{href}");
    }
}

#[test]
fn text_is_set_in_the_built_in_font() {
    let svg = "<svg xmlns='http://www.w3.org/2000/svg' width='40' height='40'>\
               <text y='38' font-size='50' font-family='No Such Family'>Wд</text></svg>";
    let drawn = pixels(svg.as_bytes(), 40, keeping_alpha());
    let dark = drawn.samples.chunks(4).filter(|pixel| pixel[3] > 128).count();
    assert!(dark > 200, "{dark} pixels");
}

#[test]
fn what_is_not_a_drawing_is_malformed() {
    for svg in ["<svg xmlns='http://www.w3.org/2000/svg' width='4' height='4'>", "<svg>&bomb;</svg>"] {
        let error = Thumbnailer::new().render(svg.as_bytes(), &[Spec::default()]);
        assert!(matches!(error, Err(Error::Malformed(_))), "{svg}: {error:?}");
    }
}
