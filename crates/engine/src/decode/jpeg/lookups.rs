//! Look-up tables, kept from scan to scan and from picture to picture: most programs write the codes of T.81's
//! annex K, and those that choose their own use them for all scans of a component.

use std::sync::Arc;

use super::ac::AcTable;
use super::huffman::{Codes, DcTable};

/// Of each kind: what two pictures of different makers have. 25 KB the larger ones.
const KEPT: usize = 4;

/// The tables used last, newest first.
#[derive(Default)]
pub(crate) struct Lookups {
    dc: Vec<Arc<DcTable>>,
    ac: Vec<Arc<AcTable>>,
}

impl Lookups {
    pub(super) fn dc(&mut self, codes: &Codes) -> Arc<DcTable> {
        newest(&mut self.dc, |table| table.codes == *codes, || DcTable::new(codes))
    }

    pub(super) fn ac(&mut self, codes: &Codes) -> Arc<AcTable> {
        newest(&mut self.ac, |table| table.codes == *codes, || AcTable::new(codes))
    }
}

/// The table that is of the codes wanted, made if there is none; it comes first.
fn newest<T>(kept: &mut Vec<Arc<T>>, is_wanted: impl Fn(&T) -> bool, make: impl FnOnce() -> T) -> Arc<T> {
    if let Some(at) = kept.iter().position(|table| is_wanted(table)) {
        kept[..=at].rotate_right(1);
    } else {
        kept.truncate(KEPT - 1);
        kept.insert(0, Arc::new(make()));
    }
    Arc::clone(&kept[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One code a length up to `length`, each of the symbol that `first` counts up to.
    fn codes(first: u8, length: u8) -> Codes {
        let counts = std::array::from_fn(|index| u8::from(index < usize::from(length)));
        Codes::new(&counts, &(first..first + length).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn tables_are_made_once_and_the_oldest_goes() {
        let mut lookups = Lookups::default();
        let first = lookups.ac(&codes(1, 5));
        assert!(Arc::ptr_eq(&first, &lookups.ac(&codes(1, 5))));
        for other in [codes(2, 5), codes(1, 6), codes(3, 4)] {
            assert!(!Arc::ptr_eq(&first, &lookups.ac(&other)));
            assert!(Arc::ptr_eq(&first, &lookups.ac(&codes(1, 5))), "used just before");
        }
        for other in 10..14 {
            lookups.ac(&codes(other, 5));
        }
        assert_eq!(lookups.ac.len(), KEPT);
        assert!(!Arc::ptr_eq(&first, &lookups.ac(&codes(1, 5))));
    }
}
