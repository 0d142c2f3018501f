//! Objects are read whole from a store that breaks connections, replaces objects meanwhile, or knows no ranges; ordinary ones by
//! one request.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex},
    thread,
    time::Duration,
};

use tintype_pipeline::store::{Location, Object, ObjectKey, Store as _, StoreError};
use tintype_stores::s3::{Connection, Credentials, S3Store, SharedCredentialsProvider};

const MIB: usize = 1 << 20;
/// For what comes at once unless the test fails.
const PATIENCE: Duration = Duration::from_secs(30);

/// How the store behaves.
#[derive(Debug, Clone, Copy, Default)]
struct Faults {
    /// Each of so many answers first breaks off, after so many bytes of its body.
    breaks: (usize, usize),
    /// The object has another version from this request on.
    replaced_at: Option<usize>,
    ignores_ranges: bool,
    ignores_conditions: bool,
    /// Requests with a condition wait until so many of them are under way.
    together: usize,
}

/// A request, as far as it matters.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Asked {
    range: Option<(usize, usize)>,
    if_match: Option<String>,
}

struct Shared {
    faults: Faults,
    size: usize,
    asked: Mutex<Vec<Asked>>,
    more: Condvar,
}

/// A store of one object.
struct FaultyStore {
    shared: Arc<Shared>,
    store: S3Store,
}

/// Another one for each version.
fn content(version: usize, size: usize) -> Vec<u8> {
    (0..size).map(|at| (at / 7 + at / 4099 + version * 3) as u8).collect()
}

impl FaultyStore {
    fn new(size: usize, faults: Faults) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Shared { faults, size, asked: Mutex::default(), more: Condvar::new() });
        let serving = shared.clone();
        thread::spawn(move || {
            for connection in listener.incoming() {
                let (shared, connection) = (serving.clone(), connection.unwrap());
                // A client may close a connection while it is answered.
                thread::spawn(move || while serve(&shared, &connection).unwrap_or(false) {});
            }
        });
        let credentials = Credentials::from_keys("key", "secret", None);
        let store = S3Store::new(&Connection {
            region: "us-east-1".into(),
            credentials: SharedCredentialsProvider::new(credentials),
            s3_endpoint: Some(endpoint),
            path_style: true,
            endpoint: None,
        });
        Self { shared, store }
    }

    async fn get(&self, limit: usize) -> Result<Option<Object>, StoreError> {
        let at = Location { bucket: "in".into(), key: ObjectKey::new("a.jpg").unwrap() };
        self.store.get(&at, limit as u64).await
    }

    fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().unwrap().clone()
    }
}

/// Answers one request; whether the connection may have another.
fn serve(shared: &Shared, mut connection: &TcpStream) -> std::io::Result<bool> {
    let Some(asked) = read_request(connection)? else { return Ok(false) };
    let number = {
        let mut all = shared.asked.lock().unwrap();
        all.push(asked.clone());
        shared.more.notify_all();
        let number = all.len();
        if asked.if_match.is_some() {
            let enough = |all: &mut Vec<Asked>| {
                all.iter().filter(|one| one.if_match.is_some()).count() >= shared.faults.together
            };
            drop(shared.more.wait_timeout_while(all, PATIENCE, |all| !enough(all)).unwrap());
        }
        number
    };
    let version = usize::from(shared.faults.replaced_at.is_some_and(|at| number >= at));
    let etag = format!("\"version-{version}\"");
    if !shared.faults.ignores_conditions && asked.if_match.is_some_and(|known| known != etag) {
        let body = "<Error><Code>PreconditionFailed</Code></Error>";
        write!(
            connection,
            "HTTP/1.1 412 Precondition Failed\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )?;
        return Ok(true);
    }
    let whole = content(version, shared.size);
    let range = asked.range.filter(|_| !shared.faults.ignores_ranges);
    if range.is_some_and(|(start, _)| start >= whole.len()) {
        let body = "<Error><Code>InvalidRange</Code></Error>";
        write!(
            connection,
            "HTTP/1.1 416 Range Not Satisfiable\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )?;
        return Ok(true);
    }
    let (start, end) = range.map_or((0, whole.len()), |(start, last)| (start, whole.len().min(last + 1)));
    let body = &whole[start..end];
    let status = if range.is_some() { "206 Partial Content" } else { "200 OK" };
    write!(connection, "HTTP/1.1 {status}\r\nETag: {etag}\r\nContent-Length: {}\r\n", body.len())?;
    if range.is_some() {
        write!(connection, "Content-Range: bytes {start}-{}/{}\r\n", end - 1, whole.len())?;
    }
    write!(connection, "\r\n")?;
    let (times, after) = shared.faults.breaks;
    if number <= times && body.len() > after {
        connection.write_all(&body[..after])?;
        connection.shutdown(std::net::Shutdown::Both)?;
        return Ok(false);
    }
    connection.write_all(body)?;
    Ok(true)
}

fn read_request(connection: &TcpStream) -> std::io::Result<Option<Asked>> {
    let mut asked = Asked { range: None, if_match: None };
    let mut lines = BufReader::new(connection).lines();
    let Some(first) = lines.next().transpose()? else { return Ok(None) };
    assert!(first.starts_with("GET /in/a.jpg"), "{first}");
    for line in lines {
        let line = line?;
        if line.is_empty() {
            return Ok(Some(asked));
        }
        let (name, value) = line.split_once(": ").unwrap();
        if name.eq_ignore_ascii_case("range") {
            let (start, last) = value.strip_prefix("bytes=").unwrap().split_once('-').unwrap();
            asked.range = Some((start.parse().unwrap(), last.parse().unwrap()));
        } else if name.eq_ignore_ascii_case("if-match") {
            asked.if_match = Some(value.to_owned());
        }
    }
    Ok(None)
}

fn resumed(start: usize, size: usize) -> Asked {
    Asked { range: Some((start, size - 1)), if_match: Some("\"version-0\"".into()) }
}

const WHOLE: Asked = Asked { range: None, if_match: None };

#[tokio::test]
async fn an_ordinary_image_is_one_request() {
    let store = FaultyStore::new(200_000, Faults::default());
    let object = store.get(200_000).await.unwrap().unwrap();
    assert_eq!((object.bytes, object.stat.size), (content(0, 200_000).into(), 200_000));
    assert_eq!(store.asked(), [WHOLE]);
    assert_eq!(store.get(199_999).await.unwrap_err(), StoreError::TooLarge { size: 200_000, limit: 199_999 });
}

#[tokio::test]
async fn a_body_that_breaks_off_is_continued_from_there() {
    let store = FaultyStore::new(200_000, Faults { breaks: (2, 70_000), ..Faults::default() });
    let object = store.get(200_000).await.unwrap().unwrap();
    assert!(object.bytes == content(0, 200_000));
    assert_eq!(store.asked(), [WHOLE, resumed(70_000, 200_000), resumed(140_000, 200_000)]);
}

#[tokio::test]
async fn a_large_object_is_read_by_ranges_at_once() {
    let size = 20 * MIB + 5;
    let store = FaultyStore::new(size, Faults { together: 2, ..Faults::default() });
    let object = store.get(size).await.unwrap().unwrap();
    assert_eq!(object.stat.size, size as u64);
    assert!(object.bytes == content(0, size));
    let mut asked = store.asked();
    assert_eq!(asked.remove(0), Asked { range: Some((0, 8 * MIB - 1)), if_match: None });
    asked.sort_by_key(|one| one.range);
    let version = Some("\"version-0\"".to_owned());
    let others = [(8 * MIB, 16 * MIB - 1), (16 * MIB, size - 1)];
    assert_eq!(asked, others.map(|range| Asked { range: Some(range), if_match: version.clone() }));
    let too_large = FaultyStore::new(size, Faults::default()).get(size - 1).await;
    assert!(matches!(too_large, Err(StoreError::TooLarge { .. })), "{too_large:?}");
}

#[tokio::test]
async fn every_range_is_continued_after_breaks() {
    let size = 18 * MIB;
    // Each brings a megabyte, so that none is one too many.
    let store = FaultyStore::new(size, Faults { breaks: (12, MIB), ..Faults::default() });
    assert!(store.get(size).await.unwrap().unwrap().bytes == content(0, size));
    let sent: usize =
        store.asked().iter().map(|one| one.range.map_or(0, |(start, last)| last + 1 - start)).sum();
    assert!(sent > size && store.asked().len() >= 12);
}

#[tokio::test]
async fn an_object_that_is_replaced_meanwhile_is_never_a_mix() {
    for ignores_conditions in [false, true] {
        let faults =
            Faults { breaks: (1, 70_000), replaced_at: Some(2), ignores_conditions, ..Faults::default() };
        let store = FaultyStore::new(200_000, faults);
        let object = store.get(200_000).await.unwrap().unwrap();
        assert!(object.bytes == content(1, 200_000) && object.stat.etag == "version-1");
        let size = 20 * MIB;
        let store =
            FaultyStore::new(size, Faults { replaced_at: Some(2), ignores_conditions, ..Faults::default() });
        let object = store.get(size).await.unwrap().unwrap();
        assert!(object.bytes == content(1, size) && object.stat.etag == "version-1");
    }
}

#[tokio::test]
async fn stores_without_ranges_are_read_whole() {
    let size = 20 * MIB;
    let store = FaultyStore::new(size, Faults { ignores_ranges: true, ..Faults::default() });
    assert!(store.get(size).await.unwrap().unwrap().bytes == content(0, size));
    assert_eq!(store.asked().len(), 1);
    let faults = Faults { ignores_ranges: true, breaks: (1, 70_000), ..Faults::default() };
    let broken = FaultyStore::new(200_000, faults).get(200_000).await;
    assert!(matches!(broken, Err(StoreError::Unavailable(_))), "{broken:?}");
}

#[tokio::test]
async fn small_and_empty_objects_are_read_whatever_is_allowed() {
    for size in [0, 1, 8 * MIB - 1, 8 * MIB, 8 * MIB + 1] {
        let store = FaultyStore::new(size, Faults::default());
        assert!(store.get(100 * MIB).await.unwrap().unwrap().bytes == content(0, size), "{size}");
    }
}

#[tokio::test]
async fn a_store_that_sends_nothing_is_given_up() {
    let store = FaultyStore::new(200_000, Faults { breaks: (usize::MAX, 0), ..Faults::default() });
    let given_up = store.get(200_000).await;
    assert!(matches!(given_up, Err(StoreError::Unavailable(_))), "{given_up:?}");
    assert!(store.asked().len() < 20);
}
