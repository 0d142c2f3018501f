//! Tables and miscellaneous segments (ITU-T T.81, B.2.4): quantisation and Huffman tables, restart interval;
//! scan headers.

use super::huffman::Codes;
use crate::codec::jpeg::encode::standard_codes;

#[derive(Default)]
pub(super) struct Tables {
    /// Steps in zigzag order.
    pub(super) quantisation: [Option<[u16; 64]>; 4],
    pub(super) dc: [Option<Codes>; 4],
    pub(super) ac: [Option<Codes>; 4],
    /// MCUs between restart markers; 0 for none.
    pub(super) restart: usize,
}

impl Tables {
    /// Applies a segment; those that set no table are ignored.
    pub(super) fn apply(&mut self, marker: u8, body: &[u8]) -> Result<(), String> {
        match marker {
            0xdb => self.quantisation(body),
            0xc4 => self.huffman(body),
            0xdd => {
                let interval = body.first_chunk().ok_or("the restart interval is truncated")?;
                self.restart = u16::from_be_bytes(*interval).into();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Sets the codes of annex K before a scan if the file has none, as in frames of Motion JPEG.
    pub(super) fn complete(&mut self) {
        if self.dc.iter().chain(&self.ac).all(Option::is_none) {
            let codes = standard_codes().map(|(counts, symbols)| Codes::new(&counts, &symbols).ok());
            let [luma_dc, luma_ac, chroma_dc, chroma_ac] = codes;
            (self.dc[0], self.ac[0], self.dc[1], self.ac[1]) = (luma_dc, luma_ac, chroma_dc, chroma_ac);
        }
    }

    /// ITU-T T.81, B.2.4.1.
    fn quantisation(&mut self, mut body: &[u8]) -> Result<(), String> {
        while let Some((&kind, rest)) = body.split_first() {
            let (precision, slot) = (kind >> 4, usize::from(kind & 15));
            let size = if precision == 0 { 64 } else { 128 };
            let slot = self.quantisation.get_mut(slot).ok_or("there are four quantisation tables")?;
            let steps = rest.get(..size).ok_or("a quantisation table is truncated")?;
            *slot = Some(std::array::from_fn(|index| {
                if precision == 0 {
                    steps[index].into()
                } else {
                    u16::from_be_bytes([steps[2 * index], steps[2 * index + 1]])
                }
            }));
            body = &rest[size..];
        }
        Ok(())
    }

    /// ITU-T T.81, B.2.4.2.
    fn huffman(&mut self, mut body: &[u8]) -> Result<(), String> {
        while let Some((&kind, rest)) = body.split_first() {
            let (class, slot) = (kind >> 4, usize::from(kind & 15));
            let (counts, rest) = rest.split_first_chunk::<16>().ok_or("a Huffman table is truncated")?;
            let total = counts.iter().map(|&count| usize::from(count)).sum();
            let symbols = rest.get(..total).ok_or("a Huffman table is truncated")?;
            let tables = if class == 0 { &mut self.dc } else { &mut self.ac };
            let slot = tables.get_mut(slot).ok_or("there are four Huffman tables of each kind")?;
            *slot = Some(Codes::new(counts, symbols).map_err(|why| format!("a Huffman table has {why}"))?);
            body = &rest[total..];
        }
        Ok(())
    }
}

/// A scan header (ITU-T T.81, B.2.3).
#[derive(Debug, Clone)]
pub(super) struct ScanHeader {
    /// For each component of the scan its index in the frame, and its DC and AC tables.
    pub(super) components: Vec<(usize, usize, usize)>,
    /// Ss and Se: the band of the zigzag sequence, first and last index.
    pub(super) ss: usize,
    pub(super) se: usize,
    /// Ah and Al, of successive approximation: the bit position before this scan, 0 for the first, and after it.
    pub(super) ah: u32,
    pub(super) al: u32,
}

impl ScanHeader {
    pub(super) fn read(body: &[u8], frame: &super::frame::Frame, progressive: bool) -> Result<Self, String> {
        let (&count, rest) = body.split_first().ok_or("a scan header is empty")?;
        let (listed, rest) =
            rest.split_at_checked(2 * usize::from(count)).ok_or("a scan header is truncated")?;
        let [first, last, approximation, ..] = *rest else { return Err("a scan header is truncated".into()) };
        let mut components: Vec<(usize, usize, usize)> = Vec::new();
        for &[id, tables] in listed.as_chunks::<2>().0 {
            let unused = |index: &usize| !components.iter().any(|component| component.0 == *index);
            let index = (0..frame.components.len())
                .filter(unused)
                .find(|&index| frame.components[index].spec.id == id)
                .ok_or_else(|| format!("a scan names component {id}, which is not in the frame"))?;
            components.push((index, usize::from(tables >> 4), usize::from(tables & 15)));
        }
        if components.is_empty() {
            return Err("a scan has no component".into());
        }
        let (mut ss, mut se) = (usize::from(first), usize::from(last));
        let (mut ah, mut al) = (u32::from(approximation >> 4), u32::from(approximation & 15));
        if !progressive {
            // Sequential scans have all coefficients; some files declare otherwise.
            (ss, se, ah, al) = (0, 63, 0, 0);
        } else if ss > se
            || se > 63
            || (ss == 0) != (se == 0)
            || al > 13
            || (ah != 0 && ah != al + 1)
            || (ss > 0 && components.len() > 1)
        {
            return Err(format!("a scan of coefficients {first} to {last} with bits {approximation:#04x}"));
        }
        let blocks = components.iter().map(|&(index, ..)| frame.components[index].factors);
        if components.len() > 1 && blocks.map(|(across, down)| across * down).sum::<usize>() > 10 {
            return Err("an MCU of more than ten blocks".into());
        }
        Ok(Self { components, ss, se, ah, al })
    }
}
