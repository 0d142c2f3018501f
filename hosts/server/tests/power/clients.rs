//! What clients asked for and what they were told: from it follows what may be there.

use crate::pictures::Content;

/// How a request was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// It is done.
    Acknowledged,
    /// Nothing was changed.
    Refused,
    /// It may have been done.
    InDoubt,
}

#[derive(Debug, Clone)]
enum Entry {
    Begun {
        key: &'static str,
        wanted: Option<Content>,
    },
    Ended {
        begun: usize,
        told: Told,
    },
    /// What was given up of a key is thrown away; and that is done.
    Purging {
        key: &'static str,
    },
    Purged {
        key: &'static str,
        any: bool,
    },
}

/// The requests in the order in which they began and were answered.
#[derive(Debug, Clone, Default)]
pub struct Log(Vec<Entry>);

impl Log {
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// A client asks for a key to hold `wanted`, or to be gone.
    pub fn begin(&mut self, key: &'static str, wanted: Option<Content>) -> usize {
        self.0.push(Entry::Begun { key, wanted });
        self.0.len() - 1
    }

    pub fn end(&mut self, begun: usize, told: Told) {
        self.0.push(Entry::Ended { begun, told });
    }

    /// The log as it was at `length`; what was not answered by then is in doubt for ever.
    pub fn cut_at(&self, length: usize) -> Self {
        let mut cut = Self(self.0[..length].to_vec());
        for begun in 0..length {
            if matches!(cut.0[begun], Entry::Begun { .. }) && cut.answer(begun).is_none() {
                cut.end(begun, Told::InDoubt);
            }
        }
        cut
    }

    fn answer(&self, begun: usize) -> Option<(usize, Told)> {
        self.0.iter().enumerate().skip(begun).find_map(|(at, entry)| match entry {
            Entry::Ended { begun: of, told } if *of == begun => Some((at, *told)),
            _ => None,
        })
    }

    /// What a key may hold: the outcome of every request that was not refused, unless one that began after
    /// its end was acknowledged before `since`.
    pub fn acceptable(&self, key: &str, since: usize) -> Vec<Option<Content>> {
        struct Request {
            wanted: Option<Content>,
            begun: usize,
            answer: Option<(usize, Told)>,
        }
        let requests: Vec<Request> = self
            .0
            .iter()
            .enumerate()
            .filter_map(|(begun, entry)| match entry {
                Entry::Begun { key: of, wanted } if *of == key => {
                    Some(Request { wanted: *wanted, begun, answer: self.answer(begun) })
                }
                _ => None,
            })
            .collect();
        let replaced_after = |end: usize| {
            requests.iter().any(|later| {
                later.begun >= end && matches!(later.answer, Some((at, Told::Acknowledged)) if at < since)
            })
        };
        let mut acceptable = Vec::new();
        if !replaced_after(0) {
            acceptable.push(None);
        }
        for request in &requests {
            let stands = match request.answer {
                Some((_, Told::Refused)) => false,
                Some((at, _)) => !replaced_after(at),
                None => true,
            };
            if stands && !acceptable.contains(&request.wanted) {
                acceptable.push(request.wanted);
            }
        }
        acceptable
    }

    /// From now on what was given up of a key may be thrown away.
    pub fn begin_purge(&mut self, key: &'static str) {
        self.0.push(Entry::Purging { key });
    }

    /// And from now on no more; whether there was anything.
    pub fn end_purge(&mut self, key: &'static str, any: bool) {
        self.0.push(Entry::Purged { key, any });
    }

    /// Whether what a key holds may have been given up with nothing left to tell of it.
    pub fn may_be_purged(&self, key: &str) -> bool {
        let (mut under_way, mut ended) = (0_u32, None);
        for (at, entry) in self.0.iter().enumerate() {
            match entry {
                Entry::Purging { key: of } if *of == key => under_way += 1,
                Entry::Purged { key: of, any } if *of == key => {
                    under_way -= 1;
                    ended = if *any { Some(at) } else { ended };
                }
                _ => {}
            }
        }
        let is_new_since = |purged: usize| {
            (purged..self.0.len()).any(|begun| {
                matches!(&self.0[begun], Entry::Begun { key: of, wanted: Some(_) } if *of == key)
                    && matches!(self.answer(begun), Some((_, Told::Acknowledged)))
            })
        };
        under_way > 0 || ended.is_some_and(|purged| !is_new_since(purged))
    }

    /// Every key asked for.
    pub fn keys(&self) -> Vec<&'static str> {
        let mut keys: Vec<_> = self
            .0
            .iter()
            .filter_map(|entry| match entry {
                Entry::Begun { key, .. } => Some(*key),
                Entry::Ended { .. } | Entry::Purging { .. } | Entry::Purged { .. } => None,
            })
            .collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// The story of one key, for people.
    pub fn story(&self, key: &str) -> String {
        let lines = self.0.iter().enumerate().filter_map(|(at, entry)| match entry {
            Entry::Begun { key: of, wanted } if *of == key => {
                let wanted = wanted.map_or("delete".to_owned(), |content| format!("put {content}"));
                let answer = self
                    .answer(at)
                    .map_or("unanswered".to_owned(), |(end, told)| format!("{told:?} at {end}"));
                Some(format!("  {at}: {wanted}: {answer}"))
            }
            _ => None,
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}

#[test]
fn what_may_be_there_follows_from_what_was_said() {
    let content = |number| Content { number, padding: 0, good: true };
    let mut log = Log::default();
    assert_eq!(log.acceptable("k", 0), [None]);
    let first = log.begin("k", Some(content(1)));
    assert_eq!(log.acceptable("k", log.len()), [None, Some(content(1))]);
    log.end(first, Told::Acknowledged);
    assert_eq!(log.acceptable("k", log.len()), [Some(content(1))]);
    let second = log.begin("k", Some(content(2)));
    log.end(second, Told::Refused);
    let third = log.begin("k", None);
    log.end(third, Told::InDoubt);
    assert_eq!(log.acceptable("k", log.len()), [Some(content(1)), None]);
    // Two at once: whichever came last.
    let (fourth, fifth) = (log.begin("k", Some(content(4))), log.begin("k", Some(content(5))));
    log.end(fourth, Told::Acknowledged);
    log.end(fifth, Told::Acknowledged);
    assert_eq!(log.acceptable("k", log.len()), [Some(content(4)), Some(content(5))]);
    assert_eq!(log.acceptable("other", log.len()), [None]);
    // Cut before the last two were answered: they are in doubt, and nothing else.
    let cut = log.cut_at(fifth + 1);
    assert_eq!(cut.acceptable("k", cut.len()), [Some(content(1)), None, Some(content(4)), Some(content(5))]);
}
