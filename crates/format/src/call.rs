//! Calling functions: arity, argument types, and the functions that look at values rather than text.

use serde_json::Value as Json;

use crate::ast::{Cmd, Expr, Number};
use crate::exec::{Exec, MAX_VALUE, Result_};
use crate::print::{plain, sprint, sprintln};
use crate::value::{Val, type_name};
use crate::{escape, printf};

/// The type of a parameter.
#[derive(Clone, Copy, PartialEq)]
enum Param {
    Any,
    Str,
    Int,
}

impl Param {
    fn name(self) -> &'static str {
        match self {
            Param::Any => "interface {}",
            Param::Str => "string",
            Param::Int => "int",
        }
    }
}

/// Fixed parameters, and whether any number of further ones (of any type) may follow.
fn signature(name: &str) -> Option<(&'static [Param], bool)> {
    use Param::{Any, Int, Str};
    Some(match name {
        "html" | "js" | "print" | "println" | "urlquery" => (&[], true),
        "and" | "call" | "eq" | "index" | "or" | "slice" => (&[Any], true),
        "printf" => (&[Str], true),
        "json" | "len" | "not" => (&[Any], false),
        "ge" | "gt" | "le" | "lt" | "ne" => (&[Any, Any], false),
        "lower" | "title" | "upper" => (&[Str], false),
        "split" => (&[Str, Str], false),
        "join" => (&[Any, Str], false),
        "pad" => (&[Str, Int, Int], false),
        "truncate" => (&[Str, Int], false),
        _ => return None,
    })
}

/// Whether a template may call `name`.
pub(crate) fn is_function(name: &str) -> bool {
    signature(name).is_some()
}

impl<'t, 'd> Exec<'t, 'd> {
    /// Calls function `name`; `last` is the value piped into it, its final argument.
    pub(crate) fn call(
        &mut self,
        dot: &Val<'d>,
        name: &str,
        cmd: Option<&'t Cmd>,
        args: &'t [Expr],
        last: Option<Val<'d>>,
    ) -> Result_<Val<'d>> {
        let Some((fixed, variadic)) = signature(name) else {
            return self.error(format!("{} is not a defined function", crate::quote::quote(name)));
        };
        let count = args.len() + usize::from(last.is_some());
        if variadic && count < fixed.len() {
            let (want, got) = (fixed.len(), args.len());
            return self.error(format!("wrong number of args for {name}: want at least {want} got {got}"));
        }
        if !variadic && count != fixed.len() {
            return self.error(format!("wrong number of args for {name}: want {} got {count}", fixed.len()));
        }
        let param = |i: usize| fixed.get(i).copied().unwrap_or(Param::Any);
        let mut values = Vec::with_capacity(count);
        for (i, arg) in args.iter().enumerate() {
            let value = self.argument(dot, arg, param(i))?;
            if (name == "and" || name == "or") && value.truth() == (name == "or") {
                return Ok(value);
            }
            values.push(value);
        }
        if let Some(last) = last {
            values.push(self.typed(last, param(args.len()))?);
        }
        if self.header && matches!(name, "json" | "lower" | "upper" | "title" | "truncate" | "split" | "join") {
            return Ok(values.swap_remove(0));
        }
        let result = match values.iter().map(Val::weight).sum::<usize>() {
            ..=MAX_VALUE => function(name, values, self.env.typed),
            _ => Err(format!("arguments exceed {MAX_VALUE} bytes")),
        };
        if result.is_err()
            && let Some(cmd) = cmd
        {
            self.at(cmd);
        }
        match result {
            Ok(value) if value.weight() > MAX_VALUE => self.error(format!("result exceeds {MAX_VALUE} bytes")),
            Ok(value) => Ok(value),
            Err(message) => self.error(format!("error calling {name}: {message}")),
        }
    }

    fn argument(&mut self, dot: &Val<'d>, arg: &'t Expr, param: Param) -> Result_<Val<'d>> {
        self.at(arg);
        match (param, arg) {
            (Param::Str | Param::Int, Expr::Nil { .. }) => self.error(format!("cannot assign nil to {}", param.name())),
            (Param::Int, Expr::Number { value: Number::Float(f), .. }) if f.fract() == 0.0 => {
                // An ideal constant: 3.0 is an integer where one is wanted.
                self.typed(Val::own(*f as i64), param)
            }
            (Param::Str, Expr::Bool { .. } | Expr::Number { .. }) => {
                self.error(format!("expected string; found {arg}"))
            }
            (Param::Int, Expr::Bool { .. } | Expr::Str { .. } | Expr::Number { value: Number::Float(_), .. }) => {
                self.error(format!("expected integer; found {arg}"))
            }
            _ => {
                let value = self.operand(dot, arg)?;
                self.typed(value, param)
            }
        }
    }

    fn typed(&self, value: Val<'d>, param: Param) -> Result_<Val<'d>> {
        let fits = match param {
            Param::Any => true,
            Param::Str => value.json().is_string(),
            Param::Int => value.json().is_i64(),
        };
        if fits {
            return Ok(value);
        }
        if value.is_missing() {
            return self.error(format!("invalid value; expected {}", param.name()));
        }
        let got = if value.is_null() { value.type_name() } else { type_name(value.json()) };
        self.error(format!("wrong type for value; expected {}; got {got}", param.name()))
    }
}

fn function<'d>(name: &str, mut args: Vec<Val<'d>>, typed: bool) -> Result<Val<'d>, String> {
    if matches!(name, "html" | "js" | "print" | "println" | "urlquery") {
        args = args.into_iter().map(Val::printable).collect();
    }
    let json: Vec<&Json> = args.iter().map(Val::json).collect();
    let text = |i: usize| json.get(i).and_then(|v| v.as_str()).unwrap_or_default();
    let int = |i: usize| json.get(i).and_then(|v| v.as_i64()).unwrap_or_default();
    let result = match name {
        "and" | "or" => return Ok(args.pop().unwrap_or_else(Val::missing)),
        "index" => return index(&args),
        "slice" => return slice(&args),
        "len" => Val::own(length(args.first(), typed)?),
        "not" => Val::own(!args.first().is_some_and(Val::truth)),
        "eq" | "ne" | "lt" | "le" | "gt" | "ge" => Val::own(crate::compare::compare(name, &json)?),
        "call" => return Err(not_callable(args.first())),
        "print" => Val::own(sprint(&json)),
        "println" => Val::own(sprintln(&json)),
        "printf" => Val::own(printf::sprintf(text(0), json.get(1..).unwrap_or_default())?),
        "html" => Val::own(escape::html(&shown(&json))),
        "js" => Val::own(escape::js(&shown(&json))),
        "urlquery" => Val::own(escape::url_query(&shown(&json))),
        // Structures keep the order of their fields; plain maps have none, and Go sorts them.
        "json" => Val::own(json.first().map(|v| escape::json(v, !typed)).unwrap_or_default()),
        "lower" => Val::own(text(0).to_lowercase()),
        "upper" => Val::own(text(0).to_uppercase()),
        "title" => Val::own(title(text(0))),
        "split" => Val::own(split(text(0), text(1))),
        "join" => Val::own(join(args.first(), text(1))?),
        "pad" => Val::own(pad(text(0), int(1), int(2))?),
        "truncate" => Val::own(truncate(text(0), int(1))?),
        _ => return Err("no such function".into()),
    };
    Ok(result)
}

/// Arguments of the escaping functions as one text.
fn shown(args: &[&Json]) -> String {
    let none = Json::from("<no value>");
    let args: Vec<&Json> = args.iter().map(|a| if a.is_null() { &none } else { *a }).collect();
    sprint(&args)
}

fn not_callable(target: Option<&Val<'_>>) -> String {
    match target {
        Some(value) if !value.is_null() => format!("non-function of type {}", type_name(value.json())),
        _ => "call of nil".into(),
    }
}

/// An index into something of length `len`; the length itself is allowed, as the end of a slice.
fn position(index: &Json, len: usize) -> Result<usize, String> {
    match index {
        Json::Null => Err("cannot index slice/array with nil".into()),
        Json::Number(n) if !n.is_f64() => match n.as_u64().and_then(|x| usize::try_from(x).ok()) {
            Some(x) if x <= len => Ok(x),
            _ => Err(format!("index out of range: {n}")),
        },
        other => Err(format!("cannot index slice/array with type {}", type_name(other))),
    }
}

fn index<'d>(args: &[Val<'d>]) -> Result<Val<'d>, String> {
    let Some((item, indexes)) = args.split_first() else { return Err("index of untyped nil".into()) };
    let mut item = item.clone();
    if item.is_null() && !item.map {
        return Err("index of untyped nil".into());
    }
    for index in indexes.iter().map(Val::json) {
        item = match item.json() {
            Json::Null if !item.map => return Err("index of nil pointer".into()),
            Json::Object(_) | Json::Null => match index {
                Json::String(key) => item.member(key).unwrap_or_else(|| zero_element(&item)),
                Json::Null => return Err("value is nil; should be of type string".into()),
                other => return Err(format!("value has type {}; should be string", type_name(other))),
            },
            Json::Array(list) => {
                let i = position(index, list.len())?;
                item.element(i).ok_or("reflect: slice index out of range")?
            }
            Json::String(text) => {
                let i = position(index, text.len())?;
                Val::own(*text.as_bytes().get(i).ok_or("reflect: string index out of range")?)
            }
            other => return Err(format!("can't index item of type {}", type_name(other))),
        };
    }
    Ok(item)
}

/// What an absent key of a map stands for: the empty string in a map of strings, such as labels.
fn zero_element<'d>(map: &Val<'d>) -> Val<'d> {
    let strings = map.map && map.json().as_object().is_none_or(|o| o.values().all(Json::is_string));
    if strings { Val::own("") } else { Val::missing() }
}

fn slice<'d>(args: &[Val<'d>]) -> Result<Val<'d>, String> {
    let (item, indexes) = match args.split_first() {
        Some((item, indexes)) if !item.is_null() => (item.json(), indexes),
        _ => return Err("slice of untyped nil".into()),
    };
    if indexes.len() > 3 {
        return Err(format!("too many slice indexes: {}", indexes.len()));
    }
    let len = match item {
        Json::String(_) if indexes.len() == 3 => return Err("cannot 3-index slice a string".into()),
        Json::String(text) => text.len(),
        Json::Array(list) => list.len(),
        other => return Err(format!("can't slice item of type {}", type_name(other))),
    };
    let mut bounds = [0, len, len];
    for (bound, index) in bounds.iter_mut().zip(indexes) {
        *bound = position(index.json(), len)?;
    }
    let [from, to, cap] = bounds;
    if from > to {
        return Err(format!("invalid slice index: {from} > {to}"));
    }
    if to > cap {
        return Err(format!("invalid slice index: {to} > {cap}"));
    }
    Ok(match item {
        Json::Array(list) => Val::own(list.get(from..to).unwrap_or_default().to_vec()),
        Json::String(text) => {
            Val::own(String::from_utf8_lossy(text.as_bytes().get(from..to).unwrap_or_default()).into_owned())
        }
        _ => Val::missing(),
    })
}

fn length(item: Option<&Val<'_>>, typed: bool) -> Result<usize, String> {
    let Some(item) = item else { return Err("len of nil pointer".into()) };
    match item.json() {
        Json::Null if item.map || (typed && !item.is_missing()) => Ok(0),
        Json::Null if item.is_missing() => Err("reflect: call of reflect.Value.Type on zero Value".into()),
        Json::Null => Err("len of nil pointer".into()),
        Json::String(s) => Ok(s.len()),
        Json::Array(a) => Ok(a.len()),
        Json::Object(o) => Ok(o.len()),
        other => Err(format!("len of type {}", type_name(other))),
    }
}

/// Go's `strings.Title`: an upper-case letter wherever a word begins.
fn title(text: &str) -> String {
    let mut inside = false;
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if inside {
            out.push(c);
        } else {
            out.extend(c.to_uppercase());
        }
        inside = c.is_alphanumeric() || c == '_' || (!c.is_ascii() && !c.is_whitespace());
    }
    out
}

fn split(text: &str, separator: &str) -> Vec<String> {
    if separator.is_empty() {
        return text.chars().map(String::from).collect();
    }
    text.split(separator).map(str::to_owned).collect()
}

fn join(list: Option<&Val<'_>>, separator: &str) -> Result<String, String> {
    let Some(list) = list else { return Ok(String::new()) };
    let texts: Vec<String> = match list.json() {
        Json::Null => Vec::new(),
        Json::Array(items) => items.iter().map(plain).collect(),
        Json::Object(map) => list.sorted_keys().iter().filter_map(|key| Some(plain(map.get(key)?))).collect(),
        other => return Err(format!("expected slice, got {}", type_name(other))),
    };
    Ok(texts.join(separator))
}

fn pad(text: &str, before: i64, after: i64) -> Result<String, String> {
    if text.is_empty() {
        return Ok(String::new());
    }
    let spaces = |n: i64| match usize::try_from(n) {
        Ok(n) if n <= MAX_VALUE => Ok(" ".repeat(n)),
        Ok(_) => Err("strings: Repeat output length overflow".to_owned()),
        Err(_) => Err("strings: negative Repeat count".to_owned()),
    };
    Ok(spaces(before)? + text + &spaces(after)?)
}

/// The first `length` bytes, but never half a character.
fn truncate(text: &str, length: i64) -> Result<&str, String> {
    let Ok(length) = usize::try_from(length) else {
        return Err(format!("runtime error: slice bounds out of range [:{length}]"));
    };
    Ok(&text[..text.floor_char_boundary(length)])
}
