//! The inner loop: literals, lengths and distances of a block (RFC 1951, section 3.2.3).

use fearless_simd::Simd;

use super::bit_reader::{BitReader, INPUT, STEP};
use super::huffman::{
    DISTANCE_BITS, END, LINK, SYMBOL_BITS, Tables, base, code_bits, drop_bits, literals, special, value,
};
use super::{Fault, ROOM, WINDOW, copy};

/// Why the inner loop ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LoopEnd {
    /// Not enough input or room for another step.
    Short,
    /// The block ended.
    Block,
}

/// Decodes while there is input and room for any step.
#[inline(always)]
pub(super) fn run<S: Simd>(
    simd: S,
    input: &mut BitReader,
    tables: &Tables,
    window: &mut [u8; WINDOW + copy::OVERRUN],
    written: &mut usize,
) -> Result<LoopEnd, Fault> {
    simd.vectorize(
        #[inline(always)]
        || run_unchecked(input, tables, window, written),
    )
}

#[inline(always)]
fn run_unchecked(
    input: &mut BitReader,
    tables: &Tables,
    window: &mut [u8; WINDOW + copy::OVERRUN],
    written: &mut usize,
) -> Result<LoopEnd, Fault> {
    let BitReader { buffer, at: input_at, end, bits: input_bits, count: input_count, .. } = input;
    let (mut at, mut bits, mut count, mut out) = (*input_at, *input_bits, *input_count, *written);
    let room = WINDOW - ROOM;
    let enough = end.saturating_sub(STEP);
    let symbols = &tables.symbols;
    let look = |bits: u64| symbols[bits as usize & ((1 << SYMBOL_BITS) - 1)];
    macro_rules! refill {
        () => {
            refill(buffer, &mut at, &mut bits, &mut count)
        };
    }
    macro_rules! skip {
        ($entry:expr) => {
            // Only the low six bits of the entry and of the count are used.
            bits >>= $entry & 63;
            count = count.wrapping_sub($entry);
        };
    }
    macro_rules! put {
        ($entry:expr) => {
            copy::store(window, out & (WINDOW - 1), ($entry >> 8).to_le_bytes());
            out += literals($entry);
            skip!($entry);
        };
    }
    if at > enough || out > room {
        return Ok(LoopEnd::Short);
    }
    refill!();
    let mut entry = look(bits);
    let rest = loop {
        if at > enough || out > room {
            break Ok(LoopEnd::Short);
        }
        if literals(entry) > 0 {
            put!(entry);
            entry = look(bits);
            if literals(entry) > 0 {
                put!(entry);
                entry = look(bits);
                if literals(entry) > 0 {
                    put!(entry);
                    entry = look(bits);
                    if literals(entry) > 0 {
                        put!(entry);
                        entry = look(bits);
                        refill!();
                        continue;
                    }
                }
            }
            refill!();
        }
        if let Some(kind) = special(entry) {
            skip!(entry);
            match kind {
                LINK => {
                    let index = bits as usize & ((1 << code_bits(entry)) - 1);
                    entry = tables.more_symbols[base(entry) + index];
                    if literals(entry) > 0 {
                        put!(entry);
                        refill!();
                        entry = look(bits);
                        continue;
                    }
                    if let Some(kind) = special(entry) {
                        skip!(entry);
                        break if kind == END { Ok(LoopEnd::Block) } else { Err(Fault::Code) };
                    }
                }
                END => break Ok(LoopEnd::Block),
                _ => break Err(Fault::Code),
            }
        }
        let length = value(bits, entry);
        skip!(entry);
        let mut reference = tables.distances[bits as usize & ((1 << DISTANCE_BITS) - 1)];
        if let Some(kind) = special(reference) {
            if kind != LINK {
                break Err(Fault::Code);
            }
            skip!(reference);
            let index = bits as usize & ((1 << code_bits(reference)) - 1);
            reference = tables.more_distances[base(reference) + index];
            if special(reference).is_some() {
                break Err(Fault::Code);
            }
        }
        let distance = value(bits, reference);
        skip!(reference);
        if distance > out {
            break Err(Fault::Distance);
        }
        // The next symbol is looked up before the copy, to hide its latency, and before the refill unless too
        // few bits are left.
        if count & 63 < SYMBOL_BITS {
            refill!();
        }
        entry = look(bits);
        refill!();
        copy::copy(window, out, distance, length);
        out += length;
    };
    (*input_at, *input_bits, *input_count, *written) = (at, bits, count & 63, out);
    rest
}

#[inline(always)]
fn refill(input: &[u8; INPUT + STEP], at: &mut usize, bits: &mut u64, count: &mut u32) {
    let next = u64::from_le_bytes(copy::load(input, *at & (INPUT - 1)));
    let have = *count & 63;
    *bits |= next << have;
    *at += ((63 - have) >> 3) as usize;
    *count = have | 56;
}

/// Checked path: decodes symbol by symbol up to the end of the input.
pub(super) fn run_checked(
    input: &mut BitReader,
    tables: &Tables,
    window: &mut [u8; WINDOW + copy::OVERRUN],
    written: &mut usize,
) -> Result<LoopEnd, Fault> {
    while *written <= WINDOW - ROOM {
        input.refill();
        let mut entry = tables.symbols[input.bits as usize & ((1 << SYMBOL_BITS) - 1)];
        if literals(entry) == 0 && special(entry) == Some(LINK) {
            input.skip(drop_bits(entry))?;
            let index = input.bits as usize & ((1 << code_bits(entry)) - 1);
            entry = tables.more_symbols[base(entry) + index];
        }
        let (bits, count) = (input.bits, drop_bits(entry));
        input.skip(count)?;
        if literals(entry) > 0 {
            window[*written..*written + 4].copy_from_slice(&(entry >> 8).to_le_bytes());
            *written += literals(entry);
            continue;
        }
        match special(entry) {
            None => {}
            Some(END) => return Ok(LoopEnd::Block),
            _ => return Err(Fault::Code),
        }
        let length = value(bits, entry);
        input.refill();
        let mut entry = tables.distances[input.bits as usize & ((1 << DISTANCE_BITS) - 1)];
        if special(entry) == Some(LINK) {
            input.skip(drop_bits(entry))?;
            let index = input.bits as usize & ((1 << code_bits(entry)) - 1);
            entry = tables.more_distances[base(entry) + index];
        }
        let bits = input.bits;
        input.skip(drop_bits(entry))?;
        let distance = value(bits, entry);
        if special(entry).is_some() {
            return Err(Fault::Code);
        }
        if distance > *written {
            return Err(Fault::Distance);
        }
        copy::copy(window, *written, distance, length);
        *written += length;
    }
    Ok(LoopEnd::Short)
}
