//! Signatures of requests to AWS.
//! Source: AWS, "Create a signed AWS API request" (IAM User Guide).

use std::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::{Digest as _, Sha256};
use tintype_pipeline::hex;

/// What a path's segments have as they are.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// The same for a whole path.
const PATH: &AsciiSet = &SEGMENT.remove(b'/');

/// Keys that sign. `Debug` shows no secret.
#[derive(Clone)]
pub struct Keys {
    /// The access key's id.
    pub access_key_id: String,
    /// Its secret.
    pub secret_access_key: String,
    /// The session of a temporary key.
    pub session_token: Option<String>,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("access_key_id", &self.access_key_id).finish_non_exhaustive()
    }
}

/// What is signed of a POST of JSON.
#[derive(Debug, Clone, Copy)]
pub struct Signed<'a> {
    /// Host and port, as the header has them.
    pub host: &'a str,
    /// The path, percent-encoded, as it is sent.
    pub path: &'a str,
    /// The region.
    pub region: &'a str,
    /// The service.
    pub service: &'a str,
    /// The time, `YYYYMMDDTHHMMSSZ`.
    pub time: &'a str,
    /// The body.
    pub body: &'a [u8],
}

/// A segment of a path, percent-encoded.
#[must_use]
pub fn encoded(segment: &str) -> String {
    utf8_percent_encode(segment, SEGMENT).to_string()
}

/// The headers that sign a POST, Host apart.
#[must_use]
pub fn headers(keys: &Keys, request: Signed<'_>) -> Vec<(&'static str, String)> {
    let Signed { host, path, region, service, time, body } = request;
    let date = time.get(..8).unwrap_or(time);
    let mut sent = vec![("content-type", "application/json".to_owned())];
    sent.push(("host", host.to_owned()));
    sent.push(("x-amz-date", time.to_owned()));
    sent.extend(keys.session_token.clone().map(|token| ("x-amz-security-token", token)));
    let names: Vec<_> = sent.iter().map(|(name, _)| *name).collect();
    let names = names.join(";");
    let lines: String = sent.iter().map(|(name, value)| format!("{name}:{}\n", value.trim())).collect();
    // A path is encoded once more than it is sent, but for S3's.
    let path = utf8_percent_encode(path, PATH);
    let digest = hex::encode(&Sha256::digest(body));
    let canonical = format!("POST\n{path}\n\n{lines}\n{names}\n{digest}");
    let scope = format!("{date}/{region}/{service}/aws4_request");
    let text = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", hex::encode(&Sha256::digest(canonical)));
    let mut key = format!("AWS4{}", keys.secret_access_key).into_bytes();
    for part in [date, region, service, "aws4_request"] {
        key = mac(&key, part);
    }
    let signature = hex::encode(&mac(&key, &text));
    let id = &keys.access_key_id;
    sent.retain(|(name, _)| *name != "host");
    sent.push((
        "authorization",
        format!("AWS4-HMAC-SHA256 Credential={id}/{scope}, SignedHeaders={names}, Signature={signature}"),
    ));
    sent
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    // HMAC takes keys of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return Vec::new() };
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The signature that botocore computes of the same request (`e2e/test_alt_text.py` compares others).
    #[test]
    fn a_request_is_signed_as_botocore_signs_it() {
        let keys = Keys {
            access_key_id: "AKIDEXAMPLE".into(),
            secret_access_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".into(),
            session_token: Some("session".into()),
        };
        let request = Signed {
            host: "bedrock-runtime.eu-west-1.amazonaws.com",
            path: &format!("/model/{}/converse", encoded("eu.amazon.nova-lite-v1:0")),
            region: "eu-west-1",
            service: "bedrock",
            time: "20260102T030405Z",
            body: b"{}",
        };
        let headers = headers(&keys, request);
        let authorization = &headers.iter().find(|(name, _)| *name == "authorization").unwrap().1;
        assert_eq!(
            authorization,
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260102/eu-west-1/bedrock/aws4_request, \
             SignedHeaders=content-type;host;x-amz-date;x-amz-security-token, Signature=d47bd34d18d7535f1122e1071649eee7f74782676887288166ecc4cae2d56965"
        );
        assert!(!format!("{keys:?}").contains("wJalr"));
    }
}
