//! Fields, map entries and methods: what `.A.B` finds in a value.

use crate::ast::Expr;
use crate::exec::{Exec, Result_};
use crate::quote::quote;
use crate::value::{Shown, Val};

impl<'t, 'd> Exec<'t, 'd> {
    /// `.A.B.C args`: only the last name may be a method with arguments.
    pub(crate) fn chain(
        &mut self,
        dot: &Val<'d>,
        mut receiver: Val<'d>,
        node: &'t Expr,
        path: &[String],
        args: &'t [Expr],
        last: Option<Val<'d>>,
    ) -> Result_<Val<'d>> {
        let Some((name, before)) = path.split_last() else { return Ok(receiver) };
        let mut previous = name;
        for name in before {
            receiver = self.something(receiver, previous)?;
            receiver = self.field(dot, &receiver, node, name, &[], None)?;
            previous = name;
        }
        receiver = self.something(receiver, previous)?;
        self.field(dot, &receiver, node, name, args, last)
    }

    /// Refuses what is asked of nothing: Docker then looks into the JSON itself, where the field is not.
    fn something(&mut self, receiver: Val<'d>, name: &str) -> Result_<Val<'d>> {
        match receiver.shown {
            Shown::Nil => self.error(format!("map has no entry for key {}", quote(name))),
            _ => Ok(receiver),
        }
    }

    fn field(
        &mut self,
        dot: &Val<'d>,
        receiver: &Val<'d>,
        node: &'t Expr,
        name: &str,
        args: &'t [Expr],
        last: Option<Val<'d>>,
    ) -> Result_<Val<'d>> {
        if receiver.is_missing() {
            if self.env.strict {
                return self.error(format!("nil data; no entry for key {}", quote(name)));
            }
            return Ok(Val::missing());
        }
        if receiver.is_null() {
            if receiver.map {
                return Ok(Val::missing());
            }
            return self.error(format!("nil pointer evaluating {}.{name}", receiver.type_name()));
        }
        let takes_args = !args.is_empty() || last.is_some();
        if let Some(method) = self.env.methods {
            let mut values = Vec::new();
            for arg in args {
                values.push(self.operand(dot, arg)?.json().clone());
            }
            values.extend(last.map(|v| v.json().clone()));
            if let Some(result) = method(receiver.json(), name, &values) {
                self.at(node);
                return match result {
                    Ok(json) => {
                        let mut value = Val::own(json);
                        value.map = self.env.typed && self.env.maps.contains(&name);
                        Ok(value)
                    }
                    Err(message) => self.error(format!("error calling {name}: {message}")),
                };
            }
            self.at(node);
        }
        if !receiver.json().is_object() {
            return self.error(format!("can't evaluate field {name} in type {}", receiver.type_name()));
        }
        if takes_args {
            return self.error(format!("{name} is not a method but has arguments"));
        }
        self.entry(receiver, name)
    }

    fn entry(&mut self, receiver: &Val<'d>, name: &str) -> Result_<Val<'d>> {
        let known = self.env.typed && !receiver.map;
        let found = receiver.member(name).or_else(|| known.then(|| receiver.initialism(name)).flatten());
        let optional = self.env.optional.iter().find(|(field, _)| known && *field == name).map(|(_, zero)| *zero);
        let value = match (found, optional) {
            (Some(value), Some(zero)) if value.is_null() => return Ok(Val::zero(zero)),
            (Some(value), _) => Some(value),
            (None, zero) => zero.map(Val::zero),
        };
        let Some(mut value) = value else {
            let is_mistake = self.env.strict && !receiver.map;
            if !is_mistake {
                return Ok(Val::missing());
            }
            return self.error(format!("map has no entry for key {}", quote(name)));
        };
        if known {
            value.map = self.env.maps.contains(&name);
            value.shown = match name {
                _ if self.env.durations.contains(&name) => Shown::Duration,
                _ if self.env.times.contains(&name) => Shown::Time,
                _ => value.shown,
            };
        }
        Ok(value)
    }
}
