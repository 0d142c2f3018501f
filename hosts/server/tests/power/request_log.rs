//! The requests of clients and the replies to them, and the contents that these allow.

use crate::images::Content;

/// The reply to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// It is done.
    Acknowledged,
    /// Nothing was changed.
    Refused,
    /// It may have been done.
    InDoubt,
}

#[derive(Debug, Clone)]
enum Entry {
    /// A key is to hold `content`, or to be deleted.
    Request {
        key: &'static str,
        content: Option<Content>,
    },
    Reply {
        request: usize,
        reply: Reply,
    },
    /// A purge of a key's dead letters begins.
    PurgeBegin {
        key: &'static str,
    },
    PurgeEnd {
        key: &'static str,
        any: bool,
    },
}

/// Requests and replies in the order in which they were sent and received.
#[derive(Debug, Clone, Default)]
pub struct RequestLog(Vec<Entry>);

impl RequestLog {
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Records a request to store `content` under a key, or to delete it; returns its index.
    pub fn begin(&mut self, key: &'static str, content: Option<Content>) -> usize {
        self.0.push(Entry::Request { key, content });
        self.0.len() - 1
    }

    pub fn end(&mut self, request: usize, reply: Reply) {
        self.0.push(Entry::Reply { request, reply });
    }

    /// The log as it was at `length`; requests without a reply by then are in doubt.
    pub fn truncated(&self, length: usize) -> Self {
        let mut log = Self(self.0[..length].to_vec());
        for request in 0..length {
            if matches!(log.0[request], Entry::Request { .. }) && log.reply(request).is_none() {
                log.end(request, Reply::InDoubt);
            }
        }
        log
    }

    fn reply(&self, request: usize) -> Option<(usize, Reply)> {
        self.0.iter().enumerate().skip(request).find_map(|(at, entry)| match entry {
            Entry::Reply { request: other, reply } if *other == request => Some((at, *reply)),
            _ => None,
        })
    }

    /// The contents that a key may have: those of all requests not refused, except where a request sent after the reply
    /// was acknowledged before `since`.
    pub fn acceptable(&self, key: &str, since: usize) -> Vec<Option<Content>> {
        struct Request {
            content: Option<Content>,
            begin: usize,
            reply: Option<(usize, Reply)>,
        }
        let requests: Vec<Request> = self
            .0
            .iter()
            .enumerate()
            .filter_map(|(begin, entry)| match entry {
                Entry::Request { key: other, content } if *other == key => {
                    Some(Request { content: *content, begin, reply: self.reply(begin) })
                }
                _ => None,
            })
            .collect();
        let replaced_after = |end: usize| {
            requests.iter().any(|later| {
                later.begin >= end && matches!(later.reply, Some((at, Reply::Acknowledged)) if at < since)
            })
        };
        let mut acceptable = Vec::new();
        if !replaced_after(0) {
            acceptable.push(None);
        }
        for request in &requests {
            let may_be_stored = match request.reply {
                Some((_, Reply::Refused)) => false,
                Some((at, _)) => !replaced_after(at),
                None => true,
            };
            if may_be_stored && !acceptable.contains(&request.content) {
                acceptable.push(request.content);
            }
        }
        acceptable
    }

    /// From now on the dead letters of a key may be purged.
    pub fn begin_purge(&mut self, key: &'static str) {
        self.0.push(Entry::PurgeBegin { key });
    }

    /// The purge has ended; `any`: it removed something.
    pub fn end_purge(&mut self, key: &'static str, any: bool) {
        self.0.push(Entry::PurgeEnd { key, any });
    }

    /// Whether a dead letter of the key's current version may have been purged.
    pub fn may_be_purged(&self, key: &str) -> bool {
        let (mut under_way, mut last) = (0_u32, None);
        for (at, entry) in self.0.iter().enumerate() {
            match entry {
                Entry::PurgeBegin { key: other } if *other == key => under_way += 1,
                Entry::PurgeEnd { key: other, any } if *other == key => {
                    under_way -= 1;
                    last = if *any { Some(at) } else { last };
                }
                _ => {}
            }
        }
        let is_new_since = |purge: usize| {
            (purge..self.0.len()).any(|request| {
                matches!(&self.0[request], Entry::Request { key: other, content: Some(_) } if *other == key)
                    && matches!(self.reply(request), Some((_, Reply::Acknowledged)))
            })
        };
        under_way > 0 || last.is_some_and(|purge| !is_new_since(purge))
    }

    /// All keys of requests.
    pub fn keys(&self) -> Vec<&'static str> {
        let mut keys: Vec<_> = self
            .0
            .iter()
            .filter_map(|entry| match entry {
                Entry::Request { key, .. } => Some(*key),
                Entry::Reply { .. } | Entry::PurgeBegin { .. } | Entry::PurgeEnd { .. } => None,
            })
            .collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// The requests and replies of one key as text.
    pub fn describe(&self, key: &str) -> String {
        let lines = self.0.iter().enumerate().filter_map(|(at, entry)| match entry {
            Entry::Request { key: other, content } if *other == key => {
                let request = content.map_or("delete".to_owned(), |content| format!("put {content}"));
                let reply = self
                    .reply(at)
                    .map_or("no reply".to_owned(), |(end, reply)| format!("{reply:?} at {end}"));
                Some(format!("  {at}: {request}: {reply}"))
            }
            _ => None,
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}

#[test]
fn acceptable_contents_follow_from_the_replies() {
    let content = |number| Content { number, padding: 0, is_image: true };
    let mut log = RequestLog::default();
    assert_eq!(log.acceptable("k", 0), [None]);
    let first = log.begin("k", Some(content(1)));
    assert_eq!(log.acceptable("k", log.len()), [None, Some(content(1))]);
    log.end(first, Reply::Acknowledged);
    assert_eq!(log.acceptable("k", log.len()), [Some(content(1))]);
    let second = log.begin("k", Some(content(2)));
    log.end(second, Reply::Refused);
    let third = log.begin("k", None);
    log.end(third, Reply::InDoubt);
    assert_eq!(log.acceptable("k", log.len()), [Some(content(1)), None]);
    // Two concurrent requests: either may have come last.
    let (fourth, fifth) = (log.begin("k", Some(content(4))), log.begin("k", Some(content(5))));
    log.end(fourth, Reply::Acknowledged);
    log.end(fifth, Reply::Acknowledged);
    assert_eq!(log.acceptable("k", log.len()), [Some(content(4)), Some(content(5))]);
    assert_eq!(log.acceptable("other", log.len()), [None]);
    // Truncated before the last two replies: both are in doubt, nothing else.
    let truncated = log.truncated(fifth + 1);
    let expected = [Some(content(1)), None, Some(content(4)), Some(content(5))];
    assert_eq!(truncated.acceptable("k", truncated.len()), expected);
}
