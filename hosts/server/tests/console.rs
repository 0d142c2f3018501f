//! The page's answers: small whatever there is to show, pictures within bounds, readers that do not read.

mod common;

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{HeaderMap, Request, Response, StatusCode, header},
    middleware::{self, Next},
};
use common::{IN, OUT, Opened, at, open, put, queue};
use futures::StreamExt as _;
use tintype::{
    admin::Admin,
    auth::{
        AccessKeys, Authorizer, Caller, Client, Credentials, KeyVerifier, Principal, RequestContext,
        Sessions, caller,
    },
    console::Console,
    disk::RealDisk,
    dispatch::Dispatcher,
    history::{Database, Entry, History, Interval},
};
use tintype_api::RouteTable;
use tintype_pipeline::{Location, ObjectKey, Report, clock::now_ms};
use tintype_telemetry::metrics::{Kind, Metric, Metrics, MetricsSnapshot};
use tower::ServiceExt as _;

struct Shown {
    router: Router,
    /// The same without anybody who sends its requests.
    bare: Router,
    opened: Opened,
    history: Arc<History>,
    dispatcher: Arc<Dispatcher>,
    _data: tempfile::TempDir,
}

/// A page over an empty store, with what `fill` writes into its database of measurements.
fn shown(fill: impl FnOnce(&Database)) -> Shown {
    let data = tempfile::tempdir().unwrap();
    let opened = open(data.path());
    let credentials = Credentials::load_or_create(data.path(), (None, None)).unwrap();
    let keys = Arc::new(AccessKeys::root_only(credentials));
    let sessions = Arc::new(Sessions::new(Arc::new(KeyVerifier::new(keys.clone()))));
    let queue = queue(&opened, 0, Duration::ZERO, Duration::from_secs(60));
    let history = Arc::new(History::default());
    let file = data.path().join("measurements.redb");
    fill(&Database::new(Arc::new(RealDisk), file.clone()));
    history.record_to(Database::new(Arc::new(RealDisk), file)).unwrap();
    let (settings, store) = (&opened.settings, opened.store.clone());
    let dispatcher =
        Arc::new(Dispatcher::start(settings, store.clone(), queue.clone(), history.clone()).unwrap());
    let authorizer = Authorizer::new(keys.clone(), store.clone(), settings.storage.default_block());
    let context = RequestContext::new(Client::default(), &HeaderMap::new());
    let sender = Arc::new(Caller::new(authorizer, Principal::LocalProgram, context));
    let admin = Admin::new(settings, store, queue, history.clone(), keys, dispatcher.clone());
    let page = Console::new(settings, sessions, admin);
    let bare = RouteTable::new("", page.routes()).router();
    let sent = move |request, next: Next| caller::serve(sender.clone(), next.run(request));
    let router = bare.clone().layer(middleware::from_fn(sent));
    Shown { router, bare, opened, history, dispatcher, _data: data }
}

/// The same where blocking has to be told.
fn filled(fill: impl FnOnce(&Database)) -> Shown {
    tokio::task::block_in_place(|| shown(fill))
}

/// A request from this machine, as `http` passes it on.
fn request(path: &str) -> http::request::Builder {
    Request::get(path).extension(Client { is_trusted: true, ..Client::default() })
}

impl Shown {
    async fn close(self) {
        self.dispatcher.drain(Duration::from_secs(10)).await;
        tokio::task::block_in_place(|| self.history.close());
    }

    /// What a path is answered as JSON.
    async fn json(&self, path: &str) -> serde_json::Value {
        let request = request(path).header(header::ACCEPT, "application/json").body(Body::empty()).unwrap();
        let answer = self.router.clone().oneshot(request).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        serde_json::from_slice(&to_bytes(answer.into_body(), 4 << 20).await.unwrap()).unwrap()
    }

    async fn get(&self, path: &str) -> Response<Body> {
        self.router.clone().oneshot(request(path).body(Body::empty()).unwrap()).await.unwrap()
    }
}

fn entry(key: &str) -> Entry {
    let at = Location { bucket: IN.into(), key: ObjectKey::new(key).unwrap() };
    Entry::new(&Report::bad_event("cut".into()), &at, now_ms())
}

/// Fifteen days of a busy server, an interval every ten minutes and one every ten seconds in the last hour.
fn fifteen_days(database: &Database) {
    let (metrics, mut taken) = (Metrics::default(), MetricsSnapshot::default());
    let now = now_ms();
    let coarse = (6..15 * 144).rev().map(|n| now - n * 600_000);
    let fine = (0..360).rev().map(|n| now - n * 10_000);
    let intervals = coarse.chain(fine).zip(1_u64..).map(|(at, number)| {
        let uneven = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
        metrics.set(Metric::MemoryUsed, 60_000_000 + uneven);
        metrics.set(Metric::QueueDepth, uneven % 37);
        for call in 0..8 {
            drop(metrics.invocation());
            let time = Duration::from_micros(1000 + uneven % 7919 * (call + 1));
            metrics.ended(time, call == 0 && number.is_multiple_of(3));
            metrics.add(Metric::Made, 1 + uneven % 17);
            for metric in Metric::ALL.into_iter().filter(|metric| metric.kind() == Kind::Distribution) {
                metrics.observe(metric, time * (metric as u32 % 7 + 1));
            }
        }
        Interval::ending_at(at, number, metrics.take(&mut taken))
    });
    let results: Vec<_> =
        (1..=200).map(|n| (n, Arc::new(entry(&format!("products/2026/IMG_{n:05}.jpg"))))).collect();
    database.append(now, &intervals.collect::<Vec<_>>(), &results).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn every_range_of_fifteen_days_is_a_small_page() {
    let shown = filled(fifteen_days);
    let custom = format!("start={}", now_ms() / 1000 - 15 * 86_400);
    for range in
        ["1h", "3h", "12h", "1d", "3d", "1w"].map(|name| format!("range={name}")).iter().chain([&custom])
    {
        let answer = shown.get(&format!("/metrics/dashboard?{range}")).await;
        assert_eq!(answer.status(), StatusCode::OK, "{range}");
        let text = to_bytes(answer.into_body(), 1 << 20).await.unwrap();
        let text = std::str::from_utf8(&text).unwrap();
        assert!(text.len() < 150_000, "{range}: {} bytes", text.len());
        assert!(text.matches("<figure class=\"card graph").count() == 16, "{range}");
        assert!(!text.contains("nothing measured yet"), "{range}: every chart shows something");
    }
    let packed = shown.router.clone().oneshot(
        request("/metrics/dashboard")
            .header(header::ACCEPT_ENCODING, "gzip, br")
            .body(Body::empty())
            .unwrap(),
    );
    let packed = packed.await.unwrap();
    assert_eq!(packed.headers()[header::CONTENT_ENCODING], "gzip");
    assert!(to_bytes(packed.into_body(), 1 << 20).await.unwrap().len() < 40_000);
    shown.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tile_of_the_disk_shows_free_space_and_alarms_below_the_floor() {
    for (free, card) in [
        (
            Some(12_000_000_000),
            "<div class=\"card \"><dt>Disk</dt><dd>12 GB</dd><dd class=\"help\">free of 80 GB</dd>",
        ),
        (Some(64 << 20), "<div class=\"card \"><dt>Disk</dt><dd>67.1 MB</dd>"),
        (
            Some((64 << 20) - 1),
            "<div class=\"card bad\"><dt>Disk</dt><dd>67.1 MB</dd><dd class=\"help\">free of 80 GB: ",
        ),
        (
            None,
            "<div class=\"card bad\"><dt>Disk</dt><dd>–</dd><dd class=\"help\">the free space cannot be read",
        ),
    ] {
        let shown = filled(|_| {});
        shown.history.set_sampler(move |metrics| {
            metrics.set(Metric::DiskFree, free);
            metrics.set(Metric::DiskTotal, free.map(|_| 80_000_000_000));
        });
        let answer = shown.get("/metrics/dashboard").await;
        let text = to_bytes(answer.into_body(), 1 << 20).await.unwrap();
        let text = std::str::from_utf8(&text).unwrap();
        assert!(
            text.contains(card),
            "{free:?}: {}",
            text.split("<dt>Disk").nth(1).map_or("", |rest| &rest[..99])
        );
        shown.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_of_events_that_does_not_read_is_dropped() {
    let shown = filled(|_| {});
    let mut lazy = shown.get("/events").await.into_body().into_data_stream();
    assert!(lazy.next().await.is_some(), "it begins");
    for _ in 0..300 {
        shown.history.result(entry("a.jpg"));
    }
    // What was buffered for it is nothing: it ends, although the server goes on.
    let rest = tokio::time::timeout(Duration::from_secs(60), lazy.collect::<Vec<_>>()).await.unwrap();
    assert!(rest.is_empty(), "{} events", rest.len());
    let mut other = shown.get("/events").await.into_body().into_data_stream();
    assert!(other.next().await.is_some());
    shown.history.result(entry("b.jpg"));
    let next = other.next().await.unwrap().unwrap();
    assert!(std::str::from_utf8(&next).unwrap().contains("b.jpg"));
    shown.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn results_are_followed_only_by_who_is_known() {
    let shown = filled(|_| {});
    let follow = |router: &Router| router.clone().oneshot(request("/events").body(Body::empty()).unwrap());
    assert_eq!(follow(&shown.bare).await.unwrap().status(), StatusCode::FORBIDDEN);
    assert_eq!(follow(&shown.router).await.unwrap().status(), StatusCode::OK);
    shown.close().await;
}

/// Images of a bucket without a trigger's work: keys that no trigger takes.
fn fill(shown: &Shown, keys: impl Iterator<Item = String>) {
    tokio::task::block_in_place(|| {
        for key in keys {
            put(&shown.opened.store, &at(OUT, &key), b"x").unwrap();
        }
    });
}

fn keys(page: &serde_json::Value) -> Vec<String> {
    let images = page["images"].as_array().unwrap().iter();
    images.map(|image| image["key"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pages_of_a_gallery_have_every_image_once() {
    let shown = filled(|_| {});
    let name = |n: usize| format!("{}{n:03}.jpg", if n.is_multiple_of(3) { "2026/" } else { "" });
    fill(&shown, (0..90).map(name));
    for (conditions, expected) in [
        ("", (0..90).map(name).filter(|key| !key.contains('/')).collect::<Vec<_>>()),
        ("&prefix=2026/", (0..90).map(name).filter(|key| key.contains('/')).collect()),
        ("&text=7.JPG", (0..90).map(name).filter(|key| key.contains("7.jpg")).collect()),
        ("&only=ignored", (0..90).map(name).collect()),
        ("&only=failed", Vec::new()),
    ] {
        let (mut seen, mut folders, mut after) = (Vec::new(), 0, String::new());
        loop {
            let page = shown.json(&format!("/gallery?bucket={OUT}&last=7{conditions}{after}")).await;
            assert!(page["images"].as_array().unwrap().len() <= 7);
            seen.extend(keys(&page));
            folders += page["folders"].as_array().unwrap().len();
            let Some(next) = page["next"].as_str() else { break };
            after = format!("&after={next}");
        }
        let mut expected = expected;
        expected.sort();
        assert_eq!(seen, expected, "{conditions}");
        assert_eq!(folders, usize::from(conditions.is_empty()), "{conditions}");
    }
    let named = shown.json(&format!("/gallery?bucket={OUT}&key=001.jpg&key=none.jpg")).await;
    assert_eq!(keys(&named), ["001.jpg"]);
    assert_eq!(
        named["images"][0]["why"],
        "this bucket is where thumbnails are written; no trigger watches it"
    );
    shown.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_page_is_small_whatever_the_bucket_holds() {
    let shown = filled(|_| {});
    fill(&shown, (0..300).map(|n| format!("a long name of a photo of the year 2026, number {n:05}.jpg")));
    let path = format!("/?bucket={OUT}");
    let sent = |path: &str| {
        let request = request(path).header(header::ACCEPT_ENCODING, "gzip").body(Body::empty()).unwrap();
        let answer = shown.router.clone().oneshot(request);
        async move { to_bytes(answer.await.unwrap().into_body(), 1 << 20).await.unwrap().len() }
    };
    let (page, script) = (sent(&path).await, sent("/page/script.js").await);
    assert!(page + script < 60_000, "{page} and {script} bytes before images");
    shown.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn links_to_the_dashboard_of_earlier_versions_lead_to_it() {
    let shown = filled(|_| {});
    let answer = shown.get("/?range=3h").await;
    assert_eq!(answer.status(), StatusCode::SEE_OTHER);
    assert_eq!(answer.headers()[header::LOCATION], "/metrics/dashboard?range=3h");
    shown.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_is_small_and_never_the_original() {
    let shown = filled(|_| {});
    let mut png = Vec::new();
    let mut encoder = png::Encoder::new(&mut png, 1200, 900);
    encoder.set_color(png::ColorType::Rgb);
    let noise: Vec<u8> =
        (0..1200_u32 * 900 * 3).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    encoder.write_header().unwrap().write_image_data(&noise).unwrap();
    tokio::task::block_in_place(|| {
        put(&shown.opened.store, &at(OUT, "large.png"), &png).unwrap();
        put(&shown.opened.store, &at(OUT, "notes.txt"), b"no image").unwrap();
    });
    // The second time from memory.
    for _ in 0..2 {
        let answer = shown.get(&format!("/preview?bucket={OUT}&key=large.png")).await;
        assert_eq!(answer.headers()[header::CONTENT_TYPE], "image/webp");
        let bytes = to_bytes(answer.into_body(), 1 << 20).await.unwrap();
        let header = tintype_engine::probe(&bytes).unwrap();
        assert_eq!((header.width, header.height), (320, 240));
        assert!(bytes.len() * 4 < png.len(), "{} of {} bytes", bytes.len(), png.len());
    }
    let answer = shown.get(&format!("/preview?bucket={OUT}&key=notes.txt")).await;
    assert_eq!(answer.headers()[header::CONTENT_TYPE], "image/svg+xml");
    assert!(answer.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap().contains("sandbox"));
    let answer = shown.get(&format!("/preview?bucket={OUT}&key=none.png")).await;
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    shown.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_is_in_memory_until_it_has_been_sent_and_few_are_at_once() {
    let shown = filled(|_| {});
    let mut png = Vec::new();
    png::Encoder::new(&mut png, 1, 1).write_header().unwrap().write_image_data(&[7]).unwrap();
    tokio::task::block_in_place(|| put(&shown.opened.store, &at(IN, "a.png"), &png)).unwrap();
    let mut unread = Vec::new();
    for _ in 0..8 {
        unread.push(shown.get("/picture?key=a.png").await);
    }
    assert!(unread.iter().all(|answer| answer.status() == StatusCode::OK));
    let mut one_more = Box::pin(shown.get("/picture?key=a.png"));
    let early = tokio::time::timeout(Duration::from_millis(200), &mut one_more).await;
    assert!(early.is_err(), "eight are in memory");
    unread.pop();
    let answer = tokio::time::timeout(Duration::from_secs(60), one_more).await.unwrap();
    assert_eq!(to_bytes(answer.into_body(), 1 << 20).await.unwrap(), png);
    shown.close().await;
}
