//! Heads of object files, with the checksum made right first: an answer for any bytes, and what is read is written again
//! as it was.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tintype::fuzzing::object_file_head;

const FIXED: usize = 24;
/// A head with everything in it is well below this many bytes.
const LARGEST: usize = 128 << 10;

fuzz_target!(|bytes: &[u8]| {
    let mut file = bytes.to_vec();
    // Most inputs have the head that every file has; what they say begins behind it.
    if let [first, ..] = bytes
        && first % 8 != 0
    {
        let json = json(&bytes[1..]);
        file = [&b"TINTYPE\n\x01\0\0\0"[..], &[0; 12], &json].concat();
        let begins = serde_json::from_slice::<serde_json::Value>(&json).ok();
        let begins = begins.and_then(|json| json["record"]["body_offset"].as_u64());
        file[12..16].copy_from_slice(&(begins.unwrap_or(512) as u32).to_le_bytes());
        file[16..20].copy_from_slice(&(json.len() as u32).to_le_bytes());
    }
    if let Some(json) = json_of(&file) {
        let sum = crc32c(&[&file[..20], json]);
        file[20..24].copy_from_slice(&sum.to_le_bytes());
    }
    match object_file_head(&file) {
        Err(why) => assert!(!why.is_empty()),
        Ok((begins, head)) => {
            assert!(head.len() <= LARGEST, "{} bytes", head.len());
            assert_eq!(begins, head.len() as u64);
            assert_eq!(object_file_head(&head), Ok((begins, head)));
        }
    }
});

/// The input in place of the values of a head that can be read: `%` stands for the next of them.
fn json(bytes: &[u8]) -> Vec<u8> {
    if bytes.first().is_some_and(|first| first % 2 == 0) {
        return bytes[1..].to_vec();
    }
    let template = r#"{"bucket":"%","key":"%","record":{"order":%,"size":%,"etag":"%","modified_ms":%,"crc64":%,"body_offset":%,"parts":%,"headers":{"content_type":"%","metadata":{"%":"%"}},"checksums":{}}}"#;
    let mut values = bytes.get(1..).unwrap_or_default().split(|&byte| byte == b'|');
    let mut json = Vec::new();
    for &byte in template.as_bytes() {
        match byte {
            b'%' => json.extend_from_slice(values.next().filter(|value| !value.is_empty()).unwrap_or(b"1")),
            byte => json.push(byte),
        }
    }
    json
}

fn json_of(file: &[u8]) -> Option<&[u8]> {
    let length = u32::from_le_bytes(file.get(16..20)?.try_into().ok()?);
    file.get(FIXED..)?.get(..usize::try_from(length).ok()?)
}

/// CRC-32C, bit by bit.
fn crc32c(parts: &[&[u8]]) -> u32 {
    let mut sum = u32::MAX;
    for byte in parts.iter().copied().flatten() {
        sum ^= u32::from(*byte);
        for _ in 0..8 {
            sum = sum >> 1 ^ if sum & 1 == 1 { 0x82F6_3B78 } else { 0 };
        }
    }
    !sum
}
