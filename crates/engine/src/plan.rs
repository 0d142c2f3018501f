//! Geometry: which part of the image becomes how many pixels.

use crate::header::{Format, Header, Orientation};
use crate::spec::{Filter, Fit, Gravity, Scaling, Spec};

/// When a JPEG is decoded at a reduced scale. With fewer samples for a thumbnail pixel, detail that they cannot hold
/// would be missing; chosen by measurement (`docs/adr/0007`).
struct Thresholds {
    /// Scales, and the least number of samples that each must leave for a thumbnail pixel, across and down.
    least: &'static [(u32, f64)],
    /// By how much more for each bit a pixel of the file above `plain`: what a file spends on detail says how much
    /// there is to be missed.
    detail: f64,
    plain: f64,
}

const SHARP: Thresholds = Thresholds {
    least: &[(1, 2.6), (2, 2.6), (3, 2.8), (4, 2.05), (5, 2.5), (6, 1.6)],
    detail: 0.3,
    plain: 1.0,
};
const FAST: Thresholds = Thresholds {
    least: &[(1, 1.4), (2, 1.3), (3, 1.3), (4, 1.25), (5, 1.4), (6, 1.3)],
    detail: 0.25,
    plain: 1.5,
};

/// The least number of samples for a thumbnail pixel at 1/8 whose variance may be estimated.
const ESTIMATED_VARIANCE: f64 = 2.6;

/// A rectangle with fractional edges, in pixels of the stored image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Rect {
    pub(crate) x: f64,
    pub(crate) y: f64,
    pub(crate) width: f64,
    pub(crate) height: f64,
}

/// Geometry of one rendition.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Plan {
    /// The part to resample, in the image as stored.
    pub(crate) source: Rect,
    /// Width and height to resample to, before turning upright.
    pub(crate) stored: (u32, u32),
    /// Width and height of the thumbnail.
    pub(crate) canvas: (u32, u32),
    /// Position of the upright image on the canvas.
    pub(crate) offset: (u32, u32),
    pub(crate) filter: Filter,
    pub(crate) scaling: Scaling,
    /// The part of the upright, resampled image that is retained is chosen by its content, and has this size.
    pub(crate) crop: Option<(u32, u32)>,
}

/// Plans every rendition, and sizes the image: a drawing becomes as large as the largest rendition needs it, other images
/// are what they are.
pub(crate) fn plans(header: &Header, specs: &[Spec]) -> (Header, Vec<Plan>) {
    let mut header = header.clone();
    let mut plans: Vec<_> = specs.iter().map(|spec| plan(&header, spec)).collect();
    if !header.format.is_vector() {
        return (header, plans);
    }
    let (width, height) = (f64::from(header.width), f64::from(header.height));
    let scale = |plan: &Plan| {
        let across = f64::from(plan.stored.0) / plan.source.width;
        across.max(f64::from(plan.stored.1) / plan.source.height)
    };
    let scale = plans.iter().map(scale).fold(0.0, f64::max);
    // The tolerance keeps a side that fits exactly from gaining a pixel by rounding.
    let side = |side: f64| (side * scale - 1e-6).ceil().clamp(1.0, f64::from(u32::MAX)) as u32;
    (header.width, header.height) = (side(width), side(height));
    let (across, down) = (f64::from(header.width) / width, f64::from(header.height) / height);
    for plan in &mut plans {
        let Rect { x, y, width, height } = plan.source;
        plan.source = Rect { x: x * across, y: y * down, width: width * across, height: height * down };
    }
    header.work = header.work.saturating_add(header.pixels().saturating_mul(VECTOR_WORK));
    (header, plans)
}

/// Work of rendering a pixel of a drawing, in samples.
const VECTOR_WORK: u64 = 16;

/// How many times larger than the thumbnail an image may be from which a part is chosen by its content. Of longer ones
/// the middle is retained.
const LARGEST_CHOICE: u64 = 16;

/// Plans one rendition.
pub(crate) fn plan(header: &Header, spec: &Spec) -> Plan {
    let (width, height) = header.upright();
    let (mut image, mut visible) = fit(width, height, spec);
    let mut crop = None;
    let mut canvas = match (spec.fit, spec.size.width, spec.size.height) {
        (Fit::Contain, Some(width), Some(height)) => (width, height),
        _ => image,
    };
    if spec.gravity == Gravity::Smart && spec.focal.is_none() && spec.fit == Fit::Cover {
        let side = |full: u32, visible: f64, out: u32| {
            // Exact where nothing is cropped.
            let side = f64::from(full) / visible * f64::from(out);
            (side.round() as u32).max(out)
        };
        let whole = (side(width, visible.width, image.0), side(height, visible.height, image.1));
        let area = |(width, height): (u32, u32)| u64::from(width) * u64::from(height);
        if whole != image && area(whole) <= LARGEST_CHOICE * area(image) {
            (crop, canvas, image) = (Some(image), image, whole);
            visible = Rect { x: 0.0, y: 0.0, width: width.into(), height: height.into() };
        }
    }
    let (across, down) = gravity(spec.gravity);
    let offset = match crop {
        Some(_) => (0, 0),
        None => (share(canvas.0 - image.0, across), share(canvas.1 - image.1, down)),
    };
    let swap = header.orientation.swaps_sides();
    let stored = if swap { (image.1, image.0) } else { image };
    Plan {
        source: to_stored(visible, header),
        stored,
        canvas,
        offset,
        filter: spec.filter,
        scaling: spec.scaling,
        crop,
    }
}

/// How an image is reduced while it is decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reduction {
    /// Samples that eight pixels are decoded to, across and down: 1 to 6, or 8.
    pub(crate) scale: u32,
    /// At 1/8 only: subsampled chroma is decoded no finer than the luma, and the energy of a progressive file is that of
    /// its first bands.
    pub(crate) approximate: bool,
    /// At 1/8 only: the variance within samples is estimated from their differences, and no AC coefficient is used.
    pub(crate) estimated_variance: bool,
}

impl Reduction {
    /// Every pixel.
    pub(crate) const NONE: Self = Self { scale: 8, approximate: false, estimated_variance: false };
}

/// The largest reduction that leaves enough for each rendition. Only JPEG has reduced scales.
pub(crate) fn reduction(header: &Header, plans: &[Plan]) -> Reduction {
    if header.format != Format::Jpeg {
        return Reduction::NONE;
    }
    let bits = 8.0 * header.coded_bytes as f64 / header.pixels().max(1) as f64;
    let scale = plans.iter().map(|plan| scale_of(plan, bits)).max().unwrap_or(1);
    let fast = plans.iter().all(|plan| plan.scaling == Scaling::Fast);
    let approximate = fast && scale == 1;
    let samples = plans.iter().map(|plan| ratio(plan) / 8.0).fold(f64::INFINITY, f64::min);
    Reduction { scale, approximate, estimated_variance: approximate && samples >= ESTIMATED_VARIANCE }
}

/// Bits a pixel from which on a file is noise of black and white, as a dithered page is: most of its samples would
/// be beyond the range at 5/8 and 6/8, where the correction of their light fails.
const NOISE: f64 = 5.0;

/// The scale that one rendition needs, of a file with so many bits a pixel.
fn scale_of(plan: &Plan, bits: f64) -> u32 {
    let ratio = ratio(plan);
    let Thresholds { least, detail, plain } = if plan.scaling == Scaling::Fast { FAST } else { SHARP };
    let more = 1.0 + detail * (bits - plain).max(0.0);
    let enough = |&&(scale, least): &&(u32, f64)| {
        ratio * f64::from(scale) / 8.0 >= least * more && (bits < NOISE || scale < 5)
    };
    least.iter().find(enough).map_or(8, |&(scale, _)| scale)
}

/// Pixels of the image for a thumbnail pixel, across or down, whichever are fewer.
fn ratio(plan: &Plan) -> f64 {
    let (width, height) = (f64::from(plan.stored.0), f64::from(plan.stored.1));
    (plan.source.width / width).min(plan.source.height / height)
}

/// The size of the image in the thumbnail, and the part of the upright image that it shows.
fn fit(width: u32, height: u32, spec: &Spec) -> ((u32, u32), Rect) {
    let whole = Rect { x: 0.0, y: 0.0, width: width.into(), height: height.into() };
    let allowed = |side: u32, natural: u32| if spec.enlarge { side } else { side.min(natural) };
    match (spec.fit, spec.size.width, spec.size.height) {
        (Fit::Fill, Some(w), Some(h)) => ((allowed(w, width), allowed(h, height)), whole),
        (Fit::Cover, Some(w), Some(h)) => cover(width, height, (w, h), spec),
        (_, w, h) => (inside(width, height, w, h, spec.enlarge), whole),
    }
}

/// The largest size of the same shape within the open or closed box.
fn inside(width: u32, height: u32, w: Option<u32>, h: Option<u32>, enlarge: bool) -> (u32, u32) {
    let by_width = w.map(|w| (w, scaled(height, w, width)));
    let by_height = h.map(|h| (scaled(width, h, height), h));
    let size = match (by_width, by_height) {
        // Compare the scales w/width and h/height without division.
        (Some(a), Some(b)) => {
            if u64::from(a.0) * u64::from(height) <= u64::from(b.1) * u64::from(width) {
                a
            } else {
                b
            }
        }
        (Some(a), None) | (None, Some(a)) => a,
        (None, None) => (width, height),
    };
    if !enlarge && (size.0 > width || size.1 > height) { (width, height) } else { size }
}

/// Fills the box at one scale, which is at most 1 unless enlarging, and crops the overhang.
fn cover(width: u32, height: u32, (w, h): (u32, u32), spec: &Spec) -> ((u32, u32), Rect) {
    let scale = (f64::from(w) / f64::from(width)).max(f64::from(h) / f64::from(height));
    let scale = if spec.enlarge { scale } else { scale.min(1.0) };
    let axis = |side: u32, box_side: u32, share: f64, focal: Option<f64>| {
        let full = f64::from(side) * scale;
        // The tolerance keeps a side that fits exactly from losing a pixel to rounding.
        let out = if full + 1e-6 >= f64::from(box_side) { box_side } else { (full.round() as u32).max(1) };
        let visible = (f64::from(out) / scale).min(f64::from(side));
        let free = f64::from(side) - visible;
        // The focal point is in the middle, unless the image ends before.
        let from = focal.map_or(free * share, |at| (f64::from(side) * at - visible / 2.0).clamp(0.0, free));
        (out, from, visible)
    };
    let (across, down) = gravity(spec.gravity);
    let (out_width, x, visible_width) = axis(width, w, across, spec.focal.map(crate::Focal::x));
    let (out_height, y, visible_height) = axis(height, h, down, spec.focal.map(crate::Focal::y));
    ((out_width, out_height), Rect { x, y, width: visible_width, height: visible_height })
}

/// `side` × `to` / `from`, to nearest, clamped to 1 and the largest side of a spec.
fn scaled(side: u32, to: u32, from: u32) -> u32 {
    let value = (u64::from(side) * u64::from(to) * 2 + u64::from(from)) / (u64::from(from) * 2);
    u32::try_from(value).unwrap_or(u32::MAX).clamp(1, crate::Size::MAX.max(side))
}

/// Shares of the free space that go to the left and above.
pub(crate) const fn gravity(gravity: Gravity) -> (f64, f64) {
    match gravity {
        Gravity::Centre | Gravity::Smart => (0.5, 0.5),
        Gravity::North => (0.5, 0.0),
        Gravity::NorthEast => (1.0, 0.0),
        Gravity::East => (1.0, 0.5),
        Gravity::SouthEast => (1.0, 1.0),
        Gravity::South => (0.5, 1.0),
        Gravity::SouthWest => (0.0, 1.0),
        Gravity::West => (0.0, 0.5),
        Gravity::NorthWest => (0.0, 0.0),
    }
}

fn share(free: u32, share: f64) -> u32 {
    (f64::from(free) * share) as u32
}

/// Maps a rectangle of the upright image to the image as stored.
fn to_stored(rect: Rect, header: &Header) -> Rect {
    let Rect { x, y, width, height } = rect;
    let (full_width, full_height) = (f64::from(header.width), f64::from(header.height));
    let (stored_width, stored_height) =
        if header.orientation.swaps_sides() { (height, width) } else { (width, height) };
    let (left, top) = if header.orientation.swaps_sides() { (y, x) } else { (x, y) };
    let (mirror_x, mirror_y) = mirrors(header.orientation);
    Rect {
        x: if mirror_x { full_width - left - stored_width } else { left },
        y: if mirror_y { full_height - top - stored_height } else { top },
        width: stored_width,
        height: stored_height,
    }
}

/// Whether the stored columns and the stored rows run backwards.
pub(crate) const fn mirrors(orientation: Orientation) -> (bool, bool) {
    match orientation.exif() {
        2 | 8 => (true, false),
        3 | 7 => (true, true),
        4 | 6 => (false, true),
        _ => (false, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Format, Size};

    fn header(width: u32, height: u32, orientation: u32) -> Header {
        Header {
            format: Format::Jpeg,
            width,
            height,
            orientation: Orientation::from_exif(orientation),
            colour: crate::header::Colour::Rgb,
            bits: 8,
            alpha: false,
            progressive: false,
            buffered: false,
            decoder_bytes: 0,
            coded_bytes: 0,
            animated: false,
            profile: false,
            work: 0,
        }
    }

    fn spec(size: &str, fit: Fit, enlarge: bool) -> Spec {
        Spec { size: size.parse::<Size>().unwrap(), fit, enlarge, ..Spec::default() }
    }

    #[test]
    fn scales_go_by_size_detail_and_profile() {
        let scale = |side: u32, bits: u64, scaling| {
            let coded_bytes = u64::from(side) * u64::from(side) * bits / 8;
            let header = Header { coded_bytes, ..header(side, side, 1) };
            let spec = Spec { scaling, ..spec("100x100", Fit::Inside, false) };
            super::reduction(&header, &[plan(&header, &spec)]).scale
        };
        let sides = [3400, 1000, 600, 200];
        assert_eq!(sides.map(|side| scale(side, 1, Scaling::Sharp)), [1, 3, 4, 8]);
        assert_eq!(sides.map(|side| scale(side, 1, Scaling::Fast)), [1, 2, 2, 6]);
        assert_eq!(sides.map(|side| scale(side, 4, Scaling::Sharp)), [2, 4, 6, 8]);
        assert_eq!(sides.map(|side| scale(side, 5, Scaling::Sharp)), [2, 4, 8, 8]);
        // `fast` approximates at 1/8, and estimates variance where several samples make a pixel, unless a rendition is
        // `sharp`.
        let reduction_of = |side: u32, scalings: &[Scaling]| {
            let header = header(side, side, 1);
            let plans =
                scalings.iter().map(|&scaling| Spec { scaling, ..spec("100x100", Fit::Inside, false) });
            reduction(&header, &plans.map(|spec| plan(&header, &spec)).collect::<Vec<_>>())
        };
        let expected =
            |approximate, estimated_variance| Reduction { scale: 1, approximate, estimated_variance };
        assert_eq!(reduction_of(1600, &[Scaling::Fast]), expected(true, false));
        assert_eq!(reduction_of(3400, &[Scaling::Fast]), expected(true, true));
        assert_eq!(reduction_of(3400, &[Scaling::Fast, Scaling::Sharp]), expected(false, false));
        assert!(!reduction_of(800, &[Scaling::Fast]).approximate);
        let header = Header { format: Format::Png, ..header(3400, 3400, 1) };
        assert_eq!(
            reduction(&header, &[plan(&header, &spec("100x100", Fit::Inside, false))]),
            Reduction::NONE
        );
    }

    #[test]
    fn sizes() {
        use Fit::{Contain, Cover, Fill, Inside};
        for (image, size, fit, enlarge, expected) in [
            ((1000, 816), "128x128", Inside, false, (128, 104)),
            ((816, 1000), "128x128", Inside, false, (104, 128)),
            ((100, 50), "200x200", Inside, false, (100, 50)),
            ((100, 50), "200x200", Inside, true, (200, 100)),
            ((300, 200), "150", Inside, false, (150, 100)),
            ((300, 200), "x100", Inside, false, (150, 100)),
            ((1, 65_500), "128x128", Inside, false, (1, 128)),
            ((65_500, 1), "128x128", Inside, false, (128, 1)),
            ((3, 2), "2x2", Inside, false, (2, 1)),
            ((1000, 500), "100x100", Cover, false, (100, 100)),
            ((150, 50), "100x100", Cover, false, (100, 50)),
            ((150, 50), "100x100", Cover, true, (100, 100)),
            ((50, 50), "100x100", Cover, false, (50, 50)),
            ((1000, 500), "100x100", Contain, false, (100, 100)),
            ((10, 10), "100x60", Contain, false, (100, 60)),
            ((1000, 500), "100", Contain, false, (100, 50)),
            ((1000, 500), "30x70", Fill, false, (30, 70)),
            ((10, 500), "30x70", Fill, false, (10, 70)),
            ((10, 500), "30x70", Fill, true, (30, 70)),
        ] {
            let plan = plan(&header(image.0, image.1, 1), &spec(size, fit, enlarge));
            assert_eq!(plan.canvas, expected, "{image:?} {size} {fit} enlarge={enlarge}");
        }
    }

    #[test]
    fn cover_cuts_by_gravity() {
        let mut spec = spec("100x100", Fit::Cover, false);
        for (gravity, x) in [(Gravity::West, 0.0), (Gravity::Centre, 500.0), (Gravity::East, 1000.0)] {
            spec.gravity = gravity;
            let plan = plan(&header(2000, 1000, 1), &spec);
            assert_eq!(plan.source, Rect { x, y: 0.0, width: 1000.0, height: 1000.0 });
        }
    }

    #[test]
    fn cover_shows_the_focal_point() {
        let mut spec = spec("100x100", Fit::Cover, false);
        for (focal, x) in [("0.5,0", 500.0), ("0.4,0.9", 300.0), ("0.1,0.1", 0.0), ("1,1", 1000.0)] {
            spec.focal = Some(focal.parse().unwrap());
            spec.gravity = Gravity::Smart;
            let plan = plan(&header(2000, 1000, 1), &spec);
            assert_eq!(plan.source, Rect { x, y: 0.0, width: 1000.0, height: 1000.0 }, "{focal}");
            assert_eq!((plan.crop, plan.canvas), (None, (100, 100)));
        }
        // It is a point of the upright image: the left of this one is stored at the bottom.
        spec.focal = Some("0,0.5".parse().unwrap());
        let plan = plan(&header(1000, 2000, 6), &spec);
        assert_eq!(plan.source, Rect { x: 0.0, y: 1000.0, width: 1000.0, height: 1000.0 });
    }

    #[test]
    fn smart_resamples_all_of_the_image_to_choose_from() {
        let spec = Spec { gravity: Gravity::Smart, ..spec("100x50", Fit::Cover, false) };
        let of = |width, height, orientation| {
            let plan = plan(&header(width, height, orientation), &spec);
            (plan.stored, plan.canvas, plan.crop)
        };
        assert_eq!(of(1000, 1000, 1), ((100, 100), (100, 50), Some((100, 50))));
        assert_eq!(of(2000, 500, 1), ((200, 50), (100, 50), Some((100, 50))));
        // Stored on its side.
        assert_eq!(of(500, 2000, 6), ((50, 200), (100, 50), Some((100, 50))));
        // Nothing to choose, and too much.
        assert_eq!(of(1000, 500, 1), ((100, 50), (100, 50), None));
        assert_eq!(of(100, 10_000, 1), ((100, 50), (100, 50), None));
    }

    #[test]
    fn the_box_applies_to_the_upright_image() {
        let mut spec = spec("100x50", Fit::Cover, false);
        spec.gravity = Gravity::North;
        // Stored 400x200 turned by 90 degrees is 200x400; its top 200x100 is the stored left edge.
        let plan = plan(&header(400, 200, 6), &spec);
        assert_eq!((plan.stored, plan.canvas), ((50, 100), (100, 50)));
        assert_eq!(plan.source, Rect { x: 0.0, y: 0.0, width: 100.0, height: 200.0 });
    }

    #[test]
    fn contain_places_by_gravity() {
        let mut spec = spec("100x100", Fit::Contain, false);
        for (gravity, y) in [(Gravity::North, 0), (Gravity::Centre, 25), (Gravity::South, 50)] {
            spec.gravity = gravity;
            assert_eq!(plan(&header(1000, 500, 1), &spec).offset, (0, y));
        }
    }
}
