//! The framing of `aws-chunked` bodies: the same verdict in whatever pieces, and that of a reading of the whole.
#![no_main]

use libfuzzer_sys::{arbitrary::Unstructured, fuzz_target};
use tintype::fuzzing::has_final_chunk;

fuzz_target!(|bytes: &[u8]| {
    let mut input = Unstructured::new(bytes);
    let Ok(cuts) = input.arbitrary::<[u8; 4]>() else { return };
    let is_well_formed = input.arbitrary().unwrap_or(false);
    let rest = input.take_rest();
    let body = if is_well_formed { well_formed(rest) } else { rest.to_vec() };

    let verdict = has_final_chunk(&[&body]);
    assert_eq!(verdict, has_final_chunk(&body.chunks(1).collect::<Vec<_>>()), "byte by byte");
    let (mut pieces, mut left) = (Vec::new(), &body[..]);
    for cut in cuts {
        let (piece, rest) = left.split_at(left.len().min(cut.into()));
        pieces.push(piece);
        left = rest;
    }
    pieces.push(left);
    assert_eq!(verdict, has_final_chunk(&pieces), "in pieces");
    if let Some(expected) = ends_in_final_chunk(&body) {
        assert_eq!(verdict, expected, "{:?}", String::from_utf8_lossy(&body));
    }
});

/// Chunks of the input's bytes; it decides their sizes, extensions, and where the body is cut off.
fn well_formed(bytes: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    let mut input = Unstructured::new(bytes);
    while let Ok(size) = input.int_in_range(0..=40) {
        let data = input.bytes(size.min(input.len())).unwrap_or_default();
        let extension = if input.arbitrary().unwrap_or(false) { ";chunk-signature=00" } else { "" };
        let size = match input.int_in_range(0..=2) {
            Ok(1) => format!("{:X}", data.len()),
            Ok(2) => format!("{:04x}", data.len()),
            _ => format!("{:x}", data.len()),
        };
        body.extend_from_slice(format!("{size}{extension}\r\n").as_bytes());
        body.extend_from_slice(data);
        body.extend_from_slice(b"\r\n");
        if data.is_empty() && input.is_empty() {
            break;
        }
    }
    let cut = bytes.first().map_or(0, |&cut| usize::from(cut % 8));
    body.truncate(body.len() - cut.min(body.len()));
    body
}

/// Whether a body has a final chunk, read as a whole; nothing of a body that is no series of chunks.
fn ends_in_final_chunk(mut body: &[u8]) -> Option<bool> {
    loop {
        let Some(end) = body.windows(2).position(|pair| pair == b"\r\n") else {
            // Cut off in a head: what there is of it must be one.
            let head = std::str::from_utf8(body).ok()?.trim_end_matches('\r');
            let is_head = size(head.split(';').next()?).is_some() && !head.contains(['\r', '\n']);
            return (body.is_empty() || is_head).then_some(false);
        };
        let head = std::str::from_utf8(&body[..end]).ok()?;
        if head.contains(['\r', '\n']) {
            return None;
        }
        let size = size(head.split(';').next()?)?;
        if size == 0 {
            return Some(true);
        }
        let (data, line_end) = (body.get(end + 2..)?, usize::try_from(size).ok()?);
        if data.len() < line_end.checked_add(2)? {
            return Some(false);
        }
        if &data[line_end..line_end + 2] != b"\r\n" {
            return None;
        }
        body = &data[line_end + 2..];
    }
}

/// A chunk's size: hexadecimal digits and nothing else.
fn size(digits: &str) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_number.then(|| u64::from_str_radix(digits, 16).ok())?
}
