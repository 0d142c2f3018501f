//! The canvas of an animation: frames are drawn on it, and disposed of.

use super::{Disposal, Frame};

/// A canvas in RGBA with straight alpha, transparent at first.
pub(super) struct Compositor {
    width: usize,
    height: usize,
    canvas: Vec<u8>,
    /// The canvas before the frame that is restored.
    saved: Vec<u8>,
}

impl Compositor {
    pub(super) fn new(width: usize, height: usize) -> Self {
        Self { width, height, canvas: vec![0; width * height * 4], saved: Vec::new() }
    }

    pub(super) fn canvas(&self) -> &[u8] {
        &self.canvas
    }

    pub(super) fn is_opaque(&self) -> bool {
        self.canvas.as_chunks::<4>().0.iter().all(|pixel| pixel[3] == 255)
    }

    /// Draws a frame's pixels; what is beyond the canvas is cut.
    pub(super) fn draw(&mut self, frame: &Frame<'_>, pixels: &[u8]) {
        if frame.disposal == Disposal::Restore {
            self.saved.clone_from(&self.canvas);
        }
        for (line, source) in pixels.chunks_exact(frame.width.max(1) * 4).enumerate() {
            let Some(target) = self.line(frame, line) else { break };
            let pairs = target.as_chunks_mut::<4>().0.iter_mut().zip(source.as_chunks::<4>().0);
            for (under, &over) in pairs {
                *under = if frame.is_blended { blended(*under, over) } else { over };
            }
        }
    }

    /// Does with a frame's part what is to be done before the next one.
    pub(super) fn dispose(&mut self, frame: &Frame<'_>) {
        match frame.disposal {
            Disposal::Keep => {}
            Disposal::Restore => self.canvas.clone_from(&self.saved),
            Disposal::Clear => {
                for line in 0..frame.height {
                    let Some(target) = self.line(frame, line) else { break };
                    target.fill(0);
                }
            }
        }
    }

    /// The part of a row of the canvas that a frame's row covers.
    fn line(&mut self, frame: &Frame<'_>, line: usize) -> Option<&mut [u8]> {
        let y = frame.top.checked_add(line).filter(|y| *y < self.height)?;
        let left = frame.left.min(self.width);
        let right = frame.left.saturating_add(frame.width).min(self.width);
        self.canvas.get_mut((y * self.width + left) * 4..(y * self.width + right) * 4)
    }
}

/// A pixel over another, as viewers blend them: in code values.
fn blended(under: [u8; 4], over: [u8; 4]) -> [u8; 4] {
    match over[3] {
        255 => return over,
        0 => return under,
        _ => {}
    }
    let (alpha, below) = (u32::from(over[3]), u32::from(under[3]));
    // In 255ths of 255ths.
    let rest = below * (255 - alpha);
    let whole = alpha * 255 + rest;
    let mix = |c: usize| {
        ((u32::from(over[c]) * alpha * 255 + u32::from(under[c]) * rest + whole / 2) / whole) as u8
    };
    [mix(0), mix(1), mix(2), ((whole + 127) / 255) as u8]
}
