//! What stands in the brackets of `#[gort::main(...)]` and `#[gort::test(...)]`.
//!
//! `name = value` with commas between. A number may be any constant expression; one that is a literal is checked here, so that the mistake is
//! shown where it was made.

use crate::token::{Brackets, Error, Kind, Token, integer, string};

const PROCS: (u128, u128) = (1, 1024);
const THREADS: (u128, u128) = (4, 16_384);
const STACK_BYTES: (u128, u128) = (64 << 10, 1 << 30);
const TIMEOUT_S: (u128, u128) = (1, 24 * 60 * 60);

/// An expression to be put into the expansion.
pub(crate) type Expression<S> = Vec<Token<S>>;

/// The options of `#[gort::main]`.
#[derive(Debug, PartialEq)]
pub(crate) struct MainOptions<S> {
    pub(crate) procs: Option<Expression<S>>,
    pub(crate) max_threads: Option<Expression<S>>,
    pub(crate) stack_size: Option<Expression<S>>,
    pub(crate) require_migrating: bool,
    pub(crate) allocator: bool,
}

/// The options of `#[gort::test]`.
#[derive(Debug, PartialEq)]
pub(crate) struct TestOptions<S> {
    /// One expression for each run.
    pub(crate) procs: Vec<Expression<S>>,
    pub(crate) timeout_s: Option<u64>,
}

impl<S: Copy> MainOptions<S> {
    pub(crate) fn parse(arguments: &[Token<S>]) -> Result<MainOptions<S>, Error<S>> {
        let mut options =
            MainOptions { procs: None, max_threads: None, stack_size: None, require_migrating: false, allocator: true };
        for entry in entries(arguments, "main", &["allocator", "require", "procs", "max_threads", "stack_size"])? {
            match entry.name {
                "procs" => options.procs = Some(entry.number(PROCS)?),
                "max_threads" => options.max_threads = Some(entry.number(THREADS)?),
                "stack_size" => options.stack_size = Some(entry.number(STACK_BYTES)?),
                "require" => {
                    entry.word(
                        "migrating",
                        "leave `require` out to accept bound mode where goroutines cannot migrate",
                    )?;
                    options.require_migrating = true;
                }
                _ => {
                    entry.word(
                        "none",
                        "to keep another allocator, put it into a `gort::alloc::Global` and make that the `#[global_allocator]` yourself",
                    )?;
                    options.allocator = false;
                }
            }
        }
        Ok(options)
    }
}

impl<S: Copy> TestOptions<S> {
    pub(crate) fn parse(arguments: &[Token<S>]) -> Result<TestOptions<S>, Error<S>> {
        let mut options = TestOptions { procs: Vec::new(), timeout_s: None };
        for entry in entries(arguments, "test", &["procs", "timeout"])? {
            match entry.name {
                "procs" => options.procs = entry.numbers(PROCS)?,
                _ => options.timeout_s = Some(entry.seconds()?),
            }
        }
        Ok(options)
    }
}

/// One `name = value`.
struct Entry<'a, S> {
    name: &'a str,
    name_span: S,
    value: &'a [Token<S>],
}

fn entries<'a, S: Copy>(
    arguments: &'a [Token<S>],
    attribute: &str,
    known: &[&str],
) -> Result<Vec<Entry<'a, S>>, Error<S>> {
    let mut entries: Vec<Entry<'a, S>> = Vec::new();
    let mut parts: Vec<&[Token<S>]> = arguments.split(|token| token.is_punct(',')).collect();
    // A comma at the end, or nothing at all.
    if parts.last().is_some_and(|last| last.is_empty()) {
        parts.pop();
    }
    let mut before = arguments.first().map(|token| token.span);
    for part in parts {
        let Some(first) = part.first() else {
            let span = before.expect("an empty part lies next to a comma");
            return Err(Error::new(span, "expected an option between the commas"));
        };
        before = part.last().map(|token| token.span);
        let Some(name) = first.ident().filter(|name| known.contains(name)) else {
            let message = match first.ident() {
                Some(name) => format!("`#[gort::{attribute}]` has no option `{name}` (known: {})", known.join(", ")),
                None => format!("expected the name of an option (known: {})", known.join(", ")),
            };
            return Err(Error::new(first.span, message));
        };
        if entries.iter().any(|entry| entry.name == name) {
            return Err(Error::new(first.span, format!("the option `{name}` is given twice")));
        }
        match part.get(1) {
            Some(token) if token.is_punct('=') && part.len() > 2 => {}
            other => {
                let span = other.map_or(first.span, |token| token.span);
                return Err(Error::new(span, format!("expected a value: `{name} = ...`")));
            }
        }
        entries.push(Entry { name, name_span: first.span, value: &part[2..] });
    }
    Ok(entries)
}

impl<S: Copy> Entry<'_, S> {
    /// The only word that is allowed here.
    fn word(&self, wanted: &str, otherwise: &str) -> Result<(), Error<S>> {
        match self.value {
            [token] if token.is_ident(wanted) => Ok(()),
            [token, ..] => Err(Error::new(token.span, format!("expected `{} = {wanted}`; {otherwise}", self.name))),
            [] => Err(self.no_value()),
        }
    }

    fn number(&self, range: (u128, u128)) -> Result<Expression<S>, Error<S>> {
        self.checked(self.value, range)
    }

    fn numbers(&self, range: (u128, u128)) -> Result<Vec<Expression<S>>, Error<S>> {
        let Some(list) = self.value.first().and_then(|token| token.group(Brackets::Square)) else {
            return Ok(vec![self.number(range)?]);
        };
        if let Some(extra) = self.value.get(1) {
            return Err(Error::new(extra.span, format!("expected `{} = [1, 2, 4]` and then a comma", self.name)));
        }
        let mut numbers = Vec::new();
        let mut rest = list.split(|token| token.is_punct(',')).peekable();
        while let Some(part) = rest.next() {
            match part {
                // A comma at the end.
                [] if rest.peek().is_none() && !numbers.is_empty() => {}
                _ => numbers.push(self.checked(part, range)?),
            }
        }
        Ok(numbers)
    }

    fn checked(&self, value: &[Token<S>], (least, most): (u128, u128)) -> Result<Expression<S>, Error<S>> {
        match value {
            [] => Err(self.no_value()),
            [Token { kind: Kind::Literal(text), span }] => match integer(text) {
                Some(number) if (least..=most).contains(&number) => Ok(value.to_vec()),
                Some(_) => Err(Error::new(*span, format!("`{}` must be within {least}..={most}", self.name))),
                None => Err(Error::new(*span, format!("`{}` must be a number within {least}..={most}", self.name))),
            },
            _ => Ok(value.to_vec()),
        }
    }

    /// `30`, `"30s"`, `"2m"`.
    fn seconds(&self) -> Result<u64, Error<S>> {
        let [token] = self.value else { return Err(self.no_time(self.value.first())) };
        let text = token.literal().ok_or_else(|| self.no_time(Some(token)))?;
        let seconds = match string(text) {
            None => integer(text),
            Some(text) => match text.split_at(text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len())) {
                (number, "s" | "") => integer(number),
                (number, "m") => integer(number).map(|minutes| minutes.saturating_mul(60)),
                _ => None,
            },
        };
        match seconds {
            Some(seconds) if (TIMEOUT_S.0..=TIMEOUT_S.1).contains(&seconds) => Ok(seconds as u64),
            _ => Err(self.no_time(Some(token))),
        }
    }

    fn no_time(&self, token: Option<&Token<S>>) -> Error<S> {
        let span = token.map_or(self.name_span, |token| token.span);
        Error::new(span, format!("`{}` must be whole seconds from 1 to a day: `\"30s\"`, `\"2m\"` or `30`", self.name))
    }

    fn no_value(&self) -> Error<S> {
        Error::new(self.name_span, format!("expected a value: `{} = ...`", self.name))
    }
}

#[cfg(test)]
mod tests;
