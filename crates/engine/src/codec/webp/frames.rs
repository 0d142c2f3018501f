//! The frames of an animated WebP.

use super::decode;
use super::header::{chunk, frame_picture, frame_rectangle};
use crate::animation::{Animation, Disposal, Frame};
use crate::bytes::{le16, le24};
use crate::error::Error;
use crate::header::Header;

/// Reads every frame up to the first that is cut, and no more than one beyond `most`.
pub(super) fn read<'a>(
    bytes: &'a [u8],
    header: &Header,
    profile: Option<&'a [u8]>,
    most: usize,
) -> Result<Option<Animation<'a>>, Error> {
    let (mut plays, mut frames) = (1, Vec::new());
    let mut at = 12;
    while at + 8 <= bytes.len() && frames.len() <= most {
        let Ok((name, data)) = chunk(bytes, at) else { break };
        match name {
            b"ANIM" => plays = le16(data, 4).map_or(1, u32::from),
            b"ANMF" => match frame(data, header, profile) {
                Ok(frame) => frames.push(frame),
                Err(error) if frames.is_empty() => return Err(error),
                Err(_) => break,
            },
            _ => {}
        }
        at += 8 + data.len() + (data.len() & 1);
    }
    Ok((!frames.is_empty()).then_some(Animation { plays, frames, shared_bytes: 0, copied_bytes: 0 }))
}

fn frame<'a>(data: &'a [u8], header: &Header, profile: Option<&'a [u8]>) -> Result<Frame<'a>, Error> {
    let picture = frame_picture(data, (header.width, header.height))?;
    let (left, top, width, height) = frame_rectangle(data)?;
    let delay_ms = le24(data, 12).unwrap_or(0);
    let flags = data.get(15).copied().unwrap_or(0);
    let mut picture = super::header::Picture { profile, ..picture };
    (picture.frame.x, picture.frame.y) = (0, 0);
    let header = Header { width, height, alpha: true, ..header.clone() };
    Ok(Frame {
        left: left as usize,
        top: top as usize,
        width: width as usize,
        height: height as usize,
        delay_ms,
        disposal: if flags & 1 != 0 { Disposal::Clear } else { Disposal::Keep },
        is_blended: flags & 2 == 0,
        decode: Box::new(move |context, rows, _| decode::decode(&picture, &header, context, rows)),
    })
}
