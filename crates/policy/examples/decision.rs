//! Prints what a decision costs: `cargo run --release -p tintype-policy --example decision`.

use std::{hint::black_box, time::Instant, time::SystemTime};

use tintype_policy::{
    Action, BucketAccess, Context, Grant, Policy, Preset, Principal, PublicAccessBlock, Request, Resource,
    evaluate,
};

const OWNER: Principal<'_> = Principal::Root { account: "000000000000" };
const CAMERA: Principal<'_> = Principal::User { account: "000000000000", name: "camera" };

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let uploader = Preset::Uploader.policy(&["input-product-images"], &[])?;
    let grants: Vec<Grant> = [
        "read:a",
        "list:a",
        "write:b/raw/",
        "delete:b/raw/",
        "read:input-product-images",
        "write:input-product-images/raw/",
    ]
    .iter()
    .map(|grant| grant.parse())
    .collect::<Result<_, _>>()?;
    let grants = Policy::of_grants(&grants)?;
    let conditions = Policy::of_bucket(CONDITIONS.as_bytes(), "input-product-images")?;
    let public = Policy::of_bucket(PUBLIC.as_bytes(), "input-product-images")?;
    let users: Vec<String> = (0..120)
        .map(|n| format!(r#"{{"Effect":"Allow","Principal":{{"AWS":"arn:aws:iam::1:user/u{n}"}},"Action":"s3:*","Resource":"arn:aws:s3:::input-product-images/*"}}"#))
        .collect();
    let users = format!(r#"{{"Version":"2012-10-17","Statement":[{}]}}"#, users.join(","));
    let longest = Policy::of_bucket(users.as_bytes(), "input-product-images")?;
    let part = format!("*{}?b", "a".repeat(60));
    let hostile: Vec<String> =
        (0..18).map(|_| format!("\"arn:aws:s3:::input-product-images/{}*\"", part.repeat(16))).collect();
    let hostile = format!(
        r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Allow","Principal":"*","Action":"s3:*","Resource":[{}]}}}}"#,
        hostile.join(",")
    );
    let hostile = Policy::of_bucket(hostile.as_bytes(), "input-product-images")?;

    measure("uploader", CAMERA, Some(&uploader), None, "raw/2026/11/30/0001.jpg");
    measure("six short forms", CAMERA, Some(&grants), None, "raw/2026/11/30/0001.jpg");
    measure(
        "and a bucket policy with conditions",
        CAMERA,
        Some(&grants),
        Some(&conditions),
        "raw/2026/11/30/0001.jpg",
    );
    measure("public read, anonymous", Principal::Anonymous, None, Some(&public), "raw/2026/11/30/0001.jpg");
    measure("18 KB of users, none of them", CAMERA, None, Some(&longest), "raw/2026/11/30/0001.jpg");
    measure("18 KB of hostile patterns", CAMERA, None, Some(&hostile), &"a".repeat(1024));
    let start = Instant::now();
    black_box(Policy::of_bucket(users.as_bytes(), "input-product-images")?);
    println!("{:>9} ns  reading 18 KB of users", start.elapsed().as_nanos());
    Ok(())
}

fn measure(
    name: &str,
    principal: Principal<'_>,
    identity: Option<&Policy>,
    policy: Option<&Policy>,
    key: &str,
) {
    let request = Request {
        principal,
        action: if principal == Principal::Anonymous { Action::GetObject } else { Action::PutObject },
        resource: Resource::Object { bucket: "input-product-images", key },
        context: Context {
            source_ip: Some([192, 0, 2, 1].into()),
            is_secure: true,
            user_agent: Some("aws-sdk-rust/1.0"),
            server_side_encryption: Some("AES256"),
            ..Context::at(SystemTime::now())
        },
    };
    let bucket = BucketAccess {
        name: "input-product-images",
        owner: OWNER,
        policy,
        acls: &[],
        block: PublicAccessBlock::default(),
    };
    let mut rounds = 1_u32;
    loop {
        let start = Instant::now();
        for _ in 0..rounds {
            black_box(evaluate(black_box(&request), identity, Some(&bucket)));
        }
        let elapsed = start.elapsed();
        if elapsed.as_millis() > 100 {
            let decision = evaluate(&request, identity, Some(&bucket));
            println!("{:>9.0} ns  {name}: {decision}", elapsed.as_nanos() as f64 / f64::from(rounds));
            return;
        }
        rounds *= 4;
    }
}

const PUBLIC: &str = r#"{"Version": "2012-10-17", "Statement": {"Sid": "Public", "Effect": "Allow", "Principal": "*",
    "Action": "s3:GetObject", "Resource": "arn:aws:s3:::input-product-images/*"}}"#;

const CONDITIONS: &str = r#"{"Version": "2012-10-17", "Statement": [
    {"Sid": "Tls", "Effect": "Deny", "Principal": "*", "Action": "s3:*",
     "Resource": ["arn:aws:s3:::input-product-images", "arn:aws:s3:::input-product-images/*"],
     "Condition": {"Bool": {"aws:SecureTransport": "false"}}},
    {"Sid": "Encrypted", "Effect": "Deny", "Principal": "*", "Action": "s3:PutObject",
     "Resource": "arn:aws:s3:::input-product-images/*",
     "Condition": {"StringNotEquals": {"s3:x-amz-server-side-encryption": "AES256"},
                   "Null": {"s3:x-amz-server-side-encryption": "false"}}},
    {"Sid": "Office", "Effect": "Deny", "Principal": "*", "Action": "s3:*",
     "Resource": "arn:aws:s3:::input-product-images/*",
     "Condition": {"NotIpAddress": {"aws:SourceIp": ["192.0.2.0/24", "198.51.100.0/24", "2001:db8::/32"]},
                   "ArnNotLike": {"aws:PrincipalArn": "arn:aws:iam::000000000000:user/function*"}}},
    {"Sid": "Home", "Effect": "Allow", "Principal": {"AWS": ["arn:aws:iam::000000000000:user/a", "arn:aws:iam::000000000000:user/b"]},
     "Action": ["s3:GetObject", "s3:PutObject"], "Resource": "arn:aws:s3:::input-product-images/home/${aws:username}/*",
     "Condition": {"DateLessThan": {"aws:CurrentTime": "2099-01-01T00:00:00Z"}}}
]}"#;
