//! Restart intervals (ITU-T T.81, E.2.4): when a restart marker is due, and decoding on after it.

use super::bit_reader::BitReader;
use crate::codec::jpeg::header::next_marker;

/// The restart intervals of a scan.
pub(super) struct RestartIntervals<'a> {
    bytes: &'a [u8],
    /// MCUs between markers; 0 for none.
    interval: usize,
    /// MCUs until the next.
    left: usize,
}

/// What precedes an MCU.
pub(super) enum McuBoundary {
    /// Nothing.
    None,
    /// A restart marker: predictions are reset.
    Restart,
    /// The end of the data, beyond which bits were read.
    End,
}

impl<'a> RestartIntervals<'a> {
    pub(super) const fn new(bytes: &'a [u8], interval: usize) -> Self {
        Self { bytes, interval, left: interval }
    }

    /// To be called before each MCU.
    #[inline(always)]
    pub(super) fn before_mcu(&mut self, reader: &mut BitReader<'a>) -> Result<McuBoundary, String> {
        if self.interval == 0 {
            return Ok(McuBoundary::None);
        }
        if self.left > 0 {
            self.left -= 1;
            return Ok(McuBoundary::None);
        }
        if reader.overrun() {
            return Ok(McuBoundary::End);
        }
        *reader = self.after_marker(reader.position())?;
        self.left = self.interval - 1;
        Ok(McuBoundary::Restart)
    }

    /// A reader after the next restart marker, whatever its number.
    #[inline(never)]
    fn after_marker(&self, at: usize) -> Result<BitReader<'a>, String> {
        match next_marker(self.bytes, at) {
            Ok((0xd0..=0xd7, after)) => Ok(BitReader::new(self.bytes, after)),
            _ => Err(format!("a restart marker is missing at byte {at}")),
        }
    }
}
