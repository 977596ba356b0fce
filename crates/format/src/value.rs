//! Values while a template runs: borrowed from the data or made by a function, and what Go would call their types.

use std::rc::Rc;

use serde_json::Value as Json;

use crate::Zero;

static NULL: Json = Json::Null;

#[derive(Debug, Clone)]
enum Data<'d> {
    /// No value at all: what a missing key gives.
    Missing,
    Ref(&'d Json),
    Own(Rc<Json>),
}

/// What Go's type of a value makes of it in print, where that is not what its JSON says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shown {
    /// As the JSON.
    Plain,
    /// A number of nanoseconds that is shown as `1m30s`.
    Duration,
    /// RFC 3339 that is shown as `2026-01-02 03:04:05 +0000 UTC`.
    Time,
    /// Null that is a list, shown as `[]`.
    List,
    /// Null that is a pointer, shown as `<nil>`.
    Nil,
}

/// A value in flight.
#[derive(Debug, Clone)]
pub(crate) struct Val<'d> {
    data: Data<'d>,
    /// It came out of a map or list and was not yet the result of a pipeline: Go then knows it only as `interface {}`.
    boxed: bool,
    /// It is a real map, such as labels, rather than an object with known fields.
    pub(crate) map: bool,
    pub(crate) shown: Shown,
}

impl<'d> Val<'d> {
    pub(crate) fn missing() -> Self {
        Val { data: Data::Missing, boxed: false, map: false, shown: Shown::Plain }
    }

    pub(crate) fn borrowed(json: &'d Json) -> Self {
        Val { data: Data::Ref(json), boxed: false, map: false, shown: Shown::Plain }
    }

    pub(crate) fn own(json: impl Into<Json>) -> Self {
        Val { data: Data::Own(Rc::new(json.into())), boxed: false, map: false, shown: Shown::Plain }
    }

    /// What a field is that its JSON leaves out.
    pub(crate) fn zero(zero: Zero) -> Self {
        let json = match zero {
            Zero::Nil | Zero::List | Zero::Map => Json::Null,
            Zero::Text => Json::from(""),
            Zero::False => Json::from(false),
            Zero::Number => Json::from(0),
        };
        let shown = match zero {
            Zero::Nil => Shown::Nil,
            Zero::List => Shown::List,
            _ => Shown::Plain,
        };
        Val { map: zero == Zero::Map, shown, ..Val::own(json) }
    }

    pub(crate) fn is_missing(&self) -> bool {
        matches!(self.data, Data::Missing)
    }

    /// Missing is null to whoever looks inside.
    pub(crate) fn json(&self) -> &Json {
        match &self.data {
            Data::Missing => &NULL,
            Data::Ref(json) => json,
            Data::Own(json) => json,
        }
    }

    /// Bytes that functions made for this value, roughly; nothing for what was in the data.
    pub(crate) fn weight(&self) -> usize {
        match &self.data {
            Data::Own(json) => weight(json),
            _ => 0,
        }
    }

    pub(crate) fn is_null(&self) -> bool {
        self.json().is_null()
    }

    /// As `fmt.Print` shows it.
    pub(crate) fn text(&self) -> String {
        match (self.shown, self.json()) {
            (Shown::Duration, Json::Number(n)) if n.is_i64() => crate::units::go_duration(n.as_i64().unwrap_or(0)),
            (Shown::Time, Json::String(text)) => crate::units::go_time(text).unwrap_or_else(|| text.clone()),
            // The elements of Go's sets are empty structures, not maps.
            (_, Json::Object(members)) if self.map && members.values().any(is_empty_object) => set(members),
            (Shown::List, Json::Null) => "[]".to_owned(),
            (_, Json::Null) if self.map => "map[]".to_owned(),
            (_, json) => crate::print::plain(json),
        }
    }

    /// A value that functions print like any other: a duration becomes its text.
    pub(crate) fn printable(self) -> Self {
        if self.shown == Shown::Plain { self } else { Val::own(self.text()) }
    }

    /// The value once a pipeline has produced it: a null becomes no value.
    pub(crate) fn unboxed(mut self) -> Self {
        if self.boxed && self.is_null() && !self.map && self.shown == Shown::Plain {
            return Val::missing();
        }
        self.boxed = false;
        self
    }

    /// The member `key` of an object, or the element `index` of a list, as Go would hand it out.
    fn part(&self, pick: impl Fn(&Json) -> Option<&Json>) -> Option<Self> {
        let data = match &self.data {
            Data::Missing => return None,
            Data::Ref(json) => Data::Ref(pick(json)?),
            Data::Own(json) => Data::Own(Rc::new(pick(json)?.clone())),
        };
        Some(Val { data, boxed: true, map: false, shown: Shown::Plain })
    }

    pub(crate) fn member(&self, key: &str) -> Option<Self> {
        self.part(|json| json.as_object()?.get(key))
    }

    pub(crate) fn element(&self, index: usize) -> Option<Self> {
        self.part(|json| json.as_array()?.get(index))
    }

    /// A field by the name Go gives it, where the JSON name differs in its initialisms (`ID` and `Id`, `CPUShares` and `CpuShares`), or
    /// is written in small letters, as in the OCI's data (`CreatedBy` and `created_by`, `OSVersion` and `os.version`).
    pub(crate) fn initialism(&self, name: &str) -> Option<Self> {
        if !name.starts_with(|c: char| c.is_ascii_uppercase()) {
            return None;
        }
        let same = |key: &str| {
            let letters = key.bytes().filter(|byte| !matches!(byte, b'_' | b'.'));
            letters.map(|byte| byte.to_ascii_lowercase()).eq(name.bytes().map(|byte| byte.to_ascii_lowercase()))
        };
        let key = self.json().as_object()?.keys().find(|key| same(key))?;
        self.member(key)
    }

    /// Keys in the order in which Go walks a map.
    pub(crate) fn sorted_keys(&self) -> Vec<String> {
        let mut keys: Vec<String> = self.json().as_object().map(|o| o.keys().cloned().collect()).unwrap_or_default();
        keys.sort_unstable();
        keys
    }

    /// Go's `isTrue`: not zero, not empty, not null.
    pub(crate) fn truth(&self) -> bool {
        match self.json() {
            Json::Null => false,
            Json::Bool(b) => *b,
            Json::Number(n) => n.as_f64() != Some(0.0),
            Json::String(s) => !s.is_empty(),
            Json::Array(a) => !a.is_empty(),
            Json::Object(o) => !o.is_empty(),
        }
    }

    /// The type as Go's errors name it.
    pub(crate) fn type_name(&self) -> &'static str {
        if self.boxed { "interface {}" } else { type_name(self.json()) }
    }
}

fn is_empty_object(json: &Json) -> bool {
    json.as_object().is_some_and(serde_json::Map::is_empty)
}

fn set(members: &serde_json::Map<String, Json>) -> String {
    let mut sorted: Vec<_> = members.iter().collect();
    sorted.sort_unstable_by(|a, b| a.0.cmp(b.0));
    let shown = |item: &Json| if is_empty_object(item) { "{}".to_owned() } else { crate::print::plain(item) };
    let pairs: Vec<String> = sorted.into_iter().map(|(key, item)| format!("{key}:{}", shown(item))).collect();
    format!("map[{}]", pairs.join(" "))
}

fn weight(json: &Json) -> usize {
    match json {
        Json::String(text) => text.len(),
        Json::Array(items) => items.iter().map(weight).sum::<usize>() + items.len(),
        Json::Object(members) => members.iter().map(|(key, value)| key.len() + weight(value)).sum(),
        _ => 1,
    }
}

/// The Go type of what `encoding/json` makes of a value, with integers as `int`.
pub(crate) fn type_name(json: &Json) -> &'static str {
    match json {
        Json::Null => "<nil>",
        Json::Bool(_) => "bool",
        Json::Number(n) if n.is_i64() => "int",
        Json::Number(n) if n.is_u64() => "uint64",
        Json::Number(_) => "float64",
        Json::String(_) => "string",
        Json::Array(_) => "[]interface {}",
        Json::Object(_) => "map[string]interface {}",
    }
}
