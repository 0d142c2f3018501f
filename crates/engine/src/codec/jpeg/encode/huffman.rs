//! Optimal Huffman tables within the limits of JPEG: no code over sixteen bits, and none of all ones (T.81,
//! annexes C and K.2).

/// The longest code.
const LONGEST: usize = 16;

/// A Huffman table as stored in DHT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Table {
    /// The number of codes of each length, from 1 on.
    pub(super) counts: [u8; LONGEST],
    /// The symbols, shortest codes first.
    pub(super) symbols: Vec<u8>,
}

/// A code and its length. Length 0 is no code.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Code {
    pub(super) bits: u16,
    pub(super) length: u8,
}

impl Table {
    /// The optimal table for these frequencies. It has at least one code.
    pub(super) fn optimal(frequencies: &[u32; 256]) -> Self {
        let mut by_frequency: Vec<(u32, u8)> =
            (0..=255).zip(frequencies).filter(|&(_, &f)| f > 0).map(|(symbol, &f)| (f, symbol)).collect();
        if by_frequency.is_empty() {
            by_frequency.push((1, 0));
        }
        by_frequency.sort_unstable();
        // A symbol of frequency 0 reserves the code of all ones.
        let weights = std::iter::once(0).chain(by_frequency.iter().map(|&(f, _)| u64::from(f)));
        let mut counts = depths(weights.collect());
        limit(&mut counts);
        let longest = counts.iter().rposition(|&count| count > 0).expect("two symbols at least have codes");
        counts[longest] -= 1;
        Self {
            counts: std::array::from_fn(|at| counts[at + 1] as u8),
            symbols: by_frequency.iter().rev().map(|&(_, symbol)| symbol).collect(),
        }
    }

    /// The code of each symbol (T.81, C.2).
    pub(super) fn codes(&self) -> [Code; 256] {
        let mut codes = [Code::default(); 256];
        let mut symbols = self.symbols.iter();
        let mut next = 0_u16;
        for (length, &count) in (1..).zip(&self.counts) {
            for &symbol in symbols.by_ref().take(count.into()) {
                codes[usize::from(symbol)] = Code { bits: next, length };
                next += 1;
            }
            next <<= 1;
        }
        codes
    }
}

/// The number of leaves at each depth of the Huffman tree of ascending weights.
fn depths(weights: Vec<u64>) -> Vec<u32> {
    let leaves = weights.len();
    let mut nodes = weights;
    let mut parents = vec![0; 2 * leaves - 1];
    // Joined nodes are ascending too, so the two smallest are at the heads of two queues.
    let (mut leaf, mut joined) = (0, leaves);
    for parent in leaves..2 * leaves - 1 {
        let mut smallest = || {
            let leaf_first = leaf < leaves && (joined == parent || nodes[leaf] <= nodes[joined]);
            let head = if leaf_first { &mut leaf } else { &mut joined };
            *head += 1;
            *head - 1
        };
        let (a, b) = (smallest(), smallest());
        parents[a] = parent;
        parents[b] = parent;
        nodes.push(nodes[a] + nodes[b]);
    }
    // A parent has a higher index than its children: depths are computed from the root down.
    let mut depths = vec![0; 2 * leaves - 1];
    let mut counts = vec![0; leaves.max(LONGEST + 1)];
    for node in (0..2 * leaves - 2).rev() {
        depths[node] = depths[parents[node]] + 1;
        if node < leaves {
            counts[depths[node]] += 1;
        }
    }
    counts
}

/// Shortens codes that are too long, two leaves at a time (T.81, figure K.3).
fn limit(counts: &mut [u32]) {
    for length in (LONGEST + 1..counts.len()).rev() {
        while counts[length] > 0 {
            // One of two siblings replaces their parent; the other and a shorter code become children at the
            // place of that code.
            let shorter = (1..length - 1).rev().find(|&at| counts[at] > 0).expect("a tree has short codes");
            counts[length] -= 2;
            counts[length - 1] += 1;
            counts[shorter] -= 1;
            counts[shorter + 1] += 2;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks the table's codes, and returns the bits that they take in total.
    #[track_caller]
    fn check(frequencies: &[u32; 256]) -> u64 {
        let table = Table::optimal(frequencies);
        let codes = table.codes();
        let mut left = 1_i64 << LONGEST;
        let mut bits = 0;
        for (code, &frequency) in codes.iter().zip(frequencies) {
            assert!(frequency == 0 || code.length > 0, "a symbol without a code");
            assert!(usize::from(code.length) <= LONGEST);
            bits += u64::from(frequency) * u64::from(code.length);
            if code.length > 0 {
                left -= 1 << (LONGEST - usize::from(code.length));
                assert!(u32::from(code.bits) + 1 < 1 << code.length, "a code of all ones");
            }
        }
        assert!(left > 0, "codes do not fit");
        assert_eq!(table.counts.iter().map(|&count| usize::from(count)).sum::<usize>(), table.symbols.len());
        bits
    }

    #[test]
    fn extreme_frequencies_have_valid_codes() {
        check(&[0; 256]);
        check(&[1; 256]);
        check(&[u32::MAX; 256]);
        for used in 1..=256 {
            // Fibonacci numbers and powers give the deepest trees.
            for growth in [1.0_f64, 1.1, 1.618_034, 2.0, 4.0] {
                let mut frequencies = [0; 256];
                for (at, frequency) in frequencies.iter_mut().enumerate().take(used) {
                    *frequency = (growth.powi(at as i32) as u32).max(1);
                }
                check(&frequencies);
                frequencies.reverse();
                check(&frequencies);
            }
        }
    }

    #[test]
    fn a_known_histogram_takes_the_minimum_of_bits() {
        let mut frequencies = [0; 256];
        frequencies[..6].copy_from_slice(&[45, 13, 12, 16, 9, 5]);
        // With the code of all ones reserved, 5 and 9 are one bit deeper.
        assert_eq!(check(&frequencies), 224 + 5);
    }
}
