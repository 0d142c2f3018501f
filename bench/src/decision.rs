//! What one decision costs: who may do what, as `s3` and `http` ask it for every request.

use std::{hint::black_box, path::Path, sync::Arc, time::Instant};

use clap::Args;
use http::HeaderMap;
use tintype::{
    auth::{
        ACCOUNT, AccessKeys, Action, Authorizer, Client, Credentials, Principal, RequestContext, Resource,
        Rights,
    },
    disk::{RealDisk, SharedDisk},
    queue::Enqueuer,
    server::LARGEST_BATCH,
    settings::Settings,
    storage::{Cause, DataFolder, Storage, StoredHeaders, open_ledger},
};
use tintype_pipeline::{
    ObjectKey,
    settings::Sources,
    store::{Condition, Location},
};
use tintype_policy::{CannedAcl, PublicAccessBlock};

use crate::statistics::median;

/// Who owns nothing here.
const OF_NOBODY: &str = "of-nobody";
/// A bucket whose policy has one statement.
const PLAIN: &str = "plain";
/// A bucket whose policy has many.
const LONG: &str = "long";
const KEY: &str = "raw/2026/11/30/0001.jpg";

#[derive(Debug, Args)]
pub(crate) struct Decision {
    /// Statements of the bucket's policy
    #[arg(long, default_value_t = 20)]
    statements: usize,
    /// Decisions of one measurement
    #[arg(long, default_value_t = 20_000)]
    decisions: u32,
    /// Measurements of each kind, in turn
    #[arg(long, default_value_t = 15)]
    rounds: u32,
}

/// One kind of decision.
struct Case {
    name: &'static str,
    principal: Principal,
    bucket: &'static str,
    is_allowed: bool,
    ns: Vec<f64>,
}

impl Decision {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let store = open(folder.path())?;
        let data = format!("data = {:?}", folder.path().display().to_string());
        let settings = Settings::load(Sources { file: Some(("bench".into(), data)), ..Sources::default() })?;
        let root = Credentials::new("root", "a-secret-of-the-bench");
        let keys = Arc::new(AccessKeys::open(root, store.clone(), &settings)?);
        let key = |name: &str, allow: &[&str]| -> anyhow::Result<Principal> {
            let allow = allow.iter().map(|text| (*text).to_owned()).collect();
            let pair = keys.add(name, Rights { allow, ..Rights::default() })?;
            Ok(Principal::AccessKey(pair.access_key_id.into()))
        };
        let reader = key("reader", &["read:long/raw/", "list:long/raw/", "write:long/raw/", "read:plain"])?;
        let (last, stranger) = (key("last", &[])?, key("stranger", &[])?);
        for (bucket, statements) in [(PLAIN, 1), (LONG, self.statements), (OF_NOBODY, 0)] {
            store.buckets.create(bucket, None)?;
            put(&store, bucket)?;
            if statements > 0 {
                store.buckets.set_policy(bucket, Some(policy(bucket, statements)))?;
            }
        }
        store.objects.set_acl(&at(OF_NOBODY)?, CannedAcl::PublicRead)?;
        let authorizer = Authorizer::new(keys, store, PublicAccessBlock::default());
        let case = |name, principal, bucket, is_allowed| Case {
            name,
            principal,
            bucket,
            is_allowed,
            ns: Vec::new(),
        };
        let root = Principal::AccessKey("root".into());
        let mut cases = [
            case("a policy of one statement, which allows", last.clone(), PLAIN, true),
            case("the root key", root, LONG, true),
            case("the long policy, whose last statement allows", last, LONG, true),
            case("the long policy, and a key with four rights of its own", reader, LONG, true),
            case("the long policy, no statement of which allows", stranger, LONG, false),
            case(
                "without a key, by an object's ACL, which is read from the ledger",
                Principal::Anonymous,
                OF_NOBODY,
                true,
            ),
        ];
        for _ in 0..self.rounds {
            for case in &mut cases {
                let ns = self.measure(&authorizer, case)?;
                case.ns.push(ns);
            }
        }
        println!("a bucket policy of {} statements, median of {} measurements", self.statements, self.rounds);
        let reference = median(&cases[0].ns);
        for Case { name, ns, .. } in &cases {
            let ns = median(ns);
            println!("{ns:>9.0} ns  {:>6.2}  {name}", ns / reference);
        }
        Ok(())
    }

    /// Nanoseconds of one decision.
    fn measure(&self, authorizer: &Authorizer, case: &Case) -> anyhow::Result<f64> {
        let mut headers = HeaderMap::new();
        headers.insert(http::header::USER_AGENT, http::HeaderValue::from_static("aws-sdk-rust/1.0"));
        let client = Client { address: Some([192, 0, 2, 1].into()), ..Client::default() };
        let resource = Resource::Object { bucket: case.bucket, key: KEY };
        // As of a request: its context is built for it.
        let decide = || {
            let context = RequestContext::new(client, &headers);
            authorizer.authorize(&case.principal, Action::GetObject, &resource, &context).is_ok()
        };
        anyhow::ensure!(decide() == case.is_allowed, "{}: decided otherwise", case.name);
        let start = Instant::now();
        for _ in 0..self.decisions {
            black_box(decide());
        }
        Ok(start.elapsed().as_nanos() as f64 / f64::from(self.decisions))
    }
}

fn open(folder: &Path) -> anyhow::Result<Arc<Storage>> {
    let disk: SharedDisk = Arc::new(RealDisk);
    let folder = Arc::new(DataFolder::open(folder)?);
    let ledger = open_ledger(&disk, &folder, LARGEST_BATCH)?;
    let enqueuer = Enqueuer::new(ledger.clone());
    Ok(Arc::new(Storage::open(disk, folder, ledger, enqueuer, Vec::new(), "Thumbnails")?))
}

fn at(bucket: &str) -> anyhow::Result<Location> {
    Ok(Location { bucket: bucket.into(), key: ObjectKey::new(KEY).map_err(anyhow::Error::msg)? })
}

fn put(store: &Storage, bucket: &str) -> anyhow::Result<()> {
    let at = at(bucket)?;
    let mut incoming = store.objects.begin(&at, StoredHeaders::default())?;
    incoming.write(b"x")?;
    store.objects.commit(&at, incoming, Condition::Any, Cause::new("ObjectCreated:Put", String::new()))?;
    Ok(())
}

/// As teams write them: what is denied without TLS or from elsewhere, folders of users, and a key of its own at the end.
fn policy(bucket: &str, statements: usize) -> String {
    let user = |name: &str| format!("{{\"AWS\":\"arn:aws:iam::{ACCOUNT}:user/{name}\"}}");
    let statement = |at: usize| match at {
        at if at + 1 == statements => format!(
            "{{\"Sid\":\"Last\",\"Effect\":\"Allow\",\"Principal\":{},\"Action\":[\"s3:GetObject\",\"s3:PutObject\"],\
             \"Resource\":\"arn:aws:s3:::{bucket}/raw/*\"}}",
            user("last")
        ),
        0 => format!(
            "{{\"Sid\":\"OldTls\",\"Effect\":\"Deny\",\"Principal\":\"*\",\"Action\":\"s3:*\",\"Resource\":[\"arn:aws:s3:::{bucket}\",\
             \"arn:aws:s3:::{bucket}/*\"],\"Condition\":{{\"StringLike\":{{\"aws:UserAgent\":\"curl/7.*\"}}}}}}"
        ),
        at if at % 4 == 1 => format!(
            "{{\"Sid\":\"Site{at}\",\"Effect\":\"Deny\",\"Principal\":\"*\",\"Action\":\"s3:GetObject\",\
             \"Resource\":\"arn:aws:s3:::{bucket}/site-{at}/*\",\"Condition\":{{\"NotIpAddress\":{{\"aws:SourceIp\":\
             [\"198.51.100.0/24\",\"203.0.113.0/24\",\"2001:db8::/32\"]}}}}}}"
        ),
        at if at % 4 == 2 => format!(
            "{{\"Sid\":\"Home{at}\",\"Effect\":\"Allow\",\"Principal\":{},\"Action\":\"s3:*\",\
             \"Resource\":\"arn:aws:s3:::{bucket}/home/${{aws:username}}/*\"}}",
            user(&format!("user-{at}"))
        ),
        at => format!(
            "{{\"Sid\":\"Team{at}\",\"Effect\":\"Allow\",\"Principal\":{},\"Action\":[\"s3:GetObject\",\"s3:PutObject\"],\
             \"Resource\":\"arn:aws:s3:::{bucket}/team-{at}/*.jpg\",\"Condition\":{{\"DateLessThan\":\
             {{\"aws:CurrentTime\":\"2099-01-01T00:00:00Z\"}}}}}}",
            user(&format!("team-{at}"))
        ),
    };
    let statements: Vec<String> = (0..statements).map(statement).collect();
    format!("{{\"Version\":\"2012-10-17\",\"Statement\":[{}]}}", statements.join(","))
}
