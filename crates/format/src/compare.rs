//! `eq`, `ne`, `lt`, `le`, `gt`, `ge`: what Go's templates compare, and what they refuse to.

use std::cmp::Ordering;

use serde_json::Value as Json;

use crate::print::plain;
use crate::value::type_name;

const BAD_TYPE: &str = "invalid type for comparison";
const BAD_PAIR: &str = "incompatible types for comparison";

#[derive(PartialEq, Clone, Copy)]
enum Kind {
    Other,
    Bool,
    Int,
    Float,
    Str,
}

fn kind(json: &Json) -> Kind {
    match json {
        Json::Bool(_) => Kind::Bool,
        Json::Number(n) if n.is_f64() => Kind::Float,
        Json::Number(_) => Kind::Int,
        Json::String(_) => Kind::Str,
        _ => Kind::Other,
    }
}

/// Runs the comparison `name` on its arguments.
pub(crate) fn compare(name: &str, args: &[&Json]) -> Result<bool, String> {
    let (Some((a, rest)), Some(b)) = (args.split_first(), args.get(1)) else {
        return Err("missing argument for comparison".into());
    };
    match name {
        "eq" => {
            for b in rest {
                if equal(a, b)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        "ne" => Ok(!equal(a, b)?),
        "lt" => Ok(order(a, b)? == Some(Ordering::Less)),
        "le" => Ok(order(a, b)?.is_some_and(Ordering::is_le)),
        // Go defines these two as the negations, which shows with NaN only.
        "gt" => Ok(!order(a, b)?.is_some_and(Ordering::is_le)),
        _ => Ok(order(a, b)? != Some(Ordering::Less)),
    }
}

fn integer(json: &Json) -> i128 {
    match json.as_i64() {
        Some(i) => i128::from(i),
        None => i128::from(json.as_u64().unwrap_or_default()),
    }
}

fn equal(a: &Json, b: &Json) -> Result<bool, String> {
    let kinds = (kind(a), kind(b));
    if kinds.0 != kinds.1 {
        return if a.is_null() || b.is_null() { Ok(false) } else { Err(BAD_PAIR.into()) };
    }
    match kinds.0 {
        Kind::Int => Ok(integer(a) == integer(b)),
        Kind::Float => Ok(a.as_f64() == b.as_f64()),
        Kind::Bool | Kind::Str => Ok(a == b),
        Kind::Other if a.is_null() || b.is_null() => Ok(a.is_null() && b.is_null()),
        Kind::Other if type_name(a) != type_name(b) => {
            let (at, bt) = (type_name(a), type_name(b));
            Err(format!("non-comparable types {}: {at}, {bt}: {}", plain(a), plain(b)))
        }
        Kind::Other => Err(format!("non-comparable type {}: {}", plain(b), type_name(b))),
    }
}

fn order(a: &Json, b: &Json) -> Result<Option<Ordering>, String> {
    match (kind(a), kind(b)) {
        (Kind::Other, _) | (_, Kind::Other) => Err(BAD_TYPE.into()),
        (x, y) if x != y => Err(BAD_PAIR.into()),
        (Kind::Bool, _) => Err(BAD_TYPE.into()),
        (Kind::Int, _) => Ok(Some(integer(a).cmp(&integer(b)))),
        (Kind::Float, _) => Ok(a.as_f64().partial_cmp(&b.as_f64())),
        (Kind::Str, _) => Ok(a.as_str().partial_cmp(&b.as_str())),
    }
}
