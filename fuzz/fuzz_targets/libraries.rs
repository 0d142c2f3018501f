//! The decoders of other projects, one job each: an image of the size asked for, or an error.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tintype_engine::Error;
use tintype_engine::foreign::{Job, Layout, Library, Output, Resources, decode};

struct Checked {
    layout: Option<Layout>,
    stripes: u32,
}

impl Output for Checked {
    fn begin(&mut self, layout: &Layout) -> Result<(), Error> {
        assert!(layout.is_valid());
        self.layout = Some(layout.clone());
        Ok(())
    }

    fn stripe(&mut self, stripe: &[u8]) -> Result<(), Error> {
        assert_eq!(stripe.len(), self.layout.as_ref().unwrap().stripe_bytes());
        self.stripes += 1;
        Ok(())
    }
}

fuzz_target!(|bytes: &[u8]| {
    let [choice, width, height, rest @ ..] = bytes else { return };
    let library = [Library::Av1, Library::Hevc, Library::JpegXl, Library::Svg][usize::from(choice & 3)];
    let length = rest.first().copied().map_or(0, usize::from).min(rest.len());
    let (configuration, data) = if library == Library::Hevc { rest.split_at(length) } else { (&[][..], rest) };
    let (width, height) = (u32::from(*width) + 1, u32::from(*height) + 1);
    let job = Job { library, width, height, configuration, data, work: 0, share: 1 };
    let mut output = Checked { layout: None, stripes: 0 };
    if decode(&job, &Resources::default(), &mut output).is_ok() {
        assert_eq!(output.stripes, output.layout.unwrap().stripes());
    }
});
