//! PQ and HLG (ITU-R BT.2100) to sRGB: display light, its peak mapped to that of SDR (BT.2390), and the primaries
//! converted.

use moxcms::{CicpProfile, ColorProfile, TransferCharacteristics};

/// The light of SDR white, and the peak that images are taken to be graded for, in cd/m² (BT.2408).
const WHITE: f32 = 203.0;
const PEAK: f32 = 1000.0;

/// Converts pixels of an HDR space.
pub(super) struct HdrTransform {
    hlg: bool,
    /// From light in the primaries of the image to light in those of sRGB.
    matrix: [[f32; 3]; 3],
    luma: [f32; 3],
}

impl HdrTransform {
    /// For code points (ITU-T H.273) of PQ or HLG; `None` for others.
    pub(super) fn new(cicp: CicpProfile) -> Option<Self> {
        let hlg = match cicp.transfer_characteristics {
            TransferCharacteristics::Smpte2084 => false,
            TransferCharacteristics::Hlg => true,
            _ => return None,
        };
        let profile = ColorProfile::new_from_cicp(cicp);
        let columns = [profile.red_colorant, profile.green_colorant, profile.blue_colorant];
        if columns.iter().all(|column| column.y == 0.0) {
            return None;
        }
        let columns = columns.map(|column| [column.x, column.y, column.z].map(|value| value as f32));
        let matrix = super::XYZ_TO_SRGB.map(|row| {
            columns.map(|column| row.iter().zip(column).map(|(factor, value)| factor * value).sum())
        });
        Some(Self { hlg, matrix, luma: columns.map(|column| column[1]) })
    }

    pub(super) fn convert(&self, pixel: [u16; 3]) -> [u16; 3] {
        let codes = pixel.map(|code| f32::from(code) / 65535.0);
        // In cd/m².
        let light = if self.hlg { self.hlg_light(codes) } else { codes.map(pq_light) };
        let brightest = light.iter().copied().fold(0.0, f32::max);
        if brightest <= 0.0 {
            return [0; 3];
        }
        // By the brightest channel, so that hues stay.
        let scale = compressed(brightest) / brightest / WHITE;
        let encode = crate::light::encoder();
        self.matrix.map(|row| {
            let light: f32 = row.iter().zip(light).map(|(factor, light)| factor * light * scale).sum();
            encode((light * crate::light::LIGHT as f32 + 0.5) as i32)
        })
    }

    /// The inverse OETF of HLG, and the OOTF of a display of [`PEAK`].
    fn hlg_light(&self, codes: [f32; 3]) -> [f32; 3] {
        let scene = codes.map(|code| {
            if code <= 0.5 {
                code * code / 3.0
            } else {
                (((code - 0.559_910_7) / 0.178_832_77).exp() + 0.284_668_92) / 12.0
            }
        });
        let luma: f32 = scene.iter().zip(self.luma).map(|(light, share)| light * share).sum();
        let factor = PEAK * luma.max(0.0).powf(0.2);
        scene.map(|light| light * factor)
    }
}

const M1: f32 = 2610.0 / 16384.0;
const M2: f32 = 2523.0 / 32.0;
const C1: f32 = 3424.0 / 4096.0;
const C2: f32 = 2413.0 / 128.0;
const C3: f32 = 2392.0 / 128.0;

/// The EOTF of PQ, in cd/m².
fn pq_light(code: f32) -> f32 {
    let root = code.powf(1.0 / M2);
    10_000.0 * ((root - C1).max(0.0) / (C2 - C3 * root)).powf(1.0 / M1)
}

fn pq_code(light: f32) -> f32 {
    let power = (light / 10_000.0).powf(M1);
    ((C1 + C2 * power) / (1.0 + C3 * power)).powf(M2)
}

/// Light up to [`PEAK`] to light up to [`WHITE`]: the EETF of BT.2390, which leaves dark tones as they are.
fn compressed(light: f32) -> f32 {
    let peak = pq_code(PEAK);
    let code = (pq_code(light) / peak).min(1.0);
    let most = pq_code(WHITE) / peak;
    let knee = 1.5 * most - 0.5;
    let code = if code < knee {
        code
    } else {
        let t = (code - knee) / (1.0 - knee);
        let (square, cube) = (t * t, t * t * t);
        (2.0 * cube - 3.0 * square + 1.0) * knee
            + (cube - 2.0 * square + t) * (1.0 - knee)
            + (3.0 * square - 2.0 * cube) * most
    };
    pq_light(code * peak)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pq_follows_the_standard() {
        // SMPTE ST 2084: code values of 100 and 1000 cd/m².
        for (light, code) in [(100.0, 0.508_1), (1000.0, 0.751_8), (10_000.0, 1.0)] {
            assert!((pq_code(light) - code).abs() < 0.000_2, "{light}");
            assert!((pq_light(code) / light - 1.0).abs() < 0.005, "{light}");
        }
    }

    #[test]
    fn tones_are_compressed_in_order() {
        assert!((compressed(PEAK) - WHITE).abs() < 0.5);
        assert!((compressed(50.0) - 50.0).abs() < 0.1);
        let mut before = 0.0;
        for light in 1..4000 {
            let after = compressed(light as f32);
            assert!(after >= before - 0.01 && after <= WHITE + 0.5, "{light}: {after}");
            before = after;
        }
    }
}
