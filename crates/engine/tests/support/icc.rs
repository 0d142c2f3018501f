//! ICC profiles written in code (ICC.1:2001-04, version 2.4), and their colours in floating point.

#![allow(dead_code, reason = "each test file uses its own part of these")]

/// From device values of 0 to 1 to XYZ relative to D50.
pub(crate) struct MatrixProfile {
    /// XYZ of red, green and blue at full intensity.
    pub(crate) colorants: [[f64; 3]; 3],
    pub(crate) curve: Curve,
}

#[derive(Clone, Copy)]
pub(crate) enum Curve {
    /// A power, as u8Fixed8Number.
    Gamma(u16),
    /// That of sRGB, as a table.
    Srgb,
}

/// Display P3: the primaries of DCI-P3 with D65 adapted to D50, the curve of sRGB.
pub(crate) const DISPLAY_P3: MatrixProfile = MatrixProfile {
    colorants: [[0.51512, 0.24120, -0.00105], [0.29198, 0.69225, 0.04189], [0.15710, 0.06657, 0.78407]],
    curve: Curve::Srgb,
};

/// Adobe RGB (1998): a power of 2 + 51/256.
pub(crate) const ADOBE_RGB: MatrixProfile = MatrixProfile {
    colorants: [[0.60974, 0.31111, 0.01947], [0.20528, 0.62567, 0.06087], [0.14919, 0.06322, 0.74457]],
    curve: Curve::Gamma(0x0233),
};

/// sRGB itself, adapted to D50.
const SRGB: [[f64; 3]; 3] =
    [[0.43607, 0.22249, 0.01392], [0.38515, 0.71687, 0.09708], [0.14307, 0.06061, 0.71410]];

pub(crate) const D50: [f64; 3] = [0.9642, 1.0, 0.8249];

impl MatrixProfile {
    /// The profile's file.
    pub(crate) fn file(&self) -> Vec<u8> {
        let curve = match self.curve {
            Curve::Gamma(power) => [b"curv\0\0\0\0\0\0\0\x01".as_slice(), &power.to_be_bytes()].concat(),
            Curve::Srgb => {
                let mut curve = b"curv\0\0\0\0\0\0\x04\0".to_vec();
                for step in 0..1024 {
                    let value = (linear(f64::from(step) / 1023.0) * 65535.0).round() as u16;
                    curve.extend(value.to_be_bytes());
                }
                curve
            }
        };
        let xyz = |xyz: [f64; 3]| [b"XYZ \0\0\0\0".to_vec(), xyz.map(fixed).concat()].concat();
        let [red, green, blue] = self.colorants.map(xyz);
        file(
            *b"RGB ",
            *b"XYZ ",
            &[
                (*b"rXYZ", red),
                (*b"gXYZ", green),
                (*b"bXYZ", blue),
                (*b"rTRC", curve.clone()),
                (*b"gTRC", curve.clone()),
                (*b"bTRC", curve),
            ],
        )
    }

    /// The XYZ of a colour.
    pub(crate) fn xyz(&self, rgb: [u8; 3]) -> [f64; 3] {
        let light = rgb.map(|code| {
            let value = f64::from(code) / 255.0;
            match self.curve {
                Curve::Gamma(power) => value.powf(f64::from(power) / 256.0),
                Curve::Srgb => linear(value),
            }
        });
        product(&self.colorants, light)
    }
}

/// A press whose Lab is linear in its inks, so that every interpolation gives the same.
pub(crate) struct Press;

impl Press {
    /// Lab of white paper, and the difference by each ink at full coverage.
    const PAPER: [f64; 3] = [96.0, 0.0, 2.0];
    const INKS: [[f64; 3]; 4] =
        [[-22.0, -24.0, -30.0], [-25.0, 48.0, -4.0], [-6.0, -4.0, 52.0], [-38.0, 1.0, -1.0]];

    /// Lab of inks of 0 to 1.
    pub(crate) fn lab(inks: [f64; 4]) -> [f64; 3] {
        std::array::from_fn(|at| {
            Self::PAPER[at] + inks.iter().zip(Self::INKS).map(|(ink, adds)| ink * adds[at]).sum::<f64>()
        })
    }

    /// A profile of class output with a table of 16 corners (lut16Type).
    pub(crate) fn file() -> Vec<u8> {
        let mut table = b"mft2\0\0\0\0\x04\x03\x02\0".to_vec();
        for entry in [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0] {
            table.extend(fixed(entry));
        }
        let line = [0, 2, 0, 2];
        table.extend(line);
        let ends: Vec<u8> = [0_u16, 65535].iter().flat_map(|end| end.to_be_bytes()).collect();
        table.extend(ends.repeat(4));
        for corner in 0..16_u8 {
            let inks = [8, 4, 2, 1].map(|ink| f64::from(u8::from(corner & ink != 0)));
            let [lightness, a, b] = Self::lab(inks);
            for code in [lightness * 652.8, a * 256.0 + 32768.0, b * 256.0 + 32768.0] {
                table.extend((code.round() as u16).to_be_bytes());
            }
        }
        table.extend(ends.repeat(3));
        file(*b"CMYK", *b"Lab ", &[(*b"A2B0", table)])
    }
}

/// A profile of these tags and the required ones.
fn file(space: [u8; 4], connection: [u8; 4], tags: &[([u8; 4], Vec<u8>)]) -> Vec<u8> {
    let mut tags = tags.to_vec();
    let white = [b"XYZ \0\0\0\0".to_vec(), D50.map(fixed).concat()].concat();
    let name = [b"desc\0\0\0\0\0\0\0\x02T\0".as_slice(), &[0; 78]].concat();
    tags.extend([(*b"wtpt", white), (*b"desc", name), (*b"cprt", b"text\0\0\0\0none\0".to_vec())]);
    let class = if space == *b"CMYK" { *b"prtr" } else { *b"mntr" };
    let mut head = vec![0; 128];
    head[8..12].copy_from_slice(&[2, 0x40, 0, 0]);
    head[12..16].copy_from_slice(&class);
    head[16..20].copy_from_slice(&space);
    head[20..24].copy_from_slice(&connection);
    head[24..36].copy_from_slice(&[7, 0xd0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0]);
    head[36..40].copy_from_slice(b"acsp");
    head[68..80].copy_from_slice(&D50.map(fixed).concat());
    let mut table = (tags.len() as u32).to_be_bytes().to_vec();
    let mut data = Vec::new();
    let start = 128 + 4 + 12 * tags.len();
    for (name, tag) in &tags {
        table.extend(name);
        table.extend(((start + data.len()) as u32).to_be_bytes());
        table.extend((tag.len() as u32).to_be_bytes());
        data.extend(tag);
        data.resize(data.len().next_multiple_of(4), 0);
    }
    let mut file = [head, table, data].concat();
    let length = (file.len() as u32).to_be_bytes();
    file[..4].copy_from_slice(&length);
    file
}

fn fixed(value: f64) -> [u8; 4] {
    ((value * 65536.0).round() as i32).to_be_bytes()
}

/// The sRGB codes of an XYZ colour, 0 to 255, clamped per channel in linear light.
pub(crate) fn to_srgb(xyz: [f64; 3]) -> [f64; 3] {
    product(&inverse(&SRGB), xyz).map(|light| {
        let light = light.clamp(0.0, 1.0);
        let value = if light <= 0.003_130_8 { light * 12.92 } else { 1.055 * light.powf(1.0 / 2.4) - 0.055 };
        value * 255.0
    })
}

/// Lab relative to D50 of an sRGB colour in codes.
pub(crate) fn srgb_lab(codes: [f64; 3]) -> [f64; 3] {
    lab(product(&SRGB, codes.map(|code| linear(code / 255.0))))
}

/// XYZ relative to D50 as Lab (CIE 15).
pub(crate) fn lab(xyz: [f64; 3]) -> [f64; 3] {
    let [x, y, z] = std::array::from_fn(|at| {
        let ratio = xyz[at] / D50[at];
        if ratio > 216.0 / 24389.0 { ratio.cbrt() } else { (24389.0 / 27.0 * ratio + 16.0) / 116.0 }
    });
    [116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)]
}

/// The inverse of [`lab`].
pub(crate) fn lab_xyz([lightness, a, b]: [f64; 3]) -> [f64; 3] {
    let y = (lightness + 16.0) / 116.0;
    let roots = [y + a / 500.0, y, y - b / 200.0];
    std::array::from_fn(|at| {
        let root: f64 = roots[at];
        let ratio = if root > 6.0 / 29.0 { root.powi(3) } else { (116.0 * root - 16.0) * 27.0 / 24389.0 };
        ratio * D50[at]
    })
}

/// CIEDE2000 (CIE 142, in the form of Sharma, Wu and Dalal).
pub(crate) fn delta_e([l1, a1, b1]: [f64; 3], [l2, a2, b2]: [f64; 3]) -> f64 {
    let seventh = |c: f64| (c.powi(7) / (c.powi(7) + 25_f64.powi(7))).sqrt();
    let g = 0.5 * (1.0 - seventh(f64::midpoint(a1.hypot(b1), a2.hypot(b2))));
    let (a1, a2) = (a1 * (1.0 + g), a2 * (1.0 + g));
    let (c1, c2) = (a1.hypot(b1), a2.hypot(b2));
    let hue = |a: f64, b: f64| b.atan2(a).to_degrees().rem_euclid(360.0);
    let (h1, h2) = (hue(a1, b1), hue(a2, b2));
    let gray = c1 * c2 == 0.0;
    let turn = match h2 - h1 {
        _ if gray => 0.0,
        turn if turn > 180.0 => turn - 360.0,
        turn if turn < -180.0 => turn + 360.0,
        turn => turn,
    };
    let (dl, dc) = (l2 - l1, c2 - c1);
    let dh = 2.0 * (c1 * c2).sqrt() * (turn / 2.0).to_radians().sin();
    let (l, c) = (f64::midpoint(l1, l2), f64::midpoint(c1, c2));
    let h = match (h1 + h2, (h1 - h2).abs() > 180.0) {
        (sum, _) if gray => sum,
        (sum, false) => sum / 2.0,
        (sum, true) if sum < 360.0 => (sum + 360.0) / 2.0,
        (sum, true) => (sum - 360.0) / 2.0,
    };
    let cos = |degrees: f64| degrees.to_radians().cos();
    let t = 1.0 - 0.17 * cos(h - 30.0) + 0.24 * cos(2.0 * h) + 0.32 * cos(3.0 * h + 6.0)
        - 0.20 * cos(4.0 * h - 63.0);
    let sl = 1.0 + 0.015 * (l - 50.0).powi(2) / (20.0 + (l - 50.0).powi(2)).sqrt();
    let (sc, sh) = (1.0 + 0.045 * c, 1.0 + 0.015 * c * t);
    let rotation = -(60.0 * (-((h - 275.0) / 25.0).powi(2)).exp()).to_radians().sin() * 2.0 * seventh(c);
    let (l, c, h) = (dl / sl, dc / sc, dh / sh);
    (l * l + c * c + h * h + rotation * c * h).sqrt()
}

fn linear(value: f64) -> f64 {
    if value <= 0.040_45 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
}

/// The sum of columns, each times its amount.
fn product(columns: &[[f64; 3]; 3], amounts: [f64; 3]) -> [f64; 3] {
    std::array::from_fn(|row| (0..3).map(|column| columns[column][row] * amounts[column]).sum())
}

fn inverse(columns: &[[f64; 3]; 3]) -> [[f64; 3]; 3] {
    let [a, b, c] = *columns;
    let cross = |u: [f64; 3], v: [f64; 3]| {
        [u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]]
    };
    let rows = [cross(b, c), cross(c, a), cross(a, b)];
    let determinant: f64 = (0..3).map(|at| a[at] * rows[0][at]).sum();
    std::array::from_fn(|column| std::array::from_fn(|row| rows[row][column] / determinant))
}
