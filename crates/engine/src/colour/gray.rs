//! Gray profiles (ICC.1:2022): one curve from codes to sRGB, whatever the profile computes it by.

use crate::bytes::{be16, be32};

/// Steps of the curve.
const STEPS: usize = 4096;

/// A curve to 16-bit sRGB.
pub(super) struct GrayCurve(Vec<u16>);

impl GrayCurve {
    /// The curve of a profile; `None` if it is corrupt, no gray one, or that of sRGB.
    pub(super) fn new(profile: &[u8]) -> Option<Self> {
        if profile.get(16..20) != Some(b"GRAY") {
            return None;
        }
        let space = match profile.get(20..24)? {
            b"Lab " => Space::Lab,
            b"XYZ " => Space::Xyz,
            _ => return None,
        };
        let lut = [*b"A2B0", *b"A2B1", *b"A2B2"].into_iter().find_map(|name| tag(profile, name));
        let light: Box<dyn Fn(f64) -> f64> = if let Some(lut) = lut.and_then(|tag| Lut::read(tag, space)) {
            Box::new(move |code| lut.light(code))
        } else {
            let (curve, _) = Curve::read(tag(profile, *b"kTRC")?)?;
            Box::new(move |code| space.light(curve.at(code)))
        };
        let encode = |light: f64| {
            let light = light.clamp(0.0, 1.0);
            if light <= 0.003_130_8 { light * 12.92 } else { 1.055 * light.powf(1.0 / 2.4) - 0.055 }
        };
        let codes = (0..=STEPS).map(|step| encode(light(step as f64 / STEPS as f64)));
        let curve: Vec<u16> = codes.map(|code| (code * 65535.0).round() as u16).collect();
        let is_identity =
            curve.iter().enumerate().all(|(step, code)| code.abs_diff((step * 65535 / STEPS) as u16) < 200);
        (!is_identity).then_some(Self(curve))
    }

    pub(super) fn at(&self, code: u16) -> u16 {
        let at = usize::from(code) * STEPS;
        let (step, rest) = (at / 65535, at % 65535);
        let value = |step: usize| self.0.get(step).copied().map_or(u16::MAX.into(), usize::from);
        ((value(step) * (65535 - rest) + value(step + 1) * rest) / 65535) as u16
    }
}

/// A space that profiles connect by.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Space {
    Lab,
    Xyz,
}

impl Space {
    /// The light of a share of the gray axis.
    fn light(self, share: f64) -> f64 {
        match self {
            Self::Xyz => share,
            Self::Lab => {
                let root = (100.0 * share + 16.0) / 116.0;
                if root > 6.0 / 29.0 { root.powi(3) } else { (root - 4.0 / 29.0) * 108.0 / 841.0 }
            }
        }
    }
}

fn tag(profile: &[u8], name: [u8; 4]) -> Option<&[u8]> {
    let count = (be32(profile, 128)? as usize).min(200);
    let at = (0..count).map(|index| 132 + 12 * index).find(|&at| profile.get(at..at + 4) == Some(&name))?;
    let (from, length) = (be32(profile, at + 4)? as usize, be32(profile, at + 8)? as usize);
    profile.get(from..from.checked_add(length)?)
}

/// A curve of one variable, 0 to 1.
enum Curve {
    Table(Vec<f64>),
    /// A power and the six other parameters of parametricCurveType, of any function type.
    Parametric {
        power: f64,
        a: f64,
        b: f64,
        c: f64,
        d: f64,
        e: f64,
        f: f64,
    },
}

impl Curve {
    const fn power(power: f64) -> Self {
        Self::Parametric { power, a: 1.0, b: 0.0, c: 0.0, d: 0.0, e: 0.0, f: 0.0 }
    }

    /// The curve at the beginning of `bytes`, and how many bytes it has.
    fn read(bytes: &[u8]) -> Option<(Self, usize)> {
        match bytes.get(..4)? {
            b"curv" => {
                let count = be32(bytes, 8)? as usize;
                let length = count.checked_mul(2)?.checked_add(12)?;
                let words = bytes.get(12..length)?.as_chunks::<2>().0;
                let curve = match words {
                    [] => Self::power(1.0),
                    [power] => Self::power(f64::from(u16::from_be_bytes(*power)) / 256.0),
                    _ => Self::Table(words.iter().map(|word| share(u16::from_be_bytes(*word))).collect()),
                };
                Some((curve, length))
            }
            b"para" => {
                let count = *[1, 3, 4, 5, 7].get(usize::from(be16(bytes, 8)?))?;
                let number =
                    |index: usize| be32(bytes, 12 + 4 * index).map(|word| f64::from(word as i32) / 65536.0);
                let numbers = (0..count).map(number).collect::<Option<Vec<_>>>()?;
                let curve = match numbers[..] {
                    [power] => Self::power(power),
                    [power, a, b] if a != 0.0 => {
                        Self::Parametric { power, a, b, c: 0.0, d: -b / a, e: 0.0, f: 0.0 }
                    }
                    [power, a, b, c] if a != 0.0 => {
                        Self::Parametric { power, a, b, c: 0.0, d: -b / a, e: c, f: c }
                    }
                    [power, a, b, c, d] => Self::Parametric { power, a, b, c, d, e: 0.0, f: 0.0 },
                    [power, a, b, c, d, e, f] => Self::Parametric { power, a, b, c, d, e, f },
                    _ => return None,
                };
                Some((curve, 12 + 4 * count))
            }
            _ => None,
        }
    }

    fn at(&self, x: f64) -> f64 {
        match self {
            Self::Table(table) => interpolated(table, 1, 0, x),
            Self::Parametric { power, a, b, c, d, e, f } => {
                if x >= *d {
                    (a * x + b).max(0.0).powf(*power) + e
                } else {
                    c * x + f
                }
            }
        }
    }
}

const fn share(value: u16) -> f64 {
    value as f64 / 65535.0
}

/// Channel `channel` of a table with `channels` of them, between its entries.
fn interpolated(table: &[f64], channels: usize, channel: usize, x: f64) -> f64 {
    let last = (table.len() / channels).saturating_sub(1);
    let at = x.clamp(0.0, 1.0) * last as f64;
    let value = |index: usize| table.get(index.min(last) * channels + channel).copied().unwrap_or(0.0);
    let rest = at - at.floor();
    value(at as usize) * (1.0 - rest) + value(at as usize + 1) * rest
}

/// A table from one channel to three: lut8Type, lut16Type and lutAToBType.
struct Lut {
    input: Curve,
    /// Three values an entry.
    table: Vec<f64>,
    /// Of lutAToBType: curves and a matrix, by rows of three factors and an offset.
    middle: Option<([Curve; 3], [f64; 12])>,
    output: [Curve; 3],
    space: Space,
    /// What 1 in the table is, of 100 or of full light.
    full: f64,
}

impl Lut {
    fn read(tag: &[u8], space: Space) -> Option<Self> {
        let &[inputs, outputs, grid] = tag.get(8..11)? else { return None };
        if (inputs, outputs) != (1, 3) {
            return None;
        }
        let xyz = 1.0 + 32767.0 / 32768.0;
        let kind = tag.get(..4)?;
        if kind == b"mAB " {
            return Self::a_to_b(tag, space, if space == Space::Xyz { xyz } else { 1.0 });
        }
        let grid = usize::from(grid);
        let (entries, from, size) = match kind {
            b"mft1" => ((256, 256), 48, 1),
            b"mft2" => ((be16(tag, 48)?.into(), be16(tag, 50)?.into()), 52, 2),
            _ => return None,
        };
        let value = |index: usize| match size {
            1 => tag.get(from + index).map(|&byte| f64::from(byte) / 255.0),
            _ => be16(tag, from + 2 * index).map(share),
        };
        let values = |from: usize, count: usize| (from..from + count).map(value).collect::<Option<Vec<_>>>();
        let (first, last): (usize, usize) = entries;
        let input = Curve::Table(values(0, first)?);
        let table = values(first, 3 * grid)?;
        let output = |channel: usize| Some(Curve::Table(values(first + 3 * grid + channel * last, last)?));
        // 16 bits encode a lightness of 100 as 0xff00.
        let lab = if size == 2 { 65535.0 / 65280.0 } else { 1.0 };
        let full = if space == Space::Xyz { xyz } else { lab };
        Some(Self { input, table, middle: None, output: [output(0)?, output(1)?, output(2)?], space, full })
    }

    fn a_to_b(tag: &[u8], space: Space, full: f64) -> Option<Self> {
        let part = |at: usize| be32(tag, at).map(|offset| offset as usize).filter(|&offset| offset > 0);
        let curves = |offset: usize| {
            let mut at = offset;
            let mut next = || {
                let (curve, length) = Curve::read(tag.get(at..)?)?;
                at += length.next_multiple_of(4);
                Some(curve)
            };
            Some([next()?, next()?, next()?])
        };
        let (a, table) = (part(28)?, part(24)?);
        let (input, _) = Curve::read(tag.get(a..)?)?;
        let (grid, size) = (usize::from(*tag.get(table)?), *tag.get(table + 16)?);
        let value = |index: usize| match size {
            1 => tag.get(table + 20 + index).map(|&byte| f64::from(byte) / 255.0),
            _ => be16(tag, table + 20 + 2 * index).map(share),
        };
        let values = (0..3 * grid).map(value).collect::<Option<Vec<_>>>()?;
        let middle = match (part(20), part(16)) {
            (Some(m), Some(matrix)) => {
                let number =
                    |index: usize| be32(tag, matrix + 4 * index).map(|word| f64::from(word as i32) / 65536.0);
                let mut numbers = [0.0; 12];
                for (index, place) in numbers.iter_mut().enumerate() {
                    *place = number(index)?;
                }
                Some((curves(m)?, numbers))
            }
            _ => None,
        };
        Some(Self { input, table: values, middle, output: curves(part(12)?)?, space, full })
    }

    fn light(&self, code: f64) -> f64 {
        let at = self.input.at(code);
        let mut values: [f64; 3] = std::array::from_fn(|channel| interpolated(&self.table, 3, channel, at));
        if let Some((curves, matrix)) = &self.middle {
            let bent: [f64; 3] = std::array::from_fn(|channel| curves[channel].at(values[channel]));
            values = std::array::from_fn(|row| {
                let products = bent.iter().zip(&matrix[3 * row..]).map(|(value, factor)| value * factor);
                products.sum::<f64>() + matrix[9 + row]
            });
        }
        // Lightness, or Y.
        let channel = if self.space == Space::Lab { 0 } else { 1 };
        self.space.light(self.output[channel].at(values[channel].clamp(0.0, 1.0)) * self.full)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(space: [u8; 4], tags: &[([u8; 4], Vec<u8>)]) -> Vec<u8> {
        let mut bytes = vec![0; 128];
        bytes[16..20].copy_from_slice(b"GRAY");
        bytes[20..24].copy_from_slice(&space);
        bytes.extend((tags.len() as u32).to_be_bytes());
        let mut at = 132 + 12 * tags.len() as u32;
        for (name, data) in tags {
            bytes.extend(name);
            bytes.extend([at, data.len() as u32].map(u32::to_be_bytes).as_flattened());
            at += data.len() as u32;
        }
        tags.iter().for_each(|(_, data)| bytes.extend(data));
        bytes
    }

    fn fixed(values: &[f64]) -> Vec<u8> {
        values.iter().flat_map(|value| ((value * 65536.0).round() as i32).to_be_bytes()).collect()
    }

    fn parametric(kind: u8, values: &[f64]) -> Vec<u8> {
        [b"para\0\0\0\0\0".to_vec(), vec![kind, 0, 0], fixed(values)].concat()
    }

    fn words(values: &[u16]) -> Vec<u8> {
        values.iter().flat_map(|value| value.to_be_bytes()).collect()
    }

    /// The code of 8 bits that 128 becomes.
    fn middle(space: [u8; 4], name: [u8; 4], tag: Vec<u8>) -> Option<u16> {
        GrayCurve::new(&profile(space, &[(name, tag)])).map(|curve| (curve.at(128 * 257) + 128) / 257)
    }

    fn srgb(light: f64) -> u16 {
        ((1.055 * light.powf(1.0 / 2.4) - 0.055) * 255.0).round() as u16
    }

    #[test]
    fn curves_of_every_type() {
        let code: f64 = 128.0 / 255.0;
        let curv = |values: &[u16]| {
            [b"curv\0\0\0\0".to_vec(), (values.len() as u32).to_be_bytes().to_vec(), words(values)].concat()
        };
        for (tag, light) in [
            (curv(&[]), code),
            (curv(&[0x0180]), code.powf(1.5)),
            (curv(&[0, 65535]), code),
            (curv(&[65535, 0]), 1.0 - code),
            (parametric(0, &[1.8]), code.powf(1.8)),
            (parametric(1, &[2.0, 0.5, 0.25]), (0.5 * code + 0.25).powi(2)),
            (parametric(2, &[2.0, 0.5, 0.25, 0.1]), (0.5 * code + 0.25).powi(2) + 0.1),
            (parametric(3, &[2.0, 0.5, 0.25, 0.7, 0.9]), 0.7 * code),
            (parametric(3, &[2.0, 0.5, 0.25, 0.7, 0.1]), (0.5 * code + 0.25).powi(2)),
            (parametric(4, &[2.0, 0.5, 0.25, 0.7, 0.9, 0.2, 0.1]), 0.7 * code + 0.1),
            (parametric(4, &[2.0, 0.5, 0.25, 0.7, 0.1, 0.2, 0.1]), (0.5 * code + 0.25).powi(2) + 0.2),
        ] {
            let rendered = middle(*b"XYZ ", *b"kTRC", tag.clone()).unwrap();
            assert!(rendered.abs_diff(srgb(light)) <= 1, "{tag:?}: {rendered}, not {}", srgb(light));
        }
        let of_srgb = parametric(3, &[2.4, 1.0 / 1.055, 0.055 / 1.055, 1.0 / 12.92, 0.040_45]);
        assert_eq!(middle(*b"XYZ ", *b"kTRC", of_srgb), None);
    }

    #[test]
    fn lightness_by_curves_and_tables() {
        let code: f64 = 128.0 / 255.0;
        let light = ((100.0 * code + 16.0) / 116.0).powi(3);
        let identity = b"curv\0\0\0\0\0\0\0\0".to_vec();
        assert_eq!(middle(*b"Lab ", *b"kTRC", identity.clone()), Some(srgb(light)));
        let head = |kind: &[u8]| [kind, &[0, 0, 0, 0, 1, 3, 2, 0], &[0; 36]].concat();
        // Input and output curves of two entries; a table of black and white.
        let mft2 = [
            head(b"mft2"),
            words(&[2, 2, 0, 65535, 0, 32896, 32896, 0xff00, 32896, 32896]),
            words(&[0, 65535].repeat(3)),
        ];
        assert_eq!(middle(*b"Lab ", *b"A2B0", mft2.concat()), Some(srgb(light)));
        let ramp: Vec<u8> = (0..=255).collect();
        let mft1 = [head(b"mft1"), ramp.clone(), vec![0, 128, 128, 255, 128, 128], ramp.repeat(3)].concat();
        assert_eq!(middle(*b"Lab ", *b"A2B0", mft1), Some(srgb(light)));
        // B curves at 32, a table at 68, an A curve at 100.
        let offsets: Vec<u8> = [32_u32, 0, 0, 68, 100].iter().flat_map(|at| at.to_be_bytes()).collect();
        let table =
            [vec![2], vec![0; 15], vec![2, 0, 0, 0], words(&[0, 32896, 32896, 65535, 32896, 32896])].concat();
        let mab =
            [b"mAB \0\0\0\0\x01\x03\0\0".to_vec(), offsets, identity.repeat(3), table, identity].concat();
        assert_eq!(middle(*b"Lab ", *b"A2B0", mab), Some(srgb(light)));
    }

    #[test]
    fn cut_profiles_are_ignored() {
        let tag = [b"curv\0\0\0\0\0\0\0\x02".to_vec(), words(&[65535, 0])].concat();
        let whole = profile(*b"XYZ ", &[(*b"kTRC", tag)]);
        for length in 0..whole.len() {
            assert!(GrayCurve::new(&whole[..length]).is_none(), "{length}");
        }
    }
}
