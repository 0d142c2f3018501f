//! Length-limited Huffman codes of a block, by the frequencies of its symbols.

/// The lengths of a Huffman code, none longer than `longest`. A single symbol gets one bit.
pub(super) fn lengths(counts: &[u32], longest: usize) -> Vec<u8> {
    let mut lengths = vec![0; counts.len()];
    let mut symbols: Vec<(u32, usize)> = counts
        .iter()
        .enumerate()
        .filter(|&(_, &count)| count > 0)
        .map(|(symbol, &count)| (count, symbol))
        .collect();
    symbols.sort_unstable();
    if let [(_, symbol)] = symbols[..] {
        lengths[symbol] = 1;
    }
    if symbols.len() < 2 {
        return lengths;
    }
    let mut of_length = vec![0_usize; longest + 1];
    for depth in depths(&symbols) {
        of_length[depth.min(longest)] += 1;
    }
    // Shortened codes oversubscribe the code; each step frees the space of one longest code, by lengthening a
    // shorter code, whose sibling becomes one of the longest.
    let mut used: usize = (1..=longest).map(|length| of_length[length] << (longest - length)).sum();
    while used > 1 << longest {
        let Some(length) = (1..longest).rev().find(|&length| of_length[length] > 0) else { break };
        of_length[longest] -= 1;
        of_length[length] -= 1;
        of_length[length + 1] += 2;
        used -= 1;
    }
    let mut rarest = symbols.iter();
    for length in (1..=longest).rev() {
        for &(_, symbol) in rarest.by_ref().take(of_length[length]) {
            lengths[symbol] = length as u8;
        }
    }
    lengths
}

/// The depth of each symbol in the Huffman tree, rarest first.
fn depths(symbols: &[(u32, usize)]) -> Vec<usize> {
    let count = symbols.len();
    // Nodes: the symbols, then the joined ones, which are in ascending order.
    let mut weights: Vec<u64> = symbols.iter().map(|&(count, _)| count.into()).collect();
    let mut parents = vec![0; 2 * count - 1];
    let (mut leaf, mut inner) = (0, count);
    for node in count..2 * count - 1 {
        let mut rarest = || {
            let takes_leaf = leaf < count && (inner >= node || weights[leaf] <= weights[inner]);
            let next = if takes_leaf { &mut leaf } else { &mut inner };
            *next += 1;
            *next - 1
        };
        let (a, b) = (rarest(), rarest());
        weights.push(weights[a] + weights[b]);
        (parents[a], parents[b]) = (node, node);
    }
    let mut depths = vec![0; 2 * count - 1];
    for node in (0..2 * count - 2).rev() {
        depths[node] = depths[parents[node]] + 1;
    }
    depths.truncate(count);
    depths
}

/// The codes of given lengths, first bit lowest (RFC 1951, section 3.2.2).
pub(super) fn codes(lengths: &[u8]) -> Vec<u16> {
    let mut next = 0_u16;
    let mut codes = vec![0; lengths.len()];
    for length in 1..=15 {
        for (code, _) in codes.iter_mut().zip(lengths).filter(|(_, l)| **l == length) {
            *code = next.reverse_bits() >> (16 - length);
            next = next.wrapping_add(1);
        }
        next = next.wrapping_mul(2);
    }
    codes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_complete_and_within_the_limit() {
        // Fibonacci numbers give the deepest trees.
        let mut counts = vec![1_u32, 1];
        while counts.len() < 40 {
            counts.push(counts[counts.len() - 1] + counts[counts.len() - 2]);
        }
        for longest in [7, 9, 15] {
            let lengths = lengths(&counts, longest);
            let used: u32 = lengths.iter().map(|&length| 1 << (longest - usize::from(length))).sum();
            assert_eq!(used, 1 << longest);
            assert!(lengths.is_sorted_by(|a, b| a >= b), "{lengths:?}");
        }
    }

    #[test]
    fn few_symbols() {
        assert_eq!(lengths(&[0, 0, 0], 15), [0, 0, 0]);
        assert_eq!(lengths(&[0, 9, 0], 15), [0, 1, 0]);
        assert_eq!(lengths(&[1, 9, 0], 15), [1, 1, 0]);
        assert_eq!(codes(&[2, 1, 2]), [0b01, 0b0, 0b11]);
    }
}
