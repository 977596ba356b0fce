//! What a copy between two places looks like.

use super::render::{COPY, Phase};
use super::{Display, Style};
use carboy_transport::{self as transport, Event, Observer};

impl Observer for Display {
    fn event(&self, event: Event<'_>) {
        match event {
            Event::Image(number, count, digest) => {
                self.begin(&COPY, &format!("Copying image {digest} ({number}/{count})"));
            }
            Event::Blobs(blobs) => {
                self.words(&COPY);
                self.layers(blobs);
            }
            Event::Blob(number, phase) => match phase {
                transport::Phase::Copying => self.phase(number, Phase::Active, None),
                transport::Phase::Exists => self.phase(number, Phase::Spared("Already exists".to_owned()), None),
                transport::Phase::Done => self.phase(number, Phase::Done, Some("Copied")),
            },
            Event::Bytes(number, bytes) => self.moved(number, bytes),
            Event::Manifest(digest) if self.style() == Style::Plain => self.say(&format!("Writing manifest {digest}")),
            Event::Converted(before, after) => self.say(&format!("Converted manifest {before}: it is {after} now")),
            _ => {}
        }
    }
}
