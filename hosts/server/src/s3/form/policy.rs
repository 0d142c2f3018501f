//! The policy of an upload form: signed by whoever may put objects, it defines what the form may contain.
//! Source: AWS, "Creating a POST policy".

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use s3s::{S3Result, s3_error};
use serde_json::Value;
use sha2::Sha256;
use time::OffsetDateTime;

use super::fields::Fields;
use crate::{
    auth::Principal,
    s3::{AccessKeys, signature},
};

/// How large the file may be, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::s3) struct Sizes {
    pub(in crate::s3) min: u64,
    pub(in crate::s3) max: u64,
}

/// Fields that no condition needs to mention.
const EXEMPT: [&str; 3] = ["policy", "x-amz-signature", "file"];

/// Checks signature, time and every condition; returns who signed, and how large the file may be.
pub(in crate::s3) fn check(
    fields: &Fields,
    bucket: &str,
    keys: &AccessKeys,
    now: OffsetDateTime,
) -> S3Result<(Principal, Sizes)> {
    let policy = fields
        .get("policy")
        .ok_or_else(|| s3_error!(AccessDenied, "the form has no policy; without one no object may be put"))?;
    let principal = check_signature(fields, policy, keys)?;
    let malformed = |reason: &str| s3_error!(InvalidPolicyDocument, "Invalid Policy: {reason}");
    let json = STANDARD.decode(policy).map_err(|_| malformed("it is not base64"))?;
    let policy: Value =
        serde_json::from_slice(&json).map_err(|error| malformed(&format!("invalid JSON: {error}")))?;
    let expiration =
        policy.get("expiration").and_then(Value::as_str).ok_or_else(|| malformed("no expiration"))?;
    let expiration = OffsetDateTime::parse(expiration, &time::format_description::well_known::Rfc3339)
        .map_err(|_| malformed("the expiration is no time such as 2030-01-01T00:00:00.000Z"))?;
    if now >= expiration {
        return Err(s3_error!(AccessDenied, "Invalid according to Policy: Policy expired."));
    }
    let list =
        policy.get("conditions").and_then(Value::as_array).ok_or_else(|| malformed("no conditions"))?;
    let mut conditions = Vec::with_capacity(list.len());
    for condition in list {
        conditions.extend(Condition::parse(condition).ok_or_else(|| {
            malformed(&format!("the condition {condition} is none of eq, starts-with, content-length-range"))
        })?);
    }
    Ok((principal, evaluate(fields, bucket, &conditions)?))
}

fn check_signature(fields: &Fields, policy: &str, keys: &AccessKeys) -> S3Result<Principal> {
    if fields.get("signature").is_some() || fields.get("awsaccesskeyid").is_some() {
        return Err(signature::unsupported_mechanism());
    }
    let field = |name: &str| {
        fields
            .get(name)
            .ok_or_else(|| s3_error!(InvalidArgument, "Bucket POST must contain a field named '{name}'."))
    };
    if field("x-amz-algorithm")? != "AWS4-HMAC-SHA256" {
        return Err(s3_error!(InvalidArgument, "X-Amz-Algorithm only supports \"AWS4-HMAC-SHA256\""));
    }
    let credential = field("x-amz-credential")?;
    let parts: Vec<&str> = credential.split('/').collect();
    let &[id, day, region, "s3", "aws4_request"] = parts.as_slice() else {
        return Err(s3_error!(
            InvalidArgument,
            "X-Amz-Credential should be of the form <key>/YYYYMMDD/<region>/s3/aws4_request"
        ));
    };
    if !field("x-amz-date")?.starts_with(day) {
        return Err(s3_error!(InvalidArgument, "X-Amz-Date is of another day than X-Amz-Credential"));
    }
    let secret = keys.secret(id)?;
    let signature = hex(field("x-amz-signature")?);
    let mut signing = format!("AWS4{}", secret.expose()).into_bytes();
    for part in [day, region, "s3", "aws4_request"] {
        signing = mac(&signing, part).finalize().into_bytes().to_vec();
    }
    // Compares in constant time.
    let is_right = signature.is_some_and(|signature| mac(&signing, policy).verify_slice(&signature).is_ok());
    if is_right {
        return Ok(Principal::AccessKey(id.into()));
    }
    Err(s3_error!(
        SignatureDoesNotMatch,
        "The request signature we calculated does not match the signature you provided. Check your key and signing method."
    ))
}

fn mac(key: &[u8], message: &str) -> Hmac<Sha256> {
    #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(message.as_bytes());
    mac
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

/// One condition; names in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Condition {
    Equals(String, String),
    StartsWith(String, String),
    Sizes(Sizes),
}

impl Condition {
    /// The conditions of one entry: an object may contain several.
    fn parse(entry: &Value) -> Option<Vec<Self>> {
        if let Some(object) = entry.as_object() {
            let equal = |(name, value): (&String, &Value)| {
                Some(Self::Equals(name.to_ascii_lowercase(), value.as_str()?.to_owned()))
            };
            return object.iter().map(equal).collect();
        }
        let [kind, first, second] = entry.as_array()?.as_slice() else { return None };
        let kind = kind.as_str()?.to_ascii_lowercase();
        if kind == "content-length-range" {
            let number = |value: &Value| value.as_u64().or_else(|| value.as_str()?.parse().ok());
            return Some(vec![Self::Sizes(Sizes { min: number(first)?, max: number(second)? })]);
        }
        let (name, value) =
            (first.as_str()?.strip_prefix('$')?.to_ascii_lowercase(), second.as_str()?.to_owned());
        match kind.as_str() {
            "eq" => Some(vec![Self::Equals(name, value)]),
            "starts-with" => Some(vec![Self::StartsWith(name, value)]),
            _ => None,
        }
    }

    fn is_met(&self, found: Option<&str>) -> bool {
        match self {
            Self::Equals(_, expected) => found == Some(expected),
            // Each value of a list must begin so.
            Self::StartsWith(name, prefix) if name == "content-type" => {
                found.is_some_and(|found| found.split(',').all(|one| one.trim().starts_with(prefix)))
            }
            Self::StartsWith(_, prefix) => found.unwrap_or_default().starts_with(prefix),
            Self::Sizes(_) => true,
        }
    }
}

fn evaluate(fields: &Fields, bucket: &str, conditions: &[Condition]) -> S3Result<Sizes> {
    let key = fields.key();
    let mut sizes = Sizes { min: 0, max: u64::MAX };
    for condition in conditions {
        let name = match condition {
            Condition::Equals(name, _) | Condition::StartsWith(name, _) => name,
            Condition::Sizes(one) => {
                sizes = Sizes { min: sizes.min.max(one.min), max: sizes.max.min(one.max) };
                continue;
            }
        };
        let found = match name.as_str() {
            "bucket" => Some(bucket),
            "key" => Some(key.as_str()),
            other => fields.get(other),
        };
        if !condition.is_met(found) {
            return Err(s3_error!(
                AccessDenied,
                "Invalid according to Policy: Policy Condition failed: {condition:?}"
            ));
        }
    }
    let mentioned = |name: &str| {
        conditions.iter().any(|condition| match condition {
            Condition::Equals(one, _) | Condition::StartsWith(one, _) => one == name,
            Condition::Sizes(_) => false,
        })
    };
    let extra = fields
        .iter()
        .map(|(name, _)| name)
        .find(|name| !EXEMPT.contains(name) && !name.starts_with("x-ignore-") && !mentioned(name));
    if let Some(name) = extra {
        return Err(s3_error!(AccessDenied, "Invalid according to Policy: Extra input fields: {name}"));
    }
    if !mentioned("bucket") || !mentioned("key") {
        return Err(s3_error!(AccessDenied, "Invalid according to Policy: it names no bucket or no key"));
    }
    Ok(sizes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn evaluated(conditions: &Value, fields: &[(&str, &str)]) -> Result<Sizes, String> {
        let parsed: Option<Vec<_>> = conditions.as_array().unwrap().iter().map(Condition::parse).collect();
        let parsed: Vec<Condition> = parsed.unwrap().into_iter().flatten().collect();
        let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        evaluate(&Fields::new(fields, "photo.jpg").unwrap(), "in", &parsed).map_err(|error| error.to_string())
    }

    #[test]
    fn each_kind_of_condition() {
        let base = [("key", "user/${filename}"), ("content-type", "image/jpeg")];
        let with = |condition: Value| {
            let rest = json!([{"bucket": "in"}, ["starts-with", "$key", "user/"], ["starts-with", "$Content-Type", "image/"]]);
            let mut all = rest.as_array().unwrap().clone();
            all.push(condition);
            evaluated(&all.into(), &base)
        };
        assert!(with(json!(["eq", "$key", "user/photo.jpg"])).is_ok());
        assert_eq!(with(json!(["content-length-range", 1, "10"])), Ok(Sizes { min: 1, max: 10 }));
        for wrong in [
            json!({"bucket": "other"}),
            json!(["eq", "$key", "user/other.jpg"]),
            json!(["starts-with", "$key", "other/"]),
            json!({"Content-Type": "image/png"}),
            json!({"x-amz-meta-a": "needed"}),
        ] {
            assert!(with(wrong.clone()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn every_field_needs_a_condition() {
        let conditions = json!([{"bucket": "in"}, {"key": "a.jpg"}]);
        assert!(evaluated(&conditions, &[("key", "a.jpg"), ("x-ignore-this", "1"), ("policy", "p")]).is_ok());
        assert!(evaluated(&conditions, &[("key", "a.jpg"), ("x-amz-meta-b", "1")]).is_err());
        assert!(evaluated(&conditions, &[("key", "a.jpg"), ("content-type", "text/html")]).is_err());
        assert!(evaluated(&json!([{"key": "a.jpg"}]), &[("key", "a.jpg")]).is_err());
        assert!(evaluated(&json!([{"bucket": "in"}]), &[]).is_err());
    }

    #[test]
    fn what_is_no_condition() {
        for wrong in [
            json!(["eq", "key", "a"]),
            json!(["like", "$key", "a"]),
            json!(["content-length-range", "x", 1]),
            json!(["eq", "$key"]),
            json!({"key": 1}),
            json!("key"),
        ] {
            assert_eq!(Condition::parse(&wrong), None, "{wrong}");
        }
    }
}
