//! Copies from earlier output, in steps that may run beyond the end.

use super::WINDOW;

/// Most bytes written beyond the end of a copy.
pub(super) const OVERRUN: usize = 32;

/// By distance: the factor that repeats a period over eight bytes, and how many of these are whole periods.
const REPEAT: [(u64, usize); 8] = [
    (0, 8),
    (0x0101_0101_0101_0101, 8),
    (0x0001_0001_0001_0001, 8),
    (0x0001_0000_0100_0001, 6),
    (0x0000_0001_0000_0001, 8),
    (0x0000_0100_0000_0001, 5),
    (0x0001_0000_0000_0001, 6),
    (0x0100_0000_0000_0001, 7),
];

/// Copies `length` bytes to `to` from `distance` before it, which may overlap. Positions are
/// taken modulo the window, so that the compiler omits bounds checks.
#[inline(always)]
pub(super) fn copy(window: &mut [u8; WINDOW + OVERRUN], to: usize, distance: usize, length: usize) {
    let end = to + length;
    let (mut from, mut to) = (to.wrapping_sub(distance), to);
    if distance >= 32 {
        loop {
            step::<32>(window, from, to);
            from += 32;
            to += 32;
            if to >= end {
                break;
            }
        }
    } else if distance >= 8 {
        while to < end {
            step::<8>(window, from, to);
            from += 8;
            to += 8;
        }
    } else if distance == 1 {
        let value = window[from & (WINDOW - 1)];
        while to < end {
            store(window, to & (WINDOW - 1), [value; 32]);
            to += 32;
        }
    } else {
        let first = u64::from_le_bytes(load(window, from & (WINDOW - 1)));
        let period = first & !(u64::MAX << (8 * distance));
        let (repeat, whole) = REPEAT[distance & 7];
        let repeated = period.wrapping_mul(repeat).to_le_bytes();
        while to < end {
            store(window, to & (WINDOW - 1), repeated);
            to += whole;
        }
    }
}

#[inline(always)]
fn step<const BYTES: usize>(window: &mut [u8; WINDOW + OVERRUN], from: usize, to: usize) {
    let bytes: [u8; BYTES] = load(window, from & (WINDOW - 1));
    store(window, to & (WINDOW - 1), bytes);
}

#[inline(always)]
pub(super) fn load<const BYTES: usize>(from: &[u8], at: usize) -> [u8; BYTES] {
    from[at..at + BYTES].try_into().unwrap_or([0; BYTES])
}

#[inline(always)]
pub(super) fn store<const BYTES: usize>(into: &mut [u8], at: usize, bytes: [u8; BYTES]) {
    into[at..at + BYTES].copy_from_slice(&bytes);
}

/// Moves `from..end` to the start, in steps: `copy_within` takes many times as long.
pub(super) fn move_to_start(window: &mut [u8], from: usize, end: usize) {
    if from == 0 {
        return;
    }
    let mut at = 0;
    while from + at + 64 <= end {
        let bytes: [u8; 64] = load(window, from + at);
        store(window, at, bytes);
        at += 64;
    }
    window.copy_within(from + at..end, at);
}
