//! `pause` and `resume`: freeze and thaw a container.

use crate::args::{Globals, Parser, only_id};
use crate::container::Container;
use crate::error::{Error, Result};
use carboy_oci::state::Status;

/// `pause`, or `resume`.
pub fn main(globals: &Globals, parser: &mut Parser, pause: bool) -> Result<u8> {
    let container = Container::open(&globals.root, &only_id(parser)?)?;
    match (container.status(), pause) {
        (Status::Running | Status::Created, true) => container.record.cgroup.freeze()?,
        (Status::Paused, false) => container.record.cgroup.thaw()?,
        (_, true) => return Err(Error::State("container not running or created".into())),
        (_, false) => return Err(Error::State("container not paused".into())),
    }
    Ok(0)
}
