//! The same cases over HTTP and as API Gateway's events of both versions: the responses are equal. The host is the real
//! function over an in-memory store.

use std::{
    sync::{
        Arc, LazyLock,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Request},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use serde::Deserialize;
use serde_json::{Value, json};
use tintype_api::{
    Audience, Config, Deadline, FormSigner, Host, HostResult, Refused,
    apigateway::ApiGateway,
    settings::{ApiSection, PresetSection, SigningKey},
    signed_url::signed,
};
use tintype_engine::{Header, Spec, Thumbnail};
use tintype_pipeline::{
    Call, Failure, Inspection, Location, ObjectKey, RenderedImage, Report, Stop, Store as _, Thumbnails,
    event::Record,
    settings::{Foreign, FunctionSection, LimitsSection, Sources, TriggerSection, triggers},
    store::{Arrival, Condition, Object, Put, Stat, WithArrival},
    trigger::Trigger,
};
use tintype_stores::MemoryStore;
use tower::ServiceExt as _;

const SHOP: &str = "https://shop.example";

static STOP: LazyLock<Stop> = LazyLock::new(Stop::never);

#[derive(Clone)]
struct TestHost(Arc<Parts>);

struct Parts {
    triggers: Arc<Vec<Trigger>>,
    thumbnails: Thumbnails,
    store: MemoryStore,
    shares_results: AtomicBool,
    /// Renderings of objects that requests alone have asked for.
    renderings: AtomicU32,
    /// Whether they wait.
    is_held: AtomicBool,
}

impl TestHost {
    async fn upload(&self, key: &str, bytes: Vec<u8>) {
        self.upload_to(&self.0.triggers[0].bucket, key, bytes).await;
    }

    async fn upload_to(&self, bucket: &str, key: &str, bytes: Vec<u8>) {
        let at = Location { bucket: bucket.to_owned(), key: ObjectKey::new(key).unwrap() };
        let content_type = "image/png".to_owned();
        let put =
            Put { at, condition: Condition::Any, bytes: bytes.into(), content_type, metadata: [].into() };
        self.0.store.put_all(vec![put], None).await.unwrap();
    }
}

impl Host for TestHost {
    fn triggers(&self) -> Arc<Vec<Trigger>> {
        self.0.triggers.clone()
    }

    fn audience(&self) -> Option<Audience> {
        self.0.shares_results.load(Ordering::Relaxed).then_some(Audience::Callers)
    }

    async fn invoke(&self, record: Record, _: Deadline) -> Result<Report, Refused> {
        let parts = &self.0;
        Ok(parts
            .thumbnails
            .handle(Call { triggers: &parts.triggers, stop: &STOP }, &parts.store, &record)
            .await)
    }

    async fn render(&self, bytes: Bytes, spec: Spec, _: Deadline) -> HostResult<(Header, Thumbnail)> {
        let rendered = self.0.thumbnails.render(&STOP, bytes, &spec).await;
        Ok(rendered.map(|(header, thumbnail, _)| (header, thumbnail)))
    }

    async fn render_object(&self, at: Location, spec: Spec, _: Deadline) -> HostResult<(Stat, Thumbnail)> {
        let parts = &self.0;
        parts.renderings.fetch_add(1, Ordering::Relaxed);
        while parts.is_held.load(Ordering::Relaxed) {
            tokio::task::yield_now().await;
        }
        Ok(parts.thumbnails.render_object(&STOP, &parts.store, &at, &spec).await)
    }

    async fn inspect(&self, at: Location, trigger: Trigger, _: Deadline) -> HostResult<Inspection> {
        let parts = &self.0;
        Ok(parts.thumbnails.inspect(&STOP, &parts.store, &at, &trigger).await)
    }

    async fn receive(&self, arrival: Arrival, spec: Spec, _: Deadline) -> HostResult<RenderedImage> {
        let parts = &self.0;
        // Not the ETag that the store assigns, as on S3 with KMS keys: the stored object is read again.
        let store = WithArrival::new(&parts.store, arrival.clone(), "another".into());
        let call = Call { triggers: &parts.triggers, stop: &STOP };
        let received = parts.thumbnails.receive(call, &store, &arrival, &spec).await;
        Ok(received.map(|(_, image)| image))
    }

    async fn stat(&self, at: Location) -> Result<Option<Stat>, Failure> {
        Ok(self.0.store.head(&at).await?)
    }

    async fn read(&self, at: Location) -> Result<Option<Object>, Failure> {
        Ok(self.0.store.get(&at, u64::MAX).await?)
    }

    async fn form_signer(&self, bucket: &str, _: &axum::http::request::Parts) -> Result<FormSigner, Failure> {
        Ok(FormSigner {
            url: format!("https://{bucket}.example"),
            region: "us-east-1".into(),
            access_key_id: "id".into(),
            secret_access_key: "secret".into(),
            session_token: None,
        })
    }
}

/// An image of one colour.
fn png(width: u32, height: u32, colour: [u8; 3]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Rgb);
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(&colour.repeat((width * height) as usize)).unwrap();
    writer.finish().unwrap();
    bytes
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Written {
    api: ApiSection,
    preset: Vec<PresetSection>,
    trigger: Option<Vec<TriggerSection>>,
}

async fn routes() -> (Router, TestHost) {
    routes_for_pages("").await
}

const PRESETS: &str = "[[preset]]\nname = \"card\"\nsize = \"64x64\"\nfit = \"cover\"\nformat = \"auto\"\nfallback = \"a b+c.png\"\n\
    [[preset]]\nname = \"plain\"\nsize = \"32\"\nmax_dpr = 1\n\
    [[api.signing_key]]\nname = \"test\"\nsecret = \"0123456789abcdef\"\n";

/// The routes with presets and images.
async fn routes_for_pages(api: &str) -> (Router, TestHost) {
    let (router, host) = routes_with(&format!("{api}{PRESETS}")).await;
    for (key, bytes) in [
        ("a b+c.png", png(300, 200, [200, 40, 30])),
        ("wrong.jpg", png(300, 200, [30, 160, 50])),
        ("text.png", b"not an image".to_vec()),
        ("notes.txt", b"text".to_vec()),
    ] {
        host.upload(key, bytes).await;
    }
    (router, host)
}

/// The routes with further settings; the buckets of the triggers are empty.
async fn routes_with(more: &str) -> (Router, TestHost) {
    let file = format!(
        "[api]\ncors_origins = [\"{SHOP}\"]\nmax_body = \"64 KiB\"\nmax_side = 512\nmax_quality = 90\n{more}"
    );
    let sources = Sources { file: Some(("settings".into(), file)), ..Sources::default() };
    let (written, check) = sources.read::<Written>(Foreign::default()).unwrap();
    let function = FunctionSection::default().validate(&check).unwrap();
    let limits = LimitsSection::default().validate(&check, &function).unwrap();
    let api = written.api.validate(&check, written.preset).unwrap();
    let triggers = triggers(&check, written.trigger).unwrap();
    let mut buckets: Vec<&str> =
        triggers.iter().flat_map(|trigger| [trigger.bucket.as_str(), &trigger.destination]).collect();
    buckets.dedup();
    let store = MemoryStore::with_buckets(&buckets);
    let thumbnails = Thumbnails::new(limits, 1 << 30, 1).unwrap();
    let config = Config::new(&api, limits);
    let host = TestHost(Arc::new(Parts {
        triggers: Arc::new(triggers),
        thumbnails,
        store,
        shares_results: true.into(),
        renderings: 0.into(),
        is_held: false.into(),
    }));
    (tintype_api::cross_origin(tintype_api::router(host.clone(), config), &api), host)
}

/// A request of the cases below.
#[derive(Clone)]
struct Case {
    method: &'static str,
    path: &'static str,
    query: &'static str,
    headers: Vec<(&'static str, &'static str)>,
    body: Vec<u8>,
}

fn case(method: &'static str, path: &'static str, query: &'static str) -> Case {
    Case { method, path, query, headers: vec![], body: vec![] }
}

impl Case {
    fn with(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.push((name, value));
        self
    }

    fn body(mut self, kind: &'static str, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self.with("content-type", kind)
    }
}

/// Status, headers and bytes.
#[derive(Debug, PartialEq)]
struct ApiResponse {
    status: u64,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl ApiResponse {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// Several values of a header mean the same as one with commas (RFC 9110, section 5.3).
fn joined(headers: &HeaderMap) -> Vec<(String, String)> {
    let mut joined: Vec<_> = headers
        .keys()
        .map(|name| {
            let values: Vec<_> = headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect();
            (name.to_string(), values.join(","))
        })
        .collect();
    joined.sort();
    joined
}

async fn over_http(router: &Router, case: &Case) -> ApiResponse {
    let uri = format!("/dev1{}?{}", case.path, case.query);
    let mut request = Request::builder().method(case.method).uri(uri);
    for (name, value) in &case.headers {
        request = request.header(*name, *value);
    }
    answer_to(router, request.body(Body::from(case.body.clone())).unwrap()).await
}

async fn answer_to(router: &Router, request: Request<Body>) -> ApiResponse {
    let response = router.clone().oneshot(request).await.unwrap();
    let (head, body) = response.into_parts();
    ApiResponse {
        status: head.status.as_u16().into(),
        headers: joined(&head.headers),
        body: body.collect().await.unwrap().to_bytes().to_vec(),
    }
}

fn from_gateway(answer: &Value) -> ApiResponse {
    let body = answer["body"].as_str().unwrap();
    let body = if answer["isBase64Encoded"] == true { STANDARD.decode(body).unwrap() } else { body.into() };
    let mut headers: Vec<(String, String)> = Vec::new();
    for (name, value) in answer["headers"].as_object().unwrap() {
        headers.push((name.clone(), value.as_str().unwrap().into()));
    }
    for (name, values) in answer.get("multiValueHeaders").and_then(Value::as_object).into_iter().flatten() {
        let values: Vec<_> = values.as_array().unwrap().iter().map(|value| value.as_str().unwrap()).collect();
        headers.push((name.clone(), values.join(",")));
    }
    // Over HTTP the listener of the server adds it.
    let nosniff = ("x-content-type-options".to_owned(), "nosniff".to_owned());
    let at = headers.iter().position(|header| *header == nosniff).expect("every response has it");
    headers.remove(at);
    headers.sort();
    ApiResponse { status: answer["statusCode"].as_u64().unwrap(), headers, body }
}

async fn as_rest_event(gateway: &ApiGateway, case: &Case) -> ApiResponse {
    let mut query = serde_json::Map::new();
    for (name, value) in url_pairs(case.query) {
        query.entry(name).or_insert_with(|| json!([])).as_array_mut().unwrap().push(value.into());
    }
    let headers: serde_json::Map<_, _> =
        case.headers.iter().map(|(name, value)| ((*name).to_owned(), json!([value]))).collect();
    let event = json!({
        "resource": "/{proxy+}", "path": case.path, "httpMethod": case.method,
        "headers": null, "multiValueHeaders": headers,
        "queryStringParameters": null, "multiValueQueryStringParameters": query,
        "requestContext": {"stage": "prod", "path": format!("/prod{}", case.path)},
        "body": STANDARD.encode(&case.body), "isBase64Encoded": true,
    });
    from_gateway(&gateway.answer(event, Deadline::after(Duration::from_secs(60))).await)
}

/// The decoded fields of a query, as API Gateway sends them.
fn url_pairs(query: &str) -> Vec<(String, String)> {
    let decode = |text: &str| {
        let text = text.replace('+', " ");
        percent_encoding::percent_decode_str(&text).decode_utf8().unwrap().into_owned()
    };
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            pair.split_once('=').map_or((decode(pair), String::new()), |(n, v)| (decode(n), decode(v)))
        })
        .collect()
}

async fn as_http_api_event(gateway: &ApiGateway, case: &Case) -> ApiResponse {
    let path = format!("/prod{}", case.path);
    let headers: serde_json::Map<_, _> =
        case.headers.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
    let event = json!({
        "version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": case.query, "headers": headers,
        "requestContext": {"stage": "prod", "http": {"method": case.method, "path": path}},
        "body": STANDARD.encode(&case.body), "isBase64Encoded": true,
    });
    from_gateway(&gateway.answer(event, Deadline::after(Duration::from_secs(60))).await)
}

const FORM: &str = "multipart/form-data; boundary=b";

fn form(file: &[u8]) -> Vec<u8> {
    let head = b"--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.png\"\r\nContent-Type: image/png\r\n\r\n";
    [head, file, b"\r\n--b--\r\n"].concat()
}

fn cases() -> Vec<(u64, Case)> {
    let red = png(300, 200, [200, 40, 30]);
    let truncated = red[..red.len() / 2].to_vec();
    let get = |query| case("GET", "/myimage", query);
    let post = || case("POST", "/myimage", "");
    let json = |body: &'static str| post().body("application/json", body);
    vec![
        (200, json(r#"{"key": "a b+c.png"}"#)),
        (200, json(r#"{"key": "notes.txt"}"#)),
        (
            200,
            json(
                r#"{"Records": [{}, {"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": "input-product-images"}, "object": {"key": "a+b%2Bc.png"}}}]}"#,
            ),
        ),
        (200, json(r#"{"Service": "Amazon S3", "Event": "s3:TestEvent"}"#)),
        (400, json("{")),
        (400, json("[]")),
        (400, case("POST", "/myimage", "key=a.png").body("application/json", "{}")),
        (200, post().body("image/png", red.clone())),
        (200, post().body("application/octet-stream", red.clone())),
        (200, post().body(FORM, form(&red))),
        (400, post().body(FORM, "--b")),
        (200, case("POST", "/myimage", "size=64&format=jpeg").body("image/png", red.clone())),
        (415, post().body("image/png", "not an image")),
        (422, post().body("image/png", truncated)),
        (413, post().body("image/png", vec![0; 65 << 10])),
        (415, post().body("text/html", "x")),
        (200, get("key=a+b%2Bc.png")),
        (200, case("HEAD", "/myimage", "key=a+b%2Bc.png")),
        (304, get("key=a+b%2Bc.png").with("if-none-match", "*")),
        (200, get("key=a+b%2Bc.png").with("accept", "image/webp")),
        (200, get("key=wrong.jpg").with("accept", "image/jpeg")),
        (406, get("key=a+b%2Bc.png").with("accept", "text/html")),
        (
            200,
            get(
                "key=a+b%2Bc.png&size=64x64&fit=contain&background=000000&gravity=north&quality=50&format=jpeg&scaling=fast&sharpen=10&focal=0.5,0.5",
            ),
        ),
        (404, get("key=missing.png")),
        (404, get("key=notes.txt")),
        (415, get("key=text.png")),
        (400, get("")),
        (400, get("key=a.png&key=b.png")),
        (400, get("key=a.png&colour=red")),
        (400, get("key=a.png&size=513")),
        (400, get("key=a.png&quality=91")),
        (200, case("GET", "/myimage/card/a%20b%2Bc.png", "")),
        (200, case("GET", "/myimage/card/a%20b+c.png", "").with("accept", "image/avif,image/webp,*/*")),
        (200, case("HEAD", "/myimage/card/a%20b+c.png", "dpr=2")),
        (200, case("GET", "/myimage/plain/a%20b+c.png", "download=card")),
        (200, get("key=a+b%2Bc.png&preset=card&v=1")),
        (206, case("GET", "/myimage/plain/a%20b+c.png", "").with("range", "bytes=1-5")),
        (416, case("GET", "/myimage/plain/a%20b+c.png", "").with("range", "bytes=99999-")),
        (304, case("GET", "/myimage/card/a%20b+c.png", "").with("if-none-match", "*")),
        (404, case("GET", "/myimage/plain/missing.png", "")),
        (404, case("GET", "/myimage/crad/a.png", "")),
        (400, case("GET", "/myimage/card/a.png", "key=b.png")),
        (400, case("GET", "/myimage/card/a.png", "size=5")),
        (400, case("GET", "/myimage/card/a.png", "dpr=3")),
        (400, case("GET", "/myimage/card/%FF", "")),
        (400, get("key=a.png&dpr=2")),
        (400, case("POST", "/myimage", "preset=card").body("image/png", red.clone())),
        (400, case("GET", "/myimage/info", "key=a.png&v=1")),
        (403, get("key=a+b%2Bc.png&expires=4102444800&signature=00")),
        (403, case("POST", "/myimage/card/a.png", "")),
        (200, case("GET", "/myimage/info", "key=a+b%2Bc.png")),
        (404, case("GET", "/myimage/info", "key=missing.png")),
        (400, case("GET", "/myimage/info", "key=a.png&size=1")),
        (400, case("POST", "/myimage/uploads", "").body("application/json", "{}")),
        (415, case("POST", "/myimage/uploads", "").body("text/plain", "{}")),
        (204, case("OPTIONS", "/myimage", "").with("origin", SHOP)),
        (204, case("OPTIONS", "/myimage/uploads", "").with("origin", "https://evil.example")),
        (404, get("key=missing.png").with("origin", SHOP)),
        (403, case("DELETE", "/myimage", "")),
        (403, case("POST", "/myimage/info", "")),
        (403, case("GET", "/myimage/uploads", "")),
    ]
}

#[tokio::test]
async fn requests_join_a_rendering_only_where_the_host_says_so() {
    for (shares, renderings) in [(true, 1), (false, 2)] {
        let (router, host) = routes().await;
        host.0.shares_results.store(shares, Ordering::Relaxed);
        let case = case("GET", "/myimage", "key=a+b%2Bc.png&size=64");
        host.0.is_held.store(true, Ordering::Relaxed);
        let release = async {
            // Until both requests have come as far as they can.
            for _ in 0..1000 {
                tokio::task::yield_now().await;
            }
            host.0.is_held.store(false, Ordering::Relaxed);
        };
        let (first, second, ()) = tokio::join!(over_http(&router, &case), over_http(&router, &case), release);
        assert_eq!((first.status, second.status), (200, 200));
        assert_eq!(host.0.renderings.load(Ordering::Relaxed), renderings);
    }
}

#[tokio::test]
async fn every_transport_gives_the_same_response() {
    let (router, _) = routes().await;
    let gateway = ApiGateway::new(router.clone(), "dev1");
    // The first response for a key reports "made", later ones "up_to_date".
    over_http(&router, &cases()[0].1).await;
    for (number, (status, case)) in cases().into_iter().enumerate() {
        let name = format!("{number}: {} {}?{}", case.method, case.path, case.query);
        let mut responses = [
            over_http(&router, &case).await,
            as_rest_event(&gateway, &case).await,
            as_http_api_event(&gateway, &case).await,
        ];
        for response in &mut responses {
            assert_eq!(response.status, status, "{name}: {}", String::from_utf8_lossy(&response.body));
            if status >= 400 && case.method != "HEAD" {
                assert!(response.json()["message"].is_string(), "{name}");
            }
            // Durations differ.
            let mut json = response.json();
            for record in json["records"].as_array_mut().into_iter().flatten() {
                record["milliseconds"] = Value::Null;
                record["stages"] = Value::Null;
            }
            if json.get("records").is_some() {
                response.body = json.to_string().into();
                response.headers.retain(|(name, _)| name != "content-length");
            }
        }
        assert_eq!(responses[0], responses[1], "{name}");
        assert_eq!(responses[0], responses[2], "{name}");
    }
}

#[tokio::test]
async fn without_a_trigger_the_error_names_the_setting() {
    let gateway = ApiGateway::new(tintype_api::without_trigger(), "dev1");
    let request = case("GET", "/myimage", "key=a.png");
    for answer in [as_rest_event(&gateway, &request).await, as_http_api_event(&gateway, &request).await] {
        assert_eq!(answer.status, 500);
        assert!(answer.json()["message"].as_str().unwrap().contains("add a [[trigger]]"));
    }
}

#[tokio::test]
async fn tags_follow_source_and_recipe() {
    let (router, host) = routes().await;
    let ask = |query: &'static str| over_http(&router, Box::leak(Box::new(case("GET", "/myimage", query))));
    let (plain, again, small) =
        (ask("key=a+b%2Bc.png").await, ask("key=a+b%2Bc.png").await, ask("key=a+b%2Bc.png&size=64").await);
    assert_eq!(plain, again);
    assert_ne!(plain.header("etag"), small.header("etag"));
    assert_eq!(
        (plain.header("vary"), plain.header("cache-control")),
        (Some("Accept,Origin"), Some("max-age=300"))
    );
    assert!(plain.header("last-modified").unwrap().ends_with("GMT"));

    let blue = png(300, 200, [40, 60, 190]);
    host.upload("a b+c.png", blue).await;
    let tag: &'static str = Box::leak(plain.header("etag").unwrap().to_owned().into_boxed_str());
    let newer =
        over_http(&router, &case("GET", "/myimage", "key=a+b%2Bc.png").with("if-none-match", tag)).await;
    assert_eq!(newer.status, 200);
    assert_ne!(newer.body, plain.body);
    let tag: &'static str = Box::leak(newer.header("etag").unwrap().to_owned().into_boxed_str());
    let known =
        over_http(&router, &case("GET", "/myimage", "key=a+b%2Bc.png").with("if-none-match", tag)).await;
    assert_eq!((known.status, known.body.len()), (304, 0));
    assert_eq!(known.header("etag"), newer.header("etag"));
}

#[tokio::test]
async fn formats_are_negotiated() {
    let (router, _) = routes().await;
    for (key, accept, kind) in [
        ("key=a+b%2Bc.png", "image/webp,*/*;q=0.5", "image/webp"),
        ("key=a+b%2Bc.png", "image/avif,image/webp,*/*", "image/png"),
        ("key=a+b%2Bc.png&format=jpeg", "image/webp", "image/jpeg"),
        // A PNG with another extension.
        ("key=wrong.jpg", "image/jpeg", "image/jpeg"),
        ("key=wrong.jpg", "*/*", "image/png"),
    ] {
        let answer = over_http(&router, &case("GET", "/myimage", key).with("accept", accept)).await;
        assert_eq!(answer.header("content-type"), Some(kind), "{key} {accept}");
    }
}

#[tokio::test]
async fn info_describes_the_image_and_its_thumbnails() {
    let (router, _) = routes().await;
    let info = case("GET", "/myimage/info", "key=a+b%2Bc.png");
    let before = over_http(&router, &info).await.json();
    assert_eq!(before["renditions"][0]["state"], "missing");
    assert_eq!(
        (&before["width"], &before["height"], &before["orientation"]),
        (&json!(300), &json!(200), &json!(1))
    );
    assert_eq!((&before["format"], &before["colour"]), (&json!("png"), &json!("#c8281e")));
    let hash = STANDARD.decode(before["thumbhash"].as_str().unwrap()).unwrap();
    assert!((5..=25).contains(&hash.len()));
    over_http(&router, &case("GET", "/myimage", "key=a+b%2Bc.png")).await;
    let after = over_http(&router, &info).await.json();
    assert_eq!(after["renditions"][0]["state"], "current");
    assert_eq!(
        (&after["renditions"][0]["width"], &after["renditions"][0]["height"]),
        (&json!(128), &json!(85))
    );
}

#[tokio::test]
async fn a_refused_image_is_not_stored() {
    let (router, host) = routes().await;
    for body in [b"not an image".to_vec(), vec![0; 65 << 10]] {
        let posted = case("POST", "/myimage", "key=refused.png").body("image/png", body);
        assert!(over_http(&router, &posted).await.status >= 400);
    }
    let at =
        |key: &str| Location { bucket: "input-product-images".into(), key: ObjectKey::new(key).unwrap() };
    assert!(host.stat(at("refused.png")).await.unwrap().is_none());
    let posted = case("POST", "/myimage", "key=taken.png").body("image/png", png(300, 200, [1, 2, 3]));
    assert_eq!(over_http(&router, &posted).await.status, 200);
    assert!(host.stat(at("taken.png")).await.unwrap().is_some());
    let thumbnail = Location { bucket: "output-product-thumbnail".into(), ..at("thumb_taken.png") };
    assert!(host.stat(thumbnail).await.unwrap().is_some());
}

#[tokio::test]
async fn an_upload_form() {
    let (router, _) = routes().await;
    let body = r#"{"key": "new.jpg", "content_type": "image/jpeg"}"#;
    let form = over_http(&router, &case("POST", "/myimage/uploads", "").body("application/json", body)).await;
    assert_eq!(form.status, 200);
    let form = form.json();
    assert_eq!(
        (&form["url"], &form["fields"]["key"]),
        (&json!("https://input-product-images.example"), &json!("new.jpg"))
    );
    assert_eq!(form["fields"]["x-amz-signature"].as_str().map(str::len), Some(64));
}

/// Two source buckets, two destinations, different renditions; and two triggers on the second bucket.
const TWO_TRIGGERS: &str = r#"
[[trigger]]
bucket = "first-in"
suffixes = [".png"]
destination = "first-out"
[[trigger.rendition]]
size = "100x100"
[[trigger]]
bucket = "second-in"
suffixes = [".png"]
prefix = "raw/"
destination = "second-out"
[[trigger.rendition]]
key = "{width}/{key}"
size = "40x40"
[[trigger]]
bucket = "second-in"
suffixes = [".png"]
prefix = "big/"
destination = "second-out"
[[trigger.rendition]]
key = "{width}/{key}"
size = "200x200"
"#;

/// The status, and the width of the image.
fn width(response: &ApiResponse) -> (u64, u32) {
    let width = tintype_engine::probe(&response.body).map_or(0, |header| header.width);
    (response.status, width)
}

#[tokio::test]
async fn a_request_finds_its_trigger_by_bucket_and_key() {
    let (router, host) = routes_with(TWO_TRIGGERS).await;
    let gateway = ApiGateway::new(router.clone(), "dev1");
    host.upload_to("first-in", "raw/a.png", png(300, 200, [200, 40, 30])).await;
    host.upload_to("second-in", "raw/a.png", png(300, 200, [30, 160, 50])).await;
    host.upload_to("second-in", "big/a.png", png(300, 200, [40, 60, 190])).await;
    host.upload_to("second-in", "a.png", png(300, 200, [1, 2, 3])).await;
    let red = png(300, 200, [200, 40, 30]);
    for (expected, case) in [
        ((200, 100), case("GET", "/myimage", "key=raw/a.png")),
        ((200, 100), case("GET", "/myimage", "key=raw/a.png&bucket=first-in")),
        ((200, 40), case("GET", "/myimage", "key=raw/a.png&bucket=second-in")),
        ((200, 200), case("GET", "/myimage", "bucket=second-in&key=big/a.png")),
        ((200, 60), case("GET", "/myimage", "bucket=second-in&key=big/a.png&size=60")),
        // No filter passes the key: there is no stored rendition, and what is asked for is rendered.
        ((404, 0), case("GET", "/myimage", "bucket=second-in&key=a.png")),
        ((200, 60), case("GET", "/myimage", "bucket=second-in&key=a.png&size=60")),
        ((404, 0), case("GET", "/myimage", "key=big/a.png")),
        ((400, 0), case("GET", "/myimage", "bucket=first-out&key=thumb_raw/a.png")),
        ((400, 0), case("GET", "/myimage/info", "bucket=first-out&key=thumb_raw/a.png")),
        ((200, 40), case("POST", "/myimage", "bucket=second-in").body("image/png", red.clone())),
        ((200, 100), case("POST", "/myimage", "").body("image/png", red.clone())),
        (
            (200, 200),
            case("POST", "/myimage", "bucket=second-in&key=big/b.png").body("image/png", red.clone()),
        ),
        ((400, 0), case("POST", "/myimage", "bucket=other").body("image/png", red)),
        ((400, 0), case("POST", "/myimage", "bucket=second-in").body("application/json", "{}")),
    ] {
        let name = format!("{} {}?{}", case.method, case.path, case.query);
        let ways = [
            over_http(&router, &case).await,
            as_rest_event(&gateway, &case).await,
            as_http_api_event(&gateway, &case).await,
        ];
        for way in &ways {
            assert_eq!(width(way), expected, "{name}: {}", String::from_utf8_lossy(&way.body));
        }
        assert_eq!(ways[0], ways[1], "{name}");
        assert_eq!(ways[0], ways[2], "{name}");
    }
    let stored = Location { bucket: "second-out".into(), key: ObjectKey::new("200/big/b.png").unwrap() };
    assert!(host.stat(stored).await.unwrap().is_some());
}

#[tokio::test]
async fn keys_forms_and_descriptions_of_a_second_bucket() {
    let (router, host) = routes_with(TWO_TRIGGERS).await;
    host.upload_to("second-in", "raw/a.png", png(300, 200, [30, 160, 50])).await;
    let posted = case("POST", "/myimage", "")
        .body("application/json", r#"{"key": "raw/a.png", "bucket": "second-in"}"#);
    let record = over_http(&router, &posted).await.json()["records"][0].clone();
    assert_eq!(
        (&record["outcome"], &record["renditions"][0]["bucket"]),
        (&json!("made"), &json!("second-out"))
    );
    let info =
        over_http(&router, &case("GET", "/myimage/info", "key=raw/a.png&bucket=second-in")).await.json();
    assert_eq!(info["source"]["bucket"], "second-in");
    assert_eq!(info["renditions"][0]["key"], "40/raw/a.png");
    assert_eq!(info["renditions"][0]["state"], "current");

    let form = |body: &'static str| case("POST", "/myimage/uploads", "").body("application/json", body);
    let first = over_http(&router, &form(r#"{"key": "a.png"}"#)).await.json();
    assert_eq!(first["url"], "https://first-in.example");
    let second = over_http(&router, &form(r#"{"key": "raw/a.png", "bucket": "second-in"}"#)).await.json();
    assert_eq!(second["url"], "https://second-in.example");
    let policy = STANDARD.decode(second["fields"]["policy"].as_str().unwrap()).unwrap();
    let policy: Value = serde_json::from_slice(&policy).unwrap();
    assert!(policy["conditions"].as_array().unwrap().contains(&json!({"bucket": "second-in"})));
    let other = over_http(&router, &form(r#"{"key": "a.png", "bucket": "first-out"}"#)).await;
    assert_eq!(other.status, 400);
    assert!(other.json()["message"].as_str().unwrap().contains("first-in, second-in"), "{}", other.json());
}

#[tokio::test]
async fn the_description_names_the_buckets_where_there_are_several() {
    let description = async |more: &str| {
        let (router, _) = routes_with(more).await;
        let request = Request::get("/openapi.json").body(Body::empty()).unwrap();
        let body = router.oneshot(request).await.unwrap().into_body().collect().await.unwrap().to_bytes();
        serde_json::from_slice::<Value>(&body).unwrap()
    };
    let buckets = |description: &Value| {
        let get = &description["paths"]["/dev1/myimage"]["get"];
        let parameters = get["parameters"].as_array().unwrap();
        let bucket = parameters.iter().find(|parameter| parameter["name"] == "bucket");
        bucket.map(|bucket| bucket["schema"]["enum"].clone())
    };
    let wish = |description: &Value| description["components"]["schemas"]["UploadWish"]["properties"].clone();
    let one = description("").await;
    assert_eq!((buckets(&one), wish(&one).get("bucket")), (None, None));
    let two = description(TWO_TRIGGERS).await;
    assert_eq!(buckets(&two), Some(json!(["first-in", "second-in"])));
    assert!(wish(&two)["bucket"].is_object());
}

async fn get(router: &Router, url: &str, headers: &[(&'static str, &'static str)]) -> ApiResponse {
    let mut request = Request::builder().uri(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    answer_to(router, request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn presets_are_rendered_as_the_client_accepts() {
    let (router, _) = routes().await;
    let url = "/dev1/myimage/card/a%20b+c.png";
    let plain = get(&router, url, &[("accept", "*/*")]).await;
    let webp = get(&router, url, &[("accept", "image/webp,*/*;q=0.8")]).await;
    let kind = |response: &ApiResponse| response.header("content-type").unwrap().to_owned();
    assert_eq!((kind(&plain), kind(&webp)), ("image/png".into(), "image/webp".into()));
    assert_ne!(plain.header("etag"), webp.header("etag"));
    for response in [&plain, &webp] {
        assert_eq!(response.header("vary"), Some("Accept,Origin"));
        assert_eq!(response.header("cache-control"), Some("max-age=300, stale-while-revalidate=86400"));
        let header = tintype_engine::probe(&response.body).unwrap();
        assert_eq!((header.width, header.height), (64, 64));
    }
    let large = get(&router, &format!("{url}?dpr=2"), &[]).await;
    assert_eq!(tintype_engine::probe(&large.body).unwrap().width, 128);
    let fixed = get(&router, "/dev1/myimage/plain/a%20b+c.png", &[("accept", "image/webp")]).await;
    assert_eq!((kind(&fixed).as_str(), fixed.header("vary")), ("image/png", Some("Origin")));
    assert_eq!(fixed.header("content-disposition"), None);
}

#[tokio::test]
async fn srcsets_name_the_bucket_where_callers_differ_in_what_they_may_read() {
    let (router, host) = routes().await;
    for (shares, names_bucket) in [(true, false), (false, true)] {
        host.0.shares_results.store(shares, Ordering::Relaxed);
        let info = get(&router, "/dev1/myimage/info?key=a+b%2Bc.png", &[]).await.json();
        let srcset = info["srcset"]["card"].as_str().unwrap();
        assert_eq!(srcset.contains("bucket=input-product-images"), names_bucket, "{srcset}");
    }
}

#[tokio::test]
async fn a_fallback_image_has_the_status_of_the_fault() {
    let (router, _) = routes().await;
    let fallback = get(&router, "/dev1/myimage/card/a%20b+c.png", &[]).await;
    for (key, status) in [("missing.png", 404), ("text.png", 415)] {
        let response = get(&router, &format!("/dev1/myimage/card/{key}"), &[]).await;
        assert_eq!((response.status, response.header("content-type")), (status, Some("image/png")), "{key}");
        assert_eq!(response.body, fallback.body);
        assert_eq!((response.header("cache-control"), response.header("etag")), (Some("max-age=60"), None));
        let response = get(&router, &format!("/dev1/myimage/plain/{key}"), &[]).await;
        assert_eq!((response.status, response.header("content-type")), (status, Some("application/json")));
    }
}

#[tokio::test]
async fn urls_with_a_version_are_immutable_while_it_is_current() {
    let (router, host) = routes_for_pages("public = \"presets\"\n").await;
    let info = || async {
        let request = Request::builder().uri("/dev1/myimage/info?key=a+b%2Bc.png").header("x-api-key", KEY);
        answer_to(&router, request.body(Body::empty()).unwrap()).await.json()
    };
    // Nothing but presets is public: there is no key in these settings.
    assert_eq!(info().await["message"], "Forbidden");
    let at = Location { bucket: "input-product-images".into(), key: ObjectKey::new("a b+c.png").unwrap() };
    let etag = host.0.store.head(&at).await.unwrap().unwrap().etag;
    let url = format!("/dev1/myimage/card/a%20b+c.png?v={etag}");
    let response = get(&router, &url, &[]).await;
    assert_eq!(response.header("cache-control"), Some("public, max-age=31536000, immutable"));
    assert_eq!(response.header("cross-origin-resource-policy"), Some("cross-origin"));
    host.upload("a b+c.png", png(300, 200, [1, 2, 3])).await;
    let response = get(&router, &url, &[]).await;
    assert_eq!(response.header("cache-control"), Some("public, max-age=300, stale-while-revalidate=86400"));
}

const KEY: &str = "01234567890123456789";

#[tokio::test]
async fn a_key_of_the_settings_opens_what_is_not_public() {
    let keys = format!("public = \"signed\"\n[[api.key]]\nname = \"shop\"\nkey = \"{KEY}\"\n");
    let (router, _) = routes_for_pages(&keys).await;
    let key = SigningKey::new("test", "0123456789abcdef");
    let url = signed(&key, "/dev1/myimage", &[("key", "a b+c.png"), ("size", "40")], 4_102_444_800);
    let expired = signed(&key, "/dev1/myimage", &[("key", "a b+c.png"), ("size", "40")], 1);
    let info = "/dev1/myimage/info?key=a+b%2Bc.png";
    for (url, public, with_key) in [
        ("/dev1/myimage/card/a%20b+c.png", 200, 200),
        (&url, 200, 200),
        (&expired, 403, 403),
        (&url.replace("=40", "=41"), 403, 403),
        ("/dev1/myimage?key=a+b%2Bc.png&size=40", 403, 200),
        (info, 403, 200),
    ] {
        let response = get(&router, url, &[]).await;
        assert_eq!(response.status, public, "{url}");
        assert_eq!(get(&router, url, &[("x-api-key", KEY)]).await.status, with_key, "{url}");
        assert_eq!(response.header("cross-origin-resource-policy").is_some(), public == 200);
    }
    let wrong = [&expired, "/dev1/myimage?key=a+b%2Bc.png&size=40", &url.replace("=40", "=41")];
    let mut bodies = Vec::new();
    for url in wrong {
        bodies.push(get(&router, url, &[]).await.body);
    }
    assert!(bodies.windows(2).all(|pair| pair[0] == pair[1]));
    let srcset = get(&router, info, &[("x-api-key", KEY)]).await.json()["srcset"].clone();
    let etag = get(&router, info, &[("x-api-key", KEY)]).await.json()["etag"].as_str().unwrap().to_owned();
    let card = format!("/dev1/myimage/card/a%20b%2Bc.png?v={etag}");
    assert_eq!(srcset["card"], format!("{card} 1x, {card}&dpr=2 2x"));
    assert_eq!(srcset["plain"], format!("/dev1/myimage/plain/a%20b%2Bc.png?v={etag} 1x"));
    // API Gateway has checked the key.
    let gateway = ApiGateway::new(router.clone(), "dev1");
    for (identity, status) in
        [(json!({}), 403), (json!({"apiKeyId": null}), 403), (json!({"apiKeyId": "k1"}), 200)]
    {
        let event = json!({
            "httpMethod": "GET", "path": "/myimage/info", "queryStringParameters": {"key": "a b+c.png"},
            "requestContext": {"identity": identity},
        });
        let answer = gateway.answer(event, Deadline::after(Duration::from_secs(60))).await;
        assert_eq!(answer["statusCode"], status, "{identity}");
    }
}
