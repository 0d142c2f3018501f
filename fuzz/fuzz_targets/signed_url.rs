//! Signed URLs: what is signed is verified however it is re-encoded, and a changed one is not; ranges are within the bytes.
#![no_main]

use axum::{body::Body, response::Response};
use http::{HeaderMap, HeaderValue, header};
use libfuzzer_sys::{
    arbitrary::{Result, Unstructured},
    fuzz_target,
};
use tintype_api::{
    set_body,
    settings::SigningKey,
    signed_url::{encoded_path, signed, verified},
};

const EXPIRES_S: i64 = 1000;

fuzz_target!(|bytes: &[u8]| {
    let _ = check(&mut Unstructured::new(bytes));
});

fn check(input: &mut Unstructured<'_>) -> Result<()> {
    let key = SigningKey::new("test", "0123456789abcdef");
    let is_verified = |url: &str| {
        let (path, query) = url.split_once('?').unwrap_or((url, ""));
        verified(path, query, std::slice::from_ref(&key), EXPIRES_S) == Some(EXPIRES_S)
    };
    let path = encoded_path(&format!("/{}", input.arbitrary::<String>()?));
    let parameters: Vec<(String, String)> = input.arbitrary()?;
    let mut names: Vec<&str> = parameters.iter().map(|(name, _)| name.as_str()).collect();
    names.extend(["expires", "signature"]);
    names.sort_unstable();
    let is_unique = names.windows(2).all(|pair| pair[0] != pair[1]);
    let pairs: Vec<_> = parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let url = signed(&key, &path, &pairs, EXPIRES_S);
    assert_eq!(is_verified(&url), is_unique, "{url}");
    if is_unique {
        // As forms encode spaces.
        let (path, query) = url.split_once('?').unwrap_or((&url, ""));
        assert!(is_verified(&format!("{path}?{}", query.replace("%20", "+"))), "{url}");
        assert!(!is_verified(&format!("{url}&another=1")), "{url}");
    }
    // Whatever is sent is refused, or was signed.
    let sent: String = input.arbitrary()?;
    assert!(!is_verified(&sent), "{sent}");

    let content: Vec<u8> = input.arbitrary()?;
    let content = bytes::Bytes::from(content);
    let mut request = HeaderMap::new();
    for name in [header::RANGE, header::IF_RANGE] {
        if let Ok(value) = HeaderValue::from_bytes(input.arbitrary()?) {
            request.insert(name, value);
        }
    }
    let response = set_body(Response::new(Body::empty()), &request, &content);
    let length =
        response.headers()[header::CONTENT_LENGTH].to_str().ok().and_then(|text| text.parse::<usize>().ok());
    assert!(length.is_some_and(|length| length <= content.len()), "{request:?}");
    Ok(())
}
