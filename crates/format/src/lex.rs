//! Text to tokens, as Go's `text/template/parse` cuts it: delimiters `{{` and `}}`, trim markers, comments.
//!
//! The whole text is cut at once. A lexical error is the last token and is reported only when the parser reaches it, so that
//! whichever mistake comes first in the text is the one the user is told about. Never panics: positions are always on
//! character boundaries.

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Error,
    Eof,
    Text,
    LeftDelim,
    RightDelim,
    Space,
    Assign,
    Declare,
    Pipe,
    LeftParen,
    RightParen,
    /// Any other printable ASCII character, such as a comma.
    Char,
    Str,
    RawStr,
    CharConstant,
    Number,
    Bool,
    Ident,
    Field,
    Variable,
    Dot,
    Nil,
    Block,
    Break,
    Continue,
    Define,
    Else,
    End,
    If,
    Range,
    Template,
    With,
}

impl Kind {
    fn is_keyword(self) -> bool {
        use Kind::*;
        matches!(self, Dot | Nil | Block | Break | Continue | Define | Else | End | If | Range | Template | With)
    }
}

/// One token: where it starts (byte offset), on which line (from 1), and its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) pos: usize,
    pub(crate) line: usize,
    pub(crate) text: String,
}

impl std::fmt::Display for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.kind {
            Kind::Eof => f.write_str("EOF"),
            Kind::Error => f.write_str(&self.text),
            kind if kind.is_keyword() => write!(f, "<{}>", self.text),
            _ if self.text.len() > 10 => {
                let head: String = self.text.chars().take(10).collect();
                write!(f, "{}...", crate::quote::quote(&head))
            }
            _ => f.write_str(&crate::quote::quote(&self.text)),
        }
    }
}

const LEFT: &str = "{{";
const RIGHT: &str = "}}";
const SPACES: [char; 4] = [' ', '\t', '\r', '\n'];

fn is_space(c: char) -> bool {
    SPACES.contains(&c)
}

fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

/// Cuts `input` into tokens; the last one is always `Eof` or `Error`.
pub(crate) fn tokens(input: &str) -> Vec<Token> {
    let mut lexer = Lexer { input, start: 0, pos: 0, line: 1, counted: 0, parens: 0, out: Vec::new() };
    match lexer.run() {
        Ok(()) => lexer.push(Kind::Eof, String::new()),
        Err(message) => lexer.push(Kind::Error, message),
    }
    lexer.out
}

struct Lexer<'a> {
    input: &'a str,
    start: usize,
    pos: usize,
    /// Line of `counted`.
    line: usize,
    counted: usize,
    parens: usize,
    out: Vec<Token>,
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        &self.input[self.pos..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.pos += c.len_utf8();
        Some(c)
    }

    fn push(&mut self, kind: Kind, text: String) {
        self.line += self.input[self.counted..self.start].matches('\n').count();
        self.counted = self.start;
        self.out.push(Token { kind, pos: self.start, line: self.line, text });
    }

    fn emit(&mut self, kind: Kind) {
        let text = self.input[self.start..self.pos].to_owned();
        self.push(kind, text);
        self.start = self.pos;
    }

    fn skip(&mut self, bytes: usize) {
        self.pos += bytes;
        self.start = self.pos;
    }

    fn skip_spaces(&mut self) {
        let rest = self.rest();
        self.skip(rest.len() - rest.trim_start_matches(SPACES).len());
    }

    fn run(&mut self) -> Result<(), String> {
        while let Some(at) = self.rest().find(LEFT) {
            let text = &self.rest()[..at];
            let after = &self.rest()[at + LEFT.len()..];
            let trims = after.starts_with('-') && after[1..].starts_with(SPACES);
            let kept = if trims { text.trim_end_matches(SPACES).len() } else { text.len() };
            self.pos += kept;
            if kept > 0 {
                self.emit(Kind::Text);
            }
            self.skip(at - kept);
            if after[if trims { 2 } else { 0 }..].starts_with("/*") {
                self.comment(after, trims)?;
            } else {
                self.pos += LEFT.len();
                self.emit(Kind::LeftDelim);
                self.skip(if trims { 2 } else { 0 });
                self.parens = 0;
                self.action()?;
            }
        }
        self.pos = self.input.len();
        if self.pos > self.start {
            self.emit(Kind::Text);
        }
        Ok(())
    }

    /// A comment and its closing delimiter; `after` is the text behind the left delimiter.
    fn comment(&mut self, after: &str, trims: bool) -> Result<(), String> {
        self.pos += LEFT.len() + if trims { 2 } else { 0 };
        let body = &after[if trims { 2 } else { 0 }..];
        let Some(end) = body.get(2..).and_then(|b| b.find("*/")) else { return Err("unclosed comment".into()) };
        self.pos += end + 4;
        let (closes, trims) = self.at_right();
        if !closes {
            return Err("comment ends before closing delimiter".into());
        }
        self.skip(RIGHT.len() + if trims { 2 } else { 0 });
        if trims {
            self.skip_spaces();
        }
        Ok(())
    }

    /// Whether the right delimiter is next, and whether it carries a trim marker.
    fn at_right(&self) -> (bool, bool) {
        let rest = self.rest();
        let trims = rest.starts_with(SPACES) && rest[1..].starts_with("-}}");
        (trims || rest.starts_with(RIGHT), trims)
    }

    /// Everything up to and with the right delimiter.
    fn action(&mut self) -> Result<(), String> {
        loop {
            let (closes, trims) = self.at_right();
            if closes {
                if self.parens > 0 {
                    return Err("unclosed left paren".into());
                }
                self.skip(if trims { 2 } else { 0 });
                self.pos += RIGHT.len();
                self.emit(Kind::RightDelim);
                if trims {
                    self.skip_spaces();
                }
                return Ok(());
            }
            let Some(c) = self.next() else { return Err("unclosed action".into()) };
            self.token(c)?;
        }
    }

    /// One token inside an action, of which `c` was just read.
    fn token(&mut self, c: char) -> Result<(), String> {
        match c {
            c if is_space(c) => {
                // The space before `-}}` belongs to the trim marker.
                while self.peek().is_some_and(is_space) && !self.at_right().1 {
                    self.next();
                }
                self.emit(Kind::Space);
            }
            '=' => self.emit(Kind::Assign),
            ':' => {
                if self.next() != Some('=') {
                    return Err("expected :=".into());
                }
                self.emit(Kind::Declare);
            }
            '|' => self.emit(Kind::Pipe),
            '"' => self.quoted('"', Kind::Str, "unterminated quoted string")?,
            '\'' => self.quoted('\'', Kind::CharConstant, "unterminated character constant")?,
            '`' => {
                let Some(end) = self.rest().find('`') else { return Err("unterminated raw quoted string".into()) };
                self.pos += end + 1;
                self.emit(Kind::RawStr);
            }
            '$' => self.word(Kind::Variable)?,
            '.' if !self.peek().is_some_and(|c| c.is_ascii_digit()) => self.word(Kind::Field)?,
            '.' | '+' | '-' | '0'..='9' => self.number()?,
            '(' => {
                self.emit(Kind::LeftParen);
                self.parens += 1;
            }
            ')' => {
                self.emit(Kind::RightParen);
                match self.parens.checked_sub(1) {
                    Some(parens) => self.parens = parens,
                    None => return Err("unexpected right paren U+0029 ')'".into()),
                }
            }
            c if is_word(c) => self.word(Kind::Ident)?,
            c if c.is_ascii_graphic() => self.emit(Kind::Char),
            c => return Err(format!("unrecognized character in action: {}", show(Some(c)))),
        }
        Ok(())
    }

    /// A string or character literal up to its closing quote, escapes included but not interpreted.
    fn quoted(&mut self, close: char, kind: Kind, unterminated: &str) -> Result<(), String> {
        loop {
            match self.next() {
                Some('\\') => match self.next() {
                    Some(c) if c != '\n' => {}
                    _ => return Err(unterminated.into()),
                },
                None | Some('\n') => return Err(unterminated.into()),
                Some(c) if c == close => break,
                Some(_) => {}
            }
        }
        self.emit(kind);
        Ok(())
    }

    /// The rest of an identifier, `.Field` or `$variable`.
    fn word(&mut self, kind: Kind) -> Result<(), String> {
        while self.peek().is_some_and(is_word) {
            self.next();
        }
        let ends = self.peek().is_none_or(|c| is_space(c) || ".,|:)(".contains(c)) || self.rest().starts_with(RIGHT);
        if !ends {
            return Err(format!("bad character {}", show(self.peek())));
        }
        let kind = match (kind, &self.input[self.start..self.pos]) {
            (Kind::Field, ".") => Kind::Dot,
            (Kind::Ident, word) => keyword(word),
            (kind, _) => kind,
        };
        self.emit(kind);
        Ok(())
    }

    fn number(&mut self) -> Result<(), String> {
        self.pos = self.start;
        let accept = |l: &mut Self, set: &str| {
            let hit = l.peek().is_some_and(|c| set.contains(c));
            if hit {
                l.next();
            }
            hit
        };
        let run = |l: &mut Self, set: &str| while accept(l, set) {};
        accept(self, "+-");
        let mut digits = "0123456789_";
        if accept(self, "0") {
            if accept(self, "xX") {
                digits = "0123456789abcdefABCDEF_";
            } else if accept(self, "oO") {
                digits = "01234567_";
            } else if accept(self, "bB") {
                digits = "01_";
            }
        }
        run(self, digits);
        if accept(self, ".") {
            run(self, digits);
        }
        let exponent = if digits.len() == 11 { "eE" } else { "pP" };
        if digits.len() >= 11 && accept(self, exponent) {
            accept(self, "+-");
            run(self, "0123456789_");
        }
        accept(self, "i");
        if self.peek().is_some_and(|c| is_word(c) || c == '+' || c == '-') {
            self.next();
            return Err(format!("bad number syntax: {}", crate::quote::quote(&self.input[self.start..self.pos])));
        }
        self.emit(Kind::Number);
        Ok(())
    }
}

fn keyword(word: &str) -> Kind {
    match word {
        "block" => Kind::Block,
        "break" => Kind::Break,
        "continue" => Kind::Continue,
        "define" => Kind::Define,
        "else" => Kind::Else,
        "end" => Kind::End,
        "if" => Kind::If,
        "range" => Kind::Range,
        "nil" => Kind::Nil,
        "template" => Kind::Template,
        "with" => Kind::With,
        "true" | "false" => Kind::Bool,
        _ => Kind::Ident,
    }
}

/// A character as Go's `%#U` shows it.
fn show(c: Option<char>) -> String {
    match c {
        Some(c) if c.is_control() => format!("U+{:04X}", c as u32),
        Some(c) => format!("U+{:04X} '{c}'", c as u32),
        None => "U+FFFFFFFFFFFFFFFF".into(),
    }
}
