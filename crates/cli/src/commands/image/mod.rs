//! Commands on the images of the store.

mod filter;
mod history;
mod import;
mod list;
mod load;
mod look;
mod names;
mod object;
mod pattern;
mod tree;

pub(super) use history::history;
pub(super) use import::import;
pub(super) use list::{created_ns, images};
pub(super) use load::load;
pub(super) use look::{diff, mount, unmount};
pub(super) use names::{exists, rmi, tag, untag};
pub(super) use object::image_json;
pub(super) use tree::tree;
