//! Who may do what: keys by their rights, against buckets by their owner, policy, ACL and PublicAccessBlock.

mod common;

use std::sync::Arc;

use common::{IN, Opened, at, cause, open, put};
use http::HeaderMap;
use tintype::{
    auth::{
        ACCOUNT, AccessKeys, Action, Authorizer, Client, Credentials, KeyError, Principal, RequestContext,
        Resource, Rights,
    },
    storage::{
        AccessKeyRecord, CopyOptions, ObjectDetails, ObjectOwnership, PublicAccess, PublicAccessBlockRecord,
        StoreFault, StoredHeaders,
    },
};
use tintype_pipeline::store::Condition;
use tintype_policy::{CannedAcl, PublicAccessBlock};

const BUCKET: &str = "of-alice";

fn statement(effect: &str, principal: &str, action: &str) -> String {
    format!(
        "{{\"Effect\":\"{effect}\",\"Principal\":{principal},\"Action\":\"{action}\",\
         \"Resource\":[\"arn:aws:s3:::{BUCKET}/*\",\"arn:aws:s3:::{BUCKET}\"]}}"
    )
}

fn user(name: &str) -> String {
    format!("{{\"AWS\":\"arn:aws:iam::{ACCOUNT}:user/{name}\"}}")
}

#[test]
fn rights_of_keys_against_what_buckets_say() {
    let data = tempfile::tempdir().unwrap();
    let opened = open(data.path());
    let store = opened.store.clone();
    let root = Credentials::new("root", "0123456789abcdef");
    let keys = Arc::new(AccessKeys::open(root, store.clone(), &opened.settings).unwrap());
    let add = |name: &str, allow: &[&str], policy: Option<&str>| {
        let allow = allow.iter().map(|text| (*text).to_owned()).collect();
        let rights = Rights { allow, policy: policy.map(Into::into), ..Rights::default() };
        Principal::AccessKey(keys.add(name, rights).unwrap().access_key_id.into())
    };
    let deny = "{\"Version\":\"2012-10-17\",\"Statement\":{\"Effect\":\"Deny\",\"Action\":\"s3:GetObject\",\"Resource\":\"*\"}}";
    let principals = [
        ("root", Principal::AccessKey("root".into())),
        ("alice", add("alice", &[], None)),
        ("bob", add("bob", &[], None)),
        ("reader", add("reader", &["read:of-alice"], None)),
        ("admin", add("admin", &["admin:*"], None)),
        ("denied", add("denied", &["read:of-alice"], Some(deny))),
        ("nobody", Principal::Anonymous),
        ("removed", Principal::AccessKey("TTNOBODY".into())),
    ];
    store.buckets.create(BUCKET, Some("alice".into())).unwrap();
    put(&store, &at(BUCKET, "open"), b"x").unwrap();
    put(&store, &at(BUCKET, "closed"), b"x").unwrap();
    store.objects.set_acl(&at(BUCKET, "open"), CannedAcl::PublicRead).unwrap();
    let context = RequestContext::new(Client::default(), &HeaderMap::new());
    let authorizer = Authorizer::new(keys.clone(), store.clone(), PublicAccessBlock::ALL);
    let who = |action, key: &str| -> Vec<&str> {
        let object = Resource::Object { bucket: BUCKET, key };
        let resource = if key.is_empty() { Resource::Bucket(BUCKET) } else { object };
        let may = principals
            .iter()
            .filter(|(_, principal)| authorizer.authorize(principal, action, &resource, &context).is_ok());
        may.map(|(name, _)| *name).collect()
    };
    let set = |policy: Option<String>| {
        let policy = policy.map(|text| format!("{{\"Version\":\"2012-10-17\",\"Statement\":[{text}]}}"));
        store.buckets.set_policy(BUCKET, policy).unwrap();
    };
    let block = |all: bool| {
        let set = PublicAccess {
            block_public_acls: all,
            ignore_public_acls: all,
            block_public_policy: all,
            restrict_public_buckets: all,
        };
        store.buckets.set_public_access_block(BUCKET, PublicAccessBlockRecord::Set(set)).unwrap();
    };

    // Without a policy: by their own rights, and the owner.
    for key in ["open", "closed"] {
        assert_eq!(who(Action::GetObject, key), ["root", "alice", "reader", "admin"]);
        assert_eq!(who(Action::PutObject, key), ["root", "alice", "admin"]);
    }
    assert_eq!(who(Action::ListBucket, ""), ["root", "alice", "admin"]);
    // A policy allows one more, and only that.
    set(Some(statement("Allow", &user("bob"), "s3:GetObject")));
    assert_eq!(who(Action::GetObject, "closed"), ["root", "alice", "bob", "reader", "admin"]);
    assert_eq!(who(Action::PutObject, "closed"), ["root", "alice", "admin"]);
    // What a policy denies, no right and no ownership allows.
    set(Some(statement("Deny", "\"*\"", "s3:GetObject")));
    assert_eq!(who(Action::GetObject, "open"), ["root"]);
    set(Some(statement("Deny", &user("alice"), "s3:*")));
    assert_eq!(who(Action::GetObject, "closed"), ["root", "reader", "admin"]);
    // So that nobody is locked out of their own bucket.
    assert_eq!(who(Action::PutBucketPolicy, ""), ["root", "alice", "admin"]);
    // Everybody is allowed only where nothing blocks it; a key's own deny wins all the same.
    set(Some(statement("Allow", "\"*\"", "s3:GetObject")));
    assert_eq!(who(Action::GetObject, "closed"), ["root", "alice", "bob", "reader", "admin"]);
    block(false);
    assert_eq!(who(Action::GetObject, "closed"), ["root", "alice", "bob", "reader", "admin", "nobody"]);
    set(None);
    // An object's ACL, where it is not ignored.
    assert_eq!(who(Action::GetObject, "open"), ["root", "alice", "bob", "reader", "admin", "nobody"]);
    assert_eq!(who(Action::GetObject, "closed"), ["root", "alice", "reader", "admin"]);
    assert_eq!(who(Action::PutObject, "open"), ["root", "alice", "admin"]);
    let set_acl = |acl| store.objects.set_acl(&at(BUCKET, "open"), acl).unwrap();
    set_acl(CannedAcl::AuthenticatedRead);
    assert_eq!(who(Action::GetObject, "open"), ["root", "alice", "bob", "reader", "admin"]);
    set_acl(CannedAcl::PublicReadWrite);
    assert_eq!(who(Action::GetObject, "open"), ["root", "alice", "bob", "reader", "admin", "nobody"]);
    assert_eq!(who(Action::PutObject, "open"), ["root", "alice", "admin"]);
    // Ownership controls that disable ACLs disable those of objects, too.
    store.buckets.set_ownership(BUCKET, Some(ObjectOwnership::BucketOwnerEnforced)).unwrap();
    assert_eq!(who(Action::GetObject, "open"), ["root", "alice", "reader", "admin"]);
    assert!(matches!(store.buckets.set_acl(BUCKET, CannedAcl::PublicRead), Err(StoreFault::AclsDisabled)));
    store.buckets.set_ownership(BUCKET, Some(ObjectOwnership::ObjectWriter)).unwrap();
    assert_eq!(who(Action::GetObject, "open"), ["root", "alice", "bob", "reader", "admin", "nobody"]);
    store.buckets.set_ownership(BUCKET, None).unwrap();
    // The bucket's ACL.
    let owners = || vec!["root", "alice", "admin"];
    let all_keys = || vec!["root", "alice", "bob", "reader", "admin", "denied"];
    let everybody = || [all_keys(), vec!["nobody"]].concat();
    for (acl, reads, writes) in [
        (CannedAcl::PublicRead, everybody(), owners()),
        (CannedAcl::AuthenticatedRead, all_keys(), owners()),
        (CannedAcl::PublicReadWrite, everybody(), everybody()),
        (CannedAcl::Private, owners(), owners()),
    ] {
        store.buckets.set_acl(BUCKET, acl).unwrap();
        assert_eq!(who(Action::ListBucket, ""), reads, "{acl}");
        assert_eq!(who(Action::PutObject, "closed"), writes, "{acl}");
        assert_eq!(who(Action::DeleteObject, "closed"), ["root", "alice", "admin"], "{acl}");
        // With ACLs disabled it could not be.
        let disabled = store.buckets.set_ownership(BUCKET, Some(ObjectOwnership::BucketOwnerEnforced));
        assert_eq!(disabled.is_err(), acl.is_public(), "{acl}");
        store.buckets.set_ownership(BUCKET, None).unwrap();
    }
    set_acl(CannedAcl::PublicRead);
    block(true);
    assert_eq!(who(Action::GetObject, "open"), ["root", "alice", "reader", "admin"]);
    // A key that is removed may nothing more, at once.
    keys.remove("admin").unwrap();
    assert_eq!(who(Action::PutObject, "open"), ["root", "alice"]);
    // Its routes are not the buckets'.
    let route = Resource::Route("/");
    let may = principals
        .iter()
        .filter(|(_, principal)| authorizer.authorize(principal, Action::Read, &route, &context).is_ok());
    assert_eq!(may.map(|(name, _)| *name).collect::<Vec<_>>(), ["root"]);
}

#[test]
fn an_acl_is_set_with_its_object_and_of_no_other() {
    let data = tempfile::tempdir().unwrap();
    let opened = open(data.path());
    let (objects, at) = (&opened.store.objects, at(IN, "a"));
    let put = |acl: CannedAcl| {
        let mut incoming = objects.begin(&at, StoredHeaders::default()).unwrap();
        incoming.set_details(ObjectDetails { acl, ..ObjectDetails::default() });
        objects.commit(&at, incoming, Condition::Any, cause()).unwrap();
    };
    use CannedAcl::{AuthenticatedRead, Private, PublicRead, PublicReadWrite};
    for (acl, public) in [
        (PublicRead, 1),
        (Private, 0),
        (AuthenticatedRead, 1),
        (PublicRead, 1),
        (PublicReadWrite, 1),
        (Private, 0),
    ] {
        put(acl);
        assert_eq!(objects.acl(&at).unwrap(), acl);
        assert_eq!(objects.public_count().unwrap(), public, "{acl}");
        for again in [AuthenticatedRead, PublicRead, acl] {
            objects.set_acl(&at, again).unwrap();
            assert_eq!(objects.acl(&at).unwrap(), again);
        }
    }
    let copy = |acl| {
        let details = ObjectDetails { acl, ..ObjectDetails::default() };
        let options = CopyOptions { headers: None, condition: Condition::Any, details };
        objects.copy(&objects.open(&at).unwrap().unwrap(), &at, options, cause()).unwrap();
    };
    copy(Private);
    assert_eq!(objects.acl(&at).unwrap(), Private);
    copy(AuthenticatedRead);
    assert_eq!(objects.acl(&at).unwrap(), AuthenticatedRead);
    objects.delete(&at, None, cause()).unwrap();
    assert_eq!((objects.acl(&at).unwrap(), objects.public_count().unwrap()), (Private, 0));
}

fn keys(opened: &Opened) -> AccessKeys {
    let root = Credentials::new("root", "0123456789abcdef");
    AccessKeys::open(root, opened.store.clone(), &opened.settings).unwrap()
}

#[test]
fn a_key_whose_rights_cannot_be_read_is_a_key_all_the_same() {
    let data = tempfile::tempdir().unwrap();
    let opened = open(data.path());
    let record = AccessKeyRecord {
        created_ms: 0,
        credentials: Vec::new(),
        allow: vec!["of-a-later-version:in".into()],
        preset: None,
        policy: None,
        daily_bytes: None,
    };
    opened.store.access_keys.put("later", record).unwrap();
    let keys = keys(&opened);
    assert!(keys.list().is_empty());
    assert!(!keys.is_root_alone(), "local programs would be trusted again");
    assert!(matches!(keys.add("later", Rights::default()), Err(KeyError::Taken(_))));
    keys.remove("later").unwrap();
    assert!(keys.is_root_alone());
}

#[test]
fn what_is_in_force_is_what_is_stored_after_a_fault_too() {
    let data = tempfile::tempdir().unwrap();
    let opened = open(data.path());
    let (keys, stored) = (keys(&opened), &opened.store.access_keys);
    // As after a removal that was stored and not put in force.
    let id = keys.add("k", Rights::default()).unwrap().access_key_id;
    stored.remove("k").unwrap();
    assert!(keys.key(&id).is_some());
    keys.remove("k").unwrap();
    assert!(keys.key(&id).is_none());
    assert!(matches!(keys.remove("k"), Err(KeyError::Unknown(_))));
    let id = keys.add("k", Rights::default()).unwrap().access_key_id;
    opened.faults.fail_syncs("ledger.redb", 1);
    keys.remove("k").unwrap_err();
    let stored: Vec<_> = stored.list().unwrap().into_iter().map(|(name, _)| name).collect();
    assert_eq!(keys.list().iter().map(|key| key.name.clone()).collect::<Vec<_>>(), stored);
    if !stored.is_empty() {
        keys.remove("k").unwrap();
    }
    assert!(keys.key(&id).is_none());
}

#[test]
fn no_key_has_the_name_of_another_principal() {
    let data = tempfile::tempdir().unwrap();
    let keys = keys(&open(data.path()));
    for name in ["anonymous", "function", "guest", "root"] {
        assert!(matches!(keys.add(name, Rights::default()), Err(KeyError::Invalid(_))), "{name}");
    }
    assert!(keys.is_root_alone());
}
