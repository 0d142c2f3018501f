//! The versions of objects that a pass over polled buckets saw: a bounded set of hashes, which is stored as an object.

use sha2::{Digest as _, Sha256};
use tintype_pipeline::{Location, store::Stat};

/// Versions that are remembered: 8 MB.
pub(crate) const MOST: usize = 1_000_000;
/// How the object begins.
const HEAD: &[u8] = b"tintype seen 1\n";
/// The largest object, in bytes.
pub(crate) const LARGEST: u64 = (HEAD.len() + MOST * size_of::<u64>()) as u64;

/// Versions, in the order of their hashes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Seen(Vec<u64>);

/// The versions of a pass under way, in the order of the listing.
#[derive(Debug, Default)]
pub(crate) struct Listed(Vec<u64>);

/// Of a million versions, one in 18 million million others has the hash of one of them, and would not be noticed.
fn hash(at: &Location, stat: &Stat) -> u64 {
    let mut digest = Sha256::new();
    // Neither a bucket's name nor an ETag holds a line end.
    digest.update(format!("{}\n{}\n{}\n{}\n", at.bucket, stat.etag, stat.size, stat.modified_ms));
    digest.update(at.key.as_str());
    digest.finalize().first_chunk().map_or(0, |first| u64::from_be_bytes(*first))
}

impl Seen {
    /// Whether it has a version.
    pub(crate) fn contains(&self, at: &Location, stat: &Stat) -> bool {
        self.0.binary_search(&hash(at, stat)).is_ok()
    }

    /// Whether there may have been more versions than are remembered.
    pub(crate) const fn is_full(&self) -> bool {
        self.0.len() >= MOST
    }

    /// As stored.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        HEAD.iter().copied().chain(self.0.iter().flat_map(|hash| hash.to_le_bytes())).collect()
    }

    /// From what was stored; none if it is something else.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (hashes, rest) = bytes.strip_prefix(HEAD)?.as_chunks();
        let hashes: Vec<u64> = hashes.iter().copied().map(u64::from_le_bytes).collect();
        (rest.is_empty() && hashes.len() <= MOST && hashes.is_sorted()).then_some(Self(hashes))
    }
}

impl Listed {
    /// Adds a version, if there is room for it.
    pub(crate) fn add(&mut self, at: &Location, stat: &Stat) {
        if self.0.len() < MOST {
            self.0.push(hash(at, stat));
        }
    }

    /// What the pass saw; `before` is what it began with, of which all is taken over where it was resumed half-way.
    pub(crate) fn finish(self, before: &Seen, is_resumed: bool) -> Seen {
        let mut hashes = self.0;
        if is_resumed {
            let room = MOST - hashes.len();
            hashes.extend(before.0.iter().take(room));
        }
        hashes.sort_unstable();
        hashes.dedup();
        hashes.shrink_to_fit();
        Seen(hashes)
    }
}

#[cfg(test)]
mod tests {
    use tintype_pipeline::ObjectKey;

    use super::*;

    fn version(key: &str, etag: &str, modified_ms: i64) -> (Location, Stat) {
        let at = Location { bucket: "in".into(), key: ObjectKey::new(key).unwrap() };
        let (size, content_type, metadata) = (1, None, [].into());
        (at, Stat { etag: etag.into(), size, content_type, metadata, modified_ms })
    }

    #[test]
    fn a_version_is_a_key_with_its_etag_and_date() {
        let mut listed = Listed::default();
        let (at, stat) = version("a", "1", 5);
        listed.add(&at, &stat);
        let seen = listed.finish(&Seen::default(), false);
        assert!(seen.contains(&at, &stat));
        for (at, stat) in [version("b", "1", 5), version("a", "2", 5), version("a", "1", 4)] {
            assert!(!seen.contains(&at, &stat));
        }
    }

    #[test]
    fn what_was_stored_is_read_and_anything_else_is_not() {
        let mut listed = Listed::default();
        for number in 0..100 {
            let (at, stat) = version(&format!("{number}"), "1", 0);
            listed.add(&at, &stat);
        }
        let seen = listed.finish(&Seen::default(), false);
        let bytes = seen.to_bytes();
        assert_eq!(Seen::from_bytes(&bytes), Some(seen));
        for end in 0..bytes.len() {
            assert!(Seen::from_bytes(&bytes[..end]).is_none_or(|cut| cut.0.len() < 100));
        }
        assert_eq!(Seen::from_bytes(b"{}"), None);
        let unsorted = [HEAD, &2_u64.to_le_bytes(), &1_u64.to_le_bytes()].concat();
        assert_eq!(Seen::from_bytes(&unsorted), None);
    }

    #[test]
    fn no_more_than_the_bound_is_remembered() {
        let (one, other): (Vec<u64>, Vec<u64>) =
            ((0..MOST as u64 - 1).collect(), (MOST as u64..2 * MOST as u64).collect());
        let mut listed = Listed(one);
        let (at, stat) = version("a", "1", 0);
        listed.add(&at, &stat);
        let (at, stat) = version("b", "1", 0);
        listed.add(&at, &stat);
        let seen = listed.finish(&Seen(other), true);
        assert!(seen.is_full() && seen.0.len() == MOST);
        assert!(!seen.contains(&at, &stat));
        assert_eq!(seen.to_bytes().len() as u64, LARGEST);
    }
}
