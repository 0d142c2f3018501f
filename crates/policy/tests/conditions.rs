//! Every operator, with present, absent and several values.

use std::{
    borrow::Borrow,
    time::{Duration, SystemTime},
};

use tintype_policy::{Action, Context, Policy, Principal, Request, Resource, evaluate};

const ALICE: Principal<'_> = Principal::User { account: "1", name: "alice" };

fn policy(condition: &str) -> Policy {
    let document = format!(
        r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{condition}}}}}"#
    );
    Policy::identity(document.as_bytes()).unwrap_or_else(|error| panic!("{condition}: {error}"))
}

fn holds_for<'a>(principal: Principal<'a>, condition: &str, context: impl Borrow<Context<'a>>) -> bool {
    let context = *context.borrow();
    let resource = Resource::Object { bucket: "in", key: "a" };
    let request = Request { principal, action: Action::PutObject, resource, context };
    evaluate(&request, Some(&policy(condition)), None).is_allowed()
}

fn holds<'a>(condition: &str, context: impl Borrow<Context<'a>>) -> bool {
    holds_for(ALICE, condition, context)
}

fn nothing() -> Context<'static> {
    Context::at(SystemTime::UNIX_EPOCH)
}

/// The outcome for each value, and last for none.
fn check<'a, T: Copy + std::fmt::Debug>(
    condition: &str,
    values: &[(T, bool)],
    absent: bool,
    context: impl Fn(T) -> Context<'a>,
) {
    for (value, expected) in values {
        assert_eq!(holds(condition, context(*value)), *expected, "{condition} {value:?}");
    }
    assert_eq!(holds(condition, nothing()), absent, "{condition} without a value");
    let (operator, rest) = condition[2..].split_once('"').unwrap();
    let if_exists = format!("{{\"{operator}IfExists\"{rest}");
    for (value, expected) in values {
        assert_eq!(holds(&if_exists, context(*value)), *expected, "{if_exists} {value:?}");
    }
    assert!(holds(&if_exists, nothing()), "{if_exists} without a value");
}

#[test]
fn strings() {
    let acl = |acl| Context { acl: Some(acl), ..nothing() };
    let text = |operator: &str, values: &str| format!(r#"{{"{operator}":{{"s3:x-amz-acl":{values}}}}}"#);
    let one = r#""private""#;
    check(&text("StringEquals", one), &[("private", true), ("Private", false), ("", false)], false, acl);
    check(&text("StringNotEquals", one), &[("private", false), ("Private", true)], true, acl);
    check(
        &text("StringEqualsIgnoreCase", one),
        &[("PRIVATE", true), ("private ", false), ("privat", false)],
        false,
        acl,
    );
    check(&text("StringNotEqualsIgnoreCase", one), &[("PRIVATE", false), ("other", true)], true, acl);
    let several = r#"["private","public-read"]"#;
    check(
        &text("StringEquals", several),
        &[("private", true), ("public-read", true), ("x", false)],
        false,
        acl,
    );
    check(
        &text("StringNotEquals", several),
        &[("private", false), ("public-read", false), ("x", true)],
        true,
        acl,
    );
    check(
        &text("StringLike", r#"["pub*","p?ivate"]"#),
        &[("public-read", true), ("private", true), ("Public", false)],
        false,
        acl,
    );
    check(&text("StringNotLike", r#"["pub*","p?ivate"]"#), &[("public-read", false), ("x", true)], true, acl);
    // Wildcards are characters where there are no patterns.
    check(&text("StringEquals", r#""p*""#), &[("p*", true), ("private", false)], false, acl);
    check(&text("StringLike", r#""p${*}""#), &[("p*", true), ("private", false)], false, acl);
    check(
        &text("StringEquals", r#""${aws:username}""#),
        &[("alice", true), ("${aws:username}", false)],
        false,
        acl,
    );
    check(&text("StringEquals", r#""""#), &[("", true), ("x", false)], false, acl);
}

#[test]
fn arns() {
    let arn = |operator: &str, value: &str| format!(r#"{{"{operator}":{{"aws:PrincipalArn":"{value}"}}}}"#);
    let alice = "arn:aws:iam::1:user/alice";
    for operator in ["ArnEquals", "ArnLike", "StringEquals", "StringLike"] {
        let condition = arn(operator, alice);
        assert!(holds(&condition, nothing()), "{operator}");
        assert!(!holds_for(Principal::Root { account: "1" }, &condition, nothing()));
        // A principal that no policy can name has no ARN.
        assert!(!holds_for(Principal::User { account: "1", name: "a/b" }, &condition, nothing()));
        let negated = arn(&operator.replace("Arn", "ArnNot").replace("String", "StringNot"), alice);
        assert!(
            !holds(&negated, nothing()) && holds_for(Principal::Root { account: "1" }, &negated, nothing())
        );
    }
    for (value, expected) in [
        ("arn:aws:iam::1:user/*", true),
        ("arn:*:iam:*:1:*", true),
        ("arn:aws:iam::?:user/${aws:username}", true),
        ("arn:aws:iam::*:user/bob", false),
        // A wildcard stays in its component.
        ("arn:aws:iam*:1:user/alice:", false),
        ("arn:aws:*:*:*:x", false),
    ] {
        assert_eq!(holds(&arn("ArnLike", value), nothing()), expected, "{value}");
        assert_eq!(holds(&arn("ArnEquals", value), nothing()), expected, "{value}");
    }
}

#[test]
fn numbers() {
    let age = |age| Context { signature_age: Some(Duration::from_millis(age)), ..nothing() };
    for (operator, values) in [
        ("NumericEquals", [false, true, false]),
        ("NumericNotEquals", [true, false, true]),
        ("NumericLessThan", [true, false, false]),
        ("NumericLessThanEquals", [true, true, false]),
        ("NumericGreaterThan", [false, false, true]),
        ("NumericGreaterThanEquals", [false, true, true]),
    ] {
        let condition = format!(r#"{{"{operator}":{{"s3:signatureAge":"600000"}}}}"#);
        let values = [(599_999, values[0]), (600_000, values[1]), (600_001, values[2])];
        check(&condition, &values, operator == "NumericNotEquals", age);
    }
    let tls = |version| Context { tls_version: Some(version), ..nothing() };
    check(r#"{"NumericLessThan":{"s3:TlsVersion":1.3}}"#, &[(1.2, true), (1.3, false)], false, tls);
    check(
        r#"{"NumericEquals":{"s3:TlsVersion":["1.2","1.3"]}}"#,
        &[(1.2, true), (1.3, true), (1.1, false)],
        false,
        tls,
    );
    check(r#"{"NumericNotEquals":{"s3:TlsVersion":["1.2","1.3"]}}"#, &[(1.2, false), (1.1, true)], true, tls);
    check(
        r#"{"NumericEquals":{"s3:TlsVersion":"NUMBER"}}"#.replace("NUMBER", "-1").as_str(),
        &[(1.2, false)],
        false,
        tls,
    );
}

#[test]
fn dates() {
    let at = |seconds| Context::at(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
    let time = 1_767_225_600; // 2026-01-01
    for (operator, values) in [
        ("DateEquals", [false, true, false]),
        ("DateNotEquals", [true, false, true]),
        ("DateLessThan", [true, false, false]),
        ("DateLessThanEquals", [true, true, false]),
        ("DateGreaterThan", [false, false, true]),
        ("DateGreaterThanEquals", [false, true, true]),
    ] {
        for key in ["aws:CurrentTime", "aws:EpochTime"] {
            for written in [
                r#""2026-01-01T00:00:00Z""#,
                r#""2026-01-01""#,
                r#""2026-01-01T02:00:00+02:00""#,
                "1767225600",
                r#""1767225600""#,
            ] {
                let condition = format!(r#"{{"{operator}":{{"{key}":{written}}}}}"#);
                for (at_second, expected) in [time - 1, time, time + 1].into_iter().zip(values) {
                    assert_eq!(holds(&condition, at(at_second)), expected, "{condition} {at_second}");
                }
            }
        }
    }
    let before = SystemTime::UNIX_EPOCH - Duration::from_millis(1);
    assert!(holds(r#"{"DateLessThan":{"aws:CurrentTime":"1970-01-01T00:00:00Z"}}"#, Context::at(before)));
    assert!(holds(r#"{"NumericEquals":{"aws:EpochTime":"-1"}}"#, Context::at(before)));
    assert!(holds(r#"{"NumericLessThan":{"aws:EpochTime":1}}"#, at(0)));
    let fraction = Context::at(SystemTime::UNIX_EPOCH + Duration::from_millis(500));
    assert!(holds(r#"{"DateGreaterThan":{"aws:CurrentTime":"1970-01-01T00:00:00Z"}}"#, fraction));
}

#[test]
fn booleans() {
    for (written, if_secure) in
        [("true", true), (r#""true""#, true), (r#""TRUE""#, true), ("false", false), (r#""false""#, false)]
    {
        for is_secure in [false, true] {
            let context = Context { is_secure, ..nothing() };
            for operator in ["Bool", "BoolIfExists"] {
                let condition = format!(r#"{{"{operator}":{{"aws:SecureTransport":{written}}}}}"#);
                assert_eq!(holds(&condition, context), is_secure == if_secure, "{condition}");
            }
        }
    }
    let context = Context { is_secure: true, ..nothing() };
    assert!(holds(r#"{"StringEquals":{"aws:SecureTransport":"true"}}"#, context));
    assert!(!holds(r#"{"StringNotEquals":{"aws:SecureTransport":"true"}}"#, context));
}

#[test]
fn addresses() {
    let from = |address: &str| Context { source_ip: Some(address.parse().unwrap()), ..nothing() };
    let condition = |operator: &str, values: &str| format!(r#"{{"{operator}":{{"aws:SourceIp":{values}}}}}"#);
    let values = r#"["192.0.2.0/24","198.51.100.7","2001:db8::/33"]"#;
    let outcomes = [
        ("192.0.2.0", true),
        ("192.0.2.255", true),
        ("192.0.3.0", false),
        ("198.51.100.7", true),
        ("198.51.100.8", false),
        ("2001:db8:7fff::1", true),
        ("2001:db8:8000::1", false),
        // An IPv4 address that came to an IPv6 socket.
        ("::ffff:192.0.2.1", true),
        ("::192.0.2.1", false),
    ];
    check(&condition("IpAddress", values), &outcomes, false, from);
    check(
        &condition("NotIpAddress", values),
        &outcomes.map(|(address, holds)| (address, !holds)),
        true,
        from,
    );
    check(
        &condition("IpAddress", r#""0.0.0.0/0""#),
        &[("203.0.113.1", true), ("2001:db8::1", false)],
        false,
        from,
    );
    check(
        &condition("IpAddress", r#""::/0""#),
        &[("203.0.113.1", false), ("2001:db8::1", true)],
        false,
        from,
    );
    check(&condition("IpAddress", r#""192.0.2.99/24""#), &[("192.0.2.1", true)], false, from);
    check(
        &condition("IpAddress", r#""::ffff:192.0.2.0/120""#),
        &[("192.0.2.1", true), ("192.0.3.1", false)],
        false,
        from,
    );
}

#[test]
fn null() {
    let acl = Context { acl: Some(""), ..nothing() };
    assert!(
        holds(r#"{"Null":{"s3:x-amz-acl":"true"}}"#, nothing())
            && !holds(r#"{"Null":{"s3:x-amz-acl":true}}"#, acl)
    );
    assert!(
        !holds(r#"{"Null":{"s3:x-amz-acl":"false"}}"#, nothing())
            && holds(r#"{"Null":{"s3:x-amz-acl":false}}"#, acl)
    );
    let tagged = Context { request_tags: &[("a", "")], ..nothing() };
    assert!(holds(r#"{"Null":{"s3:RequestObjectTagKeys":"true"}}"#, nothing()));
    assert!(!holds(r#"{"Null":{"s3:RequestObjectTagKeys":"true"}}"#, tagged));
    assert!(holds(r#"{"Null":{"s3:RequestObjectTag/a":"false","s3:RequestObjectTag/b":"true"}}"#, tagged));
}

#[test]
fn sets() {
    let tags = |tags| Context { request_tags: tags, ..nothing() };
    let keys = |operator: &str| format!(r#"{{"{operator}":{{"s3:RequestObjectTagKeys":["a","b"]}}}}"#);
    let one: &[_] = &[("a", "1")];
    let both: &[_] = &[("b", "1"), ("a", "2")];
    let more: &[_] = &[("a", "1"), ("c", "2")];
    let other: &[_] = &[("c", "1")];
    check(
        &keys("ForAllValues:StringEquals"),
        &[(one, true), (both, true), (more, false), (other, false)],
        true,
        tags,
    );
    check(
        &keys("ForAnyValue:StringEquals"),
        &[(one, true), (both, true), (more, true), (other, false)],
        false,
        tags,
    );
    check(&keys("ForAllValues:StringNotEquals"), &[(one, false), (more, false), (other, true)], true, tags);
    check(
        &keys("ForAnyValue:StringNotEquals"),
        &[(one, false), (both, false), (more, true), (other, true)],
        false,
        tags,
    );
    // Of a key with one value.
    let acl = |acl| Context { acl: Some(acl), ..nothing() };
    check(
        r#"{"ForAllValues:StringLike":{"s3:x-amz-acl":"p*"}}"#,
        &[("private", true), ("x", false)],
        true,
        acl,
    );
    check(
        r#"{"ForAnyValue:StringLike":{"s3:x-amz-acl":"p*"}}"#,
        &[("private", true), ("x", false)],
        false,
        acl,
    );
}

#[test]
fn all_conditions_must_hold() {
    let condition = r#"{"StringEquals":{"s3:x-amz-acl":"private","s3:x-amz-storage-class":["STANDARD","GLACIER"]},"Bool":{"aws:SecureTransport":true}}"#;
    let context =
        Context { acl: Some("private"), storage_class: Some("GLACIER"), is_secure: true, ..nothing() };
    assert!(holds(condition, context));
    assert!(!holds(condition, Context { is_secure: false, ..context }));
    assert!(!holds(condition, Context { acl: None, ..context }));
    assert!(!holds(condition, Context { storage_class: Some("X"), ..context }));
    assert!(holds("{}", nothing()));
}

#[test]
fn every_text_key_reads_its_own_value() {
    let context = Context {
        referer: Some("aws:Referer"),
        user_agent: Some("aws:UserAgent"),
        auth_type: Some("s3:authType"),
        signature_version: Some("s3:signatureversion"),
        acl: Some("s3:x-amz-acl"),
        content_sha256: Some("s3:x-amz-content-sha256"),
        copy_source: Some("s3:x-amz-copy-source"),
        grant_full_control: Some("s3:x-amz-grant-full-control"),
        metadata_directive: Some("s3:x-amz-metadata-directive"),
        server_side_encryption: Some("s3:x-amz-server-side-encryption"),
        storage_class: Some("s3:x-amz-storage-class"),
        request_tags: &[("Env", "s3:RequestObjectTag/Env"), ("env", "lower")],
        ..nothing()
    };
    for key in [
        "aws:Referer",
        "aws:UserAgent",
        "s3:authType",
        "s3:signatureversion",
        "s3:x-amz-acl",
        "s3:x-amz-content-sha256",
        "s3:x-amz-copy-source",
        "s3:x-amz-grant-full-control",
        "s3:x-amz-metadata-directive",
        "s3:x-amz-server-side-encryption",
        "s3:x-amz-storage-class",
        "s3:RequestObjectTag/Env",
    ] {
        let condition = format!(r#"{{"StringEquals":{{"{key}":"{key}"}}}}"#);
        assert!(holds(&condition, context) && !holds(&condition, nothing()), "{key}");
    }
    assert!(holds(r#"{"StringEquals":{"AWS:UserName":"alice"}}"#, nothing()));
    assert!(!holds_for(
        Principal::Root { account: "1" },
        r#"{"StringEquals":{"aws:username":"alice"}}"#,
        nothing()
    ));
    // Those of other actions.
    let document = br#"{"Version":"2012-10-17","Statement":[
        {"Effect":"Allow","Action":"s3:ListBucket","Resource":"*","Condition":{
            "StringEquals":{"s3:prefix":["","raw/"],"s3:delimiter":"/"},"NumericLessThanEquals":{"s3:max-keys":10}}},
        {"Effect":"Allow","Action":"s3:GetObject","Resource":"*","Condition":{"StringEquals":{"s3:ExistingObjectTag/Env":"public"}}}]}"#;
    let policy = Policy::identity(document).unwrap();
    let may = |action, resource, context| {
        evaluate(&Request { principal: ALICE, action, resource, context }, Some(&policy), None).is_allowed()
    };
    let listing = Context { prefix: Some(""), delimiter: Some("/"), max_keys: Some(10), ..nothing() };
    let bucket = Resource::Bucket("in");
    assert!(may(Action::ListBucket, bucket, listing));
    assert!(!may(Action::ListBucket, bucket, Context { prefix: None, ..listing }));
    assert!(!may(Action::ListBucket, bucket, Context { max_keys: Some(11), ..listing }));
    assert!(!may(Action::ListBucket, bucket, Context { prefix: Some("raw/x"), ..listing }));
    let object = Resource::Object { bucket: "in", key: "a" };
    assert!(may(Action::GetObject, object, Context { existing_tags: &[("Env", "public")], ..nothing() }));
    assert!(!may(Action::GetObject, object, Context { existing_tags: &[("env", "public")], ..nothing() }));
    assert!(policy.reads_tags(Action::GetObject) && !policy.reads_tags(Action::ListBucket));
}
