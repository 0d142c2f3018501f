//! Every way to the store through S3 asks whether its sender may: over a real port, signed by hand.

mod common;

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    sync::{Arc, Mutex},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use common::{IN, at, open, put, read};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use time::{OffsetDateTime, macros::format_description};
use tintype_pipeline::hex;

use tintype::{
    auth::Credentials,
    listen,
    s3::{Authorizer, S3Service},
    storage::Storage,
};

const KEY: (&str, &str) = ("access-key", "secret-of-the-access-key");

/// The endpoint over a store, and what it was asked to allow.
struct Endpoint {
    address: SocketAddr,
    store: Arc<Storage>,
    asked: Arc<Mutex<Vec<String>>>,
    _data: tempfile::TempDir,
    _runtime: tokio::runtime::Runtime,
}

/// An endpoint that denies what `denied` names: `action resource`.
fn endpoint(denied: fn(&str) -> bool) -> Endpoint {
    let data = tempfile::tempdir().unwrap();
    let store = open(data.path()).store;
    for key in ["a", "secret", "kept"] {
        put(&store, &at(IN, key), key.as_bytes()).unwrap();
    }
    let given = (Some(KEY.0.to_owned()), Some(KEY.1.to_owned()));
    let credentials = Credentials::load_or_make(data.path(), given).unwrap();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = asked.clone();
    let authorizer = Authorizer::by(move |principal, action, resource| {
        assert_eq!(principal.access_key_id, KEY.0);
        let question = format!("{action} {resource}");
        let is_denied = denied(&question);
        seen.lock().unwrap().push(question);
        !is_denied
    });
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let service = S3Service::new(store.clone(), &credentials, authorizer);
    let address = runtime.block_on(async {
        let listener = listen::bind("127.0.0.1:0".parse().unwrap(), "listen.s3").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = tokio::sync::watch::channel(false);
        tokio::spawn(async move {
            let _stays_open = stop;
            listen::serve(listener, service, None, stopped, Duration::ZERO).await;
        });
        address
    });
    Endpoint { address, store, asked, _data: data, _runtime: runtime }
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

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }
}

fn is_denied(answer: &str) -> bool {
    answer.contains("<Code>AccessDenied</Code>") && answer.contains("is not authorized to perform")
}

const COPY: (&str, &str) = ("x-amz-copy-source", "/input-product-images/secret");
const LIST: &[u8] = b"<Delete><Object><Key>a</Key></Object><Object><Key>kept</Key></Object></Delete>";

#[test]
fn every_operation_asks_before_anything_is_done() {
    let endpoint = endpoint(|_| true);
    let (bucket, object) = ("/input-product-images", "/input-product-images/a");
    for (method, path, query, more, action) in [
        ("GET", "/", "", &[][..], "ListAllMyBuckets"),
        ("GET", bucket, "", &[], "ListBucket"),
        ("GET", bucket, "list-type=2", &[], "ListBucket"),
        ("GET", bucket, "uploads=", &[], "ListBucketMultipartUploads"),
        ("GET", bucket, "location=", &[], "GetBucketLocation"),
        ("GET", bucket, "cors=", &[], "GetBucketCORS"),
        ("GET", bucket, "notification=", &[], "GetBucketNotification"),
        ("PUT", "/another-bucket", "", &[], "CreateBucket"),
        ("PUT", bucket, "cors=", &[], "PutBucketCORS"),
        ("PUT", bucket, "notification=", &[], "PutBucketNotification"),
        ("DELETE", "/output-product-thumbnail", "", &[], "DeleteBucket"),
        ("DELETE", bucket, "cors=", &[], "PutBucketCORS"),
        ("GET", object, "", &[], "GetObject"),
        ("GET", object, "tagging=", &[], "GetObjectTagging"),
        ("GET", object, "uploadId=x", &[], "ListMultipartUploadParts"),
        ("PUT", object, "", &[], "PutObject"),
        ("PUT", object, "", &[COPY], "PutObject"),
        ("PUT", object, "partNumber=1&uploadId=x", &[], "PutObject"),
        ("PUT", object, "partNumber=1&uploadId=x", &[COPY], "PutObject"),
        ("POST", object, "uploads=", &[], "PutObject"),
        ("POST", object, "uploadId=x", &[], "PutObject"),
        ("DELETE", object, "", &[], "DeleteObject"),
        ("DELETE", object, "uploadId=x", &[], "AbortMultipartUpload"),
    ] {
        let answer = endpoint.signed(method, path, query, more, b"");
        assert!(is_denied(&answer), "{method} {path}?{query}: {answer}");
        let resource = if path == "/" { "*" } else { &path[1..] };
        assert_eq!(endpoint.asked(), [format!("s3:{action} {resource}")]);
    }
    for path in [bucket, object] {
        assert!(endpoint.signed("HEAD", path, "", &[], b"").starts_with("HTTP/1.1 403"));
    }
    assert_eq!(read(&endpoint.store, &at(IN, "a")), Some(b"a".to_vec()));
    assert_eq!(endpoint.store.buckets.list().unwrap().len(), 2);
}

#[test]
fn each_key_of_a_list_is_asked_for() {
    let endpoint = endpoint(|question| question == "s3:DeleteObject input-product-images/kept");
    let answer = endpoint.signed("POST", "/input-product-images", "delete=", &[], LIST);
    assert!(answer.contains("<Deleted><Key>a</Key></Deleted>") && is_denied(&answer), "{answer}");
    assert_eq!(read(&endpoint.store, &at(IN, "a")), None);
    assert!(read(&endpoint.store, &at(IN, "kept")).is_some());
}

#[test]
fn the_source_of_a_copy_is_asked_for() {
    let endpoint = endpoint(|question| question == "s3:GetObject input-product-images/secret");
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
fn a_form_is_asked_for() {
    let endpoint = endpoint(|question| question == "s3:PutObject input-product-images/form");
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
