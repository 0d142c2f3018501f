//! The header of a key frame (RFC 6386, sections 9 and 19.2), and the data partitions.

use super::bool_reader::BoolReader;
use super::tables::{AC_STEPS, DC_STEPS, TOKEN_UPDATES, TOKENS, TokenProbabilities};
use crate::bytes::{le16, le24};

/// Bands of the coefficients, by position; of one past the last, which is never decoded, any.
const BANDS: [usize; 17] = [0, 1, 2, 3, 6, 4, 5, 6, 6, 6, 6, 6, 6, 6, 6, 7, 0];

/// Token probabilities by kind of block, position and context.
pub(super) type PlacedProbabilities = [[[[u8; 11]; 3]; 17]; 4];

pub(super) struct FrameHeader<'a> {
    pub(super) width: usize,
    pub(super) height: usize,
    /// The first partition, from the macroblock headers on.
    pub(super) modes: BoolReader<'a>,
    /// The partitions of coefficients, a power of two.
    pub(super) tokens: Vec<BoolReader<'a>>,
    /// Probabilities of the segment map's tree, if segments are mapped.
    pub(super) segment_map: Option<[u8; 3]>,
    pub(super) segments: [Segment; 4],
    pub(super) filter: Filter,
    /// Probability that a macroblock has coefficients, if some are marked to have none.
    pub(super) skip: Option<u8>,
    pub(super) probabilities: Box<PlacedProbabilities>,
}

/// What differs between segments.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Segment {
    pub(super) steps: Steps,
    /// Strengths of the loop filter for macroblocks predicted whole and by subblocks.
    pub(super) strengths: [Strength; 2],
}

/// Quantisation steps of the DC and the AC coefficients.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Steps {
    pub(super) luma: [i32; 2],
    /// Of the DC coefficients of luma, transformed once more.
    pub(super) second: [i32; 2],
    pub(super) chroma: [i32; 2],
}

/// Which loop filter is applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Filter {
    None,
    Simple,
    Normal,
}

/// Thresholds of the loop filter (section 15).
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Strength {
    /// 0 for no filtering.
    pub(super) level: u8,
    pub(super) interior: u8,
    pub(super) high_variance: u8,
}

impl Strength {
    /// For a level within 0 to 63.
    fn new(level: i32, sharpness: u32) -> Self {
        let mut interior = level;
        if sharpness > 0 {
            interior >>= if sharpness > 4 { 2 } else { 1 };
            interior = interior.min(9 - sharpness as i32);
        }
        let high_variance = u8::from(level >= 15) + u8::from(level >= 40);
        Self { level: level as u8, interior: interior.max(1) as u8, high_variance }
    }
}

impl<'a> FrameHeader<'a> {
    pub(super) fn read(data: &'a [u8]) -> Result<Self, &'static str> {
        let (Some(tag), Some(width), Some(height)) = (le24(data, 0), le16(data, 6), le16(data, 8)) else {
            return Err("the frame header is truncated");
        };
        if tag & 1 != 0 {
            return Err("it is not a key frame");
        }
        if (tag >> 1) & 7 > 3 {
            return Err("a version that is not defined");
        }
        if tag & 0x10 == 0 {
            return Err("the frame is not to be shown");
        }
        let first = (tag >> 5) as usize;
        let after = &data[10..];
        if first > after.len() {
            return Err("the first partition is truncated");
        }
        let (first, rest) = after.split_at(first);
        let mut reader = BoolReader::new(first);
        // The colour space and the clamping type change nothing: pixels are always clamped.
        reader.literal(2);
        let segmentation = Segmentation::read(&mut reader);
        let simple = reader.flag();
        let level = reader.literal(6) as i32;
        let sharpness = reader.literal(3);
        let deltas = filter_deltas(&mut reader);
        let tokens = partitions(rest, 1 << reader.literal(2))?;
        let quantisation = Quantisation::read(&mut reader);
        // Whether the probabilities are retained concerns later frames only.
        reader.flag();
        let probabilities = token_probabilities(&mut reader);
        let skip = reader.flag().then(|| reader.literal(8) as u8);
        let segments = std::array::from_fn(|index| {
            let (quantiser, level) = segmentation.values(index, quantisation.base, level);
            let strength = |delta: i32| Strength::new((level + delta).clamp(0, 63), sharpness);
            Segment {
                steps: quantisation.steps(quantiser),
                strengths: [strength(deltas[0]), strength(deltas[0] + deltas[1])],
            }
        });
        if reader.is_past_end() {
            return Err("the header is truncated");
        }
        let filter = match (level, simple) {
            (0, _) => Filter::None,
            (_, true) => Filter::Simple,
            (_, false) => Filter::Normal,
        };
        Ok(Self {
            width: usize::from(width & 0x3fff),
            height: usize::from(height & 0x3fff),
            modes: reader,
            tokens,
            segment_map: segmentation.map,
            segments,
            filter,
            skip,
            probabilities,
        })
    }
}

/// Section 9.3.
struct Segmentation {
    enabled: bool,
    map: Option<[u8; 3]>,
    /// Whether the values replace those of the frame rather than add to them.
    absolute: bool,
    quantisers: [i32; 4],
    levels: [i32; 4],
}

impl Segmentation {
    fn read(reader: &mut BoolReader<'_>) -> Self {
        let mut this =
            Self { enabled: reader.flag(), map: None, absolute: true, quantisers: [0; 4], levels: [0; 4] };
        if !this.enabled {
            return this;
        }
        let update_map = reader.flag();
        if reader.flag() {
            this.absolute = reader.flag();
            this.quantisers = [(); 4].map(|()| reader.optional_signed(7).unwrap_or(0));
            this.levels = [(); 4].map(|()| reader.optional_signed(6).unwrap_or(0));
        }
        if update_map {
            this.map = Some([(); 3].map(|()| if reader.flag() { reader.literal(8) as u8 } else { u8::MAX }));
        }
        this
    }

    /// The quantiser index and the filter level of a segment.
    fn values(&self, index: usize, quantiser: i32, level: i32) -> (i32, i32) {
        match (self.enabled, self.absolute) {
            (false, _) => (quantiser, level),
            (true, true) => (self.quantisers[index], self.levels[index]),
            (true, false) => (self.quantisers[index] + quantiser, self.levels[index] + level),
        }
    }
}

/// What is added to the filter level of every macroblock of a key frame, and of one predicted by subblocks
/// (section 9.6).
fn filter_deltas(reader: &mut BoolReader<'_>) -> [i32; 2] {
    let enabled = reader.flag();
    if !(enabled && reader.flag()) {
        return [0; 2];
    }
    let mut by_reference = [0; 4];
    let mut by_mode = [0; 4];
    for delta in by_reference.iter_mut().chain(&mut by_mode) {
        *delta = reader.optional_signed(6).unwrap_or(0);
    }
    [by_reference[0], by_mode[0]]
}

/// Section 9.5: the sizes of all partitions but the last are stored before them.
fn partitions(data: &[u8], count: usize) -> Result<Vec<BoolReader<'_>>, &'static str> {
    let sizes = 3 * (count - 1);
    let mut rest = data.get(sizes..).ok_or("the sizes of the partitions are truncated")?;
    let mut readers = Vec::with_capacity(count);
    for index in 0..count - 1 {
        let size = le24(data, 3 * index).map_or(0, |size| size as usize).min(rest.len());
        let (partition, after) = rest.split_at(size);
        readers.push(BoolReader::new(partition));
        rest = after;
    }
    if rest.is_empty() {
        return Err("the last partition is missing");
    }
    readers.push(BoolReader::new(rest));
    Ok(readers)
}

/// Section 9.6: indices of quantisation steps.
struct Quantisation {
    base: i32,
    luma_dc: i32,
    second: [i32; 2],
    chroma: [i32; 2],
}

impl Quantisation {
    fn read(reader: &mut BoolReader<'_>) -> Self {
        let base = reader.literal(7) as i32;
        let [luma_dc, second_dc, second_ac, chroma_dc, chroma_ac] =
            [(); 5].map(|()| reader.optional_signed(4).unwrap_or(0));
        Self { base, luma_dc, second: [second_dc, second_ac], chroma: [chroma_dc, chroma_ac] }
    }

    /// Section 14.1.
    fn steps(&self, base: i32) -> Steps {
        let dc = |delta: i32, most: i32| i32::from(DC_STEPS[(base + delta).clamp(0, most) as usize]);
        let ac = |delta: i32| i32::from(AC_STEPS[(base + delta).clamp(0, 127) as usize]);
        Steps {
            luma: [dc(self.luma_dc, 127), ac(0)],
            second: [dc(self.second[0], 127) * 2, (ac(self.second[1]) * 155 / 100).max(8)],
            chroma: [dc(self.chroma[0], 117), ac(self.chroma[1])],
        }
    }
}

/// Section 13.4.
fn token_probabilities(reader: &mut BoolReader<'_>) -> Box<PlacedProbabilities> {
    let mut bands: TokenProbabilities = TOKENS;
    let all = bands.as_flattened_mut().as_flattened_mut().as_flattened_mut();
    let updates = TOKEN_UPDATES.as_flattened().as_flattened().as_flattened();
    for (probability, &update) in all.iter_mut().zip(updates) {
        if reader.read(update) {
            *probability = reader.literal(8) as u8;
        }
    }
    Box::new(bands.map(|bands| BANDS.map(|band| bands[band])))
}
