//! Signature Version 4 against the crate aws-sigv4: what that signs is verified, and after a change to anything signed the
//! endpoint receives nothing, or what it would have received anyway.
//!
//! Known differences, none of which lets anything through:
//! - a path whose escapes are not those of `UriEncode` (lower-case digits, escapes of unreserved characters or of `/`): S3
//!   and this server sign the path decoded and encoded again, aws-sigv4 signs it as it was sent;
//! - tabs and other whitespace than spaces in values of headers: aws-sigv4 signs them as they are; s3s, as botocore, takes
//!   them for spaces, and what is no tab is refused.
//!
//! Signature Version 4 itself leaves open how many spaces there are between two words of a header's value, and in which order
//! parameters are sent.
#![no_main]

use std::{
    borrow::Cow,
    cell::RefCell,
    fmt,
    time::{Duration, SystemTime},
};

use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{
        PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SignatureLocation,
        SigningParams, SigningSettings, UriPathNormalizationMode, sign,
    },
    sign::v4,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request};
use libfuzzer_sys::{
    arbitrary::{Result, Unstructured},
    fuzz_target,
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde_json::json;
use tintype::fuzzing::{Received, Verification};
use tokio::runtime::Runtime;

const ACCESS_KEY_ID: &str = "AKIDEXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI";
const HOST: &str = "s3.example:9000";
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
const PATH: &AsciiSet = &UNRESERVED.remove(b'/');

thread_local! {
    static SERVER: RefCell<(Runtime, Verification)> = RefCell::new((
        tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime"),
        Verification::new(ACCESS_KEY_ID, SECRET),
    ));
}

fuzz_target!(|bytes: &[u8]| {
    let mut input = Unstructured::new(bytes);
    let Ok(sent) = Sent::generate(&mut input) else { return };
    let Some(signed) = sent.signed() else { return };
    let answer = signed.receive();
    if let Some(Err(why)) = &answer {
        let is_mismatch = why.contains("SignatureDoesNotMatch");
        assert!(!is_mismatch || sent.has_known_difference(), "{signed:#?}\n{why}");
    }
    let original = answer.and_then(std::result::Result::ok);

    let mut changed = signed.clone();
    for _ in 0..input.int_in_range(1..=2).unwrap_or(1) {
        if changed.change(&mut input).is_err() {
            return;
        }
    }
    if changed != signed
        && let Some(Ok(received)) = changed.receive()
    {
        let expected = original.as_ref().map(|original| Effect::of(original, &signed));
        assert_eq!(expected, Some(Effect::of(&received, &signed)), "{signed:#?}\n{changed:#?}");
    }
});

/// What of a request is signed and acted on.
#[derive(Debug, PartialEq, Eq)]
struct Effect {
    method: String,
    path: Bytes,
    /// In the order in which it is signed.
    query: Vec<String>,
    headers: Vec<(String, Bytes)>,
    /// Where it is signed.
    body: Option<Bytes>,
}

impl Effect {
    fn of(received: &Received, signed: &Sent) -> Self {
        let names = signed.signed_names();
        // The length is that of the body, which is compared.
        let is_signed = |name: &str| {
            let is_listed = name.starts_with("x-amz-") || names.iter().any(|one| one == name);
            is_listed && name != "content-length"
        };
        let fields = received.headers.iter().filter(|(name, _)| is_signed(name.as_str()));
        let mut headers: Vec<_> =
            fields.map(|(name, value)| (name.to_string(), with_single_spaces(value.as_bytes()))).collect();
        headers.sort();
        let mut query: Vec<_> =
            received.uri.query().unwrap_or_default().split('&').map(str::to_owned).collect();
        query.sort();
        Self {
            method: received.method.to_string(),
            path: percent_decode_str(received.uri.path()).collect(),
            query,
            headers,
            body: (signed.payload == Payload::Signed).then(|| received.body.clone()),
        }
    }
}

fn with_single_spaces(value: &[u8]) -> Bytes {
    let words = value.split(|byte| b" \t".contains(byte)).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(&b' ').into()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Payload {
    Unsigned,
    Signed,
    /// `aws-chunked`, not signed, with a trailer.
    Chunked,
}

/// A request as it is sent.
#[derive(Clone, PartialEq, Eq)]
struct Sent {
    method: String,
    path: String,
    /// Encoded names and values; without the `=` where there is no value.
    query: Vec<(String, Option<String>)>,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
    payload: Payload,
    is_presigned: bool,
}

impl fmt::Debug for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} {}", self.method, self.target())?;
        for (name, value) in &self.headers {
            writeln!(f, "{name}: {}", value.escape_ascii())?;
        }
        writeln!(f, "\n{}\n({:?})", self.body.escape_ascii(), self.payload)
    }
}

const METHODS: [&str; 7] = ["GET", "PUT", "HEAD", "DELETE", "POST", "PATCH", "get"];
const KEYS: [&str; 9] = [
    "a",
    "a b",
    "a+b=c",
    "./../a",
    "//a//",
    "\u{fc}\u{1f4f7}.jpg",
    "a%2Fb",
    "~-_.",
    "!'()*,:@&=+$;[]{}|\\^`\"<>",
];
const PARAMETERS: [&str; 18] = [
    "partNumber",
    "uploadId",
    "uploads",
    "delete",
    "acl",
    "prefix",
    "list-type",
    "response-content-type",
    "response-cache-control",
    "x-id",
    "x-amz-meta-q",
    "X-Amz-Acl",
    "x-amz-copy-source",
    "X-Amz-SignedHeaders",
    "X-Amz-Content-Sha256",
    "",
    "A",
    "a b",
];
const HEADERS: [&str; 16] = [
    "x-amz-meta-a",
    "x-amz-meta-b",
    "x-amz-acl",
    "x-amz-copy-source",
    "x-amz-checksum-mode",
    "x-amz-user-agent",
    "x-amz-storage-class",
    "x-amz-expected-bucket-owner",
    "content-type",
    "content-md5",
    "content-encoding",
    "range",
    "if-match",
    "expect",
    "cookie",
    "date",
];
const VALUES: [&str; 15] = [
    "",
    "1",
    "2",
    "private",
    "/in/a b",
    "/in/a%20b",
    "a,a",
    "a;b",
    "a  b",
    "a\tb",
    "a\u{a0}b",
    " \u{fc}\u{3000}",
    "multipart/form-data; boundary=b",
    "; a=\"\u{fc}\"",
    "tintype",
];

impl Sent {
    fn generate(input: &mut Unstructured<'_>) -> Result<Self> {
        let usual = if input.ratio(1, 16)? { METHODS.len() } else { 5 };
        let method = (*input.choose(&METHODS[..usual])?).to_owned();
        let bucket = *input.choose(&["/in", "/in/", "/in/", "/", "/in%2f", "/i%6e/", "/IN/"])?;
        let key = text(input, &KEYS)?;
        let path = match input.int_in_range(0..=5)? {
            0 => format!("{bucket}{key}"),
            1 => {
                let escaped = key.bytes().map(|byte| format!("%{byte:02x}"));
                format!("{bucket}{}", escaped.collect::<String>())
            }
            _ => format!("{bucket}{}", utf8_percent_encode(&key, PATH)),
        };
        let mut query = Vec::new();
        for _ in 0..input.int_in_range(0..=3)? {
            query.push(parameter(input)?);
        }
        let mut headers = Vec::new();
        for _ in 0..input.int_in_range(0..=4)? {
            let name = *input.choose(&HEADERS)?;
            headers.push((name.to_owned(), text(input, &VALUES)?.into_bytes()));
        }
        headers.push(("host".into(), HOST.into()));
        let is_presigned = input.arbitrary()?;
        if is_presigned {
            // aws-sigv4 leaves them out, so that whoever uses a URL need not send them; here they are refused.
            headers.retain(|(name, _)| !["x-amz-checksum-mode", "x-amz-user-agent"].contains(&name.as_str()));
        }
        let payload = match input.int_in_range(0..=4)? {
            _ if is_presigned => Payload::Unsigned,
            0 | 1 => Payload::Unsigned,
            4 => Payload::Chunked,
            _ => Payload::Signed,
        };
        let length = input.int_in_range(0..=12)?.min(input.len());
        let mut body = input.bytes(length)?.to_vec();
        if payload == Payload::Chunked {
            let length = body.len().to_string();
            headers.push(("x-amz-decoded-content-length".into(), length.into_bytes()));
            headers.push(("x-amz-trailer".into(), b"x-amz-checksum-crc32".to_vec()));
            let mut chunks = Vec::new();
            if !body.is_empty() {
                chunks = [format!("{:x}\r\n", body.len()).as_bytes(), &body, b"\r\n"].concat();
            }
            chunks.extend_from_slice(b"0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n");
            body = chunks;
        }
        if !body.is_empty() || method == "PUT" {
            headers.push(("content-length".into(), body.len().to_string().into_bytes()));
        }
        Ok(Self { method, path, query, headers, body, payload, is_presigned })
    }

    /// With the signature that aws-sigv4 computes, unless that refuses the request.
    fn signed(&self) -> Option<Self> {
        let identity = Credentials::new(ACCESS_KEY_ID, SECRET, None, None, "fuzz").into();
        let mut settings = SigningSettings::default();
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        if self.is_presigned {
            settings.signature_location = SignatureLocation::QueryParams;
            settings.expires_in = Some(Duration::from_secs(900));
            settings.payload_checksum_kind = PayloadChecksumKind::NoHeader;
        }
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region("us-east-1")
            .name("s3")
            .time(SystemTime::now())
            .settings(settings)
            .build()
            .ok()?;
        let parameters = SigningParams::from(parameters);
        let headers = self
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), std::str::from_utf8(value).expect("generated as text")));
        let body = match self.payload {
            Payload::Unsigned => SignableBody::UnsignedPayload,
            Payload::Signed => SignableBody::Bytes(&self.body),
            Payload::Chunked => SignableBody::StreamingUnsignedPayloadTrailer,
        };
        let url = format!("http://{HOST}{}", self.target());
        let request = SignableRequest::new(&self.method, url, headers, body).ok()?;
        let (added, parameters) = sign(request, &parameters).ok()?.into_parts().0.into_parts();
        let mut signed = self.clone();
        for header in added {
            signed.headers.retain(|(name, _)| name != header.name());
            signed.headers.push((header.name().into(), header.value().into()));
        }
        for (name, value) in parameters {
            let value = utf8_percent_encode(&value, UNRESERVED).to_string();
            signed.query.push((name.into(), Some(value)));
        }
        Some(signed)
    }

    /// See the head of this file.
    fn has_known_difference(&self) -> bool {
        let decoded = percent_decode_str(&self.path).decode_utf8_lossy();
        let is_encoded = utf8_percent_encode(&decoded, PATH).to_string() == self.path;
        // Where a character is not escaped that should be, the path as it was sent counts, too.
        let is_raw =
            self.path.bytes().any(|byte| !byte.is_ascii_alphanumeric() && !b"-_.~/%".contains(&byte));
        let has_whitespace = |value: &[u8]| {
            String::from_utf8_lossy(value).chars().any(|one| one.is_whitespace() && one != ' ')
        };
        !is_encoded && !is_raw || self.headers.iter().any(|(_, value)| has_whitespace(value))
    }

    /// Whether a date holds a character below `0`: s3s 0.14.1 subtracts before it looks whether that is a digit, which
    /// ends a program with overflow checks, and comes to nothing without.
    fn has_date_that_overflows(&self) -> bool {
        let values = self.headers.iter().map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value)));
        let parameters = self.query.iter().map(|(name, value)| {
            let value = percent_decode_str(value.as_deref().unwrap_or_default()).decode_utf8_lossy();
            (name.as_str(), value)
        });
        values.chain(parameters).any(|(name, value)| {
            let date = match name {
                "x-amz-date" | "X-Amz-Date" => Some(&*value),
                "authorization" | "X-Amz-Credential" => value.split('/').nth(1),
                _ => None,
            };
            date.is_some_and(|date| date.bytes().any(|byte| byte < b'0'))
        })
    }

    fn target(&self) -> String {
        let pairs = self.query.iter().map(|(name, value)| match value {
            Some(value) => Cow::from(format!("{name}={value}")),
            None => Cow::from(name),
        });
        let pairs: Vec<_> = pairs.collect();
        let separator = if pairs.is_empty() { "" } else { "?" };
        format!("{}{separator}{}", self.path, pairs.join("&"))
    }

    /// What the endpoint receives of it, or why it is refused; nothing if it cannot be sent.
    fn receive(&self) -> Option<std::result::Result<Received, String>> {
        if self.has_date_that_overflows() {
            return None;
        }
        let mut request = Request::new(Bytes::from(self.body.clone()));
        *request.method_mut() = self.method.parse().ok()?;
        *request.uri_mut() = self.target().parse().ok()?;
        for (name, value) in &self.headers {
            // As they come from the connection: without spaces around them.
            let value = HeaderValue::from_bytes(value.trim_ascii()).ok()?;
            request.headers_mut().append(HeaderName::try_from(name).ok()?, value);
        }
        let answer = SERVER.with_borrow(|(runtime, server)| runtime.block_on(server.receive(request)));
        Some(answer.map_err(|(status, body)| {
            assert!(status.is_client_error() || status.as_u16() == 501, "{status} {body}");
            format!("{status} {body}")
        }))
    }

    /// The names in the list of signed headers.
    fn signed_names(&self) -> Vec<String> {
        self.list().split(';').map(str::to_owned).collect()
    }

    /// The list of signed headers.
    fn list(&self) -> String {
        if self.is_presigned {
            let found = self.query.iter().rfind(|(name, _)| name == "X-Amz-SignedHeaders");
            let list = found.and_then(|(_, value)| value.as_deref()).unwrap_or_default();
            return percent_decode_str(list).decode_utf8_lossy().into_owned();
        }
        let authorization = self.headers.iter().find(|(name, _)| name == "authorization");
        let text = authorization.map(|(_, value)| String::from_utf8_lossy(value)).unwrap_or_default();
        let list = text.split("SignedHeaders=").nth(1).unwrap_or_default();
        list.split(',').next().unwrap_or_default().to_owned()
    }

    fn replace_list(&mut self, new: &str) {
        let old = format!("SignedHeaders={}", self.list());
        if self.is_presigned {
            let found = self.query.iter_mut().rfind(|(name, _)| name == "X-Amz-SignedHeaders");
            if let Some((_, value)) = found {
                *value = Some(utf8_percent_encode(new, UNRESERVED).to_string());
            }
        } else if let Some((_, value)) = self.headers.iter_mut().find(|(name, _)| name == "authorization") {
            let text = String::from_utf8_lossy(value);
            *value = text.replace(&old, &format!("SignedHeaders={new}")).into_bytes();
        }
    }

    /// Changes something.
    fn change(&mut self, input: &mut Unstructured<'_>) -> Result<()> {
        let mut names = self.signed_names();
        match input.int_in_range(0..=16)? {
            0 => self.method = (*input.choose(&METHODS)?).to_owned(),
            1 => {
                let mut path = std::mem::take(&mut self.path).into_bytes();
                edit(input, &mut path)?;
                self.path = String::from_utf8_lossy(&path).into_owned();
            }
            2 if !self.query.is_empty() => {
                let at = input.choose_index(self.query.len())?;
                let mut value = self.query[at].1.take().unwrap_or_default().into_bytes();
                edit(input, &mut value)?;
                self.query[at].1 = Some(String::from_utf8_lossy(&value).into_owned());
            }
            3 if !self.query.is_empty() => _ = self.query.remove(input.choose_index(self.query.len())?),
            4 => {
                let at = input.choose_index(self.query.len() + 1)?;
                self.query.insert(at, parameter(input)?);
            }
            5 if !self.query.is_empty() => {
                let at = input.choose_index(self.query.len())?;
                self.query.swap(0, at);
            }
            6 | 7 => {
                let at = input.choose_index(self.headers.len())?;
                edit(input, &mut self.headers[at].1)?;
            }
            8 => _ = self.headers.remove(input.choose_index(self.headers.len())?),
            9 => {
                let name = *input.choose(&HEADERS)?;
                self.headers.push((name.to_owned(), text(input, &VALUES)?.into_bytes()));
            }
            10 => {
                // One value becomes two.
                let at = input.choose_index(self.headers.len())?;
                let (name, value) = self.headers[at].clone();
                if let Some(comma) = value.iter().position(|&byte| byte == b',') {
                    self.headers[at].1 = value[..comma].to_vec();
                    self.headers.insert(at + 1, (name, value[comma + 1..].to_vec()));
                } else {
                    self.headers.push((name, value));
                }
            }
            11 => {
                names.remove(input.choose_index(names.len())?);
                self.replace_list(&names.join(";"));
            }
            12 => {
                let at = input.choose_index(names.len())?;
                names[at] = names[at].to_ascii_uppercase();
                self.replace_list(&names.join(";"));
            }
            13 => {
                let name = match input.arbitrary()? {
                    true => names[input.choose_index(names.len())?].clone(),
                    false => (*input.choose(&HEADERS)?).to_owned(),
                };
                names.insert(input.choose_index(names.len() + 1)?, name);
                self.replace_list(&names.join(";"));
            }
            14 => {
                // A name twice in the list, and half of its value in the request.
                let at = input.choose_index(names.len())?;
                let name = names[at].clone();
                for (_, value) in self.headers.iter_mut().filter(|(other, _)| *other == name) {
                    if let Some(comma) = value.iter().position(|&byte| byte == b',') {
                        value.truncate(comma);
                    }
                }
                names.insert(at, name);
                self.replace_list(&names.join(";"));
            }
            15 => self.become_form(input)?,
            // Another body is another request only where it is signed.
            _ if self.payload == Payload::Signed => edit(input, &mut self.body)?,
            _ => {}
        }
        Ok(())
    }

    /// The request becomes a form upload whose policy is signed, with a content type that may or may not say so.
    fn become_form(&mut self, input: &mut Unstructured<'_>) -> Result<()> {
        let date = self.headers.iter().find(|(name, _)| name == "x-amz-date");
        let date = date.map(|(_, value)| String::from_utf8_lossy(value).into_owned());
        let of_query = self.query.iter().find(|(name, _)| name == "X-Amz-Date");
        let date = date.or_else(|| of_query?.1.clone()).unwrap_or_default();
        let day = date.get(..8).unwrap_or_default();
        let credential = format!("{ACCESS_KEY_ID}/{day}/us-east-1/s3/aws4_request");
        let policy = json!({"expiration": "2099-01-01T00:00:00Z", "conditions": [
            {"x-amz-date": date}, {"x-amz-credential": credential}, {"x-amz-algorithm": "AWS4-HMAC-SHA256"},
        ]});
        let policy = STANDARD.encode(policy.to_string());
        let key = v4::generate_signing_key(SECRET, SystemTime::now(), "us-east-1", "s3");
        let signature = v4::calculate_signature(key, policy.as_bytes());
        let mut body = String::new();
        for (name, value) in [
            ("policy", policy.as_str()),
            ("x-amz-algorithm", "AWS4-HMAC-SHA256"),
            ("x-amz-credential", &credential),
            ("x-amz-date", &date),
            ("x-amz-signature", &signature),
            ("file\"; filename=\"f", "file"),
        ] {
            body += &format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
        }
        body += "--b--\r\n";
        let mut kind = b"multipart/form-data; boundary=b".to_vec();
        edit(input, &mut kind)?;
        self.method = "POST".into();
        self.headers.retain(|(name, _)| !["content-type", "content-length"].contains(&name.as_str()));
        self.headers.push(("content-type".into(), kind));
        self.headers.push(("content-length".into(), body.len().to_string().into_bytes()));
        self.body = body.into_bytes();
        Ok(())
    }
}

fn parameter(input: &mut Unstructured<'_>) -> Result<(String, Option<String>)> {
    let encode = |text: String| match text.is_ascii() {
        true => text.replace('%', "%25").replace('&', "%26").replace('#', "%23").replace(' ', "+"),
        false => utf8_percent_encode(&text, UNRESERVED).to_string(),
    };
    let (name, value) = (text(input, &PARAMETERS)?, text(input, &VALUES)?);
    Ok((encode(name).replace('=', "%3D"), input.ratio(3, 4)?.then(|| encode(value))))
}

/// Mostly one of those that matter.
fn text(input: &mut Unstructured<'_>, known: &[&str]) -> Result<String> {
    if input.ratio(3, 4)? {
        return Ok((*input.choose(known)?).to_owned());
    }
    let length = input.int_in_range(0..=8)?.min(input.len());
    Ok(String::from_utf8_lossy(input.bytes(length)?).into_owned())
}

fn edit(input: &mut Unstructured<'_>, bytes: &mut Vec<u8>) -> Result<()> {
    let at = input.choose_index(bytes.len() + 1)?;
    match input.int_in_range(0..=3)? {
        0 if at < bytes.len() => bytes[at] = input.arbitrary()?,
        1 if at < bytes.len() => _ = bytes.remove(at),
        2 => bytes.insert(at, *input.choose(b"\xff %+&=;,/aA0\t\"")?),
        _ => {
            let text = text(input, &VALUES)?;
            bytes.splice(at..at, text.bytes());
        }
    }
    Ok(())
}
