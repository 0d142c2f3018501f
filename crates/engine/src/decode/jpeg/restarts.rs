//! Restart markers (ITU-T T.81, E.2.4): when they are due, and going on behind them.

use super::bits::Bits;
use crate::header::jpeg::next_marker;

/// The restart intervals of a scan.
pub(super) struct Restarts<'a> {
    bytes: &'a [u8],
    /// MCUs between markers; 0 for none.
    interval: usize,
    /// MCUs until the next.
    left: usize,
}

/// What stands before an MCU.
pub(super) enum Before {
    /// Nothing.
    Mcu,
    /// A marker: what was kept from MCU to MCU begins again.
    Restart,
    /// The end of the data, which was read beyond.
    End,
}

impl<'a> Restarts<'a> {
    pub(super) const fn new(bytes: &'a [u8], interval: usize) -> Self {
        Self { bytes, interval, left: interval }
    }

    /// To be called before each MCU.
    #[inline(always)]
    pub(super) fn before_mcu(&mut self, bits: &mut Bits<'a>) -> Result<Before, String> {
        if self.interval == 0 {
            return Ok(Before::Mcu);
        }
        if self.left > 0 {
            self.left -= 1;
            return Ok(Before::Mcu);
        }
        if bits.overrun() {
            return Ok(Before::End);
        }
        *bits = self.behind_marker(bits.position())?;
        self.left = self.interval - 1;
        Ok(Before::Restart)
    }

    /// Goes on behind the next restart marker, whatever its number.
    #[inline(never)]
    fn behind_marker(&self, at: usize) -> Result<Bits<'a>, String> {
        match next_marker(self.bytes, at) {
            Ok((0xd0..=0xd7, after)) => Ok(Bits::new(self.bytes, after)),
            _ => Err(format!("a restart marker is missing at byte {at}")),
        }
    }
}
