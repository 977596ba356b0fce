//! Tokens to a template, by the grammar of Go's `text/template/parse` and with its error messages.
//!
//! Nesting (of parentheses and of control structures together) is limited to [`MAX_NESTING`], so that neither parsing nor
//! dropping nor executing a hostile template can exhaust the stack.

use std::collections::BTreeMap;

use crate::ast::{Branch, Call, Cmd, Expr, Located, Pipe, Stmt};
use crate::lex::{Kind, Token, tokens};
use crate::number::constant;
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

type Result_<T> = Result<T, String>;

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

struct Parser {
    tokens: Vec<Token>,
    at: usize,
    /// The furthest token looked at: where an error is reported.
    seen: usize,
    action_line: usize,
    vars: Vec<String>,
    ranges: usize,
    nesting: usize,
    parsed: Parsed,
}

impl Parser {
    fn line(&self) -> usize {
        self.tokens.get(self.seen).map_or(1, |t| t.line)
    }

    /// The last token repeats for ever: it is the end or an error.
    fn peek(&mut self) -> Token {
        let at = self.at.min(self.tokens.len() - 1);
        self.seen = at;
        self.tokens[at].clone()
    }

    fn next(&mut self) -> Token {
        let token = self.peek();
        self.at += 1;
        token
    }

    fn peek_non_space(&mut self) -> Token {
        while self.peek().kind == Kind::Space {
            self.at += 1;
        }
        self.peek()
    }

    fn next_non_space(&mut self) -> Token {
        let token = self.peek_non_space();
        self.at += 1;
        token
    }

    fn expect(&mut self, kind: Kind, context: &str) -> Result_<Token> {
        let token = self.next_non_space();
        if token.kind == kind { Ok(token) } else { Err(self.unexpected(&token, context)) }
    }

    fn unexpected(&self, token: &Token, context: &str) -> String {
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

    fn deeper(&mut self) -> Result_<()> {
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

    /// `$a, $b := cmd | cmd`, up to and with the token `end`.
    fn pipeline(&mut self, context: &str, end: Kind) -> Result_<Pipe> {
        self.deeper()?;
        let pos = self.peek_non_space().pos;
        let mut pipe = Pipe { pos, assign: false, decl: Vec::new(), cmds: Vec::new() };
        self.declarations(&mut pipe, context)?;
        loop {
            let token = self.next_non_space();
            match token.kind {
                kind if kind == end => break,
                Kind::Bool
                | Kind::CharConstant
                | Kind::Dot
                | Kind::Field
                | Kind::Ident
                | Kind::Number
                | Kind::Nil
                | Kind::RawStr
                | Kind::Str
                | Kind::Variable
                | Kind::LeftParen => {
                    self.at -= 1;
                    let cmd = self.command()?;
                    pipe.cmds.push(cmd);
                }
                _ => return Err(self.unexpected(&token, context)),
            }
        }
        self.nesting -= 1;
        if pipe.cmds.is_empty() {
            return Err(format!("missing value for {context}"));
        }
        for (i, cmd) in pipe.cmds.iter().enumerate().skip(1) {
            let first = cmd.args.first();
            if matches!(
                first,
                Some(Expr::Bool { .. } | Expr::Dot { .. } | Expr::Nil { .. } | Expr::Number { .. } | Expr::Str { .. })
            ) {
                return Err(format!("non executable command in pipeline stage {}", i + 1));
            }
        }
        Ok(pipe)
    }

    fn declarations(&mut self, pipe: &mut Pipe, context: &str) -> Result_<()> {
        while self.peek_non_space().kind == Kind::Variable {
            let before = self.at;
            let name = self.next().text;
            let next = self.peek_non_space();
            if matches!(next.kind, Kind::Assign | Kind::Declare) {
                self.at += 1;
                pipe.assign = next.kind == Kind::Assign;
                self.declare(pipe, name);
                return Ok(());
            }
            if next.kind != Kind::Char || next.text != "," {
                self.at = before;
                return Ok(());
            }
            self.at += 1;
            self.declare(pipe, name);
            if context != "range" || pipe.decl.len() >= 2 {
                return Err(format!("too many declarations in {context}"));
            }
            if !matches!(self.peek_non_space().kind, Kind::Variable | Kind::RightDelim | Kind::RightParen) {
                return Err("range can only initialize variables".into());
            }
        }
        Ok(())
    }

    fn declare(&mut self, pipe: &mut Pipe, name: String) {
        self.vars.push(name.clone());
        pipe.decl.push(name);
    }

    /// Operands up to a pipe character, which is read, or the end of the pipeline, which is not.
    fn command(&mut self) -> Result_<Cmd> {
        let pos = self.peek_non_space().pos;
        let mut args = Vec::new();
        loop {
            self.peek_non_space();
            if let Some(operand) = self.operand()? {
                args.push(operand);
            }
            let token = self.next();
            match token.kind {
                Kind::Space => continue,
                Kind::RightDelim | Kind::RightParen => self.at -= 1,
                Kind::Pipe => {}
                _ => return Err(self.unexpected(&token, "operand")),
            }
            break;
        }
        if args.is_empty() { Err("empty command".into()) } else { Ok(Cmd { pos, args }) }
    }

    fn operand(&mut self) -> Result_<Option<Expr>> {
        let Some(term) = self.term()? else { return Ok(None) };
        // Go reports a chain at its second field, not at its start.
        let pos = self.peek().pos;
        let mut fields = Vec::new();
        while self.peek().kind == Kind::Field {
            fields.push(self.next().text[1..].to_owned());
        }
        if fields.is_empty() {
            return Ok(Some(term));
        }
        Ok(Some(match term {
            Expr::Field { mut path, .. } => {
                path.append(&mut fields);
                Expr::Field { pos, path }
            }
            Expr::Variable { mut path, .. } => {
                path.append(&mut fields);
                Expr::Variable { pos, path }
            }
            Expr::Bool { .. } | Expr::Str { .. } | Expr::Number { .. } | Expr::Nil { .. } | Expr::Dot { .. } => {
                return Err(format!("unexpected . after term {}", quote(&term.to_string())));
            }
            base => Expr::Chain { pos, base: Box::new(base), path: fields },
        }))
    }

    fn term(&mut self) -> Result_<Option<Expr>> {
        let Token { kind, pos, text, .. } = self.next_non_space();
        let expr = match kind {
            Kind::Ident if !crate::call::is_function(&text) => {
                return Err(format!("function {} not defined", quote(&text)));
            }
            Kind::Ident => Expr::Ident { pos, name: text },
            Kind::Dot => Expr::Dot { pos },
            Kind::Nil => Expr::Nil { pos },
            Kind::Variable if !self.vars.contains(&text) => {
                return Err(format!("undefined variable {}", quote(&text)));
            }
            Kind::Variable => Expr::Variable { pos, path: vec![text] },
            Kind::Field => Expr::Field { pos, path: vec![text[1..].to_owned()] },
            Kind::Bool => Expr::Bool { pos, value: text == "true" },
            Kind::Number | Kind::CharConstant => Expr::Number { pos, value: constant(&text)?, text },
            Kind::LeftParen => Expr::Pipe(self.pipeline("parenthesized pipeline", Kind::RightParen)?),
            Kind::Str | Kind::RawStr => {
                let value = unquote(&text).ok_or("invalid syntax")?;
                Expr::Str { pos, quoted: text, text: value }
            }
            _ => {
                self.at -= 1;
                return Ok(None);
            }
        };
        Ok(Some(expr))
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
    use crate::ast::Number;

    #[test]
    fn numbers_and_nesting() {
        assert!(matches!(constant("0x10"), Ok(Number::Int(16))));
        let deep = |n: usize| format!("{{{{{}1{}}}}}", "(".repeat(n), ")".repeat(n));
        assert!(parse(&deep(MAX_NESTING - 1)).is_ok());
        assert!(parse(&deep(100_000)).unwrap_err().ends_with("nested deeper than 150"));
        assert!(parse(&"{{if 1}}".repeat(100_000)).unwrap_err().ends_with("nested deeper than 150"));
        assert!(parse(&format!("{{{{if 1}}}}{}", "{{else if 1}}".repeat(100_000))).is_err());
    }
}
