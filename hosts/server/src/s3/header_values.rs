//! Header values that have only one reading. Signature Version 4 trims values and collapses the spaces in them, and
//! s3s treats every Unicode space as one and an empty value as none: what was signed must be what is done.
//! Source: AWS, "Create a signed AWS API request", canonical headers.

use http::HeaderMap;
use s3s::{S3Result, s3_error};

/// Headers besides `x-amz-*` that an operation acts on, and of which s3s takes the first of two values.
const SINGLE: [&str; 11] = [
    "content-length",
    "content-md5",
    "content-range",
    "content-type",
    "date",
    "expires",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-unmodified-since",
    "range",
];
/// Those of them that mean nothing without a value.
const NOT_EMPTY: [&str; 5] =
    ["content-md5", "if-match", "if-modified-since", "if-none-match", "if-unmodified-since"];

/// # Errors
/// `InvalidArgument` for a header that could be read in more than one way.
pub(super) fn check(headers: &HeaderMap) -> S3Result<()> {
    for name in headers.keys() {
        let name = name.as_str();
        let is_amz = name.starts_with("x-amz-");
        let mut values = headers.get_all(name).iter();
        let (value, more) = (values.next(), values.next());
        if more.is_some() && (is_amz || SINGLE.contains(&name)) {
            return Err(s3_error!(InvalidArgument, "the header {name} was sent more than once"));
        }
        let Some(value) = value else { continue };
        let may_be_empty = name.starts_with("x-amz-meta-") || !is_amz && !NOT_EMPTY.contains(&name);
        if value.is_empty() && name == "content-md5" {
            return Err(s3_error!(InvalidDigest, "The Content-MD5 you specified was invalid: it is empty"));
        }
        if value.is_empty() && !may_be_empty {
            return Err(s3_error!(InvalidArgument, "the header {name} has no value; leave it out"));
        }
        if is_amz {
            check_spaces(name, value.as_bytes())?;
        }
    }
    if headers.get("content-type").is_some_and(|value| !value.as_bytes().is_ascii()) {
        return Err(s3_error!(InvalidArgument, "Content-Type has characters that are not ASCII"));
    }
    let length = headers.get("x-amz-decoded-content-length");
    if length.is_some_and(|length| !length.as_bytes().iter().all(u8::is_ascii_digit)) {
        return Err(s3_error!(InvalidArgument, "x-amz-decoded-content-length is no number of bytes"));
    }
    Ok(())
}

/// A signature does not distinguish a tab from a space, nor one space from two: in a key they name different objects.
fn check_spaces(name: &str, value: &[u8]) -> S3Result<()> {
    // What is no text counts as unsigned.
    let Ok(text) = std::str::from_utf8(value) else { return Ok(()) };
    let has_other_space = text.chars().any(|c| c != ' ' && (c.is_whitespace() || c.is_control()));
    let is_run = name == "x-amz-copy-source" && text.contains("  ");
    if has_other_space || is_run {
        return Err(s3_error!(
            InvalidArgument,
            "the header {name} has spaces that a signature does not distinguish; write them percent-encoded"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_taken(list: &[(&'static str, &str)]) -> bool {
        let mut headers = HeaderMap::new();
        for (name, value) in list {
            headers.append(*name, http::HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        check(&headers).is_ok()
    }

    #[test]
    fn values_that_can_be_read_in_two_ways() {
        assert!(is_taken(&[
            ("x-amz-meta-a", "two  spaces"),
            ("x-amz-meta-b", ""),
            ("cookie", "a"),
            ("cookie", "b")
        ]));
        assert!(is_taken(&[
            ("x-amz-copy-source", "/b/a b"),
            ("expires", ""),
            ("x-amz-decoded-content-length", "12")
        ]));
        for wrong in [
            &[("x-amz-acl", "private"), ("x-amz-acl", "public-read")][..],
            &[("content-md5", "a"), ("content-md5", "b")],
            &[("if-match", "a"), ("if-match", "b")],
            &[("content-type", "a/b"), ("content-type", "c/d")],
            &[("content-type", "multipart/form-data; a=\u{e9}")],
            &[("x-amz-checksum-sha256", "")],
            &[("content-md5", "")],
            &[("if-none-match", "")],
            &[("x-amz-copy-source", "/b/a  b")],
            &[("x-amz-copy-source", "/b/a\tb")],
            &[("x-amz-meta-a", "one\u{3000}two")],
            &[("x-amz-meta-a", "one\ttwo")],
            &[("x-amz-decoded-content-length", "4abc")],
            &[("x-amz-decoded-content-length", "+4")],
        ] {
            assert!(!is_taken(wrong), "{wrong:?}");
        }
    }
}
