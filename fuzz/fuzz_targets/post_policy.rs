//! Upload forms and their policies: a form that is allowed has every field covered by a condition, and its key and bucket
//! satisfy theirs; nothing is allowed with another signature.
#![no_main]

use std::time::SystemTime;

use aws_sigv4::sign::v4::{calculate_signature, generate_signing_key};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use libfuzzer_sys::{
    arbitrary::{Result, Unstructured},
    fuzz_target,
};
use serde_json::{Value, json};
use tintype::fuzzing::check_form;

const KEY: (&str, &str) = ("AKIDEXAMPLE", "secret");
const BUCKETS: [&str; 3] = ["in", "input", "IN"];

fuzz_target!(|bytes: &[u8]| {
    if let Ok(form) = Form::generate(&mut Unstructured::new(bytes)) {
        form.check();
    }
});

struct Form {
    fields: Vec<(String, String)>,
    file_name: String,
    bucket: &'static str,
    policy: Vec<u8>,
    /// Which character of the signature is changed for the second attempt.
    changed: usize,
}

impl Form {
    fn generate(input: &mut Unstructured<'_>) -> Result<Self> {
        let mut fields = Vec::new();
        let mut conditions = Vec::new();
        for _ in 0..input.int_in_range(1..=6)? {
            let name = name(input)?;
            if fields.iter().all(|(other, _): &(String, String)| *other != name.to_ascii_lowercase()) {
                let value = text(input)?;
                // Most conditions are about a field that is there, and hold.
                if input.ratio(7, 8)? {
                    conditions.push(condition(input, &name, &value)?);
                }
                fields.push((name.to_ascii_lowercase(), value));
            }
        }
        let bucket = *input.choose(&BUCKETS)?;
        if input.ratio(7, 8)? {
            conditions.push(condition(input, "bucket", bucket)?);
        }
        for _ in 0..input.int_in_range(0..=2)? {
            let (name, value) = (name(input)?, text(input)?);
            conditions.push(condition(input, &name, &value)?);
        }
        if input.ratio(1, 4)? {
            conditions.push(json!([
                "content-length-range",
                input.arbitrary::<u32>()?,
                input.arbitrary::<i64>()?
            ]));
        }
        conditions.push(json!(["starts-with", "$x-amz-algorithm", ""]));
        conditions.push(json!(["starts-with", "$X-Amz-Credential", ""]));
        conditions.push(json!({"x-amz-date": "20990101T000000Z"}));
        let file_name = text(input)?;
        let changed = input.int_in_range(0..=63)?;
        let mut policy =
            json!({"expiration": "2099-01-01T00:00:00Z", "conditions": conditions}).to_string().into_bytes();
        if input.ratio(1, 8)? {
            policy = input.bytes(input.len())?.to_vec();
        }
        Ok(Self { fields, file_name, bucket, policy, changed })
    }

    fn check(self) {
        let Self { mut fields, file_name, bucket, policy, changed } = self;
        let encoded = STANDARD.encode(&policy);
        let day = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(4_070_908_800);
        let signing_key = generate_signing_key(KEY.1, day, "us-east-1", "s3");
        let signature = calculate_signature(signing_key, encoded.as_bytes());
        let own = [
            ("policy", encoded.as_str()),
            ("x-amz-algorithm", "AWS4-HMAC-SHA256"),
            ("x-amz-credential", "AKIDEXAMPLE/20990101/us-east-1/s3/aws4_request"),
            ("x-amz-date", "20990101T000000Z"),
            ("x-amz-signature", signature.as_str()),
        ];
        fields.retain(|(name, _)| own.iter().all(|(other, _)| other != name));
        fields.extend(own.map(|(name, value)| (name.to_owned(), value.to_owned())));

        match check_form(fields.clone(), &file_name, bucket, KEY) {
            Err(why) => assert!(!why.is_empty() && !why.contains("signature we calculated"), "{why}"),
            Ok(sizes) => assert_covered(&fields, &file_name, bucket, &policy, sizes),
        }
        let last = fields.len() - 1;
        let other = if signature.as_bytes()[changed] == b'0' { "1" } else { "0" };
        fields[last].1.replace_range(changed..=changed, other);
        assert!(check_form(fields, &file_name, bucket, KEY).is_err(), "another signature");
    }
}

/// A second reading of the rules: AWS, "Creating a POST policy".
fn assert_covered(
    fields: &[(String, String)],
    file_name: &str,
    bucket: &str,
    policy: &[u8],
    (least, most): (u64, u64),
) {
    let policy: Value = serde_json::from_slice(policy).expect("a policy that was read");
    // Operator, name, value.
    let mut rules: Vec<(String, String, String)> = Vec::new();
    for condition in policy["conditions"].as_array().expect("conditions") {
        match condition {
            Value::Object(equal) => {
                let equal =
                    equal.iter().map(|(name, value)| ("eq".into(), name.to_ascii_lowercase(), words(value)));
                rules.extend(equal);
            }
            Value::Array(parts) if words(&parts[0]).eq_ignore_ascii_case("content-length-range") => {
                assert!(
                    least >= number(&parts[1]) && most <= number(&parts[2]),
                    "{condition}: {least} to {most}"
                );
            }
            Value::Array(parts) => {
                let name = words(&parts[1]).strip_prefix('$').expect("a field's name").to_ascii_lowercase();
                rules.push((words(&parts[0]).to_ascii_lowercase(), name, words(&parts[2])));
            }
            other => panic!("{other} is no condition"),
        }
    }
    let free =
        |name: &str| ["policy", "x-amz-signature", "file"].contains(&name) || name.starts_with("x-ignore-");
    // In every field it is the name of the file.
    let file_name = file_name.rsplit(['/', '\\']).next().unwrap_or_default();
    let fields: Vec<_> =
        fields.iter().map(|(name, value)| (name.clone(), value.replace("${filename}", file_name))).collect();
    let field = |name: &str| fields.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str());
    for (name, _) in fields.iter().filter(|(name, _)| !free(name)) {
        assert!(rules.iter().any(|(_, ruled, _)| ruled == name), "{name} has no condition");
    }
    assert!(
        rules.iter().any(|(_, name, _)| name == "key") && rules.iter().any(|(_, name, _)| name == "bucket")
    );
    for (operator, name, expected) in &rules {
        let found = match name.as_str() {
            "key" => Some(field("key").unwrap_or_default()),
            "bucket" => Some(bucket),
            name => field(name),
        };
        let holds = match operator.as_str() {
            "eq" => found == Some(expected),
            "starts-with" if name == "content-type" => {
                found.is_some_and(|found| found.split(',').all(|kind| kind.trim().starts_with(expected)))
            }
            "starts-with" => found.unwrap_or_default().starts_with(expected),
            other => panic!("{other} is no operator"),
        };
        assert!(holds, "{operator} {name} {expected}: {found:?}");
    }
}

fn words(value: &Value) -> String {
    value.as_str().expect("text").to_owned()
}

fn number(value: &Value) -> u64 {
    value.as_u64().or_else(|| value.as_str()?.parse().ok()).expect("a number")
}

const NAMES: [&str; 14] = [
    "key",
    "key",
    "Content-Type",
    "x-amz-meta-a",
    "X-Amz-Meta-A",
    "acl",
    "success_action_status",
    "x-ignore-a",
    "bucket",
    "file",
    "signature",
    "x-amz-date",
    "x-amz-credential",
    "\u{212a}ey",
];
const VALUES: [&str; 9] = [
    "",
    "a",
    "user/",
    "user/${filename}",
    "${filename}",
    "image/jpeg",
    "image/png, text/html",
    "in",
    "\u{df}",
];

fn name(input: &mut Unstructured<'_>) -> Result<String> {
    match input.ratio(7, 8)? {
        true => Ok((*input.choose(&NAMES)?).to_owned()),
        false => input.arbitrary(),
    }
}

fn text(input: &mut Unstructured<'_>) -> Result<String> {
    match input.ratio(3, 4)? {
        true => Ok((*input.choose(&VALUES)?).to_owned()),
        false => input.arbitrary(),
    }
}

fn condition(input: &mut Unstructured<'_>, name: &str, value: &str) -> Result<Value> {
    Ok(match input.int_in_range(0..=5)? {
        0 => json!({ name: value }),
        1 => json!(["eq", format!("${name}"), value]),
        2 => json!(["Starts-With", format!("${}", name.to_ascii_uppercase()), value]),
        3 => {
            let prefix: String = value.chars().take(input.int_in_range(0..=8)?).collect();
            json!(["starts-with", format!("${name}"), prefix])
        }
        4 => json!({ name: value, "bucket": *input.choose(&BUCKETS)? }),
        _ => json!(["eq", format!("${name}"), text(input)?]),
    })
}
