//! Coefficients (RFC 6386, section 13), dequantised.

use super::bool_reader::BoolReader;

/// Probabilities of one kind of block.
pub(super) type Kind = [[[u8; 11]; 3]; 17];

/// Coefficients of four neighbouring blocks, a row of all of them after the other: coefficient (x, y) of block `b` is
/// at 16 y + 4 b + x.
pub(super) type FourBlocks = [i16; 64];

/// Where the coefficients of the first of four blocks are, in zigzag order.
const PLACES: [u8; 16] = [0, 1, 16, 32, 17, 2, 3, 18, 33, 48, 49, 34, 19, 35, 50, 51];

/// Probabilities of the additional bits of large values, of categories 3 to 6.
const CATEGORIES: [&[u8]; 4] = [
    &[173, 148, 140],
    &[176, 155, 140, 135],
    &[180, 157, 141, 134, 130],
    &[254, 254, 243, 230, 196, 177, 153, 140, 133, 130, 129],
];

/// Decodes block `block` of four, from coefficient `first` on. Returns the number of coefficients before the end of
/// the block: `first` if there are none.
#[inline(always)]
pub(super) fn decode(
    reader: &mut BoolReader<'_>,
    kind: &Kind,
    context: usize,
    first: usize,
    steps: [i32; 2],
    block: usize,
    four: &mut FourBlocks,
) -> usize {
    // A copy lives in registers.
    let mut local = reader.clone();
    let count = decode_with(&mut local, kind, context, first, steps, block, four);
    *reader = local;
    count
}

#[inline(always)]
fn decode_with(
    reader: &mut BoolReader<'_>,
    kind: &Kind,
    context: usize,
    first: usize,
    steps: [i32; 2],
    block: usize,
    four: &mut FourBlocks,
) -> usize {
    let mut at = first;
    let mut nodes = &kind[at][context];
    loop {
        if !reader.read(nodes[0]) {
            return at;
        }
        while !reader.read(nodes[1]) {
            at += 1;
            if at == 16 {
                return 16;
            }
            nodes = &kind[at][0];
        }
        let (value, context) = if reader.read(nodes[2]) { (large(reader, nodes), 2) } else { (1, 1) };
        let value = reader.read_sign(value);
        four[(usize::from(PLACES[at]) + 4 * block) & 63] = (value * steps[usize::from(at > 0)]) as i16;
        at += 1;
        if at == 16 {
            return 16;
        }
        nodes = &kind[at][context];
    }
}

/// A value above 1.
#[inline(always)]
fn large(reader: &mut BoolReader<'_>, nodes: &[u8; 11]) -> i32 {
    if !reader.read(nodes[3]) {
        if !reader.read(nodes[4]) {
            return 2;
        }
        return 3 + i32::from(reader.read(nodes[5]));
    }
    if !reader.read(nodes[6]) {
        if !reader.read(nodes[7]) {
            return 5 + i32::from(reader.read(159));
        }
        return 7 + 2 * i32::from(reader.read(165)) + i32::from(reader.read(145));
    }
    let high = reader.read(nodes[8]);
    let low = reader.read(nodes[if high { 10 } else { 9 }]);
    let category = 2 * usize::from(high) + usize::from(low);
    let more = CATEGORIES[category].iter().fold(0, |more, &p| 2 * more + i32::from(reader.read(p)));
    3 + (8 << category) + more
}
