//! What a render may cost, checked after the header and before any allocation.

/// Bounds on one render.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Largest source file, in bytes.
    pub source_bytes: u64,
    /// Most pixels in the source (width × height of the canvas).
    pub pixels: u64,
    /// Most frames an animation may have.
    pub frames: u32,
    /// Most bytes a render may hold at once, as [`crate::estimate`] counts them.
    pub memory_bytes: u64,
    /// Accept a picture damaged inside its pixels, if enough of it could be read.
    pub tolerant: bool,
    /// With `tolerant`: the share of the picture's rows (0.0 to 1.0) that must have been read.
    pub tolerant_share: f64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            source_bytes: 100 << 20,
            pixels: 300_000_000,
            frames: 1000,
            memory_bytes: 512 << 20,
            tolerant: false,
            tolerant_share: 0.5,
        }
    }
}
