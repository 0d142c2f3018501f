//! Short forms, presets and canned ACLs: exactly what each allows.

use std::{collections::BTreeSet, time::SystemTime};

use tintype_policy::{
    Action, BucketAccess, CannedAcl, Context, Grant, Level, Policy, Preset, Principal, PublicAccessBlock,
    Request, Resource, evaluate, is_public,
};

const ALICE: Principal<'_> = Principal::User { account: "1", name: "alice" };

/// The actions allowed on a bucket (of its keys, one), on all buckets and on routes.
fn allowed(policy: &Policy, bucket: &str, key: &str) -> BTreeSet<Action> {
    let may = |action: &&Action| {
        let resource = match action.level() {
            Level::Service => Resource::Service,
            Level::Route => Resource::Route,
            Level::Bucket => Resource::Bucket(bucket),
            Level::Object => Resource::Object { bucket, key },
        };
        let context = Context { prefix: Some(key), ..Context::at(SystemTime::UNIX_EPOCH) };
        let request = Request { principal: ALICE, action: **action, resource, context };
        evaluate(&request, Some(policy), None).is_allowed()
    };
    Action::ALL.iter().filter(may).copied().collect()
}

fn grants(texts: &[&str]) -> Policy {
    let grants: Vec<Grant> = texts.iter().map(|text| text.parse().unwrap()).collect();
    Policy::of_grants(&grants).unwrap()
}

#[track_caller]
fn assert_allowed(policy: &Policy, bucket: &str, key: &str, expected: &[Action]) {
    assert_eq!(allowed(policy, bucket, key), expected.iter().copied().collect(), "{bucket} {key}");
}

use Action::*;

const READ: &[Action] = &[
    GetObject,
    GetObjectVersion,
    GetObjectAttributes,
    GetObjectVersionAttributes,
    GetObjectTagging,
    GetObjectVersionTagging,
];
const WRITE: &[Action] = &[PutObject, PutObjectTagging, AbortMultipartUpload, ListMultipartUploadParts];
const DELETE: &[Action] = &[DeleteObject, DeleteObjectVersion, DeleteObjectTagging];
const LIST: &[Action] = &[ListBucket, ListBucketVersions, ListBucketMultipartUploads, GetBucketLocation];

#[test]
fn each_short_form_allows_its_own_and_nothing_else() {
    for (verb, actions) in [("read", READ), ("write", WRITE), ("delete", DELETE), ("list", LIST)] {
        let policy = grants(&[&format!("{verb}:in")]);
        assert_allowed(&policy, "in", "raw/a.jpg", actions);
        assert_allowed(&policy, "inn", "raw/a.jpg", &[]);
        let policy = grants(&[&format!("{verb}:in/raw/")]);
        assert_allowed(&policy, "in", "raw/a.jpg", actions);
        assert_allowed(&policy, "in", "raw/", actions);
        let location: &[_] = if verb == "list" { &[GetBucketLocation] } else { &[] };
        for other in ["raw", "rawr/a", "RAW/a", "x/raw/a", ""] {
            assert_allowed(&policy, "in", other, location);
        }
        let policy = grants(&[&format!("{verb}:*")]);
        let mut all = actions.to_vec();
        all.extend((verb == "list").then_some(ListAllMyBuckets));
        assert_allowed(&policy, "any", "a", &all);
    }
    let admin = grants(&["admin:in"]);
    let of_bucket: Vec<_> =
        Action::ALL.iter().copied().filter(|a| matches!(a.level(), Level::Bucket | Level::Object)).collect();
    assert_allowed(&admin, "in", "a", &of_bucket);
    assert_allowed(&admin, "inn", "a", &[]);
    assert_allowed(&grants(&["admin:*"]), "any", "a", Action::ALL);
    // A listing without a prefix is wider than the prefix.
    let request = Request {
        principal: ALICE,
        action: ListBucket,
        resource: Resource::Bucket("in"),
        context: Context::at(SystemTime::UNIX_EPOCH),
    };
    assert!(!evaluate(&request, Some(&grants(&["list:in/raw/"])), None).is_allowed());
    assert!(evaluate(&request, Some(&grants(&["list:in"])), None).is_allowed());
}

#[test]
fn a_prefix_is_literal() {
    let policy = grants(&["read:in/$${x}/a$"]);
    assert_allowed(&policy, "in", "$${x}/a$b", READ);
    assert_allowed(&policy, "in", "$x/a$b", &[]);
}

#[test]
fn what_is_no_short_form_is_refused() {
    for text in [
        "",
        "read",
        "read:",
        ":in",
        "READ:in",
        "read:in/",
        "read:in/*",
        "read:in/a?",
        "read:i*",
        "read:*/raw",
        "read:In",
        "reads:in",
        "admin:in/raw",
        "read:in ",
        "read: in",
        "write:../x",
        "read:${aws:username}",
        "read:in\n",
    ] {
        let error = text.parse::<Grant>().expect_err(text);
        assert!(!error.detail.is_empty(), "{text}");
    }
    assert!("raed:in".parse::<Grant>().unwrap_err().detail.contains("did you mean `read`?"));
    for text in ["read:in", "write:in/raw/", "list:*", "admin:a.b-c"] {
        assert_eq!(text.parse::<Grant>().unwrap().to_string(), text);
    }
    assert!(Policy::of_grants(&[]).is_err());
}

#[test]
fn presets() {
    let policy = |preset: Preset| preset.policy(&["in", "in2"], &["out"]).unwrap();
    let uploader = policy(Preset::Uploader);
    assert_allowed(&uploader, "in2", "a", WRITE);
    assert_allowed(&uploader, "out", "a", &[]);
    let reader = policy(Preset::ThumbnailReader);
    assert_allowed(&reader, "out", "a", &[READ, LIST].concat());
    assert_allowed(&reader, "in", "a", &[]);
    assert!("function".parse::<Preset>().is_err());
    let operator = allowed(&policy(Preset::Operator), "any", "a");
    assert!(operator.is_superset(&BTreeSet::from([
        InvokeApi,
        Read,
        Write,
        Administer,
        GetObject,
        ListBucket,
        ListAllMyBuckets
    ])));
    let changes = operator.iter().filter(|action| {
        ["s3:Put", "s3:Delete", "s3:Create"].iter().any(|verb| action.name().starts_with(verb))
    });
    assert_eq!(changes.count(), 0);
    assert_eq!("thumbnail-reader".parse(), Ok(Preset::ThumbnailReader));
    assert!("uplaoder".parse::<Preset>().unwrap_err().detail.contains("`uploader`"));
    assert!(Preset::Uploader.policy(&[], &["out"]).is_err());
    assert!(Preset::Uploader.policy(&["in/raw"], &[]).is_err());
}

#[test]
fn canned_acls() {
    let may = |acl: CannedAcl, resource: Resource<'_>, principal, action| {
        let owner = Principal::User { account: "9", name: "owner" };
        let acls = [acl.policy(resource, &owner).unwrap()];
        assert_eq!(is_public(&acls[0]), acl.is_public());
        let bucket = BucketAccess {
            name: "in",
            owner: Principal::Anonymous,
            policy: None,
            acls: &acls,
            block: PublicAccessBlock::default(),
        };
        let context = Context::at(SystemTime::UNIX_EPOCH);
        let evaluated =
            |resource| evaluate(&Request { principal, action, resource, context }, None, Some(&bucket));
        if let Resource::Object { bucket, .. } = resource {
            assert!(!evaluated(Resource::Object { bucket, key: "axb" }).is_allowed(), "another object");
        }
        evaluated(resource).is_allowed()
    };
    let owner = Principal::User { account: "9", name: "owner" };
    let (bucket, object) = (Resource::Bucket("in"), Resource::Object { bucket: "in", key: "a*b" });
    for (name, read_by_everybody, read_by_keys) in [
        ("private", false, false),
        ("public-read", true, true),
        ("public-read-write", true, true),
        ("authenticated-read", false, true),
        ("bucket-owner-read", false, false),
        ("bucket-owner-full-control", false, false),
    ] {
        let acl: CannedAcl = name.parse().unwrap();
        assert_eq!((acl.name(), acl.is_public()), (name, read_by_keys));
        for (principal, reads) in [(Principal::Anonymous, read_by_everybody), (ALICE, read_by_keys)] {
            assert_eq!(may(acl, bucket, principal, ListBucket), reads, "{name}");
            assert_eq!(may(acl, object, principal, GetObject), reads, "{name}");
            assert_eq!(acl.allows_read(&principal), reads, "{name}");
            // An object's own ACL gives nobody else the right to write it.
            assert!(!may(acl, object, principal, PutObject), "{name}");
            assert!(!may(acl, object, principal, PutObjectAcl) && !may(acl, bucket, principal, PutBucketAcl));
            let acls = [acl.policy(bucket, &owner).unwrap()];
            let bucket = BucketAccess {
                name: "in",
                owner: Principal::Anonymous,
                policy: None,
                acls: &acls,
                block: PublicAccessBlock::default(),
            };
            let puts = |action, block| {
                let context = Context::at(SystemTime::UNIX_EPOCH);
                let request = Request { principal, action, resource: object, context };
                evaluate(&request, None, Some(&BucketAccess { block, ..bucket })).is_allowed()
            };
            assert_eq!(puts(PutObject, PublicAccessBlock::default()), name == "public-read-write");
            assert!(!puts(GetObject, PublicAccessBlock::default()) && !puts(DeleteObject, bucket.block));
            assert!(!puts(PutObject, PublicAccessBlock::ALL));
        }
        assert!(may(acl, bucket, owner, PutBucketAcl) && may(acl, object, owner, GetObjectAcl));
    }
    assert_eq!(CannedAcl::default().name(), "private");
    assert!("public-reed".parse::<CannedAcl>().unwrap_err().detail.contains("`public-read`"));
    assert!(CannedAcl::Private.policy(Resource::Service, &owner).is_err());
    // An owner that no policy can name is left out, and the others are not denied what a policy allows them.
    let nameless = CannedAcl::Private.policy(object, &Principal::Anonymous).unwrap();
    let bucket = BucketAccess {
        name: "in",
        owner: Principal::Anonymous,
        policy: None,
        acls: &[nameless],
        block: PublicAccessBlock::ALL,
    };
    let request = Request {
        principal: ALICE,
        action: GetObject,
        resource: object,
        context: Context::at(SystemTime::UNIX_EPOCH),
    };
    assert!(evaluate(&request, Some(&grants(&["read:in"])), Some(&bucket)).is_allowed());
    assert!(!evaluate(&request, None, Some(&bucket)).is_allowed());
}
