//! Dates in headers, as people send them. The crate s3s takes one format of dates and refuses all else, where S3 stores any
//! `Expires`, and HTTP ignores conditions on what is no date.
//! Sources: RFC 9110, sections 5.6.7, 13.1.3 and 13.1.4; RFC 5322, section 3.3; AWS, `PutObject`.

use std::time::SystemTime;

use http::{HeaderMap, HeaderName, HeaderValue, header};
use s3s::{S3Result, s3_error};
use time::{OffsetDateTime, UtcOffset, format_description::well_known::Rfc2822, macros::format_description};

/// What a request says in `Expires`: any text, stored with the object as it is.
#[derive(Debug, Clone)]
pub(super) struct Expires(pub(super) String);

/// Takes `Expires` out of a request's headers.
///
/// # Errors
/// `InvalidArgument` if it is no text.
pub(super) fn take_expires(headers: &mut HeaderMap) -> S3Result<Option<Expires>> {
    let Some(value) = headers.remove(header::EXPIRES) else { return Ok(None) };
    let text = std::str::from_utf8(value.as_bytes())
        .map_err(|_| s3_error!(InvalidArgument, "the header Expires is not UTF-8"))?;
    Ok((!text.is_empty()).then(|| Expires(text.to_owned())))
}

/// Writes the dates of conditions in the one format that s3s takes, and removes those that are none.
pub(super) fn normalize_conditions(headers: &mut HeaderMap) {
    for name in [header::IF_MODIFIED_SINCE, header::IF_UNMODIFIED_SINCE] {
        if let Some(value) = headers.remove(&name) {
            let date = value.to_str().ok().and_then(|text| httpdate::parse_http_date(text).ok());
            let written = date.and_then(|date| HeaderValue::from_str(&httpdate::fmt_http_date(date)).ok());
            written.and_then(|value| headers.insert(name, value));
        }
    }
}

/// The header `If-Range`: whether the range still is one of this version.
pub(super) fn is_range_of(headers: &HeaderMap, etag: &str, modified_ms: i64) -> bool {
    let Some(value) = headers.get(header::IF_RANGE) else { return true };
    let Ok(text) = value.to_str() else { return false };
    let text = text.trim();
    if let Some(expected) = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')) {
        return expected == etag;
    }
    // A date is of whole seconds, and no weak ETag is one.
    let seconds = |date: SystemTime| OffsetDateTime::from(date).unix_timestamp();
    httpdate::parse_http_date(text).is_ok_and(|date| seconds(date) == modified_ms.div_euclid(1000))
}

const AMZ_DATE: HeaderName = HeaderName::from_static("x-amz-date");

/// The `x-amz-date` that a request has by its `Date`. Its time is in what is signed, whether a header of it is or not.
#[derive(Debug, Clone, Copy)]
pub(super) struct SignedByDate;

/// Signature Version 4 takes the time from `Date` where there is no `x-amz-date` (AWS, "Create a signed AWS API
/// request"); s3s knows the latter alone. Returns whether the header was added.
pub(super) fn adopt_date(headers: &mut HeaderMap) -> Option<SignedByDate> {
    if headers.contains_key(&AMZ_DATE) || !headers.contains_key(header::AUTHORIZATION) {
        return None;
    }
    let text = headers.get(header::DATE)?.to_str().ok()?;
    let shape = format_description!("[year][month][day]T[hour][minute][second]Z");
    // botocore writes the zone as mail has it.
    let date = httpdate::parse_http_date(text).map(OffsetDateTime::from).ok();
    let date = date.or_else(|| OffsetDateTime::parse(text, &Rfc2822).ok());
    let written = match date {
        Some(date) => date.to_offset(UtcOffset::UTC).format(shape).ok()?,
        None => time::PrimitiveDateTime::parse(text, shape).map(|_| text.to_owned()).ok()?,
    };
    headers.insert(AMZ_DATE, HeaderValue::from_str(&written).ok()?);
    Some(SignedByDate)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(list: &[(HeaderName, &str)]) -> HeaderMap {
        list.iter().map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap())).collect()
    }

    #[test]
    fn conditions_are_dates_in_one_format_or_absent() {
        for date in
            ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"]
        {
            let mut sent = headers(&[(header::IF_MODIFIED_SINCE, date)]);
            normalize_conditions(&mut sent);
            assert_eq!(sent[header::IF_MODIFIED_SINCE], "Sun, 06 Nov 1994 08:49:37 GMT", "{date}");
        }
        for other in ["yesterday", "2030-01-01T00:00:00Z", "0"] {
            let mut sent = headers(&[(header::IF_UNMODIFIED_SINCE, other)]);
            normalize_conditions(&mut sent);
            assert!(sent.is_empty(), "{other}");
        }
    }

    #[test]
    fn expires_is_any_text() {
        let mut sent = headers(&[(header::EXPIRES, "in a fortnight"), (header::DATE, "x")]);
        assert_eq!(take_expires(&mut sent).unwrap().unwrap().0, "in a fortnight");
        assert_eq!(sent.len(), 1);
        assert!(take_expires(&mut headers(&[(header::EXPIRES, "")])).unwrap().is_none());
        let mut binary = HeaderMap::new();
        binary.insert(header::EXPIRES, HeaderValue::from_bytes(b"\xff").unwrap());
        assert!(take_expires(&mut binary).is_err());
    }

    #[test]
    fn a_range_is_of_the_version_that_if_range_names() {
        let is = |value: &str| is_range_of(&headers(&[(header::IF_RANGE, value)]), "abc", 784_111_777_900);
        assert!(is("\"abc\"") && is("Sun, 06 Nov 1994 08:49:37 GMT"));
        for other in ["\"abd\"", "W/\"abc\"", "abc", "Sun, 06 Nov 1994 08:49:38 GMT", "*", ""] {
            assert!(!is(other), "{other}");
        }
        assert!(is_range_of(&HeaderMap::new(), "abc", 0));
    }

    #[test]
    fn the_time_of_a_signature_may_come_from_date() {
        let of = |date: &str| {
            let mut sent = headers(&[(header::AUTHORIZATION, "AWS4-HMAC-SHA256 x"), (header::DATE, date)]);
            let adopted = adopt_date(&mut sent).is_some();
            assert_eq!(adopted, sent.contains_key(AMZ_DATE));
            sent.get(AMZ_DATE).map(|value| value.to_str().unwrap().to_owned())
        };
        assert_eq!(of("Sun, 06 Nov 1994 08:49:37 GMT").unwrap(), "19941106T084937Z");
        assert_eq!(of("Sun, 06 Nov 1994 08:49:37 -0000").unwrap(), "19941106T084937Z");
        assert_eq!(of("Sun, 06 Nov 1994 09:49:37 +0100").unwrap(), "19941106T084937Z");
        assert_eq!(of("19941106T084937Z").unwrap(), "19941106T084937Z");
        assert_eq!(of("Sun, 06 Nov 1994"), None);
        let mut both = headers(&[
            (header::AUTHORIZATION, "x"),
            (AMZ_DATE, "19941106T084937Z"),
            (header::DATE, "Sun, 06 Nov 1995 08:49:37 GMT"),
        ]);
        assert!(adopt_date(&mut both).is_none());
        assert!(adopt_date(&mut headers(&[(header::DATE, "Sun, 06 Nov 1994 08:49:37 GMT")])).is_none());
    }
}
