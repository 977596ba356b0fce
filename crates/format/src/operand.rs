//! Parsing what stands inside an action: pipelines, commands, operands.

use crate::ast::{Cmd, Expr, Pipe};
use crate::lex::{Kind, Token};
use crate::number::constant;
use crate::parse::{Parser, Result_};
use crate::quote::{quote, unquote};

impl Parser {
    /// `$a, $b := cmd | cmd`, up to and with the token `end`.
    pub(crate) fn pipeline(&mut self, context: &str, end: Kind) -> Result_<Pipe> {
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
