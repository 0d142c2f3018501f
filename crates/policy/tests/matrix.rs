//! Who may do what by which policies.

use std::time::SystemTime;

use tintype_policy::{
    Action, BucketAccess, CannedAcl, Context, Decision, Policy, PolicyKind, Principal, PublicAccessBlock,
    Request, Resource, evaluate,
};

const OWNER: Principal<'_> = Principal::User { account: "1", name: "owner" };
const ALICE: Principal<'_> = Principal::User { account: "1", name: "alice" };
const STRANGER: Principal<'_> = Principal::User { account: "2", name: "alice" };
const OBJECT: Resource<'_> = Resource::Object { bucket: "in", key: "a.jpg" };

fn identity(effects: &[&str]) -> Option<Policy> {
    let statements: Vec<String> = effects
        .iter()
        .map(|effect| {
            format!(r#"{{"Effect":"{effect}","Action":"s3:GetObject","Resource":"arn:aws:s3:::in/*"}}"#)
        })
        .collect();
    let document = format!(r#"{{"Version":"2012-10-17","Statement":[{}]}}"#, statements.join(","));
    (!effects.is_empty()).then(|| Policy::identity(document.as_bytes()).unwrap())
}

fn bucket_policy(effects: &[&str], principal: &str, action: &str) -> Option<Policy> {
    let statements: Vec<String> = effects
        .iter()
        .map(|effect| {
            format!(
                r#"{{"Effect":"{effect}",{principal},"Action":"{action}","Resource":["arn:aws:s3:::in","arn:aws:s3:::in/*"]}}"#
            )
        })
        .collect();
    let document = format!(r#"{{"Version":"2012-10-17","Statement":[{}]}}"#, statements.join(","));
    (!effects.is_empty()).then(|| Policy::of_bucket(document.as_bytes(), "in").unwrap())
}

fn request(principal: Principal<'_>, action: Action) -> Request<'_> {
    let resource = match action.level() {
        tintype_policy::Level::Object => OBJECT,
        _ => Resource::Bucket("in"),
    };
    Request { principal, action, resource, context: Context::at(SystemTime::UNIX_EPOCH) }
}

fn access(policy: Option<&Policy>) -> BucketAccess<'_> {
    BucketAccess { name: "in", owner: OWNER, policy, acls: &[], block: PublicAccessBlock::default() }
}

const EFFECTS: [&[&str]; 5] = [&[], &["Allow"], &["Deny"], &["Allow", "Deny"], &["Deny", "Allow"]];

#[test]
fn deny_wins_then_either_allows_then_ownership() {
    let mut tried = 0;
    for of_identity in EFFECTS {
        for of_bucket in EFFECTS {
            for principal in [Principal::Anonymous, ALICE, STRANGER, OWNER] {
                let (identity, policy) =
                    (identity(of_identity), bucket_policy(of_bucket, r#""Principal":"*""#, "s3:GetObject"));
                let decision = evaluate(
                    &request(principal, Action::GetObject),
                    identity.as_ref(),
                    Some(&access(policy.as_ref())),
                );
                let of_identity = if principal == Principal::Anonymous { &[] } else { of_identity };
                let expected = if of_identity.contains(&"Deny") || of_bucket.contains(&"Deny") {
                    false
                } else {
                    of_identity.contains(&"Allow") || of_bucket.contains(&"Allow") || principal == OWNER
                };
                assert_eq!(
                    decision.is_allowed(),
                    expected,
                    "{of_identity:?} {of_bucket:?} {principal:?}: {decision}"
                );
                match decision {
                    Decision::DeniedBy(rule) => {
                        let of = if of_identity.contains(&"Deny") {
                            (PolicyKind::Identity, of_identity)
                        } else {
                            (PolicyKind::Bucket, of_bucket)
                        };
                        assert_eq!((rule.policy, of.1[rule.index]), (of.0, "Deny"));
                    }
                    Decision::AllowedBy(rule) => {
                        let of = if rule.policy == PolicyKind::Identity { of_identity } else { of_bucket };
                        assert_eq!(of[rule.index], "Allow");
                    }
                    Decision::AllowedToOwner => assert_eq!(principal, OWNER),
                    Decision::NotAllowed => assert_ne!(principal, OWNER),
                }
                tried += 1;
            }
        }
    }
    assert_eq!(tried, 100);
}

#[test]
fn whom_a_statement_is_about() {
    let root = Principal::Root { account: "1" };
    let principals = [Principal::Anonymous, root, ALICE, STRANGER];
    for (principal, allows, denies) in [
        (r#""Principal":"*""#, [true, true, true, true], [true, true, true, true]),
        (r#""Principal":{"AWS":"*"}"#, [true, true, true, true], [true, true, true, true]),
        (r#""Principal":{"AWS":"1"}"#, [false, true, false, false], [false, true, true, false]),
        (
            r#""Principal":{"AWS":["arn:aws:iam::1:root"]}"#,
            [false, true, false, false],
            [false, true, true, false],
        ),
        (
            r#""Principal":{"AWS":"arn:aws:iam::1:user/alice"}"#,
            [false, false, true, false],
            [false, false, true, false],
        ),
        (
            r#""Principal":{"AWS":["arn:aws:iam::2:user/alice","2"]}"#,
            [false, false, false, true],
            [false, false, false, true],
        ),
    ] {
        let allow = bucket_policy(&["Allow"], principal, "s3:*").unwrap();
        let deny = bucket_policy(&["Deny"], principal, "s3:*").unwrap();
        for (at, who) in principals.into_iter().enumerate() {
            let request = request(who, Action::GetObject);
            assert_eq!(
                evaluate(&request, None, Some(&access(Some(&allow)))).is_allowed(),
                allows[at],
                "{principal} {who:?}"
            );
            let denied =
                matches!(evaluate(&request, None, Some(&access(Some(&deny)))), Decision::DeniedBy(_));
            assert_eq!(denied, denies[at], "{principal} {who:?}");
        }
    }
    let all_but =
        bucket_policy(&["Deny"], r#""NotPrincipal":{"AWS":"arn:aws:iam::1:user/alice"}"#, "s3:*").unwrap();
    let allowed = identity(&["Allow"]);
    for who in principals {
        let decision =
            evaluate(&request(who, Action::GetObject), allowed.as_ref(), Some(&access(Some(&all_but))));
        assert_eq!(decision.is_allowed(), who == ALICE, "{who:?}");
    }
}

#[test]
fn owners_are_never_locked_out_of_their_policy_but_by_their_own() {
    let denied = bucket_policy(&["Deny"], r#""Principal":"*""#, "s3:*").unwrap();
    let all = Policy::identity(br#"{"Statement":{"Effect":"Deny","Action":"*","Resource":"*"}}"#).unwrap();
    for action in [Action::GetBucketPolicy, Action::PutBucketPolicy, Action::DeleteBucketPolicy] {
        assert!(evaluate(&request(OWNER, action), None, Some(&access(Some(&denied)))).is_allowed());
        assert!(!evaluate(&request(OWNER, action), Some(&all), Some(&access(Some(&denied)))).is_allowed());
        assert!(!evaluate(&request(ALICE, action), None, Some(&access(Some(&denied)))).is_allowed());
    }
    for action in [Action::GetBucketPolicyStatus, Action::DeleteBucket, Action::GetObject] {
        assert!(!evaluate(&request(OWNER, action), None, Some(&access(Some(&denied)))).is_allowed());
    }
}

#[test]
fn not_action_and_not_resource() {
    let document = br#"{"Version":"2012-10-17","Statement":[
        {"Sid":"ButDelete","Effect":"Allow","NotAction":["s3:Delete*","s3:PutBucketPolicy"],"Resource":"*"},
        {"Sid":"OnlyRaw","Effect":"Deny","Action":"s3:PutObject","NotResource":"arn:aws:s3:::in/raw/*"}]}"#;
    let policy = Policy::identity(document).unwrap();
    let may = |action, resource| {
        let request =
            Request { principal: ALICE, action, resource, context: Context::at(SystemTime::UNIX_EPOCH) };
        evaluate(&request, Some(&policy), None).is_allowed()
    };
    let raw = Resource::Object { bucket: "in", key: "raw/a" };
    assert!(
        may(Action::GetObject, OBJECT)
            && may(Action::PutObject, raw)
            && may(Action::ListBucket, Resource::Bucket("in"))
    );
    assert!(may(Action::Administer, Resource::Route) && may(Action::ListAllMyBuckets, Resource::Service));
    assert!(!may(Action::DeleteObject, raw) && !may(Action::PutObject, OBJECT));
    assert!(!may(Action::PutBucketPolicy, Resource::Bucket("in")));
}

#[test]
fn public_access_is_blocked() {
    let public = bucket_policy(&["Allow"], r#""Principal":"*""#, "s3:GetObject").unwrap();
    let acls = [CannedAcl::PublicRead.policy(OBJECT, &OWNER).unwrap()];
    let may = |principal, policy, acls, block| {
        let bucket = BucketAccess { name: "in", owner: OWNER, policy, acls, block };
        evaluate(&request(principal, Action::GetObject), None, Some(&bucket)).is_allowed()
    };
    let open = PublicAccessBlock::default();
    for principal in [Principal::Anonymous, STRANGER, ALICE, OWNER] {
        assert!(may(principal, Some(&public), &[], open) && may(principal, None, &acls, open));
        let of_account = principal.account() == OWNER.account();
        assert_eq!(may(principal, Some(&public), &[], PublicAccessBlock::ALL), of_account, "{principal:?}");
        assert_eq!(may(principal, None, &acls, PublicAccessBlock::ALL), principal == OWNER, "{principal:?}");
    }
    let named =
        bucket_policy(&["Allow"], r#""Principal":{"AWS":"arn:aws:iam::2:user/alice"}"#, "s3:GetObject")
            .unwrap();
    assert!(may(STRANGER, Some(&named), &[], PublicAccessBlock::ALL));
}

#[test]
fn decisions_read_well_in_an_audit_line() {
    let policy = bucket_policy(&["Deny"], r#""Sid":"No","Principal":"*""#, "s3:*").unwrap();
    for (principal, policy, expected) in [
        (ALICE, Some(&policy), "denied by bucket policy, statement 0 (No)"),
        (ALICE, None, "denied: no statement allows it"),
        (OWNER, None, "allowed to the bucket's owner"),
    ] {
        assert_eq!(
            evaluate(&request(principal, Action::GetObject), None, Some(&access(policy))).to_string(),
            expected
        );
    }
}
