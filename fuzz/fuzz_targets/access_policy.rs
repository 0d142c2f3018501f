//! Access policies: any bytes are read or refused with a place; what was read prints so that it reads the same; and of any
//! request, a decision names a statement, a deny is final, and a policy that is not public allows nothing to anonymous
//! requests without an address.
#![no_main]

use std::time::{Duration, SystemTime};

use libfuzzer_sys::{
    arbitrary::{Result, Unstructured},
    fuzz_target,
};
use serde_json::Value;
use tintype_policy::{
    Action, BucketAccess, Context, Decision, Level, Policy, PolicyKind, Principal, PublicAccessBlock,
    Request, Resource, evaluate, is_public,
};

const OWNER: Principal<'_> = Principal::Root { account: "1" };
const PRINCIPALS: [Principal<'_>; 4] = [
    Principal::Anonymous,
    OWNER,
    Principal::User { account: "1", name: "a" },
    Principal::User { account: "2", name: "a*" },
];

fuzz_target!(|bytes: &[u8]| {
    let _ = check(&mut Unstructured::new(bytes));
});

fn check(input: &mut Unstructured<'_>) -> Result<()> {
    let (key, tag) = (input.arbitrary::<&str>()?, input.arbitrary::<&str>()?);
    let header = if input.arbitrary()? { Some(input.arbitrary::<&str>()?) } else { None };
    let source_ip = if input.arbitrary()? { Some(input.arbitrary()?) } else { None };
    let tags = [(tag, key)];
    let context = Context {
        source_ip,
        is_secure: input.arbitrary()?,
        prefix: header,
        acl: header,
        referer: header,
        max_keys: input.arbitrary()?,
        signature_age: Some(Duration::from_millis(input.arbitrary()?)),
        existing_tags: &tags,
        request_tags: &tags,
        ..Context::at(SystemTime::UNIX_EPOCH + Duration::from_secs(u64::from(input.arbitrary::<u32>()?)))
    };
    let document = match input.ratio(1, 4)? {
        true => input.bytes(input.len())?.to_vec(),
        false => document(input)?.into_bytes(),
    };

    let of_bucket = read(|document| Policy::of_bucket(document, "in"), &document);
    let identity = read(Policy::identity, &document);
    let policies = [&of_bucket, &identity].map(|policy| policy.as_ref());
    for principal in PRINCIPALS {
        for &action in Action::ALL {
            let resource = match action.level() {
                Level::Service => Resource::Service,
                Level::Bucket => Resource::Bucket("in"),
                Level::Object => Resource::Object { bucket: "in", key },
                Level::Route => Resource::Route,
            };
            let request = Request { principal, action, resource, context };
            check_decision(&request, policies);
        }
    }
    Ok(())
}

fn read(
    read: impl Fn(&[u8]) -> std::result::Result<Policy, tintype_policy::Error>,
    document: &[u8],
) -> Option<Policy> {
    match read(document) {
        Ok(policy) => {
            // Numbers may be written without quotes and get some, so that it can become too long.
            if policy.to_string().len() <= tintype_policy::MAX_BYTES {
                assert_eq!(read(policy.to_string().as_bytes()).as_ref(), Ok(&policy));
            }
            Some(policy)
        }
        Err(error) => {
            assert!(!error.place.is_empty() && !error.detail.is_empty());
            None
        }
    }
}

fn check_decision(request: &Request<'_>, [of_bucket, identity]: [Option<&Policy>; 2]) {
    let bucket = BucketAccess {
        name: "in",
        owner: OWNER,
        policy: of_bucket,
        acls: &[],
        block: PublicAccessBlock::default(),
    };
    let bucket = request.resource.bucket().map(|_| &bucket);
    let decision = evaluate(request, identity, bucket);
    let policy = |kind| if kind == PolicyKind::Identity { identity } else { of_bucket };
    let effect = |kind, index: usize| {
        let document: Value =
            serde_json::from_str(&policy(kind).expect("a policy").to_string()).expect("JSON");
        document["Statement"][index]["Effect"].as_str().map(str::to_owned)
    };
    match decision {
        Decision::AllowedBy(rule) => assert_eq!(effect(rule.policy, rule.index).as_deref(), Some("Allow")),
        Decision::DeniedBy(rule) => assert_eq!(effect(rule.policy, rule.index).as_deref(), Some("Deny")),
        Decision::AllowedToOwner => assert_eq!(request.principal, OWNER),
        Decision::NotAllowed => {}
    }
    // Each policy for itself: a deny of either is one of both.
    let of_policy = |identity, is_of_bucket: bool| {
        let bucket = bucket.filter(|_| is_of_bucket).copied();
        evaluate(request, identity, bucket.as_ref())
    };
    let alone = [of_policy(identity, false), of_policy(None, true)];
    if alone.iter().any(|decision| matches!(decision, Decision::DeniedBy(_))) {
        assert!(!decision.is_allowed());
    } else {
        assert_eq!(decision.is_allowed(), alone.iter().any(Decision::is_allowed));
    }
    if request.principal == Principal::Anonymous {
        assert!(!alone[0].is_allowed());
        let nowhere = Request { context: Context { source_ip: None, ..request.context }, ..*request };
        if of_bucket.is_some_and(|policy| !is_public(policy)) {
            assert!(!evaluate(&nowhere, identity, bucket).is_allowed());
        }
    }
}

const STATEMENT: [&[&str]; 5] = [
    &[r#""Effect":"Allow""#, r#""Effect":"Deny""#],
    &[
        r#""Principal":"*","#,
        r#""Principal":{"AWS":["1","arn:aws:iam::2:user/a"]},"#,
        r#""NotPrincipal":{"AWS":"arn:aws:iam::1:user/a"},"#,
        "",
    ],
    &[
        r#""Action":"*""#,
        r#""Action":["s3:Get*","s3:putobject"]"#,
        r#""NotAction":"s3:List*""#,
        r#""Action":"tintype:*""#,
    ],
    &[
        r#""Resource":["arn:aws:s3:::in","arn:aws:s3:::in/*"]"#,
        r#""NotResource":"arn:aws:s3:::in/*${aws:username}?*""#,
        r#""Resource":"*""#,
    ],
    &[
        "StringEquals",
        "StringNotLike",
        "StringLikeIfExists",
        "ForAnyValue:StringLike",
        "ForAllValues:StringNotEquals",
        "ArnNotLike",
        "NumericLessThan",
        "DateGreaterThan",
        "Bool",
        "IpAddress",
        "NotIpAddressIfExists",
        "Null",
    ],
];
const KEYS: [&str; 10] = [
    "aws:SourceIp",
    "aws:CurrentTime",
    "aws:PrincipalArn",
    "aws:Referer",
    "aws:username",
    "aws:SecureTransport",
    "s3:prefix",
    "s3:signatureAge",
    "s3:RequestObjectTagKeys",
    "s3:ExistingObjectTag/a",
];
const VALUES: [&str; 10] = [
    "*",
    "10.0.0.0/8",
    "::/0",
    "true",
    "1.5",
    "2026-01-31",
    "arn:aws:iam::1:user/a",
    "arn:*:*:*:*:*",
    "a?${aws:username}*b",
    "",
];

fn document(input: &mut Unstructured<'_>) -> Result<String> {
    let mut statements = Vec::new();
    for _ in 0..input.int_in_range(1..=3)? {
        let mut chosen = [""; 5];
        for (chosen, of) in chosen.iter_mut().zip(STATEMENT) {
            *chosen = input.choose(of)?;
        }
        let [effect, principal, action, resource, operator] = chosen;
        let value =
            if input.ratio(7, 8)? { (*input.choose(&VALUES)?).to_owned() } else { input.arbitrary()? };
        let (key, value) = (*input.choose(&KEYS)?, Value::from(value));
        let condition = match input.arbitrary()? {
            true => format!(r#","Condition":{{"{operator}":{{"{key}":[{value}]}}}}"#),
            false => String::new(),
        };
        statements.push(format!("{{{effect},{principal}{action},{resource}{condition}}}"));
    }
    Ok(format!(r#"{{"Version":"2012-10-17","Statement":[{}]}}"#, statements.join(",")))
}
