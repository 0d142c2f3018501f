//! By-line, credit and copyright notice in IPTC IIM (record 2).

use super::{Rights, text};
use crate::bytes::be16;

const BY_LINE: u8 = 80;
const CREDIT: u8 = 110;
const COPYRIGHT: u8 = 116;

pub(super) fn read(mut records: &[u8]) -> Rights {
    let mut rights = Rights::default();
    let mut credit = None;
    while let (Some(&[0x1c, record, number]), Some(length)) = (records.first_chunk(), be16(records, 3)) {
        // From 2^15 on the length says how long the length is, which no text is.
        let Some(data) = records.get(5..5 + usize::from(length)).filter(|_| length < 0x8000) else { break };
        let target = match (record, number) {
            (2, BY_LINE) => Some(&mut rights.artist),
            (2, CREDIT) => Some(&mut credit),
            (2, COPYRIGHT) => Some(&mut rights.copyright),
            _ => None,
        };
        if let Some(target) = target
            && target.is_none()
        {
            *target = text(data);
        }
        records = &records[5 + usize::from(length)..];
    }
    rights.artist = rights.artist.or(credit);
    rights
}
