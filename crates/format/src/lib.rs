//! Docker's `--format`: Go templates over JSON, the tables of the commands, and sizes and times for people.
//!
//! Owns the language of Go's `text/template` with Docker's functions ([`Template`]), Docker's way of choosing between a
//! table, JSON and a template ([`Listing`]), and the wording of its columns ([`units`]). Refuses to know what is listed: data
//! comes as [`serde_json::Value`], and nothing here reads a file, a clock or the terminal. Templates come from users of
//! servers too: none may panic, exhaust the stack or write without bound.

#![forbid(unsafe_code)]

mod ast;
mod call;
mod compare;
mod escape;
mod exec;
mod field;
mod lex;
mod listing;
mod number;
mod operand;
mod parse;
mod print;
mod printf;
mod quote;
mod table;
mod template;
pub mod units;
mod value;

pub use listing::{Column, Listing};
pub use table::{Table, align, width};
pub use template::{DOCKER_DURATIONS, DOCKER_MAPS, DOCKER_OPTIONAL, DOCKER_TIMES, Env, Error, Method, Template, Zero};
