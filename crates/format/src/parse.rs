//! Tokens to a template, by the grammar of Go's `text/template/parse` and with its error messages.
//!
//! Nesting (of parentheses and of control structures together) is limited to [`MAX_NESTING`], so that neither parsing nor
//! dropping nor executing a hostile template can exhaust the stack.

use std::collections::BTreeMap;

use crate::ast::{Branch, Call, Located, Stmt};
use crate::lex::{Kind, Token, tokens};
use crate::quote::{quote, unquote};

/// How deep parentheses and control structures may nest, together.
pub(crate) const MAX_NESTING: usize = 150;

/// A parsed text: the unnamed template and the ones it defines.
#[derive(Debug, Clone, Default)]
pub(crate) struct Parsed {
    pub(crate) root: Vec<Stmt>,
    pub(crate) defined: BTreeMap<String, Vec<Stmt>>,
}

/// Parses `text`; the error is Go's message, `template: :LINE: …`.
pub(crate) fn parse(text: &str) -> Result<Parsed, String> {
    let mut parser = Parser {
        tokens: tokens(text),
        at: 0,
        seen: 0,
        action_line: 0,
        vars: vec!["$".into()],
        ranges: 0,
        nesting: 0,
        parsed: Parsed::default(),
    };
    match parser.top() {
        Ok(()) => Ok(parser.parsed),
        Err(message) => Err(format!("template: :{}: {message}", parser.line())),
    }
}

pub(crate) type Result_<T> = Result<T, String>;

/// How a list of statements ended.
#[derive(PartialEq)]
enum Terminator {
    End,
    /// `{{else}}`, or `{{else` with an `if` or `with` still to be read.
    Else,
}

impl Terminator {
    fn text(&self) -> &'static str {
        if *self == Terminator::End { "{{end}}" } else { "{{else}}" }
    }
}

enum Item {
    Stmt(Stmt),
    Terminator(Terminator),
}

/// The tokens, and what was declared so far.
pub(crate) struct Parser {
    tokens: Vec<Token>,
    pub(crate) at: usize,
    /// The furthest token looked at: where an error is reported.
    seen: usize,
    action_line: usize,
    pub(crate) vars: Vec<String>,
    ranges: usize,
    pub(crate) nesting: usize,
    parsed: Parsed,
}

impl Parser {
    fn line(&self) -> usize {
        self.tokens.get(self.seen).map_or(1, |t| t.line)
    }

    /// The last token repeats for ever: it is the end or an error.
    pub(crate) fn peek(&mut self) -> Token {
        let at = self.at.min(self.tokens.len() - 1);
        self.seen = at;
        self.tokens[at].clone()
    }

    pub(crate) fn next(&mut self) -> Token {
        let token = self.peek();
        self.at += 1;
        token
    }

    pub(crate) fn peek_non_space(&mut self) -> Token {
        while self.peek().kind == Kind::Space {
            self.at += 1;
        }
        self.peek()
    }

    pub(crate) fn next_non_space(&mut self) -> Token {
        let token = self.peek_non_space();
        self.at += 1;
        token
    }

    fn expect(&mut self, kind: Kind, context: &str) -> Result_<Token> {
        let token = self.next_non_space();
        if token.kind == kind { Ok(token) } else { Err(self.unexpected(&token, context)) }
    }

    pub(crate) fn unexpected(&self, token: &Token, context: &str) -> String {
        if token.kind != Kind::Error {
            return format!("unexpected {token} in {context}");
        }
        let mut extra = String::new();
        if self.action_line != 0 && self.action_line != token.line {
            let action = if token.text.ends_with(" action") { "" } else { " in action" };
            extra = format!("{action} started at :{}", self.action_line);
        }
        format!("{token}{extra}")
    }

    pub(crate) fn deeper(&mut self) -> Result_<()> {
        self.nesting += 1;
        if self.nesting > MAX_NESTING { Err(format!("nested deeper than {MAX_NESTING}")) } else { Ok(()) }
    }

    fn top(&mut self) -> Result_<()> {
        let mut root = Vec::new();
        while self.peek().kind != Kind::Eof {
            if self.peek().kind == Kind::LeftDelim {
                let before = self.at;
                self.at += 1;
                if self.next_non_space().kind == Kind::Define {
                    self.define()?;
                    continue;
                }
                self.at = before;
            }
            match self.text_or_action()? {
                Item::Stmt(stmt) => root.push(stmt),
                Item::Terminator(end) => return Err(format!("unexpected {}", end.text())),
            }
        }
        self.parsed.root = root;
        Ok(())
    }

    /// `{{define "name"}} … {{end}}`, of which `define` was read.
    fn define(&mut self) -> Result_<()> {
        let context = "define clause";
        let token = self.next_non_space();
        let name = self.template_name(&token, context)?;
        self.expect(Kind::RightDelim, context)?;
        self.body(name, context)
    }

    /// The list that a definition or a block names, with variables and ranges of its own.
    fn body(&mut self, name: String, context: &str) -> Result_<()> {
        let vars = std::mem::replace(&mut self.vars, vec!["$".into()]);
        let ranges = std::mem::take(&mut self.ranges);
        self.deeper()?;
        let (list, end) = self.items()?;
        self.nesting -= 1;
        self.vars = vars;
        self.ranges = ranges;
        if end != Terminator::End {
            return Err(format!("unexpected {} in {context}", end.text()));
        }
        let blank = |list: &[Stmt]| list.iter().all(|s| matches!(s, Stmt::Text(t) if t.trim().is_empty()));
        match self.parsed.defined.get(&name) {
            Some(old) if !blank(old) && !blank(&list) => {
                return Err(format!("template: multiple definition of template {}", quote(&name)));
            }
            Some(old) if !blank(old) => {}
            _ => {
                self.parsed.defined.insert(name, list);
            }
        }
        Ok(())
    }

    fn template_name(&mut self, token: &Token, context: &str) -> Result_<String> {
        match token.kind {
            Kind::Str | Kind::RawStr => unquote(&token.text).ok_or_else(|| "invalid syntax".into()),
            _ => Err(self.unexpected(token, context)),
        }
    }

    /// Statements up to `{{end}}` or `{{else}}`.
    fn items(&mut self) -> Result_<(Vec<Stmt>, Terminator)> {
        let mut list = Vec::new();
        while self.peek_non_space().kind != Kind::Eof {
            match self.text_or_action()? {
                Item::Stmt(stmt) => list.push(stmt),
                Item::Terminator(end) => return Ok((list, end)),
            }
        }
        Err("unexpected EOF".into())
    }

    fn text_or_action(&mut self) -> Result_<Item> {
        let token = self.next_non_space();
        match token.kind {
            Kind::Text => Ok(Item::Stmt(Stmt::Text(token.text))),
            Kind::LeftDelim => {
                self.action_line = token.line;
                let item = self.action();
                if item.is_ok() {
                    self.action_line = 0;
                }
                item
            }
            _ => Err(self.unexpected(&token, "input")),
        }
    }

    fn action(&mut self) -> Result_<Item> {
        let token = self.peek_non_space();
        self.at += 1;
        let stmt = match token.kind {
            Kind::Block => self.block()?,
            Kind::Template => self.call()?,
            Kind::Break | Kind::Continue => self.jump(token.kind)?,
            Kind::If => Stmt::If(self.control("if")?),
            Kind::With => Stmt::With(self.control("with")?),
            Kind::Range => Stmt::Range(self.control("range")?),
            Kind::End => {
                self.expect(Kind::RightDelim, "end")?;
                return Ok(Item::Terminator(Terminator::End));
            }
            Kind::Else => {
                if !matches!(self.peek_non_space().kind, Kind::If | Kind::With) {
                    self.expect(Kind::RightDelim, "else")?;
                }
                return Ok(Item::Terminator(Terminator::Else));
            }
            _ => {
                self.at -= 1;
                Stmt::Action(self.pipeline("command", Kind::RightDelim)?)
            }
        };
        Ok(Item::Stmt(stmt))
    }

    fn jump(&mut self, kind: Kind) -> Result_<Stmt> {
        let name = if kind == Kind::Break { "{{break}}" } else { "{{continue}}" };
        self.expect(Kind::RightDelim, name)?;
        if self.ranges == 0 {
            return Err(format!("{name} outside {{{{range}}}}"));
        }
        Ok(if kind == Kind::Break { Stmt::Break } else { Stmt::Continue })
    }

    fn block(&mut self) -> Result_<Stmt> {
        let context = "block clause";
        let token = self.next_non_space();
        let name = self.template_name(&token, context)?;
        let pipe = self.pipeline(context, Kind::RightDelim)?;
        self.body(name.clone(), context)?;
        Ok(Stmt::Call(Call { pos: token.pos, name, pipe: Some(pipe) }))
    }

    fn call(&mut self) -> Result_<Stmt> {
        let context = "template clause";
        let token = self.next_non_space();
        let name = self.template_name(&token, context)?;
        let pipe = if self.peek_non_space().kind == Kind::RightDelim {
            self.at += 1;
            None
        } else {
            Some(self.pipeline(context, Kind::RightDelim)?)
        };
        Ok(Stmt::Call(Call { pos: token.pos, name, pipe }))
    }

    /// What follows `if`, `with` or `range`, up to its `{{end}}`.
    fn control(&mut self, context: &str) -> Result_<Branch> {
        self.deeper()?;
        let vars = self.vars.len();
        let pipe = self.pipeline(context, Kind::RightDelim)?;
        let is_range = usize::from(context == "range");
        self.ranges += is_range;
        let (list, end) = self.items()?;
        self.ranges -= is_range;
        let mut otherwise = None;
        if end == Terminator::Else {
            otherwise = Some(self.otherwise(context)?);
        }
        self.vars.truncate(vars);
        self.nesting -= 1;
        Ok(Branch { pipe, list, otherwise })
    }

    /// What follows `{{else`: `{{else if}}` shares the `{{end}}` of the `if` it hangs on.
    fn otherwise(&mut self, context: &str) -> Result_<Vec<Stmt>> {
        let token = self.peek_non_space();
        match (context, token.kind) {
            ("if", Kind::If) => {
                self.at += 1;
                return Ok(vec![Stmt::If(self.control("if")?)]);
            }
            ("with", Kind::With) => {
                self.at += 1;
                return Ok(vec![Stmt::With(self.control("with")?)]);
            }
            (_, Kind::If) => return Err(self.unexpected(&token, "input")),
            (_, Kind::With) => return Err(self.unexpected(&token, "else")),
            _ => {}
        }
        match self.items()? {
            (list, Terminator::End) => Ok(list),
            (_, end) => Err(format!("expected end; found {}", end.text())),
        }
    }
}

/// Where `node` is in `text`, as `LINE:COLUMN` with the column a byte offset from 0, and its source.
pub(crate) fn location(text: &str, node: &dyn Located) -> (String, String) {
    let before = text.get(..node.pos()).unwrap_or(text);
    let column = before.len() - before.rfind('\n').map_or(0, |i| i + 1);
    (format!("{}:{column}", 1 + before.matches('\n').count()), node.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nesting_is_limited() {
        let deep = |n: usize| format!("{{{{{}1{}}}}}", "(".repeat(n), ")".repeat(n));
        assert!(parse(&deep(MAX_NESTING - 1)).is_ok());
        assert!(parse(&deep(100_000)).unwrap_err().ends_with("nested deeper than 150"));
        assert!(parse(&"{{if 1}}".repeat(100_000)).unwrap_err().ends_with("nested deeper than 150"));
        assert!(parse(&format!("{{{{if 1}}}}{}", "{{else if 1}}".repeat(100_000))).is_err());
    }
}
