//! Cache of look-up tables over scans and images: most encoders write the codes of T.81, annex K, and those
//! that optimise theirs use them for all scans of a component.

use std::sync::Arc;

use super::ac::AcTable;
use super::huffman::{Codes, DcTable};

/// Tables of each kind: those of images of two encoders. An AC table takes 33 KB.
const CAPACITY: usize = 4;

/// The tables used last, most recent first.
#[derive(Default)]
pub(crate) struct TableCache {
    dc: Vec<Arc<DcTable>>,
    ac: Vec<Arc<AcTable>>,
}

impl TableCache {
    pub(super) fn dc(&mut self, codes: &Codes) -> Arc<DcTable> {
        get(&mut self.dc, |table| table.codes == *codes, || DcTable::new(codes))
    }

    pub(super) fn ac(&mut self, codes: &Codes) -> Arc<AcTable> {
        get(&mut self.ac, |table| table.codes == *codes, || AcTable::new(codes))
    }
}

/// The cached table for which `matches` holds, or a new one; it becomes the first.
fn get<T>(cached: &mut Vec<Arc<T>>, matches: impl Fn(&T) -> bool, build: impl FnOnce() -> T) -> Arc<T> {
    if let Some(at) = cached.iter().position(|table| matches(table)) {
        cached[..=at].rotate_right(1);
    } else {
        cached.truncate(CAPACITY - 1);
        cached.insert(0, Arc::new(build()));
    }
    Arc::clone(&cached[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One code of each length up to `length`, with symbols from `first` on.
    fn codes(first: u8, length: u8) -> Codes {
        let counts = std::array::from_fn(|index| u8::from(index < usize::from(length)));
        Codes::new(&counts, &(first..first + length).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn tables_are_built_once_and_the_oldest_is_evicted() {
        let mut cache = TableCache::default();
        let first = cache.ac(&codes(1, 5));
        assert!(Arc::ptr_eq(&first, &cache.ac(&codes(1, 5))));
        for other in [codes(2, 5), codes(1, 6), codes(3, 4)] {
            assert!(!Arc::ptr_eq(&first, &cache.ac(&other)));
            assert!(Arc::ptr_eq(&first, &cache.ac(&codes(1, 5))), "used just before");
        }
        for other in 10..14 {
            cache.ac(&codes(other, 5));
        }
        assert_eq!(cache.ac.len(), CAPACITY);
        assert!(!Arc::ptr_eq(&first, &cache.ac(&codes(1, 5))));
    }
}
