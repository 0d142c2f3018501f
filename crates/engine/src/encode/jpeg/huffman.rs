//! Huffman tables made for the picture, within what JPEG allows: no code over sixteen bits and none
//! of ones alone (T.81, annexes C and K.2).

/// The longest code.
const LONGEST: usize = 16;

/// A table as the file holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Table {
    /// How many codes there are of each length from 1.
    pub(super) counts: [u8; LONGEST],
    /// The symbols, those with the shortest codes first.
    pub(super) symbols: Vec<u8>,
}

/// A code and how long it is. Length 0 is no code.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Code {
    pub(super) bits: u16,
    pub(super) length: u8,
}

impl Table {
    /// The table that makes symbols of these frequencies shortest. It has at least one code.
    pub(super) fn optimal(frequencies: &[u32; 256]) -> Self {
        let mut by_frequency: Vec<(u32, u8)> =
            (0..=255).zip(frequencies).filter(|&(_, &f)| f > 0).map(|(symbol, &f)| (f, symbol)).collect();
        if by_frequency.is_empty() {
            by_frequency.push((1, 0));
        }
        by_frequency.sort_unstable();
        // A symbol that never comes takes the place of the code of ones alone.
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

/// How many leaves lie at each depth of the tree that Huffman's method makes of ascending weights.
fn depths(weights: Vec<u64>) -> Vec<u32> {
    let leaves = weights.len();
    let mut nodes = weights;
    let mut parents = vec![0; 2 * leaves - 1];
    // Joined nodes come in ascending order too, so the two smallest stand at the heads of two queues.
    let (mut leaf, mut joined) = (0, leaves);
    for made in leaves..2 * leaves - 1 {
        let mut smallest = || {
            let leaf_first = leaf < leaves && (joined == made || nodes[leaf] <= nodes[joined]);
            let head = if leaf_first { &mut leaf } else { &mut joined };
            *head += 1;
            *head - 1
        };
        let (a, b) = (smallest(), smallest());
        parents[a] = made;
        parents[b] = made;
        nodes.push(nodes[a] + nodes[b]);
    }
    // A parent is made after its children: from the root down, depths are known when they are needed.
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

/// Shortens what is too long, two leaves at a time (T.81, figure K.3).
fn limit(counts: &mut [u32]) {
    for length in (LONGEST + 1..counts.len()).rev() {
        while counts[length] > 0 {
            // Of two siblings one takes their parent's place; the other and a shorter code go below
            // that one's place.
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

    /// Checks the table's codes, and gives how many bits they take in all.
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
                assert!(u32::from(code.bits) + 1 < 1 << code.length, "a code of ones alone");
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
            // Fibonacci's numbers and powers make the deepest trees.
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
    fn a_known_histogram_takes_the_fewest_bits() {
        let mut frequencies = [0; 256];
        frequencies[..6].copy_from_slice(&[45, 13, 12, 16, 9, 5]);
        // With the place of the ones alone taken: 5 and 9 lie one bit deeper than they otherwise would.
        assert_eq!(check(&frequencies), 224 + 5);
    }
}
