//! Documents: what is read, what is refused and how, what is printed.

use proptest::prelude::*;
use tintype_policy::{Fault, MAX_BYTES, Policy, is_public};

fn statement(members: &str) -> String {
    format!(r#"{{"Version":"2012-10-17","Statement":[{{{members}}}]}}"#)
}

fn bucket(document: &str) -> Result<Policy, tintype_policy::Error> {
    Policy::of_bucket(document.as_bytes(), "in")
}

const ALLOW: &str =
    r#""Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::in/*""#;

#[track_caller]
fn refused(document: &str, expected: &str) {
    let error = bucket(document).expect_err(document).to_string();
    assert_eq!(error, expected, "{document}");
}

#[test]
fn refusals_say_where_what_and_what_to_do() {
    for (members, expected) in [
        (
            r#""Effect":"Allow""#,
            "Missing required field Principal: Statement[0]: there is neither `Principal` nor `NotPrincipal`; add one",
        ),
        (
            r#""Principal":"*","Action":"s3:*","Resource":"arn:aws:s3:::in""#,
            "Missing required field Effect: Statement[0]: there is no `Effect`; add it",
        ),
        (
            &ALLOW.replace("Action", "Aktion"),
            "Invalid policy syntax: Statement[0]: \"Aktion\" is no element here; did you mean `Action`?",
        ),
        (
            &ALLOW.replace("Allow", "allow"),
            "Invalid effect: Statement[0].Effect: \"allow\" is no effect; write \"Allow\" or \"Deny\"",
        ),
        (
            &ALLOW.replace("s3:GetObject", "s3:GetObjects"),
            "Policy has invalid action: Statement[0].Action: \"s3:GetObjects\" is no action of a policy of this kind; did you mean `s3:GetObject`?",
        ),
        (
            &ALLOW.replace("s3:GetObject", "tintype:Read"),
            "Policy has invalid action: Statement[0].Action: \"tintype:Read\" is no action of a policy of this kind",
        ),
        (
            &ALLOW.replace("\"s3:GetObject\"", r#"["s3:GetObject","x"]"#),
            "Policy has invalid action: Statement[0].Action[1]: \"x\" is no action of a policy of this kind",
        ),
        (
            &ALLOW.replace(":::in/*", ":::other/*"),
            "Policy has invalid resource: Statement[0].Resource: \"arn:aws:s3:::other/*\" is not in the bucket in; write \"arn:aws:s3:::in\" or \"arn:aws:s3:::in/*\"",
        ),
        (
            &ALLOW.replace(":::in/*", ":::in"),
            "Action does not apply to any resource(s) in statement: Statement[0].Action: \"s3:GetObject\": it is taken on objects; add a resource like `arn:aws:s3:::BUCKET/*`",
        ),
        (
            &ALLOW.replace("s3:GetObject", "s3:ListBucket"),
            "Action does not apply to any resource(s) in statement: Statement[0].Action: \"s3:ListBucket\": it is taken on buckets; add a resource like `arn:aws:s3:::BUCKET`",
        ),
        (
            &ALLOW.replace("\"*\"", "\"1\""),
            "Invalid principal in policy: Statement[0].Principal: \"1\" is no principal; write \"*\" or {\"AWS\": […]}",
        ),
        (
            &ALLOW.replace("\"*\"", r#"{"AWS":"arn:aws:iam::1:role/x"}"#),
            "Invalid principal in policy: Statement[0].Principal.AWS: \"arn:aws:iam::1:role/x\" is no principal; write an account's id, `arn:aws:iam::ACCOUNT:root`, `arn:aws:iam::ACCOUNT:user/NAME` or `*`",
        ),
        (
            &ALLOW.replace("\"*\"", r#"{"Service":"s3"}"#),
            "Invalid principal in policy: Statement[0].Principal: \"Service\" is no element here; write \"*\" or {\"AWS\": […]}",
        ),
        (
            &ALLOW.replace("\"Principal\":\"*\"", r#""NotPrincipal":{"AWS":"1"}"#),
            "Allow with NotPrincipal is not allowed: Statement[0].NotPrincipal: it would allow everybody else; name in `Principal` whom to allow",
        ),
        (
            &format!(r#"{ALLOW},"Condition":{{"StringEqual":{{"aws:Referer":"x"}}}}"#),
            "Invalid Condition type: Statement[0].Condition: \"StringEqual\" is no operator; did you mean `StringEquals`?",
        ),
        (
            &format!(r#"{ALLOW},"Condition":{{"StringEquals":{{"aws:Refer":"x"}}}}"#),
            "Policy has an invalid condition key: Statement[0].Condition.StringEquals: \"aws:Refer\" is no condition key here; did you mean `aws:Referer`?",
        ),
        (
            &format!(r#"{ALLOW},"Condition":{{"StringEquals":{{"s3:object-lock-mode":"x"}}}}"#),
            "Policy has an invalid condition key: Statement[0].Condition.StringEquals: there is no object lock here; remove the condition",
        ),
        (
            &format!(r#"{ALLOW},"Condition":{{"StringLike":{{"aws:SourceIp":"10.*"}}}}"#),
            "Invalid Condition type: Statement[0].Condition.StringLike.aws:SourceIp: `StringLike` does not go with `aws:SourceIp`; use `IpAddress`",
        ),
        (
            &format!(r#"{ALLOW},"Condition":{{"IpAddress":{{"aws:SourceIp":["10.0.0.0/8","10.*"]}}}}"#),
            "Policy has an invalid condition value: Statement[0].Condition.IpAddress.aws:SourceIp[1]: \"10.*\" is no address or CIDR; write `192.0.2.0/24` or `2001:db8::/32`",
        ),
        (
            &format!(r#"{ALLOW},"Condition":{{"StringLike":{{"s3:prefix":"a"}}}}"#),
            "Conditions do not apply to combination of actions and resources in statement: Statement[0].Condition.StringLike.s3:prefix: no action of the statement has this key; remove the condition, or put it into a statement of its own",
        ),
        (
            &format!(
                r#"{ALLOW},"Condition":{{"Bool":{{"aws:SecureTransport":true,"aws:securetransport":false}}}}"#
            ),
            "Invalid policy syntax: Statement[0].Condition.Bool.aws:SecureTransport: it is there twice; write its values as one list",
        ),
        (
            &format!(r#"{ALLOW},"Effect":"Deny""#),
            "Invalid policy syntax: Statement[0].Effect: it is there twice; remove one",
        ),
        (
            &format!(r#"{ALLOW},"NotAction":"s3:*""#),
            "Invalid policy syntax: Statement[0].NotAction: there is `Action`, too; keep one of them",
        ),
    ] {
        refused(&statement(members), expected);
    }
    refused("{}", "Missing required field Statement: policy: there is no `Statement`; add it");
    refused(
        r#"{"Statement":[]}"#,
        "Missing required field Statement: Statement: the list is empty; write a statement",
    );
    refused(
        r#"{"Version":"2012-10-18","Statement":[]}"#,
        "The policy must contain a valid version string: Version: \"2012-10-18\" is no version; write \"2012-10-17\"",
    );
    refused("[]", "Policies must be valid JSON and the first byte must be '{': policy: it is no object");
    refused(
        &format!(r#"{{"Statement":[{{"Sid":"a",{ALLOW}}},{{"Sid":"a",{ALLOW}}}]}}"#),
        "Invalid policy syntax: Statement[1].Sid: \"a\" is the Sid of another statement, too; rename one",
    );
}

#[test]
fn more_is_refused() {
    let with = |from: &str, to: &str| statement(&ALLOW.replace(from, to));
    for (document, fault) in [
        (
            statement(ALLOW).replace("2012", "2008").replace(":::in/*", ":::in/${aws:username}/*"),
            Fault::Resource,
        ),
        (with(":::in/*", ":::in/${aws:userid}/*"), Fault::Resource),
        (with("\"arn:aws:s3:::in/*\"", "\"*\""), Fault::Resource),
        (with("\"arn:aws:s3:::in/*\"", "[]"), Fault::Syntax),
        (with("\"arn:aws:s3:::in/*\"", "[\"arn:aws:s3:::in/*\",\"arn:aws:s3:::inx\"]"), Fault::Resource),
        (with("\"s3:GetObject\"", "null"), Fault::Syntax),
        (with("\"s3:GetObject\"", "[[\"s3:GetObject\"]]"), Fault::Syntax),
        (with("\"s3:GetObject\"", "\"s3:ListAllMyBuckets\""), Fault::ActionWithoutResource),
        (with("\"*\"", "{}"), Fault::Principal),
        (with("\"*\"", "{\"AWS\":[]}"), Fault::Syntax),
        (with("\"*\"", "{\"AWS\":[\"*\",\"1\"]}"), Fault::Principal),
        (with("\"*\"", "[\"*\"]"), Fault::Principal),
        (with("\"*\"", "{\"AWS\":\"*\",\"AWS\":\"1\"}"), Fault::Principal),
        (statement(&format!("{ALLOW},\"Sid\":\"a\\nb\"")), Fault::Syntax),
        (statement(&format!("{ALLOW},\"Condition\":null")), Fault::Syntax),
        (
            statement(&format!(
                "{ALLOW},\"Condition\":{{\"StringLike\":{{\"aws:Referer\":\"x\"}},\"StringLike\":{{\"aws:UserAgent\":\"x\"}}}}"
            )),
            Fault::Syntax,
        ),
        (statement(&format!("{ALLOW},\"Condition\":{{\"Bool\":{{}}}}")), Fault::Syntax),
        (
            statement(&format!("{ALLOW},\"Condition\":{{\"Bool\":{{\"aws:SecureTransport\":[]}}}}")),
            Fault::Syntax,
        ),
        (
            statement(&format!("{ALLOW},\"Condition\":{{\"Bool\":{{\"aws:SecureTransport\":\"yes\"}}}}")),
            Fault::ConditionValue,
        ),
        (
            statement(&format!("{ALLOW},\"Condition\":{{\"NullIfExists\":{{\"aws:Referer\":\"true\"}}}}")),
            Fault::Operator,
        ),
        (
            statement(&format!("{ALLOW},\"Condition\":{{\"Null\":{{\"aws:Referer\":[true,false]}}}}")),
            Fault::ConditionValue,
        ),
        (
            statement(&format!(
                "{ALLOW},\"Condition\":{{\"forAnyValue:StringLike\":{{\"aws:Referer\":\"x\"}}}}"
            )),
            Fault::Operator,
        ),
        (
            statement(&format!(
                "{ALLOW},\"Condition\":{{\"DateLessThan\":{{\"aws:CurrentTime\":\"2026-W01-1\"}}}}"
            )),
            Fault::ConditionValue,
        ),
        (
            statement(&format!(
                "{ALLOW},\"Condition\":{{\"DateLessThan\":{{\"aws:CurrentTime\":\"tomorrow\"}}}}"
            )),
            Fault::ConditionValue,
        ),
        (
            statement(&format!(
                "{ALLOW},\"Condition\":{{\"DateLessThan\":{{\"aws:CurrentTime\":99999999999999999999999999999999999999999}}}}"
            )),
            Fault::ConditionValue,
        ),
        (
            statement(&format!(
                "{ALLOW},\"Condition\":{{\"NumericLessThan\":{{\"s3:signatureAge\":\"nan\"}}}}"
            )),
            Fault::ConditionValue,
        ),
        (
            statement(&format!(
                "{ALLOW},\"Condition\":{{\"NumericLessThan\":{{\"s3:signatureAge\":\"1e3\"}}}}"
            )),
            Fault::ConditionValue,
        ),
        (
            statement(&format!("{ALLOW},\"Condition\":{{\"ArnLike\":{{\"aws:PrincipalArn\":\"*\"}}}}")),
            Fault::ConditionValue,
        ),
        (
            statement(&format!(
                "{ALLOW},\"Condition\":{{\"IpAddress\":{{\"aws:SourceIp\":\"10.0.0.0/33\"}}}}"
            )),
            Fault::ConditionValue,
        ),
        (
            statement(&format!(
                "{ALLOW},\"Condition\":{{\"IpAddress\":{{\"aws:SourceIp\":\"10.0.0.0/+8\"}}}}"
            )),
            Fault::ConditionValue,
        ),
        (
            statement(&format!(
                "{ALLOW},\"Condition\":{{\"IpAddress\":{{\"aws:SourceIp\":\"010.0.0.0/8\"}}}}"
            )),
            Fault::ConditionValue,
        ),
        (
            statement(&ALLOW.replace("s3:GetObject", "s3:PutObject"))
                .replace("}]}", ",\"Condition\":{\"StringEquals\":{\"s3:RequestObjectTagKeys\":\"a\"}}}]}"),
            Fault::Operator,
        ),
        (format!("{}x", statement(ALLOW)), Fault::Json),
        (format!("\u{feff}{}", statement(ALLOW)), Fault::Json),
        (String::new(), Fault::Json),
    ] {
        assert_eq!(bucket(&document).expect_err(&document).fault, fault, "{document}");
    }
    let identity = |document: &str| Policy::identity(document.as_bytes()).map_err(|error| error.fault);
    assert_eq!(identity(&statement(ALLOW)), Err(Fault::Syntax));
    assert_eq!(
        identity(&statement(r#""Effect":"Allow","Action":"tintype:Read","Resource":"arn:aws:s3:::in/*""#)),
        Err(Fault::ActionWithoutResource)
    );
    assert_eq!(
        identity(&statement(r#""Effect":"Allow","Action":"s3:*","Resource":"arn:aws:sqs:us-east-1:1:q""#)),
        Err(Fault::Resource)
    );
    assert!(
        identity(&statement(r#""Effect":"Allow","Action":["tintype:Read","s3:*"],"Resource":"*""#)).is_ok()
    );
}

/// Shapes that clients and ceph/s3-tests send.
#[test]
fn common_documents_are_read() {
    let both = r#"["arn:aws:s3:::in","arn:aws:s3:::in/*"]"#;
    for members in [
        r#""Effect":"Allow","Principal":{"AWS":"*"},"Action":"*","Resource":["arn:aws:s3:::in","arn:aws:s3:::in/*"]"#.to_owned(),
        r#""Effect":"Allow","Principal":{"AWS":"*"},"Action":"s3:ListBucket","Resource":["arn:aws:s3:::*","arn:aws:s3:::*/*"]"#.to_owned(),
        format!(r#""Sid":"Allow Public Access to All Objects",{ALLOW},"Condition":{{"StringLikeIfExists":{{"aws:Referer":"http://www.example.com/*"}}}}"#),
        format!(r#""Effect":"Deny","Principal":"*","Action":["s3:PutBucketPolicy","s3:GetBucketPolicy","s3:DeleteBucketPolicy"],"Resource":{both}"#),
        format!(r#""Effect":"Allow","Principal":{{"AWS":"arn:aws:iam::s3tenant1:root"}},"Action":"s3:ListBucket","Resource":{both}"#),
        r#""Effect":"Deny","Principal":{"AWS":"*"},"Action":"s3:PutObject","Resource":"arn:aws:s3:::in/*","Condition":{"Null":{"s3:x-amz-server-side-encryption":"true"}}"#.to_owned(),
        r#""Effect":"Allow","Principal":{"AWS":"*"},"Action":"s3:PutObject","Resource":"arn:aws:s3:::in/*","Condition":{"StringEquals":{"s3:x-amz-grant-full-control":"id=x"}}"#.to_owned(),
        r#""Effect":"Allow","Principal":{"AWS":"*"},"Action":"s3:GetObjectAcl","Resource":"arn:aws:s3:::in/*","Condition":{"StringEquals":{"s3:ExistingObjectTag/security":"public"}}"#.to_owned(),
        r#""Effect":"Deny","Principal":{"AWS":"*"},"Action":"s3:GetBucketPublicAccessBlock","Resource":"arn:aws:s3:::in""#.to_owned(),
        format!(r#""Effect":"Deny","Principal":"*","Action":"s3:*","Resource":{both},"Condition":{{}}"#),
    ] {
        bucket(&statement(&members)).unwrap_or_else(|error| panic!("{members}: {error}"));
    }
    let policy = bucket(&statement(&format!(
        r#""Effect":"Deny","Principal":{{"AWS":["1","arn:aws:iam::1:root","arn:aws:iam::1:user/a"]}},"Action":"s3:*","Resource":{both}"#
    )));
    assert_eq!(
        policy.unwrap().principals().into_iter().collect::<Vec<_>>(),
        ["arn:aws:iam::1:root", "arn:aws:iam::1:user/a"]
    );
}

#[test]
fn hostile_documents_are_refused_quickly() {
    let fault = |document: &str| bucket(document).unwrap_err().fault;
    assert_eq!(fault(&"[".repeat(MAX_BYTES)), Fault::Json);
    assert_eq!(fault(&format!("{{\"a\":{}", "{\"a\":".repeat(4000))), Fault::Json);
    assert_eq!(fault(&" ".repeat(MAX_BYTES + 1)), Fault::TooLarge);
    assert_eq!(fault(&format!("{{{}}}", vec!["\"Statement\":0"; 1000].join(","))), Fault::Syntax);
    assert_eq!(
        fault(&statement(&format!(
            "{}:1",
            (0..1500).map(|n| format!("\"k{n}\":0,")).collect::<String>() + "\"x\""
        ))),
        Fault::Syntax
    );
    // As long as may be.
    let stars = statement(&ALLOW.replace("in/*", &format!("in/{}", "*".repeat(20_000))));
    assert!(stars.len() < MAX_BYTES && bucket(&stars).is_ok());
    let names =
        statement(&ALLOW.replace("\"s3:GetObject\"", &format!("[{}]", vec!["\"s3:*\""; 2800].join(","))));
    assert!(names.len() < MAX_BYTES && bucket(&names).is_ok());
    let tags: Vec<String> = (0..400).map(|n| format!("\"s3:ExistingObjectTag/{n}\":\"*\"")).collect();
    assert!(
        bucket(&statement(&format!("{ALLOW},\"Condition\":{{\"StringLike\":{{{}}}}}", tags.join(","))))
            .is_ok()
    );
}

#[test]
fn every_cut_and_every_changed_byte_is_read_or_refused() {
    let document = statement(&format!(
        r#"{ALLOW},"Condition":{{"ForAnyValue:StringLikeIfExists":{{"aws:Referer":["a*${{aws:username}}",1]}},"IpAddress":{{"aws:SourceIp":"::/8"}},"DateLessThan":{{"aws:CurrentTime":"2026-01-31T00:00:00Z"}}}}"#
    ));
    bucket(&document).unwrap();
    for at in 0..document.len() {
        bucket(&document[..at]).unwrap_err();
        for byte in [0, b'"', b'*', b'{', b':', b'$', 0xc3, 0xff] {
            let mut changed = document.clone().into_bytes();
            changed[at] = byte;
            match Policy::of_bucket(&changed, "in") {
                Ok(policy) => assert_prints(&policy),
                Err(error) => assert!(!error.detail.is_empty() && !error.place.is_empty()),
            }
        }
    }
}

#[track_caller]
fn assert_prints(policy: &Policy) {
    let printed = policy.to_string();
    assert_eq!(bucket(&printed).as_ref(), Ok(policy), "{printed}");
    assert_eq!(bucket(&printed).unwrap().to_string(), printed);
}

const PRINCIPALS: [&str; 4] = [
    r#""Principal":"*""#,
    r#""Principal":{"AWS":"*"}"#,
    r#""Principal":{"AWS":["1","arn:aws:iam::1:user/a"]}"#,
    r#""NotPrincipal":{"AWS":"2"}"#,
];
const ACTIONS: [&str; 4] = [
    r#""Action":"*""#,
    r#""Action":["s3:getobject","s3:List*"]"#,
    r#""NotAction":"s3:Put*""#,
    r#""Action":"s3:*Object*""#,
];
const RESOURCES: [&str; 3] = [
    r#""Resource":["arn:aws:s3:::in","arn:aws:s3:::in/*"]"#,
    r#""NotResource":"arn:aws:s3:::in/${aws:username}/?${*}""#,
    r#""Resource":"arn:aws:s3:::*""#,
];
const CONDITIONS: [&str; 5] = [
    "",
    r#","Condition":{}"#,
    r#","Condition":{"Bool":{"AWS:securetransport":true}}"#,
    r#","Condition":{"StringNotLikeIfExists":{"aws:Referer":["b","a*"],"aws:UserAgent":"x"},"NotIpAddress":{"aws:SourceIp":["10.0.0.1/8","::1"]}}"#,
    r#","Condition":{"ForAllValues:NumericLessThan":{"s3:TlsVersion":[1.2,3]},"DateEquals":{"aws:EpochTime":7}}"#,
];

proptest! {
    #[test]
    fn a_printed_document_reads_the_same(
        statements in prop::collection::vec((0..2_usize, 0..4_usize, 0..4_usize, 0..3_usize, 0..5_usize, "[ -~]{0,12}"), 1..5),
        is_2012: bool,
    ) {
        let mut texts = Vec::new();
        for (at, (effect, principal, action, resource, condition, sid)) in statements.into_iter().enumerate() {
            let effect = if principal == 3 { 1 } else { effect };
            let resource = if is_2012 { resource } else { 2 * (resource / 2) };
            let sid = serde_json::Value::from(format!("{at}{sid}"));
            texts.push(format!(
                r#"{{"Sid":{sid},"Effect":"{}",{},{},{}{}}}"#,
                ["Allow", "Deny"][effect], PRINCIPALS[principal], ACTIONS[action], RESOURCES[resource], CONDITIONS[condition]
            ));
        }
        let version = if is_2012 { "2012-10-17" } else { "2008-10-17" };
        let document = format!(r#"{{"Id":"x","Version":"{version}","Statement":[{}]}}"#, texts.join(","));
        let policy = bucket(&document).map_err(|error| TestCaseError::fail(format!("{document}: {error}")))?;
        assert_prints(&policy);
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
        let _ = Policy::identity(&bytes);
    }
}

#[test]
fn what_is_public() {
    let public = |principal: &str, condition: &str| {
        let members = ALLOW.replace("\"*\"", principal);
        is_public(&bucket(&statement(&format!("{members},\"Condition\":{condition}"))).unwrap())
    };
    assert!(public("\"*\"", "{}") && public(r#"{"AWS":"*"}"#, "{}"));
    assert!(!public(r#"{"AWS":"1"}"#, "{}") && !public(r#"{"AWS":"arn:aws:iam::1:user/a"}"#, "{}"));
    for (condition, expected) in [
        (r#"{"IpAddress":{"aws:SourceIp":"192.0.2.0/24"}}"#, false),
        (
            r#"{"IpAddress":{"aws:SourceIp":["10.0.0.0/8","172.16.0.0/12","192.168.0.0/16","fc00::/7"]}}"#,
            false,
        ),
        (r#"{"IpAddress":{"aws:SourceIp":"9.0.0.0/8"}}"#, false),
        (r#"{"IpAddress":{"aws:SourceIp":"2001:db8::/32"}}"#, false),
        (r#"{"IpAddress":{"aws:SourceIp":"9.0.0.0/7"}}"#, true),
        (r#"{"IpAddress":{"aws:SourceIp":"10.0.0.0/7"}}"#, true),
        (r#"{"IpAddress":{"aws:SourceIp":"2001:db8::/31"}}"#, true),
        (r#"{"IpAddress":{"aws:SourceIp":["192.0.2.0/24","0.0.0.0/1","128.0.0.0/1"]}}"#, true),
        (r#"{"IpAddress":{"aws:SourceIp":["8.0.0.0/8","9.0.0.0/8"]}}"#, true),
        (r#"{"IpAddress":{"aws:SourceIp":"::ffff:0.0.0.0/96"}}"#, true),
        (r#"{"IpAddress":{"aws:SourceIp":"::/0"}}"#, true),
        (r#"{"IpAddressIfExists":{"aws:SourceIp":"192.0.2.0/24"}}"#, true),
        (r#"{"ForAllValues:IpAddress":{"aws:SourceIp":"192.0.2.0/24"}}"#, true),
        (r#"{"ForAnyValue:IpAddress":{"aws:SourceIp":"192.0.2.0/24"}}"#, false),
        (r#"{"NotIpAddress":{"aws:SourceIp":"192.0.2.0/24"}}"#, true),
        (r#"{"Null":{"aws:PrincipalArn":"false"}}"#, true),
        (r#"{"StringEquals":{"aws:PrincipalArn":"arn:aws:iam::1:user/a"}}"#, false),
        (r#"{"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::1:user/*"}}"#, true),
        (r#"{"ArnEquals":{"aws:PrincipalArn":"arn:aws:iam::1:user/${aws:username}"}}"#, true),
        (r#"{"ArnNotEquals":{"aws:PrincipalArn":"arn:aws:iam::1:user/a"}}"#, true),
        (r#"{"StringEquals":{"aws:username":"a"}}"#, true),
        (r#"{"StringLike":{"aws:Referer":"http://example.com/*"}}"#, true),
        (r#"{"Bool":{"aws:SecureTransport":true}}"#, true),
        (r#"{"Bool":{"aws:SecureTransport":true},"IpAddress":{"aws:SourceIp":"192.0.2.0/24"}}"#, false),
    ] {
        assert_eq!(public("\"*\"", condition), expected, "{condition}");
    }
    let denied = format!(
        r#"{{"Version":"2012-10-17","Statement":[{{{ALLOW}}},{{{}}}]}}"#,
        ALLOW.replace("Allow", "Deny")
    );
    assert!(is_public(&bucket(&denied).unwrap()), "what is denied does not count");
    assert!(!is_public(&bucket(&statement(&ALLOW.replace("Allow", "Deny"))).unwrap()));
}
