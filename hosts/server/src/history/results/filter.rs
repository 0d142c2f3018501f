//! A Bloom filter for each block, so that an object's results are found among millions without unpacking every block.

/// Bits for each object; with [`HASHES`] of them set, the false positive rate is 1 %.
const BITS: usize = 10;
const HASHES: u64 = 7;

/// FNV-1a over bucket, a zero byte and key, with a final mix. It must never change: filters are stored on disk.
pub(super) fn hash(bucket: &str, key: &str) -> u64 {
    let bytes = bucket.bytes().chain([0]).chain(key.bytes());
    let hash = bytes.fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
    });
    let hash = (hash ^ (hash >> 32)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    hash ^ (hash >> 29)
}

fn positions(hash: u64, bits: u64) -> impl Iterator<Item = u64> {
    let (first, second) = (hash & 0xFFFF_FFFF, hash >> 32 | 1);
    (0..HASHES).map(move |n| (first + n * second) % bits)
}

/// Builds the filter of some objects.
pub(super) fn build(hashes: &[u64]) -> Vec<u8> {
    let mut filter = vec![0_u8; (hashes.len() * BITS).div_ceil(8).max(1)];
    let bits = filter.len() as u64 * 8;
    for position in hashes.iter().flat_map(|hash| positions(*hash, bits)) {
        filter[(position / 8) as usize] |= 1 << (position % 8);
    }
    filter
}

/// Whether an object may be among those of the filter.
pub(super) fn may_contain(filter: &[u8], hash: u64) -> bool {
    let bits = filter.len() as u64 * 8;
    let is_set = |position: u64| filter[(position / 8) as usize] & (1 << (position % 8)) != 0;
    bits > 0 && positions(hash, bits).all(is_set)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_objects_are_found_and_false_positives_are_few() {
        let hashes: Vec<u64> = (0..2000).map(|n| hash("in", &format!("photo {n}.jpg"))).collect();
        let filter = build(&hashes);
        assert!(hashes.iter().all(|hash| may_contain(&filter, *hash)));
        let other = |n: &i32| may_contain(&filter, hash("in", &format!("other {n}.jpg")));
        let false_positives = (0..10_000).filter(other).count();
        assert!(false_positives < 250, "{false_positives} of 10,000");
    }
}
