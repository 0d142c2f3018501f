//! Every operation of S3 and every route of the HTTP port asks whether its sender may: over real ports, requests to S3
//! signed by hand.

mod common;

use std::{
    collections::BTreeSet,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use arc_swap::ArcSwap;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use common::{IN, at, open, put, read, settings};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use time::{OffsetDateTime, macros::format_description};
use tintype_api::settings::SigningKey;
use tintype_pipeline::hex;

use tintype::{
    auth::{AccessKeys, Authorizer, Clients, Credentials, Principal},
    listen::{self, Admission},
    s3::{S3Service, operations},
    server::Server,
    storage::Storage,
};

const KEY: (&str, &str) = ("access-key", "secret-of-the-access-key");

/// The endpoint over a store, and the decisions that it asked for.
struct Endpoint {
    address: SocketAddr,
    store: Arc<Storage>,
    decisions: Arc<Mutex<Vec<String>>>,
    _data: tempfile::TempDir,
    _runtime: tokio::runtime::Runtime,
}

/// An endpoint that denies what `denied` names: `action arn`.
fn endpoint(denied: fn(&str) -> bool) -> Endpoint {
    let data = tempfile::tempdir().unwrap();
    let store = open(data.path()).store;
    for key in ["a", "secret", "protected"] {
        put(&store, &at(IN, key), key.as_bytes()).unwrap();
    }
    let credentials = Credentials::new(KEY.0, KEY.1);
    let decisions = Arc::new(Mutex::new(Vec::new()));
    let log = decisions.clone();
    let authorizer = Authorizer::by(move |principal, action, resource| {
        assert_eq!(*principal, Principal::AccessKey(KEY.0.into()));
        let decision = format!("{action} {resource}");
        let is_denied = denied(&decision);
        log.lock().unwrap().push(decision);
        !is_denied
    });
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let service = S3Service::new(
        store.clone(),
        Arc::new(AccessKeys::root_only(credentials)),
        authorizer,
        Arc::new(ArcSwap::from_pointee(Clients::new(&settings(data.path(), "")))),
        false,
    );
    let address = runtime.block_on(async {
        let listener = listen::bind("127.0.0.1:0".parse().unwrap(), "listen.s3").unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let admission = Admission::new(100, 0, &settings(Path::new(""), "").listen);
        tokio::spawn(async move {
            let _stays_open = stop;
            listen::serve(listener, service, None, admission, stopped, Duration::ZERO).await;
        });
        address
    });
    Endpoint { address, store, decisions, _data: data, _runtime: runtime }
}

fn hmac(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn signature(date: &str, text: &str) -> String {
    let key = [&date[..8], "us-east-1", "s3", "aws4_request"]
        .iter()
        .fold(format!("AWS4{}", KEY.1).into_bytes(), |key, part| hmac(&key, part));
    hex::encode(&hmac(&key, text))
}

fn now() -> String {
    OffsetDateTime::now_utc()
        .format(format_description!("[year][month][day]T[hour][minute][second]Z"))
        .unwrap()
}

impl Endpoint {
    fn send(&self, head: &str, body: &[u8]) -> String {
        let mut connection = TcpStream::connect(self.address).unwrap();
        let length = body.len();
        write!(connection, "{head}content-length: {length}\r\nconnection: close\r\n\r\n").unwrap();
        connection.write_all(body).unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).unwrap();
        answer
    }

    /// Sends a request of Signature Version 4; `query` is sorted and encoded, as `name=value`.
    fn signed(&self, method: &str, path: &str, query: &str, more: &[(&str, &str)], body: &[u8]) -> String {
        let (date, host, digest) = (now(), self.address.to_string(), hex::encode(&Sha256::digest(body)));
        let mut headers =
            vec![("host", host.as_str()), ("x-amz-content-sha256", &digest), ("x-amz-date", &date)];
        headers.extend(more);
        headers.sort_unstable();
        let lines: String = headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
        let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
        let names = names.join(";");
        let canonical = format!("{method}\n{path}\n{query}\n{lines}\n{names}\n{digest}");
        let scope = format!("{}/us-east-1/s3/aws4_request", &date[..8]);
        let text = format!(
            "AWS4-HMAC-SHA256\n{date}\n{scope}\n{}",
            hex::encode(&Sha256::digest(canonical.as_bytes()))
        );
        let signature = signature(&date, &text);
        let id = KEY.0;
        let sent: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let head = format!(
            "{method} {path}?{query} HTTP/1.1\r\n{sent}authorization: AWS4-HMAC-SHA256 Credential={id}/{scope}, \
             SignedHeaders={names}, Signature={signature}\r\n"
        );
        self.send(&head, body)
    }

    fn decisions(&self) -> Vec<String> {
        std::mem::take(&mut *self.decisions.lock().unwrap())
    }
}

fn is_denied(answer: &str) -> bool {
    answer.contains("<Code>AccessDenied</Code>") && answer.contains("is not authorized to perform")
}

const COPY: (&str, &str) = ("x-amz-copy-source", "/input-product-images/secret");
const ATTRIBUTES: (&str, &str) = ("x-amz-object-attributes", "ETag");
const LIST: &[u8] = b"<Delete><Object><Key>a</Key></Object><Object><Key>protected</Key></Object></Delete>";

#[test]
fn every_operation_asks_before_anything_is_done() {
    let endpoint = endpoint(|_| true);
    let (bucket, object) = ("/input-product-images", "/input-product-images/a");
    let requests = [
        ("ListBuckets", "GET", "/", "", &[][..], "ListAllMyBuckets"),
        ("ListObjects", "GET", bucket, "", &[], "ListBucket"),
        ("ListObjectsV2", "GET", bucket, "list-type=2", &[], "ListBucket"),
        ("ListMultipartUploads", "GET", bucket, "uploads=", &[], "ListBucketMultipartUploads"),
        ("GetBucketLocation", "GET", bucket, "location=", &[], "GetBucketLocation"),
        ("GetBucketCors", "GET", bucket, "cors=", &[], "GetBucketCORS"),
        ("GetBucketNotificationConfiguration", "GET", bucket, "notification=", &[], "GetBucketNotification"),
        ("GetBucketPolicy", "GET", bucket, "policy=", &[], "GetBucketPolicy"),
        ("PutBucketPolicy", "PUT", bucket, "policy=", &[], "PutBucketPolicy"),
        ("DeleteBucketPolicy", "DELETE", bucket, "policy=", &[], "DeleteBucketPolicy"),
        ("GetBucketPolicyStatus", "GET", bucket, "policyStatus=", &[], "GetBucketPolicyStatus"),
        ("GetPublicAccessBlock", "GET", bucket, "publicAccessBlock=", &[], "GetBucketPublicAccessBlock"),
        ("PutPublicAccessBlock", "PUT", bucket, "publicAccessBlock=", &[], "PutBucketPublicAccessBlock"),
        (
            "DeletePublicAccessBlock",
            "DELETE",
            bucket,
            "publicAccessBlock=",
            &[],
            "PutBucketPublicAccessBlock",
        ),
        ("GetBucketAcl", "GET", bucket, "acl=", &[], "GetBucketAcl"),
        ("PutBucketAcl", "PUT", bucket, "acl=", &[], "PutBucketAcl"),
        ("GetBucketAccelerateConfiguration", "GET", bucket, "accelerate=", &[], "GetAccelerateConfiguration"),
        ("GetBucketEncryption", "GET", bucket, "encryption=", &[], "GetEncryptionConfiguration"),
        ("GetBucketLifecycleConfiguration", "GET", bucket, "lifecycle=", &[], "GetLifecycleConfiguration"),
        ("GetBucketLogging", "GET", bucket, "logging=", &[], "GetBucketLogging"),
        (
            "GetBucketOwnershipControls",
            "GET",
            bucket,
            "ownershipControls=",
            &[],
            "GetBucketOwnershipControls",
        ),
        (
            "PutBucketOwnershipControls",
            "PUT",
            bucket,
            "ownershipControls=",
            &[],
            "PutBucketOwnershipControls",
        ),
        (
            "DeleteBucketOwnershipControls",
            "DELETE",
            bucket,
            "ownershipControls=",
            &[],
            "PutBucketOwnershipControls",
        ),
        ("GetBucketReplication", "GET", bucket, "replication=", &[], "GetReplicationConfiguration"),
        ("GetBucketRequestPayment", "GET", bucket, "requestPayment=", &[], "GetBucketRequestPayment"),
        ("GetBucketTagging", "GET", bucket, "tagging=", &[], "GetBucketTagging"),
        ("GetBucketVersioning", "GET", bucket, "versioning=", &[], "GetBucketVersioning"),
        ("GetBucketWebsite", "GET", bucket, "website=", &[], "GetBucketWebsite"),
        (
            "GetObjectLockConfiguration",
            "GET",
            bucket,
            "object-lock=",
            &[],
            "GetBucketObjectLockConfiguration",
        ),
        ("ListObjectVersions", "GET", bucket, "versions=", &[], "ListBucketVersions"),
        ("GetObjectAcl", "GET", object, "acl=", &[], "GetObjectAcl"),
        ("PutObjectAcl", "PUT", object, "acl=", &[], "PutObjectAcl"),
        ("HeadBucket", "HEAD", bucket, "", &[], "ListBucket"),
        ("CreateBucket", "PUT", "/another-bucket", "", &[], "CreateBucket"),
        ("PutBucketCors", "PUT", bucket, "cors=", &[], "PutBucketCORS"),
        ("PutBucketNotificationConfiguration", "PUT", bucket, "notification=", &[], "PutBucketNotification"),
        ("DeleteBucket", "DELETE", "/output-product-thumbnail", "", &[], "DeleteBucket"),
        ("DeleteBucketCors", "DELETE", bucket, "cors=", &[], "PutBucketCORS"),
        ("GetObject", "GET", object, "", &[], "GetObject"),
        ("GetObjectAttributes", "GET", object, "attributes=", &[ATTRIBUTES], "GetObjectAttributes"),
        ("GetObjectTagging", "GET", object, "tagging=", &[], "GetObjectTagging"),
        ("DeleteObjectTagging", "DELETE", object, "tagging=", &[], "DeleteObjectTagging"),
        ("ListParts", "GET", object, "uploadId=x", &[], "ListMultipartUploadParts"),
        ("HeadObject", "HEAD", object, "", &[], "GetObject"),
        ("PutObject", "PUT", object, "", &[], "PutObject"),
        ("CopyObject", "PUT", object, "", &[COPY], "PutObject"),
        ("UploadPart", "PUT", object, "partNumber=1&uploadId=x", &[], "PutObject"),
        ("UploadPartCopy", "PUT", object, "partNumber=1&uploadId=x", &[COPY], "PutObject"),
        ("CreateMultipartUpload", "POST", object, "uploads=", &[], "PutObject"),
        ("CompleteMultipartUpload", "POST", object, "uploadId=x", &[], "PutObject"),
        ("DeleteObject", "DELETE", object, "", &[], "DeleteObject"),
        ("AbortMultipartUpload", "DELETE", object, "uploadId=x", &[], "AbortMultipartUpload"),
    ];
    for (name, method, path, query, more, action) in requests {
        let answer = endpoint.signed(method, path, query, more, b"");
        // An answer to HEAD has no body.
        let is_denied =
            if method == "HEAD" { answer.starts_with("HTTP/1.1 403") } else { is_denied(&answer) };
        assert!(is_denied, "{name}: {answer}");
        let resource = if path == "/" { "*" } else { &path[1..] };
        let asked = format!("s3:{action} arn:aws:s3:::{resource}");
        // Whether a denied read is answered that there is no such object depends on who may list.
        let listing = (action == "GetObject").then(|| format!("s3:ListBucket arn:aws:s3:::{}", &bucket[1..]));
        let expected: Vec<String> = [asked].into_iter().chain(listing).collect();
        assert_eq!(endpoint.decisions(), expected);
    }
    // Those that are decided by a document are in tests of their own.
    let tested = requests.map(|(name, .., action)| (name, format!("s3:{action}")));
    let tested = tested.into_iter().chain([
        ("DeleteObjects", "s3:DeleteObject".to_owned()),
        ("PutObjectTagging", "s3:PutObjectTagging".to_owned()),
    ]);
    let offered = operations().map(|(name, action)| (name, action.to_string()));
    assert_eq!(tested.collect::<BTreeSet<_>>(), offered.collect());
    assert_eq!(read(&endpoint.store, &at(IN, "a")), Some(b"a".to_vec()));
    assert_eq!(endpoint.store.buckets.list().unwrap().len(), 2);
}

#[test]
fn each_key_of_a_list_is_asked_for() {
    let endpoint =
        endpoint(|decision| decision == "s3:DeleteObject arn:aws:s3:::input-product-images/protected");
    let answer = endpoint.signed("POST", "/input-product-images", "delete=", &[], LIST);
    assert!(answer.contains("<Deleted><Key>a</Key></Deleted>") && is_denied(&answer), "{answer}");
    assert_eq!(read(&endpoint.store, &at(IN, "a")), None);
    assert!(read(&endpoint.store, &at(IN, "protected")).is_some());
}

#[test]
fn tags_are_asked_for() {
    let endpoint = endpoint(|decision| decision.starts_with("s3:PutObjectTagging"));
    let object = "/input-product-images/a";
    let document = b"<Tagging><TagSet><Tag><Key>a</Key><Value>1</Value></Tag></TagSet></Tagging>";
    assert!(is_denied(&endpoint.signed("PUT", object, "tagging=", &[], document)));
    assert_eq!(endpoint.decisions(), ["s3:PutObjectTagging arn:aws:s3:::input-product-images/a"]);
    let tagging = ("x-amz-tagging", "a=1");
    for (method, query, more) in [
        ("PUT", "", &[tagging][..]),
        ("PUT", "", &[COPY, tagging, ("x-amz-tagging-directive", "REPLACE")]),
        ("POST", "uploads=", &[tagging]),
    ] {
        assert!(is_denied(&endpoint.signed(method, object, query, more, b"")), "{method} {query}");
    }
    assert!(endpoint.store.objects.tags(&at(IN, "a")).unwrap().is_empty());
    assert_eq!(read(&endpoint.store, &at(IN, "a")), Some(b"a".to_vec()));
}

#[test]
fn the_source_of_a_copy_is_asked_for() {
    let endpoint = endpoint(|decision| decision == "s3:GetObject arn:aws:s3:::input-product-images/secret");
    let created = endpoint.signed("POST", "/input-product-images/b", "uploads=", &[], b"");
    let id = created.split("<UploadId>").nth(1).and_then(|rest| rest.split('<').next()).unwrap();
    for query in [String::new(), format!("partNumber=1&uploadId={id}")] {
        let answer = endpoint.signed("PUT", "/input-product-images/b", &query, &[COPY], b"");
        assert!(is_denied(&answer), "{answer}");
    }
    assert_eq!(read(&endpoint.store, &at(IN, "b")), None);
    let other = ("x-amz-copy-source", "/input-product-images/a");
    let answer = endpoint.signed("PUT", "/input-product-images/b", "", &[other], b"");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[test]
fn what_headers_ask_for_is_asked_for() {
    let endpoint = endpoint(|decision| {
        decision == "s3:PutBucketAcl arn:aws:s3:::another-bucket"
            || decision == "s3:GetObject arn:aws:s3:::input-product-images/a"
    });
    let answer = endpoint.signed("PUT", "/another-bucket", "", &[("x-amz-acl", "private")], b"");
    assert!(is_denied(&answer), "{answer}");
    assert_eq!(endpoint.store.buckets.list().unwrap().len(), 2);
    // Whether a condition holds says something about the object.
    let object = "/input-product-images/a";
    let condition = ("if-match", "\"0123456789abcdef0123456789abcdef\"");
    let copy = ("x-amz-copy-source", "/input-product-images/protected");
    let list = b"<Delete><Object><Key>a</Key><ETag>0123456789abcdef0123456789abcdef</ETag></Object></Delete>";
    for answer in [
        endpoint.signed("PUT", object, "", &[condition], b"new"),
        endpoint.signed("PUT", object, "", &[condition, copy], b""),
        endpoint.signed("DELETE", object, "", &[condition], b""),
        endpoint.signed("POST", object, "uploadId=x", &[condition], b""),
        endpoint.signed("POST", "/input-product-images", "delete=", &[], list),
    ] {
        assert!(is_denied(&answer), "{answer}");
    }
    assert_eq!(read(&endpoint.store, &at(IN, "a")), Some(b"a".to_vec()));
    let answer = endpoint.signed("PUT", object, "", &[], b"new");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[test]
fn a_form_is_asked_for() {
    let endpoint = endpoint(|decision| decision == "s3:PutObject arn:aws:s3:::input-product-images/form");
    let date = now();
    let credential = format!("{}/{}/us-east-1/s3/aws4_request", KEY.0, &date[..8]);
    let policy = STANDARD.encode(format!(
        "{{\"expiration\":\"2999-01-01T00:00:00Z\",\"conditions\":[{{\"bucket\":\"{IN}\"}},[\"starts-with\",\"$key\",\"\"],\
         {{\"x-amz-algorithm\":\"AWS4-HMAC-SHA256\"}},{{\"x-amz-credential\":\"{credential}\"}},{{\"x-amz-date\":\"{date}\"}}]}}"
    ));
    let signature = signature(&date, &policy);
    let upload = |key: &str| {
        let fields = [
            ("key", key),
            ("policy", &policy),
            ("x-amz-algorithm", "AWS4-HMAC-SHA256"),
            ("x-amz-credential", &credential),
            ("x-amz-date", &date),
            ("x-amz-signature", &signature),
        ];
        let mut body: String = fields
            .iter()
            .map(|(name, value)| {
                format!("--b\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
            })
            .collect();
        body += "--b\r\ncontent-disposition: form-data; name=\"file\"; filename=\"f\"\r\n\r\nx\r\n--b--\r\n";
        let head = format!(
            "POST /{IN} HTTP/1.1\r\nhost: {}\r\ncontent-type: multipart/form-data; boundary=b\r\n",
            endpoint.address
        );
        endpoint.send(&head, body.as_bytes())
    };
    assert!(is_denied(&upload("form")));
    assert_eq!(read(&endpoint.store, &at(IN, "form")), None);
    let answer = upload("other");
    assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
}

/// Who may use a route.
#[derive(Debug, Clone, Copy)]
struct Allowed {
    anonymous: bool,
    guest: bool,
    api_key: bool,
    session: bool,
    local_program: bool,
}

const PUBLIC: Allowed =
    Allowed { anonymous: true, guest: true, api_key: true, session: true, local_program: true };
const API: Allowed =
    Allowed { anonymous: false, guest: true, api_key: true, session: false, local_program: true };
const CONSOLE: Allowed =
    Allowed { anonymous: false, guest: false, api_key: false, session: true, local_program: true };
/// A key outlasts the trust in programs of this machine.
const KEYS: Allowed = Allowed { local_program: false, ..CONSOLE };

/// Every route of the HTTP port. The root key may use them all.
const ROUTES: [(&str, &str, Allowed); 52] = [
    ("GET", "/dev1/myimage", API),
    ("HEAD", "/dev1/myimage", API),
    ("GET", "/dev1/myimage/{preset}/{*key}", API),
    ("HEAD", "/dev1/myimage/{preset}/{*key}", API),
    ("POST", "/dev1/myimage", API),
    ("GET", "/dev1/myimage/info", API),
    ("POST", "/dev1/myimage/uploads", API),
    ("GET", "/dev1/myimage/search", API),
    ("GET", "/openapi.json", API),
    ("GET", "/healthz", PUBLIC),
    ("GET", "/readyz", PUBLIC),
    ("GET", "/", CONSOLE),
    ("GET", "/metrics/dashboard", CONSOLE),
    ("GET", "/gallery", CONSOLE),
    ("GET", "/operations", CONSOLE),
    ("GET", "/operations/state", CONSOLE),
    ("GET", "/backfills", CONSOLE),
    ("POST", "/backfills", CONSOLE),
    ("GET", "/buckets", CONSOLE),
    ("GET", "/summary", CONSOLE),
    ("GET", "/notifications", CONSOLE),
    ("GET", "/alt-texts", CONSOLE),
    ("POST", "/alt-texts", CONSOLE),
    ("POST", "/alt-text", CONSOLE),
    ("GET", "/preview", CONSOLE),
    ("GET", "/render", CONSOLE),
    ("GET", "/download", CONSOLE),
    ("POST", "/delete", CONSOLE),
    ("POST", "/upload/check", CONSOLE),
    ("GET", "/graphs", CONSOLE),
    ("GET", "/results", CONSOLE),
    ("GET", "/events", CONSOLE),
    ("GET", "/ws", CONSOLE),
    ("GET", "/logs", CONSOLE),
    ("GET", "/object", CONSOLE),
    ("GET", "/picture", CONSOLE),
    ("POST", "/upload", CONSOLE),
    ("POST", "/retry", CONSOLE),
    ("GET", "/dead-letters", CONSOLE),
    ("POST", "/dead-letters", CONSOLE),
    ("POST", "/backfill", CONSOLE),
    ("POST", "/backup", CONSOLE),
    ("POST", "/orphans", CONSOLE),
    ("GET", "/keys", KEYS),
    ("POST", "/keys", KEYS),
    ("GET", "/login", PUBLIC),
    ("POST", "/login", PUBLIC),
    ("POST", "/logout", PUBLIC),
    ("GET", "/metrics", CONSOLE),
    ("GET", "/metrics/query", CONSOLE),
    ("GET", "/page/script.js", PUBLIC),
    ("GET", "/page/icon.svg", PUBLIC),
];

const API_KEY: &str = "a-key-of-the-shop-0123456789";

/// The HTTP port of a server with these settings.
struct HttpPort {
    address: SocketAddr,
    server: Option<Server>,
    runtime: tokio::runtime::Runtime,
    _data: tempfile::TempDir,
}

impl HttpPort {
    fn start(host: &str, toml: &str) -> Self {
        let data = tempfile::tempdir().unwrap();
        let listen = format!("[listen]\ns3 = \"127.0.0.1:0\"\nhttp = \"{host}:0\"\n{toml}");
        let settings = settings(data.path(), &listen);
        let env = |name: &str| match name {
            "TINTYPE_ACCESS_KEY_ID" => Some(KEY.0.to_owned()),
            "TINTYPE_SECRET_ACCESS_KEY" => Some(KEY.1.to_owned()),
            _ => None,
        };
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let server = runtime.block_on(Server::start(settings, env)).unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], server.http.port()));
        Self { address, server: Some(server), runtime, _data: data }
    }

    /// The status line and the fields of an answer.
    fn send(&self, method: &str, path: &str, header: &str, body: &str) -> String {
        let mut connection = TcpStream::connect(self.address).unwrap();
        let head = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\n{header}", self.address);
        let kind = "content-type: application/x-www-form-urlencoded";
        write!(connection, "{head}{kind}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).unwrap();
        let lines = BufReader::new(connection).lines().map(Result::unwrap);
        lines.take_while(|line| !line.is_empty()).map(|line| line + "\r\n").collect()
    }

    fn status(&self, method: &str, path: &str, header: &str) -> u16 {
        self.send(method, path, header, "")[9..12].parse().unwrap()
    }

    /// The cookie of a new session.
    fn log_in(&self) -> String {
        let form = format!("access_key_id={}&secret_access_key={}", KEY.0, KEY.1);
        let answer = self.send("POST", "/login", "", &form);
        let cookie = answer.split("set-cookie: ").nth(1).and_then(|rest| rest.split(';').next());
        format!("cookie: {}\r\n", cookie.unwrap_or_else(|| panic!("{answer}")))
    }
}

impl Drop for HttpPort {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            self.runtime.block_on(server.stop());
        }
    }
}

#[test]
fn every_route_answers_those_who_may_and_refuses_all_others() {
    let with_keys = format!("[[api.key]]\nname = \"shop\"\nkey = \"{API_KEY}\"\n");
    let port = HttpPort::start("127.0.0.1", &with_keys);
    let routes = port.server.as_ref().unwrap().routes();
    let routes: BTreeSet<_> =
        routes.iter().map(|(method, path, _)| (method.as_str(), path.as_str())).collect();
    let tested = ROUTES.iter().map(|(method, path, _)| (*method, *path));
    assert_eq!(routes, tested.collect(), "a route is listed here with who may use it");

    let (local, open) = (HttpPort::start("127.0.0.1", ""), HttpPort::start("0.0.0.0", ""));
    let root = format!("authorization: Basic {}\r\n", STANDARD.encode(format!("{}:{}", KEY.0, KEY.1)));
    let api_key = format!("x-api-key: {API_KEY}\r\n");
    for (method, path, allowed) in ROUTES {
        let is_api = path.starts_with("/dev1") || path == "/openapi.json";
        // The unknown are refused as API Gateway does it, or led to a login.
        let unknown = if is_api { 403 } else { 401 };
        for (principal, port, header, may, refusal) in [
            ("anonymous", &port, "", allowed.anonymous, unknown),
            ("guest", &open, "", allowed.guest, unknown),
            ("API key", &port, &*api_key, allowed.api_key, 403),
            ("session", &port, &*port.log_in(), allowed.session, 403),
            ("root key", &port, &*root, true, 403),
            ("local program", &local, "", allowed.local_program, 403),
        ] {
            let status = port.status(method, path, header);
            assert_eq!(![401, 403].contains(&status), may, "{principal}: {method} {path}: {status}");
            assert!(may || status == refusal, "{principal}: {method} {path}: {status}");
        }
    }
}

#[test]
fn other_methods_reach_no_handler() {
    let with_keys = format!("[[api.key]]\nname = \"shop\"\nkey = \"{API_KEY}\"\n");
    let port = HttpPort::start("127.0.0.1", &with_keys);
    let has = |method: &str, path: &str| ROUTES.iter().any(|(m, p, _)| (*m, *p) == (method, path));
    for (_, path, allowed) in ROUTES {
        for method in ["HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "get"] {
            let status = port.status(method, path, "");
            // HEAD is GET without the body; a preflight shows nothing.
            let is_answered = has(method, path) || method == "HEAD" && has("GET", path);
            let is_api = path.starts_with("/dev1") || path == "/openapi.json";
            match (method, is_answered) {
                ("OPTIONS", _) if is_api => assert_eq!(status, 204, "{method} {path}"),
                (_, true) => {
                    assert_eq!([401, 403].contains(&status), !allowed.anonymous, "{method} {path}: {status}");
                }
                (_, false) => assert_eq!(status, 403, "{method} {path}"),
            }
        }
    }
}

/// What `api.public` opens, as the setting's values are ordered.
const OPENED: [(&str, &str, usize); 6] = [
    ("/dev1/myimage/{preset}/{*key}", "/dev1/myimage/card/a.jpg", 1),
    ("/dev1/myimage/{preset}/{*key}", "/dev1/myimage/card/a.jpg?dpr=2&v=1&download", 1),
    ("/dev1/myimage", "/dev1/myimage?key=a.jpg&preset=card", 1),
    ("/dev1/myimage", "/dev1/myimage?key=a.jpg&size=50", 3),
    ("/dev1/myimage", "/dev1/myimage?key=a.jpg", 3),
    ("/dev1/myimage", "/dev1/myimage", 3),
];

/// A server whose API needs a key, but for what is public.
fn public_port(public: &str) -> HttpPort {
    HttpPort::start(
        "127.0.0.1",
        &format!(
            "[api]\npublic = \"{public}\"\n[[api.key]]\nname = \"shop\"\nkey = \"{API_KEY}\"\n\
             [[api.signing_key]]\nname = \"old\"\nsecret = \"an old secret of 16\"\n\
             [[api.signing_key]]\nname = \"new\"\nsecret = \"{SECRET}\"\n[[preset]]\nname = \"card\"\n"
        ),
    )
}

const SECRET: &str = "a new secret of 16";
/// In the year 2100.
const LATER_S: i64 = 4_102_444_800;

fn signed_url(path: &str, parameters: &[(&str, &str)], expires_s: i64) -> String {
    tintype_api::signed_url::signed(&SigningKey::new("new", SECRET), path, parameters, expires_s)
}

#[test]
fn without_a_key_no_route_answers_more_than_api_public_says() {
    let methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    let closed = public_port("none");
    for (value, public) in ["none", "presets", "signed", "all"].into_iter().enumerate() {
        let port = public_port(public);
        for (_, path, _) in ROUTES {
            let is_image = |route: &str, target: &str| route == path && !target.is_empty();
            let opened = OPENED.iter().filter(|(route, target, _)| is_image(route, target));
            let mut targets: Vec<_> = opened.map(|(_, target, from)| ((*target).to_owned(), *from)).collect();
            if targets.is_empty() {
                // A signature opens nothing else.
                let signature = signed_url(path, &[("key", "a.jpg"), ("preset", "card")], LATER_S);
                targets = vec![(path.to_owned(), 4), (signature, 4)];
            }
            for (target, from) in targets {
                for method in methods {
                    let answers = |port: &HttpPort| port.status(method, &target, "");
                    let is_open = value >= from && ["GET", "HEAD"].contains(&method);
                    let status = answers(&port);
                    if is_open {
                        assert!([400, 404].contains(&status), "{public}: {method} {target}: {status}");
                    } else {
                        assert_eq!(status, answers(&closed), "{public}: {method} {target}");
                    }
                }
            }
        }
    }
}

#[test]
fn signatures_open_what_was_signed_until_they_expire() {
    let port = public_port("signed");
    let (path, preset) = ("/dev1/myimage", "/dev1/myimage/card/a.jpg");
    let url = signed_url(path, &[("key", "a.jpg"), ("size", "50")], LATER_S);
    let api_key = format!("x-api-key: {API_KEY}\r\n");
    for target in
        [&url, &signed_url(preset, &[], LATER_S), &url.replace("&size=50", "").replace('?', "?size=50&")]
    {
        for method in ["GET", "HEAD"] {
            for header in ["", &*api_key] {
                assert_eq!(port.status(method, target, header), 404, "{method} {target}");
            }
        }
        assert_eq!(port.status("POST", target, ""), 403);
    }
    // Presets need none.
    assert_eq!(port.status("GET", preset, ""), 404);
    let missing = port.send("GET", "/dev1/myimage?key=a.jpg&size=50", "", "");
    for target in [
        url.replace("size=50", "size=51"),
        url.replace("a.jpg", "b.jpg"),
        format!("{url}&size=50"),
        format!("{url}&quality=5"),
        url.replace("signature=", "x="),
        format!("{path}?key=a.jpg&size=50&expires={LATER_S}"),
        signed_url(path, &[("key", "a.jpg"), ("size", "50")], 1),
        signed_url(preset, &[], 1),
    ] {
        let without_date = |answer: &str| {
            answer
                .lines()
                .filter(|line| !line.starts_with("date") && !line.contains("requestid"))
                .collect::<Vec<_>>()
                .join("\n")
        };
        // With a key, too: nothing acts on what was not signed.
        for header in ["", &*api_key] {
            let answer = port.send("GET", &target, header, "");
            assert_eq!(without_date(&answer), without_date(&missing), "{target}");
        }
    }
    assert!(missing.starts_with("HTTP/1.1 403"), "{missing}");
    // Where signatures open nothing, a key is needed besides.
    let closed = public_port("none");
    assert_eq!((closed.status("GET", &url, ""), closed.status("GET", &url, &api_key)), (403, 404));
    let presets = public_port("presets");
    assert_eq!(presets.status("GET", &signed_url(preset, &[], LATER_S), ""), 404);
    assert_eq!(presets.status("GET", &url, ""), 403);
}

#[test]
fn wrong_credentials_are_refused_where_none_are_needed() {
    let port = public_port("all");
    let wrong = format!("authorization: Basic {}\r\n", STANDARD.encode("nobody:nothing"));
    for (header, status) in [
        ("", 404),
        ("x-api-key: wrong\r\n", 403),
        (&*wrong, 403),
        // Browsers send what they were given for the console, whoever causes a request.
        (&*format!("{wrong}sec-fetch-site: cross-site\r\n"), 404),
    ] {
        assert_eq!(port.status("GET", "/dev1/myimage/card/a.jpg", header), status, "{header}");
    }
}

#[test]
fn pages_of_other_origins_may_show_what_is_public_and_nothing_else() {
    // Where nothing is public, programs of this machine are trusted: a page in their browser is not.
    let preset = "[[preset]]\nname = \"card\"\n";
    let of_a_page = "sec-fetch-site: cross-site\r\nsec-fetch-dest: image\r\nsec-fetch-mode: no-cors\r\n";
    let by_fetch = "sec-fetch-site: cross-site\r\norigin: https://shop.example\r\n";
    for (public, presets, all) in [("none", 403, 403), ("presets", 404, 403), ("all", 404, 404)] {
        let port = HttpPort::start("127.0.0.1", &format!("[api]\npublic = \"{public}\"\n{preset}"));
        for header in [of_a_page, by_fetch] {
            assert_eq!(port.status("GET", "/dev1/myimage/card/a.jpg", header), presets, "{public}");
            assert_eq!(port.status("GET", "/dev1/myimage?key=a.jpg&size=5", header), all, "{public}");
            for path in ["/dev1/myimage/info?key=a.jpg", "/openapi.json"] {
                assert_eq!(port.status("GET", path, header), 403, "{public} {path}");
            }
            assert_eq!(port.status("POST", "/dev1/myimage", header), 403, "{public}");
        }
        let (none, shown) =
            (if public == "none" { 404 } else { 403 }, if public == "presets" { 403 } else { 404 });
        assert_eq!(port.status("GET", "/dev1/myimage?key=a.jpg&size=5", ""), shown, "{public}");
        assert_eq!(port.status("GET", "/dev1/myimage/info?key=a.jpg", ""), none, "{public}");
    }
}

/// Two keys that use the console, each with rights of its own to the words that its buckets and keys hold.
const OWNERS: [(&str, &str); 2] = [("garnet", "cobalt"), ("cobalt", "garnet")];

/// A server where each owner has a folder of a shared bucket, and a bucket.
fn shared_port() -> HttpPort {
    let mut toml = String::from(
        "[[trigger]]\nbucket = \"shared-images\"\ndestination = \"shared-thumbnails\"\n\
         [[notify]]\nname = \"cobalt-events\"\nbucket = \"cobalt-images\"\ntarget = \"http://127.0.0.1:9/cobalt\"\n\
         [[notify]]\nname = \"garnet-events\"\nbucket = \"garnet-images\"\ntarget = \"http://127.0.0.1:9/garnet\"\n",
    );
    for (owner, _) in OWNERS {
        let policy = serde_json::json!({"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Action": ["execute-api:Invoke", "tintype:Read", "tintype:Write"], "Resource": "*"},
            {"Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject"], "Resource": [
                format!("arn:aws:s3:::shared-images/{owner}/*"), format!("arn:aws:s3:::{owner}-images/*"),
                format!("arn:aws:s3:::{owner}-thumbnails/*"),
            ]},
            {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": format!("arn:aws:s3:::{owner}-images")},
            {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "arn:aws:s3:::shared-images",
             "Condition": {"StringLike": {"s3:prefix": format!("{owner}/*")}}},
        ]});
        let _ = std::fmt::Write::write_fmt(
            &mut toml,
            format_args!(
                "[[trigger]]\nbucket = \"{owner}-images\"\nprefix = \"{owner}-watched/\"\ndestination = \"{owner}-thumbnails\"\n\
                 [[access]]\nname = \"{owner}-key\"\naccess_key_id = \"{owner}\"\nsecret_access_key = \"secret-of-{owner}\"\n\
                 policy = '{policy}'\n"
            ),
        );
    }
    HttpPort::start("127.0.0.1", &toml)
}

/// A picture of four points.
fn picture() -> Vec<u8> {
    let mut bytes = b"BM".to_vec();
    for number in [70_u32, 0, 54, 40, 2, 2, 1 | 24 << 16, 0, 16, 2835, 2835, 0, 0] {
        bytes.extend(number.to_le_bytes());
    }
    bytes.extend([9; 16]);
    bytes
}

fn basic(id: &str, secret: &str) -> String {
    format!("authorization: Basic {}\r\n", STANDARD.encode(format!("{id}:{secret}")))
}

fn of(owner: &str) -> String {
    basic(owner, &format!("secret-of-{owner}"))
}

impl HttpPort {
    /// The whole of an answer.
    fn exchange(&self, method: &str, target: &str, header: &str, body: &[u8]) -> String {
        let mut connection = TcpStream::connect(self.address).unwrap();
        let head = format!("{method} {target} HTTP/1.1\r\nhost: {}\r\n{header}", self.address);
        write!(connection, "{head}content-length: {}\r\nconnection: close\r\n\r\n", body.len()).unwrap();
        connection.write_all(body).unwrap();
        let mut answer = Vec::new();
        connection.read_to_end(&mut answer).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// Uploads, and waits until the attempt is known.
    fn upload(&self, bucket: &str, key: &str, bytes: &[u8]) {
        let root = basic(KEY.0, KEY.1);
        let target = format!("/upload?bucket={bucket}&key={key}");
        let answer = self.exchange("POST", &target, &format!("{root}content-type: image/bmp\r\n"), bytes);
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        let json = format!("{root}accept: application/json\r\n");
        common::eventually(key, || self.exchange("GET", "/results", &json, b"").contains(key));
    }

    /// Reads a stream until `until` is in it; all of it so far.
    fn follow(&self, target: &str, header: &str) -> impl FnMut(&str) -> String + use<> {
        let mut connection = TcpStream::connect(self.address).unwrap();
        write!(connection, "GET {target} HTTP/1.1\r\nhost: {}\r\n{header}\r\n", self.address).unwrap();
        connection.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let mut read = String::new();
        move |until| {
            let mut chunk = [0; 4096];
            while !read.contains(until) {
                let length = connection.read(&mut chunk).unwrap();
                assert!(length > 0, "it ended: {read}");
                read += &String::from_utf8_lossy(&chunk[..length]);
            }
            read.clone()
        }
    }
}

/// Requests that answer with names, in place of `{own}` those of whoever asks: method, target, body, and whether the answer
/// has a name of whoever asks. Every route is here.
const ASKED: &[(&str, &str, &str, bool)] = &[
    ("GET", "/dev1/myimage?bucket=shared-images&key={own}/a.bmp", "", false),
    ("HEAD", "/dev1/myimage?bucket=shared-images&key={own}/a.bmp", "", false),
    ("GET", "/dev1/myimage?bucket=nowhere&key=a.bmp", "", true),
    ("GET", "/dev1/myimage?key=a.bmp", "", false),
    ("GET", "/dev1/myimage/{preset}/{*key}", "", false),
    ("HEAD", "/dev1/myimage/{preset}/{*key}", "", false),
    (
        "POST",
        "/dev1/myimage",
        "{\"Records\": [{\"eventName\": \"ObjectCreated:Put\", \"s3\": {\"bucket\": {\"name\": \"{own}-images\"}, \"object\": {\"key\": \"{own}-watched/b.bmp\"}}}]}",
        true,
    ),
    (
        "POST",
        "/dev1/myimage",
        "{\"Records\": [{\"eventName\": \"ObjectCreated:Put\", \"s3\": {\"bucket\": {\"name\": \"shared-images\"}, \"object\": {\"key\": \"{own}/broken.bmp\"}}}]}",
        true,
    ),
    ("GET", "/dev1/myimage/info?bucket={own}-images&key={own}-watched/b.bmp", "", true),
    (
        "POST",
        "/dev1/myimage/uploads",
        "{\"bucket\": \"{own}-images\", \"key\": \"{own}-watched/c.bmp\"}",
        true,
    ),
    ("POST", "/dev1/myimage/uploads", "{\"bucket\": \"nowhere\", \"key\": \"c.bmp\"}", true),
    ("GET", "/dev1/myimage/search?bucket=shared-images&q=bmp", "", false),
    ("GET", "/alt-texts", "", false),
    ("POST", "/alt-texts", "bucket=shared-images", false),
    ("POST", "/alt-text", "bucket=shared-images&key={own}/a.bmp&action=describe", false),
    ("GET", "/openapi.json", "", false),
    ("GET", "/healthz", "", false),
    ("GET", "/readyz", "", false),
    ("GET", "/", "", true),
    ("GET", "/?bucket=shared-images&prefix={own}/", "", true),
    ("GET", "/metrics/dashboard", "", true),
    ("GET", "/gallery", "", true),
    ("GET", "/gallery?bucket=shared-images", "", true),
    ("GET", "/gallery?bucket=shared-images&last=1", "", true),
    ("GET", "/gallery?bucket=shared-images&text=bmp", "", true),
    ("GET", "/gallery?bucket=shared-images&only=failed", "", true),
    ("GET", "/gallery?bucket=shared-thumbnails", "", false),
    ("GET", "/gallery?bucket={own}-images&text=bmp", "", true),
    ("GET", "/gallery?bucket=shared-images&key={own}/a.bmp", "", true),
    ("GET", "/operations", "", false),
    ("GET", "/operations/state", "", false),
    ("GET", "/backfills", "", false),
    ("POST", "/backfills", "action=start&prefix={own}/", false),
    ("GET", "/buckets", "", true),
    ("GET", "/summary", "", false),
    ("GET", "/notifications", "", true),
    ("GET", "/preview?bucket=shared-images&key={own}/a.bmp", "", false),
    ("GET", "/render?bucket=shared-images&key={own}/a.bmp", "", false),
    ("GET", "/download?bucket=shared-images&key={own}/a.bmp", "", false),
    ("GET", "/download?key=a.bmp", "", false),
    ("POST", "/delete", "bucket=shared-images&key={own}/a.bmp", true),
    ("POST", "/upload/check", "bucket=shared-images&key={own}/a.bmp", true),
    ("POST", "/upload?bucket={own}-images&key=elsewhere.bmp", "x", true),
    ("GET", "/graphs", "", false),
    ("GET", "/results", "", true),
    ("GET", "/results?only=failed", "", true),
    ("GET", "/results?text=bmp&last=1", "", true),
    ("GET", "/logs", "", true),
    ("GET", "/logs?failed=true", "", true),
    ("GET", "/logs?key={own}/a.bmp", "", true),
    ("GET", "/object?bucket=shared-images&key={own}/a.bmp", "", true),
    ("GET", "/object?bucket=shared-images&key={own}/broken.bmp", "", true),
    ("GET", "/object?bucket={own}-images&key={own}-watched/b.bmp", "", true),
    ("GET", "/object?bucket={own}-images&key=elsewhere.bmp", "", true),
    ("GET", "/picture?bucket=shared-images&key={own}/a.bmp", "", false),
    ("POST", "/retry", "bucket=shared-images&key={own}/a.bmp", false),
    ("GET", "/dead-letters", "", true),
    ("GET", "/dead-letters?reason=unsupported&text=bmp", "", true),
    ("POST", "/dead-letters", "action=redrive&all=1", false),
    ("POST", "/backfill", "dry_run=true", false),
    ("POST", "/backup", "action=begin", false),
    ("POST", "/orphans", "", false),
    ("GET", "/keys", "", false),
    ("POST", "/keys", "action=add&name=other", false),
    ("GET", "/login", "", false),
    ("POST", "/login", "", false),
    ("POST", "/logout", "", false),
    ("GET", "/metrics", "", false),
    ("GET", "/metrics/query?metric=Duration", "", false),
    ("GET", "/page/script.js", "", false),
    ("GET", "/page/icon.svg", "", false),
];

/// Routes that stream, which another test follows.
const STREAMS: [&str; 2] = ["/events", "/ws"];

#[test]
fn no_route_names_what_a_key_may_neither_get_nor_list() {
    let port = shared_port();
    for (owner, _) in OWNERS {
        port.upload("shared-images", &format!("{owner}/a.bmp"), &picture());
        port.upload("shared-images", &format!("{owner}/broken.bmp"), b"no image");
        port.upload(&format!("{owner}-images"), &format!("{owner}-watched/b.bmp"), &picture());
    }
    let asked: BTreeSet<_> = ASKED
        .iter()
        .map(|(method, target, ..)| (*method, target.split('?').next().unwrap()))
        .chain(STREAMS.map(|path| ("GET", path)))
        .collect();
    let routes = ROUTES.iter().map(|(method, path, _)| (*method, *path));
    assert_eq!(asked, routes.collect(), "what a route names is asked for here");

    let root = basic(KEY.0, KEY.1);
    let form =
        format!("{root}accept: application/json\r\ncontent-type: application/x-www-form-urlencoded\r\n");
    let backfill = format!("action=start&prefix={}/", OWNERS[0].1);
    let begun = port.exchange("POST", "/backfills", &form, backfill.as_bytes());
    assert!(begun.starts_with("HTTP/1.1 2"), "{begun}");
    for (method, target, body, is_named) in ASKED {
        for accept in ["", "accept: application/json\r\n"] {
            let ask = |own: &str, credentials: &str| {
                let kind = if body.starts_with('{') {
                    "application/json"
                } else {
                    "application/x-www-form-urlencoded"
                };
                let header = format!("{credentials}{accept}content-type: {kind}\r\n");
                let (target, body) = (target.replace("{own}", own), body.replace("{own}", own));
                port.exchange(method, &target, &header, body.as_bytes())
            };
            for (own, other) in OWNERS {
                // Deleting is not among its rights, so that each key is asked the same.
                let answer = ask(own, &of(own));
                assert!(!answer.contains(other), "{own}: {method} {target}: {answer}");
                assert!(!is_named || answer.contains(own), "{own}: {method} {target}: {answer}");
            }
        }
    }
    // The root key sees both, so that there is something to leave out.
    for target in [
        "/results",
        "/buckets",
        "/gallery?bucket=shared-images",
        "/dead-letters",
        "/logs",
        "/notifications",
        "/operations",
        "/",
        "/metrics/dashboard",
    ] {
        let answer = port.exchange("GET", target, &root, b"");
        for (own, _) in OWNERS {
            assert!(answer.contains(own), "{target}: {answer}");
        }
    }
    // A search goes through what may be listed, where the bucket itself may not be.
    for (own, other) in OWNERS {
        let json = format!("{}accept: application/json\r\n", of(own));
        let found = port.exchange("GET", "/gallery?bucket=shared-images&text=A.BMP", &json, b"");
        assert!(found.contains(&format!("{own}/a.bmp")) && !found.contains(other), "{found}");
        assert!(!found.contains("broken"), "{found}");
    }
    // What is another's is refused whether it is there or not.
    for (own, other) in OWNERS {
        for key in ["a.bmp", "none.bmp"] {
            for path in [
                "/object",
                "/picture",
                "/preview",
                "/render",
                "/download",
                "/gallery",
                "/dev1/myimage",
                "/dev1/myimage/info",
            ] {
                let target = format!("{path}?bucket=shared-images&key={other}/{key}");
                assert_eq!(port.status("GET", &target, &of(own)), 403, "{target}");
            }
        }
        let logs = port.exchange("GET", &format!("/logs?key={other}/a.bmp"), &of(own), b"");
        assert!(logs.starts_with("HTTP/1.1 200") && !logs.contains("platform"), "{logs}");
        for bucket in [format!("{other}-images"), "nowhere-images".into()] {
            assert_eq!(port.status("GET", &format!("/gallery?bucket={bucket}"), &of(own)), 403, "{bucket}");
        }
    }
}

#[test]
fn streams_have_what_a_key_may_get_or_list() {
    let port = shared_port();
    let upgrade = "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                   sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n";
    for (round, (own, other)) in OWNERS.into_iter().enumerate() {
        let streams = [("/events", ""), ("/logs?follow=true", ""), ("/ws", upgrade)];
        let mut streams =
            streams.map(|(target, header)| port.follow(target, &format!("{}{header}", of(own))));
        // Answered, so that nothing that comes is missed.
        for stream in &mut streams {
            stream("\r\n\r\n");
        }
        port.upload("shared-images", &format!("{other}/first-{round}.bmp"), &picture());
        port.upload(&format!("{other}-images"), &format!("{other}-watched/second-{round}.bmp"), b"no image");
        port.upload("shared-images", &format!("{own}/last.bmp"), &picture());
        for stream in &mut streams {
            let read = stream("last.bmp");
            assert!(!read.contains(other) && read.contains(own), "{read}");
        }
    }
}

/// A server where both owners have images in one folder, told apart by their ends, and another key may get one that it cannot
/// be seen from its policy that it may.
fn meeting_port() -> HttpPort {
    let mut toml = String::from(
        "[[trigger]]\nbucket = \"meeting-images\"\nsuffixes = [\".garnet\", \".cobalt\", \".bmp\"]\n\
         destination = \"meeting-thumbnails\"\n\
         [[trigger.rendition]]\nkey = \"{dir}{stem}.{format}\"\nsize = \"16\"\n\
         [[trigger]]\nbucket = \"late-images\"\nprefix = \"late/\"\nsuffixes = [\".garnet\"]\n\
         destination = \"late-thumbnails\"\n[[preset]]\nname = \"card\"\nsize = \"16\"\n",
    );
    let of_owner = |owner: &str| {
        serde_json::json!({"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Action": ["execute-api:Invoke", "tintype:Read", "tintype:Write"], "Resource": "*"},
            {"Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject"], "Resource": [
                format!("arn:aws:s3:::meeting-images/*.{owner}"), "arn:aws:s3:::meeting-images/common/*",
                format!("arn:aws:s3:::late-images/*.{owner}"),
            ]},
        ]})
    };
    let narrow = serde_json::json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "execute-api:Invoke", "Resource": "*"},
        {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::meeting-images/0*"},
        {"Effect": "Deny", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::meeting-images/0"},
    ]});
    for (name, policy) in [("garnet", of_owner("garnet")), ("cobalt", of_owner("cobalt")), ("narrow", narrow)]
    {
        toml.extend([format!(
            "[[access]]\nname = \"{name}-key\"\naccess_key_id = \"{name}\"\nsecret_access_key = \"secret-of-{name}\"\n\
             policy = '{policy}'\n"
        )]);
    }
    HttpPort::start("127.0.0.1", &toml)
}

#[test]
fn failures_and_events_do_not_name_what_another_key_has() {
    let port = meeting_port();
    let root = basic(KEY.0, KEY.1);
    for (pass, (own, other)) in OWNERS.into_iter().enumerate() {
        let key = format!("{pass}.{own}");
        // The thumbnails of both have one name.
        port.upload("meeting-images", &format!("{pass}.{other}"), &picture());
        port.upload("meeting-images", &key, &picture());
        let ask = |method: &str, target: &str, kind: &str, body: &[u8]| {
            let header = format!("{}accept: application/json\r\ncontent-type: {kind}\r\n", of(own));
            port.exchange(method, target, &header, body)
        };
        let get = |target: &str| ask("GET", target, "text/plain", b"");
        common::eventually("the collision is a dead letter", || get("/dead-letters").contains(&key));
        let event = serde_json::json!({"Records": [{"eventName": "ObjectCreated:Put", "s3": {
            "bucket": {"name": "meeting-images"}, "object": {"key": key},
        }}]});
        let object = format!("bucket=meeting-images&key={key}");
        for answer in [
            ask("POST", &format!("/dev1/myimage?{object}"), "image/bmp", &picture()),
            ask("POST", "/dev1/myimage", "application/json", event.to_string().as_bytes()),
            get(&format!("/object?{object}")),
            get("/dead-letters"),
            get("/results"),
        ] {
            assert!(!answer.contains(other), "{own}: {answer}");
            assert!(answer.contains("taken by another source's thumbnail"), "{own}: {answer}");
        }
        let gallery = get(&format!("/gallery?{object}"));
        assert!(gallery.contains(own) && !gallery.contains(other), "{gallery}");

        // Whose event it was, where both see the object.
        let common = format!("bucket=meeting-images&key=common/{pass}.bmp");
        let header = format!("{}content-type: image/bmp\r\n", of(other));
        let uploaded = port.exchange("POST", &format!("/upload?{common}"), &header, b"no image");
        assert!(uploaded.starts_with("HTTP/1.1 200"), "{uploaded}");
        let name = format!("common/{pass}.bmp");
        common::eventually("it is a dead letter", || get("/dead-letters").contains(&name));
        let target = format!("/object?{common}");
        let shown = port.exchange("GET", &target, &format!("{root}accept: application/json\r\n"), b"");
        assert!(shown.contains(&format!("key/{other}-key")), "there is something to leave out: {shown}");
        for target in [&*target, "/dead-letters"] {
            let answer = get(target);
            assert!(answer.contains(&name) && !answer.contains(other), "{target}: {answer}");
        }
    }
    // A trigger is shown to whom it concerns, also where the policy names keys by their end.
    for (owner, is_shown) in [("garnet", true), ("cobalt", false)] {
        let page = port.exchange("GET", "/metrics/dashboard", &of(owner), b"");
        assert_eq!(page.contains("late-images/late/"), is_shown, "{owner}: {page}");
    }
    // What a key may get it is answered, though no bucket is meant by default for it.
    let narrow = of("narrow");
    for (key, status) in [("0.cobalt", 200), ("0.none", 404), ("1.cobalt", 400), ("0", 400)] {
        let target = format!("/dev1/myimage?bucket=meeting-images&key={key}&size=20");
        assert_eq!(port.status("GET", &target, &narrow), status, "{key}");
    }
    let preset = "/dev1/myimage/card/0.cobalt?bucket=meeting-images";
    for (header, status) in [(&narrow, 200), (&of("cobalt"), 200), (&of("garnet"), 403)] {
        assert_eq!(port.status("GET", preset, header), status, "{header}");
    }
    let info = "/dev1/myimage/info?bucket=meeting-images&key=0.cobalt";
    let info = port.exchange("GET", info, &of("cobalt"), b"");
    assert!(info.contains(preset) && !info.contains("garnet"), "{info}");
    let header = format!("{narrow}content-type: application/json\r\n");
    let form = port.exchange("POST", "/dev1/myimage/uploads", &header, b"{\"key\": \"a.bmp\"}");
    assert!(form.starts_with("HTTP/1.1 403") && form.contains("name one"), "{form}");
    assert!(!form.contains("meeting"), "{form}");
}
