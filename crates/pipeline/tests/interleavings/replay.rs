//! One call of the function as a step machine: its next request to the store, given every response so far. The real
//! function runs from the start, on a store that replays the responses.

use std::{
    collections::BTreeMap,
    future::pending,
    pin::pin,
    sync::{Mutex, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{
    channel::oneshot,
    executor::block_on,
    future::{Either, select},
};
use tintype_engine::{Limits, Spec};
use tintype_pipeline::{
    Attempts, Call, Conclusion, Delivery, Outcome, RetryPolicy, Stop, Store, Thumbnails,
    event::{Kind, Record},
    store::{Condition, Listing, Location, Object, ObjectKey, Put, Stat, StoreError},
    trigger::{Rendition, Trigger},
};

pub const IN: &str = "in-bucket";
pub const OUT: &str = "out-bucket";

/// A version of the source. `Same` looks as `First` does, so their thumbnails have the same bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Version {
    First,
    Second,
    Same,
}

impl Version {
    pub fn bytes(self) -> Bytes {
        let mut out = Vec::new();
        let (width, text) = match self {
            Self::First => (4, "first"),
            Self::Second => (2, "second"),
            Self::Same => (4, "same"),
        };
        let mut encoder = png::Encoder::new(&mut out, width, 2);
        encoder.set_color(png::ColorType::Grayscale);
        encoder.add_text_chunk("Comment".into(), text.into()).unwrap();
        let mut writer = encoder.write_header().unwrap();
        writer.write_image_data(&vec![90; width as usize * 2]).unwrap();
        writer.finish().unwrap();
        out.into()
    }
}

/// An object's state: enough to compare its bytes and its origin.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectState {
    pub etag: String,
    pub metadata: BTreeMap<String, String>,
    /// For a source.
    pub version: Option<Version>,
}

/// A request of the function to its store.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Request {
    Head(Location),
    Get(Location),
    Put { at: Location, absent: bool, matches: Option<String>, object: ObjectState },
    Delete { at: Location, matches: Option<String> },
}

/// A response of the store.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Answer {
    /// To HEAD or GET.
    Found(Option<ObjectState>),
    /// To a write or a deletion.
    Done,
    /// The condition does not hold.
    Refused,
    /// The connection broke: whether the request took effect is unknown.
    Lost,
}

/// The next step of a call.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Next {
    Request(Request),
    Ends(Ending),
}

/// How a call ends.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Ending {
    Done,
    /// A dead letter, by its class.
    Permanent(String),
    /// Retried.
    Transient(String),
}

pub fn source() -> Location {
    Location { bucket: IN.into(), key: ObjectKey::new("a.png").unwrap() }
}

pub fn triggers(renditions: usize, mirrored: bool) -> Vec<Trigger> {
    let renditions = [("s_{key}", "2"), ("l_{key}", "4")].into_iter().take(renditions);
    let rendition = |(key, size): (&str, &str)| Rendition {
        key: key.parse().unwrap(),
        spec: Spec { size: size.parse().unwrap(), ..Spec::default() },
    };
    vec![Trigger {
        id: None,
        bucket: IN.into(),
        prefix: String::new(),
        suffixes: tintype_pipeline::Suffixes::Listed(vec![".png".into()]),
        destination: OUT.into(),
        created: true,
        created_types: tintype_pipeline::event::CreatedTypes::ALL,
        removed: mirrored,
        renditions: renditions.map(rendition).collect(),
    }]
}

/// The delivery of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Delivered {
    pub removed: bool,
    /// The destination is written before it is looked at.
    pub is_first: bool,
}

struct Event(Record, Delivered);

#[async_trait]
impl Delivery for Event {
    fn record(&self) -> Result<&Record, &str> {
        Ok(&self.0)
    }

    fn attempts(&self) -> Attempts {
        Attempts::default()
    }

    fn is_first(&self) -> bool {
        self.1.is_first
    }

    async fn settle(&mut self, _: Conclusion) -> Result<(), StoreError> {
        Ok(())
    }
}

/// Runs a call on `answers` until it sends another request, or ends.
pub fn next(function: &Thumbnails, triggers: &[Trigger], delivered: Delivered, answers: &[Answer]) -> Next {
    let (sender, requested) = oneshot::channel();
    let store = Replay { answers, state: Mutex::new(State { used: 0, next_request: Some(sender) }) };
    let (kind, name) = match delivered.removed {
        true => (Kind::Removed, "ObjectRemoved:Delete"),
        false => (Kind::Created, "ObjectCreated:Put"),
    };
    // The size may be wrong: it may be that of another version.
    let record = Record { size: Some(1 << 10), ..Record::new(kind, name, source()) };
    let (stop, policy) = (Stop::never(), RetryPolicy { retries: 0, delays: Vec::new() });
    let mut event = Event(record, delivered);
    let handling = pin!(function.attempt(Call { triggers, stop: &stop }, &policy, &store, &mut event));
    match block_on(select(handling, requested)) {
        Either::Right((request, _)) => Next::Request(request.unwrap()),
        Either::Left((attempt, _)) => Next::Ends(match attempt.report.outcome {
            Outcome::Failed(failure) if failure.reason.is_permanent() => {
                Ending::Permanent(failure.reason.name().to_owned())
            }
            Outcome::Failed(failure) => Ending::Transient(failure.reason.name().to_owned()),
            _ => Ending::Done,
        }),
    }
}

pub fn function() -> Thumbnails {
    Thumbnails::new(Limits::default(), 1 << 30, 2).unwrap()
}

struct State {
    used: usize,
    /// Receives the first request without a recorded response.
    next_request: Option<oneshot::Sender<Request>>,
}

struct Replay<'a> {
    answers: &'a [Answer],
    state: Mutex<State>,
}

impl Replay<'_> {
    async fn send(&self, request: Request) -> Result<Answer, StoreError> {
        let answer = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let answer = self.answers.get(state.used).cloned();
            state.used += 1;
            if answer.is_none()
                && let Some(sender) = state.next_request.take()
            {
                sender.send(request).unwrap();
            }
            answer
        };
        match answer {
            None => pending().await,
            Some(Answer::Lost) => Err(StoreError::Unavailable("the connection broke".into())),
            Some(answer) => Ok(answer),
        }
    }
}

fn stat(known: ObjectState, size: u64) -> Stat {
    Stat { etag: known.etag, size, content_type: None, metadata: known.metadata, modified_ms: 0 }
}

#[async_trait]
impl Store for Replay<'_> {
    async fn head(&self, at: &Location) -> Result<Option<Stat>, StoreError> {
        let Answer::Found(found) = self.send(Request::Head(at.clone())).await? else { unreachable!() };
        Ok(found.map(|known| {
            let size = known.version.map_or(1, |version| version.bytes().len() as u64);
            stat(known, size)
        }))
    }

    async fn get(&self, at: &Location, _: u64) -> Result<Option<Object>, StoreError> {
        let Answer::Found(found) = self.send(Request::Get(at.clone())).await? else { unreachable!() };
        Ok(found.map(|known| {
            let bytes = known.version.expect("only sources are read").bytes();
            Object { stat: stat(known, bytes.len() as u64), bytes }
        }))
    }

    async fn put(&self, put: Put) -> Result<String, StoreError> {
        // As in S3, the ETag depends on the bytes alone, not on the metadata.
        let etag = format!("{:x?}", put.bytes.as_ref());
        let (absent, matches) = match put.condition {
            Condition::Any => (false, None),
            Condition::Absent => (true, None),
            Condition::Matches(etag) => (false, Some(etag)),
        };
        let object = ObjectState { etag: etag.clone(), metadata: put.metadata, version: None };
        let at = put.at.clone();
        match self.send(Request::Put { at: put.at, absent, matches, object }).await? {
            Answer::Refused => Err(StoreError::Conflict(at)),
            _ => Ok(etag),
        }
    }

    async fn delete(&self, at: &Location, if_match: Option<&str>) -> Result<(), StoreError> {
        let request = Request::Delete { at: at.clone(), matches: if_match.map(str::to_owned) };
        match self.send(request).await? {
            Answer::Refused => Err(StoreError::Conflict(at.clone())),
            _ => Ok(()),
        }
    }

    async fn list(&self, _: &str, _: &str, _: Option<&ObjectKey>, _: usize) -> Result<Listing, StoreError> {
        unreachable!("a call lists nothing")
    }
}
