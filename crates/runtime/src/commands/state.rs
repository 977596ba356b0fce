//! `state`: prints where a container is in its life.

use crate::args::{Globals, Parser, only_id};
use crate::container::Container;
use crate::error::Result;

/// `state`.
pub fn main(globals: &Globals, parser: &mut Parser) -> Result<u8> {
    let container = Container::open(&globals.root, &only_id(parser)?)?;
    super::output_json(&container.state())?;
    Ok(0)
}
