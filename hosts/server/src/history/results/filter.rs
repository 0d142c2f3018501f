//! Which blocks may hold results of an object: a Bloom filter a block, so that an object's history is found
//! among millions without unpacking them.

/// Bits for each object; with [`HASHES`] of them set, one look in a hundred is in vain.
const BITS: usize = 10;
const HASHES: u64 = 7;

/// FNV-1a over bucket, a zero byte and key, with the last bits spread: the same on every machine and in
/// every version, as filters are on disk.
pub(super) fn hash(bucket: &str, key: &str) -> u64 {
    let bytes = bucket.bytes().chain([0]).chain(key.bytes());
    let hash = bytes.fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
    });
    let hash = (hash ^ (hash >> 32)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    hash ^ (hash >> 29)
}

fn places(hash: u64, bits: u64) -> impl Iterator<Item = u64> {
    let (first, second) = (hash & 0xFFFF_FFFF, hash >> 32 | 1);
    (0..HASHES).map(move |n| (first + n * second) % bits)
}

/// The filter of some objects.
pub(super) fn make(hashes: &[u64]) -> Vec<u8> {
    let mut filter = vec![0_u8; (hashes.len() * BITS).div_ceil(8).max(1)];
    let bits = filter.len() as u64 * 8;
    for place in hashes.iter().flat_map(|hash| places(*hash, bits)) {
        filter[(place / 8) as usize] |= 1 << (place % 8);
    }
    filter
}

/// Whether an object may be among those of the filter.
pub(super) fn may_hold(filter: &[u8], hash: u64) -> bool {
    let bits = filter.len() as u64 * 8;
    bits > 0 && places(hash, bits).all(|place| filter[(place / 8) as usize] & (1 << (place % 8)) != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_found_and_little_else() {
        let hashes: Vec<u64> = (0..2000).map(|n| hash("in", &format!("photo {n}.jpg"))).collect();
        let filter = make(&hashes);
        assert!(hashes.iter().all(|hash| may_hold(&filter, *hash)));
        let wrong = (0..10_000).filter(|n| may_hold(&filter, hash("in", &format!("other {n}.jpg")))).count();
        assert!(wrong < 250, "{wrong} of 10,000");
    }
}
