//! Packed results: column by column, then deflated. Times are exact to 2.5 %; request ids are stored only for failed
//! attempts.

use std::{collections::HashMap, io::Read as _};

use flate2::{Compression, read::DeflateDecoder, write::DeflateEncoder};
use tintype_telemetry::metrics::{MAX_BUCKET, bounds, bucket};

use super::super::{Entry, Settlement, Thumbnail};

/// The version of the columns; blocks of earlier versions are read as they were written.
const LAYOUT: u8 = 2;
/// The version whose last column, memory, is empty.
const LAYOUT_WITHOUT_MEMORY: u8 = 1;
/// A block that unpacks to more bytes is corrupt.
const MAX_UNPACKED_BYTES: u64 = 32 << 20;
const COLUMNS: usize = 25;

#[derive(Default)]
struct Columns(Vec<Vec<u8>>);

/// Appends a variable-length integer (LEB128).
fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

const fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63).cast_unsigned()
}

const fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

/// For texts with few distinct values: each is written once, then referred to by its number.
#[derive(Default)]
struct Dictionary(HashMap<String, u64>);

impl Dictionary {
    fn put(&mut self, out: &mut Vec<u8>, text: &str) {
        if let Some(number) = self.0.get(text) {
            return put(out, *number);
        }
        let number = self.0.len() as u64 + 1;
        self.0.insert(text.to_owned(), number);
        put(out, 0);
        put_text(out, text);
    }
}

/// Packs results in order, as a stream: an entry is stored in its columns only.
pub(super) struct Packer {
    columns: Columns,
    dictionaries: [Dictionary; 6],
    count: u64,
    last_ms: i64,
    last_key: String,
}

impl Packer {
    pub(super) fn new() -> Self {
        Self {
            columns: Columns(vec![Vec::new(); COLUMNS]),
            dictionaries: Default::default(),
            count: 0,
            last_ms: 0,
            last_key: String::new(),
        }
    }

    pub(super) fn add(&mut self, entry: &Entry) {
        let mut at = 0;
        let mut next = || {
            at += 1;
            at - 1
        };
        let (columns, dictionaries) = (&mut self.columns.0, &mut self.dictionaries);
        self.count += 1;
        put(&mut columns[next()], zigzag(entry.ended_ms - self.last_ms));
        self.last_ms = entry.ended_ms;
        let shared = entry.key.bytes().zip(self.last_key.bytes()).take_while(|(a, b)| a == b).count();
        let shared = (0..=shared).rev().find(|at| entry.key.is_char_boundary(*at)).unwrap_or(0);
        put(&mut columns[next()], shared as u64);
        put_text(&mut columns[next()], &entry.key[shared..]);
        self.last_key.clone_from(&entry.key);
        let latency = entry.queued_ms.map_or(0, |queued| zigzag(entry.ended_ms - queued) + 1);
        put(&mut columns[next()], latency);
        let is_failure = entry.has_failed() || entry.next != Settlement::Done;
        put_text(&mut columns[next()], if is_failure { &entry.request_id } else { "" });
        let texts = [&entry.bucket, &entry.cause, &entry.outcome, &entry.reason, &entry.why];
        for (dictionary, text) in dictionaries.iter_mut().zip(texts) {
            dictionary.put(&mut columns[next()], text);
        }
        put(&mut columns[next()], entry.event.map_or(0, |event| event + 1));
        put(&mut columns[next()], u64::from(entry.attempt));
        put(&mut columns[next()], entry.next as u64);
        for micros in std::iter::once(entry.duration_us).chain(entry.stages_us) {
            put(&mut columns[next()], bucket(micros) as u64);
        }
        put(&mut columns[next()], entry.source_bytes);
        put(&mut columns[next()], entry.thumbnails.len() as u64);
        let (sizes, names, memory) = (next(), next(), next());
        put(&mut columns[memory], entry.memory_mb);
        for thumbnail in &entry.thumbnails {
            for number in [u64::from(thumbnail.width), u64::from(thumbnail.height), thumbnail.bytes] {
                put(&mut columns[sizes], number);
            }
            // Most thumbnails' keys contain their source's: only the template is stored, which has few values.
            let template = key_template(thumbnail, entry);
            dictionaries[5].put(&mut columns[names], &format!("{}/{template}", thumbnail.bucket));
        }
    }

    pub(super) fn finish(self) -> Vec<u8> {
        let mut head = vec![LAYOUT];
        put(&mut head, self.count);
        for column in &self.columns.0 {
            put(&mut head, column.len() as u64);
        }
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::new(6));
        for part in std::iter::once(&head).chain(&self.columns.0) {
            // Writing to a vector cannot fail.
            let _ = std::io::Write::write_all(&mut encoder, part);
        }
        encoder.finish().unwrap_or_default()
    }
}

/// The thumbnail's key with `\0` in place of the source's key, if it contains that.
fn key_template(thumbnail: &Thumbnail, entry: &Entry) -> String {
    match thumbnail.key.find(&entry.key) {
        Some(at) if !entry.key.is_empty() => {
            format!("{}\0{}", &thumbnail.key[..at], &thumbnail.key[at + entry.key.len()..])
        }
        _ => thumbnail.key.clone(),
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn number(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (first, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(first & 0x7F) << shift;
            if first & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    fn text(&mut self) -> Option<String> {
        String::from_utf8(self.bytes()?.to_vec()).ok()
    }

    fn dictionary_text(&mut self, dictionary: &mut Vec<String>) -> Option<String> {
        match self.number()? {
            0 => {
                dictionary.push(self.text()?);
                dictionary.last().cloned()
            }
            number => dictionary.get(usize::try_from(number).ok()? - 1).cloned(),
        }
    }
}

/// The middle of a histogram bucket, which stands for a time in it.
fn middle(number: u64) -> Option<u64> {
    let number = u16::try_from(number).ok().filter(|number| *number <= MAX_BUCKET)?;
    let (low, high) = bounds(number);
    Some(if number == 0 { 0 } else { f64::midpoint(low, high).round() as u64 })
}

/// Unpacks a block; `None` if it is corrupt or of an unknown layout.
pub(super) fn unpack(packed: &[u8]) -> Option<Vec<Entry>> {
    let mut raw = Vec::new();
    DeflateDecoder::new(packed).take(MAX_UNPACKED_BYTES).read_to_end(&mut raw).ok()?;
    let (layout, rest) = raw.split_first()?;
    let has_memory = match *layout {
        LAYOUT => true,
        LAYOUT_WITHOUT_MEMORY => false,
        _ => return None,
    };
    let mut head = Reader(rest);
    let count = usize::try_from(head.number()?).ok()?;
    let mut lengths = [0_usize; COLUMNS];
    for length in &mut lengths {
        *length = usize::try_from(head.number()?).ok()?;
    }
    let mut rest = head.0;
    let mut columns = Vec::with_capacity(COLUMNS);
    for length in lengths {
        let (column, after) = rest.split_at_checked(length)?;
        columns.push(Reader(column));
        rest = after;
    }
    let mut dictionaries: [Vec<String>; 6] = Default::default();
    let (mut ended_ms, mut key) = (0_i64, String::new());
    let mut entries = Vec::with_capacity(count.min(raw.len()));
    for _ in 0..count {
        let mut all = columns.iter_mut();
        let mut next = || all.next();
        ended_ms = ended_ms.checked_add(unzigzag(next()?.number()?))?;
        let shared = usize::try_from(next()?.number()?).ok()?;
        key = format!("{}{}", key.get(..shared)?, next()?.text()?);
        let queued_ms = match next()?.number()? {
            0 => None,
            latency => Some(ended_ms.checked_sub(unzigzag(latency - 1))?),
        };
        let request_id = next()?.text()?;
        let mut texts: [String; 5] = Default::default();
        for (text, dictionary) in texts.iter_mut().zip(&mut dictionaries) {
            *text = next()?.dictionary_text(dictionary)?;
        }
        let [bucket, cause, outcome, reason, why] = texts;
        let event = next()?.number()?.checked_sub(1);
        let attempt = u32::try_from(next()?.number()?).ok()?;
        let settlement = match next()?.number()? {
            0 => Settlement::Done,
            1 => Settlement::Retry,
            _ => Settlement::DeadLetter,
        };
        let duration_us = middle(next()?.number()?)?;
        let mut stages_us = [0; 6];
        for stage in &mut stages_us {
            *stage = middle(next()?.number()?)?;
        }
        let source_bytes = next()?.number()?;
        let renditions = next()?.number()?;
        let (sizes, names, memory) = (next()?, next()?, next()?);
        let memory_mb = if has_memory { memory.number()? } else { 0 };
        let mut thumbnails = Vec::new();
        for _ in 0..renditions {
            let (width, height) = (sizes.number()?, sizes.number()?);
            let bytes = sizes.number()?;
            let name = names.dictionary_text(&mut dictionaries[5])?;
            let (bucket, template) = name.split_once('/')?;
            thumbnails.push(Thumbnail {
                bucket: bucket.to_owned(),
                key: template.replacen('\0', &key, 1),
                width: u32::try_from(width).ok()?,
                height: u32::try_from(height).ok()?,
                bytes,
            });
        }
        entries.push(Entry {
            ended_ms,
            queued_ms,
            bucket,
            key: key.clone(),
            request_id,
            event,
            cause,
            attempt,
            outcome,
            reason,
            why,
            next: settlement,
            duration_us,
            stages_us,
            source_bytes,
            memory_mb,
            thumbnails,
        });
    }
    Some(entries)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn pack(entries: &[Entry]) -> Vec<u8> {
        let mut packer = Packer::new();
        entries.iter().for_each(|entry| packer.add(entry));
        packer.finish()
    }

    pub(in super::super) fn entry(n: u64) -> Entry {
        let failed = n.is_multiple_of(10);
        let scatter = n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
        Entry {
            ended_ms: 1_790_000_000_000 + n as i64 * 100 + (scatter % 90) as i64,
            queued_ms: (!n.is_multiple_of(7)).then(|| 1_790_000_000_000 + n as i64 * 100 - 15),
            bucket: "input-product-images".into(),
            key: format!("raw/ü 2026/IMG_{n:06}.jpg"),
            request_id: format!("{n:032x}"),
            event: failed.then_some(n),
            cause: "ObjectCreated:Put".into(),
            attempt: 1 + (n % 3) as u32,
            outcome: if failed { "failed" } else { "made" }.into(),
            reason: if failed { "malformed" } else { "" }.into(),
            why: if failed { "the JPEG ends inside scan 1".into() } else { String::new() },
            next: if failed { Settlement::DeadLetter } else { Settlement::Done },
            duration_us: 4000 + scatter % 9000,
            stages_us: [
                3,
                900 + scatter % 200,
                2000 + scatter % 4000,
                700 + scatter % 90,
                300,
                2500 + scatter % 999,
            ],
            source_bytes: 200_000 + scatter % 4_000_000,
            memory_mb: 40 + n / 100 % 3,
            thumbnails: vec![Thumbnail {
                bucket: "output-product-thumbnail".into(),
                key: format!("thumb_raw/ü 2026/IMG_{n:06}.jpg"),
                width: 128,
                height: 96,
                bytes: 3000 + scatter % 3000,
            }],
        }
    }

    #[test]
    fn unpacking_restores_what_was_packed() {
        let entries: Vec<Entry> = (0..1000).map(entry).collect();
        let packed = pack(&entries);
        let unpacked = unpack(&packed).unwrap();
        assert_eq!(unpacked.len(), entries.len());
        for (before, after) in entries.iter().zip(&unpacked) {
            let near = |a: u64, b: u64| a.abs_diff(b) as f64 <= a as f64 * 0.026 + 1.0;
            assert!(near(before.duration_us, after.duration_us));
            assert!(before.stages_us.iter().zip(after.stages_us).all(|(a, b)| near(*a, b)));
            let mut rest = before.clone();
            (rest.duration_us, rest.stages_us) = (after.duration_us, after.stages_us);
            if !before.has_failed() {
                rest.request_id.clear();
            }
            assert_eq!(&rest, after);
        }
        assert!(packed.len() < entries.len() * 40, "{} bytes a result", packed.len() / entries.len());
    }

    /// A block of the layout without memory.
    #[test]
    fn blocks_of_the_previous_layout_are_read() {
        let mut entries: Vec<Entry> = (0..3).map(entry).collect();
        entries.iter_mut().for_each(|entry| entry.memory_mb = 0);
        let mut raw = Vec::new();
        DeflateDecoder::new(pack(&entries).as_slice()).read_to_end(&mut raw).unwrap();
        let mut head = Reader(&raw[1..]);
        let count = head.number().unwrap();
        let mut lengths: Vec<u64> = (0..COLUMNS).map(|_| head.number().unwrap()).collect();
        // Each value takes one byte.
        let memory = std::mem::take(lengths.last_mut().unwrap());
        let mut before = vec![LAYOUT_WITHOUT_MEMORY];
        put(&mut before, count);
        lengths.iter().for_each(|length| put(&mut before, *length));
        before.extend_from_slice(&head.0[..head.0.len() - memory as usize]);
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::new(6));
        std::io::Write::write_all(&mut encoder, &before).unwrap();
        assert_eq!(unpack(&encoder.finish().unwrap()), unpack(&pack(&entries)));
    }

    #[test]
    fn corrupt_blocks_are_detected_or_harmless() {
        let packed = pack(&(0..20).map(entry).collect::<Vec<_>>());
        for at in 0..packed.len() {
            let _ = unpack(&packed[..at]);
            let mut flipped = packed.clone();
            flipped[at] ^= 0x55;
            let _ = unpack(&flipped);
        }
    }
}
