//! Somebody who wants more rights than granted.

use std::time::SystemTime;

use tintype_policy::{
    Action, BucketAccess, Context, Grant, Level, Policy, Principal, PublicAccessBlock, Request, Resource,
    evaluate,
};

const OWNER: Principal<'_> = Principal::User { account: "1", name: "owner" };
const ALICE: Principal<'_> = Principal::User { account: "1", name: "alice" };

fn identity(members: &str) -> Policy {
    Policy::identity(
        format!(r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Allow",{members}}}}}"#).as_bytes(),
    )
    .unwrap()
}

fn may(principal: Principal<'_>, policy: &Policy, action: Action, resource: Resource<'_>) -> bool {
    let context = Context::at(SystemTime::UNIX_EPOCH);
    evaluate(&Request { principal, action, resource, context }, Some(policy), None).is_allowed()
}

fn access<'p>(owner: Principal<'p>, policy: Option<&'p Policy>) -> BucketAccess<'p> {
    BucketAccess { name: "in", owner, policy, acls: &[], block: PublicAccessBlock::default() }
}

#[test]
fn a_bucket_whose_name_is_a_path_reaches_no_object() {
    let policy =
        Policy::of_grants(&["read:in/raw/".parse::<Grant>().unwrap(), "admin:in".parse().unwrap()]).unwrap();
    for bucket in ["in/raw", "in/", "", "/in"] {
        assert!(!may(ALICE, &policy, Action::DeleteBucket, Resource::Bucket(bucket)), "{bucket}");
        assert!(
            !may(ALICE, &policy, Action::GetObject, Resource::Object { bucket, key: "raw/a" }),
            "{bucket}"
        );
    }
}

#[test]
fn an_action_on_what_it_cannot_be_taken_on_is_refused_even_to_the_owner() {
    let all = identity(r#""Action":"*","Resource":"*""#);
    let resources = [
        Resource::Service,
        Resource::Bucket("in"),
        Resource::Object { bucket: "in", key: "a" },
        Resource::Route,
    ];
    for action in Action::ALL {
        for resource in resources {
            let is_right = action.level() == resource.level();
            assert_eq!(may(OWNER, &all, *action, resource), is_right, "{action} {resource:?}");
            let request = Request {
                principal: OWNER,
                action: *action,
                resource,
                context: Context::at(SystemTime::UNIX_EPOCH),
            };
            let is_in_bucket = is_right && matches!(action.level(), Level::Bucket | Level::Object);
            let bucket = access(OWNER, None);
            let allowed = evaluate(&request, None, resource.bucket().map(|_| &bucket)).is_allowed();
            assert_eq!(allowed, is_in_bucket, "{action} {resource:?}");
        }
    }
}

#[test]
fn rights_on_buckets_are_none_on_the_console() {
    for policy in [
        identity(r#""Action":"*","Resource":"arn:aws:s3:::*""#),
        identity(r#""NotAction":"s3:DeleteBucket","Resource":"arn:aws:s3:::*""#),
        identity(r#""Action":"s3:*","Resource":"*""#),
    ] {
        for action in [Action::InvokeApi, Action::Read, Action::Write, Action::Administer] {
            assert!(!may(ALICE, &policy, action, Resource::Route), "{policy}");
        }
        assert!(may(ALICE, &policy, Action::ListAllMyBuckets, Resource::Service));
    }
    let one = identity(r#""Action":"s3:*","Resource":["arn:aws:s3:::i*","arn:aws:s3:::?"]"#);
    assert!(!may(ALICE, &one, Action::ListAllMyBuckets, Resource::Service));
}

#[test]
fn names_do_not_become_patterns_or_paths() {
    let home = identity(r#""Action":"s3:*","Resource":"arn:aws:s3:::in/home/${aws:username}/*""#);
    let of_bob = Resource::Object { bucket: "in", key: "home/bob/a" };
    for name in ["*", "?ob", "${aws:username}", "bob/../bob", "", "bob/a/", "bo", "Bob", "bob\0"] {
        assert!(!may(Principal::User { account: "1", name }, &home, Action::GetObject, of_bob), "{name}");
    }
    assert!(may(Principal::User { account: "1", name: "bob" }, &home, Action::GetObject, of_bob));
    for name in ["bob/a", "x/y"] {
        let key = format!("home/{name}/b");
        let own = Resource::Object { bucket: "in", key: &key };
        assert!(!may(Principal::User { account: "1", name }, &home, Action::GetObject, own), "{name}");
    }
    assert!(!may(
        Principal::Root { account: "1" },
        &home,
        Action::GetObject,
        Resource::Object { bucket: "in", key: "home//a" }
    ));
}

/// What a variable excepts is everything once the variable has no value: then the statement allows nothing.
#[test]
fn principals_without_a_name_gain_nothing_by_exceptions() {
    let document =
        br#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":"*","Action":"s3:GetObject",
        "NotResource":"arn:aws:s3:::in/private/${aws:username}/*"}}"#;
    let not_resource = Policy::of_bucket(document, "in").unwrap();
    let document =
        br#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":"*","Action":"s3:GetObject",
        "Resource":"arn:aws:s3:::in/*","Condition":{"StringNotEquals":{"aws:Referer":"${aws:username}"}}}}"#;
    let negated = Policy::of_bucket(document, "in").unwrap();
    let document =
        br#"{"Version":"2012-10-17","Statement":{"Effect":"Deny","Principal":"*","Action":"s3:GetObject",
        "NotResource":"arn:aws:s3:::in/${aws:username}/*"}}"#;
    let denied = Policy::of_bucket(document, "in").unwrap();
    for principal in [Principal::Anonymous, Principal::Root { account: "1" }, ALICE] {
        let resource = Resource::Object { bucket: "in", key: "alice/a" };
        let request = Request {
            principal,
            action: Action::GetObject,
            resource,
            context: Context::at(SystemTime::UNIX_EPOCH),
        };
        for policy in [&not_resource, &negated] {
            assert_eq!(
                evaluate(&request, None, Some(&access(OWNER, Some(policy)))).is_allowed(),
                principal == ALICE
            );
        }
        let all = identity(r#""Action":"*","Resource":"*""#);
        let decision = evaluate(&request, Some(&all), Some(&access(OWNER, Some(&denied))));
        assert_eq!(decision.is_allowed(), principal == ALICE);
    }
}

#[test]
fn a_policy_in_the_wrong_place_allows_nothing() {
    let of_in = Policy::of_bucket(
        br#"{"Statement":{"Effect":"Allow","Principal":"*","Action":"s3:*","Resource":["arn:aws:s3:::*","arn:aws:s3:::*/*"]}}"#,
        "in",
    )
    .unwrap();
    let all = identity(r#""Action":"*","Resource":"*""#);
    let request = |principal, bucket| Request {
        principal,
        action: Action::GetObject,
        resource: Resource::Object { bucket, key: "a" },
        context: Context::at(SystemTime::UNIX_EPOCH),
    };
    assert!(evaluate(&request(ALICE, "in"), None, Some(&access(OWNER, Some(&of_in)))).is_allowed());
    // Another bucket's policy, a bucket's as an identity's, an identity's as a bucket's.
    for principal in [ALICE, OWNER, Principal::Anonymous] {
        assert!(!evaluate(&request(principal, "out"), None, Some(&access(OWNER, Some(&of_in)))).is_allowed());
        assert!(!evaluate(&request(principal, "in"), None, Some(&access(OWNER, Some(&all)))).is_allowed());
    }
    assert!(!evaluate(&request(ALICE, "in"), Some(&of_in), None).is_allowed());
    // Another bucket of the owner, whatever the resource.
    for resource in [Resource::Bucket("out"), Resource::Service, Resource::Route] {
        for action in Action::ALL.iter().filter(|action| action.level() == resource.level()) {
            let request = Request { action: *action, resource, ..request(OWNER, "out") };
            assert!(!evaluate(&request, None, Some(&access(OWNER, None))).is_allowed(), "{action}");
        }
    }
    // An identity's policy for somebody who has none.
    assert!(!evaluate(&request(Principal::Anonymous, "in"), Some(&all), None).is_allowed());
    // Nobody owns what nobody owns.
    assert!(
        !evaluate(&request(Principal::Anonymous, "in"), None, Some(&access(Principal::Anonymous, None)))
            .is_allowed()
    );
}

#[test]
fn keys_are_compared_byte_by_byte() {
    let policy = Policy::of_grants(&["read:in/raw/".parse::<Grant>().unwrap()]).unwrap();
    for key in
        ["raw%2Fa", "/raw/a", "./raw/a", "raw\\a", "RAW/a", "raw", "raw\u{2215}a", " raw/a", "ra\u{0}w/a"]
    {
        assert!(!may(ALICE, &policy, Action::GetObject, Resource::Object { bucket: "in", key }), "{key}");
    }
    assert!(
        may(ALICE, &policy, Action::GetObject, Resource::Object { bucket: "in", key: "raw/../secret" }),
        "a key, no path"
    );
}

#[test]
fn a_deny_is_not_escaped_by_leaving_a_header_out() {
    let document = br#"{"Version":"2012-10-17","Statement":[
        {"Effect":"Allow","Principal":"*","Action":"s3:PutObject","Resource":"arn:aws:s3:::in/*"},
        {"Effect":"Deny","Principal":"*","Action":"s3:PutObject","Resource":"arn:aws:s3:::in/*",
         "Condition":{"StringNotEquals":{"s3:x-amz-server-side-encryption":"AES256"}}},
        {"Effect":"Deny","Principal":"*","Action":"s3:PutObject","Resource":"arn:aws:s3:::in/*",
         "Condition":{"NotIpAddress":{"aws:SourceIp":"192.0.2.0/24"}}},
        {"Effect":"Deny","Principal":"*","Action":"s3:PutObject","Resource":"arn:aws:s3:::in/*",
         "Condition":{"ForAnyValue:StringNotEquals":{"s3:RequestObjectTagKeys":["env"]}}}]}"#;
    let policy = Policy::of_bucket(document, "in").unwrap();
    let right = Context {
        server_side_encryption: Some("AES256"),
        source_ip: Some([192, 0, 2, 1].into()),
        request_tags: &[("env", "")],
        ..Context::at(SystemTime::UNIX_EPOCH)
    };
    let may = |context| {
        let resource = Resource::Object { bucket: "in", key: "a" };
        let request = Request { principal: ALICE, action: Action::PutObject, resource, context };
        evaluate(&request, None, Some(&access(OWNER, Some(&policy)))).is_allowed()
    };
    assert!(may(right));
    assert!(!may(Context { server_side_encryption: None, ..right }));
    assert!(!may(Context { server_side_encryption: Some("aes256"), ..right }));
    assert!(!may(Context { source_ip: None, ..right }));
    assert!(!may(Context { request_tags: &[("env", ""), ("admin", "")], ..right }));
}
