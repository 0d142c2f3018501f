//! POST of `/uploads`: a form by which a browser uploads one image straight to the source bucket.
//! Sources: AWS, "Creating a POST policy"; "Authenticating requests in browser-based uploads using POST
//! (AWS Signature Version 4)".

use axum::{
    extract::{Request, State},
    http::StatusCode,
    response::Response,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use sha2::Sha256;
use time::{Duration, OffsetDateTime, macros::format_description};
use tintype_pipeline::{ObjectKey, format_by_name};
use utoipa::ToSchema;

use crate::{
    Api, FormSigner, Host,
    answer::{self, message},
    body,
    openapi::UploadForm,
    query::MatchedTrigger,
    refusals::UploadsRefusals,
    routes::UPLOADS,
};

/// The default and the longest validity of a form, in seconds.
const EXPIRES_S: u32 = 900;
const LONGEST_S: u32 = 3600;

/// A request for an upload form.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = UploadWish)]
#[serde(deny_unknown_fields)]
pub(crate) struct UploadFormRequest {
    /// The key in the source bucket.
    #[schema(min_length = 1, max_length = 1024)]
    key: String,
    /// The source bucket; without it the first trigger's.
    #[serde(default)]
    bucket: Option<String>,
    /// The file's media type; by default that of the key's extension.
    #[serde(default)]
    #[schema(pattern = "^image/[!-~]*$")]
    content_type: Option<String>,
    /// How long the form is valid.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 3600)]
    expires_s: Option<u32>,
}

#[utoipa::path(
    post,
    path = "",
    operation_id = "makeUploadForm",
    request_body = UploadFormRequest,
    responses(
        (status = 200, body = UploadForm, description = "A form for one upload straight to the source bucket."),
        UploadsRefusals,
    )
)]
pub(crate) async fn post<H: Host>(State(api): State<Api<H>>, request: Request) -> Response {
    if request.uri().query().is_some_and(|query| !query.is_empty()) {
        return message(
            StatusCode::BAD_REQUEST,
            format!("{UPLOADS} takes no query fields; write them into the JSON body"),
        );
    }
    let (head, body) = request.into_parts();
    let kind = body::media_type(&head.headers);
    if !matches!(kind.as_str(), "application/json" | "") {
        let text = format!("Content-Type \"{kind}\" is not taken; send application/json");
        return message(StatusCode::UNSUPPORTED_MEDIA_TYPE, text);
    }
    let body = match body::read_json(body, api.config.max_body).await {
        Ok(body) => body,
        Err(response) => return *response,
    };
    let terms = match serde_json::from_slice::<UploadFormRequest>(&body)
        .map_err(|error| {
            format!(
                "the body is not {{\"key\": …, \"bucket\": …, \"content_type\": …, \"expires_s\": …}}: {error}"
            )
        })
        .and_then(UploadFormTerms::of)
    {
        Ok(terms) => terms,
        Err(error) => return message(StatusCode::BAD_REQUEST, error),
    };
    let trigger = match MatchedTrigger::find(&api.host, terms.bucket.as_deref(), Some(&terms.key)) {
        Ok(trigger) => trigger,
        Err(unknown) => return *unknown.response("\"bucket\""),
    };
    let bucket = &trigger.bucket;
    match api.host.form_signer(bucket, &head).await {
        Err(failure) => answer::failure(&failure),
        Ok(signer) => {
            let form = form(&signer, bucket, &terms, api.config.source_bytes, OffsetDateTime::now_utc());
            match form {
                Some(form) => answer::json(StatusCode::OK, &form),
                None => message(StatusCode::INTERNAL_SERVER_ERROR, "the machine's clock is out of range"),
            }
        }
    }
}

/// The validated terms of an upload form.
struct UploadFormTerms {
    key: ObjectKey,
    bucket: Option<String>,
    content_type: String,
    expires: Duration,
}

impl UploadFormTerms {
    fn of(request: UploadFormRequest) -> Result<Self, String> {
        let key = ObjectKey::new(&request.key).map_err(|message| format!("\"key\": {message}"))?;
        if let Some(kind) = &request.content_type
            && (!kind.starts_with("image/") || !kind.bytes().all(|byte| byte.is_ascii_graphic()))
        {
            return Err(format!("\"content_type\": \"{kind}\" is no image's; write one like \"image/jpeg\""));
        }
        let expires = request.expires_s.unwrap_or(EXPIRES_S);
        if !(1..=LONGEST_S).contains(&expires) {
            return Err(format!("\"expires_s\": {expires} is not 1 to {LONGEST_S}"));
        }
        let expires = Duration::seconds(expires.into());
        let by_name = || format_by_name(key.as_str()).media_type().to_owned();
        let content_type = request.content_type.unwrap_or_else(by_name);
        Ok(Self { key, bucket: request.bucket, content_type, expires })
    }
}

/// The form's address and fields; the file's field comes after them. `None` if a time cannot be written.
fn form(
    signer: &FormSigner,
    bucket: &str,
    terms: &UploadFormTerms,
    most_bytes: u64,
    now: OffsetDateTime,
) -> Option<Value> {
    let day = now.format(format_description!("[year][month][day]")).ok()?;
    let instant = now.format(format_description!("[year][month][day]T[hour][minute][second]Z")).ok()?;
    let until = (now + terms.expires)
        .format(format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].000Z"))
        .ok()?;
    let scope = format!("{day}/{}/s3/aws4_request", signer.region);
    let mut fields = Map::new();
    let mut field = |name: &str, value: String| fields.insert(name.to_owned(), value.into());
    field("key", terms.key.to_string());
    field("success_action_status", "201".into());
    field("x-amz-algorithm", "AWS4-HMAC-SHA256".into());
    field("x-amz-credential", format!("{}/{scope}", signer.access_key_id));
    field("x-amz-date", instant);
    if let Some(token) = &signer.session_token {
        field("x-amz-security-token", token.clone());
    }
    field("Content-Type", terms.content_type.clone());
    let mut conditions: Vec<Value> = fields.iter().map(|(name, value)| json!({name: value})).collect();
    conditions.push(json!({"bucket": bucket}));
    conditions.push(json!(["content-length-range", 1, most_bytes]));
    let policy = STANDARD.encode(json!({"expiration": until, "conditions": conditions}).to_string());
    let signature = signature(&signer.secret_access_key, &day, &signer.region, &policy);
    fields.insert("policy".into(), policy.into());
    fields.insert("x-amz-signature".into(), signature.into());
    Some(json!({
        "url": signer.url,
        "method": "POST",
        "fields": fields,
        "file_field": "file",
        "expires": until,
        "max_bytes": most_bytes,
    }))
}

fn signature(secret: &str, day: &str, region: &str, policy: &str) -> String {
    let mut key = format!("AWS4{secret}").into_bytes();
    for part in [day, region, "s3", "aws4_request"] {
        key = mac(&key, part.as_bytes());
    }
    tintype_pipeline::hex::encode(&mac(&key, policy.as_bytes()))
}

fn mac(key: &[u8], message: &[u8]) -> Vec<u8> {
    // HMAC accepts keys of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return Vec::new() };
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_of_the_documentations_example() {
        // AWS, "Example: browser-based upload using HTTP POST (using AWS Signature Version 4)".
        let policy = "eyAiZXhwaXJhdGlvbiI6ICIyMDE1LTEyLTMwVDEyOjAwOjAwLjAwMFoiLA0KICAiY29uZGl0aW9ucyI6IFsNCiAgICB7ImJ1Y2tldCI6ICJzaWd2NGV4YW1wbGVidWNrZXQifSwNCiAgICBbInN0YXJ0cy13aXRoIiwgIiRrZXkiLCAidXNlci91c2VyMS8iXSwNCiAgICB7ImFjbCI6ICJwdWJsaWMtcmVhZCJ9LA0KICAgIHsic3VjY2Vzc19hY3Rpb25fcmVkaXJlY3QiOiAiaHR0cDovL3NpZ3Y0ZXhhbXBsZWJ1Y2tldC5zMy5hbWF6b25hd3MuY29tL3N1Y2Nlc3NmdWxfdXBsb2FkLmh0bWwifSwNCiAgICBbInN0YXJ0cy13aXRoIiwgIiRDb250ZW50LVR5cGUiLCAiaW1hZ2UvIl0sDQogICAgeyJ4LWFtei1tZXRhLXV1aWQiOiAiMTQzNjUxMjM2NTEyNzQifSwNCiAgICB7IngtYW16LXNlcnZlci1zaWRlLWVuY3J5cHRpb24iOiAiQUVTMjU2In0sDQogICAgWyJzdGFydHMtd2l0aCIsICIkeC1hbXotbWV0YS10YWciLCAiIl0sDQoNCiAgICB7IngtYW16LWNyZWRlbnRpYWwiOiAiQUtJQUlPU0ZPRE5ON0VYQU1QTEUvMjAxNTEyMjkvdXMtZWFzdC0xL3MzL2F3czRfcmVxdWVzdCJ9LA0KICAgIHsieC1hbXotYWxnb3JpdGhtIjogIkFXUzQtSE1BQy1TSEEyNTYifSwNCiAgICB7IngtYW16LWRhdGUiOiAiMjAxNTEyMjlUMDAwMDAwWiIgfQ0KICBdDQp9";
        let secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
        assert_eq!(
            signature(secret, "20151229", "us-east-1", policy),
            "8afdbf4008c03f22c2cd3cdb72e4afbb1f6a588f3255ac628749a66d7f09699e"
        );
    }

    #[test]
    fn requests_are_validated() {
        let parse =
            |json: &str| serde_json::from_str::<UploadFormRequest>(json).map_err(|error| error.to_string());
        let check = |json: &str| parse(json).and_then(UploadFormTerms::of).map(|_| ());
        assert!(check(r#"{"key": "a.jpg", "content_type": "image/jpeg", "expires_s": 60}"#).is_ok());
        for wrong in [
            r#"{}"#,
            r#"{"key": ""}"#,
            r#"{"key": "a", "size": 1}"#,
            r#"{"key": "a", "content_type": "text/html"}"#,
            r#"{"key": "a", "expires_s": 3601}"#,
            r#"{"key": "a", "expires_s": 0}"#,
        ] {
            assert!(check(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_default_type_is_that_of_the_extension() {
        for (key, kind) in [("a.png", "image/png"), ("a.WEBP", "image/webp"), ("a", "image/jpeg")] {
            let request =
                UploadFormRequest { key: key.into(), bucket: None, content_type: None, expires_s: None };
            assert_eq!(UploadFormTerms::of(request).unwrap().content_type, kind);
        }
    }

    #[test]
    fn every_field_is_in_the_policy() {
        let signer = FormSigner {
            url: "http://127.0.0.1:9000/in".into(),
            region: "us-east-1".into(),
            access_key_id: "id".into(),
            secret_access_key: "secret".into(),
            session_token: Some("session".into()),
        };
        let key = ObjectKey::new("a \"quoted\".jpg").unwrap();
        let (bucket, content_type) = (None, "image/png".into());
        let terms = UploadFormTerms { key, bucket, content_type, expires: Duration::seconds(60) };
        let form = form(&signer, "in", &terms, 10, OffsetDateTime::UNIX_EPOCH).unwrap();
        let policy = STANDARD.decode(form["fields"]["policy"].as_str().unwrap()).unwrap();
        let policy: Value = serde_json::from_slice(&policy).unwrap();
        assert_eq!(policy["expiration"], "1970-01-01T00:01:00.000Z");
        let conditions = policy["conditions"].as_array().unwrap();
        for (name, value) in form["fields"].as_object().unwrap() {
            if !["policy", "x-amz-signature"].contains(&name.as_str()) {
                assert!(conditions.contains(&json!({name: value})), "{name}");
            }
        }
        assert!(conditions.contains(&json!(["content-length-range", 1, 10])));
        assert_eq!(form["fields"]["Content-Type"], "image/png");
        assert!(!form.to_string().contains("secret\""));
    }
}
