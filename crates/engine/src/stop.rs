//! The caller's `stop` callback, polled between stages and rows.

use crate::error::Error;

#[derive(Clone, Copy)]
pub(crate) struct Stop<'a>(pub(crate) &'a dyn Fn() -> bool);

impl Stop<'_> {
    /// Fails if the render is to stop.
    pub(crate) fn check(self, stage: &str) -> Result<(), Error> {
        if (self.0)() {
            return Err(Self::error(stage));
        }
        Ok(())
    }

    /// The error of a stopped render.
    pub(crate) fn error(stage: &str) -> Error {
        Error::Stopped(format!("the render was stopped while {stage}; it can be tried again"))
    }
}
