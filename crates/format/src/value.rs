//! Values while a template runs: borrowed from the data or made by a function, and what Go would call their types.

use std::rc::Rc;

use serde_json::Value as Json;

static NULL: Json = Json::Null;

#[derive(Debug, Clone)]
enum Data<'d> {
    /// No value at all: what a missing key gives.
    Missing,
    Ref(&'d Json),
    Own(Rc<Json>),
}

/// A value in flight.
#[derive(Debug, Clone)]
pub(crate) struct Val<'d> {
    data: Data<'d>,
    /// It came out of a map or list and was not yet the result of a pipeline: Go then knows it only as `interface {}`.
    boxed: bool,
    /// It is a real map, such as labels, rather than an object with known fields.
    pub(crate) map: bool,
}

impl<'d> Val<'d> {
    pub(crate) fn missing() -> Self {
        Val { data: Data::Missing, boxed: false, map: false }
    }

    pub(crate) fn borrowed(json: &'d Json) -> Self {
        Val { data: Data::Ref(json), boxed: false, map: false }
    }

    pub(crate) fn own(json: impl Into<Json>) -> Self {
        Val { data: Data::Own(Rc::new(json.into())), boxed: false, map: false }
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

    /// The value once a pipeline has produced it: a null becomes no value.
    pub(crate) fn unboxed(mut self) -> Self {
        if self.boxed && self.is_null() && !self.map {
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
        Some(Val { data, boxed: true, map: false })
    }

    pub(crate) fn member(&self, key: &str) -> Option<Self> {
        self.part(|json| json.as_object()?.get(key))
    }

    pub(crate) fn element(&self, index: usize) -> Option<Self> {
        self.part(|json| json.as_array()?.get(index))
    }

    /// A field by the name Go gives it, where the JSON name differs only in its initialisms (`ID` and `Id`, `CPUShares` and
    /// `CpuShares`).
    pub(crate) fn initialism(&self, name: &str) -> Option<Self> {
        if !name.starts_with(|c: char| c.is_ascii_uppercase()) {
            return None;
        }
        let key = self
            .json()
            .as_object()?
            .keys()
            .find(|key| key.eq_ignore_ascii_case(name) && key.starts_with(|c: char| c.is_ascii_uppercase()))?;
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
