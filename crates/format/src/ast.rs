//! The parsed template, and how each part is written back: Go's error messages quote the part that failed.

use std::fmt::{self, Display, Formatter};

/// A part of the template that an error message can point at.
pub(crate) trait Located: Display {
    /// Byte offset in the template's text.
    fn pos(&self) -> usize;
}

/// A constant number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Number {
    /// An integer (or character) that fits Go's `int`.
    Int(i64),
    /// An integer beyond `int`: an error when evaluated.
    Uint(u64),
    Float(f64),
}

/// One operand of a command.
#[derive(Debug, Clone)]
pub(crate) enum Expr {
    Bool {
        pos: usize,
        value: bool,
    },
    Nil {
        pos: usize,
    },
    Dot {
        pos: usize,
    },
    Number {
        pos: usize,
        text: String,
        value: Number,
    },
    Str {
        pos: usize,
        quoted: String,
        text: String,
    },
    Field {
        pos: usize,
        path: Vec<String>,
    },
    /// `path[0]` is the variable's name with its `$`.
    Variable {
        pos: usize,
        path: Vec<String>,
    },
    Ident {
        pos: usize,
        name: String,
    },
    Chain {
        pos: usize,
        base: Box<Expr>,
        path: Vec<String>,
    },
    Pipe(Pipe),
}

/// `decl := cmd | cmd`.
#[derive(Debug, Clone)]
pub(crate) struct Pipe {
    pub(crate) pos: usize,
    /// `=` rather than `:=`.
    pub(crate) assign: bool,
    pub(crate) decl: Vec<String>,
    pub(crate) cmds: Vec<Cmd>,
}

/// A function, method or value with its arguments; never empty.
#[derive(Debug, Clone)]
pub(crate) struct Cmd {
    pub(crate) pos: usize,
    pub(crate) args: Vec<Expr>,
}

/// `if`, `with` and `range`.
#[derive(Debug, Clone)]
pub(crate) struct Branch {
    pub(crate) pipe: Pipe,
    pub(crate) list: Vec<Stmt>,
    pub(crate) otherwise: Option<Vec<Stmt>>,
}

/// `{{template "name" pipe}}`, also what remains of a `block` in its place.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) pos: usize,
    pub(crate) name: String,
    pub(crate) pipe: Option<Pipe>,
}

/// What a template is a list of.
#[derive(Debug, Clone)]
pub(crate) enum Stmt {
    Text(String),
    Action(Pipe),
    If(Branch),
    With(Branch),
    Range(Branch),
    Call(Call),
    Break,
    Continue,
}

impl Located for Expr {
    fn pos(&self) -> usize {
        match self {
            Expr::Bool { pos, .. }
            | Expr::Nil { pos }
            | Expr::Dot { pos }
            | Expr::Number { pos, .. }
            | Expr::Str { pos, .. }
            | Expr::Field { pos, .. }
            | Expr::Variable { pos, .. }
            | Expr::Ident { pos, .. }
            | Expr::Chain { pos, .. } => *pos,
            Expr::Pipe(pipe) => pipe.pos,
        }
    }
}

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let dotted = |f: &mut Formatter<'_>, path: &[String]| path.iter().try_for_each(|name| write!(f, ".{name}"));
        match self {
            Expr::Bool { value, .. } => write!(f, "{value}"),
            Expr::Nil { .. } => f.write_str("nil"),
            Expr::Dot { .. } => f.write_str("."),
            Expr::Number { text, .. } => f.write_str(text),
            Expr::Str { quoted, .. } => f.write_str(quoted),
            Expr::Field { path, .. } => dotted(f, path),
            Expr::Variable { path, .. } => f.write_str(&path.join(".")),
            Expr::Ident { name, .. } => f.write_str(name),
            Expr::Chain { base, path, .. } => {
                match base.as_ref() {
                    Expr::Pipe(pipe) => write!(f, "({pipe})")?,
                    base => write!(f, "{base}")?,
                }
                dotted(f, path)
            }
            Expr::Pipe(pipe) => write!(f, "{pipe}"),
        }
    }
}

impl Located for Pipe {
    fn pos(&self) -> usize {
        self.pos
    }
}

impl Display for Pipe {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if !self.decl.is_empty() {
            write!(f, "{} {} ", self.decl.join(", "), if self.assign { "=" } else { ":=" })?;
        }
        for (i, cmd) in self.cmds.iter().enumerate() {
            write!(f, "{}{cmd}", if i > 0 { " | " } else { "" })?;
        }
        Ok(())
    }
}

impl Located for Cmd {
    fn pos(&self) -> usize {
        self.pos
    }
}

impl Display for Cmd {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (i, arg) in self.args.iter().enumerate() {
            f.write_str(if i > 0 { " " } else { "" })?;
            match arg {
                Expr::Pipe(pipe) => write!(f, "({pipe})")?,
                arg => write!(f, "{arg}")?,
            }
        }
        Ok(())
    }
}

impl Located for Call {
    fn pos(&self) -> usize {
        self.pos
    }
}

impl Display for Call {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{{{{template {}", crate::quote::quote(&self.name))?;
        if let Some(pipe) = &self.pipe {
            write!(f, " {pipe}")?;
        }
        f.write_str("}}")
    }
}
