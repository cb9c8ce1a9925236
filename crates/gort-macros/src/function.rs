//! Finding the parts of the function under the attribute, and refusing what cannot be a main or a test.

use crate::token::{Brackets, Error, Kind, Token};
use std::ops::Range;

/// Where the parts of a function are among its tokens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Function {
    /// Attributes, visibility, `fn`, name and the empty brackets.
    pub(crate) head: Range<usize>,
    pub(crate) name: usize,
    /// `->` and the type; empty if there is none.
    pub(crate) returns: Range<usize>,
    pub(crate) body: usize,
}

/// Which attribute is being expanded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Attribute {
    Main,
    Test,
}

impl Attribute {
    fn text(self) -> &'static str {
        match self {
            Attribute::Main => "#[gort::main]",
            Attribute::Test => "#[gort::test]",
        }
    }
}

impl Function {
    /// `end` is where to point if the tokens end too early.
    pub(crate) fn parse<S: Copy>(tokens: &[Token<S>], attribute: Attribute, end: S) -> Result<Function, Error<S>> {
        let this = attribute.text();
        let span = |at: usize| tokens.get(at).map_or(end, |token| token.span);
        let not_a_function = |at| Err(Error::new(span(at), format!("`{this}` goes on a function")));

        let mut at = 0;
        while tokens.get(at).is_some_and(|token| token.is_punct('#')) {
            let Some(inside) = tokens.get(at + 1).and_then(|token| token.group(Brackets::Square)) else {
                return not_a_function(at);
            };
            if attribute == Attribute::Test && matches!(inside, [only] if only.is_ident("test")) {
                return Err(Error::new(span(at), format!("remove this `#[test]`: `{this}` adds it")));
            }
            at += 2;
        }
        // A visibility that came through a `macro_rules!` fragment.
        if tokens.get(at).is_some_and(|token| token.group(Brackets::Invisible).is_some()) {
            at += 1;
        }
        if tokens.get(at).is_some_and(|token| token.is_ident("pub")) {
            at += 1;
            if tokens.get(at).is_some_and(|token| token.group(Brackets::Round).is_some()) {
                at += 1;
            }
        }
        if let Some(word) = tokens.get(at).and_then(Token::ident).filter(|&word| word != "fn") {
            return match qualifier(word) {
                // Only in front of a function: `const X: u32 = 1;` and the like are something else.
                Some(why) if tokens[at..].iter().any(|token| token.is_ident("fn")) => {
                    Err(Error::new(span(at), format!("`{this}` takes a plain `fn`: remove `{word}`{why}")))
                }
                _ => not_a_function(at),
            };
        }
        if at >= tokens.len() || !tokens[at].is_ident("fn") {
            return not_a_function(at);
        }
        let name = at + 1;
        match tokens.get(name).and_then(Token::ident) {
            None => return not_a_function(name),
            Some("main") => {}
            Some(other) if attribute == Attribute::Main => {
                return Err(Error::new(
                    span(name),
                    format!(
                        "`{this}` goes on `main`, not on `{other}`; elsewhere nothing is needed, `gort::go` works from any thread"
                    ),
                ));
            }
            Some(_) => {}
        }
        let parameters = name + 1;
        match tokens.get(parameters) {
            Some(token) if token.is_punct('<') => {
                return Err(Error::new(
                    span(parameters),
                    "nothing could say what the generic parameters are: remove them",
                ));
            }
            Some(Token { kind: Kind::Group(Brackets::Round, inside), .. }) => {
                if let Some(first) = inside.first() {
                    let way_out = match attribute {
                        Attribute::Main => "remove the parameters and use `std::env::args()`",
                        Attribute::Test => "remove the parameters",
                    };
                    return Err(Error::new(first.span, format!("nothing is passed to this function: {way_out}")));
                }
            }
            _ => return not_a_function(parameters),
        }
        let body = tokens.len() - 1;
        let returns = parameters + 1..body;
        if let Some(at) = (returns.start..tokens.len()).find(|&at| tokens[at].is_ident("where")) {
            return Err(Error::new(
                span(at),
                "without generic parameters there is nothing to bound: remove the `where`",
            ));
        }
        let is_body = body > parameters
            && tokens[body].group(Brackets::Curly).or(tokens[body].group(Brackets::Invisible)).is_some();
        if !is_body {
            return Err(Error::new(span(body), "the function needs a body"));
        }
        if returns.len() == 1 || !returns.is_empty() && !tokens[returns.start].is_punct('-') {
            return not_a_function(returns.start);
        }
        Ok(Function { head: 0..parameters + 1, name, returns, body })
    }
}

/// For a word that may stand before `fn`: what to say about it.
fn qualifier(word: &str) -> Option<&'static str> {
    match word {
        "async" => Some(" (a goroutine waits in plain calls)"),
        "const" | "unsafe" | "safe" | "extern" | "gen" | "default" => Some(""),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
