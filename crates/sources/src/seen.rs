//! The versions of objects that a pass over polled buckets saw: a bounded set of hashes, which is stored as an object.

use sha2::{Digest as _, Sha256};
use tintype_pipeline::{Location, store::Stat};

/// Versions that are remembered, of those listed first: 8 MB.
pub(crate) const MOST: usize = 1_000_000;
/// How the object begins.
const HEAD: &[u8] = b"tintype seen 1\n";
/// The largest object, in bytes: with a bucket and a key as JSON.
pub(crate) const LARGEST: u64 = (HEAD.len() + MOST * size_of::<u64>() + 8192) as u64;

/// A bucket and a key: buckets and keys are listed in this order.
type Place = (String, String);

/// Versions that were listed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// In their order.
    hashes: Vec<u64>,
    /// From here on not all were remembered.
    cut: Option<Place>,
}

/// The versions of a pass under way.
#[derive(Debug, Default)]
pub(crate) struct Listed {
    /// In the order of the listing.
    hashes: Vec<u64>,
    /// The first that there was no room for.
    cut: Option<Place>,
}

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
        self.hashes.binary_search(&hash(at, stat)).is_ok()
    }

    /// Whether there were more versions than are remembered.
    pub(crate) const fn is_cut(&self) -> bool {
        self.cut.is_some()
    }

    /// Whether every version here was remembered.
    pub(crate) fn covers(&self, at: &Location) -> bool {
        let is_before =
            |(bucket, key): &Place| (at.bucket.as_str(), at.key.as_str()) < (bucket.as_str(), key.as_str());
        self.cut.as_ref().is_none_or(is_before)
    }

    /// As stored.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let cut = serde_json::json!(self.cut).to_string();
        let hashes = self.hashes.iter().flat_map(|hash| hash.to_le_bytes());
        HEAD.iter().copied().chain(cut.into_bytes()).chain([b'\n']).chain(hashes).collect()
    }

    /// From what was stored; none if it is something else.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.strip_prefix(HEAD)?;
        let (cut, hashes) = bytes.split_at(bytes.iter().position(|byte| *byte == b'\n')?);
        let cut = serde_json::from_slice(cut).ok()?;
        let (hashes, rest) = hashes.get(1..)?.as_chunks();
        let hashes: Vec<u64> = hashes.iter().copied().map(u64::from_le_bytes).collect();
        (rest.is_empty() && hashes.len() <= MOST && hashes.is_sorted()).then_some(Self { hashes, cut })
    }
}

impl Listed {
    /// Adds a version, if there is room for it.
    pub(crate) fn add(&mut self, at: &Location, stat: &Stat) {
        if self.hashes.len() < MOST {
            self.hashes.push(hash(at, stat));
        } else if self.cut.is_none() {
            self.cut = Some((at.bucket.clone(), at.key.to_string()));
        }
    }

    /// What the pass saw; `before` is what it began with, of which all is taken over where it was resumed half-way.
    pub(crate) fn finish(self, before: &Seen, is_resumed: bool) -> Seen {
        let Self { mut hashes, mut cut } = self;
        if is_resumed {
            let room = MOST - hashes.len();
            hashes.extend(before.hashes.iter().take(room));
            let known = if before.hashes.len() > room { Some(Place::default()) } else { before.cut.clone() };
            cut = cut.into_iter().chain(known).min();
        }
        hashes.sort_unstable();
        hashes.dedup();
        hashes.shrink_to_fit();
        Seen { hashes, cut }
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
            assert!(Seen::from_bytes(&bytes[..end]).is_none_or(|cut| cut.hashes.len() < 100));
        }
        assert_eq!(Seen::from_bytes(b"{}"), None);
        let unsorted = [HEAD, b"null\n", &2_u64.to_le_bytes(), &1_u64.to_le_bytes()].concat();
        assert_eq!(Seen::from_bytes(&unsorted), None);
    }

    #[test]
    fn no_more_than_the_bound_is_remembered() {
        let (one, other): (Vec<u64>, Vec<u64>) =
            ((0..MOST as u64 - 1).collect(), (MOST as u64..2 * MOST as u64).collect());
        let mut listed = Listed { hashes: one, cut: None };
        let (at, stat) = version("a", "1", 0);
        listed.add(&at, &stat);
        let (at, stat) = version("b", "1", 0);
        listed.add(&at, &stat);
        assert_eq!(listed.cut, Some(("in".into(), "b".into())));
        let before = Seen { hashes: other, cut: None };
        let seen = listed.finish(&before, true);
        assert!(seen.is_cut() && seen.hashes.len() == MOST);
        assert!(
            !seen.contains(&at, &stat) && !seen.covers(&at),
            "of the pass before not all are known any more"
        );
        let bytes = seen.to_bytes();
        assert!(bytes.len() as u64 <= LARGEST);
        assert_eq!(Seen::from_bytes(&bytes), Some(seen));
    }

    #[test]
    fn what_was_listed_before_the_bound_was_reached_is_known() {
        let mut listed = Listed { hashes: (0..MOST as u64).collect(), cut: None };
        let (at, stat) = version("m", "1", 0);
        listed.add(&at, &stat);
        let seen = listed.finish(&Seen::default(), false);
        assert!(
            seen.covers(&version("lz", "1", 0).0)
                && !seen.covers(&at)
                && !seen.covers(&version("n", "1", 0).0)
        );
    }
}
