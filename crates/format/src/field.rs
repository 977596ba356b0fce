//! Fields, map entries and methods: what `.A.B` finds in a value.

use crate::ast::Expr;
use crate::exec::{Exec, Result_};
use crate::quote::quote;
use crate::value::Val;

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
        for name in before {
            receiver = self.field(dot, &receiver, node, name, &[], None)?;
        }
        self.field(dot, &receiver, node, name, args, last)
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
                    Ok(json) => Ok(Val::own(json)),
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
        let found = receiver.member(name).or_else(|| {
            let named = self.env.typed && !receiver.map;
            named.then(|| receiver.initialism(name)).flatten()
        });
        match found {
            Some(mut value) => {
                value.map = self.env.typed && self.env.maps.contains(&name);
                Ok(value)
            }
            None if self.env.strict && !receiver.map => self.error(format!("map has no entry for key {}", quote(name))),
            None => Ok(Val::missing()),
        }
    }
}
