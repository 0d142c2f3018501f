//! The caller's wish to stop, asked between stages and rows.

use crate::error::Error;

#[derive(Clone, Copy)]
pub(crate) struct Stop<'a>(pub(crate) &'a dyn Fn() -> bool);

impl Stop<'_> {
    /// Ends the render if the caller says so.
    pub(crate) fn check(self, stage: &str) -> Result<(), Error> {
        if (self.0)() {
            return Err(Self::error(stage));
        }
        Ok(())
    }

    /// The error for a render that ended because the caller said so.
    pub(crate) fn error(stage: &str) -> Error {
        Error::Stopped(format!("the render was stopped while {stage}; it can be tried again"))
    }
}
