//! Running a parsed template over data, step by step as Go's `text/template` does, so that its errors say the same.
//!
//! Limits of our own: [`MAX_DEPTH`] and [`MAX_FRAMES`] for the stack, [`MAX_OUTPUT`] and [`MAX_VALUE`] for memory.

use serde_json::Value as Json;

use crate::Env;
use crate::ast::{Branch, Call, Cmd, Expr, Located, Number, Pipe, Stmt};
use crate::parse::{MAX_NESTING, Parsed, location};
use crate::quote::quote;
use crate::value::Val;

/// How deep templates may call each other.
const MAX_DEPTH: usize = 100;
/// Statements and pipelines inside each other, over all templates: what really bounds the stack.
const MAX_FRAMES: usize = MAX_NESTING * 2;
/// Bytes a template may write.
const MAX_OUTPUT: usize = 64 << 20;
/// Bytes that the arguments or the result of one function may have, as far as functions made them.
pub(crate) const MAX_VALUE: usize = 4 << 20;

/// Why a list of statements was left early.
enum Flow {
    Next,
    Break,
    Continue,
}

pub(crate) type Result_<T> = Result<T, String>;

/// The state of one execution.
pub(crate) struct Exec<'t, 'd> {
    text: &'t str,
    parsed: &'t Parsed,
    pub(crate) env: &'t Env<'t>,
    pub(crate) header: bool,
    out: String,
    vars: Vec<(&'t str, Val<'d>)>,
    at: Option<&'t dyn Located>,
    /// The defined template that runs; empty for the top one.
    name: &'t str,
    depth: usize,
    frames: usize,
}

/// Runs the template; the error is Go's message.
///
/// With `header`, functions that change text return it unchanged: the data are the names of a table's columns.
pub(crate) fn execute(text: &str, parsed: &Parsed, env: &Env<'_>, data: &Json, header: bool) -> Result_<String> {
    let dot = Val::borrowed(data);
    let mut exec = Exec {
        text,
        parsed,
        env,
        header,
        out: String::new(),
        vars: vec![("$", dot.clone())],
        at: None,
        name: "",
        depth: 0,
        frames: 0,
    };
    exec.walk(&dot, &parsed.root)?;
    Ok(exec.out)
}

impl<'t, 'd> Exec<'t, 'd> {
    /// An error at the node that was last evaluated.
    pub(crate) fn error<T>(&self, message: impl std::fmt::Display) -> Result_<T> {
        let Some(node) = self.at else { return Err(format!("template: : {message}")) };
        let (place, context) = location(self.text, node);
        Err(format!("template: :{place}: executing {} at <{context}>: {message}", quote(self.name)))
    }

    pub(crate) fn at(&mut self, node: &'t dyn Located) {
        self.at = Some(node);
    }

    fn write(&mut self, text: &str) -> Result_<()> {
        if self.out.len() + text.len() > MAX_OUTPUT {
            return self.error(format!("output exceeds {MAX_OUTPUT} bytes"));
        }
        self.out.push_str(text);
        Ok(())
    }

    fn enter(&mut self) -> Result_<()> {
        self.frames += 1;
        if self.frames > MAX_FRAMES {
            return self.error(format!("nested deeper than {MAX_FRAMES}"));
        }
        Ok(())
    }

    fn walk(&mut self, dot: &Val<'d>, list: &'t [Stmt]) -> Result_<Flow> {
        self.enter()?;
        for stmt in list {
            let flow = match stmt {
                Stmt::Text(text) => self.write(text).map(|()| Flow::Next)?,
                Stmt::Action(pipe) => self.action(dot, pipe).map(|()| Flow::Next)?,
                Stmt::If(branch) => self.branch(dot, branch, false)?,
                Stmt::With(branch) => self.branch(dot, branch, true)?,
                Stmt::Range(branch) => self.range(dot, branch)?,
                Stmt::Call(call) => self.call_template(dot, call).map(|()| Flow::Next)?,
                Stmt::Break => Flow::Break,
                Stmt::Continue => Flow::Continue,
            };
            if !matches!(flow, Flow::Next) {
                self.frames -= 1;
                return Ok(flow);
            }
        }
        self.frames -= 1;
        Ok(Flow::Next)
    }

    fn action(&mut self, dot: &Val<'d>, pipe: &'t Pipe) -> Result_<()> {
        let value = self.pipeline(dot, pipe)?;
        if !pipe.decl.is_empty() {
            return Ok(());
        }
        if value.is_missing() {
            return self.write("<no value>");
        }
        self.write(&value.text())
    }

    fn branch(&mut self, dot: &Val<'d>, branch: &'t Branch, with: bool) -> Result_<Flow> {
        let mark = self.vars.len();
        let value = self.pipeline(dot, &branch.pipe)?;
        let flow = match (value.truth(), &branch.otherwise) {
            (true, _) => self.walk(if with { &value } else { dot }, &branch.list)?,
            (false, Some(list)) => self.walk(dot, list)?,
            (false, None) => Flow::Next,
        };
        self.vars.truncate(mark);
        Ok(flow)
    }

    fn range(&mut self, dot: &Val<'d>, branch: &'t Branch) -> Result_<Flow> {
        let outer = self.vars.len();
        let value = self.pipeline(dot, &branch.pipe)?;
        let mark = self.vars.len();
        let mut rounds: Vec<(Val<'d>, Val<'d>)> = Vec::new();
        match value.json() {
            Json::Null => {}
            Json::Array(list) => {
                rounds.extend((0..list.len()).filter_map(|i| Some((Val::own(i), value.element(i)?))));
            }
            Json::Object(_) => rounds.extend(value.sorted_keys().into_iter().filter_map(|key| {
                let element = value.member(&key)?;
                Some((Val::own(key), element))
            })),
            other => return self.error(format!("range can't iterate over {}", crate::print::plain(other))),
        }
        if rounds.is_empty() {
            let flow = branch.otherwise.as_deref().map_or(Ok(Flow::Next), |list| self.walk(dot, list))?;
            self.vars.truncate(outer);
            return Ok(flow);
        }
        for (index, element) in rounds {
            self.bind(&branch.pipe, index, &element, mark)?;
            let flow = self.walk(&element, &branch.list)?;
            self.vars.truncate(mark);
            if matches!(flow, Flow::Break) {
                break;
            }
        }
        self.vars.truncate(outer);
        Ok(Flow::Next)
    }

    /// Gives the variables of a `range` the values of one round; the last variable is the element.
    fn bind(&mut self, pipe: &'t Pipe, index: Val<'d>, element: &Val<'d>, mark: usize) -> Result_<()> {
        let values = if pipe.decl.len() > 1 { vec![index, element.clone()] } else { vec![element.clone()] };
        for (i, (name, value)) in pipe.decl.iter().zip(values).enumerate() {
            if pipe.assign {
                self.set_var(name, value)?;
            } else if let Some(slot) = self.vars.get_mut(mark - pipe.decl.len() + i) {
                slot.1 = value;
            }
        }
        Ok(())
    }

    fn set_var(&mut self, name: &str, value: Val<'d>) -> Result_<()> {
        match self.vars.iter_mut().rev().find(|(n, _)| *n == name) {
            Some(slot) => slot.1 = value,
            None => return self.error(format!("undefined variable: {name}")),
        }
        Ok(())
    }

    fn call_template(&mut self, dot: &Val<'d>, call: &'t Call) -> Result_<()> {
        self.at(call);
        let parsed = self.parsed;
        let Some((name, list)) = parsed.defined.get_key_value(&call.name) else {
            return self.error(format!("template {} not defined", quote(&call.name)));
        };
        if self.depth == MAX_DEPTH {
            return self.error(format!("exceeded maximum template depth ({MAX_DEPTH})"));
        }
        let dot = match &call.pipe {
            Some(pipe) => self.pipeline(dot, pipe)?,
            None => Val::missing(),
        };
        let vars = std::mem::replace(&mut self.vars, vec![("$", dot.clone())]);
        let outer = std::mem::replace(&mut self.name, name);
        self.depth += 1;
        self.walk(&dot, list)?;
        self.depth -= 1;
        self.name = outer;
        self.vars = vars;
        Ok(())
    }

    pub(crate) fn pipeline(&mut self, dot: &Val<'d>, pipe: &'t Pipe) -> Result_<Val<'d>> {
        self.enter()?;
        self.at(pipe);
        let mut value = None;
        for cmd in &pipe.cmds {
            value = Some(self.command(dot, cmd, value)?.unboxed());
        }
        self.frames -= 1;
        let value = value.unwrap_or_else(Val::missing);
        for name in &pipe.decl {
            if pipe.assign {
                self.set_var(name, value.clone())?;
            } else {
                self.vars.push((name, value.clone()));
            }
        }
        Ok(value)
    }

    /// One command; `last` is what the command before it in the pipeline produced: its final argument.
    fn command(&mut self, dot: &Val<'d>, cmd: &'t Cmd, last: Option<Val<'d>>) -> Result_<Val<'d>> {
        let Some((first, args)) = cmd.args.split_first() else { return self.error("empty command") };
        match first {
            Expr::Field { path, .. } => {
                self.at(first);
                self.chain(dot, dot.clone(), first, path, args, last)
            }
            Expr::Chain { base, path, .. } => {
                let base = self.chain_base(dot, first, base)?;
                self.chain(dot, base, first, path, args, last)
            }
            Expr::Ident { name, .. } => {
                self.at(first);
                self.call(dot, name, Some(cmd), args, last)
            }
            Expr::Variable { path, .. } => {
                self.at(first);
                let value = self.var(path)?;
                if path.len() == 1 {
                    self.not_a_function(first, args, last.as_ref())?;
                    return Ok(value);
                }
                self.chain(dot, value, first, &path[1..], args, last)
            }
            Expr::Pipe(pipe) => {
                self.not_a_function(first, args, last.as_ref())?;
                self.pipeline(dot, pipe)
            }
            _ => {
                self.at(first);
                self.not_a_function(first, args, last.as_ref())?;
                match first {
                    Expr::Nil { .. } => self.error("nil is not a command"),
                    _ => self.operand(dot, first),
                }
            }
        }
    }

    fn not_a_function(&self, first: &Expr, args: &[Expr], last: Option<&Val<'d>>) -> Result_<()> {
        if args.is_empty() && last.is_none() {
            return Ok(());
        }
        self.error(format!("can't give argument to non-function {first}"))
    }

    fn var(&self, path: &[String]) -> Result_<Val<'d>> {
        let name = path.first().map_or("", String::as_str);
        match self.vars.iter().rev().find(|(n, _)| *n == name) {
            Some((_, value)) => Ok(value.clone()),
            None => self.error(format!("undefined variable: {name}")),
        }
    }

    fn chain_base(&mut self, dot: &Val<'d>, node: &'t Expr, base: &'t Expr) -> Result_<Val<'d>> {
        self.at(node);
        if matches!(base, Expr::Nil { .. }) {
            return self.error(format!("indirection through explicit nil in {node}"));
        }
        self.operand(dot, base)
    }

    /// An operand where any type will do.
    pub(crate) fn operand(&mut self, dot: &Val<'d>, expr: &'t Expr) -> Result_<Val<'d>> {
        self.at(expr);
        match expr {
            Expr::Bool { value, .. } => Ok(Val::own(*value)),
            Expr::Nil { .. } => Ok(Val::missing()),
            Expr::Dot { .. } => Ok(dot.clone()),
            Expr::Number { value: Number::Int(i), .. } => Ok(Val::own(*i)),
            Expr::Number { value: Number::Float(f), .. } => Ok(Val::own(*f)),
            Expr::Number { text, .. } => self.error(format!("{text} overflows int")),
            Expr::Str { text, .. } => Ok(Val::own(text.as_str())),
            Expr::Field { path, .. } => self.chain(dot, dot.clone(), expr, path, &[], None),
            Expr::Variable { path, .. } => {
                let value = self.var(path)?;
                if path.len() == 1 {
                    return Ok(value);
                }
                self.chain(dot, value, expr, &path[1..], &[], None)
            }
            Expr::Ident { name, .. } => self.call(dot, name, None, &[], None),
            Expr::Chain { base, path, .. } => {
                let base = self.chain_base(dot, expr, base)?;
                self.chain(dot, base, expr, path, &[], None)
            }
            Expr::Pipe(pipe) => self.pipeline(dot, pipe),
        }
    }
}
