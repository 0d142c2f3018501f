//! Upload forms in arbitrary pieces: fields are bounded and of one value each, and what is stored of them can be sent as
//! headers.
#![no_main]

use bytes::Bytes;
use futures::executor::block_on;
use http::{HeaderName, HeaderValue};
use libfuzzer_sys::{arbitrary::Unstructured, fuzz_target};
use tintype::fuzzing::form_fields;

/// S3's bound on the fields before the file, in bytes.
const LARGEST: usize = 20 << 10;

fuzz_target!(|bytes: &[u8]| {
    let mut input = Unstructured::new(bytes);
    let piece = 1 + usize::from(input.arbitrary::<u8>().unwrap_or(0));
    let body = body(&mut input).unwrap_or_else(|_| input.take_rest().to_vec());
    let pieces = body.chunks(piece).map(Bytes::copy_from_slice).collect();
    let form = match block_on(form_fields("b", pieces)) {
        Ok(form) => form,
        Err(why) => return assert!(!why.is_empty()),
    };

    let size: usize = form.list.iter().map(|(name, value)| name.len() + value.len()).sum();
    assert!(size <= LARGEST, "{size} bytes of fields");
    for (index, (name, _)) in form.list.iter().enumerate() {
        assert!(form.list[..index].iter().all(|(other, _)| other != name), "{name} twice");
        assert_eq!(*name, name.to_ascii_lowercase());
    }
    let headers = match form.headers {
        Ok(headers) => headers,
        Err(why) => return assert!(!why.is_empty()),
    };
    let named = [
        headers.content_type,
        headers.cache_control,
        headers.content_disposition,
        headers.content_encoding,
        headers.content_language,
        headers.expires,
    ];
    for value in named.into_iter().flatten() {
        assert!(HeaderValue::from_str(&value).is_ok(), "{value:?}");
    }
    for (name, value) in headers.metadata {
        assert!(HeaderName::try_from(format!("x-amz-meta-{name}")).is_ok(), "{name:?}");
        assert!(HeaderValue::from_str(&value).is_ok(), "{value:?}");
    }
});

const NAMES: [&str; 12] = [
    "key",
    "Content-Type",
    "policy",
    "x-amz-meta-a",
    "X-AMZ-META-B",
    "x-amz-meta-",
    "acl",
    "tagging",
    "x-amz-signature",
    "Expires",
    "x-ignore-a",
    "",
];

/// A form of some fields and a file; or an error where the input is to be the whole body.
fn body(input: &mut Unstructured<'_>) -> Result<Vec<u8>, libfuzzer_sys::arbitrary::Error> {
    if input.ratio(1, 4)? {
        return Err(libfuzzer_sys::arbitrary::Error::NotEnoughData);
    }
    let mut body = Vec::new();
    // Many fields of one length, for the bound on all.
    let repeated = if input.ratio(1, 8)? { input.int_in_range(0..=300)? } else { 0 };
    let length = input.int_in_range(0..=300)?;
    for index in 0..repeated {
        let name = format!("{index:0>length$}");
        field(&mut body, name.as_bytes(), b"", b"");
    }
    for _ in 0..input.int_in_range(0..=6)? {
        let name = match input.ratio(3, 4)? {
            true => input.choose(&NAMES)?.as_bytes(),
            false => piece(input)?,
        };
        let value = piece(input)?;
        field(&mut body, name, b"", value);
    }
    let kind = match input.ratio(1, 2)? {
        true => [b"\r\nContent-Type: ", piece(input)?].concat(),
        false => Vec::new(),
    };
    field(&mut body, b"file\"; filename=\"f", &kind, b"file");
    body.extend_from_slice(input.bytes(input.len())?);
    body.extend_from_slice(b"--b--\r\n");
    Ok(body)
}

fn piece<'a>(input: &mut Unstructured<'a>) -> Result<&'a [u8], libfuzzer_sys::arbitrary::Error> {
    let length = input.int_in_range(0..=40)?.min(input.len());
    input.bytes(length)
}

fn field(body: &mut Vec<u8>, name: &[u8], head: &[u8], value: &[u8]) {
    let parts =
        [b"--b\r\nContent-Disposition: form-data; name=\"", name, b"\"", head, b"\r\n\r\n", value, b"\r\n"];
    parts.iter().for_each(|part| body.extend_from_slice(part));
}
