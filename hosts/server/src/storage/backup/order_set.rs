//! A set of commit orders: a bit each, by folder of object files. Ten million objects that were put one after the other
//! take about two megabytes.

use std::collections::BTreeMap;

use crate::storage::folder::FOLDER_BITS;

const WORDS: usize = (1 << FOLDER_BITS) / 64;

#[derive(Debug, Default)]
pub(super) struct OrderSet {
    folders: BTreeMap<u64, Box<[u64; WORDS]>>,
    count: u64,
}

impl OrderSet {
    pub(super) fn insert(&mut self, order: u64) {
        let words = self.folders.entry(order >> FOLDER_BITS).or_insert_with(|| Box::new([0; WORDS]));
        let (word, bit) = place(order);
        self.count += u64::from(words[word] & bit == 0);
        words[word] |= bit;
    }

    pub(super) fn contains(&self, order: u64) -> bool {
        let (word, bit) = place(order);
        self.folders.get(&(order >> FOLDER_BITS)).is_some_and(|words| words[word] & bit != 0)
    }

    pub(super) const fn count(&self) -> u64 {
        self.count
    }

    /// All of them, the lowest first; those of one folder together.
    pub(super) fn folders(&self) -> impl Iterator<Item = Vec<u64>> + '_ {
        self.folders.iter().map(|(folder, words)| {
            let first = folder << FOLDER_BITS;
            let orders = (0..1 << FOLDER_BITS).filter(|offset| {
                let (word, bit) = place(*offset);
                words[word] & bit != 0
            });
            orders.map(|offset| first + offset).collect()
        })
    }
}

/// Where the bit of an order is: its word, and the bit there.
const fn place(order: u64) -> (usize, u64) {
    let offset = order & ((1 << FOLDER_BITS) - 1);
    ((offset / 64) as usize, 1 << (offset % 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_set_in_order() {
        let orders = [0, 1, 63, 64, 4095, 4096, 1 << 40, (1 << 40) + 5];
        let mut set = OrderSet::default();
        for order in orders.iter().rev().chain(&orders) {
            set.insert(*order);
        }
        assert_eq!(set.count(), orders.len() as u64);
        assert_eq!(set.folders().flatten().collect::<Vec<_>>(), orders);
        assert_eq!(set.folders().count(), 3);
        assert!(orders.iter().all(|order| set.contains(*order)));
        assert!([2, 62, 65, 4097, 1 << 20].iter().all(|order| !set.contains(*order)));
    }
}
