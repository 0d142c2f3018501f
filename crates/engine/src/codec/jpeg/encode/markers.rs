//! The segments around the entropy-coded data (T.81, annex B; JFIF, T.871).

use super::huffman::Table;
use super::layout::Layout;
use super::quantisation::{Steps, ZIGZAG};

/// How the frame is coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Process {
    Baseline,
    Progressive,
}

/// SOI and the JFIF header: version 1.01, square pixels, no thumbnail.
pub(super) fn start(file: &mut Vec<u8>) {
    file.extend_from_slice(b"\xff\xd8");
    segment(file, 0xe0, b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0");
}

/// The quantisation tables (DQT).
pub(super) fn quantisation(file: &mut Vec<u8>, tables: &[Steps]) {
    let body: Vec<u8> = (0..)
        .zip(tables)
        .flat_map(|(id, steps)| std::iter::once(id).chain(ZIGZAG.map(|at| steps[usize::from(at)])))
        .collect();
    segment(file, 0xdb, &body);
}

/// The frame header (SOF). Luma has the first quantisation table, chroma the last of `tables`.
pub(super) fn frame(file: &mut Vec<u8>, layout: Layout, process: Process, tables: usize) {
    let [width, height] = [layout.width, layout.height].map(|side| (side as u16).to_be_bytes());
    let mut body = vec![8, height[0], height[1], width[0], width[1], layout.components() as u8];
    for index in 0..layout.components() {
        let factor = layout.factor(index) as u8;
        body.extend([index as u8 + 1, factor << 4 | factor, index.min(tables - 1).min(1) as u8]);
    }
    let marker = match process {
        Process::Baseline => 0xc0,
        Process::Progressive => 0xc2,
    };
    segment(file, marker, &body);
}

/// Huffman tables (DHT): class (0 for DC, 1 for AC), destination and contents.
pub(super) fn codes<'a>(file: &mut Vec<u8>, tables: impl IntoIterator<Item = (u8, u8, &'a Table)>) {
    let mut body = Vec::new();
    for (class, id, table) in tables {
        body.push(class << 4 | id);
        body.extend_from_slice(&table.counts);
        body.extend_from_slice(&table.symbols);
    }
    segment(file, 0xc4, &body);
}

/// A scan header (SOS): the components with their DC and AC tables, the spectral selection, and the successive
/// approximation, high and low.
pub(super) fn scan(file: &mut Vec<u8>, components: &[(usize, u8, u8)], band: (u8, u8), bits: (u8, u8)) {
    let mut body = vec![components.len() as u8];
    for &(index, dc, ac) in components {
        body.extend([index as u8 + 1, dc << 4 | ac]);
    }
    body.extend([band.0, band.1, bits.0 << 4 | bits.1]);
    segment(file, 0xda, &body);
}

/// EOI.
pub(super) fn end(file: &mut Vec<u8>) {
    file.extend_from_slice(b"\xff\xd9");
}

fn segment(file: &mut Vec<u8>, marker: u8, body: &[u8]) {
    file.extend([0xff, marker]);
    file.extend((body.len() as u16 + 2).to_be_bytes());
    file.extend_from_slice(body);
}
