//! What goes between a host and a worker: integers in little-endian order.
//!
//! A request is the job. An answer is a layout and then every stripe, or an error.

use std::io::{self, Read, Write};

use tintype_engine::Error;
use tintype_engine::foreign::{Job, Layout, Library, Samples};

/// An answer's first byte.
const LAYOUT: u8 = 1;
const ERROR: u8 = 2;
/// The longest message of an error, and profile.
const MAX_MESSAGE: u32 = 4 << 10;
const MAX_PROFILE: u32 = 16 << 20;

/// A job, as a worker receives it.
pub(crate) struct Request {
    library: Library,
    width: u32,
    height: u32,
    work: u64,
    /// CPU time that it may take, in milliseconds.
    pub(crate) milliseconds: u32,
    configuration: Vec<u8>,
    data: Vec<u8>,
}

impl Request {
    pub(crate) fn job(&self) -> Job<'_> {
        Job {
            library: self.library,
            width: self.width,
            height: self.height,
            configuration: &self.configuration,
            data: &self.data,
            work: self.work,
            // What follows from it, the host has worked out.
            share: 1,
        }
    }
}

fn invalid() -> io::Error {
    io::Error::from(io::ErrorKind::InvalidData)
}

fn number<const N: usize>(from: &mut dyn Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn u32(from: &mut dyn Read) -> io::Result<u32> {
    number(from).map(u32::from_le_bytes)
}

fn u64(from: &mut dyn Read) -> io::Result<u64> {
    number(from).map(u64::from_le_bytes)
}

/// Bytes of a length that was announced; memory is taken as they come.
fn bytes(from: &mut dyn Read, length: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(usize::try_from(length).map_err(|_| invalid())?).map_err(io::Error::other)?;
    if from.take(length).read_to_end(&mut bytes)? as u64 != length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(bytes)
}

pub(crate) fn write_request(to: &mut dyn Write, job: &Job<'_>, milliseconds: u32) -> io::Result<()> {
    let library = match job.library {
        Library::Av1 => 0,
        Library::Hevc => 1,
        Library::JpegXl => 2,
        Library::Svg => 3,
    };
    let mut head = vec![library];
    head.extend(job.width.to_le_bytes());
    head.extend(job.height.to_le_bytes());
    head.extend(job.work.to_le_bytes());
    head.extend(milliseconds.to_le_bytes());
    head.extend((job.configuration.len() as u64).to_le_bytes());
    head.extend((job.data.len() as u64).to_le_bytes());
    to.write_all(&head)?;
    to.write_all(job.configuration)?;
    to.write_all(job.data)
}

/// The next request; `None` once the host has gone.
pub(crate) fn read_request(from: &mut dyn Read) -> io::Result<Option<Request>> {
    let mut first = [0];
    if from.read(&mut first)? == 0 {
        return Ok(None);
    }
    let library = match first[0] {
        0 => Library::Av1,
        1 => Library::Hevc,
        2 => Library::JpegXl,
        3 => Library::Svg,
        _ => return Err(invalid()),
    };
    let (width, height, work, milliseconds) = (u32(from)?, u32(from)?, u64(from)?, u32(from)?);
    let (configuration, data) = (u64(from)?, u64(from)?);
    let (configuration, data) = (bytes(from, configuration)?, bytes(from, data)?);
    Ok(Some(Request { library, width, height, work, milliseconds, configuration, data }))
}

pub(crate) fn write_layout(to: &mut dyn Write, layout: &Layout) -> io::Result<()> {
    let (samples, channels) = match layout.samples {
        Samples::Gray => (0, 1),
        Samples::Planes420 => (1, 3),
        Samples::Planes422 => (2, 3),
        Samples::Planes444 => (3, 3),
        Samples::Interleaved(channels) => (4, channels),
    };
    let mut head = vec![LAYOUT];
    head.extend(layout.width.to_le_bytes());
    head.extend(layout.height.to_le_bytes());
    head.extend([samples, channels, layout.bits, u8::from(layout.code_points.is_some())]);
    head.extend(layout.code_points.unwrap_or_default());
    // A profile that long is none.
    let profile = if layout.profile.len() > MAX_PROFILE as usize { &[][..] } else { &layout.profile };
    head.extend((profile.len() as u32).to_le_bytes());
    to.write_all(&head)?;
    to.write_all(profile)
}

pub(crate) fn write_error(to: &mut dyn Write, error: &Error) -> io::Result<()> {
    let (kind, message) = match error {
        Error::Unsupported(why) => (0, why),
        Error::Malformed(why) => (1, why),
        Error::TooLarge(why) => (2, why),
        Error::Internal(why) => (3, why),
        other => (3, &other.to_string()),
    };
    let end = message.floor_char_boundary(MAX_MESSAGE as usize);
    let mut head = vec![ERROR, kind];
    head.extend((end as u32).to_le_bytes());
    head.extend(&message.as_bytes()[..end]);
    to.write_all(&head)
}

/// The layout of what follows, or the error that is all.
pub(crate) fn read_answer(from: &mut dyn Read) -> io::Result<Result<Layout, Error>> {
    match number(from)? {
        [LAYOUT] => {}
        [ERROR] => {
            let [kind] = number(from)?;
            let length = u32(from)?;
            if length > MAX_MESSAGE {
                return Err(invalid());
            }
            let message = bytes(from, length.into())?;
            // What another process says is printed: nothing but text.
            let message: String =
                String::from_utf8_lossy(&message).chars().filter(|c| !c.is_control()).collect();
            return Ok(Err(match kind {
                0 => Error::Unsupported(message),
                1 => Error::Malformed(message),
                2 => Error::TooLarge(message),
                _ => Error::Internal(message),
            }));
        }
        _ => return Err(invalid()),
    }
    let (width, height) = (u32(from)?, u32(from)?);
    let [samples, channels, bits, has_points] = number(from)?;
    let samples = match samples {
        0 => Samples::Gray,
        1 => Samples::Planes420,
        2 => Samples::Planes422,
        3 => Samples::Planes444,
        4 => Samples::Interleaved(channels),
        _ => return Err(invalid()),
    };
    let points = number(from)?;
    let length = u32(from)?;
    if length > MAX_PROFILE {
        return Err(invalid());
    }
    let profile = bytes(from, length.into())?;
    let code_points = (has_points == 1).then_some(points);
    let layout = Layout { width, height, samples, bits, code_points, profile };
    if layout.is_valid() { Ok(Ok(layout)) } else { Err(invalid()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_answers_come_back_as_they_were() {
        let job = Job {
            library: Library::Hevc,
            width: 7,
            height: 9,
            configuration: b"abc",
            data: b"defgh",
            work: 11,
            share: 1,
        };
        let mut sent = Vec::new();
        write_request(&mut sent, &job, 1234).unwrap();
        let request = read_request(&mut &sent[..]).unwrap().unwrap();
        assert_eq!(request.milliseconds, 1234);
        assert_eq!(format!("{:?}", request.job()), format!("{job:?}"));
        assert!(read_request(&mut &b""[..]).unwrap().is_none());
        assert!(read_request(&mut &sent[..sent.len() - 1]).is_err());

        let layout = Layout {
            width: 3,
            height: 2,
            samples: Samples::Interleaved(2),
            bits: 16,
            code_points: Some([1, 13, 6, 1]),
            profile: b"profile".to_vec(),
        };
        let mut sent = Vec::new();
        write_layout(&mut sent, &layout).unwrap();
        assert_eq!(read_answer(&mut &sent[..]).unwrap().unwrap(), layout);
        for cut in 0..sent.len() {
            assert!(read_answer(&mut &sent[..cut]).is_err());
        }
        for error in
            [Error::Unsupported("u".into()), Error::Malformed("m".into()), Error::TooLarge("t".into())]
        {
            let mut sent = Vec::new();
            write_error(&mut sent, &error).unwrap();
            assert_eq!(read_answer(&mut &sent[..]).unwrap(), Err(error));
        }
    }

    #[test]
    fn impossible_answers_are_refused() {
        let layout = Layout {
            width: 3,
            height: 2,
            samples: Samples::Gray,
            bits: 8,
            code_points: None,
            profile: Vec::new(),
        };
        for wrong in [
            Layout { width: 0, ..layout.clone() },
            Layout { height: u32::MAX, ..layout.clone() },
            Layout { bits: 99, ..layout.clone() },
            Layout { samples: Samples::Interleaved(9), ..layout },
        ] {
            let mut sent = Vec::new();
            write_layout(&mut sent, &wrong).unwrap();
            assert!(read_answer(&mut &sent[..]).is_err(), "{wrong:?}");
        }
        let mut sent = vec![ERROR, 1];
        sent.extend(u32::MAX.to_le_bytes());
        assert!(read_answer(&mut &sent[..]).is_err());
    }
}
