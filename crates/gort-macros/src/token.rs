//! The few kinds of tokens that matter here, free of `proc_macro`.
//!
//! `proc_macro`'s own types exist only while the compiler runs a macro, so nothing made of them can be unit-tested. What decides (which
//! options were given, what is wrong with the function) therefore works on these; `S` is the place in the source, a number in tests.

/// A token or a pair of brackets with what is between.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Token<S> {
    pub(crate) kind: Kind<S>,
    pub(crate) span: S,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Kind<S> {
    Ident(String),
    /// And whether another one follows without a space (`<<` is two of them).
    Punct(char, bool),
    /// As written, with quotes and suffix.
    Literal(String),
    Group(Brackets, Vec<Token<S>>),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Brackets {
    Round,
    Square,
    Curly,
    /// What a `macro_rules!` fragment is wrapped in.
    Invisible,
}

/// What is wrong, where, and what to write instead.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Error<S> {
    pub(crate) span: S,
    pub(crate) message: String,
}

impl<S: Copy> Error<S> {
    pub(crate) fn new(span: S, message: impl Into<String>) -> Error<S> {
        Error { span, message: message.into() }
    }
}

impl<S> Token<S> {
    pub(crate) fn is_ident(&self, name: &str) -> bool {
        self.ident() == Some(name)
    }

    pub(crate) fn is_punct(&self, punct: char) -> bool {
        matches!(self.kind, Kind::Punct(this, _) if this == punct)
    }

    pub(crate) fn ident(&self) -> Option<&str> {
        match &self.kind {
            Kind::Ident(name) => Some(name),
            _ => None,
        }
    }

    pub(crate) fn literal(&self) -> Option<&str> {
        match &self.kind {
            Kind::Literal(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn group(&self, wanted: Brackets) -> Option<&[Token<S>]> {
        match &self.kind {
            Kind::Group(brackets, inside) if *brackets == wanted => Some(inside),
            _ => None,
        }
    }
}

/// The value of an integer literal: `4`, `1_000`, `0x10`, `4usize`. `None` for any other literal; too large a number gives `u128::MAX`.
pub(crate) fn integer(literal: &str) -> Option<u128> {
    let (radix, digits) = match literal.get(..2) {
        Some("0x") => (16, &literal[2..]),
        Some("0o") => (8, &literal[2..]),
        Some("0b") => (2, &literal[2..]),
        _ => (10, literal),
    };
    let end = digits.find(|c: char| c != '_' && !c.is_digit(radix)).unwrap_or(digits.len());
    let (digits, suffix) = digits.split_at(end);
    let known = ["", "usize", "u8", "u16", "u32", "u64", "u128", "isize", "i8", "i16", "i32", "i64", "i128"];
    let digits: String = digits.chars().filter(|&c| c != '_').collect();
    if digits.is_empty() || !known.contains(&suffix) {
        return None;
    }
    Some(u128::from_str_radix(&digits, radix).unwrap_or(u128::MAX))
}

/// What stands in a plain string literal without escapes.
pub(crate) fn string(literal: &str) -> Option<&str> {
    literal.strip_prefix('"')?.strip_suffix('"').filter(|text| !text.contains('\\'))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Splits a little Rust (no comments, no lifetimes, no escapes) into tokens; a span is the index of a token's first byte.
    pub(crate) fn lex(source: &str) -> Vec<Token<usize>> {
        let mut at = 0;
        let tokens = sequence(source, &mut at, None);
        assert_eq!(at, source.len());
        tokens
    }

    fn sequence(source: &str, at: &mut usize, close: Option<char>) -> Vec<Token<usize>> {
        let mut tokens = Vec::new();
        while let Some(c) = source[*at..].chars().next() {
            let start = *at;
            *at += c.len_utf8();
            let rest =
                |at: usize, keep: fn(char) -> bool| at + source[at..].find(|c| !keep(c)).unwrap_or(source.len() - at);
            let is_word = |c: char| c.is_alphanumeric() || c == '_';
            let kind = match c {
                _ if Some(c) == close => return tokens,
                c if c.is_whitespace() => continue,
                '(' => Kind::Group(Brackets::Round, sequence(source, at, Some(')'))),
                '[' => Kind::Group(Brackets::Square, sequence(source, at, Some(']'))),
                '{' => Kind::Group(Brackets::Curly, sequence(source, at, Some('}'))),
                '«' => Kind::Group(Brackets::Invisible, sequence(source, at, Some('»'))),
                '"' => {
                    *at = rest(*at, |c| c != '"') + 1;
                    Kind::Literal(source[start..*at].to_owned())
                }
                c if c.is_ascii_digit() => {
                    *at = rest(*at, |c| c.is_alphanumeric() || c == '_' || c == '.');
                    Kind::Literal(source[start..*at].to_owned())
                }
                c if is_word(c) => {
                    *at = rest(*at, |c| c.is_alphanumeric() || c == '_');
                    Kind::Ident(source[start..*at].to_owned())
                }
                c => Kind::Punct(c, source[*at..].starts_with(|next: char| next.is_ascii_punctuation())),
            };
            tokens.push(Token { kind, span: start });
        }
        assert_eq!(close, None, "unclosed bracket in {source:?}");
        tokens
    }

    #[test]
    fn integers_are_read_as_rust_writes_them() {
        for (text, value) in
            [("4", 4), ("1_000", 1000), ("0x1F", 31), ("0o17", 15), ("0b101", 5), ("8usize", 8), ("0", 0)]
        {
            assert_eq!(integer(text), Some(value), "{text}");
        }
        assert_eq!(integer(&"9".repeat(50)), Some(u128::MAX));
        for text in ["1.0", "1e3", "\"4\"", "'4'", "4s", "0x", "_", "true"] {
            assert_eq!(integer(text), None, "{text}");
        }
    }

    #[test]
    fn strings_are_read_without_their_quotes() {
        assert_eq!(string("\"30s\""), Some("30s"));
        assert_eq!(string("\"a\\n\""), None);
        assert_eq!(string("b\"30s\""), None);
        assert_eq!(string("30"), None);
    }
}
